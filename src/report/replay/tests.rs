//! What a reader can rely on while stepping from scene to scene.

use super::*;
use crate::graph::view::GraphView;
use crate::report::fixture_graph::{graph, node, row_edge, waiter};
use crate::report::fixture_replay::{moment, replay};

/// A root and those who wait for it, by pid.
fn queue(pids: impl Iterator<Item = i32>) -> GraphView {
    let mut root = node(
        1,
        "sync",
        "idle in transaction",
        "UPDATE counter SET n = n + $1",
    );
    let waiters = pids.map(|pid| {
        waiter(
            pid,
            &format!("app-{}", char::from(b'a' + u8::try_from(pid % 26).unwrap())),
            &format!("UPDATE t{pid}"),
            100.0,
        )
    });
    let waiters: Vec<_> = waiters.collect();
    root.behind = waiters.len();
    let edges = waiters
        .iter()
        .map(|waiter| row_edge(waiter.party.pid.unwrap(), 1, "transactionid", 100.0))
        .collect();
    graph(std::iter::once(root).chain(waiters).collect(), edges)
}

fn rows(scene: &Scene, replay: &Replay) -> Vec<(String, (usize, usize))> {
    let name = |boxed: &Boxed| replay.parties.values[boxed.members[0].0].0.clone();
    scene
        .boxes
        .iter()
        .map(|boxed| (name(boxed), boxed.place))
        .collect()
}

#[test]
fn who_stays_keeps_the_place_and_who_comes_takes_a_free_one() {
    let views = [queue(2..5), queue(3..5), queue(3..6)];
    let moments = (0..3)
        .zip(views)
        .map(|(n, view)| moment(f64::from(n), view));
    let replay = Replay::of(moments);
    let [first, second, third] = [0, 1, 2].map(|n| rows(&replay.scenes[n], &replay));
    let at = |rows: &[(String, (usize, usize))], name: &str| {
        rows.iter()
            .find(|(known, _)| known == name)
            .map(|(_, place)| *place)
    };
    assert_eq!(
        at(&first, "pid 1"),
        Some((0, 0)),
        "the root stands on the left"
    );
    for pid in ["pid 1", "pid 3", "pid 4"] {
        assert_eq!(at(&first, pid), at(&second, pid), "{pid}");
        assert_eq!(at(&first, pid), at(&third, pid), "{pid}");
    }
    assert_eq!(
        at(&third, "pid 5"),
        at(&first, "pid 2"),
        "the freed row is taken"
    );
    let mut places: Vec<_> = third.iter().map(|(_, place)| *place).collect();
    places.sort_unstable();
    places.dedup();
    assert_eq!(places.len(), third.len(), "no two boxes lie on each other");
}

#[test]
fn six_hundred_waiters_are_one_box_with_a_count() {
    let alike = (2..602).map(|pid| waiter(pid, "intake", "UPDATE counter", f64::from(pid)));
    let alike: Vec<_> = alike.collect();
    let edges = (2..602)
        .map(|pid| row_edge(pid, 1, "transactionid", 100.0))
        .collect();
    let root = node(1, "sync", "idle in transaction", "UPDATE counter");
    let view = graph(std::iter::once(root).chain(alike).collect(), edges);
    let replay = Replay::of(std::iter::once(moment(0.0, view)));
    let scene = &replay.scenes[0];
    assert_eq!(scene.boxes.len(), 2);
    let queue = scene.boxes.iter().find(|boxed| boxed.count > 1).unwrap();
    assert_eq!((queue.count, queue.members.len()), (600, MEMBERS));
    assert_eq!(queue.place, (1, 0));
    // Those that have waited longest are told.
    assert_eq!(replay.parties.values[queue.members[0].0].0, "pid 601");
}

#[test]
fn what_looks_the_same_is_one_scene_and_a_gap_is_none() {
    let nobody = || graph(Vec::new(), Vec::new());
    let moments = [0.0, 1.0, 2.0, 9.0, 10.0].map(|at| moment(at, nobody()));
    let replay = Replay::of(moments.into_iter());
    let stretches: Vec<_> = replay.scenes.iter().map(|scene| scene.stretch).collect();
    assert_eq!(stretches, [(0, 3_000), (9_000, 11_000)]);
}

#[test]
fn a_clock_that_was_set_back_leaves_the_scenes_in_order() {
    let views = [queue(2..4), queue(2..5), queue(2..6), queue(2..7)];
    let moments = [10.0, 11.0, 3.0, 10.5].into_iter().zip(views);
    let replay = Replay::of(moments.map(|(at, view)| moment(at, view)));
    let stretches: Vec<_> = replay.scenes.iter().map(|scene| scene.stretch).collect();
    let expected = [(-7_000, -6_000), (0, 500), (500, 1_000), (1_000, 2_000)];
    assert_eq!(stretches, expected);
}

#[test]
fn a_wait_that_goes_on_is_told_by_when_it_began() {
    let waiting = |ms| {
        let mut waiter = waiter(2, "intake", "UPDATE counter", ms);
        waiter.xact_age_ms = None;
        graph(vec![waiter], Vec::new())
    };
    let moments = [(5.0, 1_000.0), (6.0, 2_000.0), (7.0, 3_010.0)];
    let replay = Replay::of(moments.into_iter().map(|(at, ms)| moment(at, waiting(ms))));
    let begun: Vec<_> = replay
        .scenes
        .iter()
        .map(|scene| scene.boxes[0].members[0].4)
        .collect();
    assert_eq!(
        begun,
        [Some(-1_000), Some(-1_100)],
        "to the tenth of a second"
    );
}

#[test]
fn halving_keeps_the_fuller_look_and_the_whole_time() {
    let few = replay();
    let (scenes, most) = (
        few.len(),
        few.scenes.iter().map(|scene| scene.blocked).max(),
    );
    let end = few.scenes.last().unwrap().stretch.1;
    let halved = few.halved();
    assert_eq!(halved.len(), scenes.div_ceil(2));
    assert_eq!(halved.scenes.iter().map(|scene| scene.blocked).max(), most);
    assert_eq!(halved.scenes.last().unwrap().stretch.1, end);
}

#[test]
fn an_amplifier_and_a_root_are_told_apart() {
    let mut view = queue(2..3);
    view.nodes[1].behind = 1;
    view.nodes.push(waiter(7, "late", "SELECT", 5.0));
    view.edges.push(row_edge(7, 2, "transactionid", 5.0));
    let replay = Replay::of(std::iter::once(moment(0.0, view)));
    let roles: Vec<_> = replay.scenes[0]
        .boxes
        .iter()
        .map(|boxed| boxed.role)
        .collect();
    assert_eq!(roles, [1, 4, 0]);
    let places: Vec<_> = replay.scenes[0]
        .boxes
        .iter()
        .map(|boxed| boxed.place)
        .collect();
    assert_eq!(places, [(0, 0), (1, 0), (2, 0)]);
}

#[test]
fn equal_looks_give_equal_bytes() {
    let written = || serde_json::to_string(&replay()).unwrap();
    assert_eq!(written(), written());
}

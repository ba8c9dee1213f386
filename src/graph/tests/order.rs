//! The order of queues: what is sure of it, and what follows from it.

use super::*;
use LockMode::{RowShare, ShareRowExclusive};

#[test]
fn who_began_to_wait_within_a_millisecond_may_stand_in_either_order() {
    let late = |pid, micros| Lock {
        waitstart: Some(Timestamp::from_micros(micros)),
        ..entry(pid, table(7), AccessExclusive, Some(0))
    };
    let locks = vec![
        holds(1, table(7), AccessExclusive),
        late(2, 10_000),
        late(3, 10_999),
        late(4, 12_000),
    ];
    check(
        &snapshot(locks),
        &["2 => 1", "3 => 1", "3 ~> 2", "4 -> 2", "4 -> 3", "4 => 1"],
        &["2: 1=1.00", "3: 1=1.00", "4: 1=1.00"],
    );
}

#[test]
fn a_wait_without_a_start_stands_last_and_nobody_is_sure_of_it() {
    let mut new = entry(2, table(7), AccessExclusive, Some(1));
    new.waitstart = None;
    let locks = vec![
        holds(1, table(7), AccessExclusive),
        new,
        entry(3, table(7), AccessExclusive, Some(20)),
    ];
    check(
        &snapshot(locks),
        &["2 => 1", "2 ?> 3", "3 => 1"],
        &["2: 1=1.00", "3: 1=1.00"],
    );
}

#[test]
fn a_holder_that_went_ahead_is_surely_ahead() {
    // 4 came last, and holds what 2 waits for: it stands before 2 and so before 3.
    let locks = vec![
        holds(1, table(7), RowExclusive),
        holds(4, table(7), AccessShare),
        entry(2, table(7), AccessExclusive, Some(10)),
        entry(3, table(7), Share, Some(20)),
        entry(4, table(7), ShareUpdateExclusive, Some(30)),
        holds(5, table(7), ShareUpdateExclusive),
    ];
    check(
        &snapshot(locks),
        &[
            "2 => 1", "2 => 4", "2 => 5", "3 -> 2", "3 -> 4", "3 => 1", "3 => 5", "4 => 5",
        ],
        &["2: 1=0.33 5=0.67", "3: 1=0.50 5=0.50", "4: 5=1.00"],
    );
}

#[test]
fn a_holder_at_the_end_may_have_gone_ahead_of_somebody_who_left() {
    let locks = vec![
        holds(1, table(7), RowExclusive),
        holds(3, table(7), AccessShare),
        entry(2, table(7), Share, Some(10)),
        entry(3, table(7), RowExclusive, Some(20)),
    ];
    check(
        &snapshot(locks),
        &["2 => 1", "3 ?> 2"],
        &["2: 1=1.00", "3: 1=1.00"],
    );
}

#[test]
fn nobody_waits_without_a_reason() {
    // 2 waits for nothing but 3, who seems to have come later: by a hair, or ahead of one who left.
    let seen = |holds_something: bool, since: i64| {
        let mut locks = vec![
            holds(1, table(7), RowExclusive),
            entry(2, table(7), AccessShare, Some(10)),
            Lock {
                waitstart: Some(Timestamp::from_micros(since)),
                ..entry(3, table(7), AccessExclusive, Some(0))
            },
        ];
        if holds_something {
            locks.push(holds(3, table(7), RowShare));
        }
        snapshot(locks)
    };
    for snapshot in [seen(false, 10_400), seen(true, 20_000), seen(false, 20_000)] {
        check(
            &snapshot,
            &["2 ?> 3", "3 => 1"],
            &["2: 1=1.00", "3: 1=1.00"],
        );
    }
}

#[test]
fn blame_goes_to_who_is_surely_ahead() {
    let locks = vec![
        holds(1, table(7), AccessShare),
        holds(2, table(7), Share),
        entry(3, table(7), AccessExclusive, Some(10)),
        entry(4, table(7), ShareRowExclusive, Some(20)),
        Lock {
            waitstart: Some(Timestamp::from_micros(20_300)),
            ..entry(5, table(7), RowShare, Some(0))
        },
        Lock {
            waitstart: Some(Timestamp::from_micros(20_600)),
            ..entry(6, table(7), AccessShare, Some(0))
        },
        entry(7, table(7), Exclusive, Some(20)),
    ];
    check(
        &snapshot(locks),
        &[
            "3 => 1", "3 => 2", "4 -> 3", "4 => 2", "5 -> 3", "5 ~> 7", "6 -> 3", "7 -> 3",
            "7 => 2", "7 ~> 4",
        ],
        &[
            "3: 1=0.50 2=0.50",
            "4: 2=1.00",
            "5: 1=0.50 2=0.50",
            "6: 1=0.50 2=0.50",
            "7: 2=1.00",
        ],
    );
}

#[test]
fn a_circle_is_left_by_sure_ways_only() {
    // Where 3 stands against 9 is not known, and 9 is in no circle of its own.
    let mut snapshot = snapshot(vec![
        holds(1, table(7), AccessShare),
        holds(3, table(8), AccessExclusive),
        entry(1, table(8), AccessShare, Some(5)),
        entry(2, table(7), AccessExclusive, Some(10)),
        entry(9, table(7), AccessExclusive, Some(20)),
        Lock {
            waitstart: Some(Timestamp::from_micros(20_300)),
            ..entry(3, table(7), AccessShare, Some(0))
        },
    ]);
    snapshot.tick.deadlock_timeout = Span::from_millis(60_000);
    let graph = WaitGraph::of(&snapshot);
    let in_cycle = |pid| graph.is_in_cycle(graph.find(Pid(pid)).unwrap());
    assert_eq!([1, 2, 3, 9].map(in_cycle), [true, true, true, false]);
}

#[test]
fn a_long_queue_without_a_holder_is_blamed_on_the_nearest() {
    let mut locks = vec![
        holds(1, table(7), AccessShare),
        entry(2, table(7), AccessExclusive, Some(10)),
    ];
    locks.extend((3..2_000).map(|pid| entry(pid, table(7), Exclusive, Some(10 * i64::from(pid)))));
    let snapshot = snapshot(locks);
    let graph = WaitGraph::of(&snapshot);
    assert!(graph.graph.edge_count() < 2 * 2_000 + 32 * 32);
    let last = graph.find(Pid(1_999)).unwrap();
    let one = graph.find(Pid(1)).unwrap();
    assert_eq!(graph.blame(last)[..], [(one, 1.0)]);
}

/// 3 queues behind 2, who waits for 1, who waits for 3: a circle, but for a place in a queue.
fn circle_through_a_queue() -> Snapshot {
    snapshot(vec![
        holds(1, table(7), AccessShare),
        holds(5, table(7), ShareRowExclusive),
        holds(3, table(8), AccessExclusive),
        entry(2, table(7), AccessExclusive, Some(10)),
        entry(3, table(7), RowExclusive, Some(20)),
        entry(1, table(8), AccessShare, Some(30)),
    ])
}

#[test]
fn the_server_puts_a_queue_in_another_order_before_it_calls_a_circle_a_deadlock() {
    let snapshot = circle_through_a_queue();
    check(
        &snapshot,
        &["1 => 3", "2 => 1", "2 => 5", "2 ?> 3", "3 => 5"],
        &["1: 5=1.00", "2: 5=1.00", "3: 5=1.00"],
    );
    assert_eq!(WaitGraph::of(&snapshot).cycles().count(), 0);
}

#[test]
fn a_circle_is_one_until_the_server_has_looked_for_it() {
    let mut snapshot = circle_through_a_queue();
    snapshot.tick.deadlock_timeout = Span::from_millis(60_000);
    check(
        &snapshot,
        &["1 => 3", "2 => 1", "2 => 5", "3 => 5", "3 ?> 2"],
        &["1: 5=1.00", "2: 5=1.00", "3: 5=1.00"],
    );
    assert_eq!(WaitGraph::of(&snapshot).cycles().count(), 1);
}

#[test]
fn a_deadlock_through_a_queue_leaves_its_order_unknown() {
    // 3 queues behind 2, who waits for 1, who waits for 3: the server has put 3 first, or will.
    let locks = vec![
        holds(1, table(7), AccessShare),
        holds(3, table(8), AccessExclusive),
        entry(2, table(7), AccessExclusive, Some(10)),
        entry(3, table(7), AccessShare, Some(20)),
        entry(1, table(8), AccessShare, Some(30)),
    ];
    let snapshot = snapshot(locks);
    check(
        &snapshot,
        &["1 => 3", "2 => 1", "3 ?> 2"],
        &["1: 2=0.50 3=0.50", "2: 1=0.50 3=0.50", "3: 1=0.50 2=0.50"],
    );
    assert_eq!(WaitGraph::of(&snapshot).cycles().count(), 1);
}

#[test]
fn who_stands_behind_and_who_would_go_on_are_counted_along_a_queue() {
    let snapshot = row_queue(4);
    let graph = WaitGraph::of(&snapshot);
    let at = |counts: Vec<usize>| {
        [1, 2, 3, 4, 5].map(|pid| counts[graph.find(Pid(pid)).unwrap().index()])
    };
    assert_eq!(at(graph.behind()), [4, 3, 2, 1, 0]);
    assert_eq!(at(graph.freed()), [1, 1, 0, 0, 0]);
    let last = graph.find(Pid(5)).unwrap();
    assert_eq!(graph.requests_ahead(&graph.waits(last)[0]), 2);
}

#[test]
fn the_last_of_a_long_queue_names_the_one_before_it() {
    let snapshot = row_queue(50);
    let graph = WaitGraph::of(&snapshot);
    let wait = &graph.waits(graph.find(Pid(51)).unwrap())[0];
    let named = |most| -> Vec<String> {
        let soft = graph.nearest_soft(wait, most);
        soft.iter()
            .map(|soft| graph.party(soft.node).to_string())
            .collect()
    };
    assert_eq!(graph.requests_ahead(wait), 48);
    assert_eq!(named(47), ["50"]);
    assert_eq!(named(48).len(), 48);
}

#[test]
fn however_long_a_queue_is_it_is_read_without_recursion() {
    let snapshot = row_queue(50_000);
    let graph = WaitGraph::of(&snapshot);
    let one = graph.find(Pid(1)).unwrap();
    assert_eq!(graph.roots(), [one]);
    assert_eq!(graph.cycles().count(), 0);
}

#[test]
fn a_tangle_of_circles_is_given_up_in_time() {
    // Everybody holds a table weakly and waits for the next one, each behind all the others.
    let mut locks = Vec::new();
    for pid in 1..=250_i32 {
        let (own, next) = (pid.cast_unsigned() % 5, (pid.cast_unsigned() + 1) % 5);
        locks.push(holds(pid, table(own), AccessShare));
        let mode = if pid % 3 == 0 { Share } else { RowExclusive };
        locks.push(entry(pid, table(next), mode, Some(i64::from(pid) * 3)));
    }
    for table_number in 0..5 {
        let pid = 1_000 + i32::try_from(table_number).unwrap();
        locks.push(holds(pid, table(table_number), ShareUpdateExclusive));
        locks.push(entry(
            pid,
            table((table_number + 2) % 5),
            AccessExclusive,
            Some(1),
        ));
    }
    let snapshot = snapshot(locks);
    let graph = WaitGraph::of(&snapshot);
    assert!(graph.is_in_cycle(graph.find(Pid(1_000)).unwrap()));
}

#[test]
fn a_circle_through_a_safe_snapshot_is_no_queue_s() {
    let mut snapshot = snapshot(vec![
        holds(1, table(7), AccessShare),
        entry(2, table(7), AccessExclusive, Some(10)),
        holds(4, table(8), AccessShare),
        entry(3, table(8), AccessExclusive, Some(10)),
    ]);
    snapshot.safe_snapshots = vec![SafeSnapshotWait {
        waiter: Pid(1),
        blocker: Pid(2),
    }];
    assert_eq!(WaitGraph::of(&snapshot).cycles().count(), 1);
}

//! What a standby's own sessions and the replay of the primary's changes do to each other.
//!
//! A real primary and a real standby that streams from it. The replaying process takes table
//! locks for the primary's transactions and waits for the standby's readers; it has no state,
//! no query and no transaction of its own, and it is a backend all the same.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../majors/mod.rs"]
mod majors;
mod stage;

use std::process::ExitCode;

use pgjam::graph::WaitGraph;
use pgjam::graph::view::{GraphView, Node, Vocabulary};
use pgjam::names::{Names, Statements};
use pgjam::report::{Style, first_screen};
use pgjam::sample::State;
use pgjam::system::Naming;

use crate::majors::{binaries, on_each};
use crate::stage::{Pair, pid};

fn main() -> ExitCode {
    let mut trials = Vec::new();
    trials.extend(on_each(
        "replay_waits_for_a_reader_and_makes_others_queue",
        replay_waits_for_a_reader_and_makes_others_queue,
    ));
    trials.extend(on_each(
        "a_lock_that_is_replayed_stands_in_readers_ways",
        a_lock_that_is_replayed_stands_in_readers_ways,
    ));
    trials.extend(on_each(
        "replay_that_waits_for_a_snapshot_waits_without_a_holder",
        replay_that_waits_for_a_snapshot_waits_without_a_holder,
    ));
    majors::run(trials).exit_code()
}

/// Looks at the standby once and puts what it saw into words.
fn look(pair: &Pair) -> GraphView {
    pair.look(|snapshot, names, statements| {
        let words = Vocabulary {
            naming: &Naming::default(),
            names: &Names::of(names),
            statements: &Statements::of(statements),
        };
        WaitGraph::of(snapshot).view(words)
    })
}

/// Expects all of these on the page, in this order, its line breaks aside.
#[track_caller]
fn says(view: &GraphView, expected: &[&str]) {
    let page = first_screen::with_tree(view, None, &Style::default());
    let words: Vec<&str> = page.split_whitespace().collect();
    let mut said = words.join(" ");
    for expected in expected {
        let at = said.find(expected);
        let at = at.unwrap_or_else(|| panic!("{expected:?} is not or too early in {page}"));
        said = said.split_off(at);
    }
}

fn node(view: &GraphView, kind: &str) -> Node {
    let found = view.nodes.iter().find(|node| node.backend_type == kind);
    found
        .unwrap_or_else(|| panic!("no {kind}: {view:#?}"))
        .clone()
}

fn replay_waits_for_a_reader_and_makes_others_queue(major: u32) {
    let pair = Pair::start(&binaries(major));
    let mut reader = pair.standby("report");
    let read_by = pid(&mut reader);
    reader.batch_execute("begin; select * from hot").unwrap();
    pair.primary("migrator")
        .batch_execute("alter table hot add column more int")
        .unwrap();
    pair.until_on_standby(
        "select exists (select from pg_locks where not granted and mode = 'AccessExclusiveLock')",
    );
    let victim = pair.behind_on_standby("victim", "select * from hot");

    let view = look(&pair);

    let replay = node(&view, "startup");
    assert_eq!(replay.state, State::Hidden.name());
    let edges: Vec<(i32, Option<i32>, Option<&str>)> = view
        .edges
        .iter()
        .map(|edge| (edge.waiter, edge.blocker, edge.lock.table.as_deref()))
        .collect();
    let table = Some("public.hot");
    let mut expected = [
        (replay.party.pid.unwrap(), Some(read_by), table),
        (victim.pid, replay.party.pid, table),
    ];
    expected.sort_unstable();
    assert_eq!(edges, expected);
    assert_eq!(view.roots.len(), 1);
    assert_eq!(view.roots[0].pid, Some(read_by));
    assert_eq!(view.chains[0].gate, Some(replay.party.clone()));
    assert_eq!(
        view.chains[0].signature.text,
        "report holds table public.hot, a request of the standby's replay queues"
    );
    assert!(replay.waiting_ms.is_some(), "{replay:#?}");
    says(
        &view,
        &[
            "report idle in transaction 2 sessions behind it, 2 deep",
            "gate, 1 behind replay AccessExclusiveLock",
            "1. Let the replay wait: max_standby_streaming_delay",
            "2. Ask the owner of report",
            "pg_terminate_backend",
        ],
    );
}

fn a_lock_that_is_replayed_stands_in_readers_ways(major: u32) {
    let pair = Pair::start(&binaries(major));
    let mut migrator = pair.primary("migrator");
    migrator
        .batch_execute("begin; alter table hot add column more int")
        .unwrap();
    pair.caught_up();
    pair.until_on_standby(
        "select exists (select from pg_locks where granted and mode = 'AccessExclusiveLock')",
    );
    let victim = pair.behind_on_standby("victim", "select * from hot");

    let view = look(&pair);

    let replay = node(&view, "startup");
    assert_eq!(view.roots, std::slice::from_ref(&replay.party));
    assert_eq!(view.edges[0].waiter, victim.pid);
    assert_eq!(view.edges[0].blocker, replay.party.pid);
    assert_eq!(view.edges[0].lock.table.as_deref(), Some("public.hot"));
    assert_eq!(
        view.chains[0].signature.text,
        "the standby's replay holds table public.hot"
    );
    says(
        &view,
        &[
            "startup replays the primary 1 session behind it",
            "1. Finish the transaction on the primary that has the lock on public.hot.",
            "Nothing is to be signalled on this standby",
        ],
    );
    drop(migrator);
}

fn replay_that_waits_for_a_snapshot_waits_without_a_holder(major: u32) {
    let pair = Pair::start(&binaries(major));
    let mut reader = pair.standby("report");
    reader
        .batch_execute("begin isolation level repeatable read; select * from hot")
        .unwrap();
    let mut cleaner = pair.primary("cleaner");
    cleaner
        .batch_execute("delete from hot where id = 2")
        .unwrap();
    cleaner.batch_execute("vacuum hot").unwrap();
    pair.until_on_standby(
        "select exists (select from pg_stat_activity where wait_event = 'RecoveryConflictSnapshot')",
    );

    let view = look(&pair);

    assert_eq!(view.edges, []);
    let waits: Vec<(&str, usize)> = view
        .without_holder
        .iter()
        .map(|(event, count)| (event.as_str(), *count))
        .collect();
    assert_eq!(waits, [("IPC: RecoveryConflictSnapshot", 1)]);
    says(
        &view,
        &[
            "Nobody waits for a lock at",
            "Waits without a holder 1 session waits for IPC: RecoveryConflictSnapshot",
            "max_standby_streaming_delay",
        ],
    );
}

//! What is offered for each kind of root, as people read it.

use insta::assert_snapshot;

use super::root::literal;
use super::*;
use crate::graph::view::{EdgeKind, GraphView};
use crate::report::fixture::{SYNC_UPDATE, UPDATE_COUNTER};
use crate::report::fixture_graph::{
    autovacuum, graph, node, on_call, prepared, row_queue, table_edge, waiter, worst,
};

/// Writes the steps for every root of a graph, one paragraph each.
fn offered(view: &GraphView) -> String {
    let forest = Forest::new(view);
    let tops: Vec<usize> = forest.tops.clone();
    let tops: Vec<usize> = tops
        .into_iter()
        .filter(|&n| forest.is_in_the_way(n))
        .collect();
    let mut said = String::new();
    for step in steps(&forest, Some(&on_call()), &tops) {
        said.extend(["- ", &step.what, "\n  ", &step.effect, "\n"]);
        for line in &step.statement {
            said.extend(["  ", line, "\n"]);
        }
        let permission = step.permission.iter().map(Permission::words);
        said.extend(permission.flat_map(|words| ["  ".to_owned(), words, "\n".to_owned()]));
    }
    said
}

/// Gives a graph in which one session waits for a table that `root` has.
fn behind(root: Node) -> GraphView {
    let pid = root.party.pid;
    let gid = root.party.gid.clone();
    let mut edge = table_edge(30, 1, "RowExclusiveLock", EdgeKind::Hard);
    (edge.blocker, edge.blocker_gid) = (pid, gid);
    let waiter = waiter(30, "decision", UPDATE_COUNTER, 9_000.0);
    graph(vec![root, waiter], vec![edge])
}

/// Gives a table's queue: who has it, an ALTER that waits for it, a second one, a reader.
fn two_gates() -> GraphView {
    let alter = "ALTER TABLE public.agency ADD COLUMN region text";
    graph(
        vec![
            node(10, "reporting-07", "active", "SELECT 1"),
            waiter(20, "migrator", alter, 9_000.0),
            waiter(21, "janitor", alter, 8_000.0),
            waiter(30, "decision", "SELECT name FROM public.agency", 7_000.0),
        ],
        vec![
            table_edge(20, 10, "AccessExclusiveLock", EdgeKind::Hard),
            table_edge(21, 10, "AccessExclusiveLock", EdgeKind::Hard),
            table_edge(21, 20, "AccessExclusiveLock", EdgeKind::Soft),
            table_edge(30, 20, "AccessShareLock", EdgeKind::Soft),
            table_edge(30, 21, "AccessShareLock", EdgeKind::Soft),
        ],
    )
}

#[test]
fn the_gate_is_cancelled_before_the_root_and_frees_those_who_wait_for_nobody_else() {
    let mut view = worst();
    view.nodes.retain(|node| node.party.pid >= Some(4700));
    view.edges.retain(|edge| edge.waiter >= 4700);
    assert_snapshot!(offered(&view), @r#"
    - Cancel the gate, migrator (4710): it only waits.
      Frees both sessions behind it at once. Costs migrator its ALTER TABLE agency (9.0 s in the queue) and the transaction that it is in; run it again with a lock_timeout.
      SELECT pg_cancel_backend(pid) FROM pg_stat_activity
      WHERE pid = 4710 AND backend_start = '2026-11-23T14:00:30.000000Z';
      This role may not: GRANT pg_signal_backend TO "on call";
    - Cancel the statement of reporting-07 (4700).
      Frees the gate, migrator (4710), at once; 2 more move up. Costs reporting-07 its SELECT from agency and its transaction, open for 180 ms.
      SELECT pg_cancel_backend(pid) FROM pg_stat_activity
      WHERE pid = 4700 AND backend_start = '2026-11-23T14:00:20.000000Z';
      This role may not: GRANT pg_signal_backend TO "on call";
    - If it is still in the way then, end the session reporting-07 (4700).
      Costs it its connection as well; it must reconnect.
      SELECT pg_terminate_backend(pid) FROM pg_stat_activity
      WHERE pid = 4700 AND backend_start = '2026-11-23T14:00:20.000000Z';
      This role may not: GRANT pg_signal_backend TO "on call";
    "#);
}

#[test]
fn a_session_that_is_away_is_asked_and_ended_for_a_cancel_would_not_do() {
    assert_snapshot!(offered(&row_queue()), @r#"
    - Ask the owner of sync-12 (4000) to commit or roll back.
      Frees 1 session at once; 13 more move up. Costs nobody anything.
    - End the session sync-12 (4000); it runs nothing that could be cancelled.
      Frees 1 session at once; 13 more move up. Costs sync-12 its transaction, open for 180 ms; it must reconnect.
      SELECT pg_terminate_backend(pid) FROM pg_stat_activity
      WHERE pid = 4000 AND backend_start = '2026-11-23T14:00:40.000000Z';
      This role may not: GRANT pg_signal_backend TO "on call";
    "#);
}

#[test]
fn an_advisory_lock_outlasts_the_statement_that_is_cancelled() {
    for (state, expected) in [
        ("active", "outlasts that"),
        ("idle", "give advisory lock 42 back"),
    ] {
        let mut view = behind(node(10, "jobs", state, SYNC_UPDATE));
        view.edges[0].lock.kind = "advisory".to_owned();
        view.edges[0].lock.target = "advisory lock 42".to_owned();
        view.edges[0].lock.table = None;
        let said = offered(&view);
        assert!(said.contains(expected), "{said}");
    }
}

#[test]
fn behind_a_gate_with_a_second_one_nobody_is_promised_to_go_on() {
    let said = offered(&two_gates());
    assert!(
        said.contains("Nobody goes on by that alone: the next gate is janitor (21)."),
        "{said}"
    );
}

#[test]
fn a_gate_that_waits_for_two_roots_is_cancelled_once_and_freed_by_neither_alone() {
    let mut view = two_gates();
    view.nodes.retain(|node| node.party.pid != Some(21));
    view.nodes
        .push(node(11, "reporting-08", "active", "SELECT 1"));
    view.edges
        .retain(|edge| edge.waiter != 21 && edge.blocker != Some(21));
    view.edges
        .push(table_edge(20, 11, "AccessExclusiveLock", EdgeKind::Hard));
    let mut view = graph(view.nodes, view.edges);
    for chain in &mut view.chains {
        chain.gate = Some(view.nodes[2].party.clone());
    }
    let said = offered(&view);
    assert_eq!(
        said.matches("Cancel the gate, migrator (20)").count(),
        1,
        "{said}"
    );
    for other in ["reporting-07 (10)", "reporting-08 (11)"] {
        let words = format!("Nobody goes on by that alone: {other} is in the way as well.");
        assert!(said.contains(&words), "{said}");
    }
}

#[test]
fn a_prepared_transaction_is_asked_about_and_rolled_back_by_its_quoted_name_in_its_database() {
    assert_snapshot!(offered(&behind(prepared("o'brien\\\n1"))), @r#"
    - Ask the transaction manager of ledger whether to commit or roll back 'o'brien\ 1'.
      Frees the 1 session behind it at once. Costs nobody anything.
    - Give 'o'brien\ 1' up, connected to the database state.
      Frees the 1 session behind it at once. Costs ledger what it did there, for good; it was promised to be kept.
      ROLLBACK PREPARED E'o''brien\\\u000A1';
      This role may not: only "ledger" or a superuser may.
    "#);
}

#[test]
fn a_routine_vacuum_gives_way_by_itself() {
    assert_snapshot!(offered(&behind(autovacuum(10, Autovacuum::Ordinary))), @r#"
    - Wait: autovacuum worker (10) gives way by itself after deadlock_timeout.
      Frees the 1 session behind it at once. Costs nobody anything.
    - If it does not, cancel autovacuum worker (10).
      Frees the 1 session behind it at once. Costs no application anything: autovacuum starts over later.
      SELECT pg_cancel_backend(pid) FROM pg_stat_activity
      WHERE pid = 10 AND backend_start = '2026-11-23T14:00:10.000000Z';
      This role may not: only a superuser may.
    "#);
}

#[test]
fn a_vacuum_against_wraparound_is_left_alone_as_long_as_can_be() {
    assert_snapshot!(offered(&behind(autovacuum(10, Autovacuum::AgainstWraparound))), @r#"
    - Let autovacuum worker (10) finish, and withdraw what waits for it.
      It keeps the database from running out of transaction ids. How far it is:
      SELECT * FROM pg_stat_progress_vacuum WHERE pid = 10;
    - Only if nothing else will do, cancel autovacuum worker (10).
      Frees the 1 session behind it at once. It comes back within autovacuum_naptime, starts over, and must get through soon.
      SELECT pg_cancel_backend(pid) FROM pg_stat_activity
      WHERE pid = 10 AND backend_start = '2026-11-23T14:00:10.000000Z';
      This role may not: only a superuser may.
    "#);
}

#[test]
fn a_vacuum_that_truncates_is_not_signalled_at_all() {
    assert_snapshot!(offered(&behind(autovacuum(10, Autovacuum::Truncating))), @r#"
    - Wait: autovacuum worker (10) lets go by itself when it sees that others wait.
      If it happens often, set vacuum_truncate = off on that table.
    "#);
}

#[test]
fn a_standby_s_replay_is_not_signalled_but_ended_on_the_primary() {
    let replay = Node {
        backend_type: "startup".to_owned(),
        ..node(10, "startup", "hidden", "")
    };
    assert_snapshot!(offered(&behind(replay)), @r#"
    - Finish the transaction on the primary that has the lock on public.agency.
      Frees the 1 session behind it at once. Nothing is to be signalled on this standby: replay only repeats what the primary did. If it is finished there, replay is late:
      SELECT now() - pg_last_xact_replay_timestamp();
    "#);
}

#[test]
fn a_query_that_holds_up_the_replay_is_ended_or_waited_for() {
    let mut view = behind(node(10, "reporting-07", "active", "SELECT 1"));
    for node in &mut view.nodes {
        if node.party.pid == Some(30) {
            node.backend_type = "startup".to_owned();
        }
    }
    let said = offered(&view);
    assert!(said.contains("max_standby_streaming_delay"), "{said}");
    assert!(said.contains("pg_cancel_backend"), "{said}");
}

#[test]
fn replication_is_asked_about_before_it_is_broken() {
    let walsender = Node {
        backend_type: "walsender".to_owned(),
        ..node(10, "walsender", "active", "")
    };
    assert_snapshot!(offered(&behind(walsender)), @r#"
    - Ask who replicates or takes a backup by walsender (10).
      Frees the 1 session behind it at once. Costs nobody anything.
    - End the replication connection walsender (10).
      Frees the 1 session behind it at once. Its client must reconnect; a slot keeps its place, a base backup starts over.
      SELECT pg_terminate_backend(pid) FROM pg_stat_activity
      WHERE pid = 10 AND backend_start = '2026-11-23T14:00:10.000000Z';
      This role may not: GRANT pg_signal_backend TO "on call";
    "#);
    let apply = Node {
        backend_type: "logical replication apply worker".to_owned(),
        ..node(10, "logical replication apply worker", "active", "")
    };
    let said = offered(&behind(apply));
    assert!(said.contains("ALTER SUBSCRIPTION"), "{said}");
}

#[test]
fn a_reader_for_a_safe_snapshot_may_start_without_one() {
    let mut view = behind(node(10, "billing", "idle in transaction", SYNC_UPDATE));
    view.edges[0].lock.kind = "safe-snapshot".to_owned();
    let said = offered(&view);
    assert!(said.contains("again without DEFERRABLE"), "{said}");
}

#[test]
fn an_owner_that_nothing_explains_gets_an_honest_line_and_no_signal() {
    let gone = Node {
        backend_type: "unknown".to_owned(),
        backend_start: None,
        ..node(10, "", "unknown", "")
    };
    let said = offered(&behind(gone));
    assert!(
        said.contains("Look again: 10 has just begun or just gone."),
        "{said}"
    );
    let unlisted = Node {
        backend_type: "unknown".to_owned(),
        ..prepared("owner 3/292")
    };
    let said = offered(&behind(unlisted));
    assert!(
        said.contains("pg_prepared_xacts") && !said.contains("ROLLBACK"),
        "{said}"
    );
}

#[test]
fn a_plain_name_is_quoted_plainly() {
    assert_eq!(literal("o'brien"), "'o''brien'");
}

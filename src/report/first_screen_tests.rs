//! First screens as people read them.

use insta::assert_snapshot;

use super::*;
use crate::graph::view::EdgeKind;
use crate::report::fixture::UPDATE_COUNTER;
use crate::report::fixture_graph::{
    graph, node, on_call, prepared, row_edge, row_queue, waiter, worst,
};

fn screen(view: &GraphView) -> String {
    render(view, None, &Style::default())
}

/// Gives the screen without its line breaks.
fn said_on_one_line(view: &GraphView) -> String {
    screen(view)
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
}

#[test]
fn a_gate_is_cancelled_before_anybody_is_ended() {
    assert_snapshot!(
        "first_screen_worst",
        render(&worst(), Some(&on_call()), &Style::default())
    );
}

#[test]
fn nobody_blocked_is_one_calm_line() {
    assert_snapshot!(screen(&graph(Vec::new(), Vec::new())), @"Nobody waits for a lock at 14:03:34 UTC.");
}

#[test]
fn a_session_at_work_is_cancelled_first_and_fenced_by_its_start() {
    let view = graph(
        vec![
            node(10, "reporting-07", "active", "SELECT 1"),
            waiter(30, "decision", UPDATE_COUNTER, 2_000.0),
        ],
        vec![row_edge(30, 10, "transactionid", 2_000.0)],
    );
    let page = render(&view, Some(&on_call()), &Style::default());
    assert_snapshot!(page, @r#"
    1 session of 1 system is blocked, the longest for 2.0 s.
      decision 1

    Certain
      reporting-07 (10, active) stands in the way of 1 session, over
      public.state_counter, since 14:03:32: at work for 170 ms.

    Do first, gentlest first
      1. Cancel the statement of reporting-07 (10).
         Frees the 1 session behind it at once. Costs reporting-07 its SELECT $1 and
         its transaction, open for 180 ms.
         SELECT pg_cancel_backend(pid) FROM pg_stat_activity
         WHERE pid = 10 AND backend_start = '2026-11-23T14:00:10.000000Z';
         This role may not: GRANT pg_signal_backend TO "on call";
      2. If it is still in the way then, end the session reporting-07 (10).
         Costs it its connection as well; it must reconnect.
         SELECT pg_terminate_backend(pid) FROM pg_stat_activity
         WHERE pid = 10 AND backend_start = '2026-11-23T14:00:10.000000Z';
         This role may not: GRANT pg_signal_backend TO "on call";
      This role is on call. pgjam does none of this: it only reads.

    Unknown
      Whether it grows: this is one look.
    "#);
    let (cancel, end) = (page.find("pg_cancel"), page.find("pg_terminate"));
    assert!(cancel < end);
}

#[test]
fn every_question_comes_before_every_cancel_and_these_before_every_end() {
    let mut view = worst();
    let (name, mut edge) = ("settle-7", row_edge(50, 1, "transactionid", 90_000.0));
    edge.blocker = None;
    edge.blocker_gid = Some(name.to_owned());
    view.edges.push(edge);
    view.nodes.extend([
        waiter(50, "decision", UPDATE_COUNTER, 90_000.0),
        prepared(name),
    ]);
    let page = screen(&graph(view.nodes, view.edges));
    let last = |word: &str| page.rfind(word).unwrap_or_default();
    let first = |word: &str| page.find(word).unwrap_or(usize::MAX);
    assert!(
        last("Ask the") > 0 && last("Ask the") < first("pg_cancel"),
        "{page}"
    );
    assert!(last("pg_cancel") < first("pg_terminate"), "{page}");
    assert!(last("pg_cancel") < first("ROLLBACK PREPARED '"), "{page}");
}

#[test]
fn who_is_seen_blocked_and_who_is_not_are_added_up() {
    let mut view = row_queue();
    view.unseen.insert("transactionid".to_owned(), 3);
    let page = screen(&view);
    assert!(
        page.starts_with("17 sessions of 5 systems or more are blocked"),
        "{page}"
    );
    view.nodes.clear();
    view.edges.clear();
    let page = screen(&view);
    assert!(
        page.starts_with("3 sessions are blocked, for a time"),
        "{page}"
    );
}

#[test]
fn an_unknown_beginning_is_not_now() {
    let mut view = graph(
        vec![
            node(10, "reporting-07", "active", "SELECT 1"),
            waiter(30, "decision", UPDATE_COUNTER, 0.0),
        ],
        vec![row_edge(30, 10, "transactionid", 0.0)],
    );
    view.nodes[1].waiting_ms = None;
    view.edges[0].waiting_ms = None;
    let page = said_on_one_line(&view);
    assert!(
        page.contains("since when the server does not tell: at work"),
        "{page}"
    );
}

#[test]
fn every_table_that_is_waited_for_is_named() {
    let mut other = row_edge(31, 10, "transactionid", 900.0);
    other.lock.table = Some("public.audit".to_owned());
    other.lock.table_basis = Some("inferred");
    let mut nowhere = row_edge(32, 10, "transactionid", 900.0);
    nowhere.lock.table = None;
    let holder = node(10, "reporting-07", "active", "SELECT 1");
    let waiters = [30, 31, 32].map(|pid| waiter(pid, "decision", UPDATE_COUNTER, 900.0));
    let nodes = [vec![holder], waiters.to_vec()].concat();
    let row = row_edge(30, 10, "transactionid", 900.0);
    let page = said_on_one_line(&graph(nodes, vec![row, other, nowhere]));
    assert!(
        page.contains("over public.audit (inferred) and public.state_counter, among others,"),
        "{page}"
    );
}

#[test]
fn a_cycle_through_the_order_of_a_queue_is_no_certain_deadlock() {
    let mut soft = row_edge(20, 10, "tuple", 800.0);
    soft.kind = EdgeKind::Soft;
    let held = row_edge(20, 10, "tuple", 800.0);
    for (back, certain) in [(soft, false), (held, true)] {
        let mut view = graph(
            vec![
                waiter(10, "sync-01", UPDATE_COUNTER, 900.0),
                waiter(20, "sync-02", UPDATE_COUNTER, 800.0),
            ],
            vec![row_edge(10, 20, "transactionid", 900.0), back],
        );
        view.cycles = vec![vec![10, 20]];
        let page = said_on_one_line(&view);
        assert_eq!(
            page.contains("wait for each other: a deadlock"),
            certain,
            "{page}"
        );
        assert_eq!(
            page.contains("Whether 2 sessions wait for each other"),
            !certain
        );
    }
}

#[test]
fn a_wait_without_a_visible_blocker_is_unknown_and_not_calm() {
    let mut view = graph(Vec::new(), Vec::new());
    view.unseen.insert("IPC: SafeSnapshot".to_owned(), 1);
    let page = screen(&view);
    assert!(page.contains("Who is in the way of 1 session"), "{page}");
    assert!(!page.contains("Nobody waits"));
}

#[test]
fn waits_for_what_nobody_holds_are_counted_and_explained_those_of_most_sessions_first() {
    let mut view = graph(Vec::new(), Vec::new());
    let counts = [
        ("LWLock: WALWrite", 12),
        ("IPC: SyncRep", 30),
        ("BufferPin: BufferPin", 1),
    ];
    view.without_holder = counts.map(|(event, n)| (event.to_owned(), n)).into();
    assert_snapshot!(screen(&view), @r#"
    Nobody waits for a lock at 14:03:34 UTC.

    Waits without a holder
      30 sessions wait for IPC: SyncRep: commits that the synchronous standby has
      yet to confirm: look at pg_stat_replication.
      12 sessions wait for LWLock: WALWrite: an internal lock that passes from hand
      to hand within moments. Many such waits mean a busy server, not somebody in
      the way.
      1 session waits for BufferPin: BufferPin: a page that others have in use, such
      as an open cursor; the server does not say whose.
    "#);
    for n in 0..9 {
        view.without_holder.insert(format!("LWLock: {n}"), 2);
    }
    let page = said_on_one_line(&view);
    let words =
        "30 sessions wait for LWLock: WALWrite 12, LWLock: 0 2, LWLock: 1 2, 7 other events:";
    assert!(page.contains(words), "{page}");
    assert_eq!(page.matches("a busy server").count(), 1, "{page}");
}

#[test]
fn a_role_s_name_cannot_act_on_the_terminal() {
    let hostile = Rights {
        role: "\u{1b}[2J\u{202e}\n".to_owned(),
        ..on_call()
    };
    let page = with_tree(&worst(), Some(&hostile), &Style::default());
    assert!(page.contains("GRANT pg_signal_backend"));
    assert!(!page.contains(['\u{1b}', '\u{202e}', '\r']), "{page}");
}

#[test]
fn roots_beyond_those_that_are_dealt_with_are_counted() {
    let roots = (10..17).map(|pid| node(pid, "sync-01", "active", "SELECT 1"));
    let waiters = (30..37).map(|pid| waiter(pid, "decision", UPDATE_COUNTER, 900.0));
    let edges = (10..17).map(|pid| row_edge(pid + 20, pid, "transactionid", 900.0));
    let page = said_on_one_line(&graph(roots.chain(waiters).collect(), edges.collect()));
    assert!(page.contains("4 more roots are in the way"), "{page}");
}

//! First screens as people read them.

use insta::assert_snapshot;

use super::*;
use crate::report::fixture::UPDATE_COUNTER;
use crate::report::fixture_graph::{graph, node, prepared, row_edge, row_queue, waiter, worst};

fn screen(view: &GraphView) -> String {
    render(view, None, &Style::default())
}

#[test]
fn a_gate_is_cancelled_before_anybody_is_ended() {
    assert_snapshot!(
        "first_screen_worst",
        render(&worst(), Some(false), &Style::default())
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
    let page = render(&view, Some(true), &Style::default());
    assert_snapshot!(page, @r#"
    1 session of 1 system is blocked, the longest for 2.0 s.
      decision 1

    Certain
      reporting-07 (10, active) stands in the way of 1 session, over
      public.state_counter, since 14:03:32: at work, transaction open for 180 ms.

    Do first, gentlest first
      1. Cancel the statement of reporting-07 (10): its transaction fails and must
         be run again.
         SELECT pg_cancel_backend(pid) FROM pg_stat_activity
         WHERE pid = 10 AND backend_start = '2026-11-23T14:00:10.000000Z';
      2. If that does not help, end the session of reporting-07 (10): it must
         reconnect as well.
         SELECT pg_terminate_backend(pid) FROM pg_stat_activity
         WHERE pid = 10 AND backend_start = '2026-11-23T14:00:10.000000Z';
      This role may signal these sessions.

    Unknown
      Whether it grows: this is one look.
    "#);
    let (cancel, end) = (page.find("pg_cancel"), page.find("pg_terminate"));
    assert!(cancel < end);
}

#[test]
fn a_session_that_is_away_is_ended_for_a_cancel_would_not_do() {
    let page = screen(&row_queue());
    assert!(page.contains("pg_terminate_backend(pid)"));
    assert!(!page.contains("pg_cancel_backend"));
    assert!(
        page.contains("AND backend_start = '2026-11-23T14:00:40.000000Z';"),
        "{page}"
    );
}

#[test]
fn a_prepared_transaction_is_rolled_back_by_its_quoted_name() {
    let name = "o'brien\\\n1";
    let mut edge = row_edge(30, 1, "transactionid", 90_000.0);
    edge.blocker = None;
    edge.blocker_gid = Some(name.to_owned());
    let view = graph(
        vec![
            waiter(30, "decision", UPDATE_COUNTER, 90_000.0),
            prepared(name),
        ],
        vec![edge],
    );
    let page = screen(&view);
    assert!(
        page.contains(r"ROLLBACK PREPARED E'o''brien\\\u000A1';"),
        "{page}"
    );
    assert!(!page.contains("pg_terminate"));
}

#[test]
fn a_plain_name_is_quoted_plainly() {
    assert_eq!(literal("o'brien"), "'o''brien'");
}

#[test]
fn a_wait_without_a_visible_blocker_is_unknown_and_not_calm() {
    let mut view = graph(Vec::new(), Vec::new());
    view.unseen.insert("IPC: SafeSnapshot".to_owned(), 1);
    let page = screen(&view);
    assert!(page.contains("Who is in the way of 1 session"), "{page}");
    assert!(!page.contains("Nobody waits"));
}

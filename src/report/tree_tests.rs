//! Trees as people read them.

use insta::assert_snapshot;
use unicode_width::UnicodeWidthStr;

use super::*;
use crate::graph::view::{Autovacuum, Node};
use crate::report::fixture::UPDATE_COUNTER;
use crate::report::fixture_graph::{
    autovacuum, convoy, graph, node, prepared, row_edge, row_queue, table_edge, waiter, worst,
};

fn drawn(view: &GraphView) -> String {
    let page = render(view, &Style::default());
    for line in page.lines() {
        assert!(line.width() <= 80, "{line}");
    }
    page
}

#[test]
fn the_worst_root_comes_first_and_its_queue_below_it() {
    assert_snapshot!("tree_worst", drawn(&worst()));
}

#[test]
fn nobody_waiting_is_one_calm_line() {
    assert_snapshot!(drawn(&graph(Vec::new(), Vec::new())), @"Nobody waits for a lock at 14:03:34 UTC.");
}

#[test]
fn six_hundred_waiters_on_one_row_make_one_page() {
    let page = drawn(&convoy(600));
    assert!(page.lines().count() < 30);
    assert_snapshot!("tree_convoy", page);
}

#[test]
fn a_waiter_with_two_holders_stands_once_and_is_referred_to_once() {
    let view = graph(
        vec![
            node(10, "sync-01", "idle in transaction", "SELECT 1"),
            node(20, "sync-02", "active", "SELECT 2"),
            waiter(30, "decision", UPDATE_COUNTER, 500.0),
            waiter(31, "intake-01", UPDATE_COUNTER, 400.0),
        ],
        vec![
            row_edge(30, 10, "transactionid", 500.0),
            row_edge(31, 10, "transactionid", 400.0),
            row_edge(30, 20, "transactionid", 500.0),
        ],
    );
    let page = drawn(&view);
    assert_eq!(page.matches("30 decision").count(), 1);
    assert_snapshot!(page, @r#"
    ● 10 sync-01  idle in transaction  2 sessions behind it
    │    the application is away for 170 ms, its transaction open for 180 ms
    │    last ran SELECT 1
    │    holds rows of public.state_counter, hits decision 1, intake-01 1
    ├─ 30 decision             500 ms   UPDATE state_counter  ShareLock on a row
    └─ 31 intake-01            400 ms   UPDATE state_counter  ShareLock on a row
    ● 20 sync-02  active  1 session behind it
    │    at work for 170 ms
    │    SELECT 2
    │    holds rows of public.state_counter, hits decision 1
    └─ 30 waits for it too, shown elsewhere
    "#);
}

#[test]
fn a_deadlock_is_called_one() {
    let mut view = graph(
        vec![
            waiter(10, "sync-01", UPDATE_COUNTER, 700.0),
            waiter(20, "sync-02", UPDATE_COUNTER, 650.0),
            waiter(30, "decision", UPDATE_COUNTER, 400.0),
        ],
        vec![
            row_edge(10, 20, "transactionid", 700.0),
            row_edge(20, 10, "transactionid", 650.0),
            row_edge(30, 10, "tuple", 400.0),
        ],
    );
    view.cycles = vec![vec![10, 20]];
    assert_snapshot!(drawn(&view), @r#"
    deadlock 10 → 20 → 10  the server breaks it after deadlock_timeout
    ● 10 sync-01  active  3 sessions behind it
    │    part of a deadlock
    │    UPDATE public.state_counter SET total = total + $1, changed_at = now() WHE…
    └─ 30 decision             400 ms   UPDATE state_counter  ExclusiveLock on a row
    ● 20 sync-02  active  3 sessions behind it
    │    part of a deadlock
    │    UPDATE public.state_counter SET total = total + $1, changed_at = now() WHE…
    "#);
}

#[test]
fn a_prepared_transaction_is_a_root_with_a_name() {
    let mut edge = row_edge(30, 1, "transactionid", 90_000.0);
    edge.blocker = None;
    edge.blocker_gid = Some("settle-2026-11-23".to_owned());
    edge.lock.table_basis = Some("inferred");
    let view = graph(
        vec![
            waiter(30, "decision", UPDATE_COUNTER, 90_000.0),
            prepared("settle-2026-11-23"),
        ],
        vec![edge],
    );
    assert_snapshot!(drawn(&view), @r#"
    ● 'settle-2026-11-23' ledger  prepared  1 session behind it
    │    prepared 3 h 12 min ago; ends only by COMMIT or ROLLBACK PREPARED
    │    holds rows of public.state_counter, hits decision 1
    └─ 30 decision             1 min 30 s  UPDATE state_counter  ShareLock on a row…
    "#);
}

#[test]
fn a_long_chain_is_cut_with_a_count() {
    let nodes = std::iter::once(node(1, "sync-01", "active", "SELECT 1"))
        .chain((2..=600).map(|pid| waiter(pid, "decision", UPDATE_COUNTER, f64::from(pid))))
        .collect();
    let edges = (2..=600)
        .map(|pid| row_edge(pid, pid - 1, "transactionid", f64::from(pid)))
        .collect();
    let page = drawn(&graph(nodes, edges));
    assert!(page.lines().count() < 15);
    assert!(page.contains("591 sessions deeper"), "{page}");
}

#[test]
fn a_graph_that_contradicts_itself_is_still_drawn() {
    let mut view = row_queue();
    // Everybody waits for the next, nobody is a root, and no cycle is told.
    view.edges = (4000..4014)
        .map(|pid| row_edge(pid, if pid == 4013 { 4000 } else { pid + 1 }, "tuple", 1.0))
        .chain([
            row_edge(9, 4000, "tuple", 1.0),
            row_edge(4000, 4000, "tuple", 1.0),
        ])
        .collect();
    assert!(drawn(&view).contains("behind it"));
}

#[test]
fn an_order_that_is_not_sure_is_marked_and_explained_once() {
    let mut view = worst();
    for edge in &mut view.edges {
        match edge.waiter {
            4720 => edge.certainty = Certainty::NearTie,
            4721 => edge.certainty = Certainty::Unknown,
            _ => {}
        }
    }
    view.nodes
        .iter_mut()
        .filter(|node| node.party.pid == Some(4721))
        .for_each(|node| node.ahead = 2);
    let page = drawn(&view);
    let last: Vec<&str> = page.lines().rev().take(3).collect();
    assert_snapshot!(last.join("\n"), @r#"
    order unknown: since when they wait is not told, or the server moved the queue
       └─ 4721 decision        6.1 s    order unknown  SELECT from agency  AccessSh…
       ├─ 4720 intake-02       7.4 s    order unsure  SELECT from agency  AccessSha…
    "#);
}

#[test]
fn a_parallel_query_that_waits_for_its_own_workers_is_no_root_and_no_loop() {
    let mut edge = row_edge(10, 10, "extend", 3.0);
    edge.lock.target = "the end of a table's file".to_owned();
    let view = graph(
        vec![waiter(10, "etl", "INSERT INTO facts SELECT 1", 3.0)],
        vec![edge],
    );
    let view = GraphView {
        roots: Vec::new(),
        ..view
    };
    assert_snapshot!(drawn(&view), @r#"
    ● 10 etl  active  nobody behind it
    │    its parallel workers take turns to extend public.state_counter
    │    INSERT INTO facts SELECT 1
    "#);
}

#[test]
fn what_has_no_table_is_named_in_words() {
    let holder = node(10, "sync-01", "idle in transaction", "SELECT 1");
    let locks = [
        ("advisory", Some("ExclusiveLock"), "advisory lock 42"),
        (
            "object",
            Some("AccessExclusiveLock"),
            "the lock of commits that NOTIFY",
        ),
        ("safe-snapshot", None, "safe snapshot"),
        ("relation", Some("AccessShareLock"), "table"),
    ];
    let waiters = (20..).zip(locks);
    let (nodes, edges): (Vec<_>, Vec<_>) = waiters
        .map(|(pid, (kind, mode, target))| {
            let mut edge = row_edge(pid, 10, kind, 500.0);
            edge.lock.mode = mode.map(ToOwned::to_owned);
            edge.lock.target = target.to_owned();
            (edge.lock.table, edge.lock.table_basis) = (None, None);
            (waiter(pid, "decision", "COMMIT", 500.0), edge)
        })
        .unzip();
    let page = drawn(&graph([vec![holder], nodes].concat(), edges));
    assert_snapshot!(page, @r#"
    ● 10 sync-01  idle in transaction  4 sessions behind it
    │    the application is away for 170 ms, its transaction open for 180 ms
    │    last ran SELECT 1
    │    holds advisory lock 42, hits decision 4
    ├─ 20 decision             500 ms   COMMIT  ExclusiveLock on advisory lock 42
    ├─ 21 decision             500 ms   COMMIT  AccessExclusiveLock on the lock of …
    ├─ 22 decision             500 ms   COMMIT  safe snapshot
    └─ 23 decision             500 ms   COMMIT  AccessShareLock on a table
    "#);
}

#[test]
fn who_is_no_application_goes_by_what_it_does() {
    let replay = Node {
        backend_type: "startup".to_owned(),
        ..node(10, "startup", "hidden", "")
    };
    let queries = (20..24).map(|pid| waiter(pid, "decision", "SELECT 1", 500.0));
    let vacuum = autovacuum(11, Autovacuum::AgainstWraparound);
    let nodes = [vec![replay, vacuum], queries.collect()].concat();
    let edges = vec![
        table_edge(20, 10, "AccessShareLock", EdgeKind::Hard),
        table_edge(21, 10, "AccessShareLock", EdgeKind::Hard),
        table_edge(22, 11, "ShareUpdateExclusiveLock", EdgeKind::Hard),
    ];
    assert_snapshot!(drawn(&graph(nodes, edges)), @r#"
    ● 10 startup  replays the primary  2 sessions behind it
    │    the primary's transaction has this lock here until its end is replayed
    │    holds table public.agency, hits decision 2
    ├─ 20 decision             500 ms   SELECT $1  AccessShareLock on public.agency
    └─ 21 decision             500 ms   SELECT $1  AccessShareLock on public.agency
    ● 11 autovacuum worker  against wraparound  1 session behind it
    │    keeps transaction ids from running out; gives way to nobody
    │    autovacuum: VACUUM public.state_counter
    │    holds table public.agency, hits decision 1
    └─ 22 decision             500 ms   SELECT $1  ShareUpdateExclusiveLock on publ…
    "#);
}

#[test]
fn texts_cannot_leave_their_line() {
    let hostile = "\u{1b}[2J\r\n\u{7}\u{202e}'\"<script>".repeat(2_000);
    let mut view = row_queue();
    for node in &mut view.nodes {
        node.query = Some(hostile.clone());
        node.system = Some(hostile.clone());
    }
    for edge in &mut view.edges {
        edge.lock.table = Some(hostile.chars().take(200).collect());
    }
    let page = drawn(&view);
    assert!(!page.contains(['\u{1b}', '\u{7}', '\u{202e}', '\r']));
}

//! Situations by name, each drawn as entries of the lock table.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod chains;
mod order;

use super::*;
use crate::pg::{Oid, Xid};
use crate::sample::{LockTarget, PaceReason, Prepared, SafeSnapshotWait, State, Tick};
use crate::time::Timestamp;

/// Microseconds after which everything in these tests is looked at.
const NOW: Timestamp = Timestamp::from_micros(10_000_000);

fn session(pid: i32) -> Session {
    Session {
        pid: Pid(pid),
        backend_start: Timestamp::default(),
        leader_pid: None,
        backend_type: "client backend".into(),
        database: Some(Oid(1)),
        role: None,
        application_name: "".into(),
        client_addr: None,
        state: State::Active,
        wait_event_type: Some("Lock".into()),
        wait_event: None,
        query_id: None,
        statement: None,
        tags: None,
        xact_start: None,
        query_start: Some(Timestamp::default()),
        state_change: None,
        backend_xid: None,
        backend_xmin: None,
    }
}

fn target(locktype: &str, relation: Option<u32>, number: Option<u32>) -> LockTarget {
    LockTarget {
        locktype: locktype.into(),
        database: relation.map(|_| Oid(1)),
        relation: relation.map(Oid),
        page: None,
        tuple: None,
        virtualxid: None,
        transactionid: number.map(Xid),
        classid: None,
        objid: None,
        objsubid: None,
    }
}

fn table(oid: u32) -> LockTarget {
    target("relation", Some(oid), None)
}

fn xid(number: u32) -> LockTarget {
    target("transactionid", None, Some(number))
}

/// Draws an entry of the lock table: a request since so many milliseconds, or a hold.
fn entry(pid: i32, target: LockTarget, mode: LockMode, waits_since: Option<i64>) -> Lock {
    Lock {
        owner: format!("owner/{pid}").into(),
        pid: Some(Pid(pid)),
        target,
        mode,
        granted: waits_since.is_none(),
        fastpath: false,
        waitstart: waits_since.map(|ms| Timestamp::from_micros(1_000 * ms)),
    }
}

fn holds(pid: i32, target: LockTarget, mode: LockMode) -> Lock {
    entry(pid, target, mode, None)
}

fn snapshot(locks: Vec<Lock>) -> Snapshot {
    let mut pids: Vec<i32> = locks
        .iter()
        .filter_map(|lock| lock.pid)
        .map(|pid| pid.0)
        .collect();
    pids.sort_unstable();
    pids.dedup();
    Snapshot {
        tick: Tick {
            at: NOW,
            span: Span::from_millis(100),
            place: Span::from_millis(100),
            server: Span::ZERO,
            missed: 0,
            deadlock_timeout: Tick::DEADLOCK_TIMEOUT,
            period: Span::from_millis(100),
            pace: PaceReason::Fixed,
        },
        sessions: pids.into_iter().map(session).collect(),
        locks,
        prepared: vec![],
        safe_snapshots: vec![],
    }
}

/// One row, its holder, the head of its queue and `waiters` − 1 more.
fn row_queue(waiters: i32) -> Snapshot {
    let row = target("tuple", Some(7), None);
    let mut locks = vec![
        holds(1, xid(100), Exclusive),
        holds(2, row.clone(), Exclusive),
        entry(2, xid(100), Share, Some(10)),
    ];
    locks.extend((3..waiters + 2).map(|pid| {
        let since = 10 + 2 * i64::from(pid);
        entry(pid, row.clone(), Exclusive, Some(since))
    }));
    snapshot(locks)
}

/// Checks every edge and every waiter's blame.
///
/// An edge is written `2 => 1` (hard), `3 -> 2` (soft and sure), `3 ~> 2` (a near tie) or
/// `3 ?> 2` (unknown), blame `3: 1=0.50 2=0.50`.
fn check(snapshot: &Snapshot, edges: &[&str], blame: &[&str]) {
    let graph = WaitGraph::of(snapshot);
    let name = |node: NodeIndex| graph.party(node).to_string();
    let mut nodes: Vec<NodeIndex> = graph.graph.node_indices().collect();
    nodes.sort_by_key(|&node| graph.party(node).clone());
    let mut drawn = Vec::new();
    let mut blamed = Vec::new();
    for node in nodes {
        for wait in graph.waits(node) {
            drawn.extend(
                wait.hard
                    .iter()
                    .map(|&to| format!("{} => {}", name(node), name(to))),
            );
            drawn.extend(graph.soft(wait).iter().map(|to| {
                let arrow = match to.certainty {
                    Certainty::Sure => "->",
                    Certainty::NearTie => "~>",
                    Certainty::Unknown => "?>",
                };
                format!("{} {arrow} {}", name(node), name(to.node))
            }));
        }
        if !graph.waits(node).is_empty() {
            let mut shares: Vec<String> = graph
                .blame(node)
                .iter()
                .map(|&(root, share)| format!("{}={share:.2}", name(root)))
                .collect();
            shares.sort();
            blamed.push(format!("{}: {}", name(node), shares.join(" ")));
            let sum: f64 = graph.blame(node).iter().map(|&(_, share)| share).sum();
            assert!(
                (sum - 1.0).abs() < 1e-9,
                "shares of {} sum to {sum}",
                name(node)
            );
        }
    }
    drawn.sort();
    assert_eq!(drawn, edges);
    assert_eq!(blamed, blame);
}

use LockMode::{
    AccessExclusive, AccessShare, Exclusive, RowExclusive, Share, ShareUpdateExclusive,
};

#[test]
fn a_queue_for_a_row_blames_its_holder() {
    let row = target("tuple", Some(7), None);
    let locks = vec![
        holds(1, xid(100), Exclusive),
        holds(2, row.clone(), Exclusive),
        entry(2, xid(100), Share, Some(10)),
        entry(3, row.clone(), Exclusive, Some(20)),
        entry(4, row, Exclusive, Some(30)),
    ];
    check(
        &snapshot(locks),
        &["2 => 1", "3 => 2", "4 -> 3", "4 => 2"],
        &["2: 1=1.00", "3: 1=1.00", "4: 1=1.00"],
    );
}

#[test]
fn readers_behind_a_ddl_blame_the_long_reader_before_it() {
    let locks = vec![
        holds(1, table(7), AccessShare),
        entry(2, table(7), AccessExclusive, Some(10)),
        entry(3, table(7), AccessShare, Some(20)),
        entry(4, table(7), AccessShare, Some(30)),
    ];
    check(
        &snapshot(locks),
        &["2 => 1", "3 -> 2", "4 -> 2"],
        &["2: 1=1.00", "3: 1=1.00", "4: 1=1.00"],
    );
}

#[test]
fn a_compatible_holder_is_not_in_the_way() {
    let locks = vec![
        holds(1, table(7), RowExclusive),
        holds(2, table(7), AccessShare),
        entry(3, table(7), Share, Some(10)),
    ];
    check(&snapshot(locks), &["3 => 1"], &["3: 1=1.00"]);
}

#[test]
fn two_share_holders_split_the_wait() {
    let locks = vec![
        holds(1, table(7), AccessShare),
        holds(2, table(7), AccessShare),
        entry(3, table(7), AccessExclusive, Some(10)),
    ];
    check(
        &snapshot(locks),
        &["3 => 1", "3 => 2"],
        &["3: 1=0.50 2=0.50"],
    );
}

#[test]
fn who_holds_a_conflicting_lock_goes_ahead_in_the_queue() {
    // 3 came later than 2, but holds what 2 waits for, and so is put before it.
    let locks = vec![
        holds(1, table(7), ShareUpdateExclusive),
        holds(3, table(7), AccessShare),
        entry(2, table(7), AccessExclusive, Some(10)),
        entry(3, table(7), ShareUpdateExclusive, Some(20)),
    ];
    check(
        &snapshot(locks),
        &["2 => 1", "2 => 3", "3 => 1"],
        &["2: 1=1.00", "3: 1=1.00"],
    );
}

#[test]
fn a_deadlock_keeps_its_time_to_itself_and_nobody_is_in_their_own_way() {
    let locks = vec![
        holds(1, xid(1), Exclusive),
        holds(2, xid(2), Exclusive),
        entry(1, xid(2), Share, Some(10)),
        entry(2, xid(1), Share, Some(20)),
        entry(3, xid(1), Share, Some(30)),
    ];
    check(
        &snapshot(locks),
        &["1 => 2", "2 => 1", "3 => 1"],
        &["1: 2=1.00", "2: 1=1.00", "3: 1=0.50 2=0.50"],
    );
}

#[test]
fn a_fast_path_entry_makes_no_edge() {
    let stale = Lock {
        fastpath: true,
        ..holds(1, table(7), RowExclusive)
    };
    let locks = vec![
        stale,
        holds(2, table(7), RowExclusive),
        entry(3, table(7), Share, Some(10)),
    ];
    check(&snapshot(locks), &["3 => 2"], &["3: 2=1.00"]);
}

#[test]
fn a_parallel_worker_waits_as_its_leader() {
    let locks = vec![
        holds(1, table(7), AccessExclusive),
        entry(3, table(7), AccessShare, Some(10)),
    ];
    let mut snapshot = snapshot(locks);
    let worker = snapshot
        .sessions
        .iter_mut()
        .find(|session| session.pid == Pid(3))
        .unwrap();
    worker.leader_pid = Some(Pid(2));
    check(&snapshot, &["2 => 1"], &["2: 1=1.00"]);
}

#[test]
fn a_prepared_transaction_is_a_root_with_a_gid() {
    let prepared = Lock {
        pid: None,
        owner: "3/292".into(),
        ..holds(0, xid(50), Exclusive)
    };
    let mut snapshot = snapshot(vec![prepared, entry(3, xid(50), Share, Some(10))]);
    snapshot.prepared.push(Prepared {
        transaction: Xid(50),
        gid: "transfer-9".into(),
        prepared: Timestamp::default(),
        owner: Oid(10),
        database: Oid(1),
    });
    check(&snapshot, &["3 => transfer-9"], &["3: transfer-9=1.00"]);
}

#[test]
fn a_stale_start_of_a_wait_is_no_start() {
    let locks = vec![
        holds(1, table(7), AccessExclusive),
        entry(3, table(7), AccessShare, Some(10)),
    ];
    let mut snapshot = snapshot(locks);
    snapshot.sessions[1].query_start = Some(Timestamp::from_micros(10_001));
    let graph = WaitGraph::of(&snapshot);
    let node = graph.find(Pid(3)).unwrap();
    assert_eq!(graph.waited(&graph.waits(node)[0]), None);
}

#[test]
fn a_lock_table_without_waits_is_an_empty_graph() {
    let snapshot = snapshot(vec![holds(1, table(7), AccessExclusive)]);
    let graph = WaitGraph::of(&snapshot);
    assert!(graph.roots().is_empty());
    assert_eq!(graph.find(Pid(1)), None);
}

#[test]
fn a_chain_reaches_its_root_through_the_last_hop() {
    let locks = vec![
        holds(1, xid(1), Exclusive),
        holds(2, xid(2), Exclusive),
        entry(2, xid(1), Share, Some(10)),
        entry(3, xid(2), Share, Some(20)),
    ];
    let snapshot = snapshot(locks);
    let graph = WaitGraph::of(&snapshot);
    let [one, two, three] = [1, 2, 3].map(|pid| graph.find(Pid(pid)).unwrap());
    assert_eq!(graph.last_hop(three, one), Some(two));
    assert_eq!(graph.last_hop(two, one), Some(two));
    assert_eq!(graph.last_hop(one, three), None);
}

#[test]
fn who_waits_for_nobody_that_was_seen_is_no_root_and_no_deadlock() {
    let snapshot = snapshot(vec![
        entry(2, xid(1), Share, Some(10)),
        holds(2, table(7), AccessExclusive),
        entry(3, table(7), AccessShare, Some(20)),
    ]);
    let graph = WaitGraph::of(&snapshot);
    let two = graph.find(Pid(2)).unwrap();
    assert!(graph.roots().is_empty());
    assert!(!graph.is_in_cycle(two));
}

#[test]
fn a_transaction_that_reads_only_when_it_is_safe_waits_for_the_writers() {
    let mut snapshot = snapshot(vec![
        holds(9, xid(1), Exclusive),
        entry(2, xid(1), Share, Some(10)),
    ]);
    snapshot.safe_snapshots = [(7, 2), (7, 8), (7, 0)]
        .map(|(waiter, blocker)| SafeSnapshotWait {
            waiter: Pid(waiter),
            blocker: Pid(blocker),
        })
        .into();
    snapshot.sessions.extend([session(7), session(8)]);
    let graph = WaitGraph::of(&snapshot);
    let seven = graph.find(Pid(7)).unwrap();
    let mut blamed: Vec<String> = graph
        .blame(seven)
        .iter()
        .map(|&(root, share)| format!("{:?} {share:.2}", graph.party(root)))
        .collect();
    blamed.sort();
    assert_eq!(
        blamed,
        [
            "Backend(Pid(8)) 0.33",
            "Backend(Pid(9)) 0.33",
            "Unlisted(\"a prepared transaction\") 0.33",
        ]
    );
    assert!(graph.waits(seven).is_empty());
    assert!(graph.is_blocked(seven));
    assert_eq!(graph.waiting(seven), Some(Span::from_secs(10)));
    assert_eq!(graph.behind()[graph.find(Pid(9)).unwrap().index()], 2);
}

#[test]
fn the_workers_of_one_query_conflict_about_extending_a_table_and_nothing_else() {
    for (locktype, waits) in [("extend", true), ("relation", false)] {
        let table = target(locktype, Some(7), None);
        let mut snapshot = snapshot(vec![
            holds(1, table.clone(), Exclusive),
            entry(2, table, Exclusive, Some(10)),
        ]);
        snapshot.sessions[1].leader_pid = Some(Pid(1));
        let graph = WaitGraph::of(&snapshot);
        let leader = graph.find(Pid(2)).unwrap();
        assert_eq!(graph.waits(leader)[0].within_group, waits, "{locktype}");
        assert_eq!(graph.is_blocked(leader), waits, "{locktype}");
        assert!(!graph.is_in_cycle(leader));
        assert_eq!(graph.cycles().count(), 0);
    }
}

//! What it takes to read a queue off the lock table: graph, roots and everybody's blame.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use pgjam::graph::WaitGraph;
use pgjam::pg::{LockMode, Oid, Pid, Xid};
use pgjam::sample::{Lock, LockTarget, PaceReason, Session, Snapshot, State, Tick};
use pgjam::time::{Span, Timestamp};

const NOW: Timestamp = Timestamp::from_micros(1_763_900_000_000_000);

fn session(pid: i32, waits: bool) -> Session {
    Session {
        pid: Pid(pid),
        backend_start: NOW - Span::from_secs(60),
        leader_pid: None,
        backend_type: "client backend".into(),
        database: Some(Oid(5)),
        role: None,
        application_name: "intake".into(),
        client_addr: None,
        state: State::Active,
        wait_event_type: waits.then(|| "Lock".into()),
        wait_event: waits.then(|| "tuple".into()),
        query_id: None,
        statement: None,
        tags: None,
        xact_start: Some(NOW - Span::from_secs(20)),
        query_start: Some(NOW - Span::from_secs(20)),
        state_change: Some(NOW - Span::from_secs(20)),
        backend_xid: None,
        backend_xmin: None,
    }
}

fn target(locktype: &str) -> LockTarget {
    LockTarget {
        locktype: locktype.into(),
        database: None,
        relation: None,
        page: None,
        tuple: None,
        virtualxid: None,
        transactionid: None,
        classid: None,
        objid: None,
        objsubid: None,
    }
}

fn entry(pid: i32, target: LockTarget, mode: LockMode, waits: bool) -> Lock {
    let since = NOW - Span::from_secs(10) + Span::from_millis(i64::from(pid));
    Lock {
        owner: format!("{pid}/1").into(),
        pid: Some(Pid(pid)),
        target,
        mode,
        granted: !waits,
        fastpath: false,
        waitstart: waits.then_some(since),
    }
}

/// Draws `waiters` on one row, and `others` entries of transactions that are in nobody's way.
fn row_queue(waiters: i32, others: i32) -> Snapshot {
    let xid = LockTarget {
        transactionid: Some(Xid(700)),
        ..target("transactionid")
    };
    let row = LockTarget {
        database: Some(Oid(5)),
        relation: Some(Oid(16_384)),
        page: Some(0),
        tuple: Some(1),
        ..target("tuple")
    };
    let mut locks = vec![
        entry(1, xid.clone(), LockMode::Exclusive, false),
        entry(2, row.clone(), LockMode::Exclusive, false),
        entry(2, xid, LockMode::Share, true),
    ];
    locks.extend((3..waiters + 2).map(|pid| entry(pid, row.clone(), LockMode::Exclusive, true)));
    let table = |n: i32| LockTarget {
        database: Some(Oid(5)),
        relation: Some(Oid(20_000 + n.unsigned_abs())),
        ..target("relation")
    };
    locks.extend((0..others).map(|n| {
        entry(
            1 + n % (waiters + 1),
            table(n),
            LockMode::RowExclusive,
            false,
        )
    }));
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
        sessions: (1..waiters + 2).map(|pid| session(pid, pid > 1)).collect(),
        locks,
        prepared: Vec::new(),
        safe_snapshots: Vec::new(),
    }
}

/// Reads a snapshot and blames every waiter; gives the blame of all, which is their number.
fn read(snapshot: &Snapshot) -> f64 {
    let graph = WaitGraph::of(snapshot);
    black_box(graph.roots());
    let nodes = snapshot
        .sessions
        .iter()
        .filter_map(|session| graph.find(session.pid));
    nodes
        .flat_map(|node| graph.blame(node).iter().map(|(_, share)| *share))
        .sum()
}

fn queues(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("one row");
    for waiters in [10, 100, 600, 1_000, 10_000] {
        let snapshot = row_queue(waiters, 0);
        group.throughput(Throughput::Elements(u64::from(waiters.unsigned_abs())));
        group.bench_with_input(BenchmarkId::new("waiters", waiters), &snapshot, |b, s| {
            b.iter(|| read(s));
        });
    }
    group.finish();

    // Twenty entries for each waiter, as where many relations are locked before the row.
    let mut group = criterion.benchmark_group("one row, 20 lock entries a waiter: graph and roots");
    for waiters in [1_000, 2_000, 5_000, 10_000] {
        let snapshot = row_queue(waiters, 19 * waiters);
        group.throughput(Throughput::Elements(u64::from(waiters.unsigned_abs())));
        group.bench_with_input(BenchmarkId::new("waiters", waiters), &snapshot, |b, s| {
            b.iter(|| WaitGraph::of(s).roots());
        });
    }
    group.finish();
}

criterion_group!(benches, queues);
criterion_main!(benches);

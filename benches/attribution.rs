//! What it takes to conclude from a recording: 10 looks a second at 30 active sessions.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use pgjam::attribution::diagnose;
use pgjam::pg::{LockMode, Oid, Pid, QueryId, Version, Xid};
use pgjam::recording::Recording;
use pgjam::sample::{
    Counters, Lock, LockTarget, Name, NameKind, PaceReason, Server, Session, Snapshot, State,
    StatementCounters, StatementText, Tick,
};
use pgjam::statement::{self, Statement};
use pgjam::system::Naming;
use pgjam::time::{Span, Timestamp};

const START: Timestamp = Timestamp::from_micros(1_763_900_000_000_000);
const SESSIONS: i32 = 30;
const TEXTS: [&str; 6] = [
    "UPDATE inbox SET decided = true WHERE id = 1",
    "UPDATE inbox SET county = 'x' WHERE id = 1",
    "INSERT INTO log VALUES (1)",
    "SELECT * FROM orders WHERE id = 1",
    "SELECT count(*) FROM orders",
    "DELETE FROM outbox WHERE id = 1",
];

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

/// One tick: a holder that is away, a third of the others waiting for it in a queue.
fn snapshot(tick: i32, statements: &[Statement]) -> Snapshot {
    let at = START + Span::from_millis(i64::from(tick) * 100);
    let waits = |n: i32| n > 0 && n <= SESSIONS / 3;
    // The later half connects in the middle of the first minute.
    let connected = |n: i32| START + Span::from_secs(if n % 2 == 0 { -60 } else { 30 });
    let session = |n: i32| Session {
        pid: Pid(100 + n),
        backend_start: connected(n),
        leader_pid: None,
        backend_type: "client backend".into(),
        database: Some(Oid(5)),
        role: None,
        application_name: format!("county-{:02}", n % 12).into(),
        client_addr: None,
        state: if n == 0 {
            State::IdleInTransaction
        } else {
            State::Active
        },
        wait_event_type: waits(n).then(|| "Lock".into()),
        wait_event: waits(n).then(|| "tuple".into()),
        query_id: None,
        statement: Some(statements[(n + tick).unsigned_abs() as usize % TEXTS.len()].id),
        tags: None,
        xact_start: Some(at - Span::from_millis(300)),
        query_start: Some(at - Span::from_millis(200)),
        state_change: Some(at - Span::from_millis(200)),
        backend_xid: Some(Xid(700 + (tick + n).unsigned_abs())),
        backend_xmin: None,
    };
    let entry = |n: i32, target: LockTarget, mode, granted: bool| Lock {
        owner: format!("{n}/1").into(),
        pid: Some(Pid(100 + n)),
        target,
        mode,
        granted,
        fastpath: false,
        waitstart: (!granted).then(|| at - Span::from_millis(200 - i64::from(n))),
    };
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
        entry(0, xid.clone(), LockMode::Exclusive, true),
        entry(1, row.clone(), LockMode::Exclusive, true),
        entry(1, xid, LockMode::Share, false),
    ];
    locks.extend((2..=SESSIONS / 3).map(|n| entry(n, row.clone(), LockMode::Exclusive, false)));
    let there = (0..=SESSIONS).filter(|&n| connected(n) <= at);
    Snapshot {
        tick: Tick {
            at,
            span: Span::from_millis(100),
            place: Span::from_millis(100),
            server: Span::from_micros(900),
            missed: 0,
            deadlock_timeout: Tick::DEADLOCK_TIMEOUT,
            period: Span::from_millis(100),
            pace: PaceReason::Fixed,
        },
        sessions: there.map(session).collect(),
        locks,
        prepared: Vec::new(),
        safe_snapshots: Vec::new(),
    }
}

fn counters(look: i32) -> Counters {
    let at = START + Span::from_secs(i64::from(look) * 2);
    let row = |n: i64| StatementCounters {
        at,
        database: Oid(5),
        query_id: QueryId(n),
        calls: Some(i64::from(look) * (40 + n + i64::from(look) % 3)),
        exec_ms: 0.0,
        rows: 0,
        blocks_hit: 0,
        blocks_read: 0,
        wal_bytes: 0,
    };
    let rows = (0..).zip(TEXTS).map(|(n, _)| row(n)).collect();
    Counters { at, rows }
}

fn recording(minutes: i32) -> Recording {
    let statements: Vec<Statement> = TEXTS
        .iter()
        .map(|text| statement::read(text.as_bytes()))
        .collect();
    let text = |(n, statement): (i64, &Statement)| StatementText {
        id: statement.id,
        database: Some(Oid(5)),
        query_id: Some(QueryId(n)),
        text: statement.text.clone(),
        parsed: statement.parsed,
    };
    let server = Server {
        version_num: Version(150_018),
        system_identifier: None,
        in_recovery: false,
        started_at: START,
        address: "db:5432/shared".to_owned(),
        has_statements: true,
    };
    Recording {
        snapshots: (0..minutes * 600)
            .map(|tick| snapshot(tick, &statements))
            .collect(),
        counters: (0..=minutes * 30).map(counters).collect(),
        statements: (0..).zip(&statements).map(text).collect(),
        names: vec![Name {
            database: Some(Oid(5)),
            table: Some(Oid(16_384)),
            ..Name::new(NameKind::Relation, Oid(16_384), "public.inbox")
        }],
        ..Recording::empty(server)
    }
}

fn recordings(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("diagnose");
    group.sample_size(10);
    for minutes in [1, 5, 20] {
        let recording = recording(minutes);
        let rows: usize = recording.snapshots.iter().map(|s| s.sessions.len()).sum();
        group.throughput(Throughput::Elements(rows as u64));
        group.bench_with_input(BenchmarkId::new("minutes", minutes), &recording, |b, r| {
            b.iter(|| diagnose(r, &Naming::default()));
        });
    }
    group.finish();
}

criterion_group!(benches, recordings);
criterion_main!(benches);

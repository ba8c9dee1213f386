//! Whatever the rows say, there is a conclusion, and it keeps the contract.

use std::sync::Arc;

use pgjam::attribution::diagnose;
use pgjam::pg::{LockMode, Oid, Pid, QueryId, Xid};
use pgjam::recording::Recording;
use pgjam::report::{Report, json};
use pgjam::sample::{
    Counters, Declared, Lock, LockTarget, PaceReason, Prepared, SafeSnapshotWait, Session,
    Snapshot, State, StatementCounters, Tick,
};
use pgjam::statement::StatementId;
use pgjam::system::Naming;
use pgjam::time::{Span, Timestamp};
use proptest::option::of;
use proptest::prelude::*;
use proptest::sample::select;

use crate::look;
use crate::simulator::at;
use crate::story::story;

fn instant() -> impl Strategy<Value = Timestamp> {
    (-20_000_000_i64..60_000_000).prop_map(at)
}

fn word(words: &'static [&'static str]) -> impl Strategy<Value = Arc<str>> {
    select(words).prop_map(Arc::from)
}

fn session(statements: Vec<StatementId>) -> impl Strategy<Value = Session> {
    let who = (
        1..7_i32,
        instant(),
        of(1..7_i32),
        word(&[
            "client backend",
            "client backend",
            "client backend",
            "parallel worker",
            "autovacuum worker",
        ]),
        of(1..3_u32),
        word(&["a", "b", "c", "", "psql", "pgjam"]),
    );
    let what = (
        word(&[
            "active",
            "active",
            "active",
            "idle",
            "idle in transaction",
            "hidden",
            "?",
        ]),
        of(word(&[
            "Lock",
            "Lock",
            "LWLock",
            "IO",
            "Client",
            "IPC",
            "Extension",
        ])),
        of(word(&[
            "transactionid",
            "tuple",
            "WALWrite",
            "SyncRep",
            "page",
            "",
        ])),
        of(select(statements)),
        (of(instant()), of(instant()), of(instant())),
        of(1..5_u32),
    );
    (who, what).prop_map(
        |(
            (pid, start, leader, kind, database, app),
            (state, wait, event, statement, times, xid),
        )| Session {
            pid: Pid(pid),
            backend_start: start,
            leader_pid: leader.filter(|_| &*kind == "parallel worker").map(Pid),
            backend_type: kind,
            database: database.map(Oid),
            role: None,
            application_name: app,
            client_addr: None,
            state: State::from_name(&state),
            wait_event_type: wait,
            wait_event: event,
            query_id: None,
            statement,
            tags: None,
            xact_start: times.0,
            query_start: times.1,
            state_change: times.2,
            backend_xid: xid.map(Xid),
            backend_xmin: None,
        },
    )
}

fn lock() -> impl Strategy<Value = Lock> {
    let kinds = word(&[
        "transactionid",
        "transactionid",
        "tuple",
        "relation",
        "advisory",
        "page",
        "spectoken",
        "object",
        "?",
    ]);
    let entry = (of(1..7_i32), kinds, of(1..4_u32), of(1..4_u32));
    let more = (
        select(&LockMode::ALL[..]),
        any::<bool>(),
        any::<bool>(),
        of(instant()),
    );
    (entry, more).prop_map(
        |((pid, kind, relation, xid), (mode, granted, fastpath, waitstart))| Lock {
            owner: format!("1/{}", pid.unwrap_or(0)).into(),
            pid: pid.map(Pid),
            target: LockTarget {
                relation: relation.map(Oid),
                transactionid: xid.map(Xid),
                ..look::target(&kind)
            },
            mode,
            granted,
            fastpath: fastpath && granted,
            waitstart,
        },
    )
}

fn snapshot(statements: Vec<StatementId>) -> impl Strategy<Value = Snapshot> {
    let prepared =
        (1..4_u32, word(&["x", "y"]), instant()).prop_map(|(xid, gid, prepared)| Prepared {
            transaction: Xid(xid),
            gid,
            prepared,
            owner: Oid(1),
            database: Oid(1),
        });
    let safe_snapshot = (0..6_i32, 0..6_i32).prop_map(|(waiter, blocker)| SafeSnapshotWait {
        waiter: Pid(waiter),
        blocker: Pid(blocker),
    });
    (
        instant(),
        0..600_i64,
        0..4_u32,
        prop::collection::vec(session(statements), 0..7),
        prop::collection::vec(lock(), 0..10),
        prop::collection::vec(prepared, 0..2),
        prop::collection::vec(safe_snapshot, 0..3),
    )
        .prop_map(
            |(at, span, missed, sessions, locks, prepared, safe_snapshots)| Snapshot {
                tick: Tick {
                    at,
                    span: Span::from_millis(span),
                    place: Span::from_millis(span / 2),
                    server: Span::from_micros(700),
                    missed,
                    deadlock_timeout: Tick::DEADLOCK_TIMEOUT,
                    period: Span::from_millis(100),
                    pace: PaceReason::Fixed,
                },
                sessions,
                locks,
                prepared,
                safe_snapshots,
            },
        )
}

fn counters(query_ids: Vec<QueryId>) -> impl Strategy<Value = Counters> {
    let row = (1..3_u32, select(query_ids), 0..500_i64);
    (instant(), prop::collection::vec(row, 0..6)).prop_map(|(at, rows)| Counters {
        at,
        rows: rows
            .into_iter()
            .map(|(database, query_id, calls)| StatementCounters {
                at,
                database: Oid(database),
                query_id,
                calls: Some(calls),
                exec_ms: 1.0,
                rows: 0,
                blocks_hit: 0,
                blocks_read: 0,
                wal_bytes: 0,
            })
            .collect(),
    })
}

/// Recordings in order of time or not, of which no two rows need agree.
fn recording() -> impl Strategy<Value = Recording> {
    let base = look::nothing_yet(&story(0));
    let mut statements: Vec<StatementId> = base.statements.iter().map(|s| s.id).collect();
    // One of which the text was never had.
    statements.push(StatementId(9));
    let query_ids: Vec<QueryId> = base.statements.iter().filter_map(|s| s.query_id).collect();
    let declared = instant().prop_map(|at| Declared {
        at,
        label: "deploy".into(),
    });
    (
        prop::collection::vec(snapshot(statements), 0..40),
        prop::collection::vec(counters(query_ids), 0..25),
        prop::collection::vec(declared, 0..2),
        any::<bool>(),
    )
        .prop_map(move |(mut snapshots, mut counters, declared, in_order)| {
            if in_order {
                snapshots.sort_by_key(|snapshot| snapshot.tick.at);
                counters.sort_by_key(|counters| counters.at);
            }
            Recording {
                snapshots,
                counters,
                declared,
                ..base.clone()
            }
        })
}

#[test]
fn any_rows_give_a_conclusion_that_keeps_the_contract() {
    let schema = include_str!("../../reports/pgjam.diagnosis.schema.json");
    let contract = jsonschema::validator_for(&serde_json::from_str(schema).unwrap()).unwrap();
    let config = ProptestConfig {
        cases: 96,
        failure_persistence: None,
        max_shrink_iters: 300,
        ..ProptestConfig::default()
    };
    proptest!(config, |(recording in recording())| {
        let diagnosis = diagnose(&recording, &Naming::default());
        for share in [diagnosis.unattributed_share, diagnosis.named_share] {
            prop_assert!((0.0..=1.0).contains(&share), "{share}");
        }
        for effect in diagnosis.events.iter().filter_map(|event| event.effect.as_ref()) {
            prop_assert!((0.0..=1.0).contains(&effect.share_of_waits), "{effect:?}");
            prop_assert!(effect.db_seconds.is_finite());
        }
        let points = diagnosis.load.iter().chain(&diagnosis.latency).flat_map(|series| &series.points);
        for value in points.filter_map(|(_, value)| *value) {
            prop_assert!(value.is_finite() && value >= 0.0, "{value}");
        }
        for finding in &diagnosis.findings {
            if let Some(kept) = finding.rank_stability {
                prop_assert!((0.0..=1.0).contains(&kept));
            }
            let states = finding.cause.blocker.iter().flat_map(|b| b.state.values());
            prop_assert!(states.into_iter().all(|share| (0.0..=1.0 + 1e-9).contains(share)));
        }
        let document = serde_json::from_str(&json::render(&Report::new(diagnosis))).unwrap();
        let complaints: Vec<String> = contract
            .iter_errors(&document)
            .map(|error| format!("{}: {error}", error.instance_path()))
            .collect();
        prop_assert!(complaints.is_empty(), "{complaints:?}");
    });
}

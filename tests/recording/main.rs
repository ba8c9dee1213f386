//! Recordings and the world around them: a disk with limits, engines that are not ours.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod engine;
mod engines;
mod limit;

use pgjam::pg::{Oid, Pid, QueryId, Version};
use pgjam::sample::{PaceReason, Server, Session, Snapshot, State, Tick};
use pgjam::time::{Span, Timestamp};

/// 2026-11-23T14:59:00Z.
const START: Timestamp = Timestamp::from_micros(1_795_445_940_000_000);

fn server() -> Server {
    Server {
        version_num: Version(150_018),
        system_identifier: Some("7312345678901234567".to_owned()),
        in_recovery: false,
        started_at: START,
        address: "localhost:5432/app".to_owned(),
        has_statements: true,
    }
}

/// A tick of some number, ten a second, at which so many sessions were seen: a third are idle.
fn snapshot(number: i64, sessions: i32) -> Snapshot {
    let at = START + Span::from_millis(number * 100);
    let session = |nth: i32| Session {
        pid: Pid(1_000 + nth),
        backend_start: START - Span::from_secs(i64::from(nth)),
        leader_pid: None,
        backend_type: "client backend".into(),
        database: Some(Oid(16_384)),
        role: Some(Oid(10)),
        application_name: format!("sync-{:02}", nth % 7).into(),
        client_addr: Some("10.0.0.7".into()),
        state: if nth % 3 == 0 {
            State::Idle
        } else {
            State::Active
        },
        wait_event_type: (nth % 3 == 1).then(|| "Lock".into()),
        wait_event: (nth % 3 == 1).then(|| "transactionid".into()),
        query_id: Some(QueryId(i64::from(nth % 5))),
        statement: None,
        tags: None,
        xact_start: Some(at - Span::from_micros(i64::from(nth) * 997 + 31)),
        query_start: Some(at - Span::from_micros(i64::from(nth) * 997)),
        state_change: Some(at - Span::from_micros(i64::from(nth) * 997)),
        backend_xid: None,
        backend_xmin: None,
    };
    Snapshot {
        tick: Tick {
            at,
            span: Span::from_millis(100),
            place: Span::from_millis(100),
            server: Span::from_micros(412),
            missed: u32::from(number % 10 == 3),
            deadlock_timeout: Tick::DEADLOCK_TIMEOUT,
            period: Span::from_millis(100),
            pace: PaceReason::Fixed,
        },
        sessions: (0..sessions).map(session).collect(),
        locks: Vec::new(),
        prepared: Vec::new(),
        safe_snapshots: Vec::new(),
    }
}

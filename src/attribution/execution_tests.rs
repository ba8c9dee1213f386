//! Executions told apart, and how long they took.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use super::*;
use crate::pg::{Oid, Pid};
use crate::sample::{PaceReason, Tick};

fn at(ms: i64) -> Timestamp {
    Timestamp::from_micros(1_763_900_000_000_000) + Span::from_millis(ms)
}

/// A session with when its statement began, when its state changed, and when its transaction began.
fn session(state: State, statement: u64, start: i64, change: i64, xact: Option<i64>) -> Session {
    Session {
        pid: Pid(4_000),
        backend_start: at(-60_000),
        leader_pid: None,
        backend_type: "client backend".into(),
        database: Some(Oid(5)),
        role: None,
        application_name: "decision".into(),
        client_addr: None,
        state,
        wait_event_type: None,
        wait_event: None,
        query_id: None,
        statement: Some(StatementId(statement)),
        tags: None,
        xact_start: xact.map(at),
        query_start: Some(at(start)),
        state_change: Some(at(change)),
        backend_xid: None,
        backend_xmin: None,
    }
}

/// Follows one session over looks of a millisecond, and gives the lengths of its executions in
/// milliseconds and which of them each look shows.
fn check(looks: &[(i64, Option<Session>)], expected: &[(i64, Option<i64>)], shown: &[Option<u32>]) {
    let snapshot = |(ms, session): &(i64, Option<Session>)| Snapshot {
        tick: Tick {
            at: at(*ms),
            span: Span::from_millis(100),
            place: Span::ZERO,
            server: Span::from_millis(1),
            missed: 0,
            deadlock_timeout: Tick::DEADLOCK_TIMEOUT,
            period: Span::from_millis(100),
            pace: PaceReason::Fixed,
        },
        sessions: session.iter().cloned().collect(),
        locks: Vec::new(),
        prepared: Vec::new(),
        safe_snapshots: Vec::new(),
    };
    let snapshots: Vec<Snapshot> = looks.iter().map(snapshot).collect();
    // Two minutes of which the samples are gone come first.
    let executions = Executions::of(&snapshots, 2, |_| None);
    let told: Vec<(Span, Option<Span>)> = executions
        .all
        .iter()
        .map(|execution| (execution.length.at_least, execution.length.at_most))
        .collect();
    let millis =
        |&(low, high): &(i64, Option<i64>)| (Span::from_millis(low), high.map(Span::from_millis));
    assert_eq!(told, expected.iter().map(millis).collect::<Vec<_>>());
    let seen: Vec<Option<u32>> = (2..2 + looks.len())
        .map(|look| executions.of_row(look, 0))
        .collect();
    assert_eq!(seen, shown);
    assert_eq!(executions.of_row(0, 0), None);
}

use State::{Active, Idle, IdleInTransaction};

#[test]
fn a_session_that_is_idle_tells_exactly_when_its_statement_ended() {
    let looks = [
        (0, Some(session(Active, 1, -40, -40, Some(-40)))),
        (100, Some(session(Active, 1, -40, -40, Some(-40)))),
        (200, Some(session(Idle, 1, -40, 130, None))),
        (300, None),
    ];
    check(&looks, &[(170, Some(170))], &[Some(0), Some(0), None, None]);
}

#[test]
fn what_no_look_saw_under_way_is_told_once_when_it_has_ended() {
    let away = session(IdleInTransaction, 1, 20, 60, Some(20));
    let looks = [
        (0, None),
        (100, Some(away.clone())),
        (200, Some(away)),
        (300, Some(session(Idle, 2, 290, 291, None))),
    ];
    check(&looks, &[(40, Some(40)), (1, Some(1))], &[None; 4]);
}

#[test]
fn what_began_later_in_a_session_bounds_what_was_before() {
    let next = session(Active, 2, 150, 150, Some(-40));
    let looks = [
        (100, Some(session(Active, 1, -40, -40, Some(-40)))),
        (200, Some(next)),
    ];
    check(&looks, &[(140, Some(190)), (50, None)], &[Some(0), Some(1)]);
    // The next transaction began before the statement that is seen of it.
    let next = session(Idle, 3, 150, 151, Some(120));
    let looks = [
        (100, Some(session(Active, 1, -40, -40, Some(-40)))),
        (200, Some(next)),
    ];
    check(&looks, &[(140, Some(160)), (1, Some(1))], &[Some(0), None]);
}

#[test]
fn one_that_is_gone_at_the_next_look_had_ended_by_then() {
    let looks = [
        (100, Some(session(Active, 1, -40, -40, Some(-40)))),
        (200, None),
        (300, None),
    ];
    check(&looks, &[(140, Some(241))], &[Some(0), None, None]);
}

#[test]
fn one_that_is_under_way_at_the_end_has_no_bound() {
    let looks = [(100, Some(session(Active, 1, -40, -40, Some(-40))))];
    check(&looks, &[(140, None)], &[Some(0)]);
}

#[test]
fn an_execution_is_a_backend_a_start_and_a_statement() {
    // A string of statements has one start; a backend's pid may come back.
    let looks = [
        (100, Some(session(Active, 1, 50, 50, Some(50)))),
        (200, Some(session(Active, 2, 50, 50, Some(50)))),
    ];
    check(&looks, &[(50, Some(151)), (150, None)], &[Some(0), Some(1)]);
    let mut other = session(Active, 1, 50, 50, Some(50));
    other.backend_start = at(20);
    let looks = [
        (100, Some(session(Active, 1, 50, 50, Some(50)))),
        (200, Some(other)),
    ];
    check(&looks, &[(50, Some(151)), (150, None)], &[Some(0), Some(1)]);
}

#[test]
fn executions_are_found_by_their_victim() {
    let rows = [
        session(Active, 1, -40, -40, None),
        session(Active, 2, 10, 10, None),
    ];
    let snapshots = Vec::from(rows.clone().map(|row| Snapshot {
        tick: Tick {
            at: at(50),
            span: Span::from_millis(100),
            place: Span::ZERO,
            server: Span::ZERO,
            missed: 0,
            deadlock_timeout: Tick::DEADLOCK_TIMEOUT,
            period: Span::from_millis(100),
            pace: PaceReason::Fixed,
        },
        sessions: vec![row],
        locks: Vec::new(),
        prepared: Vec::new(),
        safe_snapshots: Vec::new(),
    }));
    let executions = Executions::of(&snapshots, 0, |_| None);
    let victim = VictimKey {
        database: rows[1].database,
        statement: rows[1].statement,
    };
    let found: Vec<&Execution> = executions.of_victim(&victim).collect();
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].start, rows[1].query_start.unwrap());
    assert!(!found[0].is_exact());
}

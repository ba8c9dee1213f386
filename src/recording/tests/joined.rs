//! A watch with what was recorded before it.

use super::*;
use crate::sample::Counters;

const SECOND: i64 = 1_000_000;

fn looked(seconds: &[i64]) -> Recording {
    let snapshots = seconds.iter().map(|second| snapshot(second * SECOND, 2));
    Recording {
        snapshots: snapshots.collect(),
        ..Recording::empty(server())
    }
}

fn counted(second: i64, entries: &[(i64, i64)]) -> Counters {
    let at = at(second * SECOND);
    let row = |&(query_id, calls): &(i64, i64)| StatementCounters {
        at,
        database: Oid(1),
        query_id: QueryId(query_id),
        calls: Some(calls),
        exec_ms: 1.0,
        rows: 0,
        blocks_hit: 0,
        blocks_read: 0,
        wal_bytes: 0,
    };
    Counters {
        at,
        rows: entries.iter().map(row).collect(),
    }
}

/// Gives the calls that each look tells of an entry: `-` nothing, `?` that they are unknown.
fn told(recording: &Recording, query_id: i64) -> String {
    let of = |look: &Counters| {
        let row = look
            .rows
            .iter()
            .find(|row| row.query_id == QueryId(query_id));
        row.map_or("-".to_owned(), |row| {
            row.calls.map_or("?".to_owned(), |calls| calls.to_string())
        })
    };
    let looks: Vec<String> = recording.counters.iter().map(of).collect();
    looks.join(" ")
}

#[test]
fn what_came_before_is_put_in_front_once_and_no_further_back_than_asked() {
    let earlier = looked(&[0, 50, 90, 99, 101, 110]);
    let mut watch = looked(&[100, 101, 102]);
    assert!(watch.precede(earlier, Span::from_secs(60)));
    let seconds = watch
        .snapshots
        .iter()
        .map(|look| look.tick.at.as_micros() - START);
    let seconds: Vec<i64> = seconds.map(|micros| micros / SECOND).collect();
    assert_eq!(seconds, [50, 90, 99, 100, 101, 102]);
}

#[test]
fn what_is_of_another_server_or_another_time_is_no_baseline() {
    let mut watch = looked(&[100]);
    let mut other = looked(&[99]);
    other.server.system_identifier = Some("1".to_owned());
    assert!(!watch.precede(other, Span::from_secs(60)));
    assert!(!watch.precede(looked(&[0, 10, 120]), Span::from_secs(60)));
    assert!(!watch.precede(Recording::empty(server()), Span::from_secs(60)));
    assert_eq!(watch, looked(&[100]));
}

#[test]
fn a_sum_since_long_ago_is_no_growth() {
    let mut earlier = looked(&[90]);
    earlier.counters = vec![
        counted(10, &[(1, 5), (2, 500)]),
        counted(90, &[(1, 7)]),
        counted(95, &[(1, 9), (3, 40)]),
    ];
    let mut watch = looked(&[100]);
    watch.counters = vec![
        counted(100, &[(1, 10), (2, 500), (3, 41)]),
        counted(101, &[(1, 11)]),
    ];
    assert!(watch.precede(earlier, Span::from_secs(60)));
    assert_eq!(told(&watch, 1), "7 9 10 11");
    // Changed before the stretch, and not in it.
    assert_eq!(told(&watch, 2), "- ? 500 -");
    // New in the stretch, or changed for the first time: nobody knows.
    assert_eq!(told(&watch, 3), "? 40 41 -");
}

#[test]
fn what_was_declared_into_both_is_told_once() {
    let event = |second: i64| Declared {
        at: at(second * SECOND),
        label: "deploy".into(),
    };
    let mut earlier = looked(&[90, 110]);
    earlier.declared = vec![event(1), event(95), event(101)];
    let mut watch = looked(&[100, 102]);
    watch.declared = vec![event(101)];
    assert!(watch.precede(earlier, Span::from_secs(60)));
    assert_eq!(watch.declared, [event(95), event(101)]);
}

//! Pieces of a recording: those that are read, and those that may stay.

use super::*;
use crate::sample::Counters;

const HOUR: i64 = 3_600_000_000;

/// A tick in each of some hours, with a text, a name and a declared event in the first.
fn hours(folder: &Path, count: i64) -> Writer {
    let mut writer = Writer::create(folder, &server()).unwrap();
    for hour in 0..count {
        writer.take(snapshot(hour * HOUR, 3).into());
        if hour == 0 {
            let of = recording();
            writer.take(Entry::Statement(of.statements[0].clone()));
            writer.take(Entry::Name(of.names[0].clone()));
            writer.take(Entry::Declared(of.declared[0].clone()));
        }
        writer.seal().unwrap();
    }
    writer
}

fn ticks(recording: &Recording) -> Vec<i64> {
    let ticks = recording.snapshots.iter();
    ticks
        .map(|seen| (seen.tick.at.as_micros() - START) / HOUR)
        .collect()
}

#[test]
fn a_window_has_its_rows_and_what_they_refer_to() {
    let folder = tempfile::tempdir().unwrap();
    drop(hours(folder.path(), 30));
    let window = Window {
        from: at(25 * HOUR),
        to: at(27 * HOUR),
    };
    let read = Recording::open_within(folder.path(), window).unwrap();
    assert_eq!(ticks(&read), [25, 26, 27]);
    assert_eq!(read.snapshots[1], snapshot(26 * HOUR, 3));
    assert_eq!((read.statements.len(), read.names.len()), (1, 1));
    assert_eq!((read.declared.len(), read.losses.len()), (0, 0));
}

#[test]
fn of_all_texts_a_window_has_those_that_it_mentions() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = hours(folder.path(), 3);
    let mut other = recording().statements[0].clone();
    other.id = StatementId(4_711);
    other.query_id = None;
    writer.take(Entry::Statement(other));
    writer.finish().unwrap();
    let window = Window {
        from: at(HOUR),
        to: at(2 * HOUR),
    };
    let texts = |read: Recording| read.statements.len();
    assert_eq!(
        texts(Recording::open_within(folder.path(), window).unwrap()),
        1
    );
    assert_eq!(texts(Recording::open(folder.path()).unwrap()), 2);
}

#[test]
fn other_hours_are_not_even_opened() {
    let folder = tempfile::tempdir().unwrap();
    drop(hours(folder.path(), 4));
    for part in &parts(&folder.path().join("sessions"))[..2] {
        fs::write(part, "torn").unwrap();
    }
    let window = Window::last(folder.path(), Span::from_micros(HOUR)).unwrap();
    let read = Recording::open_within(folder.path(), window).unwrap();
    assert_eq!((ticks(&read), read.losses), (vec![2, 3], vec![]));
}

#[test]
fn within_an_hour_a_window_is_exact_to_the_microsecond() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = Writer::create(folder.path(), &server()).unwrap();
    for micros in 0..10 {
        writer.take(snapshot(micros, 2).into());
    }
    writer.flush().unwrap();
    let window = Window {
        from: at(3),
        to: at(5),
    };
    for _ in 0..2 {
        let read = Recording::open_within(folder.path(), window).unwrap();
        assert_eq!(read.snapshots, [3, 4, 5].map(|micros| snapshot(micros, 2)));
        assert_eq!(read.losses, []);
        // Of the segment, then of the part.
        writer.seal().unwrap();
    }
}

#[test]
fn more_than_fits_is_refused_with_what_would_fit() {
    let folder = tempfile::tempdir().unwrap();
    drop(hours(folder.path(), 10));
    // Each hour has three sessions and a lock.
    let hour = (3 * size_of::<Session>() + size_of::<Lock>()) as u64;
    let refused = Recording::open_bounded(folder.path(), Window::ALL, 5 * hour).unwrap_err();
    let RecordingError::TooLarge { bytes, fits, .. } = refused else {
        panic!("{refused}")
    };
    assert_eq!((bytes, fits), (10 * hour, Span::from_secs(5 * 3_600)));
    let window = Window::last(folder.path(), fits).unwrap();
    let read = Recording::open_bounded(folder.path(), window, 8 * hour).unwrap();
    assert_eq!(ticks(&read), [4, 5, 6, 7, 8, 9]);
}

#[test]
fn hours_that_may_not_stay_go_and_what_the_rest_refers_to_does_not() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = hours(folder.path(), 30);
    let before = Recording::open(folder.path()).unwrap();
    writer.take(Entry::Limits(Limits {
        retention: Retention {
            raw_age: Some(Span::from_micros(3 * HOUR)),
            ..Retention::default()
        },
        ..Limits::default()
    }));
    while writer.upkeep() {}
    let read = Recording::open(folder.path()).unwrap();
    assert_eq!(ticks(&read), [26, 27, 28, 29]);
    assert_eq!(read.snapshots, before.snapshots[26..]);
    assert_eq!(
        (&read.statements, &read.names),
        (&before.statements, &before.names)
    );
    assert_eq!(
        (&read.declared, &read.losses),
        (&before.declared, &before.losses)
    );
    assert!(!folder.path().join(".merging").exists());
    let days = fs::read_dir(folder.path().join("sessions/server=7312345678901234567"));
    assert_eq!(days.unwrap().count(), 1, "empty days go too");
}

#[test]
fn whoever_reads_while_hours_go_sees_no_tick_without_its_sessions() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = hours(folder.path(), 20);
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            while !done.load(std::sync::atomic::Ordering::Relaxed) {
                let read = Recording::open(folder.path()).unwrap();
                assert!(read.snapshots.iter().all(|seen| seen.sessions.len() == 3));
                assert_eq!(read.losses, []);
            }
        });
        for hours in (0..19).rev() {
            // Each at another time, so that it is looked again whether there is too much.
            let mut late = snapshot(20 * HOUR + (20 - hours) * 300_000_000, 3);
            late.tick.missed = 0;
            writer.take(late.into());
            writer.take(Entry::Limits(Limits {
                retention: Retention {
                    raw_age: Some(Span::from_micros(hours * HOUR)),
                    ..Retention::default()
                },
                ..Limits::default()
            }));
            writer.seal().unwrap();
            writer.upkeep();
        }
        done.store(true, std::sync::atomic::Ordering::Relaxed);
        reader.join().unwrap();
    });
}

/// A look that tells the calls of some entries.
fn counted(micros: i64, entries: &[(i64, i64)]) -> Counters {
    let row = |&(query_id, calls): &(i64, i64)| StatementCounters {
        at: at(micros),
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
        at: at(micros),
        rows: entries.iter().map(row).collect(),
    }
}

/// Gives the calls that a look told, by entry.
fn calls(look: &[StatementCounters]) -> Vec<(i64, Option<i64>)> {
    let calls = look.iter().map(|row| (row.query_id.0, row.calls));
    calls.collect()
}

#[test]
fn counters_in_mid_hour_begin_with_how_they_stood_then() {
    const SECOND: i64 = 1_000_000;
    let folder = tempfile::tempdir().unwrap();
    let mut writer = Writer::create(folder.path(), &server()).unwrap();
    // The hour turns one second after the start.
    for (second, entries) in [
        (0, &[(1, 3)][..]),
        (10, &[(1, 5), (2, 700)]),
        (20, &[(1, 6)]),
        (40, &[(1, 9), (3, 2)]),
    ] {
        writer.take(Entry::Counters(counted(second * SECOND, entries)));
    }
    writer.take(snapshot(35 * SECOND, 1).into());
    writer.finish().unwrap();
    let window = Window {
        from: at(30 * SECOND),
        ..Window::ALL
    };
    let read = Recording::open_within(folder.path(), window).unwrap();
    let [before, after] = &read.counters[..] else {
        panic!("{:?}", read.counters)
    };
    assert_eq!(before.at, at(20 * SECOND));
    assert_eq!(calls(&before.rows), [(1, Some(6)), (2, Some(700))]);
    assert_eq!(calls(&after.rows), [(1, Some(9)), (3, Some(2))]);
}

//! Sums of minutes become sums of hours and of days, and nobody notices.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::*;
use crate::recording::rows::PerMinute;
use crate::recording::{Account, Charge, Minute, RolledUp};

const MINUTE: i64 = 60_000_000;
const HOUR: i64 = 60 * MINUTE;

/// Midnight, as the stage counts: it begins one second before 15 o'clock.
const MIDNIGHT: i64 = 9 * HOUR + 1_000_000;

/// So many minutes of a day are watched: every second one of its first twelve hours.
const MINUTES: i64 = 360;

fn account(number: i64) -> Account {
    Account {
        database: Some(Oid(16_384)),
        statement: Some(StatementId(u64::MAX - number.unsigned_abs() % 3)),
        system: Some(format!("sync-{:02}", number % 5).into()),
        class: "row-lock".into(),
        table_name: Some("public.inbox".into()),
        held_table: None,
        basis: None,
        lock_type: None,
        lock_mode: None,
        blocker: "system".into(),
        blocker_system: Some(format!("sync-{:02}", number % 7).into()),
        blocker_gid: None,
        blocker_state: Some("active".into()),
        blocker_statement: None,
        blocker_basis: None,
        through_system: None,
        through_statement: None,
    }
}

/// The minutes of a day, each with charges and counters of its own.
fn minutes() -> Vec<RolledUp> {
    let mut calls = [100_i64; 3];
    let minute = |number: i64| {
        let begins = MIDNIGHT + 2 * number * MINUTE + 3_000_000 + noise(number, 900_000);
        let ends = MIDNIGHT + 2 * (number + 1) * MINUTE + 3_000_000 + noise(number + 1, 900_000);
        let mut accounts: Vec<i64> = (0..4).map(|n| noise(number * 10 + n, 11)).collect();
        accounts.sort_unstable();
        accounts.dedup();
        let mut cells: Vec<Charge> = accounts
            .into_iter()
            .map(|n| Charge {
                at: at(begins),
                account: account(n).into(),
                spent_us: Span::from_micros(1 + noise(number + n, 9_000_000)),
                ticks: 1 + u32::try_from(n).unwrap(),
                waited_us: (n % 2 == 0).then(|| Span::from_micros(noise(n * number, 5_000_000))),
            })
            .collect();
        cells.sort_by(|a, b| a.account.cmp(&b.account));
        let counters = (0..3).map(|entry| {
            let own = &mut calls[usize::try_from(entry).unwrap()];
            *own += noise(number + entry, 50);
            StatementCounters {
                at: at(ends),
                database: Oid(16_384),
                query_id: QueryId(entry),
                calls: Some(*own),
                exec_ms: 2.0 * *own as f64,
                rows: *own,
                blocks_hit: 0,
                blocks_read: 0,
                wal_bytes: 0,
            }
        });
        RolledUp {
            minute: Minute {
                at: at(begins),
                until: at(ends),
                ticks: 600,
                missed: u32::from(number % 7 == 0),
                span_us: Span::from_micros(59_000_000 + noise(number, 999)),
                watched_us: Span::from_micros(58_000_000 + noise(number, 99)),
                server_us: Span::from_micros(300_000 + number),
                blocked: u32::try_from(noise(number, 20)).unwrap(),
                counted: Some(at(ends)),
            },
            cells,
            counters: counters.collect(),
        }
    };
    (0..MINUTES).map(minute).collect()
}

/// Sums them as the definition says: by hour or by day, and by account.
fn summed(minutes: &[RolledUp], by: i64) -> Vec<RolledUp> {
    let mut rows: BTreeMap<i64, Vec<&RolledUp>> = BTreeMap::new();
    for minute in minutes {
        let row = (minute.minute.at.as_micros() - START - MIDNIGHT) / by;
        rows.entry(row).or_default().push(minute);
    }
    let sum = |all: &dyn Fn(&Minute) -> i64, of: &[&RolledUp]| {
        let all = of.iter().map(|one| all(&one.minute));
        Span::from_micros(all.sum())
    };
    rows.into_values()
        .map(|of| {
            let (first, last) = (of[0], of[of.len() - 1]);
            let at = first.minute.at;
            let mut cells: BTreeMap<Arc<Account>, Charge> = BTreeMap::new();
            for cell in of.iter().flat_map(|one| &one.cells) {
                let none = Charge {
                    at,
                    spent_us: Span::ZERO,
                    ticks: 0,
                    waited_us: None,
                    ..cell.clone()
                };
                let sum = cells.entry(cell.account.clone()).or_insert(none);
                sum.spent_us += cell.spent_us;
                sum.ticks += cell.ticks;
                sum.waited_us = sum.waited_us.max(cell.waited_us);
            }
            RolledUp {
                minute: Minute {
                    at,
                    until: last.minute.until,
                    ticks: of.iter().map(|one| one.minute.ticks).sum(),
                    missed: of.iter().map(|one| one.minute.missed).sum(),
                    span_us: sum(&|one| one.span_us.as_micros(), &of),
                    watched_us: sum(&|one| one.watched_us.as_micros(), &of),
                    server_us: sum(&|one| one.server_us.as_micros(), &of),
                    blocked: of.iter().map(|one| one.minute.blocked).max().unwrap(),
                    counted: last.minute.counted,
                },
                cells: cells.into_values().collect(),
                counters: last.counters.clone(),
            }
        })
        .collect()
}

/// Writes minutes in many parts, and lets the day be long over.
fn written(minutes: &[RolledUp]) -> (tempfile::TempDir, Writer) {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = Writer::create(folder.path(), &server()).unwrap();
    for some in minutes.chunks(50) {
        for minute in some {
            writer.take(Entry::Minute(Box::new(minute.clone())));
        }
        writer.seal().unwrap();
    }
    writer.take(Entry::Counters(Counters {
        at: at(MIDNIGHT + 50 * HOUR),
        rows: Vec::new(),
    }));
    writer.seal().unwrap();
    (folder, writer)
}

fn bounds(minutes: Option<u64>, hours: Option<u64>) -> Entry {
    Entry::Limits(Limits {
        retention: Retention {
            minutes_bytes: minutes,
            hours_bytes: hours,
            ..Retention::default()
        },
        ..Limits::default()
    })
}

/// Reads the minutes, in order of the accounts and entries, cells of one account as one.
fn read(folder: &Path) -> Vec<RolledUp> {
    let mut minutes = Recording::open(folder).unwrap().minutes;
    for rolled in &mut minutes {
        let mut cells = Cells::of_at_most(usize::MAX / 2);
        rolled.cells.iter().for_each(|cell| cells.add(cell));
        rolled.cells = cells.at(rolled.minute.at);
        let entry = |row: &StatementCounters| (row.query_id, row.calls.is_some());
        rolled.counters.sort_by_key(entry);
    }
    minutes
}

/// What times of an hour are rounded to, in microseconds.
const ROUNDED: i64 = 1_024;

/// Tells whether both say the same, times but for so much in each cell and in all of a row.
fn are_alike(seen: &[RolledUp], expected: &[RolledUp], off: i64) -> bool {
    let near = |a: Span, b: Span| (a.as_micros() - b.as_micros()).abs() < off;
    let is_alike = |(a, b): (&Charge, &Charge)| {
        let waited = a.waited_us.unwrap_or_default();
        near(a.spent_us, b.spent_us)
            && near(waited, b.waited_us.unwrap_or_default())
            && (a.waited_us.is_some(), a.at, a.ticks, &a.account)
                == (b.waited_us.is_some(), b.at, b.ticks, &b.account)
    };
    let spent = |one: &RolledUp| one.cells.iter().map(|cell| cell.spent_us).sum();
    let rows = seen.iter().zip(expected).all(|(a, b)| {
        (a.minute, &a.counters, a.cells.len()) == (b.minute, &b.counters, b.cells.len())
            && a.cells.iter().zip(&b.cells).all(is_alike)
            && near(spent(a), spent(b))
    });
    rows && seen.len() == expected.len()
}

fn names(folder: &Path, table: &str) -> Vec<String> {
    let names = parts(&folder.join(table)).into_iter();
    let names = names.map(|path| path.file_name().unwrap().to_str().unwrap().to_owned());
    let known = |name: String| name.split('-').next().unwrap().to_owned();
    names.map(known).collect()
}

#[test]
fn hours_and_days_are_the_sums_of_their_minutes() {
    let minutes = minutes();
    let (folder, mut writer) = written(&minutes);
    while writer.upkeep() {}
    assert_eq!(read(folder.path()), minutes);
    for (bound, grain, by, off) in [
        (bounds(Some(0), None), "hours", HOUR, ROUNDED),
        (bounds(Some(0), Some(0)), "days", 24 * HOUR, 12 * ROUNDED),
    ] {
        writer.take(bound);
        while writer.upkeep() {}
        for table in ["minutes", "cells", "minute_counters"] {
            assert_eq!(names(folder.path(), table), [grain], "{table}");
        }
        // As they are, with nothing to put together.
        let opened = Recording::open(folder.path()).unwrap().minutes;
        let expected = summed(&minutes, by);
        assert!(are_alike(&opened, &expected, off), "{opened:?}");
    }
}

#[test]
fn whatever_has_room_stays_as_it_is() {
    let minutes = minutes();
    let (folder, mut writer) = written(&minutes);
    writer.take(bounds(Some(1 << 20), Some(0)));
    while writer.upkeep() {}
    assert_eq!(names(folder.path(), "cells"), ["part"]);
    assert_eq!(read(folder.path()), minutes);
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let to = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &to);
        } else {
            fs::copy(&path, to).unwrap();
        }
    }
}

#[test]
fn killed_at_any_step_it_reads_right_and_is_ended_by_the_next_writer() {
    let minutes = minutes();
    let (folder, mut writer) = written(&minutes);
    while writer.upkeep() {}
    writer.take(bounds(Some(0), None));
    let hours = summed(&minutes, HOUR);
    let mut halves = 0;
    for step in 0.. {
        let more = writer.upkeep();
        let seen = read(folder.path());
        let is_right = seen == minutes || are_alike(&seen, &hours, ROUNDED);
        assert!(is_right, "after {step} steps");
        let grains = ["minutes", "cells", "minute_counters"].map(|it| names(folder.path(), it));
        if grains[0] != grains[2] && step % 3 == 0 {
            halves += 1;
            let killed = tempfile::tempdir().unwrap();
            copy(folder.path(), killed.path());
            let mut next = Writer::create(killed.path(), &server()).unwrap();
            next.take(bounds(Some(0), None));
            next.take(Entry::Counters(Counters {
                at: at(MIDNIGHT + 51 * HOUR),
                rows: Vec::new(),
            }));
            assert!(are_alike(&read(killed.path()), &hours, ROUNDED));
            while next.upkeep() {}
            assert_eq!(names(killed.path(), "minute_counters"), ["hours"]);
            assert!(are_alike(&read(killed.path()), &hours, ROUNDED));
        }
        if !more {
            break;
        }
    }
    assert!(halves > 3, "{halves} states between");
    assert!(are_alike(&read(folder.path()), &hours, ROUNDED));
}

#[test]
fn who_reads_meanwhile_sees_minutes_or_hours() {
    let minutes = minutes();
    let (folder, mut writer) = written(&minutes);
    let hours = summed(&minutes, HOUR);
    while writer.upkeep() {}
    writer.take(bounds(Some(0), None));
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                let seen = read(folder.path());
                assert!(seen == minutes || are_alike(&seen, &hours, ROUNDED));
            }
        });
        while writer.upkeep() {}
        done.store(true, Ordering::Relaxed);
        reader.join().unwrap();
    });
}

#[test]
fn what_comes_late_is_summed_with_the_rest_of_its_hour() {
    let minutes = minutes();
    let mut late = minutes.clone();
    // The clock was set back.
    let came = late.remove(100);
    let (folder, mut writer) = written(&late);
    writer.take(bounds(Some(0), None));
    while writer.upkeep() {}
    let mut alone = came.clone();
    alone.counters.clear();
    writer.take(Entry::Minute(Box::new(alone)));
    writer.take(Entry::Counters(Counters {
        at: at(MIDNIGHT + 51 * HOUR),
        rows: Vec::new(),
    }));
    writer.seal().unwrap();
    while writer.upkeep() {}
    assert_eq!(names(folder.path(), "cells"), ["hours"]);
    let seen = read(folder.path());
    assert!(
        are_alike(&seen, &summed(&minutes, HOUR), 2 * ROUNDED),
        "{seen:?}"
    );
}

#[test]
fn an_entry_that_was_gone_within_an_hour_is_told_as_gone_and_back() {
    let mut minutes = minutes();
    let gone = &mut minutes[34].counters[1];
    (gone.calls, gone.exec_ms, gone.rows) = (None, 0.0, 0);
    // And one that was reset, and counts more than before by the end of the hour.
    let reset = &mut minutes[64].counters[2];
    (reset.calls, reset.exec_ms, reset.rows) = (Some(1), 2.0, 1);
    let (folder, mut writer) = written(&minutes);
    writer.take(bounds(Some(0), None));
    while writer.upkeep() {}
    let hours = read(folder.path());
    let told = |hour: usize, entry: i64| {
        let own = hours[hour].counters.iter();
        let own = own.filter(|row| row.query_id == QueryId(entry));
        own.map(|row| row.calls).collect::<Vec<_>>()
    };
    let last = |minute: usize, entry: usize| minutes[minute].counters[entry].calls;
    assert_eq!(told(1, 1), [None, last(59, 1)]);
    assert_eq!(told(2, 2), [None, last(89, 2)]);
    assert_eq!(told(1, 2), [last(59, 2)]);
    writer.take(bounds(Some(0), Some(0)));
    while writer.upkeep() {}
    // As it is in the part: of the first row that is read nobody asks what was before it.
    let day = reader::rows_of_table::<PerMinute<StatementCounters>>(folder.path());
    let mut day: Vec<_> = day.unwrap().into_iter().map(|PerMinute(row)| row).collect();
    day.sort_by_key(|row| (row.query_id, row.calls.is_some()));
    let calls: Vec<_> = day.iter().map(|row| row.calls).collect();
    let [zero, one, two] = [0, 1, 2].map(|entry| last(359, entry));
    assert_eq!(calls, [zero, None, one, None, two]);
}

#[test]
fn a_day_of_which_something_cannot_be_read_keeps_its_minutes() {
    let minutes = minutes();
    let (folder, mut writer) = written(&minutes);
    while writer.upkeep() {}
    let torn = parts(&folder.path().join("minutes")).remove(0);
    fs::write(&torn, "torn").unwrap();
    writer.take(bounds(Some(0), None));
    while writer.upkeep() {}
    assert_eq!(names(folder.path(), "minutes"), ["part"]);
    assert_eq!(names(folder.path(), "cells"), ["part"]);
}

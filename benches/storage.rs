//! What a recording takes on disk, by table and per session seen at a tick, beside the same rows
//! in other stores.
//!
//! The rows are real: those of the lab's county rollout with some fifty active sessions, recorded at
//! 10 looks a second. With `PGJAM_STORAGE_OF` the rows of that recording are taken instead; with the
//! argument `year` only what a year of sums takes is told.

#![expect(clippy::unwrap_used, reason = "a bench fails by panicking")]
#![expect(clippy::print_stdout, reason = "a bench prints its figures")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use pgjam::daemon::books::Books;
use pgjam::daemon::config::Retention;
use pgjam::recording::{Entry, Limits, Recording, RolledUp, Writer};
use pgjam::sample::{Counters, Declared, Server, Snapshot, StatementCounters, Surroundings};
use pgjam::system::Naming;
use pgjam::time::{Span, Timestamp};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

mod jam;

const MINUTE: i64 = 60_000_000;
const HOUR: i64 = 60 * MINUTE;

/// How long the rollout is recorded with everybody there.
const RECORDED: Duration = Duration::from_mins(5);

/// What stays when the samples are gone.
const SUMS: [&str; 3] = ["cells", "minute_counters", "minutes"];

fn main() {
    let words: Vec<String> = std::env::args().collect();
    if let [_, word, folder, minutes, hours, ..] = &words[..]
        && word == "upkeep"
    {
        return upkeep(Path::new(folder), [minutes, hours]);
    }
    let folder = tempfile::tempdir().unwrap();
    let from = std::env::var_os("PGJAM_STORAGE_OF").map_or_else(
        || jam::record(&folder.path().join("recorded"), &["postgres"], RECORDED),
        |given| PathBuf::from(&given),
    );
    if !words.iter().any(|word| word == "year") {
        a_watch(&from, folder.path());
    }
    a_year(&from, &folder.path().join("day"));
}

/// Says what the recording takes, by table.
fn a_watch(from: &Path, folder: &Path) {
    let recording = Recording::open(from).unwrap();
    let samples = show(&recording);
    let written = folder.join("written");
    let mut writer = write(&recording, &written);
    let parts = bytes_by_table(&written);
    turn_the_hour(&recording, &mut writer);
    while writer.upkeep() {}
    let merged = bytes_by_table(&written);
    println!(
        "{:<16}{:>14}{:>9}{:>14}{:>9}",
        "table", "minute parts", "/sample", "merged", "/sample"
    );
    let print = |what: &str, sizes: [u64; 2]| {
        let [before, merged] = sizes;
        let [each_before, each] = sizes.map(|bytes| bytes as f64 / samples as f64);
        println!("{what:<16}{before:>14}{each_before:>9.2}{merged:>14}{each:>9.2}");
    };
    for (table, bytes) in &merged {
        print(table, [parts[table], *bytes]);
    }
    let sum = |sizes: &BTreeMap<String, u64>, wanted: fn(&str) -> bool| -> u64 {
        let wanted = sizes.iter().filter(|(table, _)| wanted(table));
        wanted.map(|(_, bytes)| bytes).sum()
    };
    let all = |_: &str| true;
    let raw = |table: &str| !SUMS.contains(&table);
    print("all", [sum(&parts, all), sum(&merged, all)]);
    print("without sums", [sum(&parts, raw), sum(&merged, raw)]);
    others(&written, samples);
}

/// Says what was recorded; gives how many sessions were seen, over all ticks.
fn show(recording: &Recording) -> usize {
    let each =
        |count: fn(&Snapshot) -> usize| -> usize { recording.snapshots.iter().map(count).sum() };
    let samples = each(|snapshot| snapshot.sessions.len());
    let active = each(|snapshot| {
        let sessions = snapshot.sessions.iter();
        sessions.filter(|session| session.state.is_active()).count()
    });
    let locks = each(|snapshot| snapshot.locks.len());
    let ticks = recording.snapshots.len();
    println!(
        "{ticks} ticks, {samples} sessions at them ({:.1} each, {:.1} of them active), \
         {locks} lock entries",
        samples as f64 / ticks as f64,
        active as f64 / ticks as f64
    );
    samples
}

/// Says what a year of sums takes, were every minute of it like one of the jam that was recorded.
///
/// A day of such minutes is written, each figure anew, and upkeep makes hours of it, and then one
/// row: an hour has the accounts of sixty minutes. Of the year as many days are kept by the minute
/// and by the hour as have room where nothing else is configured.
fn a_year(recorded: &Path, folder: &Path) {
    let rolled = jam(minutes(recorded));
    let server = Recording::open(recorded).unwrap().server;
    let mut writer = Writer::create(folder, &server).unwrap();
    // Midnight, so that the day is one partition.
    let start = rolled[0].minute.at.as_micros().div_euclid(24 * HOUR) * 24 * HOUR;
    let accounts = accounts(&rolled);
    println!(
        "sums of minutes, drawn from {} recorded ones with {accounts} accounts in all",
        rolled.len(),
    );
    write_a_day(&rolled, start, &mut writer);
    writer.take(Entry::Declared(Declared {
        at: Timestamp::from_micros(start + 49 * HOUR),
        label: "the day is over".into(),
    }));
    writer.finish().unwrap();
    let usual = Retention::USUAL;
    let mut left = 365;
    let mut year = 0;
    for (row, bounds, room) in [
        ("minute", ["none", "none"], Some(usual.minutes_bytes)),
        ("hour", ["0", "none"], Some(usual.hours_bytes)),
        ("day", ["0", "0"], None),
    ] {
        // A process of its own, as what it takes in memory is its own.
        let mut apart = Command::new(std::env::current_exe().unwrap());
        let apart = apart.arg("upkeep").arg(folder).args(bounds).output();
        let took = String::from_utf8(apart.unwrap().stdout).unwrap();
        let minutes = Recording::open(folder).unwrap().minutes;
        let minutes = minutes
            .iter()
            .filter(|one| one.minute.at.as_micros() < start + 24 * HOUR);
        let (mut rows, mut cells) = (0, 0);
        minutes.for_each(|one| (rows, cells) = (rows + 1, cells + one.cells.len()));
        let mut tables = bytes_by_table(folder);
        // That is how the clock was told to have gone on.
        tables.remove("looks");
        let bytes: u64 = tables.values().sum();
        // The day that is being written is there in any case.
        let days = room.map_or(left, |room| (room.count() / bytes).clamp(1, left));
        (left, year) = (left - days, year + days * bytes);
        println!(
            "  by the {row:<7}{:>8.1} cells a row, {bytes:>10} bytes a day, {:>5.2} a cell; {days} days of a year ({})",
            cells as f64 / f64::from(rows),
            bytes as f64 / cells as f64,
            took.trim(),
        );
        for (table, bytes) in tables.iter().filter(|(_, bytes)| **bytes > 1_500) {
            println!("    {table:<16}{bytes:>12} bytes a day");
        }
    }
    println!("  {:.1} MiB a year", year as f64 / f64::from(1 << 20));
}

/// Does the upkeep of a recording long after its last row, and says what that took.
fn upkeep(folder: &Path, [minutes, hours]: [&String; 2]) {
    let manifest = fs::read(folder.join("recording.json")).unwrap();
    let manifest: serde_json::Value = serde_json::from_slice(&manifest).unwrap();
    let server: Server = serde_json::from_value(manifest["server"].clone()).unwrap();
    let mut writer = Writer::create(folder, &server).unwrap();
    writer.take(Entry::Counters(Counters {
        at: Timestamp::from_micros(server.started_at.as_micros() + 1_000 * HOUR),
        rows: Vec::new(),
    }));
    writer.take(Entry::Limits(Limits {
        retention: pgjam::recording::Retention {
            minutes_bytes: minutes.parse().ok(),
            hours_bytes: hours.parse().ok(),
            ..pgjam::recording::Retention::default()
        },
        ..Limits::default()
    }));
    let before = resident("VmRSS:");
    let began = std::time::Instant::now();
    while writer.upkeep() {}
    let took = began.elapsed().as_secs_f64();
    let more = (resident("VmHWM:") - before) / 1_024.0;
    println!("upkeep took {took:.1} s and {more:.1} MiB");
}

/// Gives a size of this process in KiB.
fn resident(key: &str) -> f64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(key));
    let size = line.and_then(|line| line.split_whitespace().next());
    size.unwrap().parse().unwrap()
}

/// Takes the minutes of the jam: at least half as many waited as in the worst.
fn jam(mut minutes: Vec<RolledUp>) -> Vec<RolledUp> {
    let most = minutes.iter().map(|one| one.minute.blocked).max().unwrap();
    minutes.retain(|one| 2 * one.minute.blocked >= most);
    minutes
}

fn accounts(minutes: &[RolledUp]) -> usize {
    let cells = minutes.iter().flat_map(|one| &one.cells);
    let accounts: BTreeSet<_> = cells.map(|cell| &cell.account).collect();
    accounts.len()
}

/// Writes a day of minutes that are drawn from those, each figure anew.
fn write_a_day(rolled: &[RolledUp], start: i64, writer: &mut Writer) {
    let mut rng = StdRng::seed_from_u64(1);
    let mut calls: BTreeMap<_, StatementCounters> = BTreeMap::new();
    let mut begins = start;
    for minute in 1..=24 * 60 {
        let ends = start + minute * MINUTE + rng.random_range(0..9_000_000);
        let mut one = rolled[rng.random_range(0..rolled.len())].clone();
        one.minute.at = Timestamp::from_micros(begins);
        one.minute.until = Timestamp::from_micros(ends);
        one.minute.counted = Some(one.minute.until);
        begins = ends;
        for cell in &mut one.cells {
            let percent = rng.random_range(50..150);
            let dither = rng.random_range(0..1_000);
            let vary = |span: Span| Span::from_micros(span.as_micros() / 100 * percent + dither);
            (cell.at, cell.spent_us) = (one.minute.at, vary(cell.spent_us));
            cell.ticks = rng.random_range(1..=2 * cell.ticks.max(1));
            cell.waited_us = cell.waited_us.map(vary);
        }
        for row in &mut one.counters {
            let sum = calls.entry((row.database, row.query_id)).or_insert(*row);
            let more = rng.random_range(1..5_000);
            sum.calls = sum.calls.map(|calls| calls + more);
            sum.exec_ms += more as f64 * rng.random_range(0.1..2.0);
            sum.rows += more;
            sum.blocks_hit += 4 * more;
            sum.wal_bytes += rng.random_range(100..200) * more;
            *row = StatementCounters {
                at: one.minute.until,
                exec_ms: sum.exec_ms.floor(),
                ..*sum
            };
        }
        writer.take(Entry::Minute(Box::new(one)));
        if minute % 10 == 0 {
            writer.seal().unwrap();
        }
    }
}

/// Reads the minutes of a recording as if its samples were gone.
fn minutes(recorded: &Path) -> Vec<RolledUp> {
    let copy = tempfile::tempdir().unwrap();
    let mut cp = Command::new("cp");
    let copied = cp
        .arg("-r")
        .arg(recorded)
        .arg(copy.path().join("it"))
        .status();
    assert!(copied.unwrap().success());
    fs::remove_dir_all(copy.path().join("it/ticks")).unwrap();
    Recording::open(&copy.path().join("it")).unwrap().minutes
}

/// Writes the rows as the daemon does: flushed twice a second, a part for each minute.
fn write(recording: &Recording, folder: &Path) -> Writer {
    let mut writer = Writer::create(folder, &recording.server).unwrap();
    let first = recording.snapshots[0].tick.at;
    let statements = recording.statements.iter().cloned().map(Entry::Statement);
    let names = recording.names.iter().cloned().map(Entry::Name);
    let mut looks = recording.counters.iter().peekable();
    let mut texts: Vec<Entry> = statements.chain(names).collect();
    let mut books = Books::new(Naming::default(), &[], None);
    recording.statements.iter().for_each(|it| books.learn(it));
    recording.names.iter().for_each(|it| books.name(it));
    let mut around = recording.surroundings.clone();
    let mut halves = 0;
    for snapshot in &recording.snapshots {
        let at = snapshot.tick.at;
        writer.take(snapshot.clone().into());
        books
            .look(snapshot)
            .into_iter()
            .for_each(|it| writer.take(it));
        texts.drain(..).for_each(|text| writer.take(text));
        while let Some(look) = looks.next_if(|look| look.at <= at) {
            writer.take(Entry::Counters(look.clone()));
            books.count(look).into_iter().for_each(|it| writer.take(it));
        }
        let passed = at.since(first).as_micros() / (MINUTE / 120);
        if passed > halves {
            let told = told_until(&mut around, at);
            writer.take(Entry::Surroundings(Box::new(told)));
            if passed / 120 > halves / 120 {
                writer.seal_samples().unwrap();
            } else {
                writer.flush().unwrap();
            }
            halves = passed;
        }
    }
    looks.for_each(|look| writer.take(Entry::Counters(look.clone())));
    writer.take(Entry::Surroundings(Box::new(around)));
    books.finish().into_iter().for_each(|it| writer.take(it));
    writer.seal().unwrap();
    writer
}

/// Takes out what was told up to a time.
fn told_until(around: &mut Surroundings, at: Timestamp) -> Surroundings {
    fn take<R>(rows: &mut Vec<R>, at: Timestamp, when: impl Fn(&R) -> Timestamp) -> Vec<R> {
        rows.extract_if(.., |row| when(row) <= at).collect()
    }
    Surroundings {
        tables: take(&mut around.tables, at, |row| row.at),
        databases: take(&mut around.databases, at, |row| row.at),
        server: take(&mut around.server, at, |row| row.at),
        horizons: take(&mut around.horizons, at, |row| row.at),
        settings: take(&mut around.settings, at, |row| row.at),
    }
}

/// Lets the server's clock say that the hour is over, which is when its parts are merged.
fn turn_the_hour(recording: &Recording, writer: &mut Writer) {
    let mut last = recording.snapshots.last().unwrap().clone();
    last.tick.at = last.tick.at + Span::from_micros(2 * HOUR);
    last.sessions.clear();
    last.locks.clear();
    writer.take(last.into());
}

fn bytes_by_table(folder: &Path) -> BTreeMap<String, u64> {
    fn bytes(path: &Path) -> u64 {
        if path.is_dir() {
            let entries = fs::read_dir(path)
                .unwrap()
                .map(|entry| entry.unwrap().path());
            entries.map(|path| bytes(&path)).sum()
        } else {
            path.metadata().unwrap().len()
        }
    }
    let tables = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    let tables = tables.filter(|entry| entry.path().is_dir());
    tables
        .map(|entry| {
            let name = entry.file_name().to_str().unwrap().to_owned();
            (name, bytes(&entry.path()))
        })
        .collect()
}

/// Puts the same rows into other stores, by an engine that reads the recording as it is.
fn others(folder: &Path, samples: usize) {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut engine = Command::new(here.join("tests/engine.sh"));
    let python = engine.arg("duckdb==2.0.1").output().unwrap();
    if !python.status.success() {
        println!(
            "no other store: {}",
            String::from_utf8_lossy(&python.stderr)
        );
        return;
    }
    let python = String::from_utf8(python.stdout).unwrap();
    let mut script = Command::new(python.trim());
    script.arg(here.join("benches/storage.py")).arg(folder);
    let sizes = script.output().unwrap();
    assert!(
        sizes.status.success(),
        "{}",
        String::from_utf8_lossy(&sizes.stderr)
    );
    for line in String::from_utf8(sizes.stdout).unwrap().lines() {
        let (store, bytes) = line.rsplit_once(' ').unwrap();
        let bytes: u64 = bytes.parse().unwrap();
        println!(
            "{store:<39}{bytes:>14}{:>9.2}",
            bytes as f64 / samples as f64
        );
    }
}

//! What a recording takes on disk, by table and per session seen at a tick, beside the same rows
//! in other stores.
//!
//! The rows are real: those of the lab's county rollout, recorded at 10 looks a second. With
//! `PGJAM_STORAGE_OF` the rows of that recording are taken instead.

#![expect(clippy::unwrap_used, reason = "a bench fails by panicking")]
#![expect(clippy::print_stdout, reason = "a bench prints its figures")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use pgjam::recording::{Entry, Recording, Writer};
use pgjam::time::Span;

const MINUTE: i64 = 60_000_000;
const HOUR: i64 = 60 * MINUTE;

fn main() {
    let folder = tempfile::tempdir().unwrap();
    let from = std::env::var_os("PGJAM_STORAGE_OF").map_or_else(
        || record(&folder.path().join("recorded")),
        |given| PathBuf::from(&given),
    );
    let recording = Recording::open(&from).unwrap();
    let samples: usize = recording.snapshots.iter().map(|s| s.sessions.len()).sum();
    let edges: usize = recording.snapshots.iter().map(|s| s.locks.len()).sum();
    let ticks = recording.snapshots.len();
    println!(
        "{ticks} ticks, {samples} sessions at them ({:.1} each), {edges} lock entries",
        samples as f64 / ticks as f64
    );
    let written = folder.path().join("written");
    let mut writer = write(&recording, &written);
    let parts = bytes_by_table(&written);
    turn_the_hour(&recording, &mut writer);
    while writer.upkeep() {}
    let merged = bytes_by_table(&written);
    println!(
        "{:<16}{:>14}{:>9}{:>14}{:>9}",
        "table", "minute parts", "/sample", "merged", "/sample"
    );
    let per_sample = |bytes: u64| bytes as f64 / samples as f64;
    let total = |tables: &BTreeMap<String, u64>| ("all".to_owned(), tables.values().sum());
    let rows = merged.clone().into_iter().chain([total(&merged)]);
    for (table, merged) in rows {
        let before = parts.get(&table).copied().unwrap_or(total(&parts).1);
        println!(
            "{table:<16}{before:>14}{:>9.2}{merged:>14}{:>9.2}",
            per_sample(before),
            per_sample(merged)
        );
    }
    others(&written, samples);
}

/// Lets the lab run, and records it.
fn record(folder: &Path) -> PathBuf {
    let truth = folder.with_extension("truth");
    let mut lab = Command::new(env!("CARGO_BIN_EXE_pgjam"));
    lab.args([
        "lab",
        "county-rollout",
        "--diagnose",
        "--quiet",
        "--hz",
        "10",
        "--scale",
        "3",
    ]);
    lab.arg("--record").arg(folder).arg("--truth").arg(truth);
    println!("recording the county rollout, about 7 min");
    assert!(lab.output().unwrap().status.success());
    folder.to_owned()
}

/// Writes the rows as the recorder does: a part for each minute.
fn write(recording: &Recording, folder: &Path) -> Writer {
    let mut writer = Writer::create(folder, &recording.server).unwrap();
    let first = recording.snapshots[0].tick.at;
    let statements = recording.statements.iter().cloned().map(Entry::Statement);
    let names = recording.names.iter().cloned().map(Entry::Name);
    let mut looks = recording.counters.iter().peekable();
    let mut texts: Vec<Entry> = statements.chain(names).collect();
    let mut minute = 0;
    for snapshot in &recording.snapshots {
        let at = snapshot.tick.at;
        writer.take(snapshot.clone().into());
        texts.drain(..).for_each(|text| writer.take(text));
        while let Some(look) = looks.next_if(|look| look.at <= at) {
            writer.take(Entry::Counters(look.clone()));
        }
        if at.since(first).as_micros() / MINUTE > minute {
            minute += 1;
            writer.seal().unwrap();
        }
    }
    looks.for_each(|look| writer.take(Entry::Counters(look.clone())));
    writer.seal().unwrap();
    writer
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

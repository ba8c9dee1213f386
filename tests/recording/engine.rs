//! An engine that is not ours reads the folder as it is, and comes to the same figures.

use std::path::Path;
use std::process::Command;

use pgjam::recording::{Entry, Recording, Writer};
use pgjam::sample::{Loss, Snapshot};

use crate::{server, snapshot};

/// The engine, at a version whose answers are known.
const ENGINE: &str = "duckdb==2.0.1";

/// What is asked of it: ticks, missed ones, sessions, active microseconds, when the first
/// statement began, losses.
const QUESTION: &str = r#"
import sys
import duckdb

folder, day = sys.argv[1:]


def rows(table):
    return f"read_parquet('{folder}/{table}/*/*/*/*.parquet', hive_partitioning = true)"


engine = duckdb.connect()
engine.execute("SET TimeZone = 'UTC'")


def ask(question):
    return [str(value) for value in engine.execute(question).fetchall()[0]]


answers = ask(f"SELECT count(*), sum(missed) FROM {rows('ticks')} WHERE dt = '{day}'")
answers += ask(f"SELECT count(*) FROM {rows('sessions')}")
answers += ask(
    f"""SELECT sum(span_us) FROM {rows('sessions')} AS session
    JOIN {rows('ticks')} AS tick USING (server, dt, hr, "at") WHERE state = 'active'"""
)
answers += ask(
    f"""SELECT epoch_us(min("at" - (state_us + query_us) * INTERVAL 1 microsecond))
    FROM {rows('sessions')}"""
)
answers += ask(f"SELECT sum(count) FROM {rows('losses')}")
print(" ".join(answers))
"#;

/// Runs a program, and gives what it prints.
pub(crate) fn said(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {errors}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// Gives a Python in which these packages are.
pub(crate) fn python(packages: &[&str]) -> String {
    let engine = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/engine.sh");
    said(Command::new(engine).args(packages))
}

/// Asks the engine.
fn asked(folder: &Path) -> Vec<i128> {
    let mut question = Command::new(python(&[ENGINE]));
    question
        .args(["-c", QUESTION])
        .arg(folder)
        .arg("2026-11-23");
    let answers = said(&mut question);
    let answers = answers.split(' ').map(|figure| figure.parse().unwrap());
    answers.collect()
}

/// Comes to the same figures as the library does.
fn counted(recording: &Recording) -> Vec<i128> {
    let ticks = &recording.snapshots;
    let missed: i128 = ticks.iter().map(|seen| i128::from(seen.tick.missed)).sum();
    let sessions: usize = ticks.iter().map(|seen| seen.sessions.len()).sum();
    let active = |seen: &Snapshot| {
        let active = seen
            .sessions
            .iter()
            .filter(|session| session.state.is_active());
        active.count() as i128 * i128::from(seen.tick.span.as_micros())
    };
    let all = ticks.iter().flat_map(|seen| &seen.sessions);
    let first = all.filter_map(|session| session.query_start).min().unwrap();
    let losses: i128 = recording
        .losses
        .iter()
        .map(|loss| i128::from(loss.count))
        .sum();
    vec![
        ticks.len() as i128,
        missed,
        sessions as i128,
        ticks.iter().map(active).sum(),
        i128::from(first.as_micros()),
        losses,
    ]
}

#[test]
fn duckdb_counts_and_sums_what_the_library_does() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = Writer::create(folder.path(), &server()).unwrap();
    // Over the turn of an hour, in parts, of which those of the hour that is over become one.
    for number in 0..1_200 {
        writer.take(snapshot(number, 9).into());
        if number % 300 == 0 {
            writer.seal().unwrap();
        }
    }
    writer.take(Entry::Loss(Loss {
        at: snapshot(7, 0).tick.at,
        kind: "refused_names".into(),
        count: 3,
    }));
    writer.seal().unwrap();
    let read = Recording::open(folder.path()).unwrap();
    let expected = counted(&read);
    assert_eq!(expected[..3], [1_200, 120, 10_800]);
    assert_eq!(asked(folder.path()), expected);
    while writer.upkeep() {}
    assert_eq!(Recording::open(folder.path()).unwrap(), read);
    assert_eq!(asked(folder.path()), expected);
}

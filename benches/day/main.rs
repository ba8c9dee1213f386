//! How long a report on a long recording takes, and how much memory, beside an engine's sums of the
//! same files.
//!
//! ```text
//!  a real jam ─▶ its minutes, drawn again and again ─▶ hours ─▶ pgjam report
//!                                                          └──▶ GROUP BY statement, table, blocker
//! ```
//!
//! The rows are real: those of the lab's county rollout in two databases of one server, with about
//! a hundred active sessions at 10 looks a second.
//!
//! - `--hours N` says how many hours are made of them, 1 unless told, 24 at most.
//! - `PGJAM_DAY_OF` names a recording whose rows are taken instead.
//! - `PGJAM_DAY_IN` names a folder where the hours are kept; if it has them, they are measured.

#![expect(clippy::unwrap_used, reason = "a bench fails by panicking")]
#![expect(clippy::print_stdout, reason = "a bench prints its figures")]

#[path = "../jam/mod.rs"]
mod jam;

mod build;
mod shift;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// How long the jam is recorded.
const RECORDED: Duration = Duration::from_mins(3);

fn main() {
    let words: Vec<String> = std::env::args().collect();
    let hours = words.iter().position(|word| word == "--hours");
    let hours = hours.map_or(1, |place| words[place + 1].parse().unwrap());
    let aside = tempfile::tempdir().unwrap();
    let given = |name| std::env::var_os(name).map(PathBuf::from);
    let folder = given("PGJAM_DAY_IN").unwrap_or_else(|| aside.path().join("hours"));
    if !folder.exists() {
        let recorded = given("PGJAM_DAY_OF").unwrap_or_else(|| {
            jam::record(&aside.path().join("jam"), &["postgres", "other"], RECORDED)
        });
        let began = Instant::now();
        build::hours(&recorded, &folder, hours);
        println!(
            "making the hours took {:.0} s",
            began.elapsed().as_secs_f64()
        );
    }
    let report = report(&folder, &aside.path().join("report.json"));
    let window = &report.answer["window"];
    println!(
        "report        {:>7.1} s {:>7.0} MiB  {} ticks from {} to {}, {} findings",
        report.seconds,
        report.mebibytes,
        window["ticks"],
        window["from"],
        window["to"],
        report.answer["findings"].as_array().unwrap().len(),
    );
    engine(&folder, report.seconds);
}

/// What a report took, and what it said.
struct Took {
    seconds: f64,
    mebibytes: f64,
    answer: Value,
}

/// Lets `pgjam report` read a recording, in a process of its own.
fn report(folder: &Path, answer: &Path) -> Took {
    let began = Instant::now();
    let mut child = Command::new(env!("CARGO_BIN_EXE_pgjam"));
    child.arg("report").arg(folder).args(["--format", "json"]);
    let mut child = child.arg("--output").arg(answer).spawn().unwrap();
    let status = format!("/proc/{}/status", child.id());
    let mut mebibytes = 0.0;
    // What it had at most is told as long as it runs.
    let ended = loop {
        let status = fs::read_to_string(&status).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let size = line.and_then(|line| line.split_whitespace().next());
        mebibytes = size.map_or(mebibytes, |size| size.parse::<f64>().unwrap() / 1_024.0);
        if let Some(ended) = child.try_wait().unwrap() {
            break ended;
        }
        std::thread::sleep(Duration::from_millis(2));
    };
    let seconds = began.elapsed().as_secs_f64();
    assert!(ended.success(), "{ended}");
    let answer = serde_json::from_slice(&fs::read(answer).unwrap()).unwrap();
    Took {
        seconds,
        mebibytes,
        answer,
    }
}

/// Lets an engine that reads the recording as it is sum the same files.
fn engine(folder: &Path, ours: f64) {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut engine = Command::new(here.join("tests/engine.sh"));
    let python = engine.arg("duckdb==2.0.1").stderr(Stdio::inherit());
    let python = python.output().unwrap();
    if !python.status.success() {
        println!("no engine beside it");
        return;
    }
    let python = String::from_utf8(python.stdout).unwrap();
    let mut script = Command::new(python.trim());
    script.arg(here.join("benches/day/engine.py")).arg(folder);
    let sums = script.stderr(Stdio::inherit()).output().unwrap();
    assert!(sums.status.success());
    for line in String::from_utf8(sums.stdout).unwrap().lines() {
        let [what, rows, groups, seconds, mebibytes] =
            line.split('\t').collect::<Vec<_>>()[..].try_into().unwrap();
        let seconds: f64 = seconds.parse().unwrap();
        println!(
            "{what:<14}{seconds:>7.1} s {mebibytes:>7} MiB  {rows} rows in {groups} groups; the report takes {:.1} times that",
            ours / seconds
        );
    }
}

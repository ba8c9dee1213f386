//! A real server under the county rollout, against what its clients timed themselves.
//!
//! The clients' clock starts before a statement is sent and stops when its answer was read, on a
//! machine whose two cores also run the server and the other tests: their p99 holds some
//! milliseconds that no session of the server ever had. The bound is for that and for chance: in two
//! runs a p99 of some hundred rows and more was 3 to 9 % lower than theirs.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use pgjam::attribution::finding::Finding;
use pgjam::lab::rollout::{Phases, Rollout};
use pgjam::lab::server::{Options, ThrowAway};
use pgjam::lab::truth::Truth;
use pgjam::recording::Recording;
use pgjam::time::{Span, Timestamp};
use rustix::process::{Pid, Signal, kill_process};

use crate::conclude;

/// How long a state may take to come about.
const SOON: Duration = Duration::from_mins(1);

/// For so long the last wave is watched.
const WATCHED: Duration = Duration::from_secs(24);

/// A p99 may be off by so much on a busy machine.
const BOUND: f64 = 0.15;

/// Runs the rollout with a call long enough that most of the updates wait, and watches its last
/// wave.
fn rollout(folder: &Path) -> (Recording, Truth) {
    let server = ThrowAway::start(&Options {
        fsync: false,
        ..Options::default()
    })
    .unwrap();
    let second = Duration::from_secs(1);
    let rollout = Rollout {
        seed: 1,
        phases: Phases {
            settle: second,
            wave_1: second,
            wave_2: second,
            wave_3: WATCHED + 30 * second,
        },
        call: Duration::from_millis(90),
        ..Rollout::default()
    };
    let dsn = server.dsn("postgres", "postgres");
    let truth = folder.join("truth");
    let running = rollout.start(&dsn.parse().unwrap(), &truth).unwrap();
    let mut control = server.connect("postgres").unwrap();
    let there = "select count(*) > 70 from pg_stat_activity where application_name ~ '-'";
    let begun = Instant::now();
    while !control.query_one(there, &[]).unwrap().get::<_, bool>(0) {
        assert!(begun.elapsed() < SOON, "the systems do not come");
        std::thread::sleep(Duration::from_millis(50));
    }
    let to = folder.join("watch");
    let mut program = Command::new(env!("CARGO_BIN_EXE_pgjam"))
        .args(["record", "--dsn", &dsn, "--hz", "20", "--to"])
        .arg(&to)
        .env_clear()
        .env("HOME", "/nonexistent")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    std::thread::sleep(WATCHED);
    kill_process(Pid::from_child(&program), Signal::TERM).unwrap();
    assert!(program.wait().unwrap().success());
    running.stop().unwrap();
    (Recording::open(&to).unwrap(), Truth::read(&truth).unwrap())
}

/// Gives the quantiles of what the clients timed for a statement that ended in a window: the p95
/// and the p99 in milliseconds.
fn timed(truth: &Truth, finding: &Finding, [from, to]: [Timestamp; 2]) -> [f64; 2] {
    let is_it = |sql: &str| *pgjam::statement::read(sql.as_bytes()).text == *finding.victim.query;
    let labels: Vec<_> = truth
        .statements
        .iter()
        .filter(|(_, sql)| is_it(sql))
        .map(|((system, label), _)| (system, label))
        .collect();
    let timed = truth.timed.iter().filter(|timed| {
        labels.contains(&(&timed.system, &timed.label))
            && (from..to).contains(&(timed.at + timed.latency))
    });
    let mut took: Vec<Span> = timed.map(|timed| timed.latency).collect();
    took.sort_unstable();
    [20, 100].map(|share| took[took.len() - took.len() / share - 1].as_millis_f64())
}

#[test]
fn the_p99_of_a_real_statement_is_what_its_clients_timed() {
    let folder = tempfile::tempdir().unwrap();
    let (recording, truth) = rollout(folder.path());
    let looks = &recording.counters;
    let window = [looks.first().unwrap().at, looks.last().unwrap().at];
    let diagnosis = conclude(&recording);
    let mut compared = 0;
    let mut told = Vec::new();
    for finding in &diagnosis.findings {
        if !finding.victim.query.starts_with("UPDATE") || told.contains(&&finding.victim) {
            continue;
        }
        told.push(&finding.victim);
        let tail = &finding.tail.after;
        let Some(p99) = tail.p99_ms else {
            continue;
        };
        let [timed_p95, timed_p99] = timed(&truth, finding, window);
        println!(
            "{} rows of {}: p95 {:.0} ms of {timed_p95:.0}, p99 {p99:.0} ms of {timed_p99:.0}, {:?}",
            tail.rows,
            finding.victim.who(),
            tail.p95_ms.unwrap(),
            tail.p99_bracket_ms,
        );
        assert!((p99 / timed_p99 - 1.0).abs() < BOUND, "{p99} {timed_p99}");
        let [low, high] = tail.p99_bracket_ms.unwrap();
        // What the clients timed is longer than what the server did.
        let certain = low <= timed_p99 && timed_p99 <= high * (1.0 + BOUND / 2.0);
        assert!(certain, "{low} {timed_p99} {high}");
        compared += usize::from(tail.rows >= 700);
    }
    assert!(compared > 0, "nobody was seen often enough");
}

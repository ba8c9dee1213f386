//! A diagnosis that begins in the middle of trouble, and what was recorded before it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use pgjam::lab::server::ThrowAway;
use serde_json::Value;

use crate::stage::{DIAGNOSIS, Running, Session, pgjam, run, server};

/// A system at work until it is dropped.
struct Work {
    ends: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Work {
    /// Lets a system run statements again and again, with a pause behind each.
    fn begin(server: &ThrowAway, system: &str, statements: &[(&str, u64)]) -> Self {
        let mut session = Session::open(server, "postgres", system);
        let ends = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&ends);
        let statements: Vec<(String, u64)> = statements
            .iter()
            .map(|&(sql, pause)| (sql.to_owned(), pause))
            .collect();
        let thread = std::thread::spawn(move || {
            while !told.load(Ordering::Relaxed) {
                for (sql, pause) in &statements {
                    session.say(sql);
                    std::thread::sleep(Duration::from_millis(*pause));
                }
            }
        });
        Self {
            ends,
            thread: Some(thread),
        }
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Relaxed);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// The growths that the findings tell, with the event that each is laid to.
fn growths(report: &Value) -> Vec<&Value> {
    let findings = report["findings"].as_array().unwrap();
    let growths = findings.iter().map(|finding| &finding["growth"]);
    growths.filter(|growth| !growth.is_null()).collect()
}

#[test]
fn trouble_that_began_before_the_watch_is_held_against_what_the_daemon_saw() {
    let server = server(&[]);
    run(
        &server,
        "postgres",
        "create table counter (id int primary key, n int not null); insert into counter values (1, 0)",
    );
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let dsn = server.dsn("postgres", "postgres");
    let config = format!(
        "data_dir = \"{}\"\n[servers.prod]\ndsn = \"{dsn}\"\nhz = 20\n",
        folder.path().display()
    );
    std::fs::write(path("pgjam.toml"), config).unwrap();
    let config = path("pgjam.toml");

    let update = "update counter set n = n + 1 where id = 1";
    let _decision = Work::begin(&server, "decision", &[(update, 5)]);
    let mut daemon = Running::start(&["record", "--config", &config]);
    daemon.hear("prod: watching ");
    let begun = Instant::now();
    std::thread::sleep(Duration::from_secs(25));
    let _sync = Work::begin(
        &server,
        "sync",
        &[("begin", 0), (update, 40), ("commit", 5)],
    );
    std::thread::sleep(Duration::from_secs(5));

    let diagnose = |baseline: &[&str]| {
        let watch = [
            "diagnose",
            "--quiet",
            "--duration",
            "12s",
            "--format",
            "json",
        ];
        let named = ["prod", "--config", &config];
        let arguments = [&watch[..], &named, baseline].concat();
        pgjam(&arguments).well().json(DIAGNOSIS)
    };
    let blind = diagnose(&["--baseline", "none"]);
    let seeing = diagnose(&[]);
    daemon.terminate();
    daemon.end().well();

    assert_eq!(growths(&blind), Vec::<&Value>::new(), "{blind:#}");
    let growths = growths(&seeing);
    assert!(!growths.is_empty(), "{seeing:#}");
    let growth = growths[0];
    let [before, after] = ["before_ms", "after_ms"].map(|key| growth[key].as_f64().unwrap());
    assert!(after > 5.0 * before && after > 10.0, "{growth:#}");
    let events = seeing["events"].as_array().unwrap();
    let labels: Vec<&str> = events
        .iter()
        .map(|event| event["label"].as_str().unwrap())
        .collect();
    assert_eq!(labels, ["sync"], "{events:#?}");
    let watched = seeing["window"]["watched_ms"].as_f64().unwrap();
    let all = f64::from(u32::try_from(begun.elapsed().as_millis()).unwrap());
    assert!(watched > 25_000.0 && watched < all, "{watched} of {all}");
}

#[test]
fn a_baseline_that_was_named_must_be_of_use() {
    let server = server(&[]);
    let dsn = server.dsn("postgres", "postgres");
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let diagnose = |arguments: &[&str]| {
        let watch = ["diagnose", "--duration", "1s", "--dsn", &dsn];
        pgjam(&[&watch[..], arguments].concat())
    };
    let named = path("nothing");
    let refused = diagnose(&["--quiet", "--baseline", &named]);
    refused.refused(8, &["is no recording", "nothing"]);
    let earlier = path("earlier");
    diagnose(&["--record", &earlier]).well();
    let told = diagnose(&["--baseline", &earlier]).well();
    assert!(told.err.contains("baseline: what "), "{told:?}");
    std::thread::sleep(Duration::from_millis(1_500));
    let refused = diagnose(&["--quiet", "--baseline", &earlier, "--baseline-span", "1s"]);
    refused.refused(8, &["holds nothing of this server in the 1.0 s before"]);
}

#[test]
fn a_verdict_that_stands_ends_the_watch() {
    let server = server(&[]);
    run(
        &server,
        "postgres",
        "create table counter (id int primary key, n int not null); insert into counter values (1, 0)",
    );
    let update = "update counter set n = n + 1 where id = 1";
    let _decision = Work::begin(&server, "decision", &[(update, 5)]);
    let _sync = Work::begin(
        &server,
        "sync",
        &[
            ("begin", 0),
            ("update counter set n = 7 where id = 1", 80),
            ("commit", 5),
        ],
    );
    let dsn = server.dsn("postgres", "postgres");
    let begun = Instant::now();
    let told = pgjam(&["diagnose", "--format", "json", "--dsn", &dsn]).well();
    let took = begun.elapsed();
    assert!(told.err.contains("the verdict stands"), "{told:?}");
    // A minute is all that it may take, and an overloaded machine needs it.
    assert!(took < Duration::from_secs(55), "{took:?}");
    let verdict = told.json(DIAGNOSIS);
    let first = &verdict["findings"][0];
    assert_eq!(first["verdict"], "proved", "{verdict:#}");
    assert_eq!(first["cause"]["blocker"]["system"], "sync", "{verdict:#}");
}

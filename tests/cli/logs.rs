//! A server's own log beside what was watched of it.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use pgjam::lab::server::ThrowAway;
use serde_json::Value;

use crate::stage::{Answer, DIAGNOSIS, Running, Session, pgjam, run, server};

const PREFIX: &str = "%m [%p] %q%u@%d/%a ";

/// Gives the log in one format.
fn log_file(server: &ThrowAway, ending: &str) -> String {
    let folder = server.folder().join("data/log");
    let files = std::fs::read_dir(folder).unwrap();
    let mut paths = files.map(|file| file.unwrap().path());
    let is_it = |path: &PathBuf| path.extension().is_some_and(|it| it == ending);
    paths.find(is_it).unwrap().display().to_string()
}

/// Plays a row that is held for long, deadlocks and somebody who does not wait, until told.
fn play(server: &ThrowAway, is_over: &AtomicBool) {
    let pause = |ms| std::thread::sleep(Duration::from_millis(ms));
    let again = |system: &'static str, turn: &(dyn Fn(&mut Session) + Sync)| {
        let mut session = Session::open(server, "postgres", system);
        while !is_over.load(Ordering::Relaxed) {
            turn(&mut session);
        }
    };
    let update = |id: u32| format!("update account set n = n + 1 where id = {id}");
    let in_order = |session: &mut Session, ids: [u32; 2]| {
        session.say("begin");
        session.say(update(ids[0]));
        pause(60);
        session.say(update(ids[1]));
        session.say("commit");
        pause(300);
    };
    std::thread::scope(|scope| {
        scope.spawn(|| {
            again("sync", &|session| {
                session.say("begin");
                session.say("update account set n = 7 where id = 1");
                pause(250);
                session.say("commit");
                pause(20);
            });
        });
        for _ in 0..2 {
            scope.spawn(|| again("decision", &|session| session.say(update(1))));
        }
        scope.spawn(|| {
            again("impatient", &|session| {
                session.say("set lock_timeout = '90ms'");
                session.say("update account set n = 8 where id = 1");
                // Whoever gets the row as it is let go tries again while it is held for long yet.
                pause(110);
            });
        });
        scope.spawn(|| again("there", &|session| in_order(session, [2, 3])));
        scope.spawn(|| again("back", &|session| in_order(session, [3, 2])));
    });
}

#[expect(
    clippy::too_many_lines,
    reason = "one run of a server serves all of it"
)]
#[test]
fn the_log_agrees_with_the_samples_in_each_of_its_formats() {
    let server = server(&[
        ("logging_collector", "on"),
        ("log_destination", "stderr,csvlog,jsonlog"),
        ("log_directory", "log"),
        ("log_line_prefix", PREFIX),
        ("log_timezone", "Europe/Berlin"),
        ("log_lock_waits", "on"),
        ("deadlock_timeout", "20ms"),
    ]);
    run(
        &server,
        "postgres",
        "create table account (id int primary key, n int not null);
         insert into account select id, 0 from generate_series(1, 3) id",
    );
    let folder = tempfile::tempdir().unwrap();
    let recording = folder.path().join("recording").display().to_string();
    let dsn = server.dsn("postgres", "postgres");
    let logs = server.folder().join("data/log").display().to_string();
    let is_over = AtomicBool::new(false);
    let watched = std::thread::scope(|scope| {
        scope.spawn(|| play(&server, &is_over));
        let watch = [
            "diagnose",
            "--quiet",
            "--format",
            "json",
            "--duration",
            "10s",
        ];
        let how = [
            "--log-line-prefix",
            PREFIX,
            "--hz",
            "20",
            "--record",
            &recording,
            "--log",
            &logs,
            "--dsn",
            &dsn,
        ];
        let watched = Running::start(&[&watch[..], &how].concat()).end();
        is_over.store(true, Ordering::Relaxed);
        watched
    });
    let log = watched.well().json(DIAGNOSIS)["log"].take();
    let waits = &log["waits"];
    let ratio = waits["ratio"].as_f64().unwrap();
    assert!((0.85..1.15).contains(&ratio), "{waits:#}");
    assert!(waits["waits"].as_u64().unwrap() > 40, "{waits:#}");
    assert_eq!(log["lock_waits_logged"], true);
    assert_eq!(log["unreadable"], Value::Array(vec![]));

    let report = |arguments: &[&str]| -> Answer {
        pgjam(&[&["report", &recording, "--quiet"], arguments].concat())
    };
    let of = |ending: &str| {
        let file = log_file(&server, ending);
        let told = report(&[
            "--format",
            "json",
            "--log",
            &file,
            "--log-line-prefix",
            PREFIX,
        ])
        .well();
        told.json(DIAGNOSIS)
    };
    let whole = of("csv");
    let stated = |document: &Value| {
        let keys = [
            "waits",
            "cells",
            "deadlocks",
            "deadlock_kinds",
            "cancellations",
        ];
        keys.map(|key| document["log"][key].clone())
    };
    for ending in ["json", "log"] {
        assert_eq!(stated(&of(ending)), stated(&whole), "{ending}");
    }

    let first = &whole["log"]["cells"][0];
    assert_eq!(first["table"], "public.account", "{first:#}");
    assert_eq!(first["database"], "postgres", "{first:#}");
    let kind = &whole["log"]["deadlock_kinds"][0];
    let names = |value: &Value, key: &str| -> Vec<String> {
        let list = value.as_array().unwrap().iter();
        list.map(|one| one[key].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(names(&kind["participants"], "system"), ["back", "there"]);
    assert_eq!(kind["tables"][0], "public.account", "{kind:#}");
    let cancelled = &whole["log"]["cancellations"];
    assert_eq!(names(cancelled, "system"), ["impatient"], "{cancelled:#}");
    assert_eq!(names(cancelled, "reason"), ["lock timeout"]);
    let findings = whole["findings"].as_array().unwrap();
    let with_log = |finding: &&Value| !finding["evidence"]["log"].is_null();
    assert!(findings.iter().any(|it| with_log(&it)), "{findings:#?}");

    let page = report(&["--log", &logs]).well().out;
    for words in ["What the server's log states", "deadlock", "lock timeout"] {
        assert!(page.contains(words), "{words} is not in\n{page}");
    }
    refusals(&recording, folder.path());
}

/// What is no log is refused before anything else is said.
fn refusals(recording: &str, folder: &Path) {
    let notes = folder.join("notes.txt");
    std::fs::write(&notes, "dear diary\n").unwrap();
    let packed = folder.join("old.log.gz");
    std::fs::write(&packed, b"\x1f\x8b\x08\x00\x00\x00").unwrap();
    let report = |more: &[&str]| pgjam(&[&["report", recording, "--quiet"], more].concat());
    let (notes, packed) = (notes.display().to_string(), packed.display().to_string());
    report(&["--log", &notes]).refused(2, &["notes.txt", "--log-line-prefix"]);
    report(&["--log", &packed]).refused(2, &["compressed (gzip)"]);
    let nowhere = report(&["--log", &notes, "--log-timezone", "Mars/Olympus"]);
    assert_eq!(nowhere.code, 2, "{nowhere:?}");
}

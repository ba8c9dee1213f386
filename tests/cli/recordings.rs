//! `pgjam report` on folders of every sort.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::stage::{DIAGNOSIS, Running, pgjam, server};

/// Records a quiet server for a second.
fn record(folder: &Path) -> PathBuf {
    let server = server(&[]);
    let recording = folder.join("recording");
    pgjam(&[
        "diagnose",
        "--quiet",
        "--duration",
        "1s",
        "--dsn",
        &server.dsn("postgres", "postgres"),
        "--record",
        recording.to_str().unwrap(),
    ])
    .well();
    recording
}

/// Finds the parts of a table.
fn parts(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(parts(&path));
        } else if path
            .extension()
            .is_some_and(|extension| extension == "parquet")
        {
            found.push(path);
        }
    }
    found
}

#[test]
fn a_folder_that_is_no_recording_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    fs::create_dir(path("empty")).unwrap();
    fs::create_dir(path("foreign")).unwrap();
    fs::write(path("foreign/recording.json"), r#"{"format": "vinyl"}"#).unwrap();
    fs::create_dir(path("torn")).unwrap();
    fs::write(path("torn/recording.json"), r#"{"format": "pgjam.rec"#).unwrap();
    fs::create_dir(path("later")).unwrap();
    fs::write(
        path("later/recording.json"),
        r#"{"format": "pgjam.recording/99"}"#,
    )
    .unwrap();
    for name in ["missing", "empty", "foreign", "torn"] {
        pgjam(&["report", &path(name)]).refused(8, &[&path(name), "is no recording"]);
    }
    pgjam(&["report", &path("later")]).refused(8, &["pgjam.recording/99", "newer pgjam"]);
    fs::create_dir(path("photos")).unwrap();
    fs::write(path("photos/1.jpg"), "").unwrap();
    let server = server(&[]);
    pgjam(&[
        "diagnose",
        "--duration",
        "1s",
        "--dsn",
        &server.dsn("postgres", "postgres"),
        "--record",
        &path("photos"),
    ])
    .refused(8, &["something other than a recording"]);
}

#[test]
fn a_torn_part_is_a_loss_that_the_report_counts() {
    let folder = tempfile::tempdir().unwrap();
    let recording = record(folder.path());
    let whole = pgjam(&["report", recording.to_str().unwrap(), "--format", "json"])
        .well()
        .json(DIAGNOSIS);
    assert_eq!(whole["losses"]["unreadable_parts"], serde_json::Value::Null);
    assert!(whole["window"]["ticks"].as_u64() > Some(5), "{whole:#}");

    let ticks = parts(&recording.join("ticks"));
    let part = File::options().write(true).open(&ticks[0]).unwrap();
    part.set_len(part.metadata().unwrap().len() / 2).unwrap();
    let torn = pgjam(&["report", recording.to_str().unwrap(), "--format", "json"])
        .well()
        .json(DIAGNOSIS);
    assert_eq!(torn["losses"]["unreadable_parts"], 1, "{torn:#}");
    let page = pgjam(&["report", recording.to_str().unwrap()]).well();
    assert!(
        !page.out.contains("nothing that was to be seen"),
        "{page:?}"
    );
    assert!(!page.err.contains("panicked"), "{page:?}");
}

#[test]
fn a_report_may_be_of_the_last_moment_only() {
    let folder = tempfile::tempdir().unwrap();
    let recording = record(folder.path());
    let ticks = |more: &[&str]| {
        let args = ["report", recording.to_str().unwrap(), "--format", "json"];
        let verdict = pgjam(&[&args, more].concat()).well().json(DIAGNOSIS);
        verdict["window"]["ticks"].as_u64().unwrap()
    };
    let all = ticks(&[]);
    assert_eq!(ticks(&["--last", "1h"]), all);
    assert_eq!(ticks(&["--from", "2020-01-01T00:00:00Z"]), all);
    let last = ticks(&["--last", "1s"]);
    assert!((5..all).contains(&last), "{last} of {all}");
}

#[test]
fn a_report_goes_into_the_files_that_were_named() {
    let folder = tempfile::tempdir().unwrap();
    let recording = record(folder.path());
    let path = |name: &str| folder.path().join(name).display().to_string();
    let done = pgjam(&[
        "report",
        recording.to_str().unwrap(),
        "--output",
        &path("verdict.txt"),
        "--html",
        &path("jam.html"),
        "--svg",
        &path("pictures"),
        "--color",
        "always",
    ])
    .well();
    assert_eq!(done.out, "");
    let text = fs::read_to_string(path("verdict.txt")).unwrap();
    assert!(
        text.contains("What this rests on") && !text.contains('\u{1b}'),
        "{text}"
    );
    assert!(
        fs::read_to_string(path("jam.html"))
            .unwrap()
            .starts_with("<!")
    );
    assert!(fs::read_dir(path("pictures")).unwrap().count() >= 3);
    let said = pgjam(&[
        "report",
        recording.to_str().unwrap(),
        "--html",
        &path("no/such/folder/jam.html"),
    ]);
    assert_eq!(said.code, 1, "{said:?}");
    assert!(said.err.contains("cannot write"), "{said:?}");
    assert!(said.out.contains("What this rests on"), "{said:?}");
    pgjam(&[
        "report",
        recording.to_str().unwrap(),
        "--output",
        &path("no/such/folder/verdict.txt"),
    ])
    .refused(1, &["cannot write", "no/such/folder"]);
}

#[test]
fn an_event_is_declared_while_a_daemon_writes() {
    let server = server(&[]);
    let dsn = server.dsn("postgres", "postgres");
    let folder = tempfile::tempdir().unwrap();
    let to = folder.path().join("prod");
    let to = to.to_str().unwrap();
    let declare = |arguments: &[&str]| pgjam(&[&["event"], arguments].concat());
    declare(&["deploy", "--to", to]).refused(8, &["is no recording"]);
    let mut watch = Running::start(&["record", "--dsn", &dsn, "--to", to, "--hz", "20"]);
    watch.hear("watching ");
    std::thread::sleep(Duration::from_millis(700));
    let said = declare(&["county 12 onboarded", "--to", to]).well();
    assert!(said.err.contains("declared in "), "{said:?}");
    std::thread::sleep(Duration::from_millis(700));
    watch.terminate();
    watch.end().well();
    let report = pgjam(&["report", to, "--format", "json"])
        .well()
        .json(DIAGNOSIS);
    let event = &report["events"][0];
    assert_eq!(event["label"], "county 12 onboarded", "{report:#}");
    assert_eq!(event["source"], "declared");
    let window = &report["window"];
    assert!(event["at"].as_str() > window["from"].as_str(), "{report:#}");
    assert!(event["at"].as_str() < window["to"].as_str(), "{report:#}");
    for wrong in [
        ["deploy", "--to", to, "--at", "tomorrow"].as_slice(),
        &["deploy", "--to", to, "--at", "2199-01-01T00:00:00Z"],
        &["two\nlines", "--to", to],
        &["", "--to", to],
        &["deploy"],
    ] {
        assert_eq!(declare(wrong).code, 2, "{wrong:?}");
    }
}

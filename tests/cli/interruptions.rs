//! What ends a watch before its time.

use std::net::TcpListener;

use crate::stage::{DIAGNOSIS, Running, pgjam, server};

#[test]
fn a_crash_in_the_middle_is_one_error_and_the_recording_stays() {
    let mut server = server(&[]);
    let folder = tempfile::tempdir().unwrap();
    let record = folder.path().join("recording");
    let record = record.to_str().unwrap();
    let dsn = server.dsn("postgres", "postgres");
    let mut watch = Running::start(&[
        "diagnose",
        "--duration",
        "60s",
        "--dsn",
        &dsn,
        "--record",
        record,
    ]);
    watch.hear("Nobody waits for a lock");
    server.crash().unwrap();
    watch.end().refused(
        7,
        &["the server went away", &format!("pgjam report {record}")],
    );
    let verdict = pgjam(&["report", record, "--format", "json"])
        .well()
        .json(DIAGNOSIS);
    assert!(
        verdict["window"]["ticks"].as_u64() >= Some(1),
        "{verdict:#}"
    );
    pgjam(&["report", record]).well();
}

#[test]
fn ctrl_c_ends_the_watch_early_with_a_verdict() {
    let server = server(&[]);
    let folder = tempfile::tempdir().unwrap();
    let record = folder.path().join("recording");
    let mut watch = Running::start(&[
        "diagnose",
        "--duration",
        "10m",
        "--format",
        "json",
        "--dsn",
        &server.dsn("postgres", "postgres"),
        "--record",
        record.to_str().unwrap(),
    ]);
    watch.hear("Nobody waits for a lock");
    watch.interrupt();
    let verdict = watch.end().well().json(DIAGNOSIS);
    assert!(
        verdict["window"]["ticks"].as_u64() >= Some(1),
        "{verdict:#}"
    );
}

#[test]
fn ctrl_c_before_there_is_anything_to_say_is_130() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let dsn = format!(
        "host=127.0.0.1 port={} user=a dbname=b",
        silent.local_addr().unwrap().port()
    );
    let watch = Running::start(&["diagnose", "--dsn", &dsn]);
    // It knocked, and nobody answers it.
    let _open = silent.accept().unwrap();
    watch.interrupt();
    let ended = watch.end();
    assert_eq!((ended.code, ended.out.as_str()), (130, ""), "{ended:?}");
}

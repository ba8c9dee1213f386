//! What ends a watch before its time.

use std::net::TcpListener;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use pgjam::recording::Recording;
use pgjam::time::Timestamp;

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

/// How often, at how many moments, a watch is killed unless `PGJAM_KILLS` says another number.
const KILLS: u64 = 5;

#[test]
fn after_kill_9_at_most_the_last_second_is_missing() {
    let kills = std::env::var("PGJAM_KILLS").map_or(KILLS, |number| number.parse().unwrap());
    let server = server(&[]);
    let dsn = server.dsn("postgres", "postgres");
    for kill in 0..kills {
        let folder = tempfile::tempdir().unwrap();
        let record = folder.path().join("recording");
        let record = record.to_str().unwrap();
        let mut watch = Running::start(&[
            "diagnose",
            "--hz",
            "20",
            "--duration",
            "60s",
            "--dsn",
            &dsn,
            "--record",
            record,
        ]);
        watch.hear("Nobody waits for a lock");
        // Between one and two and a half seconds later, at another place between two flushes.
        std::thread::sleep(Duration::from_millis(1_000 + kill * 611 % 1_500));
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        watch.kill();

        let read = Recording::open(record.as_ref()).unwrap();

        let last = read.snapshots.last().unwrap().tick.at;
        let now = Timestamp::from_micros(i64::try_from(now.as_micros()).unwrap());
        let missing = now.since(last).as_secs_f64();
        assert!(missing < 1.0, "{missing} s are missing after kill {kill}");
        assert_eq!(read.losses, []);
        pgjam(&["report", record]).well();
    }
}

//! A watch without an end.

use std::time::{Duration, Instant};

use pgjam::recording::Recording;

use crate::stage::{DIAGNOSIS, Running, pgjam, server};

#[test]
fn a_lost_connection_is_found_again_and_counted() {
    let server = server(&[]);
    let dsn = server.dsn("postgres", "postgres");
    let folder = tempfile::tempdir().unwrap();
    let to = folder.path().join("prod");
    let to = to.to_str().unwrap();
    let mut watch = Running::start(&["record", "--dsn", &dsn, "--to", to, "--hz", "10"]);
    watch.hear("watching ");
    std::thread::sleep(Duration::from_millis(800));
    let mut other = server.connect("postgres").unwrap();
    other
        .execute(
            "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'pgjam'",
            &[],
        )
        .unwrap();
    watch.hear("trying again in ");
    std::thread::sleep(Duration::from_millis(1_800));
    pgjam(&["record", "--dsn", &dsn, "--to", to]).refused(8, &["another pgjam is writing into"]);
    let begun = Instant::now();
    watch.terminate();
    watch.end().well();
    assert!(begun.elapsed() < Duration::from_secs(2));

    let read = Recording::open(to.as_ref()).unwrap();

    let lost = read
        .losses
        .iter()
        .find(|loss| &*loss.kind == "lost_connections");
    let lost = lost.unwrap_or_else(|| panic!("{:?}", read.losses));
    assert_eq!(lost.count, 1);
    let (before, after): (Vec<_>, Vec<_>) = read
        .snapshots
        .iter()
        .partition(|snapshot| snapshot.tick.at < lost.at);
    assert!(before.len() > 3 && after.len() > 3, "{lost:?}");
    pgjam(&["report", to, "--format", "json"])
        .well()
        .json(DIAGNOSIS);
}

#[test]
fn a_server_that_is_not_there_yet_is_waited_for_and_a_wrong_one_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let to = folder.path().join("prod");
    let to = to.to_str().unwrap();
    let mut watch = Running::start(&[
        "record",
        "--dsn",
        "host=/nonexistent user=a dbname=b",
        "--to",
        to,
    ]);
    watch.hear("trying again in ");
    watch.terminate();
    watch.end().well();
    let server = server(&[]);
    let dsn = server.dsn("nowhere", "postgres");
    pgjam(&["record", "--dsn", &dsn, "--to", to]).refused(4, &["nowhere"]);
}

//! The lab against real servers, which it starts itself.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;
use std::time::{Duration, Instant};

use pgjam::lab::server::{Options, ThrowAway};

fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(Instant::now() < deadline, "not in time: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn is_running(pid: u32) -> bool {
    // A child that nobody has waited for yet still has a folder, and no command line.
    std::fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| !line.is_empty())
}

#[test]
fn a_dropped_server_leaves_neither_process_nor_folder() {
    let server = ThrowAway::start(&Options::default()).unwrap();
    let (pid, folder) = (server.pid().unwrap(), server.folder().to_path_buf());
    let mut client = server.connect("postgres").unwrap();
    let one: i32 = client.query_one("SELECT 1", &[]).unwrap().get(0);
    assert_eq!(one, 1);
    assert!(is_running(pid) && folder.exists());
    drop(server);
    assert!(!is_running(pid));
    assert!(!folder.exists());
}

#[test]
fn a_crashed_server_is_gone_and_says_so() {
    let mut server = ThrowAway::start(&Options::default()).unwrap();
    let (pid, folder) = (server.pid().unwrap(), server.folder().to_path_buf());
    let mut client = server.connect("postgres").unwrap();
    server.crash().unwrap();
    assert!(client.simple_query("SELECT 1").is_err());
    assert!(!is_running(pid) && !folder.exists());
    assert_eq!(server.pid(), None);
    assert!(server.connect("postgres").is_err());
}

#[test]
fn a_password_is_asked_by_tcp_alone() {
    let options = Options {
        tcp_password: Some("a'b \\ c".into()),
        ..Options::default()
    };
    let server = ThrowAway::start(&options).unwrap();
    let mut by_tcp: postgres::Config = server.tcp_dsn("postgres", "postgres").parse().unwrap();
    let refused = by_tcp.password("wrong").connect(postgres::NoTls).map(drop);
    assert!(refused.is_err_and(|error| error.code().is_some_and(|code| code.code() == "28P01")));
    by_tcp
        .password("a'b \\ c")
        .connect(postgres::NoTls)
        .unwrap();
    server.connect("postgres").unwrap();
}

#[test]
fn a_server_that_does_not_come_up_tells_why_and_leaves_nothing() {
    let options = Options {
        settings: vec![("max_connections".into(), "none".into())],
        ..Options::default()
    };
    let refusal = ThrowAway::start(&options).unwrap_err().to_string();
    assert!(refusal.contains("max_connections"), "{refusal}");
}

#[test]
fn statements_are_counted_where_the_installation_can() {
    let server = ThrowAway::start(&Options::default()).unwrap();
    let mut client = server.connect("postgres").unwrap();
    let seen = client.query("SELECT calls FROM pg_stat_statements LIMIT 1", &[]);
    assert_eq!(seen.is_ok(), server.has_statements());
}

/// Plays the process that is killed: the test below runs this one alone in a process of
/// its own, through the variable that says where to write what it started.
#[test]
fn a_process_that_is_killed() {
    let Some(note) = std::env::var_os("PGJAM_TEST_KILLED") else {
        return;
    };
    let server = ThrowAway::start(&Options::default()).unwrap();
    let text = format!("{}\n{}", server.pid().unwrap(), server.folder().display());
    std::fs::write(&note, text).unwrap();
    std::fs::rename(&note, Path::new(&note).with_extension("done")).unwrap();
    loop {
        std::thread::park();
    }
}

#[test]
fn a_killed_process_leaves_no_server_either() {
    let folder = tempfile::tempdir().unwrap();
    let note = folder.path().join("note");
    let mut victim = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "a_process_that_is_killed"])
        .env("PGJAM_TEST_KILLED", &note)
        .spawn()
        .unwrap();
    let done = note.with_extension("done");
    eventually("the server of the victim starts", || done.exists());
    let text = std::fs::read_to_string(done).unwrap();
    let (pid, data) = text.split_once('\n').unwrap();
    let pid = pid.parse().unwrap();
    assert!(is_running(pid));
    victim.kill().unwrap();
    victim.wait().unwrap();
    eventually("the orphaned server ends", || !is_running(pid));
    eventually("its folder goes", || !Path::new(data).exists());
}

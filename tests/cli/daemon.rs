//! Several servers from one process.

use std::fs;
use std::io::Write;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use pgjam::recording::Recording;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::stage::{Answer, Running, pgjam, server};

/// A configuration in a folder of its own, which holds the recordings too.
struct Configured {
    folder: tempfile::TempDir,
}

impl Configured {
    fn new(servers: &[(&str, &str)]) -> Self {
        let configured = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        configured.write(servers);
        configured
    }

    /// Writes down which servers there are, each with further lines.
    fn write(&self, servers: &[(&str, &str)]) {
        let mut text = format!("data_dir = \"{}\"\n", self.folder.path().display());
        for (name, lines) in servers {
            text.extend(["[servers.", name, "]\n", lines, "\n"]);
        }
        fs::write(self.file(), text).unwrap();
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("pgjam.toml")
    }

    fn start(&self, arguments: &[&str]) -> Running {
        let file = self.file();
        let begin = ["record", "--config", file.to_str().unwrap()];
        Running::start(&[&begin, arguments].concat())
    }

    fn to(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

/// Ends it, which takes no longer than is promised.
#[track_caller]
fn end(watch: Running) -> Answer {
    let begun = Instant::now();
    watch.terminate();
    let answer = watch.end().well();
    assert!(
        begun.elapsed() < Duration::from_secs(2),
        "{:?}",
        begun.elapsed()
    );
    answer
}

/// Waits for a recording to have so many ticks.
#[track_caller]
fn until_ticks(folder: &Path, count: usize) -> Recording {
    let begun = Instant::now();
    loop {
        let read = Recording::open(folder);
        if let Ok(read) = read.as_ref()
            && read.snapshots.len() >= count
        {
            return read.clone();
        }
        assert!(begun.elapsed() < Duration::from_secs(40), "{read:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Gives an address that nobody listens on.
fn free_address() -> SocketAddr {
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    free.local_addr().unwrap()
}

fn lost(read: &Recording, kind: &str) -> u64 {
    let losses = read.losses.iter().filter(|loss| &*loss.kind == kind);
    losses.map(|loss| loss.count).sum()
}

#[test]
fn a_server_that_hangs_or_refuses_delays_no_other() {
    let server = server(&[]);
    let dsn = |database: &str| format!("dsn = \"{}\"\nhz = 20", server.dsn(database, "postgres"));
    // It takes connections and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    let hanging = format!("dsn = \"host=127.0.0.1 port={port} user=a dbname=b\"");
    let configured = Configured::new(&[
        ("calm", &dsn("postgres")),
        ("hanging", &hanging),
        ("wrong", &dsn("nowhere")),
    ]);
    let mut watch = configured.start(&[]);
    watch.hear("calm: watching ");
    watch.hear("wrong: ");
    watch.hear("somebody has to mend this; trying again in ");
    watch.hear("hanging: ");
    until_ticks(&configured.to("calm"), 20);
    end(watch);
    let read = Recording::open(&configured.to("calm")).unwrap();
    let gaps = read
        .snapshots
        .windows(2)
        .map(|pair| pair[1].tick.at.since(pair[0].tick.at));
    let longest = gaps.max().unwrap();
    assert!(longest.as_secs_f64() < 3.0, "{longest}");
    assert!(!configured.to("wrong").exists());
}

#[test]
fn a_reload_ends_begins_and_changes_what_it_says_and_nothing_else() {
    let server = server(&[]);
    let dsn = format!("dsn = \"{}\"\nhz = 20", server.dsn("postgres", "postgres"));
    let configured = Configured::new(&[("same", &dsn), ("old", &dsn), ("changed", &dsn)]);
    let mut watch = configured.start(&[]);
    for name in ["same", "old", "changed"] {
        watch.hear(&format!("{name}: watching "));
        until_ticks(&configured.to(name), 2);
    }

    fs::write(configured.file(), "[servers.same]\ndns = \"host=a\"\n").unwrap();
    watch.reload();
    watch.hear("the configuration stays as it was");
    watch.hear(":2: servers.same.dns is not known; did you mean dsn?");

    let slower = dsn.replace("hz = 20", "hz = 10");
    configured.write(&[("same", &dsn), ("new", &dsn), ("changed", &slower)]);
    watch.reload();
    watch.hear("is read: 3 servers, 1 new, 1 changed, 1 gone");
    watch.hear("old: is no longer watched");
    watch.hear("new: watching ");
    watch.hear("changed: goes on with its new settings");
    until_ticks(&configured.to("new"), 10);
    end(watch);

    let read = |name: &str| Recording::open(&configured.to(name)).unwrap();
    for name in ["same", "changed"] {
        let read = read(name);
        assert_eq!(lost(&read, "observer_restarts"), 0, "{name}");
        assert_eq!(lost(&read, "lost_connections"), 0, "{name}");
    }
    let last = |name: &str| read(name).snapshots.last().unwrap().tick.at;
    assert!(last("old") < last("same"));
}

#[test]
fn whoever_finds_a_recording_taken_waits_for_it() {
    let server = server(&[]);
    let dsn = format!("dsn = \"{}\"", server.dsn("postgres", "postgres"));
    let configured = Configured::new(&[("prod", &dsn)]);
    let mut first = configured.start(&[]);
    until_ticks(&configured.to("prod"), 1);
    let mut second = configured.start(&[]);
    second.hear("another pgjam is writing into ");
    first.kill();
    // The lock goes with its process, however that ended, and whoever has its pid next.
    second.hear("prod: watching ");
    end(second);
    let read = Recording::open(&configured.to("prod")).unwrap();
    assert_eq!(lost(&read, "observer_restarts"), 1);
}

#[test]
fn a_log_of_json_has_an_object_a_line() {
    let server = server(&[]);
    let dsn = format!("dsn = \"{}\"", server.dsn("postgres", "postgres"));
    let configured = Configured::new(&[("prod", &dsn)]);
    let mut watch = configured.start(&["--log-format", "json"]);
    watch.hear("watching ");
    let told = end(watch);
    let lines: Vec<Value> = told
        .err
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let is_begun = |line: &&Value| line["message"].as_str().unwrap().starts_with("watching ");
    let first = lines.iter().find(is_begun).unwrap();
    assert_eq!(
        (first["level"].as_str(), first["server"].as_str()),
        (Some("INFO"), Some("prod"))
    );
    assert!(first["timestamp"].is_string(), "{first}");
}

#[test]
fn the_two_ways_to_say_what_is_watched_do_not_mix() {
    for arguments in [
        ["record", "--config", "a.toml", "--to", "b"].as_slice(),
        &["record", "--dsn", "host=a"],
        &["record", "--hz", "5"],
        &["now", "prod", "--dsn", "host=a"],
    ] {
        assert_eq!(pgjam(arguments).code, 2, "{arguments:?}");
    }
}

#[test]
fn a_daemon_is_told_of_an_event_over_http() {
    let server = server(&[]);
    let dsn = format!("dsn = \"{}\"\nhz = 20", server.dsn("postgres", "postgres"));
    let configured = Configured::new(&[("prod", &dsn)]);
    let address = free_address();
    let token = configured.to("token");
    fs::write(&token, "correct-horse-battery\n").unwrap();
    fs::set_permissions(&token, fs::Permissions::from_mode(0o600)).unwrap();
    let token = token.to_str().unwrap();
    let http = format!("[http]\nlisten = \"{address}\"\ntoken_file = \"{token}\"\n");
    let text = fs::read_to_string(configured.file()).unwrap();
    fs::write(configured.file(), text + &http).unwrap();
    let mut watch = configured.start(&[]);
    watch.hear(&format!("answers on http://{address}"));
    until_ticks(&configured.to("prod"), 2);

    let url = format!("http://{address}");
    let declare = |arguments: &[&str]| {
        let event = ["event", "deploy", "--url", &url];
        pgjam(&[&event[..], arguments].concat())
    };
    declare(&[]).refused(1, &["did not take the event (status 401)"]);
    declare(&["--token-file", token, "nowhere"])
        .refused(1, &["no server is watched under this name"]);
    let said = declare(&["--token-file", token, "prod"]).well();
    assert!(said.err.contains("declared at "), "{said:?}");
    let before = Recording::open(&configured.to("prod")).unwrap();
    until_ticks(&configured.to("prod"), before.snapshots.len() + 5);
    end(watch);
    let read = Recording::open(&configured.to("prod")).unwrap();
    let labels: Vec<&str> = read.declared.iter().map(|told| &*told.label).collect();
    assert_eq!(labels, ["deploy"]);
    declare(&["--token-file", token]).refused(1, &["no answer from http://"]);
}

#[test]
fn an_event_is_recorded_that_was_declared_while_the_server_was_away() {
    let server = server(&[]);
    let dsn = format!("dsn = \"{}\"\nhz = 20", server.dsn("postgres", "postgres"));
    let configured = Configured::new(&[("prod", &dsn)]);
    let address = free_address();
    let url = format!("http://{address}");
    let text = fs::read_to_string(configured.file()).unwrap();
    let http = format!("[http]\nlisten = \"{address}\"\n");
    fs::write(configured.file(), text + &http).unwrap();

    let mut watch = configured.start(&[]);
    until_ticks(&configured.to("prod"), 2);
    drop(server);
    watch.hear("trying again in ");
    pgjam(&["event", "lost", "--url", &url]).well();
    end(watch);

    let mut watch = configured.start(&[]);
    watch.hear("trying again in ");
    pgjam(&["event", "never reached", "--url", &url]).well();
    end(watch);

    let read = Recording::open(&configured.to("prod")).unwrap();
    let labels: Vec<&str> = read.declared.iter().map(|told| &*told.label).collect();
    assert_eq!(labels, ["lost", "never reached"]);
}

#[test]
fn a_standard_error_that_takes_nothing_holds_nobody_up() {
    let server = server(&[]);
    let dsn = format!("dsn = \"{}\"\nhz = 20", server.dsn("postgres", "postgres"));
    for is_closed in [false, true] {
        let configured = Configured::new(&[("prod", &dsn)]);
        let (reader, mut writer) = std::io::pipe().unwrap();
        // As full as a pipe can be.
        writer.write_all(&vec![b'.'; 65_536]).unwrap();
        let reader = (!is_closed).then_some(reader);
        let mut watch = Command::new(env!("CARGO_BIN_EXE_pgjam"))
            .args(["record", "--config"])
            .arg(configured.file())
            .env_clear()
            .stderr(writer)
            .spawn()
            .unwrap();
        until_ticks(&configured.to("prod"), 10);
        let begun = Instant::now();
        kill_process(Pid::from_child(&watch), Signal::TERM).unwrap();
        assert!(watch.wait().unwrap().success());
        assert!(begun.elapsed() < Duration::from_secs(2));
        drop(reader);
    }
}

//! The program itself, on a server in which somebody waits.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use pgjam::lab::server::{Options, ThrowAway};
use pgjam::recording::Recording;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::contract;
use crate::metrics::parsed;
use crate::stage::{Answer, SOON, connect, request, talk};

const TOKEN: &str = "correct-horse-battery-staple";

/// `pgjam record`, at work; dropping it kills it.
pub(crate) struct Daemon {
    child: Child,
    pub(crate) address: SocketAddr,
    said: Arc<Mutex<String>>,
    log: Option<JoinHandle<()>>,
}

impl Daemon {
    pub(crate) fn start(arguments: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_pgjam"))
            .arg("record")
            .args(arguments)
            .env_clear()
            .env("HOME", "/nonexistent")
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        let address = loop {
            line.clear();
            assert!(log.read_line(&mut line).unwrap() > 0, "it never listens");
            if let Some((_, address)) = line.split_once("answers on http://") {
                break address.trim().parse().unwrap();
            }
        };
        let said: Arc<Mutex<String>> = Arc::default();
        let heard = Arc::clone(&said);
        let log = std::thread::spawn(move || {
            for line in log.lines().map_while(Result::ok) {
                *heard.lock().unwrap() += &(line + "\n");
            }
        });
        Self {
            child,
            address,
            said,
            log: Some(log),
        }
    }

    #[track_caller]
    fn ask(&self, method: &str, target: &str, head: &[&str], body: &str) -> Answer {
        let request = request(method, target, head, body);
        let answer = talk(connect(self.address), request.as_bytes());
        contract::hold(method, target, &answer);
        answer
    }

    /// Asks until the answer is as it will be.
    #[track_caller]
    pub(crate) fn until(
        &self,
        target: &str,
        head: &[&str],
        is_so: impl Fn(&Answer) -> bool,
    ) -> Answer {
        let begun = Instant::now();
        loop {
            let answer = self.ask("GET", target, head, "");
            if is_so(&answer) {
                return answer;
            }
            assert!(begun.elapsed() < SOON, "{answer:#?}");
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits until its log has this.
    #[track_caller]
    fn says(&self, words: &str) {
        let begun = Instant::now();
        loop {
            let said = self.said.lock().unwrap().clone();
            if said.contains(words) {
                return;
            }
            assert!(begun.elapsed() < SOON, "{said}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Ends it as systemd does, and gives its log.
    pub(crate) fn end(mut self) -> String {
        let begun = Instant::now();
        self.signal(Signal::TERM);
        assert!(self.child.wait().unwrap().success());
        assert!(begun.elapsed() < Duration::from_secs(3));
        self.log.take().unwrap().join().unwrap();
        self.said.lock().unwrap().clone()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A server on which `sync-12` holds a row and `decision` waits for it.
pub(crate) fn jammed() -> (ThrowAway, postgres::Client, JoinHandle<()>) {
    let server = ThrowAway::start(&Options {
        fsync: false,
        max_connections: 20,
        ..Options::default()
    })
    .unwrap();
    let session = |application: &str| {
        let mut client = server.connect("postgres").unwrap();
        let name = format!("SET application_name = '{application}'");
        client.batch_execute(&name).unwrap();
        client
    };
    let mut holder = session("sync-12");
    let make = "CREATE TABLE hot (id int PRIMARY KEY, zebra int); INSERT INTO hot VALUES (1, 0)";
    holder.batch_execute(make).unwrap();
    let hold = "BEGIN; UPDATE hot SET zebra = 4711 WHERE id = 1";
    holder.batch_execute(hold).unwrap();
    let mut waiter = session("decision");
    let waits = std::thread::spawn(move || {
        waiter
            .batch_execute("UPDATE hot SET zebra = 4712 WHERE id = 1")
            .unwrap();
    });
    (server, holder, waits)
}

pub(crate) fn sees_wait(answer: &Answer) -> bool {
    answer.status == 200 && answer.json()["chains"][0]["table"] == "public.hot"
}

/// Takes out of a graph what another look at the same jam has otherwise.
fn lasting(graph: &Value) -> Value {
    match graph {
        Value::Object(members) => {
            let lasts = |key: &str| !key.ends_with("_ms") && key != "taken_at";
            let members = members.iter().filter(|(key, _)| lasts(key));
            members
                .map(|(key, value)| (key.clone(), lasting(value)))
                .collect::<serde_json::Map<_, _>>()
                .into()
        }
        Value::Array(items) => items.iter().map(lasting).collect(),
        other => other.clone(),
    }
}

#[test]
fn the_daemon_tells_what_now_tells_and_its_events_reach_the_recording() {
    let (server, mut holder, waits) = jammed();
    let dsn = server.dsn("postgres", "postgres");
    let folder = tempfile::tempdir().unwrap();
    let (to, token) = (folder.path().join("prod"), folder.path().join("token"));
    std::fs::write(&token, TOKEN).unwrap();
    std::fs::set_permissions(&token, std::fs::Permissions::from_mode(0o600)).unwrap();
    let (to, token) = (to.to_str().unwrap(), token.to_str().unwrap());
    let listen = ["--listen", "127.0.0.1:0", "--token-file", token];
    let daemon = Daemon::start(&[&["--dsn", &dsn, "--to", to], &listen[..]].concat());
    let right = format!("Authorization: Bearer {TOKEN}");
    let head = [right.as_str()];

    let graph = daemon.until("/api/v1/graph", &head, sees_wait).json();
    let now = assert_cmd::Command::new(env!("CARGO_BIN_EXE_pgjam"))
        .args(["now", "--format", "json", "--dsn", &dsn])
        .output()
        .unwrap();
    let now: Value = serde_json::from_slice(&now.stdout).unwrap();
    assert_eq!(lasting(&graph), lasting(&now));
    assert!(!graph.to_string().contains("4711"), "{graph:#}");

    daemon.until("/readyz", &head, |answer| answer.status == 200);
    let metrics = daemon.until("/metrics", &head, |answer| answer.body.contains("sync-12"));
    let waited = "pgjam_lock_wait_seconds_total{server=\"prod\",class=\"row-lock\",\
                  table=\"public.hot\",blocker=\"session\",blocking_system=\"sync-12\"}";
    assert!(parsed(&metrics.body)[waited] > 0.0);

    let json = "Content-Type: application/json";
    let told = json!({ "label": "county 12 onboarded" }).to_string();
    let declared = daemon
        .ask("POST", "/api/v1/events", &[json, &right], &told)
        .is(201);
    let at = declared.json()["events"][0]["at"].clone();
    let tells = |answer: &Answer| {
        let diagnosis = answer.json();
        let events = diagnosis["events"].as_array();
        events.is_some_and(|events| events.iter().any(|e| e["label"] == "county 12 onboarded"))
    };
    let diagnosis = daemon.until("/api/v1/diagnosis", &head, tells).json();
    assert_eq!(diagnosis["now"]["blocked_sessions"], 1);

    holder.batch_execute("COMMIT").unwrap();
    waits.join().unwrap();
    let nobody = |answer: &Answer| answer.json()["nodes"] == json!([]);
    daemon.until("/api/v1/graph", &head, nobody);
    let log = daemon.end();
    assert!(!log.contains("defect"), "{log}");
    let read = Recording::open(to.as_ref()).unwrap();
    let label = "county 12 onboarded";
    let event = read.declared.iter().find(|event| &*event.label == label);
    assert_eq!(json!(event.unwrap().at.to_rfc3339_whole()), at);
}

#[test]
fn a_server_that_went_away_is_told_as_such_while_the_daemon_is_well() {
    let (server, holder, waits) = jammed();
    let dsn = server.dsn("postgres", "postgres");
    let folder = tempfile::tempdir().unwrap();
    let to = folder.path().join("prod");
    let to = to.to_str().unwrap();
    let daemon = Daemon::start(&["--dsn", &dsn, "--to", to, "--listen", "127.0.0.1:0"]);
    let graph = daemon.until("/api/v1/graph", &[], sees_wait);
    assert!(!graph.body.contains("zebra"), "{graph:#?}");
    drop(holder);
    waits.join().unwrap();
    drop(server);
    let lost = daemon
        .until("/readyz", &[], |answer| answer.status == 503)
        .json();
    assert_eq!(lost["servers"][0]["server"], "prod");
    assert!(lost["servers"][0]["reason"].is_string(), "{lost:#}");
    daemon.ask("GET", "/healthz", &[], "").is(200);
    let up = "pgjam_up{server=\"prod\"} 0";
    daemon.until("/metrics", &[], |answer| answer.body.contains(up));
    daemon.end();
}

/// A token that was changed holds from SIGHUP on, where the daemon listens; what cannot be used
/// changes nothing, and is told.
#[test]
fn a_sighup_reads_the_token_again_and_keeps_what_was_where_it_cannot() {
    let folder = tempfile::tempdir().unwrap();
    let [token, file] = ["token", "config.toml"].map(|name| folder.path().join(name));
    let write = |path: &Path, text: &str| {
        std::fs::write(path, text).unwrap();
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
    };
    let configure = |listen: &str| {
        let (data, token) = (folder.path().display(), token.display());
        let text = format!(
            "data_dir = \"{data}/data\"\n[servers.prod]\ndsn = \"host=/nonexistent\"\n\
             [http]\nlisten = \"{listen}\"\ntoken_file = \"{token}\"\n"
        );
        write(&file, &text);
    };
    write(&token, TOKEN);
    configure("127.0.0.1:0");
    let daemon = Daemon::start(&["--config", file.to_str().unwrap()]);
    let [old, new] =
        [TOKEN, "another-battery-staple"].map(|it| format!("Authorization: Bearer {it}"));
    let (old, new) = ([old.as_str()], [new.as_str()]);
    daemon.ask("GET", "/metrics", &old, "").is(200);
    daemon.ask("GET", "/metrics", &new, "").is(401);

    write(&token, "another-battery-staple");
    daemon.signal(Signal::HUP);
    daemon.until("/metrics", &new, |answer| answer.status == 200);
    daemon.ask("GET", "/metrics", &old, "").is(401);

    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    configure(&taken.local_addr().unwrap().to_string());
    daemon.signal(Signal::HUP);
    let told = "HTTP stays as it was, since cannot listen on";
    daemon.says(told);
    daemon.ask("GET", "/metrics", &new, "").is(200);
    daemon.end();
}

#[test]
fn it_does_not_start_where_it_could_not_know_its_callers() {
    let refused = assert_cmd::Command::new(env!("CARGO_BIN_EXE_pgjam"))
        .args([
            "record",
            "--dsn",
            "host=/nonexistent",
            "--to",
            "/nonexistent/a",
        ])
        .args(["--listen", "0.0.0.0:0"])
        .output()
        .unwrap();
    let said = String::from_utf8(refused.stderr).unwrap();
    assert_eq!(refused.status.code(), Some(2), "{said}");
    assert!(said.contains("others can reach"), "{said}");
}

//! The lab against real servers, which it starts itself.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;
use std::time::{Duration, Instant};

use pgjam::lab::LabError;
use pgjam::lab::play::Running;
use pgjam::lab::rollout::{Phases, Rollout, Variant};
use pgjam::lab::server::{Options, ThrowAway, stop_on_signals};
use pgjam::lab::truth::Truth;
use rustix::process::{Pid, Signal, kill_process};

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
fn a_server_that_does_not_come_up_tells_why() {
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

/// Plays the process that is ended from outside: the tests below run this one alone in a
/// process of its own, through the variable that says where to write what it started.
#[test]
fn a_process_of_its_own() {
    let Some(note) = std::env::var_os("PGJAM_TEST_NOTE") else {
        return;
    };
    stop_on_signals().unwrap();
    let server = ThrowAway::start(&Options::default()).unwrap();
    let running = start(&in_short(Variant::Story), &server);
    eventually("the schedule begins", || running.phase().phase == "settle");
    let text = format!("{}\n{}", server.pid().unwrap(), server.folder().display());
    std::fs::write(&note, text).unwrap();
    std::fs::rename(&note, Path::new(&note).with_extension("done")).unwrap();
    loop {
        std::thread::park();
    }
}

/// Ends a process that has a server and a run going, and checks that nothing is left.
fn check_ended_by(signal: Signal, code: Option<i32>) {
    let folder = tempfile::tempdir().unwrap();
    let note = folder.path().join("note");
    let mut victim = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "a_process_of_its_own"])
        .env("PGJAM_TEST_NOTE", &note)
        .spawn()
        .unwrap();
    let done = note.with_extension("done");
    eventually("the server of the victim starts", || done.exists());
    let text = std::fs::read_to_string(done).unwrap();
    let (pid, data) = text.split_once('\n').unwrap();
    let pid = pid.parse().unwrap();
    assert!(is_running(pid));
    kill_process(Pid::from_child(&victim), signal).unwrap();
    assert_eq!(victim.wait().unwrap().code(), code);
    eventually("the server ends", || !is_running(pid));
    eventually("its folder goes", || !Path::new(data).exists());
}

#[test]
fn a_process_that_is_told_to_end_leaves_no_server() {
    check_ended_by(Signal::TERM, Some(130));
}

#[test]
fn a_process_that_is_killed_leaves_no_server_either() {
    check_ended_by(Signal::KILL, None);
}

/// Ten seconds of the two minutes.
fn in_short(variant: Variant) -> Rollout {
    Rollout {
        seed: 1,
        variant,
        phases: Phases {
            settle: Duration::from_secs(3),
            wave_1: Duration::from_secs(1),
            wave_2: Duration::from_secs(1),
            wave_3: Duration::from_secs(5),
        },
        ..Rollout::default()
    }
}

/// A server that logs whoever waits for a lock longer than ten milliseconds.
fn telling_server() -> ThrowAway {
    let settings = [("log_lock_waits", "on"), ("deadlock_timeout", "10ms")];
    ThrowAway::start(&Options {
        settings: settings
            .map(|(name, value)| (name.into(), value.into()))
            .into(),
        ..Options::default()
    })
    .unwrap()
}

fn start(rollout: &Rollout, server: &ThrowAway) -> Running {
    let target = server.dsn("postgres", "postgres").parse().unwrap();
    rollout
        .start(&target, &server.folder().join("truth.jsonl"))
        .unwrap()
}

/// Counts the logged waits for a row somebody else has written.
fn row_lock_waits(server: &ThrowAway) -> usize {
    let log = std::fs::read_to_string(server.log_path()).unwrap();
    let waits = log
        .lines()
        .filter(|line| line.contains("still waiting for"));
    waits
        .filter(|line| line.contains(" on transaction ") || line.contains(" on tuple "))
        .count()
}

fn schemas(server: &ThrowAway) -> i64 {
    let count = "SELECT count(*) FROM pg_namespace WHERE nspname = 'pgjam_lab'";
    server
        .connect("postgres")
        .unwrap()
        .query_one(count, &[])
        .unwrap()
        .get(0)
}

#[test]
fn a_score_of_three_short_scenarios_names_the_guilty_and_nobody_else() {
    let score = std::process::Command::new(env!("CARGO_BIN_EXE_pgjam"))
        .args(["--quiet", "lab", "score", "--smoke", "--format", "json"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&score.stderr);
    assert!(score.status.success(), "{said}");
    let score: serde_json::Value = serde_json::from_slice(&score.stdout).unwrap();
    assert_eq!(score["schema"], "pgjam.score/0");
    assert_eq!(
        (&score["counted"], &score["failed"]),
        (&3.into(), &serde_json::json!([]))
    );
    let pgjam = &score["methods"][0];
    assert_eq!(pgjam["method"], "pgjam");
    // A table that is locked for a quarter of the time is seen within seconds.
    assert!(
        pgjam["hits_at_1"]["all"]["hits"].as_u64() >= Some(1),
        "{score:#}"
    );
    assert_eq!(pgjam["wrong"]["hits"], 0, "{score:#}");
    assert_eq!(pgjam["false_accusations"]["hits"], 0, "{score:#}");
}

#[test]
fn a_scenario_is_played_again_without_its_cause_and_kept_beside_itself() {
    let folder = tempfile::tempdir().unwrap();
    let score = |more: &[&str]| {
        let score = std::process::Command::new(env!("CARGO_BIN_EXE_pgjam"))
            .args(["--quiet", "lab", "score", "--format", "json"])
            .args(more)
            .arg(folder.path())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&score.stderr);
        assert!(score.status.success(), "{said}");
        serde_json::from_slice::<serde_json::Value>(&score.stdout).unwrap()
    };
    let only = ["--only", "lock-table", "--scale", "0.12"];
    let played = score(&[&only[..], &["--what-if", "--into"]].concat());
    assert_eq!(played["failed"], serde_json::json!([]));
    let what_if = &played["runs"][0]["what_if"];
    for (place, without) in ["cause", "call"].into_iter().enumerate() {
        let played = &what_if["played"][place];
        assert_eq!(played["without"], without, "{what_if:#}");
        let [with, mean] = ["with_ms", "mean_ms"].map(|key| played[key].as_f64().unwrap());
        assert!(mean < 0.5 * with, "{what_if:#}");
        let again = folder
            .path()
            .join(format!("lock-table.1.without-{without}"));
        let truth = Truth::read(&again.join("truth.jsonl")).unwrap();
        let came = truth.onboardings.iter().any(|it| it.system == "closing");
        assert_eq!(came, without == "call");
    }
    // What was played beside a run is no run of its own.
    let kept = score(&["--from"]);
    assert_eq!(kept["runs"].as_array().unwrap().len(), 1);
    assert_eq!(kept["runs"][0]["what_if"], *what_if);
}

#[test]
fn in_the_story_the_decision_gets_slower_when_the_last_wave_arrives() {
    let server = telling_server();
    let running = start(&in_short(Variant::Story), &server);
    let mut client = server.connect("postgres").unwrap();
    eventually("all 37 systems are connected under their names", || {
        let names = "SELECT count(DISTINCT application_name) FROM pg_stat_activity \
                     WHERE application_name ~ '^(decision|(intake|sync|reporting)-[0-9]{2})$'";
        client.query_one(names, &[]).unwrap().get::<_, i64>(0) == 37
    });
    assert_eq!(running.phase().phase, "wave 3");
    let summary = running.wait().unwrap();
    assert_eq!((summary.errors.count, summary.errors.first), (0, None));
    assert_eq!(summary.onboardings.len(), 37);
    assert_eq!(schemas(&server), 0, "the lab removes what it made");

    let truth = Truth::read(&server.folder().join("truth.jsonl")).unwrap();
    assert_eq!(
        (&truth.phases, &truth.onboardings),
        (&summary.phases, &summary.onboardings)
    );
    let text = &truth.statements[&("decision".into(), "counter".into())];
    assert!(text.contains("decided = decided + 1"), "{text}");
    let mean = |phase: &str| {
        let phase = truth.phase(phase).unwrap();
        truth
            .mean_ms("decision", "counter", phase.from, phase.to)
            .unwrap()
    };
    let (before, after) = (mean("settle"), mean("wave 3"));
    assert!(
        before.calls > 50 && after.calls > 100,
        "{before:?} {after:?}"
    );
    assert!(after.ms > before.ms + 1.5, "{before:?} {after:?}");
    assert!(row_lock_waits(&server) > 0);
}

#[test]
fn in_the_quiet_variant_nobody_waits_for_a_row() {
    let server = telling_server();
    let summary = start(&in_short(Variant::Quiet), &server).wait().unwrap();
    assert_eq!((summary.errors.count, summary.errors.first), (0, None));
    assert_eq!(summary.onboardings.len(), 37);
    assert_eq!(row_lock_waits(&server), 0);
}

#[test]
fn a_schema_that_no_lab_made_is_left_alone() {
    let server = ThrowAway::start(&Options::default()).unwrap();
    let mut client = server.connect("postgres").unwrap();
    client
        .batch_execute("CREATE SCHEMA pgjam_lab CREATE TABLE precious ()")
        .unwrap();
    let target = server.dsn("postgres", "postgres").parse().unwrap();
    let refused = in_short(Variant::Story).start(&target, &server.folder().join("truth"));
    assert!(matches!(refused, Err(LabError::SchemaTaken)));
    client.batch_execute("TABLE pgjam_lab.precious").unwrap();
}

#[test]
fn a_run_that_is_dropped_leaves_no_connection_and_no_schema() {
    let server = ThrowAway::start(&Options::default()).unwrap();
    let kept = Rollout {
        keep_schema: true,
        ..in_short(Variant::Story)
    };
    drop(start(&kept, &server));
    assert_eq!(schemas(&server), 1, "kept when told to");
    let running = start(&in_short(Variant::Story), &server);
    eventually("the schedule begins", || running.phase().phase == "settle");
    drop(running);
    assert_eq!(
        schemas(&server),
        0,
        "an earlier lab's schema is ours to replace and drop"
    );
    let mut client = server.connect("postgres").unwrap();
    eventually("the decision is gone", || {
        let left = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'decision'";
        client.query_one(left, &[]).unwrap().get::<_, i64>(0) == 0
    });
}

#[test]
fn a_server_that_goes_away_under_a_run_is_an_error_of_the_run() {
    let mut server = ThrowAway::start(&Options::default()).unwrap();
    let running = start(&in_short(Variant::Story), &server);
    eventually("the schedule begins", || running.phase().phase == "settle");
    server.crash().unwrap();
    eventually("a client says so", || running.errors().count > 0);
    assert!(running.errors().first.unwrap().starts_with("decision: "));
    assert!(running.stop().is_err(), "the schema could not be dropped");
}

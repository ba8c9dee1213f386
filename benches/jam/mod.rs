//! A real jam to take rows from: the lab's county rollout, recorded at 10 looks a second.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use pgjam::lab::play::Running;
use pgjam::lab::rollout::{Phases, Rollout};
use pgjam::lab::server::{Options, ThrowAway};
use postgres::{Config, NoTls};
use rustix::process::{Pid, Signal, kill_process};

/// How long the careless system's call takes.
const CALL: Duration = Duration::from_millis(250);

/// Lets the county rollout run in each of some databases of one server, so long with everybody
/// there, and records it.
///
/// The careless system's call takes so long that about fifty sessions are active in each.
pub(crate) fn record(folder: &Path, databases: &[&str], recorded: Duration) -> PathBuf {
    let options = Options {
        fsync: false,
        ..Options::default()
    };
    let server = ThrowAway::start(&options).unwrap();
    let dsn = server.dsn("postgres", "postgres");
    let rollout = Rollout {
        seed: 1,
        phases: Phases {
            settle: Duration::from_secs(2),
            wave_1: Duration::from_secs(2),
            wave_2: Duration::from_secs(2),
            wave_3: recorded,
        },
        call: CALL,
        ..Rollout::default()
    };
    println!("recording the county rollout, {} s", recorded.as_secs());
    let usual: Config = dsn.parse().unwrap();
    let mut session = usual.connect(NoTls).unwrap();
    let start = |database: &&str| {
        if *database != "postgres" {
            let create = format!("CREATE DATABASE {database}");
            session.batch_execute(&create).unwrap();
        }
        let truth = folder.with_extension(format!("{database}.truth"));
        let target = server.dsn(database, "postgres").parse().unwrap();
        rollout.start(&target, &truth).unwrap()
    };
    let running: Vec<_> = databases.iter().map(start).collect();
    drop(session);
    // On a machine that the rollout keeps busy a look takes more than the usual 2 %.
    let configuration = folder.with_extension("toml");
    let to = folder.to_str().unwrap();
    let lines = format!("[servers.lab]\ndsn = {dsn:?}\nto = {to:?}\nhz = 10\nbudget = \"50%\"\n");
    fs::write(&configuration, lines).unwrap();
    let mut watch = Command::new(env!("CARGO_BIN_EXE_pgjam"));
    watch.args(["record", "--config"]).arg(&configuration);
    let mut watch = watch.stderr(Stdio::null()).spawn().unwrap();
    let ended: Vec<_> = running.into_iter().map(Running::wait).collect();
    kill_process(Pid::from_child(&watch), Signal::TERM).unwrap();
    assert!(watch.wait().unwrap().success());
    for one in ended {
        assert_eq!(one.unwrap().errors.count, 0);
    }
    folder.to_owned()
}

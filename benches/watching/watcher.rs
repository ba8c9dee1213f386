//! Who watches: the program itself, what else is in use, and nobody.

use std::fmt;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use pgjam::lab::server::ThrowAway;
use pgjam::recording::Recording;
use postgres::{Client, NoTls};
use rustix::process::{Pid, Signal, kill_process};

use crate::processes;

/// What agents ask each second: everybody, and who blocks him.
const POLLING: &str = "select pid, pg_blocking_pids(pid), usename, application_name, state, \
    wait_event_type, wait_event, xact_start, query_start, query from pg_stat_activity";

/// How long a watcher may take to come and to go.
const SOON: Duration = Duration::from_secs(20);

/// A way to watch.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Watcher {
    Nobody,
    /// The same once more: what tells these two apart is chance.
    NobodyAgain,
    /// `pgjam record` at so many looks a second, or by need.
    Record(Option<f64>),
    Polling,
    /// The program that is in this file.
    PgActivity(PathBuf),
}

impl fmt::Display for Watcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nobody => f.write_str("nobody"),
            Self::NobodyAgain => f.write_str("nobody, again"),
            Self::Record(Some(hz)) => write!(f, "pgjam record --hz {hz}"),
            Self::Record(None) => f.write_str("pgjam record"),
            Self::Polling => f.write_str("pg_blocking_pids(), 1/s"),
            Self::PgActivity(_) => f.write_str("pg_activity, 1/s"),
        }
    }
}

impl Watcher {
    /// Lists all that can be had here; says of the rest why not.
    pub(crate) fn all(pg_activity: &Path) -> Vec<Self> {
        let mut all = vec![
            Self::Nobody,
            Self::Record(Some(10.0)),
            Self::Record(None),
            Self::Polling,
            Self::NobodyAgain,
        ];
        let answers = |program: &Path, argument| {
            let asked = Command::new(program).arg(argument).output();
            asked.is_ok_and(|output| output.status.success())
        };
        if !answers(pg_activity, "--version") {
            println!(
                "pg_activity is left out: {} does not run",
                pg_activity.display()
            );
        } else if answers("script".as_ref(), "--version") {
            all.push(Self::PgActivity(pg_activity.to_owned()));
        } else {
            println!("pg_activity is left out: it wants a terminal, and there is no script(1)");
        }
        all
    }

    /// The name under which its sessions are known.
    pub(crate) const fn application(&self) -> Option<&'static str> {
        match self {
            Self::Nobody | Self::NobodyAgain => None,
            Self::Record(_) => Some("pgjam"),
            Self::Polling => Some("polling"),
            Self::PgActivity(_) => Some("pg_activity"),
        }
    }

    /// Begins to watch.
    pub(crate) fn begin(&self, server: &ThrowAway) -> anyhow::Result<Watching> {
        Ok(match self {
            Self::Nobody | Self::NobodyAgain => Watching::Nobody,
            Self::Record(hz) => record(server, *hz)?,
            Self::Polling => poll(server)?,
            Self::PgActivity(program) => on_a_terminal(server, program)?,
        })
    }
}

fn record(server: &ThrowAway, hz: Option<f64>) -> anyhow::Result<Watching> {
    let folder = tempfile::tempdir()?;
    let to = folder.path().join("watch");
    let child = Command::new(env!("CARGO_BIN_EXE_pgjam"))
        .args(["record", "--dsn", &server.dsn("postgres", "postgres")])
        .arg("--to")
        .arg(&to)
        .args(hz.map(|hz| format!("--hz={hz}")))
        .env_clear()
        .env("HOME", "/nonexistent")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .context("cannot start pgjam")?;
    Ok(Watching::Program {
        child,
        recording: Some((folder, to)),
    })
}

fn poll(server: &ThrowAway) -> anyhow::Result<Watching> {
    let dsn = server.dsn("postgres", "postgres") + " application_name=polling";
    let mut client = Client::connect(&dsn, NoTls)?;
    let (stop, stopped) = channel();
    let thread = std::thread::spawn(move || {
        let prepared = client.prepare(POLLING)?;
        let mut due = Instant::now();
        loop {
            client.query(&prepared, &[])?;
            due += Duration::from_secs(1);
            let wait = due.saturating_duration_since(Instant::now());
            if stopped.recv_timeout(wait) != Err(RecvTimeoutError::Timeout) {
                return Ok(());
            }
        }
    });
    Ok(Watching::Polling { stop, thread })
}

fn on_a_terminal(server: &ThrowAway, program: &Path) -> anyhow::Result<Watching> {
    let folder = server.folder().display();
    let program = program.display();
    let command = format!(
        "stty cols 200 rows 60; exec {program} --refresh 1 -h {folder} -p {} -U postgres -d postgres",
        server.port()
    );
    let mut child = Command::new("script")
        .args(["-qfec", &command, "/dev/null"])
        .env("TERM", "xterm")
        .env_remove("PGPASSWORD")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .context("cannot start script")?;
    // It asks the terminal where the cursor is, and waits for the answer.
    let mut keys = child.stdin.take().context("script has no input")?;
    std::thread::spawn(move || {
        while keys.write_all(b"\x1b[1;1R").is_ok() {
            std::thread::sleep(Duration::from_millis(300));
        }
    });
    Ok(Watching::Program {
        child,
        recording: None,
    })
}

/// Somebody who watches, until told to end.
#[derive(Debug)]
pub(crate) enum Watching {
    Nobody,
    Program {
        child: Child,
        recording: Option<(tempfile::TempDir, PathBuf)>,
    },
    Polling {
        stop: Sender<()>,
        thread: JoinHandle<Result<(), postgres::Error>>,
    },
}

impl Watching {
    /// Gives the process that watches, where it is one of its own.
    pub(crate) fn pid(&self) -> Option<u32> {
        match self {
            Self::Program { child, .. } => Some(child.id()),
            Self::Nobody | Self::Polling { .. } => None,
        }
    }

    /// Gives the most memory that `pgjam` had, in MiB.
    pub(crate) fn peak_memory(&self) -> Option<f64> {
        match self {
            Self::Program {
                child,
                recording: Some(_),
            } => processes::peak_memory(child.id()),
            _ => None,
        }
    }

    /// Ends the watch; gives the times of the looks that were recorded, in seconds since 1970.
    pub(crate) fn end(self) -> anyhow::Result<Vec<f64>> {
        match self {
            Self::Nobody => Ok(Vec::new()),
            Self::Polling { stop, thread } => {
                // Where it has ended by itself the next line says why.
                let _ = stop.send(());
                let ended = thread.join();
                ended.map_err(|_| anyhow::anyhow!("the polling session has panicked"))??;
                Ok(Vec::new())
            }
            Self::Program {
                mut child,
                recording,
            } => {
                ensure!(child.try_wait()?.is_none(), "a watcher has ended by itself");
                put_down(&mut child)?;
                let Some((_folder, to)) = recording else {
                    return Ok(Vec::new());
                };
                let recording = Recording::open(&to)?;
                let looks = recording.snapshots.iter();
                Ok(looks
                    .map(|snapshot| snapshot.tick.at.as_micros() as f64 / 1e6)
                    .collect())
            }
        }
    }
}

/// Asks a process to end, and waits until it has.
fn put_down(child: &mut Child) -> anyhow::Result<()> {
    kill_process(Pid::from_child(child), Signal::TERM)?;
    let asked = Instant::now();
    while child.try_wait()?.is_none() {
        if asked.elapsed() > SOON {
            child.kill()?;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

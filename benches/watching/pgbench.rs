//! `pgbench` as the load: it runs through all slices, and tells afterwards what it saw in each.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use pgjam::lab::server::ThrowAway;
use tempfile::TempDir;

/// How long it may take to connect.
const SOON: Duration = Duration::from_mins(1);

/// What it should do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Work {
    pub(crate) clients: u32,
    /// Transactions a second; as many as can be where there is none.
    pub(crate) rate: Option<u32>,
    /// A script, or the built-in one that is like TPC-B.
    pub(crate) script: Option<&'static str>,
}

/// A load that runs.
#[derive(Debug)]
pub(crate) struct Load {
    folder: TempDir,
    child: Child,
    said: JoinHandle<Vec<String>>,
}

/// One transaction, or what a second of them came to.
#[derive(Clone, Copy, Debug)]
struct Seen {
    /// When it ended, in seconds since 1970.
    at: f64,
    value: f64,
}

/// What the load told.
#[derive(Debug)]
pub(crate) struct Told {
    /// Transactions a second, second by second.
    throughput: Vec<Seen>,
    /// Milliseconds, from when a transaction was due, transaction by transaction.
    latencies: Vec<Seen>,
}

/// Makes the tables of the built-in script.
pub(crate) fn initialize(server: &ThrowAway, scale: u32) -> anyhow::Result<()> {
    let output = pgbench(server)
        .args(["--initialize", "--quiet", "--scale", &scale.to_string()])
        .output()
        .context("cannot start pgbench; Debian has it in postgresql-client")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "pgbench did not succeed: {said}");
    Ok(())
}

fn pgbench(server: &ThrowAway) -> Command {
    let mut command = Command::new("pgbench");
    command
        .env("PGHOST", server.folder())
        .env("PGPORT", server.port().to_string())
        .env("PGUSER", "postgres")
        .env("PGDATABASE", "postgres");
    command
}

impl Load {
    /// Starts the work, and waits until it is at it.
    pub(crate) fn start(server: &ThrowAway, work: Work) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let mut command = pgbench(server);
        command
            .current_dir(folder.path())
            .args(["--no-vacuum", "--protocol=prepared", "--jobs=2"])
            .args(["--progress=1", "--progress-timestamp"])
            // Until it is told to end.
            .args(["--time=1000000", "--client", &work.clients.to_string()]);
        if let Some(rate) = work.rate {
            command.args(["--log", "--rate", &rate.to_string()]);
        }
        if let Some(script) = work.script {
            fs::write(folder.path().join("script"), script)?;
            command.args(["--file", "script"]);
        }
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .context("cannot start pgbench")?;
        let stderr = child.stderr.take().context("pgbench has no stderr")?;
        let (begin, begun) = std::sync::mpsc::channel();
        let listen = move |stderr: ChildStderr| {
            let lines = BufReader::new(stderr).lines().map_while(Result::ok);
            lines
                .inspect(|line| {
                    if line.starts_with("progress: ") {
                        let _ = begin.send(());
                    }
                })
                .collect()
        };
        let said = std::thread::spawn(move || listen(stderr));
        let asked = Instant::now();
        while begun.recv_timeout(Duration::from_millis(100)).is_err() {
            ensure!(
                asked.elapsed() < SOON && child.try_wait()?.is_none(),
                "pgbench does not begin"
            );
        }
        Ok(Self {
            folder,
            child,
            said,
        })
    }

    /// Ends it, and reads what it told.
    pub(crate) fn end(mut self) -> anyhow::Result<Told> {
        ensure!(
            self.child.try_wait()?.is_none(),
            "pgbench has ended by itself"
        );
        // Its log leaves it in blocks: what is due in the last slice must be out.
        std::thread::sleep(Duration::from_secs(3));
        self.child.kill()?;
        self.child.wait()?;
        let said = self.said.join().unwrap_or_default();
        let mut latencies = Vec::new();
        for file in fs::read_dir(self.folder.path())?.flatten() {
            if file
                .file_name()
                .to_string_lossy()
                .starts_with("pgbench_log")
            {
                let text = fs::read_to_string(file.path())?;
                latencies.extend(text.lines().filter_map(transaction));
            }
        }
        Ok(Told {
            throughput: said.iter().filter_map(|line| progress(line)).collect(),
            latencies,
        })
    }
}

/// Reads `progress: 1764092345.123 s, 10321.0 tps, lat …`.
fn progress(line: &str) -> Option<Seen> {
    let mut words = line.strip_prefix("progress: ")?.split_whitespace();
    let at = words.next()?.parse().ok()?;
    let value = words.nth(1)?.parse().ok()?;
    Some(Seen { at, value })
}

/// Reads `client number microseconds script second microsecond lag`.
fn transaction(line: &str) -> Option<Seen> {
    let fields: Vec<f64> = line
        .split(' ')
        .map_while(|word| word.parse().ok())
        .collect();
    let [_, _, microseconds, _, second, microsecond, ..] = fields[..] else {
        return None;
    };
    Some(Seen {
        at: second + microsecond / 1e6,
        value: microseconds / 1e3,
    })
}

impl Told {
    /// Gives the mean throughput of the whole seconds that lie between two instants.
    pub(crate) fn throughput(&self, (from, to): (f64, f64)) -> Option<f64> {
        let whole = self.throughput.iter();
        let seconds: Vec<f64> = whole
            .filter(|second| second.at - 0.95 >= from && second.at <= to + 0.05)
            .map(|second| second.value)
            .collect();
        (!seconds.is_empty()).then(|| seconds.iter().sum::<f64>() / seconds.len() as f64)
    }

    /// Gives the latencies of the transactions that ended between two instants.
    pub(crate) fn latencies(&self, (from, to): (f64, f64)) -> Vec<f64> {
        let within = self.latencies.iter();
        within
            .filter(|one| one.at >= from && one.at < to)
            .map(|one| one.value)
            .collect()
    }
}

//! A server under load, the program that watches it, and what both leave behind.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use pgjam::lab::server::{Options, ThrowAway};
use pgjam::recording::Recording;
use pgjam::time::Timestamp;
use postgres::{Client, Config, NoTls};
use rustix::process::{Pid, Signal, kill_process};

use crate::ledger::Ledger;
use crate::log::{Log, PREFIX};

/// The role that watches.
pub(crate) const WATCHER: &str = "watcher";

/// How often it looks, unless a scenario wants it otherwise.
pub(crate) const HZ: u32 = 10;

/// How long a state may take to come about on a busy machine.
pub(crate) const SOON: Duration = Duration::from_secs(40);

/// How long the end may take.
const END_WITHIN: Duration = Duration::from_secs(2);

/// A server whose log tells every tick, with a folder for the recording.
pub(crate) struct Scene {
    pub(crate) server: ThrowAway,
    folder: tempfile::TempDir,
}

impl Scene {
    pub(crate) fn set() -> Self {
        Self::with(&[])
    }

    pub(crate) fn with(settings: &[(&str, &str)]) -> Self {
        Self::start(settings, None)
    }

    /// The same by TCP, where the role that watches is asked for this password.
    pub(crate) fn with_password(password: &str) -> Self {
        let scene = Self::start(&[], Some(password.to_owned()));
        scene.run(&format!("alter role {WATCHER} password '{password}'"));
        scene
    }

    fn start(settings: &[(&str, &str)], tcp_password: Option<String>) -> Self {
        let scene = Self {
            server: Self::start_server(settings, tcp_password),
            folder: tempfile::tempdir().unwrap(),
        };
        scene.run(&format!(
            "create role {WATCHER} login; \
             grant pg_monitor to {WATCHER}; \
             alter role {WATCHER} set log_statement = 'all'; \
             create table hot (id int primary key, n bigint not null); \
             insert into hot select id, 0 from generate_series(1, 3) id"
        ));
        scene
    }

    /// Starts a server that logs what the ledger needs.
    pub(crate) fn start_server(
        settings: &[(&str, &str)],
        tcp_password: Option<String>,
    ) -> ThrowAway {
        let ours = [
            ("log_line_prefix", PREFIX),
            ("log_timezone", "UTC"),
            ("log_connections", "on"),
            ("log_disconnections", "on"),
            ("log_parameter_max_length", "0"),
        ];
        let settings = ours.iter().chain(settings);
        ThrowAway::start(&Options {
            fsync: false,
            max_connections: 40,
            tcp_password,
            settings: settings
                .map(|&(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
            ..Options::default()
        })
        .unwrap()
    }

    /// Runs statements as the superuser.
    #[track_caller]
    pub(crate) fn run(&self, sql: &str) {
        self.superuser().batch_execute(sql).unwrap();
    }

    #[track_caller]
    pub(crate) fn superuser(&self) -> Client {
        self.server.connect("postgres").unwrap()
    }

    /// Waits until a query gives true.
    #[track_caller]
    pub(crate) fn until(&self, condition: &str) {
        let mut client = self.superuser();
        let begun = Instant::now();
        while !client.query_one(condition, &[]).unwrap().get::<_, bool>(0) {
            assert!(begun.elapsed() < SOON, "never came about: {condition}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Writes the connection string of the role that watches.
    pub(crate) fn dsn(&self) -> String {
        self.server.dsn("postgres", WATCHER)
    }

    pub(crate) fn tcp_dsn(&self) -> String {
        self.server.tcp_dsn("postgres", WATCHER)
    }

    pub(crate) fn socket(&self) -> PathBuf {
        let name = format!(".s.PGSQL.{}", self.server.port());
        self.server.folder().join(name)
    }

    /// Where the recording goes.
    pub(crate) fn to(&self) -> PathBuf {
        self.folder.path().join("recording")
    }

    /// Starts the program through the socket.
    pub(crate) fn watch(&self) -> Watch {
        Watch::start(&self.dsn(), &self.to())
    }

    /// Starts it at the pace that it has by itself: seldom while nobody waits, often while
    /// somebody does.
    pub(crate) fn watch_by_need(&self) -> Watch {
        let mut program = Command::new(env!("CARGO_BIN_EXE_pgjam"));
        program.args(["record", "--dsn", &self.dsn(), "--to"]);
        Watch::spawn(program.arg(self.to()))
    }

    /// Starts it again when the postmaster was stopped, however it ended.
    pub(crate) fn resume(&self) {
        let begun = Instant::now();
        // After a crash the backends may take a moment to notice.
        while let Err(error) = self.server.resume() {
            assert!(begun.elapsed() < SOON, "{error}");
        }
    }

    /// Puts the load of some systems on the server, which compete for a few rows.
    pub(crate) fn load(&self) -> Load {
        let work = |system: usize| {
            let mut config: Config = self.server.dsn("postgres", "postgres").parse().unwrap();
            config.application_name(&format!("system-{system}"));
            config
        };
        Load::put((0..4).map(work).collect())
    }

    /// Expects that nobody of ours is left on the server.
    #[track_caller]
    pub(crate) fn is_left_alone(&self) {
        self.until(&format!(
            "select not exists (select from pg_stat_activity where usename = '{WATCHER}') \
                and not exists (select from pg_prepared_xacts)"
        ));
    }

    /// Holds what is on disk against what the server's log says.
    #[track_caller]
    pub(crate) fn ledger(&self) -> Ledger {
        self.ledger_with(&[])
    }

    #[track_caller]
    pub(crate) fn ledger_with(&self, logs: &[&Path]) -> Ledger {
        let own = self.server.log_path();
        let mut paths = vec![own.as_path()];
        paths.extend(logs);
        let recording = Recording::open(&self.to()).unwrap();
        Ledger::new(recording, Log::read(&paths))
    }
}

/// The program, at work. Dropping it kills it.
pub(crate) struct Watch {
    child: Child,
    said: Arc<Mutex<String>>,
    listener: Option<JoinHandle<()>>,
    /// So much of what it said was heard.
    heard: usize,
}

impl Watch {
    pub(crate) fn start(dsn: &str, to: &Path) -> Self {
        let mut program = Command::new(env!("CARGO_BIN_EXE_pgjam"));
        program.args(["record", "--hz", &HZ.to_string(), "--dsn", dsn, "--to"]);
        Self::spawn(program.arg(to))
    }

    pub(crate) fn spawn(command: &mut Command) -> Self {
        let mut child = command
            .env_clear()
            .env("HOME", "/nonexistent")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        let said = Arc::new(Mutex::new(String::new()));
        let heard = Arc::clone(&said);
        let listener = std::thread::spawn(move || {
            let mut line = String::new();
            while stderr.read_line(&mut line).unwrap_or(0) > 0 {
                heard.lock().unwrap().push_str(&line);
                line.clear();
            }
        });
        Self {
            child,
            said,
            listener: Some(listener),
            heard: 0,
        }
    }

    /// Waits until it says this, after what was heard before; tells how long that took.
    #[track_caller]
    pub(crate) fn hear(&mut self, words: &str) -> Duration {
        let begun = Instant::now();
        loop {
            let said = self.said.lock().unwrap().clone();
            if let Some(at) = said[self.heard..].find(words) {
                self.heard += at + words.len();
                return begun.elapsed();
            }
            let ended = self.child.try_wait().unwrap();
            assert!(
                begun.elapsed() < SOON && ended.is_none(),
                "never said {words:?}, only {said:?}"
            );
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    pub(crate) fn said(&self) -> String {
        self.said.lock().unwrap().clone()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Ends it as nothing can be caught; gives the time just before.
    pub(crate) fn kill(&mut self) -> Timestamp {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        Timestamp::from_micros(i64::try_from(now.as_micros()).unwrap())
    }

    /// Asks it to end as systemd does, and expects that it does so soon; tells how, and what it
    /// said.
    #[track_caller]
    pub(crate) fn ends(self) -> (ExitStatus, String) {
        self.signal(Signal::TERM);
        self.ends_within(END_WITHIN)
    }

    /// The same, and expects that all is well.
    #[track_caller]
    pub(crate) fn ends_well(self) {
        let (status, said) = self.ends();
        assert!(status.success(), "{status}: {said}");
    }

    /// Waits until it ends by itself; tells how, and what it said.
    #[track_caller]
    pub(crate) fn comes_to_an_end(self) -> (ExitStatus, String) {
        self.ends_within(SOON)
    }

    #[track_caller]
    fn ends_within(mut self, patience: Duration) -> (ExitStatus, String) {
        let begun = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(begun.elapsed() < patience, "it goes on: {}", self.said());
            std::thread::sleep(Duration::from_millis(5));
        };
        let _ = self.listener.take().unwrap().join();
        assert!(!self.said().contains("panicked"), "{}", self.said());
        (status, self.said())
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Some systems at work, until it is dropped. They connect again when the server drops them.
pub(crate) struct Load {
    over: Arc<AtomicBool>,
    systems: Vec<JoinHandle<()>>,
}

impl Load {
    fn put(systems: Vec<Config>) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let work = |config: Config| {
            let over = Arc::clone(&over);
            std::thread::spawn(move || {
                while !over.load(Ordering::Relaxed) {
                    let _ = toil(&config, &over);
                    std::thread::sleep(Duration::from_millis(50));
                }
            })
        };
        Self {
            systems: systems.into_iter().map(work).collect(),
            over,
        }
    }
}

/// Writes the same rows as everybody, a little while in each transaction.
fn toil(config: &Config, over: &AtomicBool) -> Result<(), postgres::Error> {
    let mut client = config.connect(NoTls)?;
    let mut turn = 0;
    while !over.load(Ordering::Relaxed) {
        turn = turn % 3 + 1;
        client.batch_execute(&format!(
            "begin; update hot set n = n + 1 where id = {turn}; select pg_sleep(0.01); commit"
        ))?;
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

impl Drop for Load {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        for system in self.systems.drain(..) {
            let _ = system.join();
        }
    }
}

/// Lets time pass in which the watch is expected to see something.
pub(crate) fn pass(seconds: f64) {
    std::thread::sleep(Duration::from_secs_f64(seconds));
}

/// Tells what was measured, or why a scenario cannot be played here.
#[expect(clippy::print_stderr, reason = "there is nobody else to tell")]
pub(crate) fn tell(words: &str) {
    eprintln!("  {words}");
}

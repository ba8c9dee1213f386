//! Throw-away servers, sessions that hold and wait on them, and the program beside them.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use pgjam::lab::server::{Options, ThrowAway};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// How long a state may take to come about, on a busy machine.
const SOON: Duration = Duration::from_secs(40);

/// The program, in an environment that says nothing.
pub(crate) fn program() -> assert_cmd::Command {
    let mut command = assert_cmd::Command::new(env!("CARGO_BIN_EXE_pgjam"));
    command
        .env_clear()
        .env("HOME", "/nonexistent")
        .timeout(Duration::from_mins(1));
    command
}

/// How the program ended, and what it said.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// Runs the program with these arguments to its end.
#[track_caller]
pub(crate) fn pgjam(arguments: &[&str]) -> Answer {
    answer(program().args(arguments))
}

#[track_caller]
pub(crate) fn answer(command: &mut assert_cmd::Command) -> Answer {
    let output = command.output().unwrap();
    Answer {
        code: code(output.status),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

/// The exit code as a shell would report it.
fn code(status: ExitStatus) -> i32 {
    status
        .code()
        .or_else(|| status.signal().map(|signal| 128 + signal))
        .unwrap()
}

impl Answer {
    /// Expects an answer.
    #[track_caller]
    pub(crate) fn well(self) -> Self {
        assert_eq!(self.code, 0, "{self:#?}");
        self
    }

    /// Expects no answer, this exit code, and one error in plain words with all of these in it.
    #[track_caller]
    pub(crate) fn refused(self, code: i32, words: &[&str]) -> Self {
        assert_eq!((self.code, self.out.as_str()), (code, ""), "{self:#?}");
        let errors = self.err.matches("pgjam: ").count();
        assert_eq!(errors, 1, "{self:#?}");
        for word in words {
            assert!(self.err.contains(word), "{word:?} is not in {:?}", self.err);
        }
        let debris = [
            "panicked",
            "RUST_BACKTRACE",
            "Error {",
            "Some(",
            "Err(",
            "kind:",
            "src/",
        ];
        for debris in debris {
            assert!(
                !self.err.contains(debris),
                "{debris:?} is in {:?}",
                self.err
            );
        }
        self
    }

    /// Gives the answer as JSON, which must keep the contract that this schema states.
    #[track_caller]
    pub(crate) fn json(&self, schema: &str) -> Value {
        valid(&self.out, schema)
    }
}

pub(crate) const DIAGNOSIS: &str = include_str!("../../reports/pgjam.diagnosis.schema.json");
pub(crate) const GRAPH: &str = include_str!("../../reports/pgjam.graph.schema.json");

/// Parses a document and holds it against a schema.
#[track_caller]
pub(crate) fn valid(document: &str, schema: &str) -> Value {
    let document: Value = serde_json::from_str(document).unwrap();
    let schema: Value = serde_json::from_str(schema).unwrap();
    let complaints: Vec<String> = jsonschema::validator_for(&schema)
        .unwrap()
        .iter_errors(&document)
        .map(|error| format!("{}: {error}", error.instance_path()))
        .collect();
    assert_eq!(complaints, Vec::<String>::new(), "{document:#}");
    document
}

/// The program, still at work. Dropping it kills it.
pub(crate) struct Running {
    child: Child,
    said: Arc<Mutex<String>>,
    out: Option<JoinHandle<String>>,
    err: Option<JoinHandle<()>>,
}

impl Running {
    pub(crate) fn start(arguments: &[&str]) -> Self {
        Self::start_with(arguments, &[])
    }

    /// Starts it with more in its environment.
    pub(crate) fn start_with(arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_pgjam"))
            .args(arguments)
            .env_clear()
            .env("HOME", "/nonexistent")
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdout = child.stdout.take().unwrap();
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        let said = Arc::new(Mutex::new(String::new()));
        let heard = Arc::clone(&said);
        Self {
            child,
            said,
            out: Some(std::thread::spawn(move || {
                let mut out = String::new();
                stdout.read_to_string(&mut out).unwrap();
                out
            })),
            err: Some(std::thread::spawn(move || {
                let mut line = String::new();
                while stderr.read_line(&mut line).unwrap() > 0 {
                    heard.lock().unwrap().push_str(&line);
                    line.clear();
                }
            })),
        }
    }

    /// Waits until it has said this beside its answer.
    #[track_caller]
    pub(crate) fn hear(&mut self, words: &str) {
        let begun = Instant::now();
        while !self.said.lock().unwrap().contains(words) {
            let ended = self.child.try_wait().unwrap();
            assert!(
                begun.elapsed() < SOON && ended.is_none(),
                "never said {words:?}, only {:?}",
                self.said.lock().unwrap()
            );
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Presses Ctrl-C.
    pub(crate) fn interrupt(&self) {
        kill_process(Pid::from_child(&self.child), Signal::INT).unwrap();
    }

    /// Asks it to end, as systemd does.
    pub(crate) fn terminate(&self) {
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
    }

    /// Asks it to read its configuration again.
    pub(crate) fn reload(&self) {
        kill_process(Pid::from_child(&self.child), Signal::HUP).unwrap();
    }

    /// Ends it as nothing can be caught.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Waits for its end.
    #[track_caller]
    pub(crate) fn end(mut self) -> Answer {
        let begun = Instant::now();
        while !self.has_ended() {
            assert!(begun.elapsed() < SOON, "it does not end");
            std::thread::sleep(Duration::from_millis(5));
        }
        self.err.take().unwrap().join().unwrap();
        Answer {
            code: code(self.child.wait().unwrap()),
            out: self.out.take().unwrap().join().unwrap(),
            err: self.said.lock().unwrap().clone(),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Starts a server with these settings.
pub(crate) fn server(settings: &[(&str, &str)]) -> ThrowAway {
    let settings = settings
        .iter()
        .map(|&(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    ThrowAway::start(&Options {
        fsync: false,
        max_connections: 40,
        settings,
        ..Options::default()
    })
    .unwrap()
}

/// Runs statements as the superuser, in a database.
pub(crate) fn run(server: &ThrowAway, database: &str, sql: &str) {
    server
        .connect(database)
        .unwrap()
        .batch_execute(sql)
        .unwrap();
}

/// Waits until a query gives true.
#[track_caller]
pub(crate) fn until(server: &ThrowAway, condition: &str) {
    let mut client = server.connect("postgres").unwrap();
    let begun = Instant::now();
    while !client.query_one(condition, &[]).unwrap().get::<_, bool>(0) {
        assert!(begun.elapsed() < SOON, "never came about: {condition}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Waits until so many sessions wait for a lock.
#[track_caller]
pub(crate) fn until_waiting(server: &ThrowAway, sessions: usize) {
    until(
        server,
        &format!(
            "select count(*) = {sessions} from pg_stat_activity where wait_event_type = 'Lock'"
        ),
    );
}

/// A session that sends bytes as they are: the driver would insist on UTF-8.
pub(crate) struct Session {
    stream: UnixStream,
    pub(crate) pid: i64,
}

impl Session {
    /// Connects as the superuser.
    pub(crate) fn open(server: &ThrowAway, database: &str, application: &str) -> Self {
        Self::with(server, database, "postgres", application, "UTF8")
    }

    pub(crate) fn with(
        server: &ThrowAway,
        database: &str,
        role: &str,
        application: &str,
        encoding: &str,
    ) -> Self {
        let socket = format!(".s.PGSQL.{}", server.port());
        let stream = UnixStream::connect(server.folder().join(socket)).unwrap();
        stream.set_read_timeout(Some(SOON)).unwrap();
        let mut session = Self { stream, pid: 0 };
        let mut startup = 196_608_u32.to_be_bytes().to_vec();
        for (name, value) in [
            ("user", role),
            ("database", database),
            ("application_name", application),
            ("client_encoding", encoding),
        ] {
            startup.extend([name.as_bytes(), b"\0", value.as_bytes(), b"\0"].concat());
        }
        startup.push(0);
        session.put(None, &startup);
        session.until_ready();
        session
    }

    /// Runs a statement to its end, whatever comes of it.
    pub(crate) fn say(&mut self, sql: impl AsRef<[u8]>) {
        self.send(sql);
        self.until_ready();
    }

    /// Sends a statement, and does not wait for its end.
    pub(crate) fn send(&mut self, sql: impl AsRef<[u8]>) {
        self.put(Some(b'Q'), &[sql.as_ref(), b"\0"].concat());
    }

    fn put(&mut self, kind: Option<u8>, body: &[u8]) {
        let length = u32::try_from(body.len() + 4).unwrap().to_be_bytes();
        let message = [kind.as_slice(), &length, body].concat();
        self.stream.write_all(&message).unwrap();
    }

    fn until_ready(&mut self) {
        let mut kind = 0;
        while kind != b'Z' {
            let mut head = [0; 5];
            self.stream.read_exact(&mut head).unwrap();
            kind = head[0];
            let length = u32::from_be_bytes(head[1..].try_into().unwrap()) - 4;
            let mut body = vec![0; usize::try_from(length).unwrap()];
            self.stream.read_exact(&mut body).unwrap();
            if kind == b'K' {
                self.pid = i64::from(i32::from_be_bytes(body[..4].try_into().unwrap()));
            }
        }
    }
}

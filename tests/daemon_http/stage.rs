//! A daemon that has seen something, and whoever asks it.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use pgjam::daemon::books::Books;
use pgjam::daemon::http::{Http, HttpError, Settings};
use pgjam::daemon::live::{Live, ServerLive};
use pgjam::recording::{Entry, Recorder};
use pgjam::sample::{Declared, Snapshot};
use pgjam::system::Naming;
use pgjam::time::Span;
use tokio::sync::oneshot;

use crate::contract;
use crate::seen::{self, BEGIN, jam};

/// How long an answer may take, on a busy machine.
pub(crate) const SOON: Duration = Duration::from_secs(40);

/// HTTP that is spoken until this is dropped.
pub(crate) struct Stage {
    pub(crate) address: SocketAddr,
    pub(crate) live: Arc<Live>,
    pub(crate) folder: tempfile::TempDir,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

pub(crate) fn loopback() -> Settings {
    Settings {
        listen: Some("127.0.0.1:0".parse().unwrap()),
        ..Settings::default()
    }
}

impl Stage {
    /// A daemon that knows no server.
    pub(crate) fn empty(settings: &Settings) -> Self {
        Self::try_empty(settings).unwrap()
    }

    pub(crate) fn try_empty(settings: &Settings) -> Result<Self, HttpError> {
        let (live, settings) = (Arc::new(Live::default()), settings.clone());
        let (told, address) = mpsc::channel();
        let (stop, stopped) = oneshot::channel();
        let shown = Arc::clone(&live);
        let thread = std::thread::spawn(move || {
            // As the daemon has it: one thread for watchers and callers.
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                match Http::bind(&settings, shown).await {
                    Err(error) => told.send(Err(error)).unwrap(),
                    Ok(http) => {
                        told.send(Ok(http.address())).unwrap();
                        http.serve(async { drop(stopped.await) }).await;
                    }
                }
            });
        });
        let address = address.recv().unwrap()?;
        Ok(Self {
            address,
            live,
            folder: tempfile::tempdir().unwrap(),
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// A daemon that watches `prod`, has seen a jam, and has recorded some seconds of it.
    pub(crate) fn jammed(settings: &Settings) -> Self {
        let stage = Self::empty(settings);
        let prod = stage.watch("prod");
        for n in 0..3 {
            see(&prod, &jam(n, &["decision", "decision"]));
        }
        record(&stage.folder.path().join("prod"));
        stage
    }

    /// Watches one more server.
    pub(crate) fn watch(&self, name: &str) -> Arc<ServerLive> {
        let folder = self.folder.path().join(name);
        let server = self.live.watch(name, Naming::default(), &folder);
        server.connected(&seen::server());
        for text in seen::texts() {
            server.words().learn(&text);
        }
        for name in seen::names() {
            server.words().name(&name);
        }
        server
    }

    /// Connects, and says nothing yet.
    pub(crate) fn connect(&self) -> TcpStream {
        connect(self.address)
    }

    /// Sends bytes as they are and reads until the other end has had enough.
    pub(crate) fn send(&self, request: impl AsRef<[u8]>) -> Answer {
        talk(self.connect(), request.as_ref())
    }

    /// Asks with these fields in the head, and holds the answer against the contract.
    #[track_caller]
    pub(crate) fn ask(&self, method: &str, target: &str, head: &[&str], body: &str) -> Answer {
        let answer = self.send(request(method, target, head, body));
        contract::hold(method, target, &answer);
        answer
    }

    #[track_caller]
    pub(crate) fn get(&self, target: &str) -> Answer {
        self.ask("GET", target, &[], "")
    }

    #[track_caller]
    pub(crate) fn post(&self, target: &str, body: &str) -> Answer {
        self.ask("POST", target, &["Content-Type: application/json"], body)
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            assert!(std::thread::panicking() || ended.is_ok());
        }
    }
}

/// Writes a request; without a Host among its fields it is for this machine.
pub(crate) fn request(method: &str, target: &str, head: &[&str], body: &str) -> String {
    let mut text = format!("{method} {target} HTTP/1.1\r\nConnection: close\r\n");
    let has = |name: &str| head.iter().any(|field| field.starts_with(name));
    if !has("Host:") {
        text.push_str("Host: localhost\r\n");
    }
    if !body.is_empty() && !has("Content-Length:") {
        let length = body.len();
        text.push_str(&["Content-Length: ", &length.to_string(), "\r\n"].concat());
    }
    for field in head {
        text.push_str(field);
        text.push_str("\r\n");
    }
    text + "\r\n" + body
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) fields: BTreeMap<String, String>,
    pub(crate) body: String,
}

impl Answer {
    #[track_caller]
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:#?}"))
    }

    pub(crate) fn field(&self, name: &str) -> &str {
        self.fields.get(name).map_or("", String::as_str)
    }

    /// Expects this status.
    #[track_caller]
    pub(crate) fn is(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{self:#?}");
        self
    }

    /// Expects a problem with this status that says this.
    #[track_caller]
    pub(crate) fn refuses(self, status: u16, words: &str) -> Self {
        let answer = self.is(status);
        assert_eq!(answer.field("content-type"), "application/problem+json");
        let detail = answer.json()["detail"].as_str().unwrap().to_owned();
        assert!(detail.contains(words), "{words:?} is not in {detail:?}");
        answer
    }
}

/// Tells of a tick, and of where its time went, as a watcher does.
pub(crate) fn see(server: &ServerLive, snapshot: &Snapshot) {
    let mut books = Books::new(Naming::default(), &[], None).sharing(server.words());
    server.saw(snapshot);
    for entry in books.look(snapshot) {
        if let Entry::Charges(charges) = &entry {
            server.charged(charges);
        }
    }
}

/// Connects, and says nothing yet.
pub(crate) fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    stream
}

/// Sends a request over a connection, and reads its answer to the end.
pub(crate) fn talk(mut stream: impl Read + Write, request: &[u8]) -> Answer {
    // Whoever refuses a request need not have read it to its end.
    let _ = stream.write_all(request);
    let _ = stream.flush();
    let mut reader = BufReader::new(stream);
    let (status, fields) = head(&mut reader);
    let mut body = Vec::new();
    // A connection may be reset behind an answer where not all was read that was sent.
    let _ = reader.read_to_end(&mut body);
    Answer {
        status,
        fields,
        body: String::from_utf8(body).unwrap(),
    }
}

/// Reads the head of an answer; status 0 where the connection was closed without one.
pub(crate) fn head(reader: &mut impl BufRead) -> (u16, BTreeMap<String, String>) {
    let mut line = || {
        let mut line = String::new();
        let _ = reader.read_line(&mut line);
        line.trim_end().to_owned()
    };
    let first = line();
    let status = first
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok());
    let mut fields = BTreeMap::new();
    loop {
        let field = line();
        let Some((name, value)) = field.split_once(':') else {
            break;
        };
        fields.insert(name.to_lowercase(), value.trim().to_owned());
    }
    (status.unwrap_or(0), fields)
}

/// Records ten seconds of a jam.
fn record(folder: &Path) {
    let mut recorder = Recorder::create(folder, &seen::server()).unwrap();
    for text in seen::texts() {
        recorder.take(Entry::Statement(text));
    }
    for name in seen::names() {
        recorder.take(Entry::Name(name));
    }
    for n in 0..100 {
        recorder.take(Entry::Snapshot(Box::new(jam(n, &["decision", "decision"]))));
    }
    recorder.take(Entry::Declared(Declared {
        at: BEGIN + Span::from_secs(6),
        label: "county 12 onboarded".into(),
    }));
    recorder.finish().unwrap();
}

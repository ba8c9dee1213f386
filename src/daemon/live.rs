//! What the daemon knows of each server now, shared between watchers and HTTP.
//!
//! - A watcher tells and goes on: every lock is held for a copy or a sum, and what takes longer
//!   (a graph in words) is made by whoever asks, from what it took out under the lock.
//! - It is bounded, however many systems, statements and tables come by: see [`Words`] and
//!   [`series`] for the bounds. What they cost is counted.
//! - Spans and instants are the server's. The tool's clock says only whether a watcher is still
//!   at work, and when a reader saw the last tick.
//!
//! Nothing here asks a server or writes a file.

pub mod series;
pub mod totals;

use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::watch;

use super::words::{Words, mentioned};
use crate::graph::WaitGraph;
use crate::graph::view::{GraphView, Vocabulary};
use crate::names::Statements;
use crate::recording::{Charge, Size};
use crate::sample::{Declared, Loss, Server, Snapshot};
use crate::system::Naming;
use crate::time::{Span, Timestamp};
use totals::Totals;

/// So many declared events may wait for their watcher.
const WAITING: usize = 64;
/// So many declared events are listed, the latest.
const LISTED: usize = 200;
/// So many kinds of loss are told apart.
const KINDS: usize = 64;
/// A watcher that has not looked for so long has stalled: the slowest pace is one look in ten
/// seconds, and two of them may be twice as far apart.
const STALLED: Duration = Duration::from_secs(30);
/// So long a watcher may take that has promised nothing: to connect, or to look again.
const UNPROMISED: Duration = Duration::from_mins(6);

/// All servers that are watched.
#[derive(Debug, Default)]
pub struct Live {
    servers: RwLock<BTreeMap<Arc<str>, Arc<ServerLive>>>,
}

impl Live {
    /// Begins to tell of a server under this name, or goes on with other settings.
    pub fn watch(&self, name: &str, naming: Naming, folder: &Path) -> Arc<ServerLive> {
        let mut servers = self.servers.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = servers.get(name) {
            *locked(&known.naming) = Arc::new(naming);
            folder.clone_into(&mut locked(&known.status).folder);
            return Arc::clone(known);
        }
        let server = Arc::new(ServerLive::new(name, naming, folder));
        servers.insert(name.into(), Arc::clone(&server));
        server
    }

    /// Tells of a server no more.
    pub fn forget(&self, name: &str) {
        let mut servers = self.servers.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(server) = servers.remove(name) {
            // Whoever still listens learns why nothing comes any more.
            server.disconnected("watched no more");
        }
    }

    /// Finds a server.
    #[must_use]
    pub fn server(&self, name: &str) -> Option<Arc<ServerLive>> {
        let servers = self.servers.read().unwrap_or_else(PoisonError::into_inner);
        servers.get(name).cloned()
    }

    /// Lists the servers, by name.
    #[must_use]
    pub fn servers(&self) -> Vec<Arc<ServerLive>> {
        let servers = self.servers.read().unwrap_or_else(PoisonError::into_inner);
        servers.values().cloned().collect()
    }
}

/// How it stands with the connection to a server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Connection {
    /// It was not reached yet.
    #[default]
    Connecting,
    /// It is watched.
    Watching,
    /// It is away, and why.
    Lost(String),
}

/// How it stands with a server and its recording.
#[derive(Clone, Debug)]
pub struct Status {
    /// The connection.
    pub connection: Connection,
    /// Since when, by the tool's clock.
    pub since: SystemTime,
    /// The server, as it was last reached.
    pub server: Option<Server>,
    /// The folder that its recording goes to.
    pub folder: PathBuf,
    /// When its watcher will have done something again.
    back: Instant,
    /// How often it was reached.
    pub connects: u64,
    /// How often it was lost, or could not be reached.
    pub disconnects: u64,
    /// What was lost, by kind.
    pub losses: BTreeMap<Arc<str>, u64>,
    /// How large the recording is, where that is known.
    pub recording_size: Option<Size>,
    /// How often the disk refused.
    pub recording_errors: u64,
    /// What it said last.
    pub recording_trouble: Option<String>,
}

/// A tick, and when it came by the tool's clock.
#[derive(Debug)]
pub struct Look {
    /// What was seen.
    pub snapshot: Snapshot,
    /// When it came.
    pub came: SystemTime,
    at: Instant,
}

/// What is known of one server.
#[derive(Debug)]
pub struct ServerLive {
    name: Arc<str>,
    looks: watch::Sender<Option<Arc<Look>>>,
    naming: Mutex<Arc<Naming>>,
    words: Words,
    totals: Mutex<Totals>,
    status: Mutex<Status>,
    declared: Mutex<Told>,
}

/// Declared events: those that still have to be recorded, and those that are listed.
#[derive(Debug, Default)]
struct Told {
    waiting: Vec<Declared>,
    listed: VecDeque<Declared>,
}

/// Locks for a moment; whoever panicked with the lock left a sum or a copy undone at most.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What its watcher tells.
impl ServerLive {
    fn new(name: &str, naming: Naming, folder: &Path) -> Self {
        Self {
            name: name.into(),
            looks: watch::Sender::new(None),
            naming: Mutex::new(Arc::new(naming)),
            words: Words::default(),
            totals: Mutex::default(),
            status: Mutex::new(Status {
                connection: Connection::Connecting,
                since: SystemTime::now(),
                server: None,
                folder: folder.to_owned(),
                back: Instant::now() + UNPROMISED,
                connects: 0,
                disconnects: 0,
                losses: BTreeMap::new(),
                recording_size: None,
                recording_errors: 0,
                recording_trouble: None,
            }),
            declared: Mutex::default(),
        }
    }

    /// Takes the watcher's promise to do something within this time, if it is only to try again.
    pub fn back_within(&self, time: Duration) {
        locked(&self.status).back = Instant::now() + time;
    }

    /// Takes note that the server was reached.
    pub fn connected(&self, server: &Server) {
        let mut status = locked(&self.status);
        status.server = Some(server.clone());
        status.connects += 1;
        status.turn(Connection::Watching);
    }

    /// Takes note of what the server has become.
    pub fn found(&self, server: &Server) {
        locked(&self.status).server = Some(server.clone());
    }

    /// Takes note that the server is away, or could not be reached.
    pub fn disconnected(&self, reason: &str) {
        let mut status = locked(&self.status);
        status.disconnects += 1;
        status.turn(Connection::Lost(reason.chars().take(500).collect()));
    }

    /// Gives a hold on its words: whoever learns of texts and names puts them there, before the tick
    /// that mentions them.
    #[must_use]
    pub fn words(&self) -> Words {
        self.words.clone()
    }

    /// Takes a tick: counts it, and holds it for whoever asks.
    pub fn saw(&self, snapshot: &Snapshot) {
        locked(&self.totals).look(snapshot);
        let look = Look {
            snapshot: snapshot.clone(),
            came: SystemTime::now(),
            at: Instant::now(),
        };
        self.looks.send_replace(Some(Arc::new(look)));
        self.back_within(UNPROMISED);
    }

    /// Counts where the time of a tick went.
    pub fn charged(&self, charges: &[Charge]) {
        locked(&self.totals).charged(charges);
    }

    /// Counts a loss.
    pub fn lost(&self, loss: &Loss) {
        let mut status = locked(&self.status);
        let known = status.losses.contains_key(&loss.kind) || status.losses.len() < KINDS;
        let kind = if known {
            Arc::clone(&loss.kind)
        } else {
            "other".into()
        };
        *status.losses.entry(kind).or_default() += loss.count;
    }

    /// Takes note of the size of the recording.
    pub fn recorded(&self, size: Size) {
        locked(&self.status).recording_size = Some(size);
    }

    /// Counts a refusal of the disk.
    pub fn recording_failed(&self, trouble: &str) {
        let mut status = locked(&self.status);
        status.recording_errors += 1;
        status.recording_trouble = Some(trouble.chars().take(500).collect());
    }

    /// Hands over the events that were declared since the last call, for the recording.
    #[must_use]
    pub fn take_declared(&self) -> Vec<Declared> {
        std::mem::take(&mut locked(&self.declared).waiting)
    }
}

/// What readers ask.
impl ServerLive {
    /// Gives the name that it is watched under.
    #[must_use]
    pub const fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// Tells how it stands.
    #[must_use]
    pub fn status(&self) -> Status {
        let mut status = locked(&self.status).clone();
        for (kind, count) in self.words.dropped() {
            if count > 0 {
                status.losses.insert(kind.into(), count);
            }
        }
        status
    }

    /// Gives the last tick.
    #[must_use]
    pub fn look(&self) -> Option<Arc<Look>> {
        self.looks.borrow().clone()
    }

    /// Gives what changes with every tick.
    #[must_use]
    pub fn looks(&self) -> watch::Receiver<Option<Arc<Look>>> {
        self.looks.subscribe()
    }

    /// Gives what was counted since the daemon began.
    #[must_use]
    pub fn totals(&self) -> Totals {
        locked(&self.totals).clone()
    }

    /// Puts a tick into words; without texts, statements are told by what they do and their ids.
    #[must_use]
    pub fn view(&self, look: &Look, with_texts: bool) -> GraphView {
        let (naming, names) = (self.naming(), self.words.names());
        let texts = self.words.texts(mentioned(&look.snapshot));
        let statements = Statements::of(&texts);
        let statements = if with_texts {
            statements
        } else {
            statements.without_texts()
        };
        let words = Vocabulary {
            naming: &naming,
            names: &names,
            statements: &statements,
        };
        WaitGraph::of(&look.snapshot).view(words)
    }

    /// Gives the rules by which systems are named.
    #[must_use]
    pub fn naming(&self) -> Arc<Naming> {
        Arc::clone(&locked(&self.naming))
    }

    /// Tells why it is not watched; none where it is.
    #[must_use]
    pub fn not_ready(&self) -> Option<String> {
        let status = locked(&self.status).clone();
        match status.connection {
            Connection::Connecting => Some("not reached yet".to_owned()),
            Connection::Lost(reason) => Some(reason),
            Connection::Watching => match self.look() {
                None => Some("no tick yet".to_owned()),
                Some(look) if look.at.elapsed() > STALLED => {
                    let seconds = look.at.elapsed().as_secs();
                    Some(format!("no tick for {seconds} s"))
                }
                Some(_) => None,
            },
        }
    }

    /// Tells whether its watcher has not done what it promised: it hangs.
    #[must_use]
    pub fn is_stuck(&self) -> bool {
        locked(&self.status).back < Instant::now()
    }

    /// Gives the server's clock as it stands now: the last tick's, and the time since.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        let (at, since) = if let Some(look) = self.look() {
            (look.snapshot.tick.at, look.at.elapsed())
        } else {
            // No tick tells: the tool's own clock has to do until one comes.
            let unix = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
            (Timestamp::default(), unix.unwrap_or_default())
        };
        at + Span::from_micros(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
    }

    /// Tells whether it takes an event now.
    #[must_use]
    pub fn has_room_to_declare(&self) -> bool {
        locked(&self.declared).waiting.len() < WAITING
    }

    /// Takes an event for the recording; false where too many wait for the watcher.
    pub fn declare(&self, event: Declared) -> bool {
        let mut told = locked(&self.declared);
        if told.waiting.len() >= WAITING {
            return false;
        }
        told.waiting.push(event.clone());
        told.listed.push_back(event);
        if told.listed.len() > LISTED {
            told.listed.pop_front();
        }
        true
    }

    /// Lists the events that were declared here lately, in the order in which they were told.
    #[must_use]
    pub fn declared(&self) -> Vec<Declared> {
        locked(&self.declared).listed.iter().cloned().collect()
    }
}

impl Status {
    fn turn(&mut self, connection: Connection) {
        if std::mem::discriminant(&self.connection) != std::mem::discriminant(&connection) {
            self.since = SystemTime::now();
        }
        self.connection = connection;
        self.back = Instant::now() + UNPROMISED;
    }
}

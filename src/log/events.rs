//! Waits, deadlocks and cancellations, put together from the lines that tell of them.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::record::{Client, Record};
use super::report::{self, Edge, Reading, Reason, Report, Stage, Target};
use crate::pg::{LockMode, Pid};
use crate::statement::{self, Statement, StatementId, fnv1a};
use crate::time::{Span, Timestamp};

/// So many entries are kept; a wait takes two.
const MOST_ENTRIES: usize = 400_000;

/// So many different statements are kept.
const MOST_STATEMENTS: usize = 20_000;

/// So many owners and waiters of one lock are kept.
const MOST_LISTED: usize = 100;

/// Two lines that are about one wait agree on its begin, to the grain of the log's time …
const SAME: Span = Span::from_millis(20);

/// … which may be a second.
const SAME_COARSE: Span = Span::from_millis(2_000);

/// A wait for a lock that was longer than `deadlock_timeout`.
#[derive(Clone, Debug, PartialEq)]
pub struct Wait {
    /// Who waited.
    pub pid: Pid,
    /// Who that is, as far as the log tells.
    pub client: Client,
    /// When it began.
    pub began: Timestamp,
    /// When it was over; none where the log does not say.
    pub ended: Option<Timestamp>,
    /// How it ended.
    pub end: End,
    /// What was asked for.
    pub mode: LockMode,
    /// On what.
    pub target: Target,
    /// The relation that the context names, without its schema, and whether it is an index.
    pub relation: Option<(Arc<str>, bool)>,
    /// What was run.
    pub statement: Option<StatementId>,
    /// Whoever held the lock or did not wait for it, after `deadlock_timeout`. They need not have
    /// been in the way.
    pub owners: Vec<Pid>,
    /// Whoever waited for it then, in order.
    pub queue: Vec<Pid>,
    /// Whether the server put the queue in another order for it.
    pub rearranged: bool,
}

/// How a wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum End {
    /// With the lock.
    Acquired,
    /// With its statement, which was cancelled.
    Cancelled,
    /// With its transaction, by which a deadlock was broken.
    Deadlock,
    /// The log does not say.
    Open,
}

/// A deadlock that the server broke.
#[derive(Clone, Debug, PartialEq)]
pub struct Deadlock {
    /// When.
    pub at: Timestamp,
    /// Whose transaction was given up.
    pub victim: Pid,
    /// Who that is, as far as the log tells.
    pub client: Client,
    /// What it ran.
    pub statement: Option<StatementId>,
    /// The relation that the context names, and whether it is an index.
    pub relation: Option<(Arc<str>, bool)>,
    /// Everybody in the circle, the victim first.
    pub participants: Vec<Participant>,
}

/// One in a deadlock.
#[derive(Clone, Debug, PartialEq)]
pub struct Participant {
    /// Who.
    pub pid: Pid,
    /// Who that is, where the log told of it elsewhere.
    pub client: Client,
    /// What it waited for.
    pub mode: LockMode,
    /// On what.
    pub target: Target,
    /// Who was in its way.
    pub blocked_by: Pid,
    /// What it ran; none where the server did not say.
    pub statement: Option<StatementId>,
}

/// A statement that was cancelled.
#[derive(Clone, Debug, PartialEq)]
pub struct Cancellation {
    /// When.
    pub at: Timestamp,
    /// Whose.
    pub pid: Pid,
    /// Who that is, as far as the log tells.
    pub client: Client,
    /// Why, in the server's words.
    pub reason: Reason,
    /// What was run.
    pub statement: Option<StatementId>,
}

/// What a log tells, in order of time.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Events {
    /// Waits, by when they began.
    pub waits: Vec<Wait>,
    /// Deadlocks.
    pub deadlocks: Vec<Deadlock>,
    /// Cancellations.
    pub cancellations: Vec<Cancellation>,
    /// What the statements say, normalised.
    pub statements: HashMap<StatementId, Statement>,
    /// Entries that there was no room for.
    pub left_out: u64,
    /// Entries in another language.
    pub foreign: u64,
}

/// An entry that was understood.
struct Entry {
    at: Timestamp,
    pid: Pid,
    client: Client,
    statement: Option<StatementId>,
    relation: Option<(Arc<str>, bool)>,
    owners: Vec<Pid>,
    queue: Vec<Pid>,
    report: Report,
}

/// How often an entry was seen, so that a log in two formats is not counted twice.
#[derive(Default)]
struct Copies {
    file: usize,
    in_file: u32,
    kept: u32,
}

/// Gathers entries, from whatever files and in whatever order.
pub(super) struct Gathering {
    window: [Timestamp; 2],
    entries: Vec<Entry>,
    copies: HashMap<u64, Copies>,
    file: usize,
    texts: HashSet<Arc<str>>,
    events: Events,
}

impl Gathering {
    /// Begins to gather what was logged in a stretch of time.
    pub(super) fn within(window: [Timestamp; 2]) -> Self {
        Self {
            window,
            entries: Vec::new(),
            copies: HashMap::new(),
            file: 0,
            texts: HashSet::new(),
            events: Events::default(),
        }
    }

    /// Goes on with another file.
    pub(super) fn next_file(&mut self) {
        self.file += 1;
    }

    /// Takes in an entry.
    pub(super) fn take(&mut self, record: &Record) {
        if record.at < self.window[0] || record.at > self.window[1] {
            return;
        }
        let mut report = match report::read(record) {
            Reading::Report(report) => report,
            Reading::Foreign => {
                self.events.foreign += 1;
                return;
            }
            Reading::Nothing => return,
        };
        let pid = record.pid.or_else(|| speaker(&report, record));
        let Some(pid) = pid.filter(|&pid| self.is_new(record, pid)) else {
            return;
        };
        if self.entries.len() >= MOST_ENTRIES {
            self.events.left_out += 1;
            return;
        }
        let (mut owners, mut queue) = (Vec::new(), Vec::new());
        match &mut report {
            Report::Waits { .. } => {
                let detail = record.detail.as_deref().unwrap_or_default();
                (owners, queue) = report::owners_and_queue(detail);
                owners.truncate(MOST_LISTED);
                queue.truncate(MOST_LISTED);
            }
            Report::Deadlock(edges) => edges.truncate(MOST_LISTED),
            Report::Cancelled(reason) => reason.0 = self.shared(&reason.0),
            Report::Gone => {}
        }
        let relation = record.context.as_deref().and_then(report::relation_in);
        let relation = relation.map(|(name, is_index)| (self.shared(name), is_index));
        let statement = record.statement.as_deref();
        let statement = statement.map(|text| self.statement(text));
        let client = Client {
            application_name: self.own(record.client.application_name.as_ref()),
            role: self.own(record.client.role.as_ref()),
            database: self.own(record.client.database.as_ref()),
            client_addr: self.own(record.client.client_addr.as_ref()),
        };
        self.entries.push(Entry {
            at: record.at,
            pid,
            client,
            statement,
            relation,
            owners,
            queue,
            report,
        });
    }

    /// Tells whether an entry was not read before, out of another file.
    fn is_new(&mut self, record: &Record, pid: Pid) -> bool {
        let second = record.at.as_micros().div_euclid(1_000_000);
        let detail = record.detail.as_deref().unwrap_or_default();
        let said = format!("{pid} {second} {} {detail}", record.message);
        let copies = self.copies.entry(fnv1a(said.as_bytes())).or_default();
        if copies.file != self.file {
            (copies.file, copies.in_file) = (self.file, 0);
        }
        copies.in_file += 1;
        let is_new = copies.in_file > copies.kept;
        copies.kept = copies.kept.max(copies.in_file);
        is_new
    }

    /// Keeps equal texts once.
    fn shared(&mut self, text: &str) -> Arc<str> {
        if let Some(known) = self.texts.get(text) {
            return Arc::clone(known);
        }
        let text: Arc<str> = text.into();
        self.texts.insert(Arc::clone(&text));
        text
    }

    fn own(&mut self, text: Option<&Arc<str>>) -> Option<Arc<str>> {
        text.map(|text| self.shared(text))
    }

    fn statement(&mut self, text: &str) -> StatementId {
        let statement = statement::read(text.as_bytes());
        let id = statement.id;
        if self.events.statements.len() < MOST_STATEMENTS {
            self.events.statements.entry(id).or_insert(statement);
        }
        id
    }

    /// Puts together what was gathered; times to the second let lines differ the more.
    pub(super) fn finish(mut self, is_coarse: bool) -> Events {
        let mut entries = std::mem::take(&mut self.entries);
        // Equal times stay in the order of their file.
        entries.sort_by_key(|entry| entry.at);
        let mut clients: HashMap<Pid, Client> = HashMap::new();
        let mut open: HashMap<Pid, usize> = HashMap::new();
        let same = if is_coarse { SAME_COARSE } else { SAME };
        for entry in entries {
            if entry.client != Client::default() {
                clients.insert(entry.pid, entry.client.clone());
            }
            match entry.report {
                Report::Waits { .. } => self.wait(entry, &mut open, same),
                Report::Deadlock(ref edges) => {
                    self.end(&mut open, entry.pid, entry.at, End::Deadlock);
                    let participants = edges
                        .iter()
                        .map(|edge| self.participant(edge, clients.get(&edge.pid)))
                        .collect();
                    self.events.deadlocks.push(Deadlock {
                        at: entry.at,
                        victim: entry.pid,
                        client: entry.client,
                        statement: entry.statement,
                        relation: entry.relation,
                        participants,
                    });
                }
                Report::Cancelled(reason) => {
                    self.end(&mut open, entry.pid, entry.at, End::Cancelled);
                    self.events.cancellations.push(Cancellation {
                        at: entry.at,
                        pid: entry.pid,
                        client: entry.client,
                        reason,
                        statement: entry.statement,
                    });
                }
                Report::Gone => self.end(&mut open, entry.pid, entry.at, End::Cancelled),
            }
        }
        self.events.waits.sort_by_key(|wait| (wait.began, wait.pid));
        self.events
    }

    fn participant(&mut self, edge: &Edge, client: Option<&Client>) -> Participant {
        Participant {
            pid: edge.pid,
            client: client.cloned().unwrap_or_default(),
            mode: edge.mode,
            target: edge.target,
            blocked_by: edge.blocked_by,
            statement: edge.statement.as_deref().map(|text| self.statement(text)),
        }
    }

    fn end(&mut self, open: &mut HashMap<Pid, usize>, pid: Pid, at: Timestamp, end: End) {
        if let Some(place) = open.remove(&pid) {
            let wait = &mut self.events.waits[place];
            (wait.ended, wait.end) = (Some(at), end);
        }
    }

    /// Takes in a line of a wait, the first or a later one.
    fn wait(&mut self, entry: Entry, open: &mut HashMap<Pid, usize>, same: Span) {
        let Report::Waits {
            stage,
            mode,
            target,
            after,
        } = entry.report
        else {
            return;
        };
        let began = entry.at - after;
        let apart = |wait: &Wait| began.since(wait.began).max(wait.began.since(began));
        let is_same =
            |wait: &Wait| wait.target == target && wait.mode == mode && apart(wait) <= same;
        let waits = &mut self.events.waits;
        let known = open.get(&entry.pid).copied();
        let place = known
            .filter(|&place| is_same(&waits[place]))
            .unwrap_or_else(|| {
                waits.push(Wait {
                    pid: entry.pid,
                    client: entry.client,
                    began,
                    ended: None,
                    end: End::Open,
                    mode,
                    target,
                    relation: None,
                    statement: None,
                    owners: Vec::new(),
                    queue: Vec::new(),
                    rearranged: false,
                });
                waits.len() - 1
            });
        open.insert(entry.pid, place);
        let wait = &mut waits[place];
        wait.relation = wait.relation.take().or(entry.relation);
        wait.statement = wait.statement.or(entry.statement);
        if wait.owners.is_empty() {
            (wait.owners, wait.queue) = (entry.owners, entry.queue);
        }
        match stage {
            Stage::Still => {}
            Stage::Rearranged => wait.rearranged = true,
            Stage::Acquired | Stage::Failed => {
                wait.began = began;
                wait.ended = Some(entry.at);
                wait.end = match stage {
                    Stage::Acquired => End::Acquired,
                    _ => End::Deadlock,
                };
                open.remove(&entry.pid);
            }
        }
    }
}

/// Gives who speaks, where the format does not say: a line on a wait names its process, and a
/// deadlock is reported by the first in it.
fn speaker(report: &Report, record: &Record) -> Option<Pid> {
    match report {
        Report::Waits { .. } => record.message.split(' ').nth(1)?.parse().ok().map(Pid),
        Report::Deadlock(edges) => edges.first().map(|edge| edge.pid),
        Report::Cancelled(_) | Report::Gone => None,
    }
}

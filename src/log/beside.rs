//! A log beside the samples of the same time.
//!
//! A wait in the log and a wait in the samples are the same where a look at its process fell into
//! it. What the samples saw of it, as the time that those looks stand for, is held against its exact
//! length within the time that was watched. Whose wait it is the samples tell, where they saw it;
//! else the log.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use super::events::{End, Wait};
use super::logged::{
    Logged, LoggedCancellation, LoggedCell, LoggedDeadlock, LoggedEpisode, LoggedEvidence,
    LoggedParticipant, LoggedWaits, Question,
};
use super::{Client, Log, Target, settings};
use crate::names::{Names, Statements};
use crate::pg::{Oid, Pid};
use crate::recording::Recording;
use crate::sample::{NameKind, Session};
use crate::statement::{Statement, StatementId};
use crate::system::{Key, Naming};
use crate::time::{Rfc3339, Span, Timestamp};

/// So many cells are told, those that took the most time.
const CELLS: usize = 30;
/// So many kinds of deadlock are told.
const KINDS: usize = 20;
/// So many episodes of each.
const EPISODES: usize = 50;
/// A log's time is cut to the millisecond.
const GRAIN: Span = Span::from_millis(1);
/// Deadlocks further apart are of another episode.
const PAUSE: Span = Span::from_secs(60);

/// A log, joined with a recording.
#[derive(Debug)]
pub struct Beside {
    waits: Vec<Joined>,
    deadlocks: Vec<JoinedDeadlock>,
    logged: Logged,
}

/// A wait with what the samples add.
#[derive(Debug)]
struct Joined {
    began: Timestamp,
    until: Timestamp,
    end: End,
    locktype: &'static str,
    mode: &'static str,
    system: Option<Arc<str>>,
    database: Option<Arc<str>>,
    statement: Option<StatementId>,
    table: Option<Arc<str>>,
    watched: Span,
    sampled: Span,
}

#[derive(Debug)]
struct JoinedDeadlock {
    at: Timestamp,
    victim: LoggedParticipant,
    tables: BTreeSet<String>,
    participants: BTreeSet<LoggedParticipant>,
}

/// What a recording knows.
struct Known<'r> {
    naming: &'r Naming,
    names: Names,
    databases: HashMap<Arc<str>, Oid>,
    texts: Statements,
    log: &'r Log,
    /// Each process that the log tells of, look by look.
    seen: HashMap<Pid, Vec<(Timestamp, Span, &'r Session)>>,
    /// What each look stands for.
    stretches: Vec<[Timestamp; 2]>,
}

impl Beside {
    /// Joins a log with the recording of the same server.
    #[must_use]
    pub fn of(log: &Log, recording: &Recording, naming: &Naming) -> Self {
        let known = Known::of(log, recording, naming);
        let [from, to] = settings::window(recording);
        let is_within =
            |wait: &&Wait| wait.began < to && wait.ended.is_none_or(|ended| ended > from);
        let waits = log.events.waits.iter().filter(is_within);
        let waits: Vec<Joined> = waits.map(|wait| known.join(wait, to)).collect();
        let deadlocks = log.events.deadlocks.iter();
        let deadlocks: Vec<JoinedDeadlock> = deadlocks
            .filter(|deadlock| (from..=to).contains(&deadlock.at))
            .map(|deadlock| known.deadlock(deadlock))
            .collect();
        let rearranged = log.events.waits.iter().filter(is_within);
        let (cells, more_cells) = known.cells(&waits);
        let logged = Logged {
            files: log.logged_files(),
            lines_read: log.files.iter().map(|file| file.lines).sum(),
            unreadable: log.unreadable(),
            lock_waits_logged: settings::logs_waits(recording),
            threshold_ms: settings::threshold(recording).map(Span::as_millis_f64),
            waits: sum(waits.iter()),
            cells,
            more_cells,
            rearranged: rearranged.filter(|wait| wait.rearranged).count(),
            deadlocks: deadlocks.len(),
            deadlock_kinds: kinds(&deadlocks),
            cancellations: known.cancellations([from, to]),
        };
        Self {
            waits,
            deadlocks,
            logged,
        }
    }

    /// Gives all of it.
    #[must_use]
    pub fn logged(&self) -> &Logged {
        &self.logged
    }

    /// Gives what is stated of one victim; none where that is nothing.
    #[must_use]
    pub fn of_victim(&self, question: &Question<'_>) -> Option<LoggedEvidence> {
        let [from, to] = question.window.unwrap_or([
            Timestamp::from_micros(i64::MIN),
            Timestamp::from_micros(i64::MAX),
        ]);
        let agrees = |asked: Option<&str>, told: Option<&str>| match (asked, told) {
            (Some(asked), Some(told)) => asked == told,
            _ => true,
        };
        let is_of = |wait: &&Joined| {
            let statement = wait.statement.map(|id| id.to_string());
            wait.began < to
                && wait.until > from
                && statement.as_deref() == Some(question.fingerprint)
                && agrees(question.database, wait.database.as_deref())
                && agrees(question.table, wait.table.as_deref())
                && question
                    .locktypes
                    .is_none_or(|kinds| kinds.contains(&wait.locktype))
        };
        let waits = sum(self.waits.iter().filter(is_of));
        let ran_it =
            |one: &LoggedParticipant| one.fingerprint.as_deref() == Some(question.fingerprint);
        let deadlocks: Vec<&JoinedDeadlock> = self
            .deadlocks
            .iter()
            .filter(|deadlock| (from..=to).contains(&deadlock.at))
            .filter(|deadlock| ran_it(&deadlock.victim) || deadlock.participants.iter().any(ran_it))
            .collect();
        let systems: BTreeSet<String> = deadlocks
            .iter()
            .flat_map(|deadlock| deadlock.participants.iter().chain([&deadlock.victim]))
            .filter_map(|one| one.system.clone())
            .collect();
        let tables = deadlocks.iter().flat_map(|deadlock| &deadlock.tables);
        let tables: BTreeSet<String> = tables.cloned().collect();
        (waits.waits > 0 || !deadlocks.is_empty()).then(|| LoggedEvidence {
            waits,
            deadlocks: deadlocks.len(),
            deadlock_systems: systems.into_iter().collect(),
            deadlock_tables: tables.into_iter().collect(),
        })
    }
}

impl<'r> Known<'r> {
    fn of(log: &'r Log, recording: &'r Recording, naming: &'r Naming) -> Self {
        let events = &log.events;
        let of_deadlocks = events.deadlocks.iter().flat_map(|deadlock| {
            let participants = deadlock.participants.iter().map(|one| one.pid);
            participants.chain([deadlock.victim])
        });
        let pids: HashSet<Pid> = (events.waits.iter().map(|wait| wait.pid))
            .chain(events.cancellations.iter().map(|it| it.pid))
            .chain(of_deadlocks)
            .collect();
        let mut seen: HashMap<Pid, Vec<_>> = HashMap::new();
        for snapshot in &recording.snapshots {
            let told = |session: &&Session| pids.contains(&session.pid);
            for session in snapshot.sessions.iter().filter(told) {
                let look = (snapshot.tick.at, snapshot.tick.span, session);
                seen.entry(session.pid).or_default().push(look);
            }
        }
        let of_database = recording
            .names
            .iter()
            .filter(|name| name.kind == NameKind::Database);
        Self {
            naming,
            names: Names::of(&recording.names),
            databases: of_database
                .map(|it| (Arc::clone(&it.name), it.oid))
                .collect(),
            texts: Statements::of(&recording.statements),
            log,
            seen,
            stretches: (recording.snapshots.iter())
                .map(|snapshot| snapshot.tick.stretch())
                .collect(),
        }
    }

    fn join(&self, wait: &Wait, to: Timestamp) -> Joined {
        let until = wait.ended.unwrap_or(to);
        let session = self.session(wait.pid, wait.began, until);
        let looks = self.seen.get(&wait.pid).map_or(&[][..], Vec::as_slice);
        let first = looks.partition_point(|look| look.0 < wait.began - GRAIN);
        let waiting = looks[first..]
            .iter()
            .take_while(|look| look.0 <= until + GRAIN)
            .filter(|look| look.2.wait_event_type.as_deref() == Some("Lock"));
        let seen = waiting.clone().find_map(|look| look.2.statement);
        let statement = seen.or(wait.statement);
        let database = self.database(session, &wait.client);
        Joined {
            began: wait.began,
            until,
            end: wait.end,
            locktype: wait.target.locktype,
            mode: wait.mode.name(),
            system: self.system(session, &wait.client),
            table: self.table(
                &wait.target,
                wait.relation.as_ref(),
                statement,
                database.as_ref(),
            ),
            database,
            statement,
            watched: self.watched(wait.began, until),
            sampled: waiting.map(|look| look.1).sum(),
        }
    }

    /// Finds who a process was at a time: what was seen of it last before its end, else after.
    fn session(&self, pid: Pid, began: Timestamp, until: Timestamp) -> Option<&'r Session> {
        let looks = self.seen.get(&pid)?;
        let next = looks.partition_point(|look| look.0 <= until);
        let before = looks[..next].last();
        let near = before.into_iter().chain(looks.get(next));
        // Numbers of processes are used again.
        let is_it = |look: &&(Timestamp, Span, &Session)| look.2.backend_start <= began + GRAIN;
        near.filter(is_it).map(|look| look.2).next()
    }

    fn system(&self, session: Option<&Session>, client: &Client) -> Option<Arc<str>> {
        let seen = session.and_then(|session| self.naming.name(session, &self.names));
        seen.or_else(|| {
            self.naming.name_by(|key| match key {
                Key::ApplicationName => client.application_name.clone(),
                Key::Role => client.role.clone(),
                Key::Database => client.database.clone(),
                Key::ClientAddr => client.client_addr.clone(),
                Key::Tag(_) => None,
            })
        })
    }

    fn database(&self, session: Option<&Session>, client: &Client) -> Option<Arc<str>> {
        let seen = session.and_then(|session| self.names.database(session.database?));
        seen.cloned().or_else(|| client.database.clone())
    }

    fn statement(&self, id: StatementId) -> Option<&Statement> {
        let logged = || self.log.events.statements.get(&id);
        self.texts.get(id).or_else(logged)
    }

    /// Names the table: by its number, else by the context's word for it where only one is called
    /// so. Of an index that is the one table that the statement writes.
    fn table(
        &self,
        target: &Target,
        relation: Option<&(Arc<str>, bool)>,
        statement: Option<StatementId>,
        database: Option<&Arc<str>>,
    ) -> Option<Arc<str>> {
        if let Some((database, oid)) = target.relation {
            let known = self.names.table(database, oid).cloned();
            return Some(known.unwrap_or_else(|| format!("oid {oid}").into()));
        }
        let database = database.and_then(|name| self.databases.get(name));
        let resolved = |schema: Option<&str>, name: &Arc<str>| {
            let database = *database?;
            let mut called = self.names.called(database, schema, name);
            let only = called.next().filter(|_| called.next().is_none())?;
            self.names.table(database, only).cloned()
        };
        let (name, is_index) = relation?;
        if !is_index {
            return Some(resolved(None, name).unwrap_or_else(|| Arc::clone(name)));
        }
        let statement = self.statement(statement?)?;
        let mut written = statement.tables.iter().filter(|table| table.writes.any());
        let only = written.next().filter(|_| written.next().is_none())?;
        let whole = || match &only.schema {
            Some(schema) => format!("{schema}.{}", only.name).into(),
            None => Arc::clone(&only.name),
        };
        Some(resolved(only.schema.as_deref(), &only.name).unwrap_or_else(whole))
    }

    /// Gives how much of a stretch of time somebody looked at.
    fn watched(&self, from: Timestamp, to: Timestamp) -> Span {
        let first = self.stretches.partition_point(|stretch| stretch[1] <= from);
        let within = self.stretches[first..].iter();
        within
            .take_while(|stretch| stretch[0] < to)
            .map(|stretch| stretch[1].min(to).since(stretch[0].max(from)))
            .sum()
    }

    fn cells(&self, waits: &[Joined]) -> (Vec<LoggedCell>, usize) {
        let mut cells: BTreeMap<_, Vec<&Joined>> = BTreeMap::new();
        for wait in waits {
            let Joined {
                database,
                statement,
                table,
                locktype,
                mode,
                ..
            } = wait;
            let key = (statement, database, table, locktype, mode);
            cells.entry(key).or_default().push(wait);
        }
        let mut cells: Vec<LoggedCell> = cells
            .into_iter()
            .map(|((statement, database, table, locktype, mode), waits)| {
                let systems: BTreeSet<_> =
                    waits.iter().filter_map(|it| it.system.clone()).collect();
                LoggedCell {
                    systems: systems.iter().map(ToString::to_string).collect(),
                    fingerprint: statement.map(|id| id.to_string()),
                    query: statement.and_then(|id| self.text(id)),
                    database: database.as_ref().map(ToString::to_string),
                    table: table.as_ref().map(ToString::to_string),
                    lock_type: (*locktype).to_owned(),
                    lock_mode: (*mode).to_owned(),
                    waits: sum(waits.into_iter()),
                }
            })
            .collect();
        cells.sort_by(|a, b| b.waits.total_ms.total_cmp(&a.waits.total_ms));
        let more = cells.len().saturating_sub(CELLS);
        cells.truncate(CELLS);
        (cells, more)
    }

    fn text(&self, id: StatementId) -> Option<String> {
        self.statement(id)
            .map(|statement| statement.text.to_string())
    }

    fn participant(
        &self,
        session: Option<&Session>,
        client: &Client,
        statement: Option<StatementId>,
    ) -> LoggedParticipant {
        LoggedParticipant {
            system: self.system(session, client).map(|name| name.to_string()),
            fingerprint: statement.map(|id| id.to_string()),
            query: statement.and_then(|id| self.text(id)),
        }
    }

    fn deadlock(&self, deadlock: &super::Deadlock) -> JoinedDeadlock {
        let at = deadlock.at;
        let victim = self.session(deadlock.victim, at, at);
        let database = self.database(victim, &deadlock.client);
        let mut tables = BTreeSet::new();
        let mut participants = BTreeSet::new();
        for one in &deadlock.participants {
            let is_victim = one.pid == deadlock.victim;
            let context = deadlock.relation.as_ref().filter(|_| is_victim);
            let table = self.table(&one.target, context, one.statement, database.as_ref());
            tables.extend(table.map(|table| table.to_string()));
            let session = self.session(one.pid, at, at);
            let client = if is_victim {
                &deadlock.client
            } else {
                &one.client
            };
            participants.insert(self.participant(session, client, one.statement));
        }
        JoinedDeadlock {
            at,
            victim: self.participant(victim, &deadlock.client, deadlock.statement),
            tables,
            participants,
        }
    }

    fn cancellations(&self, [from, to]: [Timestamp; 2]) -> Vec<LoggedCancellation> {
        let mut counts: BTreeMap<(Option<Arc<str>>, &str), usize> = BTreeMap::new();
        let within = |at: Timestamp| (from..=to).contains(&at);
        for it in self
            .log
            .events
            .cancellations
            .iter()
            .filter(|it| within(it.at))
        {
            let session = self.session(it.pid, it.at, it.at);
            let key = (self.system(session, &it.client), &*it.reason.0);
            *counts.entry(key).or_default() += 1;
        }
        let counted = counts
            .into_iter()
            .map(|((system, reason), count)| LoggedCancellation {
                system: system.map(|name| name.to_string()),
                reason: reason.to_owned(),
                count,
            });
        counted.collect()
    }
}

fn sum<'w>(waits: impl Iterator<Item = &'w Joined>) -> LoggedWaits {
    let mut sum = LoggedWaits::default();
    let (mut total, mut watched, mut sampled) = (Span::ZERO, Span::ZERO, Span::ZERO);
    let mut longest = Span::ZERO;
    for wait in waits {
        let length = wait.until.since(wait.began);
        sum.waits += 1;
        total += length;
        longest = longest.max(length);
        watched += wait.watched;
        sampled += wait.sampled;
        *match wait.end {
            End::Acquired => &mut sum.acquired,
            End::Cancelled => &mut sum.cancelled,
            End::Deadlock => &mut sum.deadlocked,
            End::Open => &mut sum.open,
        } += 1;
    }
    let [total_ms, longest_ms, watched_ms, sampled_ms] =
        [total, longest, watched, sampled].map(Span::as_millis_f64);
    LoggedWaits {
        total_ms,
        longest_ms,
        watched_ms,
        sampled_ms,
        ratio: (watched_ms > 0.0).then(|| sampled_ms / watched_ms),
        ..sum
    }
}

fn kinds(deadlocks: &[JoinedDeadlock]) -> Vec<LoggedDeadlock> {
    let mut kinds: BTreeMap<_, Vec<&JoinedDeadlock>> = BTreeMap::new();
    for deadlock in deadlocks {
        let key = (&deadlock.victim, &deadlock.tables, &deadlock.participants);
        kinds.entry(key).or_default().push(deadlock);
    }
    let alike = kinds.into_values();
    let mut kinds: Vec<LoggedDeadlock> = alike.filter_map(|alike| kind(&alike)).collect();
    kinds.sort_by_key(|kind| std::cmp::Reverse(kind.count));
    kinds.truncate(KINDS);
    kinds
}

/// Sums up deadlocks that are alike, in order of time.
fn kind(alike: &[&JoinedDeadlock]) -> Option<LoggedDeadlock> {
    let first = alike.first()?;
    let episodes = alike.chunk_by(|a, b| b.at.since(a.at) <= PAUSE);
    let episodes = episodes.filter_map(|run| {
        Some(LoggedEpisode {
            from: Rfc3339(run.first()?.at),
            to: Rfc3339(run.last()?.at),
            count: run.len(),
        })
    });
    Some(LoggedDeadlock {
        count: alike.len(),
        system: first.victim.system.clone(),
        fingerprint: first.victim.fingerprint.clone(),
        query: first.victim.query.clone(),
        tables: first.tables.iter().cloned().collect(),
        participants: first.participants.iter().cloned().collect(),
        episodes: episodes.take(EPISODES).collect(),
    })
}

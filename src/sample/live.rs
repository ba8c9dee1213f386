//! The live source: a watched server, one look at a time.
//!
//! - A tick is one statement in one round trip, in autocommit, and takes no lock but
//!   the one on its own virtual transaction.
//! - Counters and names are asked apart from it, and may fail without harm: what was
//!   refused is counted and not asked again.
//! - It sets nothing on its session (through a transaction pooler the setting would
//!   outlive it) and writes nothing.
//! - Whatever was not seen is counted; see [`Source::losses`].

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant as Clock;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Row, Statement as Prepared};

use super::around::Around;
use super::clock::{Answer as Reading, ServerClock};
use super::counting::Counting;
use super::decode::{Bytes, Columns, Decoder, Instant};
use super::elsewhere::Elsewhere;
pub use super::elsewhere::Owed;
use super::error::SampleError;
use super::naming::Naming;
use super::pace::{BUDGET, Cadence, Pace};
use super::pause::Pause;
use super::texts::Texts;
use crate::connect::Target;
use crate::pg::{Oid, Version};
use crate::query;
use crate::sample::{
    Counters, Loss, Name, PaceReason, Snapshot, StatementText, Surroundings, Tick,
};
use crate::time::{Span, Timestamp};

/// How to watch.
#[derive(Clone, Debug)]
pub struct Options {
    /// How often to look, as long as the budget allows it.
    pub cadence: Cadence,
    /// The share of time that the server may spend on looks.
    pub budget: f64,
    /// Decides the jitter.
    pub seed: u64,
    /// The sqlcommenter tags that may be kept; with any, every text travels at every tick.
    pub tag_keys: Vec<String>,
    /// How to get into other databases for the names of their relations; without it they stay oids.
    pub target: Option<Target>,
    /// How often `pg_stat_statements` is read.
    pub count_every: Duration,
    /// How long an answer may take before the server counts as hanging.
    pub patience: Duration,
    /// The last tick of an earlier watch that this one goes on with: what was due since then
    /// counts as missed.
    pub after: Option<Tick>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            cadence: Cadence::Fixed(10.0),
            budget: BUDGET,
            seed: 0,
            tag_keys: Vec::new(),
            target: None,
            count_every: Duration::from_secs(2),
            patience: Duration::from_secs(10),
            after: None,
        }
    }
}

/// A server that is being watched.
#[derive(Debug)]
pub struct Source<'c> {
    client: &'c Client,
    patience: Duration,
    budget: f64,
    started: Clock,
    pace: Pace,
    /// Due since the last tick that succeeded, and not taken.
    missed: u32,
    /// The last tick of the watch before this one, until the first of this one.
    after: Option<Tick>,
    tick: Prepared,
    decoder: Decoder,
    /// The server's clock at the last tick.
    last: Option<Timestamp>,
    /// The same as the watch began.
    begun: Timestamp,
    clock: ServerClock,
    /// As it is set for this session, read once.
    deadlock_timeout: Span,
    texts: Texts,
    naming: Naming,
    names: Option<Prepared>,
    /// Between questions for names at home.
    naming_pause: Pause,
    elsewhere: Elsewhere,
    counting: Counting,
    around: Around,
    losses: BTreeMap<&'static str, u64>,
}

impl<'c> Source<'c> {
    /// Prepares to watch through `client`, whose `client_encoding` is `SQL_ASCII`.
    ///
    /// # Errors
    /// When the server is gone, or refuses what the tick needs.
    pub async fn new(client: &'c Client, options: Options) -> Result<Self, SampleError> {
        let found = Found::ask(client, options.patience).await?;
        let tick = ask(client, query::TICK.name, options.patience, async {
            client.prepare(query::TICK.statement()).await
        })
        .await?;
        Ok(Self {
            client,
            patience: options.patience,
            budget: options.budget,
            started: Clock::now(),
            pace: Pace::new(options.cadence, options.seed, options.budget),
            missed: 0,
            after: options.after,
            decoder: Decoder::new(Columns::new(query::TICK.name, tick.columns())),
            tick,
            last: None,
            begun: found.at,
            clock: ServerClock::default(),
            deadlock_timeout: found.deadlock_timeout,
            texts: Texts::new(options.tag_keys, found.text_bytes),
            naming: Naming::new(found.home),
            names: None,
            naming_pause: Pause::new(Duration::ZERO),
            elsewhere: Elsewhere::new(options.target),
            around: Around::new(found.home, found.version),
            counting: Counting::new(
                options.count_every,
                found.schema.as_deref(),
                found.tells_since,
            ),
            losses: BTreeMap::new(),
        })
    }

    /// Tells whether `pg_stat_statements` is in the connected database and can be read, as far as is known.
    #[must_use]
    pub const fn has_counters(&self) -> bool {
        self.counting.is_there()
    }

    /// Waits for the next instant and looks.
    ///
    /// The first look is at once and sees every connected session, each with its last
    /// statement. Later ones see, of the idle sessions, those whose `state_change` lies
    /// after the last look's `at` and not after their own: each completion that was not
    /// overtaken is in exactly one snapshot.
    ///
    /// # Errors
    /// When the server is gone, silent, or refuses. After [`SampleError::Timeout`] the
    /// next tick may be tried; after [`SampleError::Gone`] and
    /// [`SampleError::Silent`] the connection is of no more use.
    pub async fn tick(&mut self) -> Result<Snapshot, SampleError> {
        // Not before: by now the caller had the time to show what the last look saw.
        self.elsewhere.begin(&self.naming);
        let next = self.pace.next(elapsed(self.started));
        tokio::time::sleep(next.wait).await;
        self.missed = self.missed.saturating_add(next.missed);
        let is_lowered = next.reason == PaceReason::Budget;
        self.lose("lowered_pace", u64::from(is_lowered));
        let last = self.last.map_or(Instant::ALWAYS, Instant);
        let known = self.texts.begin();
        let asked = elapsed(self.started);
        let rows = ask(self.client, query::TICK.name, self.patience, async {
            let parameters: [&(dyn ToSql + Sync); 3] = [&last, &known, &self.texts.wants_all()];
            self.client.query(&self.tick, &parameters).await
        })
        .await;
        if rows.is_err() {
            self.missed = self.missed.saturating_add(1);
            // The server worked all the while, and nobody knows for whom it is worth it.
            let now = elapsed(self.started);
            self.pace.spent(now, now.less(asked), false);
            self.elsewhere.found(false);
        }
        let rows = rows?;
        let look = self.decoder.look(&rows)?;
        self.last = Some(look.at);
        let reading = Reading {
            asked,
            came: elapsed(self.started),
            at: look.at,
        };
        let stepped = self.clock.stepped(reading);
        let away = self
            .after
            .take()
            .map_or(0, |last| self.pace.due_since(&last, look.at));
        let missed = std::mem::take(&mut self.missed).saturating_add(away);
        self.lose("missed_ticks", u64::from(missed));
        self.lose("clock_steps", u64::from(stepped));
        let mut sessions = Vec::with_capacity(look.sessions.len());
        for (mut session, text) in look.sessions {
            self.texts.resolve(&mut session, text);
            sessions.push(session);
        }
        let waits = sessions
            .iter()
            .any(|session| session.wait_event_type.as_deref() == Some("Lock"));
        let waits = waits || !look.safe_snapshots.is_empty();
        self.pace.spent(elapsed(self.started), look.server, waits);
        // Slow is what takes more than the budget of a second.
        let is_slow = look.server.as_secs_f64() > self.budget;
        self.elsewhere.found(!waits && !is_slow);
        let truncated = self.texts.truncated();
        self.lose("truncated_texts", truncated);
        self.lose("hidden_sessions", look.hidden);
        self.lose("unknown_lock_modes", look.unknown_modes);
        let snapshot = Snapshot {
            tick: Tick {
                at: look.at,
                span: next.span,
                place: self.clock.made().less(next.from),
                server: look.server,
                missed,
                deadlock_timeout: self.deadlock_timeout,
                period: next.period,
                pace: next.reason,
            },
            sessions,
            locks: look.locks,
            prepared: look.prepared,
            safe_snapshots: look.safe_snapshots,
        };
        self.around.saw(&snapshot);
        Ok(snapshot)
    }

    /// Tells whether it is time to read `pg_stat_statements`, or to look whether it is there.
    #[must_use]
    pub fn should_count(&self) -> bool {
        self.counting.is_due()
    }

    /// Reads `pg_stat_statements`: what changed since the last call.
    ///
    /// `None` where it is not there, may not be read, or did not answer in time. A refusal is
    /// counted once and then not provoked again before the extension is found to be there and
    /// readable; slowness is counted and makes the pause longer after which
    /// [`Source::should_count`] says yes.
    ///
    /// # Errors
    /// When the server is gone or silent.
    pub async fn counters(&mut self) -> Result<Option<Counters>, SampleError> {
        if !self.counting.is_there() {
            if !self.counting.is_due() {
                return Ok(None);
            }
            // A few catalogue look-ups may have to wait behind DDL, and give up.
            match Found::ask(self.client, self.patience).await {
                Ok(found) => self
                    .counting
                    .is_in(found.schema.as_deref(), found.tells_since),
                Err(error @ (SampleError::Gone(_) | SampleError::Silent { .. })) => {
                    return Err(error);
                }
                Err(_) => self.counting.is_in(None, false),
            }
            if !self.counting.is_there() {
                return Ok(None);
            }
        }
        let look = self.counting.look(self.client);
        let told = ask(self.client, query::COUNTERS.name, self.patience, look).await;
        match told.and_then(|told| told) {
            Ok((counters, lost)) => {
                for (kind, count) in lost {
                    self.lose(kind, count);
                }
                Ok(Some(counters))
            }
            Err(SampleError::Privilege { .. } | SampleError::Refused { .. }) => {
                self.counting.refused();
                self.lose("refused_counters", 1);
                Ok(None)
            }
            Err(SampleError::Timeout { .. }) => {
                self.counting.timed_out();
                self.lose("timed_out_counters", 1);
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Tells whether it is time to look around.
    #[must_use]
    pub fn should_look_around(&self) -> bool {
        self.around.is_due()
    }

    /// Looks around: what is done to tables and in databases, what the server counts, who keeps
    /// old row versions alive, which settings changed.
    ///
    /// What was refused or did not come in time is counted, and left out.
    ///
    /// # Errors
    /// When the server is gone or silent.
    pub async fn look_around(&mut self) -> Result<Surroundings, SampleError> {
        let statements = self.counting.since();
        let looked = self.around.look(self.client, self.patience, statements);
        let (surroundings, lost) = looked.await?;
        let tables = surroundings.tables.iter().map(|table| table.table);
        self.naming.want(tables);
        for lost in lost {
            self.lose(lost.kind, 1);
        }
        Ok(surroundings)
    }

    /// Gives the texts that are new since the last call.
    pub fn learned(&mut self) -> Vec<StatementText> {
        self.texts.learned()
    }

    /// Asks for the names of what `snapshot` mentions, of each oid once.
    ///
    /// What is at home is asked here and now; relations of other databases are asked
    /// beside the coming looks, and told by later calls.
    ///
    /// Names are a help and not the matter: what is refused, or would have to wait
    /// behind a lock, is counted, left without a name and asked more rarely. Another database is
    /// asked only while nobody waits for a lock: it takes a second connection.
    pub async fn names(&mut self, snapshot: &Snapshot) -> Vec<Name> {
        let arrived = self.elsewhere.arrived().await;
        let told = arrived.map(|answer| answer.names(&mut self.naming));
        self.lose("refused_names", u64::from(told == Some(None)));
        let mut names = told.flatten().unwrap_or_default();
        let mut missing = self.naming.missing(snapshot);
        let relations = missing.take(self.naming.home());
        let nothing =
            missing.databases.is_empty() && missing.roles.is_empty() && relations.is_empty();
        if !nothing && self.naming_pause.is_over(Clock::now()) {
            let asked = (&missing.databases, &missing.roles, &relations);
            let answer = self.ask_names(asked).await;
            if let Ok(told) = answer.and_then(|rows| self.naming.take(&rows, asked)) {
                self.naming_pause.answered(Clock::now());
                names.extend(told);
            } else {
                self.naming_pause.refused(Clock::now());
                self.lose("refused_names", 1);
            }
        }
        self.elsewhere.want(missing.relations);
        names
    }

    /// Gives up asking for the names that other databases still owe; they may be asked for when
    /// the connection of this watch is closed.
    pub fn owed(&mut self) -> Owed {
        let home = self.naming.home();
        Owed {
            elsewhere: std::mem::replace(&mut self.elsewhere, Elsewhere::new(None)),
            naming: std::mem::replace(&mut self.naming, Naming::new(home)),
        }
    }

    /// Gives what was lost since the last call.
    pub fn losses(&mut self) -> Vec<Loss> {
        let at = self.last.unwrap_or(self.begun);
        let losses = std::mem::take(&mut self.losses);
        let loss = |(kind, count): (&str, u64)| Loss {
            at,
            kind: kind.into(),
            count,
        };
        losses.into_iter().map(loss).collect()
    }

    async fn ask_names(
        &mut self,
        (databases, roles, relations): (&BTreeSet<Oid>, &BTreeSet<Oid>, &BTreeSet<(Oid, Oid)>),
    ) -> Result<Vec<Row>, SampleError> {
        let databases: Vec<u32> = databases.iter().map(|oid| oid.0).collect();
        let roles: Vec<u32> = roles.iter().map(|oid| oid.0).collect();
        let relations: Vec<u32> = relations.iter().map(|(_, oid)| oid.0).collect();
        let (client, prepared) = (self.client, &mut self.names);
        ask(client, query::NAMES.name, self.patience, async {
            let prepared = match prepared {
                Some(prepared) => &*prepared,
                None => prepared.insert(client.prepare(query::NAMES.statement()).await?),
            };
            let parameters: [&(dyn ToSql + Sync); 3] = [&databases, &roles, &relations];
            client.query(prepared, &parameters).await
        })
        .await
    }

    fn lose(&mut self, kind: &'static str, count: u64) {
        if count > 0 {
            *self.losses.entry(kind).or_default() += count;
        }
    }
}

/// Where the observer is connected, and what it finds there.
struct Found {
    /// The server's clock.
    at: Timestamp,
    home: Oid,
    version: Version,
    text_bytes: usize,
    deadlock_timeout: Span,
    /// Of `pg_stat_statements`, where the role may read it.
    schema: Option<Arc<str>>,
    /// Whether that can say since when it counts.
    tells_since: bool,
}

impl Found {
    async fn ask(client: &Client, patience: Duration) -> Result<Self, SampleError> {
        let rows = ask(client, query::SESSION.name, patience, async {
            client.query(query::SESSION.statement(), &[]).await
        })
        .await?;
        let missing = |column| SampleError::Column {
            query: query::SESSION.name,
            column,
        };
        let row = rows.first().ok_or(missing("database"))?;
        let columns = Columns::new(query::SESSION.name, row.columns());
        let version: i32 = columns.get(row, "version")?;
        let size: i64 = columns.get(row, "text_bytes")?;
        let schema: Option<Bytes<'_>> = columns.get(row, "statements_schema")?;
        Ok(Self {
            at: columns.get::<Instant>(row, "at")?.0,
            home: Oid(columns.get(row, "database")?),
            version: Version(u32::try_from(version).unwrap_or(0)),
            text_bytes: usize::try_from(size).unwrap_or(usize::MAX),
            deadlock_timeout: Span::from_micros(columns.get(row, "deadlock_us")?),
            schema: schema.map(|schema| schema.text()),
            tells_since: columns.get(row, "statements_info")?,
        })
    }
}

fn elapsed(since: Clock) -> Span {
    Span::from_micros(i64::try_from(since.elapsed().as_micros()).unwrap_or(i64::MAX))
}

/// Puts a question, and does not wait for the answer for ever.
pub(super) async fn ask<T>(
    client: &Client,
    query: &'static str,
    patience: Duration,
    answer: impl Future<Output = Result<T, tokio_postgres::Error>>,
) -> Result<T, SampleError> {
    match tokio::time::timeout(patience, answer).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) if client.is_closed() => Err(SampleError::Gone(error)),
        Ok(Err(error)) => Err(SampleError::of(query, error)),
        Err(_) => Err(SampleError::Silent {
            query,
            seconds: patience.as_secs_f64(),
        }),
    }
}

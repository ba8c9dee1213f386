//! The live source: a watched server, one look at a time.
//!
//! - A tick is one statement in one round trip, in autocommit, and takes no lock but
//!   the one on its own virtual transaction.
//! - Counters and names are asked apart from it, and may fail without harm: what was
//!   refused is counted and not asked again.
//! - It sets nothing on its session (through a transaction pooler the setting would
//!   outlive it) and writes nothing.
//! - Whatever was not seen is counted; see [`Source::losses`].

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use tokio::time::Instant as Clock;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Row, Statement as Prepared};

use super::decode::{Bytes, Columns, Decoder, Instant};
use super::elsewhere::{Answer, Elsewhere};
use super::error::SampleError;
use super::naming::Naming;
use super::pace::{BUDGET, Cadence, Pace};
use super::pause::Pause;
use super::texts::Texts;
use crate::connect::Target;
use crate::pg::{Oid, QueryId};
use crate::query;
use crate::sample::{
    Counters, Loss, Name, PaceReason, Snapshot, StatementCounters, StatementText, Tick,
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
    /// How long an answer may take before the server counts as hanging.
    pub patience: Duration,
    /// The last tick of an earlier watch that this one goes on with: what was due since then
    /// counts as missed.
    pub after: Option<Timestamp>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            cadence: Cadence::Fixed(10.0),
            budget: BUDGET,
            seed: 0,
            tag_keys: Vec::new(),
            target: None,
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
    started: Clock,
    pace: Pace,
    /// Due since the last tick that succeeded, and not taken.
    missed: u32,
    /// The last tick of the watch before this one, until the first of this one.
    after: Option<Timestamp>,
    tick: Prepared,
    decoder: Decoder,
    /// The server's clock at the last tick.
    last: Option<Timestamp>,
    /// As it is set for this session, read once.
    deadlock_timeout: Span,
    texts: Texts,
    naming: Naming,
    names: Option<Prepared>,
    /// Between questions for names at home.
    naming_pause: Pause,
    elsewhere: Elsewhere,
    counters: Option<CounterReader>,
    losses: BTreeMap<&'static str, u64>,
}

/// How often `pg_stat_statements` is read.
const COUNT_EVERY: Duration = Duration::from_secs(2);

/// The reading of `pg_stat_statements`.
#[derive(Debug)]
struct CounterReader {
    pause: Pause,
    text: String,
    prepared: Option<Prepared>,
    seen: HashMap<(Oid, QueryId), (i64, f64)>,
}

impl<'c> Source<'c> {
    /// Prepares to watch through `client`, whose `client_encoding` is `SQL_ASCII`.
    ///
    /// # Errors
    /// When the server is gone, or refuses what the tick needs.
    pub async fn new(client: &'c Client, options: Options) -> Result<Self, SampleError> {
        let session = ask(client, query::SESSION.name, options.patience, async {
            client.query(query::SESSION.statement(), &[]).await
        })
        .await?;
        let missing = |column| SampleError::Column {
            query: query::SESSION.name,
            column,
        };
        let session = session.first().ok_or(missing("database"))?;
        let columns = Columns::new(query::SESSION.name, session.columns());
        let home = Oid(columns.get(session, "database")?);
        let size: i64 = columns.get(session, "text_bytes")?;
        let deadlock_timeout = Span::from_micros(columns.get(session, "deadlock_us")?);
        let schema: Option<Bytes<'_>> = columns.get(session, "statements_schema")?;
        let tick = ask(client, query::TICK.name, options.patience, async {
            client.prepare(query::TICK.statement()).await
        })
        .await?;
        Ok(Self {
            client,
            patience: options.patience,
            started: Clock::now(),
            pace: Pace::new(options.cadence, options.seed, options.budget),
            missed: 0,
            after: options.after,
            decoder: Decoder::new(Columns::new(query::TICK.name, tick.columns())),
            tick,
            last: None,
            deadlock_timeout,
            texts: Texts::new(
                options.tag_keys,
                usize::try_from(size).unwrap_or(usize::MAX),
            ),
            naming: Naming::new(home),
            names: None,
            naming_pause: Pause::new(Duration::ZERO),
            elsewhere: Elsewhere::new(options.target),
            counters: schema.map(|schema| CounterReader {
                pause: Pause::new(COUNT_EVERY),
                text: query::COUNTERS.in_schema(&schema.text()),
                prepared: None,
                seen: HashMap::new(),
            }),
            losses: BTreeMap::new(),
        })
    }

    /// Tells whether `pg_stat_statements` is in the connected database and can be read, as far as is known.
    #[must_use]
    pub const fn has_counters(&self) -> bool {
        self.counters.is_some()
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
        let place = elapsed(self.started).less(next.from);
        self.missed = self.missed.saturating_add(next.missed);
        let is_lowered = next.reason == PaceReason::Budget;
        self.lose("lowered_pace", u64::from(is_lowered));
        let last = self.last.map_or(Instant::ALWAYS, Instant);
        let known = self.texts.begin();
        let asked = Clock::now();
        let rows = ask(self.client, query::TICK.name, self.patience, async {
            let parameters: [&(dyn ToSql + Sync); 3] = [&last, &known, &self.texts.wants_all()];
            self.client.query(&self.tick, &parameters).await
        })
        .await;
        if rows.is_err() {
            self.missed = self.missed.saturating_add(1);
            // The server worked all the while, and nobody knows for whom it is worth it.
            let now = elapsed(self.started);
            self.pace.spent(now, elapsed(asked), false);
        }
        let rows = rows?;
        let look = self.decoder.look(&rows)?;
        self.last = Some(look.at);
        let away = self
            .after
            .take()
            .map_or(0, |before| self.pace.due_in(look.at.since(before)));
        let missed = std::mem::take(&mut self.missed).saturating_add(away);
        self.lose("missed_ticks", u64::from(missed));
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
        let truncated = self.texts.truncated();
        self.lose("truncated_texts", truncated);
        self.lose("hidden_sessions", look.hidden);
        self.lose("unknown_lock_modes", look.unknown_modes);
        Ok(Snapshot {
            tick: Tick {
                at: look.at,
                span: next.span,
                place,
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
        })
    }

    /// Tells whether `pg_stat_statements` is there and it is time to read it.
    #[must_use]
    pub fn should_count(&self) -> bool {
        let reader = self.counters.as_ref();
        reader.is_some_and(|reader| reader.pause.is_over(Clock::now()))
    }

    /// Reads `pg_stat_statements`: what changed since the last call.
    ///
    /// `None` where it is not there, may not be read, or did not answer in time; a
    /// refusal is counted once and then not provoked again, and slowness is counted and
    /// makes the pause longer after which [`Source::should_count`] says yes.
    ///
    /// # Errors
    /// When the server is gone or silent.
    pub async fn counters(&mut self) -> Result<Option<Counters>, SampleError> {
        let Some(reader) = &mut self.counters else {
            return Ok(None);
        };
        let (client, prepared, text) = (self.client, &mut reader.prepared, &reader.text);
        let rows = ask(client, query::COUNTERS.name, self.patience, async {
            let prepared = match prepared {
                Some(prepared) => &*prepared,
                None => prepared.insert(client.prepare(text).await?),
            };
            client.query(prepared, &[]).await
        })
        .await;
        match rows {
            Ok(rows) => {
                reader.pause.answered(Clock::now());
                let (counters, lost) = reader.read(&rows)?;
                for (kind, count) in lost {
                    self.lose(kind, count);
                }
                Ok(Some(counters))
            }
            Err(SampleError::Privilege { .. } | SampleError::Refused { .. }) => {
                self.counters = None;
                self.lose("refused_counters", 1);
                Ok(None)
            }
            Err(SampleError::Timeout { .. }) => {
                reader.pause.refused(Clock::now());
                self.lose("timed_out_counters", 1);
                Ok(None)
            }
            Err(error) => Err(error),
        }
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
    /// behind a lock, is counted, left without a name and asked more rarely.
    pub async fn names(&mut self, snapshot: &Snapshot) -> Vec<Name> {
        let mut names = match self.elsewhere.arrived().await {
            Some(answer) => self.told(&answer),
            None => Vec::new(),
        };
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

    /// Waits for the names that other databases still owe, `patience` at most.
    pub async fn last_names(&mut self, patience: Duration) -> Vec<Name> {
        self.elsewhere.begin(&self.naming);
        match self.elsewhere.answer(patience).await {
            Some(answer) => self.told(&answer),
            None => Vec::new(),
        }
    }

    /// Takes the names that another database told, or that it told none.
    fn told(&mut self, answer: &Answer) -> Vec<Name> {
        let nothing = BTreeSet::new();
        let asked = (&nothing, &nothing, &answer.relations);
        let rows = answer.rows.as_deref();
        if let Some(Ok(names)) = rows.map(|rows| self.naming.take(rows, asked)) {
            names
        } else {
            self.lose("refused_names", 1);
            Vec::new()
        }
    }

    /// Gives what was lost since the last call.
    pub fn losses(&mut self) -> Vec<Loss> {
        let at = self.last.unwrap_or_default();
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

impl CounterReader {
    /// Keeps the rows that changed; gives also what is known to be lost.
    #[expect(clippy::type_complexity, reason = "the losses have no other home")]
    fn read(&mut self, rows: &[Row]) -> Result<(Counters, Vec<(&'static str, u64)>), SampleError> {
        let mut counters = Counters::default();
        let (mut hidden, mut reset) = (0, 0);
        let mut now = HashMap::with_capacity(rows.len());
        let Some(first) = rows.first() else {
            return Ok((counters, Vec::new()));
        };
        let columns = Columns::new(query::COUNTERS.name, first.columns());
        counters.at = columns.get::<Instant>(first, "at")?.0;
        for row in rows {
            let Some(database) = columns.get::<Option<u32>>(row, "database")? else {
                continue;
            };
            let Some(query_id) = columns.get::<Option<i64>>(row, "query_id")? else {
                hidden += 1;
                continue;
            };
            let key = (Oid(database), QueryId(query_id));
            let calls: i64 = columns.get(row, "calls")?;
            let counted = StatementCounters {
                at: counters.at,
                database: key.0,
                query_id: key.1,
                calls: Some(calls),
                exec_ms: columns.get(row, "exec_ms")?,
                rows: columns.get(row, "rows")?,
                blocks_hit: columns.get(row, "blocks_hit")?,
                blocks_read: columns.get(row, "blocks_read")?,
                wal_bytes: columns.get(row, "wal_bytes")?,
            };
            let state = (calls, counted.exec_ms);
            now.insert(key, state);
            match self.seen.remove(&key) {
                Some(before) if before == state => {}
                before => {
                    reset += u64::from(before.is_some_and(|before| before.0 > calls));
                    counters.rows.push(counted);
                }
            }
        }
        // What is left was there and is no more: evicted, or reset.
        let evicted = self.seen.len() as u64;
        let gone = self
            .seen
            .drain()
            .map(|((database, query_id), _)| StatementCounters {
                at: counters.at,
                database,
                query_id,
                calls: None,
                exec_ms: 0.0,
                rows: 0,
                blocks_hit: 0,
                blocks_read: 0,
                wal_bytes: 0,
            });
        counters.rows.extend(gone);
        self.seen = now;
        let lost = vec![
            ("hidden_counters", hidden),
            ("reset_counters", reset),
            ("evicted_counters", evicted),
        ];
        Ok((counters, lost))
    }
}

fn elapsed(since: Clock) -> Span {
    Span::from_micros(i64::try_from(since.elapsed().as_micros()).unwrap_or(i64::MAX))
}

/// Puts a question, and does not wait for the answer for ever.
async fn ask<T>(
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

//! The slow looks around: tables, databases, the server, horizons, settings.
//!
//! - They are apart from the ticks and may fail without harm: what was refused is counted and
//!   not asked again on this connection, what was too slow is counted and asked more rarely.
//! - They come every ten seconds, and the more rarely the longer they take: a database of a
//!   hundred thousand tables must not cost more for that than any other.
//! - What is remembered, to tell only what changed, is as much as one look brings.

use std::collections::{BTreeSet, HashMap};
use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant as Clock;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Row, Statement as Prepared};

use super::decode::{Bytes, Columns, Instant, TransactionId};
use super::error::SampleError;
use super::live::ask;
use crate::pg::{Oid, Pid, Version};
use crate::query::{self, Query};
use crate::sample::{
    DatabaseCounters, Horizon, ServerCounter, Setting, Snapshot, Surroundings, TableCounters,
};
use crate::time::Timestamp;

/// How often to look.
const EVERY: Duration = Duration::from_secs(10);

/// A look that takes some time is not followed by another one for so many times as long.
const DEAR: u32 = 200;

/// … but for no longer than this.
const SELDOM: Duration = Duration::from_mins(10);

/// Settings are looked at once in so many looks.
const SETTINGS_EVERY: u32 = 6;

/// Of so many tables that somebody waits for it is told what is done to them.
const MOST_WAITED_FOR: usize = 100;

/// The looking around.
#[derive(Debug)]
pub(super) struct Around {
    home: Oid,
    due: Option<Clock>,
    looks: u32,
    /// Tables of the connected database in whose way somebody stood since the last look.
    waited_for: BTreeSet<Oid>,
    tables: Question<Oid, TableCounters>,
    databases: Question<Oid, DatabaseCounters>,
    server: Question<Arc<str>, ServerCounter>,
    statements: Question<Arc<str>, ServerCounter>,
    horizons: Question<u32, Horizon>,
    settings: Question<Arc<str>, Setting>,
}

/// What is lost: of which query, and whether it was only slow.
#[derive(Debug)]
pub(super) struct Lost {
    pub(super) kind: &'static str,
}

impl Around {
    pub(super) fn new(home: Oid, version: Version) -> Self {
        Self {
            home,
            due: None,
            looks: 0,
            waited_for: BTreeSet::new(),
            tables: Question::new(query::TABLES, ["refused_tables", "timed_out_tables"]),
            databases: Question::new(
                query::DATABASES,
                ["refused_databases", "timed_out_databases"],
            ),
            server: Question::new(
                query::server(version),
                ["refused_server", "timed_out_server"],
            ),
            statements: Question::new(
                query::STATEMENTS,
                ["refused_statements", "timed_out_statements"],
            ),
            horizons: Question::new(query::HORIZONS, ["refused_horizons", "timed_out_horizons"]),
            settings: Question::new(query::SETTINGS, ["refused_settings", "timed_out_settings"]),
        }
    }

    pub(super) fn is_due(&self) -> bool {
        self.due.is_none_or(|due| due <= Clock::now())
    }

    /// Takes note of the tables that are waited for.
    pub(super) fn saw(&mut self, snapshot: &Snapshot) {
        let home = self.home;
        let here = snapshot.locks.iter().filter_map(|lock| {
            let at_home = lock.target.database == Some(home);
            lock.target.relation.filter(|_| at_home)
        });
        self.waited_for.extend(here);
        while self.waited_for.len() > MOST_WAITED_FOR {
            self.waited_for.pop_last();
        }
    }

    /// Looks around, also at what `statements` asks, where `pg_stat_statements` is there; gives
    /// also what was lost.
    pub(super) async fn look(
        &mut self,
        client: &Client,
        patience: Duration,
        statements: Option<&str>,
    ) -> Result<(Surroundings, Vec<Lost>), SampleError> {
        let begun = Clock::now();
        let mut lost = Vec::new();
        let home = self.home;
        let waited_for = std::mem::take(&mut self.waited_for);
        let waited_for: Vec<u32> = waited_for.into_iter().map(|oid| oid.0).collect();
        let asker = Asker { client, patience };
        let nothing: [&(dyn ToSql + Sync); 0] = [];
        let mut surroundings = Surroundings {
            tables: self
                .tables
                .ask(&asker, &[&waited_for], &mut lost, |columns, row| {
                    table(columns, row, home)
                })
                .await?,
            databases: self
                .databases
                .ask(&asker, &nothing, &mut lost, database)
                .await?,
            server: self
                .server
                .ask(&asker, &nothing, &mut lost, counter)
                .await?,
            horizons: self
                .horizons
                .ask(&asker, &nothing, &mut lost, horizon)
                .await?,
            settings: Vec::new(),
        };
        if let Some(text) = statements {
            let counting = &mut self.statements;
            text.clone_into(&mut counting.text);
            let counted = counting.ask(&asker, &nothing, &mut lost, counter).await?;
            surroundings.server.extend(counted);
        }
        if self.looks.is_multiple_of(SETTINGS_EVERY) {
            let settings = &mut self.settings;
            surroundings.settings = settings.ask(&asker, &nothing, &mut lost, setting).await?;
        }
        self.looks = self.looks.wrapping_add(1);
        let rest = (begun.elapsed() * DEAR).clamp(EVERY, SELDOM);
        self.due = Some(begun + rest);
        Ok((surroundings, lost))
    }
}

/// Whom to ask, and how long to wait.
struct Asker<'c> {
    client: &'c Client,
    patience: Duration,
}

/// A question, and what it brought the last time.
#[derive(Debug)]
struct Question<K, R> {
    name: &'static str,
    text: String,
    /// As losses: that it was refused, that it was slow.
    kinds: [&'static str; 2],
    prepared: Option<Prepared>,
    refused: bool,
    last: HashMap<K, R>,
}

/// A row of a look, told where it changed.
trait Changing<K>: Clone + PartialEq {
    /// What makes it the same one at the next look.
    fn key(&self) -> K;
    /// The same at another time.
    fn at(self, at: Timestamp) -> Self;
    /// What is told when it is no more, if that is news.
    fn gone(self, _at: Timestamp) -> Option<Self> {
        None
    }
}

impl<K: Eq + Hash, R: Changing<K>> Question<K, R> {
    fn new(query: Query, kinds: [&'static str; 2]) -> Self {
        Self {
            name: query.name,
            text: query.statement().to_owned(),
            kinds,
            prepared: None,
            refused: false,
            last: HashMap::new(),
        }
    }

    /// Asks, and gives the rows that changed.
    async fn ask(
        &mut self,
        asker: &Asker<'_>,
        parameters: &[&(dyn ToSql + Sync)],
        lost: &mut Vec<Lost>,
        decode: impl Fn(&Columns, &Row) -> Result<(Timestamp, R), SampleError>,
    ) -> Result<Vec<R>, SampleError> {
        if self.refused {
            return Ok(Vec::new());
        }
        let (client, prepared, text) = (asker.client, &mut self.prepared, &self.text);
        let rows = ask(client, self.name, asker.patience, async {
            let prepared = match prepared {
                Some(prepared) => &*prepared,
                None => prepared.insert(client.prepare(text).await?),
            };
            client.query(prepared, parameters).await
        })
        .await;
        let rows = match rows {
            Ok(rows) => rows,
            Err(SampleError::Privilege { .. } | SampleError::Refused { .. }) => {
                self.refused = true;
                lost.push(Lost {
                    kind: self.kinds[0],
                });
                return Ok(Vec::new());
            }
            Err(SampleError::Timeout { .. }) => {
                lost.push(Lost {
                    kind: self.kinds[1],
                });
                return Ok(Vec::new());
            }
            Err(error) => return Err(error),
        };
        let Some(first) = rows.first() else {
            return Ok(Vec::new());
        };
        let columns = Columns::new(self.name, first.columns());
        let decoded: Result<Vec<_>, _> = rows.iter().map(|row| decode(&columns, row)).collect();
        Ok(self.changed(decoded?))
    }

    /// Keeps the rows that changed since the last look, and tells what is gone.
    fn changed(&mut self, rows: Vec<(Timestamp, R)>) -> Vec<R> {
        let mut told = Vec::new();
        let mut now = HashMap::with_capacity(rows.len());
        let mut read = Timestamp::default();
        for (at, row) in rows {
            read = at;
            let before = self.last.remove(&row.key());
            if before.is_none_or(|before| before.at(at) != row) {
                told.push(row.clone());
            }
            now.insert(row.key(), row);
        }
        let gone = self.last.drain().filter_map(|(_, row)| row.gone(read));
        told.extend(gone);
        self.last = now;
        told
    }
}

impl Changing<Oid> for TableCounters {
    fn key(&self) -> Oid {
        self.table
    }
    fn at(self, at: Timestamp) -> Self {
        Self { at, ..self }
    }
}

impl Changing<Oid> for DatabaseCounters {
    fn key(&self) -> Oid {
        self.database
    }
    fn at(self, at: Timestamp) -> Self {
        Self { at, ..self }
    }
}

impl Changing<Arc<str>> for ServerCounter {
    fn key(&self) -> Arc<str> {
        Arc::clone(&self.name)
    }
    fn at(self, at: Timestamp) -> Self {
        Self { at, ..self }
    }
}

/// Who holds a horizon is told at each look.
impl Changing<u32> for Horizon {
    fn key(&self) -> u32 {
        self.xid.0
    }
    fn at(self, _: Timestamp) -> Self {
        self
    }
}

impl Changing<Arc<str>> for Setting {
    fn key(&self) -> Arc<str> {
        Arc::clone(&self.name)
    }
    fn at(self, at: Timestamp) -> Self {
        Self { at, ..self }
    }
    fn gone(self, at: Timestamp) -> Option<Self> {
        Some(Self {
            at,
            value: None,
            source: "default".into(),
            ..self
        })
    }
}

fn read_at(columns: &Columns, row: &Row) -> Result<Timestamp, SampleError> {
    Ok(columns.get::<Instant>(row, "at")?.0)
}

fn instant(
    columns: &Columns,
    row: &Row,
    column: &'static str,
) -> Result<Option<Timestamp>, SampleError> {
    let instant: Option<Instant> = columns.get(row, column)?;
    Ok(instant.map(|instant| instant.0))
}

fn word(columns: &Columns, row: &Row, column: &'static str) -> Result<Arc<str>, SampleError> {
    Ok(columns.get::<Bytes<'_>>(row, column)?.text())
}

fn table(
    columns: &Columns,
    row: &Row,
    database: Oid,
) -> Result<(Timestamp, TableCounters), SampleError> {
    let at = read_at(columns, row)?;
    let count = |column| columns.get::<i64>(row, column);
    let counters = TableCounters {
        at,
        database,
        table: Oid(columns.get(row, "table")?),
        inserted: count("inserted")?,
        updated: count("updated")?,
        deleted: count("deleted")?,
        hot_updated: count("hot_updated")?,
        seq_scans: count("seq_scans")?,
        seq_rows: count("seq_rows")?,
        index_scans: count("index_scans")?,
        live_rows: count("live_rows")?,
        dead_rows: count("dead_rows")?,
        vacuums: count("vacuums")?,
        autovacuums: count("autovacuums")?,
        last_autovacuum: instant(columns, row, "last_autovacuum")?,
        last_autoanalyze: instant(columns, row, "last_autoanalyze")?,
    };
    Ok((at, counters))
}

fn database(columns: &Columns, row: &Row) -> Result<(Timestamp, DatabaseCounters), SampleError> {
    let at = read_at(columns, row)?;
    let count = |column| columns.get::<i64>(row, column);
    let counters = DatabaseCounters {
        at,
        database: Oid(columns.get(row, "database")?),
        commits: count("commits")?,
        rollbacks: count("rollbacks")?,
        blocks_read: count("blocks_read")?,
        blocks_hit: count("blocks_hit")?,
        rows_returned: count("rows_returned")?,
        rows_fetched: count("rows_fetched")?,
        inserted: count("inserted")?,
        updated: count("updated")?,
        deleted: count("deleted")?,
        conflicts: count("conflicts")?,
        temp_files: count("temp_files")?,
        temp_bytes: count("temp_bytes")?,
        deadlocks: count("deadlocks")?,
        stats_reset: instant(columns, row, "stats_reset")?,
    };
    Ok((at, counters))
}

fn counter(columns: &Columns, row: &Row) -> Result<(Timestamp, ServerCounter), SampleError> {
    let at = read_at(columns, row)?;
    let counter = ServerCounter {
        at,
        name: word(columns, row, "name")?,
        value: columns.get::<Option<i64>>(row, "value")?.unwrap_or(0),
    };
    Ok((at, counter))
}

fn horizon(columns: &Columns, row: &Row) -> Result<(Timestamp, Horizon), SampleError> {
    let at = read_at(columns, row)?;
    let owner: Option<Bytes<'_>> = columns.get(row, "owner")?;
    let age: i32 = columns.get(row, "age")?;
    let horizon = Horizon {
        at,
        kind: word(columns, row, "kind")?,
        pid: columns.get::<Option<i32>>(row, "pid")?.map(Pid),
        owner: owner.map(|owner| owner.text()),
        database: columns.get::<Option<u32>>(row, "database")?.map(Oid),
        xid: columns.get::<TransactionId>(row, "xid")?.0,
        age: age.into(),
        since: instant(columns, row, "since")?,
    };
    Ok((at, horizon))
}

fn setting(columns: &Columns, row: &Row) -> Result<(Timestamp, Setting), SampleError> {
    let at = read_at(columns, row)?;
    let value: Option<Bytes<'_>> = columns.get(row, "value")?;
    let setting = Setting {
        at,
        name: word(columns, row, "name")?,
        value: value.map(|value| value.text()),
        source: word(columns, row, "source")?,
        pending_restart: columns.get(row, "pending_restart")?,
    };
    Ok((at, setting))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a look at settings tells, after each of some looks that brought these.
    fn check(looks: &[&[(&str, &str)]], told: &[&[(&str, Option<&str>)]]) {
        let mut question = Question::new(query::SETTINGS, ["", ""]);
        for (n, (look, told)) in looks.iter().zip(told).enumerate() {
            let at = Timestamp::from_micros(i64::try_from(n).unwrap_or(0));
            let rows = look.iter().map(|(name, value)| {
                let setting = Setting {
                    at,
                    name: (*name).into(),
                    value: Some((*value).into()),
                    source: "configuration file".into(),
                    pending_restart: false,
                };
                (at, setting)
            });
            let changed = question.changed(rows.collect());
            let changed: Vec<(&str, Option<&str>)> = changed
                .iter()
                .map(|setting| (&*setting.name, setting.value.as_deref()))
                .collect();
            assert_eq!(changed, *told, "look {n}");
            assert_eq!(question.last.len(), look.len());
        }
    }

    #[test]
    fn only_what_changed_is_told_and_what_is_built_in_again() {
        check(
            &[
                &[("work_mem", "4096 kB"), ("fsync", "on")],
                &[("work_mem", "4096 kB"), ("fsync", "off")],
                &[("fsync", "off")],
                &[("fsync", "off")],
            ],
            &[
                &[("work_mem", Some("4096 kB")), ("fsync", Some("on"))],
                &[("fsync", Some("off"))],
                &[("work_mem", None)],
                &[],
            ],
        );
    }
}

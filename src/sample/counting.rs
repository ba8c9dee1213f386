//! What `pg_stat_statements` counts, as far as it changed.
//!
//! - Rows are looked at one by one as they come: a hundred thousand statements cost a hundred
//!   thousand small entries here, and never as many rows at once.
//! - What was told is remembered, up to a bound; entries beyond it are left out and counted.
//! - The first look in an hour of the server's clock tells all entries, whether they changed or
//!   not: what is read of a recording, or left of it, begins with an hour.
//! - Where a look breaks off, what it was about to tell is told by the next.
//! - The extension may be missing, be dropped, be made again, or be taken from the role, all in
//!   mid-flight. Whether it is there is asked in a way that provokes no error.

use std::collections::HashMap;
use std::pin::pin;
use std::time::Duration;

use futures_util::StreamExt as _;
use tokio::time::Instant as Clock;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Row, Statement as Prepared};

use super::decode::{Columns, Instant};
use super::error::SampleError;
use super::pause::Pause;
use crate::pg::{Oid, QueryId};
use crate::query;
use crate::sample::{Counters, StatementCounters};
use crate::time::Timestamp;

/// Entries beyond so many are not followed.
const MOST_ENTRIES: usize = 200_000;

/// An extension that is missing is looked for so much more rarely than it would be read.
const LOOK_FOR_IT: u32 = 6;

/// One that refuses, half as often each time, so many times.
const MOST_DOUBLINGS: u32 = 4;

/// What is lost with a look, by kind.
pub(super) type Lost = [(&'static str, u64); 4];

/// The reading of `pg_stat_statements`.
#[derive(Debug)]
pub(super) struct Counting {
    /// Between looks at it.
    pause: Pause,
    every: Duration,
    /// Between looks for it, while it is missing.
    missing: Pause,
    /// How often in a row it refused.
    refusals: u32,
    found: Option<Found>,
    seen: Seen,
}

/// Where it is.
#[derive(Debug)]
struct Found {
    text: String,
    prepared: Option<Prepared>,
    /// Asks since when it counts; none before its version 1.9.
    since: Option<String>,
}

impl Counting {
    /// Begins with the extension in a schema, or missing; `tells_since` where it can say since when
    /// it counts.
    pub(super) fn new(every: Duration, schema: Option<&str>, tells_since: bool) -> Self {
        let mut counting = Self {
            pause: Pause::new(every),
            every,
            missing: Pause::new(every * LOOK_FOR_IT),
            refusals: 0,
            found: None,
            seen: Seen::default(),
        };
        counting.is_in(schema, tells_since);
        counting
    }

    /// Takes note of where the extension is.
    pub(super) fn is_in(&mut self, schema: Option<&str>, tells_since: bool) {
        self.missing.answered(Clock::now());
        self.found = schema.map(|schema| Found {
            text: query::COUNTERS.in_schema(schema),
            prepared: None,
            since: tells_since.then(|| query::STATEMENTS.in_schema(schema)),
        });
    }

    /// Gives the question since when it counts, where that may be put.
    pub(super) fn since(&self) -> Option<&str> {
        self.found.as_ref()?.since.as_deref()
    }

    pub(super) const fn is_there(&self) -> bool {
        self.found.is_some()
    }

    /// Tells whether it is time to look at it, or, where it is missing, for it.
    pub(super) fn is_due(&self) -> bool {
        let pause = if self.is_there() {
            &self.pause
        } else {
            &self.missing
        };
        pause.is_over(Clock::now())
    }

    /// Takes note that it refused, and is not to be asked before it was looked for.
    pub(super) fn refused(&mut self) {
        self.seen.doubt();
        let doublings = self.refusals.min(MOST_DOUBLINGS);
        self.missing = Pause::new(self.every * LOOK_FOR_IT * (1 << doublings));
        self.refusals += 1;
        self.is_in(None, false);
    }

    /// Takes note that it did not answer in time.
    pub(super) fn timed_out(&mut self) {
        self.pause.refused(Clock::now());
    }

    /// Looks at it.
    pub(super) async fn look(
        &mut self,
        client: &Client,
    ) -> Result<Result<(Counters, Lost), SampleError>, tokio_postgres::Error> {
        let Some(found) = &mut self.found else {
            return Ok(Ok((Counters::default(), Lost::default())));
        };
        let prepared = match &mut found.prepared {
            Some(prepared) => &*prepared,
            None => found.prepared.insert(client.prepare(&found.text).await?),
        };
        let columns = Columns::new(query::COUNTERS.name, prepared.columns());
        let nothing = std::iter::empty::<&(dyn ToSql + Sync)>();
        let mut rows = pin!(client.query_raw(prepared, nothing).await?);
        let mut look = self.seen.look();
        while let Some(row) = rows.next().await {
            if let Err(error) = counted(&columns, &row?).map(|told| look.take(told)) {
                return Ok(Err(error));
            }
        }
        let told = look.end();
        self.pause.answered(Clock::now());
        self.refusals = 0;
        Ok(Ok(told))
    }
}

/// What a row tells.
#[derive(Clone, Copy, Debug)]
enum Told {
    /// Nothing but the time.
    Nothing(Timestamp),
    /// An entry that the role may not see.
    Hidden(Timestamp),
    Counted(StatementCounters),
}

fn counted(columns: &Columns, row: &Row) -> Result<Told, SampleError> {
    let at = columns.get::<Instant>(row, "at")?.0;
    let Some(database) = columns.get::<Option<u32>>(row, "database")? else {
        return Ok(Told::Nothing(at));
    };
    let Some(query_id) = columns.get::<Option<i64>>(row, "query_id")? else {
        return Ok(Told::Hidden(at));
    };
    Ok(Told::Counted(StatementCounters {
        at,
        database: Oid(database),
        query_id: QueryId(query_id),
        calls: Some(columns.get(row, "calls")?),
        exec_ms: columns.get(row, "exec_ms")?,
        rows: columns.get(row, "rows")?,
        blocks_hit: columns.get(row, "blocks_hit")?,
        blocks_read: columns.get(row, "blocks_read")?,
        wal_bytes: columns.get(row, "wal_bytes")?,
    }))
}

type Key = (Oid, QueryId);

/// What was told of each entry.
#[derive(Debug, Default)]
struct Seen {
    entries: HashMap<Key, Entry>,
    /// The number of the look.
    look: u32,
    /// The hour of the last look that was told to its end.
    hour: Option<i64>,
    /// Nobody knows whether the entries count on from where they were.
    doubtful: bool,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    calls: i64,
    exec_ms: f64,
    look: u32,
}

impl Seen {
    /// From now on nothing is known to count on from where it was.
    fn doubt(&mut self) {
        self.doubtful = true;
    }

    fn look(&mut self) -> Looking<'_> {
        self.look = self.look.wrapping_add(1);
        Looking {
            seen: self,
            counters: Counters::default(),
            lost: Lost::default(),
            is_whole: false,
        }
    }
}

/// A look at the entries.
struct Looking<'s> {
    seen: &'s mut Seen,
    counters: Counters,
    lost: Lost,
    is_whole: bool,
}

impl Looking<'_> {
    fn take(&mut self, told: Told) {
        let [hidden, reset, _, beyond] = &mut self.lost;
        let row = match told {
            Told::Nothing(at) => {
                self.counters.at = at;
                return;
            }
            Told::Hidden(at) => {
                self.counters.at = at;
                *hidden = ("hidden_counters", hidden.1 + 1);
                return;
            }
            Told::Counted(row) => row,
        };
        self.counters.at = row.at;
        let tells_all = self.seen.hour != Some(hour(row.at));
        // What does not count on is told as gone now, and anew by the next look.
        if self.seen.doubtful {
            return;
        }
        let key = (row.database, row.query_id);
        let calls = row.calls.unwrap_or_default();
        let now = Entry {
            calls,
            exec_ms: row.exec_ms,
            look: self.seen.look,
        };
        let is_full = self.seen.entries.len() >= MOST_ENTRIES;
        match self.seen.entries.get_mut(&key) {
            Some(before) => {
                if before.calls > calls {
                    *reset = ("reset_counters", reset.1 + 1);
                }
                if tells_all || (before.calls, before.exec_ms) != (calls, row.exec_ms) {
                    self.counters.rows.push(row);
                }
                *before = now;
            }
            None if is_full => *beyond = ("unfollowed_counters", beyond.1 + 1),
            None => {
                self.seen.entries.insert(key, now);
                self.counters.rows.push(row);
            }
        }
    }

    /// Ends the look: what was there and is no more was evicted, or reset.
    fn end(mut self) -> (Counters, Lost) {
        self.is_whole = true;
        self.seen.hour = Some(hour(self.counters.at));
        let look = self.seen.look;
        let at = self.counters.at;
        let mut gone = 0;
        let rows = &mut self.counters.rows;
        self.seen.entries.retain(|(database, query_id), entry| {
            if entry.look == look {
                return true;
            }
            gone += 1;
            rows.push(StatementCounters::gone(at, *database, *query_id));
            false
        });
        let kind = if std::mem::take(&mut self.seen.doubtful) {
            "reset_counters"
        } else {
            "evicted_counters"
        };
        self.lost[2] = (kind, gone);
        (std::mem::take(&mut self.counters), self.lost)
    }
}

/// Gives the hour that a time lies in.
fn hour(at: Timestamp) -> i64 {
    at.as_micros().div_euclid(3_600_000_000)
}

impl Drop for Looking<'_> {
    fn drop(&mut self) {
        if !self.is_whole {
            // Nobody was told: as if they had not been seen.
            for row in &self.counters.rows {
                let key = (row.database, row.query_id);
                if let Some(entry) = self.seen.entries.get_mut(&key) {
                    entry.exec_ms = f64::NAN;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(query_id: i64, calls: i64) -> StatementCounters {
        StatementCounters {
            at: Timestamp::from_micros(calls),
            database: Oid(1),
            query_id: QueryId(query_id),
            calls: Some(calls),
            exec_ms: calls as f64,
            rows: 0,
            blocks_hit: 0,
            blocks_read: 0,
            wal_bytes: 0,
        }
    }

    /// Looks at entries, each with its calls; gives what is told, `None` for what is gone.
    fn look(seen: &mut Seen, entries: &[(i64, i64)]) -> Vec<(i64, Option<i64>)> {
        let mut look = seen.look();
        for (query_id, calls) in entries {
            look.take(Told::Counted(row(*query_id, *calls)));
        }
        let (counters, _) = look.end();
        let told = counters.rows.iter().map(|row| (row.query_id.0, row.calls));
        told.collect()
    }

    #[test]
    fn only_what_changed_is_told_and_what_is_gone_once() {
        let mut seen = Seen::default();
        assert_eq!(look(&mut seen, &[(1, 5), (2, 7)]).len(), 2);
        assert_eq!(look(&mut seen, &[(1, 6), (2, 7)]), [(1, Some(6))]);
        assert_eq!(look(&mut seen, &[(1, 6)]), [(2, None)]);
        assert_eq!(look(&mut seen, &[(1, 6)]), []);
        assert_eq!(look(&mut seen, &[(1, 6), (2, 1)]), [(2, Some(1))]);
    }

    #[test]
    fn the_first_look_in_an_hour_tells_everything() {
        let mut seen = Seen::default();
        look(&mut seen, &[(1, 5), (2, 7)]);
        assert_eq!(look(&mut seen, &[(1, 5), (2, 7)]), []);
        seen.hour = Some(-1);
        assert_eq!(look(&mut seen, &[(1, 5), (2, 7)]).len(), 2);
        assert_eq!(look(&mut seen, &[(1, 5), (2, 7)]), []);
    }

    #[test]
    fn what_a_look_that_broke_off_would_have_told_is_told_by_the_next() {
        let mut seen = Seen::default();
        look(&mut seen, &[(1, 5), (2, 7)]);
        let mut broken = seen.look();
        broken.take(Told::Counted(row(1, 6)));
        drop(broken);
        assert_eq!(look(&mut seen, &[(1, 6), (2, 7)]), [(1, Some(6))]);
        assert_eq!(look(&mut seen, &[(1, 6), (2, 7)]), []);
    }

    #[test]
    fn a_reset_is_counted() {
        let mut seen = Seen::default();
        look(&mut seen, &[(1, 5)]);
        let mut again = seen.look();
        again.take(Told::Counted(row(1, 2)));
        let (counters, lost) = again.end();
        assert_eq!(counters.rows[0].calls, Some(2));
        assert!(lost.contains(&("reset_counters", 1)), "{lost:?}");
    }

    #[test]
    fn an_extension_made_again_counts_on_from_nothing_that_was_known() {
        let mut seen = Seen::default();
        look(&mut seen, &[(1, 5), (2, 7)]);
        seen.doubt();
        let mut told = look(&mut seen, &[(1, 80)]);
        told.sort_unstable();
        assert_eq!(told, [(1, None), (2, None)]);
        assert_eq!(look(&mut seen, &[(1, 81)]), [(1, Some(81))]);
    }

    #[test]
    fn a_hundred_thousand_statements_take_a_few_megabytes() {
        let mut seen = Seen::default();
        let entries: Vec<(i64, i64)> = (0..100_000).map(|n| (n, 1)).collect();
        for _ in 0..3 {
            look(&mut seen, &entries);
        }
        // One byte of control beside each place, an eighth of the places free.
        let place = size_of::<(Key, Entry)>() + 1;
        let bytes = seen.entries.capacity() * 8 / 7 * place;
        assert!(bytes < 8 << 20, "{bytes}");
    }

    #[test]
    fn entries_beyond_the_bound_are_counted() {
        let mut seen = Seen::default();
        let most = i64::try_from(MOST_ENTRIES).unwrap_or(i64::MAX);
        let mut first = seen.look();
        (0..most + 7).for_each(|n| first.take(Told::Counted(row(n, 1))));
        let (counters, lost) = first.end();
        assert_eq!(counters.rows.len(), MOST_ENTRIES);
        assert!(lost.contains(&("unfollowed_counters", 7)), "{lost:?}");
    }
}

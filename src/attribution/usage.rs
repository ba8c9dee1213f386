//! What statements did in a window, by the server's counters: calls, rows, blocks, WAL.

use std::collections::HashMap;

use crate::attribution::charge::VictimKey;
use crate::attribution::window::{Cuts, Window, looks_at_counters};
use crate::names::Statements;
use crate::pg::{Oid, QueryId};
use crate::recording::Recording;
use crate::sample::StatementCounters;
use crate::statement::StatementId;

/// From so many calls on there is a mean to hold others against.
const FEWEST_CALLS: f64 = 1_000.0;

/// What a statement did.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Work {
    /// Completed executions.
    pub(super) calls: f64,
    /// Rows returned or affected.
    pub(super) rows: f64,
    /// Blocks touched, found in shared buffers or read into them.
    pub(super) blocks: f64,
    /// Blocks read into shared buffers.
    pub(super) read: f64,
    /// Bytes of WAL.
    pub(super) wal: f64,
    /// Seconds in execution.
    pub(super) seconds: f64,
}

impl Work {
    /// Gives what an entry counted since a look before; none where it was reset or is gone.
    fn since(row: &StatementCounters, before: Option<&StatementCounters>) -> Option<Self> {
        let nothing = StatementCounters {
            calls: Some(0),
            ..StatementCounters::gone(row.at, row.database, row.query_id)
        };
        let before = before.unwrap_or(&nothing);
        let calls = row.calls_since(before)? as f64;
        let more = |of: fn(&StatementCounters) -> i64| (of(row) - of(before)) as f64;
        let read = more(|row| row.blocks_read);
        Some(Self {
            calls,
            rows: more(|row| row.rows),
            blocks: more(|row| row.blocks_hit) + read,
            read,
            wal: more(|row| row.wal_bytes),
            seconds: (row.exec_ms - before.exec_ms).max(0.0) / 1e3,
        })
    }

    /// Divides what was done.
    pub(super) fn per(&self, by: f64) -> Self {
        Self {
            calls: self.calls / by,
            rows: self.rows / by,
            blocks: self.blocks / by,
            read: self.read / by,
            wal: self.wal / by,
            seconds: self.seconds / by,
        }
    }

    fn add(&mut self, more: &Self) {
        self.calls += more.calls;
        self.rows += more.rows;
        self.blocks += more.blocks;
        self.read += more.read;
        self.wal += more.wal;
        self.seconds += more.seconds;
    }
}

/// The work of every entry, in the pieces of time that counted any.
#[derive(Debug, Default)]
pub(super) struct Usage {
    pieces: HashMap<(Oid, QueryId), Vec<Counted>>,
    /// What the first look found: all since the server began to count.
    first: HashMap<(Oid, QueryId), Work>,
}

/// A piece of time and what was done in it; none where that is not known.
type Counted = (usize, Option<Work>);

impl Usage {
    /// Takes the differences of a recording's counters.
    pub(super) fn of(recording: &Recording) -> Self {
        let mut last: HashMap<(Oid, QueryId), StatementCounters> = HashMap::new();
        let mut usage = Self::default();
        for (look, (_, rows)) in looks_at_counters(recording).into_iter().enumerate() {
            for row in rows {
                let key = (row.database, row.query_id);
                let before = last.insert(key, *row);
                if let Some(piece) = look.checked_sub(1) {
                    let work = Work::since(row, before.as_ref());
                    usage.pieces.entry(key).or_default().push((piece, work));
                } else if let Some(work) = Work::since(row, None) {
                    usage.first.insert(key, work);
                }
            }
        }
        usage
    }

    /// Gives what a statement did before the first look, since the server began to count it; none
    /// where nothing counts it.
    fn before(
        &self,
        database: Oid,
        statement: StatementId,
        statements: &Statements,
    ) -> Option<Work> {
        let ids = statements.query_ids(statement).iter();
        let mut known = ids.filter_map(|id| self.first.get(&(database, *id)));
        let mut sum = *known.next()?;
        known.for_each(|more| sum.add(more));
        Some(sum)
    }

    /// Gives what a victim's statement did before the first look, and in a window.
    pub(super) fn history(
        &self,
        victim: &VictimKey,
        statements: &Statements,
        window: &Window,
    ) -> Option<(Work, Work)> {
        let (database, statement) = (victim.database?, victim.statement?);
        let before = self.before(database, statement, statements)?;
        let after = self.within(database, statement, statements, window)?;
        (before.calls >= FEWEST_CALLS && after.calls > 0.0).then_some((before, after))
    }

    /// Gives the seconds that a statement was in execution in each of so many pieces, as the server
    /// counted them; `NaN` where that is not known, none where nothing counts it.
    pub(super) fn in_execution(
        &self,
        database: Oid,
        statement: StatementId,
        statements: &Statements,
        pieces: usize,
    ) -> Option<Vec<f64>> {
        let mut sum: Option<Vec<f64>> = None;
        for query_id in statements.query_ids(statement) {
            let Some(counted) = self.pieces.get(&(database, *query_id)) else {
                continue;
            };
            let sum = sum.get_or_insert_with(|| vec![0.0; pieces]);
            for (piece, work) in counted {
                sum[*piece] += work.map_or(f64::NAN, |work| work.seconds);
            }
        }
        sum
    }

    /// Sums what a statement did in a window; none where nothing counts it, or a part is not known.
    pub(super) fn within(
        &self,
        database: Oid,
        statement: StatementId,
        statements: &Statements,
        window: &Window,
    ) -> Option<Work> {
        let mut sum = None;
        for query_id in statements.query_ids(statement) {
            let Some(pieces) = self.pieces.get(&(database, *query_id)) else {
                continue;
            };
            let all = sum.get_or_insert_with(Work::default);
            for (_, work) in pieces.iter().filter(|(piece, _)| window.has(*piece)) {
                all.add(work.as_ref()?);
            }
        }
        sum
    }
}

/// Gives the seconds of a window that are compared.
pub(super) fn seconds(cuts: &Cuts, window: &Window) -> f64 {
    let pieces = window.blocks.iter().flat_map(Clone::clone);
    pieces.map(|piece| cuts.seconds(piece)).sum()
}

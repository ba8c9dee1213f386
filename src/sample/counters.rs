//! The rows of a look at `pg_stat_statements`.

use serde::{Deserialize, Serialize};

use crate::pg::{Oid, QueryId};
use crate::time::Timestamp;

/// One look at `pg_stat_statements`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Counters {
    /// The server's clock as it looked.
    pub at: Timestamp,
    /// The entries that changed since the last look, cumulative.
    pub rows: Vec<StatementCounters>,
}

/// The cumulative counters of one statement, summed over users.
///
/// An entry that is no more is told once, without calls and with zeroes; when it comes
/// back it counts from zero, and nobody knows what went uncounted meanwhile.
///
/// `exec_ms` is a lower bound of what its callers felt: commits, waits while
/// parsing and cancelled executions are not in it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct StatementCounters {
    /// When they were read.
    pub at: Timestamp,
    /// The database.
    pub database: Oid,
    /// The server's id of the statement.
    pub query_id: QueryId,
    /// Completed executions; none where the entry is no more: evicted, or reset.
    pub calls: Option<i64>,
    /// Execution time in milliseconds.
    pub exec_ms: f64,
    /// Rows returned or affected.
    pub rows: i64,
    /// Blocks found in shared buffers.
    pub blocks_hit: i64,
    /// Blocks read into them.
    pub blocks_read: i64,
    /// Bytes of WAL written.
    pub wal_bytes: i64,
}

impl StatementCounters {
    /// Tells that an entry is gone.
    #[must_use]
    pub const fn gone(at: Timestamp, database: Oid, query_id: QueryId) -> Self {
        Self {
            at,
            database,
            query_id,
            calls: None,
            exec_ms: 0.0,
            rows: 0,
            blocks_hit: 0,
            blocks_read: 0,
            wal_bytes: 0,
        }
    }

    /// Gives the calls since an earlier look; none where the entry is not the same any more.
    #[must_use]
    pub fn calls_since(&self, before: &Self) -> Option<i64> {
        // The time is a sum over users, whose order rounds it a little differently each time.
        let fell = self.exec_ms < before.exec_ms * (1.0 - 1e-9)
            || self.rows < before.rows
            || self.blocks_hit < before.blocks_hit
            || self.blocks_read < before.blocks_read
            || self.wal_bytes < before.wal_bytes;
        let more = self.calls?.checked_sub(before.calls?)?;
        (more >= 0 && !fell).then_some(more)
    }
}

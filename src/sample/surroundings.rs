//! The rows of the slow looks: what goes on around the sessions.
//!
//! Counters are cumulative, and a row is told only where it changed since the last look.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::Server;
use crate::pg::{Oid, Pid, Xid};
use crate::time::Timestamp;

/// What slow looks brought.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Surroundings {
    /// The tables that changed, of the busiest and of those that somebody waited for.
    pub tables: Vec<TableCounters>,
    /// The databases that changed.
    pub databases: Vec<DatabaseCounters>,
    /// What the server as a whole counts, as far as it changed.
    pub server: Vec<ServerCounter>,
    /// Who keeps old row versions alive.
    pub horizons: Vec<Horizon>,
    /// The settings that are not built in, as far as they changed.
    pub settings: Vec<Setting>,
}

impl Surroundings {
    /// Says what the server is now, of which this was known: a standby may have been promoted, and
    /// behind a pooler the server started anew, while the session goes on.
    #[must_use]
    pub fn describe(&self, known: &Server) -> Server {
        let mut server = known.clone();
        for counter in &self.server {
            match &*counter.name {
                "in_recovery" => server.in_recovery = counter.value != 0,
                "started_us" => server.started_at = Timestamp::from_micros(counter.value),
                _ => {}
            }
        }
        server
    }

    /// Adds what another look brought.
    pub fn extend(&mut self, more: Self) {
        self.tables.extend(more.tables);
        self.databases.extend(more.databases);
        self.server.extend(more.server);
        self.horizons.extend(more.horizons);
        self.settings.extend(more.settings);
    }
}

/// What was done to a table, as `pg_stat_all_tables` counts it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct TableCounters {
    /// When it was read.
    pub at: Timestamp,
    /// The database.
    pub database: Oid,
    /// The table.
    pub table: Oid,
    /// Rows inserted.
    pub inserted: i64,
    /// Rows updated.
    pub updated: i64,
    /// Rows deleted.
    pub deleted: i64,
    /// Of the updated rows, those that needed no new index entry.
    pub hot_updated: i64,
    /// Times that it was read whole.
    pub seq_scans: i64,
    /// Rows that were read so.
    pub seq_rows: i64,
    /// Times that one of its indexes was used.
    pub index_scans: i64,
    /// An estimate of its rows.
    pub live_rows: i64,
    /// An estimate of the row versions that nobody needs and nobody has removed.
    pub dead_rows: i64,
    /// Times that it was vacuumed by hand.
    pub vacuums: i64,
    /// Times that it was vacuumed by the server.
    pub autovacuums: i64,
    /// When the server last did so.
    pub last_autovacuum: Option<Timestamp>,
    /// When the server last analysed it.
    pub last_autoanalyze: Option<Timestamp>,
}

/// What was done in a database, as `pg_stat_database` counts it; 0 is what all databases share.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct DatabaseCounters {
    /// When it was read.
    pub at: Timestamp,
    /// The database.
    pub database: Oid,
    /// Transactions committed.
    pub commits: i64,
    /// Transactions rolled back.
    pub rollbacks: i64,
    /// Blocks read into shared buffers.
    pub blocks_read: i64,
    /// Blocks found there.
    pub blocks_hit: i64,
    /// Rows and index entries read.
    pub rows_returned: i64,
    /// Rows fetched by way of an index.
    pub rows_fetched: i64,
    /// Rows inserted.
    pub inserted: i64,
    /// Rows updated.
    pub updated: i64,
    /// Rows deleted.
    pub deleted: i64,
    /// Queries cancelled because of recovery.
    pub conflicts: i64,
    /// Temporary files made.
    pub temp_files: i64,
    /// Bytes written to them.
    pub temp_bytes: i64,
    /// Deadlocks found.
    pub deadlocks: i64,
    /// When these counters began anew.
    pub stats_reset: Option<Timestamp>,
}

/// One of the counters of the server as a whole.
///
/// Named rather than in columns, since versions differ in what they count.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ServerCounter {
    /// When it was read.
    pub at: Timestamp,
    /// What is counted, as `wal_bytes`, `checkpoints_requested`, `started_us`, `timeline`.
    pub name: Arc<str>,
    /// How much.
    pub value: i64,
}

/// Somebody who keeps old row versions alive.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Horizon {
    /// When it was seen.
    pub at: Timestamp,
    /// `backend`, `prepared`, `slot` or `standby`.
    pub kind: Arc<str>,
    /// The process, if one is behind it.
    pub pid: Option<Pid>,
    /// The application, the gid, the slot's name.
    pub owner: Option<Arc<str>>,
    /// Where.
    pub database: Option<Oid>,
    /// The oldest transaction that it may still need to see.
    pub xid: Xid,
    /// How many transactions ago that was.
    pub age: i64,
    /// Since when, if the server tells.
    pub since: Option<Timestamp>,
}

/// A setting that a file, the command line or the environment gives.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Setting {
    /// When it was seen.
    pub at: Timestamp,
    /// Its name.
    pub name: Arc<str>,
    /// Its value with the unit; a hash of it where it is a text, but for the log's time
    /// zone; none where it is built in again.
    pub value: Option<Arc<str>>,
    /// Where it comes from.
    pub source: Arc<str>,
    /// Whether it waits for a restart.
    pub pending_restart: bool,
}

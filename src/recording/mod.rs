//! The recording: open columnar files, one table per kind of row.

use crate::sample::{Counters, Declared, Loss, Name, Server, Snapshot, StatementText};

/// A recording, read into memory, in order of time.
#[derive(Clone, Debug)]
pub struct Recording {
    /// The server that was watched.
    pub server: Server,
    /// The ticks.
    pub snapshots: Vec<Snapshot>,
    /// The looks at `pg_stat_statements`.
    pub counters: Vec<Counters>,
    /// The texts.
    pub statements: Vec<StatementText>,
    /// What the oids mean.
    pub names: Vec<Name>,
    /// What was told.
    pub declared: Vec<Declared>,
    /// What was lost.
    pub losses: Vec<Loss>,
}

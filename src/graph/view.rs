//! A wait-for graph as it is handed to readers: the JSON `pgjam.graph/1`.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::time::Rfc3339;

/// Who waits for whom at one instant, with names in place of oids.
///
/// Nodes are ordered by pid, prepared transactions last, by gid; edges by waiter,
/// then blocker. Parallel workers appear as their leader.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct GraphView {
    /// Always [`GraphView::SCHEMA`].
    pub schema: &'static str,
    /// The server's clock.
    pub taken_at: Rfc3339,
    /// Everyone who waits or is waited for.
    pub nodes: Vec<Node>,
    /// One per waiter and direct blocker.
    pub edges: Vec<Edge>,
    /// Those who are waited for and wait for no lock themselves.
    pub roots: Vec<Party>,
    /// Deadlocks that the server has not broken yet, each as the pids in it.
    pub cycles: Vec<Vec<i32>>,
    /// Waits of which no blocker could be seen, by wait event.
    pub unseen: BTreeMap<String, usize>,
}

impl GraphView {
    /// The name and version of the shape.
    pub const SCHEMA: &'static str = "pgjam.graph/1";
}

/// Who: a backend by its pid, or a prepared transaction by its gid.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Party {
    /// The process id; null for a prepared transaction.
    pub pid: Option<i32>,
    /// The name of the prepared transaction; null for a backend.
    pub gid: Option<String>,
}

/// One backend or prepared transaction.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Node {
    /// Who.
    #[serde(flatten)]
    pub party: Party,
    /// When the backend began; null for a prepared transaction.
    pub backend_start: Option<Rfc3339>,
    /// Whose it is, by the naming rules; null where no rule gave a name.
    pub system: Option<String>,
    /// The role's name.
    pub role: Option<String>,
    /// The database's name.
    pub database: Option<String>,
    /// `client backend`, `autovacuum worker`, `prepared transaction`, …
    pub backend_type: String,
    /// `active`, `idle in transaction`, …; `prepared` for a prepared transaction.
    pub state: String,
    /// `Lock: transactionid`; null while it runs.
    pub wait_event: Option<String>,
    /// Its current or last statement, normalised.
    pub query: Option<String>,
    /// How long its transaction is open; since PREPARE for a prepared one.
    pub xact_age_ms: Option<f64>,
    /// How long it has waited for its lock; null if it waits for none.
    pub waiting_ms: Option<f64>,
    /// How many sessions wait behind it, directly or through others.
    pub behind: usize,
}

/// One wait of one session for one other.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Edge {
    /// Who waits.
    pub waiter: i32,
    /// For which backend; null for a prepared transaction.
    pub blocker: Option<i32>,
    /// For which prepared transaction; null for a backend.
    pub blocker_gid: Option<String>,
    /// Held, or asked for earlier.
    pub kind: EdgeKind,
    /// Which lock the waiter asks for.
    pub lock: EdgeLock,
    /// How long the waiter has waited; null where the server does not say.
    pub waiting_ms: Option<f64>,
}

/// Why the blocker is in the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum EdgeKind {
    /// It holds a conflicting lock.
    Hard,
    /// It waits for a conflicting lock, ahead in the queue.
    Soft,
}

/// The lock that a waiter asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct EdgeLock {
    /// `transactionid`, `tuple`, `relation`, `advisory`, …
    #[serde(rename = "type")]
    pub kind: String,
    /// `ShareLock`, …
    pub mode: String,
    /// `schema.table`; null where it is not known.
    pub table: Option<String>,
    /// Whether the table was read off the lock table or derived from the statement; null without one.
    pub table_basis: Option<&'static str>,
}

//! A wait-for graph as it is handed to readers: the JSON `pgjam.graph/1`.

mod build;

use std::collections::BTreeMap;

use serde::Serialize;

use crate::graph::Certainty;
use crate::graph::chain::Chain;
use crate::names::{Names, Statements};
use crate::system::Naming;
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
    /// One per waiter and direct blocker; of a waiter with more than [`GraphView::MOST_SOFT`]
    /// requests ahead the soft ones only to the nearest of each mode ([`Node::ahead`] counts).
    pub edges: Vec<Edge>,
    /// Those who are waited for and wait for no lock themselves.
    pub roots: Vec<Party>,
    /// Deadlocks that the server has not broken yet, each as the pids in it.
    pub cycles: Vec<Vec<i32>>,
    /// Root by root what stands in the way of whom, the worst first.
    pub chains: Vec<Chain>,
    /// Waits for a lock of which no blocker could be seen, by wait event.
    pub unseen: BTreeMap<String, usize>,
    /// Waits for what nobody holds, by wait event: internal locks, pinned buffers, the
    /// synchronous standby, a standby's own queries.
    pub without_holder: BTreeMap<String, usize>,
}

/// Nobody waits, at no time in particular.
impl Default for GraphView {
    fn default() -> Self {
        Self {
            schema: Self::SCHEMA,
            taken_at: Rfc3339(crate::time::Timestamp::default()),
            nodes: Vec::new(),
            edges: Vec::new(),
            roots: Vec::new(),
            cycles: Vec::new(),
            chains: Vec::new(),
            unseen: BTreeMap::new(),
            without_holder: BTreeMap::new(),
        }
    }
}

impl GraphView {
    /// The name and version of the shape.
    pub const SCHEMA: &'static str = "pgjam.graph/1";

    /// So many soft edges of one waiter are told one by one: a queue of *n* has *n²* in all.
    pub const MOST_SOFT: usize = 32;
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
    /// The role's name: whom a session logged in as, or who prepared a transaction.
    pub role: Option<String>,
    /// Whether that role is a superuser; null where there is none or it was not asked.
    pub role_is_superuser: Option<bool>,
    /// Whether the role that looks has the privileges of that role; null likewise.
    pub has_privileges: Option<bool>,
    /// The database's name.
    pub database: Option<String>,
    /// `client backend`, `autovacuum worker`, `prepared transaction`, …
    pub backend_type: String,
    /// `active`, `idle in transaction`, …; `prepared` for a prepared transaction.
    pub state: String,
    /// How long it has been in that state; null for a prepared transaction.
    pub state_age_ms: Option<f64>,
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
    /// How many of them would go on at once without it: they wait for nobody else.
    pub frees: usize,
    /// How many conflicting requests stand ahead of its own in the queue.
    pub ahead: usize,
    /// What an autovacuum worker is at; null for everyone else.
    pub autovacuum: Option<Autovacuum>,
}

/// What an autovacuum worker is at, which decides whether it gives way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Autovacuum {
    /// It gives way to whoever waits for it longer than `deadlock_timeout`.
    Ordinary,
    /// It freezes old rows before transaction ids run out, gives way to nobody, and comes back
    /// when it is cancelled.
    AgainstWraparound,
    /// It holds the whole table while it gives the empty end of its file back, and stops by
    /// itself when it notices that others wait.
    Truncating,
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
    /// How sure it is; what is held is sure.
    pub certainty: Certainty,
    /// Which lock the waiter asks for.
    pub lock: EdgeLock,
    /// Whether the statement shown for the blocker can have taken what is asked for; null where
    /// its text does not tell, and for soft edges.
    pub taken_by_query: Option<bool>,
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
    /// `transactionid`, `tuple`, `relation`, `advisory`, …; `safe-snapshot` for what is no lock.
    #[serde(rename = "type")]
    pub kind: String,
    /// `ShareLock`, …; null for what is no lock.
    pub mode: Option<String>,
    /// What is locked, in words: `advisory lock 42`; of a table or a row what it is, not its name.
    pub target: String,
    /// `schema.table`; null where it is not known.
    pub table: Option<String>,
    /// Whether the table was read off the lock table or derived from the statement; null without one.
    pub table_basis: Option<&'static str>,
    /// The table at the top, where `table` is a partition; null where it is none.
    pub topmost: Option<String>,
    /// The `ctid` of the row at this instant, `(0,7)`: every update moves it; null where the lock
    /// table names none.
    pub row: Option<String>,
}

/// What it takes to turn pids and oids into words.
#[derive(Clone, Copy, Debug)]
pub struct Vocabulary<'a> {
    /// How systems are named.
    pub naming: &'a Naming,
    /// Roles, databases, relations.
    pub names: &'a Names,
    /// Texts.
    pub statements: &'a Statements,
}

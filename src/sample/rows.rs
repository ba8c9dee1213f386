//! The rows of one tick and of the slower looks beside it.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::pg::{Backend, LockMode, Oid, Pid, QueryId, Version, Xid};
use crate::statement::StatementId;
use crate::time::{Span, Timestamp};

/// Everything one tick saw, from one statement in one round trip.
#[derive(Clone, Debug, PartialEq)]
pub struct Snapshot {
    /// The tick itself.
    pub tick: Tick,
    /// Sessions that are active, in a transaction, just finished, or in somebody's way.
    pub sessions: Vec<Session>,
    /// Lock entries on contended targets, and those of the owners involved that tell tables.
    pub locks: Vec<Lock>,
    /// Prepared transactions, only when one of them is in somebody's way.
    pub prepared: Vec<Prepared>,
    /// Who waits for whom to take a safe snapshot, without any lock.
    pub safe_snapshots: Vec<SafeSnapshotWait>,
}

/// One look: when, what it stands for, what it cost.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Tick {
    /// The server's clock as it looked.
    pub at: Timestamp,
    /// The time this tick stands for, chosen before it was taken; none where it only looks closer.
    pub span: Span,
    /// How far into that time it was taken; beyond it where it came late.
    pub place: Span,
    /// How long the server took: an upper bound of its CPU.
    pub server: Span,
    /// Ticks that were due since the last one and did not happen.
    pub missed: u32,
    /// After how long a wait the server looks for deadlocks, and puts a queue in another order
    /// where one goes through it; as it was for the observer when the watch began. A superuser
    /// may have set another for a session.
    pub deadlock_timeout: Span,
    /// The mean time between ticks as it was when this one was laid out; zero where nobody said.
    pub period: Span,
    /// Why that long.
    pub pace: PaceReason,
}

impl Tick {
    /// The server's own default.
    pub const DEADLOCK_TIMEOUT: Span = Span::from_millis(1_000);

    /// Gives the time that it stands for, by the server's clock.
    #[must_use]
    pub fn stretch(&self) -> [Timestamp; 2] {
        let from = self.at - self.place;
        [from, from + self.span]
    }
}

/// Why looks come as often as they do.
///
/// A stretch without ticks is one in which nobody looked; a stretch of quiet ones is one in
/// which nothing was to be seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "&'static str", from = "String")]
pub enum PaceReason {
    /// The pace was asked for.
    Fixed,
    /// Nobody waits for a lock.
    Quiet,
    /// Somebody waits for a lock, or did a moment ago.
    Busy,
    /// More would cost the server more than the budget.
    Budget,
    /// Nobody said: the recording is older, or of a version that has other reasons.
    #[default]
    Unknown,
}

impl PaceReason {
    const ALL: [Self; 5] = [
        Self::Fixed,
        Self::Quiet,
        Self::Busy,
        Self::Budget,
        Self::Unknown,
    ];

    /// The word for it in a recording.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fixed => "fixed",
            Self::Quiet => "quiet",
            Self::Busy => "busy",
            Self::Budget => "budget",
            Self::Unknown => "unknown",
        }
    }
}

impl From<PaceReason> for &'static str {
    fn from(reason: PaceReason) -> Self {
        reason.name()
    }
}

impl From<String> for PaceReason {
    fn from(name: String) -> Self {
        let known = Self::ALL.into_iter().find(|reason| reason.name() == name);
        known.unwrap_or_default()
    }
}

/// A client session's state, as `pg_stat_activity.state` has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "&'static str", from = "String")]
pub enum State {
    /// It runs a statement, or waits inside one.
    Active,
    /// It waits for its client, outside any transaction.
    Idle,
    /// It waits for its client, inside a transaction.
    IdleInTransaction,
    /// The same, after an error.
    IdleInTransactionAborted,
    /// It runs a fast-path function call.
    FastPath,
    /// `track_activities` is off, or the role may not see it.
    Hidden,
}

impl State {
    const ALL: [Self; 6] = [
        Self::Active,
        Self::Idle,
        Self::IdleInTransaction,
        Self::IdleInTransactionAborted,
        Self::FastPath,
        Self::Hidden,
    ];

    /// The server's word for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Idle => "idle",
            Self::IdleInTransaction => "idle in transaction",
            Self::IdleInTransactionAborted => "idle in transaction (aborted)",
            Self::FastPath => "fastpath function call",
            Self::Hidden => "hidden",
        }
    }

    /// Reads the server's word; what is none of them is [`State::Hidden`].
    #[must_use]
    pub fn from_name(name: &str) -> Self {
        Self::ALL
            .into_iter()
            .find(|state| state.name() == name)
            .unwrap_or(Self::Hidden)
    }

    /// Tells whether a statement is under way.
    #[must_use]
    pub const fn is_active(self) -> bool {
        matches!(self, Self::Active | Self::FastPath)
    }
}

impl From<State> for &'static str {
    fn from(state: State) -> Self {
        state.name()
    }
}

impl From<String> for State {
    fn from(name: String) -> Self {
        Self::from_name(&name)
    }
}

/// One backend at one tick.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Session {
    /// The process id.
    pub pid: Pid,
    /// `backend_start`; with the pid this is who it is.
    pub backend_start: Timestamp,
    /// The leader, for a parallel worker.
    pub leader_pid: Option<Pid>,
    /// `client backend`, `autovacuum worker`, `parallel worker`, …
    pub backend_type: Arc<str>,
    /// The database it is connected to.
    pub database: Option<Oid>,
    /// The login role.
    pub role: Option<Oid>,
    /// `application_name`, as it stands.
    pub application_name: Arc<str>,
    /// The client's address; none for a socket.
    pub client_addr: Option<Arc<str>>,
    /// What it does.
    pub state: State,
    /// `Lock`, `LWLock`, `IO`, `Client`, …; none while it runs.
    pub wait_event_type: Option<Arc<str>>,
    /// The event's name within its type.
    pub wait_event: Option<Arc<str>>,
    /// The server's id of the current or last statement; null while it is parsed.
    pub query_id: Option<QueryId>,
    /// The current or last statement.
    pub statement: Option<StatementId>,
    /// The allow-listed sqlcommenter tags of the text, as `tenant=x,route=/y`.
    pub tags: Option<Arc<str>>,
    /// When the transaction began.
    pub xact_start: Option<Timestamp>,
    /// When the current or last statement began.
    pub query_start: Option<Timestamp>,
    /// When the state last changed: for an idle session, when its last statement ended.
    pub state_change: Option<Timestamp>,
    /// The transaction's id, if it has written.
    pub backend_xid: Option<Xid>,
    /// The oldest transaction whose effects it may still need to see.
    pub backend_xmin: Option<Xid>,
}

impl Session {
    /// Gives who this is.
    #[must_use]
    pub const fn backend(&self) -> Backend {
        Backend {
            pid: self.pid,
            start: self.backend_start,
        }
    }

    /// Tells whether it waits for something that others make scarce and nobody holds: internal
    /// locks, pinned buffers, other commits, a standby.
    #[must_use]
    pub fn waits_without_holder(&self) -> bool {
        let event = self.wait_event.as_deref().unwrap_or_default();
        match self.wait_event_type.as_deref() {
            Some("LWLock" | "BufferPin" | "Buffer") => true,
            Some("IPC") => {
                matches!(
                    event,
                    "SyncRep" | "SafeSnapshot" | "ProcarrayGroupUpdate" | "XactGroupUpdate"
                ) || event.starts_with("RecoveryConflict")
            }
            _ => false,
        }
    }

    /// Tells whether an application is behind it, rather than the server itself.
    #[must_use]
    pub fn is_client(&self) -> bool {
        &*self.backend_type == "client backend"
    }
}

/// One entry of the lock table: one owner's hold on, or request for, one target.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Lock {
    /// `virtualtransaction`: whose entry it is, prepared transactions included.
    pub owner: Arc<str>,
    /// The process; none for a prepared transaction.
    pub pid: Option<Pid>,
    /// What is locked.
    #[serde(flatten)]
    pub target: LockTarget,
    /// How strongly.
    pub mode: LockMode,
    /// Held, or only asked for.
    pub granted: bool,
    /// Taken by the fast path: such a row never makes an edge.
    pub fastpath: bool,
    /// When the present wait began; may be null or stale (METHODS 1.5).
    pub waitstart: Option<Timestamp>,
}

/// What a heavyweight lock is on: the identity columns of `pg_locks`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct LockTarget {
    /// `relation`, `transactionid`, `tuple`, `advisory`, …
    pub locktype: Arc<str>,
    /// The database, 0 for shared objects, none for transaction ids.
    pub database: Option<Oid>,
    /// The relation, for relation, extend, page and tuple locks.
    pub relation: Option<Oid>,
    /// The page within it.
    pub page: Option<i32>,
    /// The tuple within the page.
    pub tuple: Option<i16>,
    /// `backend/local id`, for virtual transactions.
    pub virtualxid: Option<Arc<str>>,
    /// The transaction waited for.
    pub transactionid: Option<Xid>,
    /// The catalogue of an object, or the upper half of an advisory key.
    pub classid: Option<Oid>,
    /// The object, or the lower half of an advisory key.
    pub objid: Option<Oid>,
    /// A column, or which shape an advisory key has (1: one bigint, 2: two integers).
    pub objsubid: Option<i16>,
}

/// A transaction that was prepared and neither committed nor rolled back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Prepared {
    /// Its transaction id: the key to its granted `transactionid` lock.
    pub transaction: Xid,
    /// The name it was given.
    pub gid: Arc<str>,
    /// Since when it is prepared.
    pub prepared: Timestamp,
    /// Whose it is.
    pub owner: Oid,
    /// Where.
    pub database: Oid,
}

/// A `SERIALIZABLE READ ONLY DEFERRABLE` transaction that waits for another one to end.
///
/// One for each in its way, as `pg_safe_snapshot_blocking_pids()` tells them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SafeSnapshotWait {
    /// Who waits.
    pub waiter: Pid,
    /// For whom: 0 stands for a prepared transaction, which the server does not name.
    pub blocker: Pid,
}

/// A statement as it is kept: normalised, without literals.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct StatementText {
    /// What rows name it by.
    pub id: StatementId,
    /// Where it was seen.
    pub database: Option<Oid>,
    /// The server's id for it, when one was seen.
    pub query_id: Option<QueryId>,
    /// The normal form.
    pub text: Arc<str>,
    /// Whether the parser took it, or the normal form is the fallback's.
    pub parsed: bool,
}

/// What an oid means, and what hangs on it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Name {
    /// `database`, `role`, `relation` or `foreignkey`.
    pub kind: NameKind,
    /// The database that a relation or a foreign key lives in.
    pub database: Option<Oid>,
    /// The object.
    pub oid: Oid,
    /// Its name; `schema.table` for a relation, the *table's* name for an index or a TOAST table.
    pub name: Arc<str>,
    /// The table, for an index or a TOAST table; else the relation itself. For a foreign key
    /// the table that refers.
    pub table: Option<Oid>,
    /// Of a role: whether it is a superuser.
    pub superuser: Option<bool>,
    /// Of a role: whether the watching role has its privileges.
    pub usable: Option<bool>,
    /// Of a relation's table: `pg_class.relkind`, as `r`, `p`, `v`.
    pub relkind: Option<Arc<str>>,
    /// Of a relation's table: the table that it is a part of, or inherits from.
    pub parent: Option<Oid>,
    /// Of a partition: the table at the top.
    pub topmost: Option<Oid>,
    /// Of a relation's table: whether triggers or rules of its owner's may touch further tables.
    pub triggers: Option<bool>,
    /// Of a foreign key: the table that it refers to.
    pub refers_to: Option<Oid>,
    /// Of a relation's table: the columns whose change takes the lock of `FOR UPDATE`, those
    /// of unique keys that a foreign key could refer to. Of a foreign key: those that refer.
    pub columns: Option<Vec<Arc<str>>>,
    /// Of a foreign key: whether a change above writes the rows that refer, by `CASCADE`,
    /// `SET NULL` or `SET DEFAULT`.
    pub cascades: Option<bool>,
}

impl Name {
    /// Names an object of which nothing else is known.
    #[must_use]
    pub fn new(kind: NameKind, oid: Oid, name: impl Into<Arc<str>>) -> Self {
        Self {
            kind,
            database: None,
            oid,
            name: name.into(),
            table: None,
            superuser: None,
            usable: None,
            relkind: None,
            parent: None,
            topmost: None,
            triggers: None,
            refers_to: None,
            columns: None,
            cascades: None,
        }
    }
}

/// The kinds of named object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NameKind {
    /// A database.
    Database,
    /// A role.
    Role,
    /// A table, or what belongs to one.
    Relation,
    /// A constraint by which rows of one table refer to rows of another.
    ForeignKey,
}

/// Something that happened and was told to us, rather than seen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Declared {
    /// When.
    pub at: Timestamp,
    /// What, in its declarer's words.
    pub label: Arc<str>,
}

/// Something that was to be seen and was not.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Loss {
    /// When it was noticed.
    pub at: Timestamp,
    /// What was lost, as `missed_ticks`, `refused_names`, `truncated_texts`.
    pub kind: Arc<str>,
    /// How often.
    pub count: u64,
}

/// The server that was watched.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Server {
    /// `server_version_num`.
    pub version_num: Version,
    /// The cluster's identity, which survives restarts and fail-overs; a decimal number.
    pub system_identifier: Option<String>,
    /// Whether it was a standby.
    pub in_recovery: bool,
    /// When its postmaster began.
    pub started_at: Timestamp,
    /// Where it was reached, without a password: `host:port/database`.
    pub address: String,
    /// Whether `pg_stat_statements` could be read.
    pub has_statements: bool,
}

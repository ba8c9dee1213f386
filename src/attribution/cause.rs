//! What a sampled second can have been lost to.

use std::sync::Arc;

use crate::attribution::charge::SystemId;
use crate::graph::Basis;
use crate::sample::Session;
use crate::statement::StatementId;

/// The kinds of cause, as DESIGN's contract names them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Class {
    RowLock,
    RelationLock,
    DdlQueue,
    AdvisoryLock,
    PreparedTransaction,
    Deadlock,
    ObjectLock,
    ExtendLock,
    VirtualXid,
    SafeSnapshot,
    BufferPin,
    LwLock,
    Wal,
    Io,
    Cpu,
    Horizon,
    SyncReplication,
    Client,
    OwnWork,
    Other,
}

impl Class {
    const ALL: [Self; 20] = [
        Self::RowLock,
        Self::RelationLock,
        Self::DdlQueue,
        Self::AdvisoryLock,
        Self::PreparedTransaction,
        Self::Deadlock,
        Self::ObjectLock,
        Self::ExtendLock,
        Self::VirtualXid,
        Self::SafeSnapshot,
        Self::BufferPin,
        Self::LwLock,
        Self::Wal,
        Self::Io,
        Self::Cpu,
        Self::Horizon,
        Self::SyncReplication,
        Self::Client,
        Self::OwnWork,
        Self::Other,
    ];

    /// Reads the word in the JSON contract; what is none of them is something else.
    pub(super) fn from_name(name: &str) -> Self {
        let mut all = Self::ALL.into_iter();
        all.find(|class| class.name() == name)
            .unwrap_or(Self::Other)
    }

    /// The word in the JSON contract.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::RowLock => "row-lock",
            Self::RelationLock => "relation-lock",
            Self::DdlQueue => "ddl-queue",
            Self::AdvisoryLock => "advisory-lock",
            Self::PreparedTransaction => "prepared-transaction",
            Self::Deadlock => "deadlock",
            Self::ObjectLock => "object-lock",
            Self::ExtendLock => "extend-lock",
            Self::VirtualXid => "virtualxid",
            Self::SafeSnapshot => "safe-snapshot",
            Self::BufferPin => "buffer-pin",
            Self::LwLock => "lwlock",
            Self::Wal => "wal",
            Self::Io => "io",
            Self::Cpu => "cpu",
            Self::Horizon => "horizon",
            Self::SyncReplication => "sync-replication",
            Self::Client => "client",
            Self::OwnWork => "own-work",
            Self::Other => "other",
        }
    }

    /// Classifies a heavyweight lock by its type; `queued` means nobody holds it against the waiter.
    pub(crate) fn of_lock(locktype: &str, queued: bool) -> Self {
        match locktype {
            "transactionid" | "tuple" | "spectoken" => Self::RowLock,
            "relation" if queued => Self::DdlQueue,
            "relation" => Self::RelationLock,
            "advisory" | "userlock" => Self::AdvisoryLock,
            "object" => Self::ObjectLock,
            "extend" => Self::ExtendLock,
            "virtualxid" => Self::VirtualXid,
            _ => Self::Other,
        }
    }

    /// Classifies what an active session does that waits for no heavyweight lock.
    pub(crate) fn of_activity(session: &Session) -> Self {
        let event = session.wait_event.as_deref().unwrap_or_default();
        match session.wait_event_type.as_deref() {
            None => Self::OwnWork,
            // Since 17 the events of reads and writes are named WalSync, WalWrite, …
            Some("LWLock" | "IO") if event.starts_with("WAL") || event.starts_with("Wal") => {
                Self::Wal
            }
            Some("LWLock") => Self::LwLock,
            Some("IO") => Self::Io,
            Some("BufferPin" | "Buffer") => Self::BufferPin,
            Some("Client") => Self::Client,
            Some("IPC") if event == "SyncRep" => Self::SyncReplication,
            Some("IPC") if event == "SafeSnapshot" => Self::SafeSnapshot,
            Some(_) => Self::Other,
        }
    }

    /// Tells whether waits of this class have a holder that edges can show.
    pub(super) const fn has_holder(self) -> bool {
        matches!(
            self,
            Self::RowLock
                | Self::RelationLock
                | Self::DdlQueue
                | Self::AdvisoryLock
                | Self::PreparedTransaction
                | Self::Deadlock
                | Self::ObjectLock
                | Self::ExtendLock
                | Self::VirtualXid
                | Self::SafeSnapshot
        )
    }
}

/// Who was in the way.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum InTheWay {
    /// A wait of a class that has no holder.
    Nobody,
    /// A holder that was gone when the lock table was read.
    Unseen,
    /// A session of this system; none where no rule names it.
    System(Option<SystemId>),
    /// A prepared transaction, and the role that owns it.
    Prepared {
        gid: Arc<str>,
        owner: Option<Arc<str>>,
    },
    /// Several systems in turn, none of them with a share worth a name.
    Many,
}

/// What charges are summed by: the class, the table, the system in the way.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Cell {
    pub(super) class: Class,
    pub(super) table: Option<Arc<str>>,
    pub(super) blocker: InTheWay,
    /// The table whose lock the blocker holds, where a chain leads to another than `table`.
    pub(super) held: Option<Arc<str>>,
}

impl Cell {
    /// A cell of a class whose waits nobody holds.
    pub(super) const fn without_holder(class: Class) -> Self {
        Self {
            class,
            table: None,
            blocker: InTheWay::Nobody,
            held: None,
        }
    }

    /// A cell of lock waits whose request had left the lock table.
    pub(super) const fn unseen(class: Class) -> Self {
        Self {
            class,
            table: None,
            blocker: InTheWay::Unseen,
            held: None,
        }
    }
}

/// Why a root had not let go.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Why {
    /// What it was doing.
    pub(super) state: &'static str,
    /// The statement that took the lock, or the last seen, and how that is known.
    pub(super) statement: Option<(StatementId, Basis)>,
    /// The last in between: a gate for a whole table, or who waits for another table.
    pub(super) through: Option<(Option<Arc<str>>, Option<StatementId>)>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pg::Pid;
    use crate::sample::State;
    use crate::time::Timestamp;

    #[test]
    fn waits_for_the_log_are_known_by_the_names_of_every_release() {
        let class = |kind: &str, event: &str| {
            Class::of_activity(&Session {
                pid: Pid(4_000),
                backend_start: Timestamp::default(),
                leader_pid: None,
                backend_type: "client backend".into(),
                database: None,
                role: None,
                application_name: "import".into(),
                client_addr: None,
                state: State::Active,
                wait_event_type: Some(kind.into()),
                wait_event: Some(event.into()),
                query_id: None,
                statement: None,
                tags: None,
                xact_start: None,
                query_start: None,
                state_change: None,
                backend_xid: None,
                backend_xmin: None,
            })
        };
        // PostgreSQL 16, 17 and both.
        for (kind, event) in [("IO", "WALSync"), ("IO", "WalSync"), ("LWLock", "WALWrite")] {
            assert_eq!(class(kind, event), Class::Wal, "{event}");
        }
        assert_eq!(class("IO", "DataFileRead"), Class::Io);
        assert_eq!(class("LWLock", "BufferContent"), Class::LwLock);
    }
}

//! The server's nouns: backend, lock target, lock mode, version.
//!
//! Bare integers stay behind the types here: a pid is not an oid, and a backend
//! is a pid *and* its start, since pids are reused.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::time::Timestamp;

macro_rules! number {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

number! {
    /// A process id on the server; 0 where the server means a prepared transaction.
    Pid(i32)
}
number! {
    /// The object id of a database, role or relation.
    Oid(u32)
}
number! {
    /// A transaction id without its epoch.
    Xid(u32)
}
number! {
    /// The server's own id of a normalised statement (`compute_query_id`).
    QueryId(i64)
}

/// A backend: a pid and the instant at which the process behind it began.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Backend {
    /// The process id.
    pub pid: Pid,
    /// `backend_start`, which tells two users of one pid apart.
    pub start: Timestamp,
}

/// A server version as `server_version_num` has it: 150018 is 15.18.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Version(pub u32);

impl Version {
    /// The oldest server that has what the tick needs (`pg_locks.waitstart`, query ids).
    pub const OLDEST: Self = Self(140_000);

    /// Gives the major version: 15 of 15.18.
    #[must_use]
    pub const fn major(self) -> u32 {
        self.0 / 10_000
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Before 10 a version had three parts: 90624 is 9.6.24.
        if self.0 < 100_000 {
            write!(
                f,
                "{}.{}.{}",
                self.0 / 10_000,
                self.0 / 100 % 100,
                self.0 % 100
            )
        } else {
            write!(f, "{}.{}", self.0 / 10_000, self.0 % 10_000)
        }
    }
}

/// The strength of a heavyweight lock, weakest first.
///
/// The same eight modes and one conflict table serve both lock methods (default
/// and advisory). `SIReadLock` is no mode of a lock that blocks and has no place here.
///
/// Source: `src/backend/storage/lmgr/lock.c`, `LockConflicts`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum LockMode {
    /// `SELECT`.
    AccessShare,
    /// `SELECT … FOR …`.
    RowShare,
    /// `INSERT`, `UPDATE`, `DELETE`, `MERGE`.
    RowExclusive,
    /// `VACUUM`, `ANALYZE`, `CREATE INDEX CONCURRENTLY`.
    ShareUpdateExclusive,
    /// `CREATE INDEX`.
    Share,
    /// `CREATE TRIGGER`, foreign keys.
    ShareRowExclusive,
    /// `REFRESH MATERIALIZED VIEW CONCURRENTLY`.
    Exclusive,
    /// `ALTER TABLE`, `DROP`, `TRUNCATE`, `VACUUM FULL`.
    AccessExclusive,
}

impl LockMode {
    /// All modes, weakest first.
    pub const ALL: [Self; 8] = [
        Self::AccessShare,
        Self::RowShare,
        Self::RowExclusive,
        Self::ShareUpdateExclusive,
        Self::Share,
        Self::ShareRowExclusive,
        Self::Exclusive,
        Self::AccessExclusive,
    ];

    /// The modes that this one conflicts with, bit *n* standing for `ALL[n]`.
    const fn conflict_mask(self) -> u8 {
        match self {
            Self::AccessShare => 0b1000_0000,
            Self::RowShare => 0b1100_0000,
            Self::RowExclusive => 0b1111_0000,
            Self::ShareUpdateExclusive => 0b1111_1000,
            Self::Share => 0b1110_1100,
            Self::ShareRowExclusive => 0b1111_1100,
            Self::Exclusive => 0b1111_1110,
            Self::AccessExclusive => 0b1111_1111,
        }
    }

    /// Tells whether two owners cannot hold these modes on one target at a time.
    #[must_use]
    pub const fn conflicts_with(self, other: Self) -> bool {
        self.conflict_mask() & (1 << other as u8) != 0
    }

    /// The name in `pg_locks.mode`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::AccessShare => "AccessShareLock",
            Self::RowShare => "RowShareLock",
            Self::RowExclusive => "RowExclusiveLock",
            Self::ShareUpdateExclusive => "ShareUpdateExclusiveLock",
            Self::Share => "ShareLock",
            Self::ShareRowExclusive => "ShareRowExclusiveLock",
            Self::Exclusive => "ExclusiveLock",
            Self::AccessExclusive => "AccessExclusiveLock",
        }
    }
}

/// A lock mode that this version does not know.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no such lock mode: {0}")]
pub struct UnknownLockMode(pub String);

impl FromStr for LockMode {
    type Err = UnknownLockMode;

    fn from_str(name: &str) -> Result<Self, UnknownLockMode> {
        Self::ALL
            .into_iter()
            .find(|mode| mode.name() == name)
            .ok_or_else(|| UnknownLockMode(name.to_owned()))
    }
}

impl TryFrom<String> for LockMode {
    type Error = UnknownLockMode;
    fn try_from(name: String) -> Result<Self, UnknownLockMode> {
        name.parse()
    }
}

impl From<LockMode> for String {
    fn from(mode: LockMode) -> Self {
        mode.name().to_owned()
    }
}

impl fmt::Display for LockMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conflicts_are_symmetric() {
        for a in LockMode::ALL {
            for b in LockMode::ALL {
                assert_eq!(a.conflicts_with(b), b.conflicts_with(a), "{a} against {b}");
            }
        }
    }

    #[test]
    fn the_table_is_the_one_in_the_manual() {
        let conflicts = |mode: LockMode| -> Vec<usize> {
            (0..8)
                .filter(|&n| mode.conflicts_with(LockMode::ALL[n]))
                .map(|n| n + 1)
                .collect()
        };
        let table = LockMode::ALL.map(conflicts);
        assert_eq!(table[0], [8]);
        assert_eq!(table[1], [7, 8]);
        assert_eq!(table[2], [5, 6, 7, 8]);
        assert_eq!(table[3], [4, 5, 6, 7, 8]);
        assert_eq!(table[4], [3, 4, 6, 7, 8]);
        assert_eq!(table[5], [3, 4, 5, 6, 7, 8]);
        assert_eq!(table[6], [2, 3, 4, 5, 6, 7, 8]);
        assert_eq!(table[7], [1, 2, 3, 4, 5, 6, 7, 8]);
    }

    #[test]
    fn versions_read_as_people_write_them() {
        let said = [90_624, 150_018, 180_004].map(|number| Version(number).to_string());
        assert_eq!(said, ["9.6.24", "15.18", "18.4"]);
    }
}

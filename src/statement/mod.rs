//! SQL texts through `pg_query`: fingerprint, normal form, tables, tags, redaction.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::pg::LockMode;

/// A statement's identity: equal for texts that differ in literals and comments only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StatementId(pub u64);

impl std::fmt::Display for StatementId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// A text as it was understood.
#[derive(Clone, Debug, PartialEq)]
pub struct Statement {
    /// What it is known by.
    pub id: StatementId,
    /// The normal form: no literals, no comments, no secrets, valid UTF-8, bounded in length.
    pub text: Arc<str>,
    /// What it does.
    pub kind: Kind,
    /// The tables it names, sorted, with how strongly it locks them.
    pub tables: Vec<TableUse>,
    /// Whether the parser took it.
    pub parsed: bool,
}

/// What a statement does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Reads, without locking rows.
    Select,
    /// `SELECT … FOR …`.
    SelectFor,
    /// Inserts.
    Insert,
    /// Updates.
    Update,
    /// Deletes.
    Delete,
    /// Merges.
    Merge,
    /// `BEGIN`, `COMMIT`, `ROLLBACK`, `SAVEPOINT`, `PREPARE TRANSACTION`, …
    Transaction,
    /// `LOCK TABLE`.
    Lock,
    /// Changes the schema.
    Ddl,
    /// Anything else the server runs.
    Utility,
    /// Not understood.
    Unknown,
}

/// A table in a statement.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TableUse {
    /// As written; none if it was not qualified.
    pub schema: Option<Arc<str>>,
    /// As written.
    pub name: Arc<str>,
    /// The lock on the table itself.
    pub lock: LockMode,
    /// Whether it locks rows too, as the tuple lock's mode shows it; none if it does not.
    pub rows: Option<LockMode>,
}

/// Placeholder until the parser lands.
#[must_use]
pub fn read(_raw: &[u8]) -> Statement {
    Statement {
        id: StatementId(0),
        text: "".into(),
        kind: Kind::Unknown,
        tables: vec![],
        parsed: false,
    }
}

impl Statement {
    /// Placeholder.
    #[must_use]
    pub fn writes(&self) -> bool {
        false
    }
    /// Placeholder.
    #[must_use]
    pub fn short(&self) -> String {
        self.text.to_string()
    }
}

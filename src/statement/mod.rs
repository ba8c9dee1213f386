//! SQL texts through pg_query: fingerprint, normal form, tables, tags, redaction.

use serde::{Deserialize, Serialize};

/// A statement's identity: equal for texts that differ in literals and comments only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StatementId(pub u64);

impl std::fmt::Display for StatementId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

//! What was seen to happen, written down when it was seen.

use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::time::Timestamp;

/// Something that happened on the server and was seen, rather than told.
///
/// The samples tell it too, as long as they are there.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Event {
    /// When.
    pub at: Timestamp,
    /// What kind: see the constants of this type.
    pub kind: Arc<str>,
    /// Of whom or what: a system, a setting, the server.
    pub label: Arc<str>,
    /// More about it in words: what it ran, how much more it does.
    pub detail: Option<Arc<str>>,
}

impl Event {
    /// Reads what was noticed by the watches into a folder so far; nothing where there was none.
    #[must_use]
    pub fn told(folder: &Path) -> Vec<Self> {
        super::reader::rows_of_table(folder).unwrap_or_default()
    }

    /// A system that nobody had seen before began to write.
    pub const ONBOARDED: &str = "system-onboarded";
    /// A system was seen for the first time, and may have been there before the watch.
    pub const FIRST_SEEN: &str = "system-first-seen";
    /// A system does much more, or much less, than it used to.
    pub const RATE: &str = "system-rate";
    /// Somebody changed the schema.
    pub const DDL: &str = "ddl";
    /// The server was started anew.
    pub const RESTARTED: &str = "server-restarted";
    /// A standby became a primary, or the other way round.
    pub const ROLE: &str = "server-role";
    /// Counters began anew: those of `pg_stat_statements`.
    pub const STATISTICS_RESET: &str = "statistics-reset";
    /// A setting has another value.
    pub const SETTING: &str = "setting";
}

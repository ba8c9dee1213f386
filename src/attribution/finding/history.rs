//! What the server counted before anybody watched.

use serde::Serialize;

/// A statement before the watch, since the server began to count it, beside the window after; both as
/// `pg_stat_statements` times execution, which leaves out planning, commits and what was cancelled.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct History {
    /// Completed calls before the watch.
    pub calls: f64,
    /// Milliseconds in execution per call before the watch.
    pub execution_ms: f64,
    /// Milliseconds in execution per call in the window after.
    pub execution_after_ms: f64,
}

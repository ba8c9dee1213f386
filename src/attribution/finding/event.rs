//! What happened, and what it did.

use serde::Serialize;

use super::Verdict;
use crate::time::Rfc3339;

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Event {
    /// `e1`, `e2`, … in order of time.
    pub id: String,
    /// `system-onboarded`, `system-rate`, `declared`, `statistics-reset`, `server-restarted`.
    pub kind: &'static str,
    /// The system, or the declarer's words.
    pub label: String,
    /// When.
    pub at: Rfc3339,
    /// `detected` or `declared`.
    pub source: &'static str,
    /// The group it belongs to, `g1`, `g2`, …; null for what cannot raise latency.
    pub group: Option<String>,
    /// How many calls a second the system made before and after; null but for `system-rate`.
    pub calls_per_second: Option<[f64; 2]>,
    /// What it did to the heaviest victim; null where nothing can be said.
    pub effect: Option<Effect>,
}

/// What one event's system did to others, through waits whose root it was.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Effect {
    /// Whether it did anything.
    pub verdict: Verdict,
    /// Seconds of others' DB time charged to it after it arrived.
    pub db_seconds: f64,
    /// Share of all lock-wait seconds of others in that window, 0 to 1.
    pub share_of_waits: f64,
}

//! What a log states beside the samples, as values: `log` in the JSON `pgjam.diagnosis/0`.

use serde::Serialize;

use super::Format;
use crate::time::{Rfc3339, Timestamp};

/// What the server's own log states of the time that was watched.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Logged {
    /// What was read.
    pub files: Vec<LoggedFile>,
    /// Lines in them.
    pub lines_read: u64,
    /// What was to be read and was not, each in a sentence.
    pub unreadable: Vec<String>,
    /// Whether `log_lock_waits` was on, by the configuration; null where that is not known.
    pub lock_waits_logged: Option<bool>,
    /// After how long a wait is logged: `deadlock_timeout`; null where nobody looked.
    pub threshold_ms: Option<f64>,
    /// All waits.
    pub waits: LoggedWaits,
    /// By statement, table and lock mode; those that took the most time first.
    pub cells: Vec<LoggedCell>,
    /// How many more there were.
    pub more_cells: usize,
    /// Waits for which the server put a queue in another order.
    pub rearranged: usize,
    /// Deadlocks, in all.
    pub deadlocks: usize,
    /// Deadlocks by whose transaction was given up, and who was part of them; most frequent first.
    pub deadlock_kinds: Vec<LoggedDeadlock>,
    /// Cancelled statements by system and reason.
    pub cancellations: Vec<LoggedCancellation>,
}

/// A file that was read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LoggedFile {
    /// Which.
    pub path: String,
    /// How it is written.
    pub format: Format,
    /// How many lines it has.
    pub lines: u64,
}

/// Waits longer than `deadlock_timeout`, and what the samples saw of the very same ones.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct LoggedWaits {
    /// How many.
    pub waits: usize,
    /// How long they were in all, exactly; one without an end counts to the end of the watch.
    pub total_ms: f64,
    /// The longest of them.
    pub longest_ms: f64,
    /// The part of their time in which somebody looked.
    pub watched_ms: f64,
    /// The time that the samples saw of them.
    pub sampled_ms: f64,
    /// Sampled over watched; null where nobody looked.
    pub ratio: Option<f64>,
    /// How many had the lock in the end.
    pub acquired: usize,
    /// How many were cancelled.
    pub cancelled: usize,
    /// How many a deadlock ended.
    pub deadlocked: usize,
    /// Of how many no end is told.
    pub open: usize,
}

/// The waits of one statement for one table in one mode.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LoggedCell {
    /// The systems that waited.
    pub systems: Vec<String>,
    /// The statement's, as 16 hexadecimal digits; null where it is not known.
    pub fingerprint: Option<String>,
    /// The statement, normalised.
    pub query: Option<String>,
    /// Where.
    pub database: Option<String>,
    /// `schema.table`, or as the log names it; null where it does not.
    pub table: Option<String>,
    /// `pg_locks.locktype`.
    pub lock_type: String,
    /// The mode asked for.
    pub lock_mode: String,
    /// How many, and how long.
    #[serde(flatten)]
    pub waits: LoggedWaits,
}

/// Deadlocks that are alike.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LoggedDeadlock {
    /// How many.
    pub count: usize,
    /// Whose transaction was given up; null where no rule names it.
    pub system: Option<String>,
    /// What that ran: 16 hexadecimal digits; null where it is not known.
    pub fingerprint: Option<String>,
    /// The same, normalised.
    pub query: Option<String>,
    /// The tables that the log names.
    pub tables: Vec<String>,
    /// Everybody in it.
    pub participants: Vec<LoggedParticipant>,
    /// When: those not a minute apart are one episode.
    pub episodes: Vec<LoggedEpisode>,
}

/// One in a deadlock.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct LoggedParticipant {
    /// Whose; null where no rule names it.
    pub system: Option<String>,
    /// What it ran: 16 hexadecimal digits; null where it is not known.
    pub fingerprint: Option<String>,
    /// The same, normalised.
    pub query: Option<String>,
}

/// Deadlocks in a row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LoggedEpisode {
    /// The first.
    pub from: Rfc3339,
    /// The last.
    pub to: Rfc3339,
    /// How many.
    pub count: usize,
}

/// Statements that were cancelled.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct LoggedCancellation {
    /// Whose.
    pub system: Option<String>,
    /// Why, in the server's words.
    pub reason: String,
    /// How many.
    pub count: usize,
}

/// What a log states of what one finding is about: all waits of its victim for its table, whoever
/// was in the way.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LoggedEvidence {
    /// How many waits, and how long.
    #[serde(flatten)]
    pub waits: LoggedWaits,
    /// Deadlocks that the victim's statement was part of.
    pub deadlocks: usize,
    /// The systems in them, sorted.
    pub deadlock_systems: Vec<String>,
    /// The tables that the log names there, sorted.
    pub deadlock_tables: Vec<String>,
}

/// What is asked of a log.
#[derive(Clone, Copy, Debug)]
pub struct Question<'q> {
    /// The victim's statement, as 16 hexadecimal digits.
    pub fingerprint: &'q str,
    /// Where it is run.
    pub database: Option<&'q str>,
    /// What it waited for; none where that is not known.
    pub table: Option<&'q str>,
    /// The kinds of lock; none for all.
    pub locktypes: Option<&'q [&'q str]>,
    /// From when to when; none for all of it.
    pub window: Option<[Timestamp; 2]>,
}

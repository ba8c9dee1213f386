//! What the server's own log states of lock waits, deadlocks and cancellations.
//!
//! ```text
//!  files ─▶ lines ─▶ csv │ json │ stderr ─▶ record ─▶ report ─▶ events: waits, deadlocks, cancellations
//!                                                                     └─▶ beside the samples ─▶ logged
//! ```
//!
//! With `log_lock_waits` a server writes of each wait longer than `deadlock_timeout` how long it
//! was, to the microsecond. That is exact where the samples are not, and it is all that is taken
//! as the truth:
//!
//! - A wait is logged twice: that it goes on, and that it is over. One that was cancelled never has
//!   the second line; its end is that of the statement.
//! - Who is listed as holding the lock is everybody who does not wait for it, also those whom the
//!   waiter could share it with: it is read, and accuses nobody.
//! - Which table a row belongs to is said in the context, by a name without its schema.
//! - What a line says is believed only from the process that it is about, and not where a statement
//!   had it written.
//! - Messages in another language than English are recognised and counted, and not understood.
//! - A time is what `log_timezone` makes of it. Where that is not known, and the abbreviation could
//!   be anybody's, the line is counted and its time not guessed.
//!
//! Files are read as streams: neither their size nor the length of a line is bounded by memory, and
//! what was left out is counted. Raw statements end here as they do in `sample`.

mod beside;
mod clock;
mod csv;
mod error;
mod events;
mod files;
mod json;
mod lines;
mod logged;
mod prefix;
mod record;
mod report;
mod settings;
mod stderr;
#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests;

pub use self::beside::Beside;
pub use self::clock::{Clock, UnknownZone};
pub use self::error::LogError;
pub use self::events::{Cancellation, Deadlock, End, Events, Participant, Wait};
pub use self::files::{Format, Log, ReadFile, Reading, Unread, check, read};
pub use self::logged::{
    Logged, LoggedCancellation, LoggedCell, LoggedDeadlock, LoggedEpisode, LoggedEvidence,
    LoggedFile, LoggedParticipant, LoggedWaits, Question,
};
pub use self::prefix::{Prefix, PrefixError};
pub use self::record::Client;
pub use self::report::{Reason, Target};

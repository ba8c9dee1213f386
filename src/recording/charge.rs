//! What is written beside the samples: whose time went where, and who stood in whose way.
//!
//! All of it follows from the samples. It is written so that any engine can add it up, and so
//! that the sums by the minute outlive the samples that they were made of.
//!
//! - The charges of a tick add up to the time that the tick stands for, times the sessions that
//!   were active, to the microsecond.
//! - The cells of a minute are the sums of its charges, those of an hour the sums of its minutes'.

use std::collections::HashSet;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::pg::{LockMode, Oid, Pid};
use crate::sample::{StatementCounters, Tick};
use crate::statement::StatementId;
use crate::time::{Span, Timestamp};

/// Time of the sessions that ran one statement, spent on one thing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Charge {
    /// The tick, or the minute's start.
    pub at: Timestamp,
    /// Whose time, and on what.
    #[serde(flatten)]
    pub account: Arc<Account>,
    /// How much of it.
    pub spent_us: Span,
    /// In how many ticks that was seen.
    pub ticks: u32,
    /// The longest that one of them had waited; null where the server did not say.
    pub waited_us: Option<Span>,
}

/// What charges are summed by.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Account {
    /// Where the statement ran.
    pub database: Option<Oid>,
    /// The statement.
    pub statement: Option<StatementId>,
    /// Who ran it, as the rules named it then; null where none did.
    pub system: Option<Arc<str>>,
    /// The kind of cause, as the JSON contract names them: `row-lock`, `io`, `own-work`, …
    pub class: Arc<str>,
    /// The table waited for.
    pub table_name: Option<Arc<str>>,
    /// The table whose lock the blocker holds, where that is another.
    pub held_table: Option<Arc<str>>,
    /// How the table is known: `measured` or `inferred`.
    pub basis: Option<Arc<str>>,
    /// The type of the lock asked for.
    pub lock_type: Option<Arc<str>>,
    /// The mode asked for.
    pub lock_mode: Option<LockMode>,
    /// Who was in the way: `nobody` (no such wait has a holder), `unseen` (it was gone),
    /// `system`, `prepared`.
    pub blocker: Arc<str>,
    /// The system, or the owner of the prepared transaction; null where no rule names it.
    pub blocker_system: Option<Arc<str>>,
    /// The prepared transaction's name.
    pub blocker_gid: Option<Arc<str>>,
    /// Why the blocker was not finished: `active`, `active (io)`, `idle in transaction`, …
    pub blocker_state: Option<Arc<str>>,
    /// The statement with which it took the lock, or was last seen.
    pub blocker_statement: Option<StatementId>,
    /// How that is known: `measured` or `inferred`.
    pub blocker_basis: Option<Arc<str>>,
    /// Who stood between: the last in the chain before the blocker, where that makes a difference.
    pub through_system: Option<Arc<str>>,
    /// What it ran.
    pub through_statement: Option<StatementId>,
}

impl Account {
    /// Lists its words.
    pub(super) fn words(&mut self) -> impl Iterator<Item = &mut Arc<str>> {
        let optional = [
            &mut self.system,
            &mut self.table_name,
            &mut self.held_table,
            &mut self.basis,
            &mut self.lock_type,
            &mut self.blocker_system,
            &mut self.blocker_gid,
            &mut self.blocker_state,
            &mut self.blocker_basis,
            &mut self.through_system,
        ];
        let always = [&mut self.class, &mut self.blocker];
        optional.into_iter().flatten().chain(always)
    }
}

/// Lists the accounts of some minutes, those that cells share once.
pub(super) fn accounts(minutes: &[RolledUp]) -> impl Iterator<Item = &Account> {
    let cells = minutes.iter().flat_map(|rolled| &rolled.cells);
    let mut seen = HashSet::new();
    let accounts = cells.map(|cell| &cell.account);
    let accounts = accounts.filter(move |account| seen.insert(Arc::as_ptr(account)));
    accounts.map(|account| &**account)
}

/// Who stood in whose way at one tick.
///
/// These are the edges that carry blame: to those who hold what conflicts; of who has none of
/// these in its way, to those ahead of it in the queue.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Edge {
    /// The tick.
    pub at: Timestamp,
    /// Who waits.
    pub waiter: Pid,
    /// For whom; null for a prepared transaction, and for who was not listed among the sessions.
    pub blocker: Option<Pid>,
    /// For which prepared transaction, by its name.
    pub gid: Option<Arc<str>>,
    /// For whom that was not listed, as the lock table names its owner.
    pub owner: Option<Arc<str>>,
    /// `hard`: it holds a conflicting mode. `soft`: it is ahead in the queue. `snapshot`: a
    /// deferrable transaction waits for a writer, without a lock.
    pub kind: Arc<str>,
    /// Of a soft edge: `sure`, `near tie` or `unknown`.
    pub certainty: Option<Arc<str>>,
    /// The type of the lock asked for.
    pub lock_type: Option<Arc<str>>,
    /// The mode asked for.
    pub lock_mode: Option<LockMode>,
    /// The table, where it is known.
    pub table_name: Option<Arc<str>>,
}

/// About a minute, as far as it was watched: the ticks that its cells were charged in. Of a day
/// long ago it is an hour of minutes, or all of them.
///
/// Where the counters are read it ends with the first look at them in another minute of the
/// clock, so that its time and its calls belong together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Minute {
    /// Its start.
    pub at: Timestamp,
    /// Its end, where the next one starts.
    pub until: Timestamp,
    /// How many ticks saw it.
    pub ticks: u32,
    /// How many were due and did not happen.
    pub missed: u32,
    /// The time that they stand for, of which a piece may lie in the minute beside.
    pub span_us: Span,
    /// How much of the minute itself that covers.
    pub watched_us: Span,
    /// How long the server took for them.
    pub server_us: Span,
    /// The most sessions that waited for a heavyweight lock in one of them.
    pub blocked: u32,
    /// The last look at the counters in it; null where there was none.
    pub counted: Option<Timestamp>,
}

impl Minute {
    /// Begins one.
    #[must_use]
    pub const fn starting(at: Timestamp) -> Self {
        Self {
            at,
            until: at,
            ticks: 0,
            missed: 0,
            span_us: Span::ZERO,
            watched_us: Span::ZERO,
            server_us: Span::ZERO,
            blocked: 0,
            counted: None,
        }
    }

    /// Counts a tick, in which so many sessions waited for a lock.
    pub fn count(&mut self, tick: &Tick, blocked: usize) {
        self.ticks = self.ticks.saturating_add(1);
        self.missed = self.missed.saturating_add(tick.missed);
        self.span_us += tick.span;
        self.server_us += tick.server;
        self.blocked = self.blocked.max(u32::try_from(blocked).unwrap_or(u32::MAX));
    }

    /// Makes one of this and another.
    #[must_use]
    pub fn with(self, other: Self) -> Self {
        // One that the clock was set back in has no length, and still its cells.
        let end = |minute: Self| minute.until.max(minute.at + Span::from_micros(1));
        Self {
            at: self.at.min(other.at),
            until: end(self).max(end(other)),
            ticks: self.ticks.saturating_add(other.ticks),
            missed: self.missed.saturating_add(other.missed),
            span_us: self.span_us + other.span_us,
            watched_us: self.watched_us + other.watched_us,
            server_us: self.server_us + other.server_us,
            blocked: self.blocked.max(other.blocked),
            counted: self.counted.max(other.counted),
        }
    }

    /// Tells how many minutes of the clock lie between its start and an instant.
    #[must_use]
    pub fn turns(&self, at: Timestamp) -> i64 {
        let minute = |at: Timestamp| at.as_micros().div_euclid(60_000_000);
        minute(at) - minute(self.at)
    }
}

/// What remains of a minute, or of an hour or a day of them, when the samples are gone.
#[derive(Clone, Debug, PartialEq)]
pub struct RolledUp {
    /// The minute.
    pub minute: Minute,
    /// Its charges, summed by account, in order of the accounts.
    pub cells: Vec<Charge>,
    /// The counters that changed in it, as they last stood.
    pub counters: Vec<StatementCounters>,
}

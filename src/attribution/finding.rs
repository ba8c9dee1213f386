//! What the attribution says, as values: the body of the JSON `pgjam.diagnosis/0`.
//!
//! Nothing here is worded for people; sentences and advice are the report's.
//! What does not apply is `None`, which serialises as `null`, never absent.

mod event;
mod history;
mod load;
mod tail;

use std::collections::BTreeMap;

use serde::Serialize;

use crate::graph::episode::Episode;
use crate::graph::view::GraphView;
use crate::log::{Logged, LoggedEvidence};
use crate::pg::Version;
use crate::time::Rfc3339;

pub use self::event::{Effect, Event};
pub use self::history::History;
pub use self::load::{LoadCell, LoadOverTime};
pub use self::tail::{NotTold, Quantiles, Tail, TailBasis};

/// Everything that one recording supports.
#[derive(Clone, Debug)]
pub struct Diagnosis {
    /// Which server.
    pub server: ServerFacts,
    /// What was watched.
    pub window: Window,
    /// What watching cost.
    pub cost: Cost,
    /// How things stood at the last tick.
    pub now: Now,
    /// What happened, in order of time.
    pub events: Vec<Event>,
    /// Events closer together than the data can tell apart.
    pub groups: Vec<Group>,
    /// What is concluded: what accuses before what is in doubt, the heaviest first.
    pub findings: Vec<Finding>,
    /// Situations from their start to their end, those that cost most first.
    pub episodes: Vec<Episode>,
    /// How many more there were.
    pub more_episodes: usize,
    /// Each grown victim's growth, split without remainder; heaviest first.
    pub splits: Vec<Split>,
    /// Share of the sampled lock-wait time that could be charged to nobody, 0 to 1.
    pub unattributed_share: f64,
    /// Share of DB time whose system has a name, 0 to 1.
    pub named_share: f64,
    /// What was to be seen and was not, by kind.
    pub losses: BTreeMap<String, u64>,
    /// What the server's own log states; none where it was not read.
    pub log: Option<Logged>,
    /// Mean latency over time of the heaviest victims, in milliseconds per call.
    pub latency: Vec<Series>,
    /// Average active sessions over time by cause; the series stack.
    pub load: Vec<Series>,
    /// The same with whose it was and what they ran, for pages that can be turned and cut.
    pub load_over_time: LoadOverTime,
    /// The graph at the tick with the most sessions blocked, if any ever was.
    pub worst: Option<GraphView>,
    /// The graph at the last tick.
    pub last: GraphView,
}

/// The watched server.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ServerFacts {
    /// `server_version_num`.
    pub version_num: Version,
    /// The cluster's identity.
    pub system_identifier: Option<String>,
    /// Whether it is a standby.
    pub in_recovery: bool,
    /// `host:port/database`, without a password.
    pub address: String,
}

/// The stretch of time that was watched.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Window {
    /// First tick.
    pub from: Rfc3339,
    /// Last tick.
    pub to: Rfc3339,
    /// Ticks taken.
    pub ticks: usize,
    /// Ticks due and not taken.
    pub missed_ticks: u64,
    /// Ticks per second, as taken.
    pub hz: f64,
    /// The longest stretch without a look.
    pub largest_gap_ms: f64,
    /// The time that the looks stand for: gaps are not in it.
    pub watched_ms: f64,
}

/// What watching cost the server.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Cost {
    /// Elapsed on the server per tick, an upper bound of its CPU.
    pub server_ms_per_tick: f64,
    /// The same as a share of the time watched, 0 to 1.
    pub server_busy_share: f64,
    /// Whether the pace was lowered to stay within the budget.
    pub backed_off: bool,
}

/// How things stood at the last tick.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Now {
    /// Sessions waiting for a heavyweight lock.
    pub blocked_sessions: usize,
    /// Systems they belong to.
    pub blocked_systems: usize,
    /// The longest of those waits; null without one.
    pub longest_wait_ms: Option<f64>,
}

/// Events that arrived too close together to be told apart by time.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Group {
    /// `g1`, `g2`, …
    pub id: String,
    /// The events in it.
    pub events: Vec<String>,
    /// First to last arrival.
    pub from: Rfc3339,
    /// First to last arrival.
    pub to: Rfc3339,
    /// The baseline it is compared with; null without one.
    pub window_before: Option<[Rfc3339; 2]>,
    /// The stretch after it, up to the next group; null if none was long enough.
    pub window_after: Option<[Rfc3339; 2]>,
}

/// How sure a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// By wait-for edges, with calls counted and an interval clear of zero.
    Proved,
    /// By statistics.
    Supported,
    /// Not enough data yet.
    Inconclusive,
    /// Enough data, and nothing to see.
    NoEffect,
}

impl Verdict {
    /// Tells whether it may name who is in the way.
    #[must_use]
    pub const fn accuses(self) -> bool {
        matches!(self, Self::Proved | Self::Supported)
    }
}

/// What kind of answer a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scope {
    /// One system is in the way.
    Culprit,
    /// Many systems hold one object in turn.
    Object,
    /// The victim's own work, or a resource nobody holds.
    Own,
}

/// One conclusion: this victim lost this much to this cause.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Finding {
    /// 1 is the first to look at.
    pub rank: usize,
    /// How sure.
    pub verdict: Verdict,
    /// What kind of answer.
    pub scope: Scope,
    /// Share of bootstrap replicates in which this cause keeps its place; null without enough blocks.
    pub rank_stability: Option<f64>,
    /// Who got slower.
    pub victim: Victim,
    /// By how much, in all; null without a baseline.
    pub growth: Option<Growth>,
    /// Through what.
    pub cause: Cause,
    /// How much of it through this cause.
    pub ms_per_call: Option<f64>,
    /// Its 95 % interval; null with too few blocks to say.
    pub ci95_ms_per_call: Option<[f64; 2]>,
    /// The same as a share of the growth; null without one.
    pub share_of_growth: Option<f64>,
    /// The victim's DB time lost to this cause in the window after.
    pub db_seconds: f64,
    /// What the event did, apart and in all; null without an event.
    pub event_effect: Option<EventEffect>,
    /// The slowest calls of the victim.
    pub tail: Tail,
    /// Share of this cause in the time of the slowest 5 % of the calls after, as far as they were
    /// seen, 0 to 1; null without a p95. It says nothing of milliseconds: a p99 is no sum.
    pub share_of_slowest: Option<f64>,
    /// The victim without this cause.
    pub what_if: Option<WhatIf>,
    /// Minutes of watching still needed, for *inconclusive*.
    pub needs_minutes: Option<f64>,
    /// What it rests on.
    pub evidence: Evidence,
}

/// Whose latency.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Victim {
    /// The system; null where several share the statement and only the pool's mean is known.
    pub system: Option<String>,
    /// The systems that run it.
    pub systems: Vec<String>,
    /// The server's id, as a decimal string; null where it has none.
    pub query_id: Option<String>,
    /// Ours, as 16 hexadecimal digits; all zero where the text is not known.
    pub fingerprint: String,
    /// The statement, normalised.
    pub query: String,
    /// Where.
    pub database: Option<String>,
}

impl Victim {
    /// Names who it is: a system, or the pool that shares the statement.
    #[must_use]
    pub fn who(&self) -> String {
        self.system.clone().unwrap_or_else(|| pool(&self.systems))
    }
}

/// Names several systems at once: by what their names begin with, as `intake-*`, or by
/// their number.
#[must_use]
pub fn pool(systems: &[String]) -> String {
    let (Some(first), Some(last)) = (systems.iter().min(), systems.iter().max()) else {
        return "unnamed".to_owned();
    };
    if systems.len() == 1 {
        return first.clone();
    }
    // What the smallest and the largest have in common, all have.
    let common: String = first
        .chars()
        .zip(last.chars())
        .take_while(|(a, b)| a == b)
        .map(|(a, _)| a)
        .collect();
    let stem = common.trim_end_matches(|c: char| c.is_ascii_digit());
    let count = systems.len();
    if stem.chars().filter(|c| c.is_alphabetic()).count() >= 3 {
        format!("{stem}* ({count} systems)")
    } else {
        format!("{count} systems")
    }
}

/// How a victim's mean latency moved between two windows.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Growth {
    /// The event between them; for a group its first event, or the blamed one.
    pub event: Option<String>,
    /// Mean latency before, in milliseconds per call.
    pub before_ms: f64,
    /// Mean latency after.
    pub after_ms: f64,
    /// After less before.
    pub delta_ms: f64,
    /// The 95 % interval of the difference; null with too few blocks to say.
    pub ci95_ms: Option<[f64; 2]>,
    /// One call in twenty took longer, before; null where the `tail` says why.
    pub p95_before_ms: Option<f64>,
    /// One call in twenty took longer, after.
    pub p95_after_ms: Option<f64>,
    /// One call in a hundred took longer, before.
    pub p99_before_ms: Option<f64>,
    /// One call in a hundred took longer, after.
    pub p99_after_ms: Option<f64>,
    /// Completed calls before.
    pub calls_before: f64,
    /// Completed calls after.
    pub calls_after: f64,
    /// Where the calls come from.
    pub calls_basis: CallsBasis,
    /// The baseline.
    pub window_before: [Rfc3339; 2],
    /// The stretch compared with it.
    pub window_after: [Rfc3339; 2],
}

/// Where a victim's number of calls comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum CallsBasis {
    /// The server counted them, and one system alone runs the statement.
    Counted,
    /// The server counted them over several systems.
    Pooled,
    /// The server counted them over several systems, and the looks tell which are of whom; or nobody
    /// counted any.
    Estimated,
}

/// What stood in the way.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Cause {
    /// `row-lock`, `relation-lock`, `ddl-queue`, `lwlock`, `own-work`, … (DESIGN).
    pub class: &'static str,
    /// `measured` (by edges), `apportioned` or `inferred`.
    pub basis: &'static str,
    /// `schema.table`; null where there is none or it is not known.
    pub table: Option<String>,
    /// The lock most often waited for; null for classes without one.
    pub lock: Option<CauseLock>,
    /// Who held it, or brought most of the load where nobody does; null where neither was seen.
    pub blocker: Option<Blocker>,
    /// Amplifiers between victim and root.
    pub through: Vec<Amplifier>,
    /// For what nobody holds: the systems by what they added to its use, the largest first, with
    /// shares that sum to 1; null where it is not apportioned.
    pub apportioned: Option<Vec<Share>>,
    /// The blocker's own onboarding, else that of who stands between; null if both were there before.
    pub event: Option<String>,
}

impl Cause {
    /// Gives the state in which the root spent most of the charged time, and its share;
    /// of equal ones the first by name.
    #[must_use]
    pub fn dominant_state(&self) -> Option<(&str, f64)> {
        let states = &self.blocker.as_ref()?.state;
        states
            .iter()
            .map(|(state, &share)| (state.as_str(), share))
            .filter(|&(_, share)| share > 0.0)
            .max_by(|a, b| a.1.total_cmp(&b.1).then(b.0.cmp(a.0)))
    }
}

/// A system's share of the load that came.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Share {
    /// Whose; null where no rule names it.
    pub system: Option<String>,
    /// 0 to 1.
    pub share: f64,
}

/// A lock in a cause.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CauseLock {
    /// `transactionid`, `tuple`, …
    #[serde(rename = "type")]
    pub kind: String,
    /// `ShareLock`, …
    pub mode: String,
}

/// The root of the waits.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Blocker {
    /// Whose; the owner's role for a prepared transaction.
    pub system: Option<String>,
    /// The name of the prepared transaction; null for a session.
    pub gid: Option<String>,
    /// The table that it holds: the cause's own, or another at the end of a longer chain.
    pub table: Option<String>,
    /// The statement that took the lock, or what it was last seen running.
    pub query: Option<String>,
    /// Its fingerprint.
    pub fingerprint: Option<String>,
    /// `measured` or `inferred`; null without a statement.
    pub query_basis: Option<&'static str>,
    /// Why it was not finished: share of the charged time by state, summing to 1.
    pub state: BTreeMap<String, f64>,
}

/// Somebody who waited in between and so made others wait.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Amplifier {
    /// Whose.
    pub system: Option<String>,
    /// What it ran.
    pub query: Option<String>,
}

/// What an event did to the victim.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct EventEffect {
    /// Through waits whose root is the new system.
    pub direct_ms: f64,
    /// All growth since; null where the group has several members.
    pub marginal_ms: Option<f64>,
    /// Marginal less direct; null with it.
    pub interaction_ms: Option<f64>,
    /// The group's growth as a whole.
    pub group_marginal_ms: Option<f64>,
    /// The group's growth less what all its members did directly.
    pub group_interaction_ms: Option<f64>,
}

/// The victim with the cause taken away.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct WhatIf {
    /// What is taken away.
    pub removed: String,
    /// The mean that remains.
    pub mean_ms: Option<f64>,
    /// What one call in a hundred would take longer than at the most; null without a p99.
    pub p99_ms: Option<f64>,
}

/// What a finding rests on.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Evidence {
    /// Sampled waits of this victim on this cause, after.
    pub samples: usize,
    /// Ticks with at least one of them.
    pub ticks: usize,
    /// The longest of those waits.
    pub longest_wait_ms: Option<f64>,
    /// Blocks of time behind the interval, before and after.
    pub blocks: [usize; 2],
    /// Rows that the victim returned or wrote per call, before and after; null where nothing counts.
    pub rows_per_call: Option<[f64; 2]>,
    /// Blocks of tables and indexes that it touched per call, before and after.
    pub blocks_per_call: Option<[f64; 2]>,
    /// How long it took before anybody watched; null with a baseline, and where nothing counts.
    pub history: Option<History>,
    /// What the server's own log states of it; null where it is silent, or was not read.
    pub log: Option<LoggedEvidence>,
}

/// One victim's growth, split without remainder.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Split {
    /// Who.
    pub victim: Victim,
    /// How much in all.
    pub growth: Growth,
    /// What it consists of, largest first; with `residual_ms` they sum to `growth.delta_ms`.
    pub parts: Vec<Part>,
    /// What could be charged to nothing.
    pub residual_ms: f64,
    /// The slowest calls.
    pub tail: Tail,
}

/// One cause's part in a growth.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Part {
    /// What.
    pub cause: Cause,
    /// After less before, in milliseconds per call; negative where it shrank.
    pub delta_ms: f64,
    /// Its 95 % interval; null with too few blocks to say.
    pub ci95_ms: Option<[f64; 2]>,
    /// Its share in the time of the slowest 5 % of the calls after, 0 to 1; null without a p95.
    pub share_of_slowest: Option<f64>,
}

/// A quantity over time; `None` is a gap in the watch, not a zero.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Series {
    /// What it is called in a legend.
    pub label: String,
    /// The start of each bin and its value.
    pub points: Vec<(Rfc3339, Option<f64>)>,
}

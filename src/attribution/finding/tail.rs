//! How slow a victim's slowest calls are.

use serde::Serialize;

/// The slowest calls of a victim, before and after.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Tail {
    /// In the baseline; null without one.
    pub before: Option<Quantiles>,
    /// In the stretch after it, or in all of it where there is no baseline.
    pub after: Quantiles,
}

/// How long the slowest calls of one window took at least.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Quantiles {
    /// One call in twenty took longer, in milliseconds; null where `why_not` says why.
    pub p95_ms: Option<f64>,
    /// One call in a hundred took longer, in milliseconds; null where `why_not` says why.
    pub p99_ms: Option<f64>,
    /// Between these the p99 lies, by executions that were seen and counted calls, unless sessions ran
    /// the statement that were never seen with it;
    /// null without counted calls, or where nothing bounds it above.
    pub p99_bracket_ms: Option<[f64; 2]>,
    /// What the p99 rests on; null without one.
    pub basis: Option<TailBasis>,
    /// Sampled sessions that ran the statement.
    pub rows: usize,
    /// The executions that they show under way.
    pub executions: usize,
    /// Of how many executions it is known to the microsecond when they ended, also of such
    /// that no look saw under way.
    pub exact: usize,
    /// Executions seen to get past what a look takes, over the calls counted: not above 1, but
    /// for chance, where both speak of the same.
    pub seen_per_call: Option<f64>,
    /// Why a quantile is null.
    pub why_not: Option<NotTold>,
}

/// What a quantile rests on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum TailBasis {
    /// How old executions were when they were seen, within the bracket: a renewal estimate.
    Ages,
    /// The executions longer than the gaps between looks, counted: the bracket is narrow.
    Census,
}

/// Why a quantile is not told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum NotTold {
    /// Nobody counts the calls.
    CallsNotCounted,
    /// The samples are gone, or do not tell when statements began.
    NoAges,
    /// Too few sampled sessions ran the statement.
    FewRows,
    /// Too few calls to speak of one in so many.
    FewCalls,
    /// More executions were seen than calls counted.
    MoreSeenThanCounted,
    /// It is hardly longer than a look takes.
    ShorterThanALook,
}

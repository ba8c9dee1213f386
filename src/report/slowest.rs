//! Words for how slow a victim's slowest calls are.
//!
//! What the data does not support is said to be unknown, with the reason. A cause's part in the
//! slowest calls is a share of their time, never a part of a p99.

use super::figures::{count, interval, milliseconds, percent};
use crate::attribution::finding::{Finding, NotTold, Quantiles};

/// A bound closer than this to what it bounds says nothing.
const WORTH_SAYING: f64 = 0.9;

/// Says the p95 and the p99 in a sentence, and where they were before; nothing of what is neither
/// known nor anybody's doing.
pub(super) fn sentence(finding: &Finding) -> Option<String> {
    let after = &finding.tail.after;
    let (p95, p99) = (after.p95_ms, after.p99_ms);
    let told = match (p95, p99) {
        (None, None) => {
            let unknown = format!("Its p95 and p99 are not known: {}.", why_not(after));
            return finding.verdict.accuses().then_some(unknown);
        }
        (Some(p95), None) => format!("Its p95 is {}", milliseconds(p95)),
        (None, Some(p99)) => format!("Its p99 is {}", milliseconds(p99)),
        (Some(p95), Some(p99)) => format!(
            "Its p95 is {} and its p99 {}",
            milliseconds(p95),
            milliseconds(p99)
        ),
    };
    let bracket = p99.and_then(|p99| bracket(after, p99));
    let bracket = bracket.map_or_else(String::new, |bracket| format!(" ({bracket})"));
    let before = finding.tail.before.as_ref();
    let before = before.map_or_else(String::new, |before| match (before.p95_ms, before.p99_ms) {
        (Some(p95), Some(p99)) => {
            format!("; before, {} and {}", milliseconds(p95), milliseconds(p99))
        }
        (None, Some(p99)) => format!("; before, the p99 was {}", milliseconds(p99)),
        (Some(p95), None) => format!("; before, the p95 was {}", milliseconds(p95)),
        (None, None) => format!("; before, {}", why_not(before)),
    });
    Some(format!("{told}{bracket}{before}."))
}

/// Says what a cause has to do with the slowest calls; nothing of one that accuses nobody.
pub(super) fn share(finding: &Finding) -> Option<String> {
    let share = finding.share_of_slowest?;
    finding.verdict.accuses().then(|| percent(share))
}

/// Says what the p99 would be at most without the cause; nothing where that is next to what it is.
pub(super) fn at_most_without(finding: &Finding) -> Option<String> {
    let without = finding.what_if.as_ref()?.p99_ms?;
    let with = finding.tail.after.p99_ms?;
    (without < WORTH_SAYING * with).then(|| milliseconds(without))
}

/// Says how a quantile moved, as `0.46 ms → 12.3 ms`; none without one.
pub(super) fn moved(finding: &Finding, of: impl Fn(&Quantiles) -> Option<f64>) -> Option<String> {
    let after = milliseconds(of(&finding.tail.after)?);
    let before = finding.tail.before.as_ref();
    Some(match before.map(|before| of(before).ok_or(before)) {
        None => after,
        Some(Ok(before)) => format!("{} → {after}", milliseconds(before)),
        Some(Err(before)) => format!("{after}; before, {}", why_not(before)),
    })
}

/// Says between what a p99 lies by what was seen, where that is more than it says itself.
pub(super) fn bracket(quantiles: &Quantiles, p99: f64) -> Option<String> {
    let bracket = quantiles.p99_bracket_ms?;
    Some(format!("{} by what was seen", interval(p99, bracket)))
}

/// Says why a quantile is not told.
pub(super) fn why_not(quantiles: &Quantiles) -> String {
    match quantiles.why_not {
        Some(NotTold::CallsNotCounted) => "nobody counts its calls".to_owned(),
        Some(NotTold::NoAges) => "its samples are gone, only sums are left".to_owned(),
        Some(NotTold::FewRows) => format!(
            "not enough data (seen at work {} times)",
            count(quantiles.rows as u64)
        ),
        Some(NotTold::FewCalls) => "not enough data (too few calls)".to_owned(),
        Some(NotTold::MoreSeenThanCounted) => {
            "more executions were seen than calls counted".to_owned()
        }
        Some(NotTold::ShorterThanALook) => "it was too short for a look to tell".to_owned(),
        None => "not enough data".to_owned(),
    }
}

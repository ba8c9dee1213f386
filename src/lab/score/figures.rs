//! How far pgjam's figures are from what the clients timed, and how often its intervals hold that.
//!
//! Only runs with a cause count: a growth is told where it is above zero, so of runs in which
//! nothing grew it would be the estimates that erred upwards.

use std::collections::BTreeMap;

use serde::Serialize;

use super::super::scenario::Family;
use super::timing::LEAST_GROWTH_MS;
use super::{Growth, Run, Share, Tail};
use crate::attribution::finding::NotTold;

/// An interval over so many blocks, before and after together, has to hold what it says.
pub(super) const MANY_BLOCKS: usize = 12;
/// A p99 of so many sampled sessions has to be near.
pub(super) const MANY_ROWS: usize = 1_500;

/// How large errors are, as shares of what they are errors of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Errors {
    /// Over so many figures.
    pub of: usize,
    /// The median of their sizes; null without any.
    pub median_abs: Option<f64>,
    /// The largest; null without any.
    pub largest_abs: Option<f64>,
    /// Their mean with their signs; null without any.
    pub mean: Option<f64>,
}

/// How far off pgjam's growths are.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct GrowthError {
    /// So many runs had a growth by the clients and none by pgjam.
    pub untold: usize,
    /// Of the others.
    #[serde(flatten)]
    pub errors: Errors,
}

/// How often the 95 % interval of the growth holds what the clients timed.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Coverage {
    /// Of intervals over at least 12 blocks, before and after together.
    pub many_blocks: Share,
    /// Of those over fewer, or over a number that is not told.
    pub few_blocks: Share,
    /// So many intervals end below what the clients timed.
    pub below: usize,
    /// So many begin above it.
    pub above: usize,
    /// So many runs have a growth without an interval, or none.
    pub no_interval: usize,
    /// The median of half their widths, as a share of what the clients timed; null without any.
    pub half_width: Option<f64>,
}

/// How far off pgjam's p99s are, before and after counted each.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TailError {
    /// Of at least 1,500 sampled sessions.
    pub many_rows: Errors,
    /// Of fewer.
    pub few_rows: Errors,
    /// How often the p99 of the clients lies in the bracket that is told, with a p99 or without.
    pub in_bracket: Share,
    /// So many are not told, by the reason.
    pub withheld: BTreeMap<NotTold, usize>,
}

impl Errors {
    /// Sums errors up.
    #[must_use]
    pub fn of(errors: &[f64]) -> Self {
        let sum: f64 = errors.iter().sum();
        let mut sizes: Vec<f64> = errors.iter().map(|error| error.abs()).collect();
        sizes.sort_unstable_by(f64::total_cmp);
        let middle = sizes.len().checked_sub(1).map(|last| {
            let (low, high) = (last / 2, last.div_ceil(2));
            f64::midpoint(sizes[low], sizes[high])
        });
        Self {
            of: errors.len(),
            median_abs: middle,
            largest_abs: sizes.last().copied(),
            mean: (!errors.is_empty()).then(|| sum / errors.len() as f64),
        }
    }
}

impl GrowthError {
    pub(super) fn of<'a>(runs: impl Iterator<Item = &'a Run> + Clone) -> Self {
        let errors: Vec<f64> = growths(runs.clone()).filter_map(Growth::error).collect();
        Self {
            untold: caused(runs).filter(|run| run.growth.is_none()).count(),
            errors: Errors::of(&errors),
        }
    }
}

impl Coverage {
    pub(super) fn of<'a>(runs: impl Iterator<Item = &'a Run> + Clone) -> Self {
        let (mut many, mut few) = (Vec::new(), Vec::new());
        let (mut below, mut above, mut widths) = (0, 0, Vec::new());
        for growth in growths(runs.clone()) {
            let Some([low, high]) = growth.ci95_ms else {
                continue;
            };
            let timed = growth.timed_ms();
            below += usize::from(high < timed);
            above += usize::from(timed < low);
            let enough = |[before, after]: [usize; 2]| before + after >= MANY_BLOCKS;
            let side = if growth.blocks.is_some_and(enough) {
                &mut many
            } else {
                &mut few
            };
            side.push(low <= timed && timed <= high);
            if timed.abs() >= LEAST_GROWTH_MS {
                widths.push((high - low) / 2.0 / timed);
            }
        }
        let with_one = many.len() + few.len();
        Self {
            many_blocks: Share::of(many),
            few_blocks: Share::of(few),
            below,
            above,
            no_interval: caused(runs).count() - with_one,
            half_width: Errors::of(&widths).median_abs,
        }
    }
}

impl TailError {
    pub(super) fn of<'a>(runs: impl Iterator<Item = &'a Run>) -> Self {
        let growths: Vec<&Growth> = growths(runs).collect();
        let (mut many, mut few) = (Vec::new(), Vec::new());
        let mut withheld = BTreeMap::new();
        let tails = || {
            growths
                .iter()
                .flat_map(|growth| growth.tails.iter().flatten())
        };
        for tail in tails() {
            if let Some(error) = tail.error() {
                let enough = tail.rows >= MANY_ROWS;
                let side = if enough { &mut many } else { &mut few };
                side.push(error);
            } else if let Some(why_not) = tail.why_not {
                *withheld.entry(why_not).or_default() += 1;
            }
        }
        Self {
            many_rows: Errors::of(&many),
            few_rows: Errors::of(&few),
            in_bracket: Share::of(tails().filter_map(Tail::is_in_bracket)),
            withheld,
        }
    }
}

fn caused<'a>(runs: impl Iterator<Item = &'a Run>) -> impl Iterator<Item = &'a Run> {
    runs.filter(|run| run.family != Family::Null)
}

fn growths<'a>(runs: impl Iterator<Item = &'a Run>) -> impl Iterator<Item = &'a Growth> {
    caused(runs).filter_map(|run| run.growth.as_ref())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::score::Timing;

    fn run(tails: [Option<Tail>; 2]) -> Run {
        Run {
            scenario: "made-up",
            family: Family::Lock,
            group: None,
            seed: 1,
            timing: Timing::default(),
            came_about: true,
            growth: Some(Growth {
                pgjam_ms: [1.0, 2.0],
                clients_ms: [1.0, 2.0],
                calls: [100.0, 100.0],
                ci95_ms: None,
                blocks: None,
                tails,
            }),
            placebo: None,
            what_if: None,
            blame: None,
            methods: Vec::new(),
        }
    }

    #[test]
    fn a_p99_that_is_withheld_is_no_error_and_its_bracket_counts() {
        let tail = |pgjam_ms, rows| Tail {
            pgjam_ms,
            why_not: pgjam_ms.is_none().then_some(NotTold::FewCalls),
            bracket_ms: Some([5.0, 12.0]),
            rows,
            clients_ms: 10.0,
        };
        let runs = [
            run([Some(tail(None, 400)), Some(tail(Some(9.0), 1_500))]),
            run([None, Some(tail(Some(13.0), 1_499))]),
        ];
        let error = TailError::of(runs.iter());
        let mean = |errors: Errors| errors.mean.unwrap_or_default();
        assert!((mean(error.many_rows) + 0.1).abs() < 1e-9, "{error:?}");
        assert!((mean(error.few_rows) - 0.3).abs() < 1e-9, "{error:?}");
        assert_eq!(error.withheld, [(NotTold::FewCalls, 1)].into());
        assert_eq!((error.in_bracket.hits, error.in_bracket.of), (3, 3));
    }
}

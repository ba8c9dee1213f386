//! How sure a difference of two means is.
//!
//! Samples that follow each other are not independent: a convoy fills many of
//! them. The unit is therefore a *block* of time, and intervals are batch means
//! with Student's t, which stays honest with few blocks where the percentile
//! bootstrap covers 0.73 to 0.86 of a nominal 0.95 (METHODS 0).

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use statrs::distribution::{ContinuousCDF, StudentsT};

/// Fewer blocks than this on the side that carries the evidence give no interval.
pub(super) const FEWEST_BLOCKS: usize = 4;

/// One block of time: what was lost in it, over what it is divided by.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Block {
    /// Seconds charged.
    pub(super) seconds: f64,
    /// Calls completed, or seconds gone by where calls are not known.
    pub(super) per: f64,
}

/// A ratio of sums, and its standard error by blocks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Ratio {
    pub(super) value: f64,
    error: f64,
    freedom: f64,
}

impl Ratio {
    /// Divides the blocks' sums; none without anything to divide by.
    ///
    /// The error is that of the linearised ratio, `√(n Σ(aᵢ − m bᵢ)² ⁄ (n − 1)) ⁄ Σbᵢ`.
    pub(super) fn of(blocks: impl Iterator<Item = Block> + Clone) -> Option<Self> {
        let (mut seconds, mut per, mut count) = (0.0, 0.0, 0.0);
        for block in blocks.clone() {
            seconds += block.seconds;
            per += block.per;
            count += 1.0;
        }
        if per <= 0.0 {
            return None;
        }
        let value = seconds / per;
        let squares: f64 = blocks
            .map(|block| (block.seconds - value * block.per).powi(2))
            .sum();
        let freedom: f64 = count - 1.0;
        let error = if freedom > 0.0 {
            (count * squares / freedom).sqrt() / per
        } else {
            f64::INFINITY
        };
        Some(Self {
            value,
            error,
            freedom,
        })
    }
}

/// A difference, with what is needed to say how sure it is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Estimate {
    /// In the unit of the ratio.
    pub(super) value: f64,
    error: f64,
    freedom: f64,
}

impl Estimate {
    /// A ratio against zero.
    pub(super) const fn of(ratio: Ratio) -> Self {
        Self {
            value: ratio.value,
            error: ratio.error,
            freedom: ratio.freedom,
        }
    }

    /// The later ratio less the earlier one, with Welch's degrees of freedom.
    pub(super) fn difference(before: Ratio, after: Ratio) -> Self {
        let (b, a) = (before.error.powi(2), after.error.powi(2));
        let welch = (a + b).powi(2) / (a.powi(2) / after.freedom + b.powi(2) / before.freedom);
        Self {
            value: after.value - before.value,
            error: (a + b).sqrt(),
            freedom: if welch.is_finite() {
                welch.max(1.0)
            } else {
                after.freedom
            },
        }
    }

    /// Gives its standard error; infinite where there is none.
    pub(super) const fn error(&self) -> f64 {
        self.error
    }

    /// Gives the 95 % interval; none with too few blocks behind it.
    pub(super) fn interval(&self) -> Option<[f64; 2]> {
        let half = self.half_width()?;
        Some([self.value - half, self.value + half])
    }

    /// Gives half the width of the 95 % interval.
    pub(super) fn half_width(&self) -> Option<f64> {
        let enough = self.freedom + 1.0 >= FEWEST_BLOCKS as f64 && self.error.is_finite();
        let student = enough.then(|| StudentsT::new(0.0, 1.0, self.freedom).ok())??;
        Some(student.inverse_cdf(0.975) * self.error)
    }

    /// Gives the chance of a difference at least as large, either way, if there were none;
    /// 1 where nothing can be said.
    pub(super) fn p_value(&self) -> f64 {
        if self.freedom + 1.0 < FEWEST_BLOCKS as f64 || !self.error.is_finite() {
            return 1.0;
        }
        if self.error == 0.0 {
            return if self.value > 0.0 { 0.0 } else { 1.0 };
        }
        StudentsT::new(0.0, 1.0, self.freedom).map_or(1.0, |student| {
            2.0 * student.sf((self.value / self.error).abs())
        })
    }
}

/// Adds up values, each with its error, and the error that the sum has at least, to the multiple of
/// the sum that is nearest to the truth on average: of a sum `r` that is off by `s` that is
/// `r³ ⁄ (r² + s²)`, by least squared error.
pub(super) fn least_error(values: impl IntoIterator<Item = (f64, f64)>, at_least: f64) -> f64 {
    let (mut sum, mut squares) = (0.0, at_least * at_least);
    for (value, error) in values {
        sum += value;
        squares += error * error;
    }
    let weight = sum * sum / (sum * sum + squares);
    // Nothing is known of what may be off by anything, nor lost where nothing is.
    if weight.is_finite() {
        sum * weight
    } else {
        0.0
    }
}

/// Tells which of many tests hold when 5 % of those that do may be wrong.
///
/// Benjamini and Yekutieli (2001): valid however the tests depend on each other.
pub(super) fn discoveries(p_values: &[f64]) -> Vec<bool> {
    let count = p_values.len() as f64;
    let harmonic: f64 = (1..=p_values.len()).map(|k| 1.0 / k as f64).sum();
    let mut order: Vec<usize> = (0..p_values.len()).collect();
    order.sort_by(|&a, &b| p_values[a].total_cmp(&p_values[b]));
    let limit = |rank: usize| 0.05 * (rank + 1) as f64 / (count * harmonic);
    let last = (0..order.len())
        .rev()
        .find(|&rank| p_values[order[rank]] <= limit(rank));
    let mut holds = vec![false; p_values.len()];
    for &test in last.map_or(&[][..], |last| &order[..=last]) {
        holds[test] = true;
    }
    holds
}

/// How many times a rank is drawn again.
const REPLICATES: usize = 200;

/// Tells for each cause in which share of bootstrap replicates it keeps its place.
///
/// `before` and `after` are causes × blocks; whole blocks are drawn with replacement,
/// the same for all causes. None with too few blocks to draw from. Seeded: equal
/// input gives equal output.
pub(super) fn rank_stability(before: &[Vec<Block>], after: &[Vec<Block>]) -> Option<Vec<f64>> {
    let blocks = |side: &[Vec<Block>]| side.first().map_or(0, Vec::len);
    let (b, a) = (blocks(before), blocks(after));
    if a < FEWEST_BLOCKS {
        return None;
    }
    let ranking = |drawn_before: &[usize], drawn_after: &[usize]| -> Vec<usize> {
        let mean = |cause: &[Block], drawn: &[usize]| {
            Ratio::of(drawn.iter().map(|&n| cause[n])).map_or(0.0, |ratio| ratio.value)
        };
        let growth: Vec<f64> = (0..after.len())
            .map(|cause| {
                let earlier = if b == 0 {
                    0.0
                } else {
                    mean(&before[cause], drawn_before)
                };
                mean(&after[cause], drawn_after) - earlier
            })
            .collect();
        let mut order: Vec<usize> = (0..growth.len()).collect();
        order.sort_by(|&x, &y| growth[y].total_cmp(&growth[x]));
        order
    };
    let whole: (Vec<usize>, Vec<usize>) = ((0..b).collect(), (0..a).collect());
    let reference = ranking(&whole.0, &whole.1);
    let mut kept = vec![0_usize; after.len()];
    let mut rng = StdRng::seed_from_u64(0x0070_676a_616d);
    for _ in 0..REPLICATES {
        let mut draw =
            |n: usize| -> Vec<usize> { (0..n).map(|_| rng.random_range(0..n)).collect() };
        let (drawn_before, drawn_after) = (draw(b), draw(a));
        for (place, cause) in ranking(&drawn_before, &drawn_after).into_iter().enumerate() {
            kept[cause] += usize::from(reference[place] == cause);
        }
    }
    Some(
        kept.into_iter()
            .map(|kept| kept as f64 / REPLICATES as f64)
            .collect(),
    )
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    fn blocks(seconds: &[f64]) -> Vec<Block> {
        seconds
            .iter()
            .map(|&seconds| Block { seconds, per: 10.0 })
            .collect()
    }

    fn ratio(seconds: &[f64]) -> Ratio {
        Ratio::of(blocks(seconds).into_iter()).unwrap()
    }

    #[test]
    fn equal_blocks_leave_no_doubt() {
        let estimate = Estimate::difference(ratio(&[1.0; 5]), ratio(&[3.0; 5]));
        assert!((estimate.value - 0.2).abs() < 1e-12);
        let [low, high] = estimate.interval().unwrap();
        assert!((high - low).abs() < 1e-9);
    }

    #[test]
    fn the_interval_is_students() {
        // Blocks 1..5 over 10 each: mean 0.3, standard deviation of the block means
        // √2.5 ⁄ 10, error that over √5, and t(0.975; 4) = 2.776.
        let estimate = Estimate::of(ratio(&[1.0, 2.0, 3.0, 4.0, 5.0]));
        let half = 2.776_445 * (2.5_f64 / 5.0).sqrt() / 10.0;
        assert!((estimate.half_width().unwrap() - half).abs() < 1e-6);
    }

    #[test]
    fn too_few_blocks_say_nothing() {
        let estimate = Estimate::difference(ratio(&[1.0, 1.1]), ratio(&[9.0, 9.5]));
        assert_eq!(estimate.interval(), None);
        assert!((estimate.p_value() - 1.0).abs() < f64::EPSILON);
    }

    #[test]
    fn what_may_as_well_be_nothing_counts_by_half_and_what_is_sure_counts_whole() {
        let told = |values: &[(f64, f64)]| least_error(values.iter().copied(), 0.0);
        assert!((told(&[(2.0, 0.0), (1.0, 0.0)]) - 3.0).abs() < 1e-12);
        assert!((told(&[(2.0, 3.0), (3.0, 4.0)]) - 2.5).abs() < 1e-12);
        assert!((told(&[(-1.0, 1.0)]) + 0.5).abs() < 1e-12);
        for nothing in [vec![], vec![(0.0, 0.0)], vec![(1.0, f64::INFINITY)]] {
            assert!(told(&nothing).abs() < 1e-12, "{nothing:?}");
        }
        assert!((least_error([(1.0, 0.0)], 1.0) - 0.5).abs() < 1e-12);
    }

    #[test]
    fn many_tests_raise_the_bar() {
        let one = discoveries(&[0.04]);
        let mut twenty = vec![0.5; 19];
        twenty.push(0.04);
        assert_eq!(one, [true]);
        assert!(discoveries(&twenty).iter().all(|holds| !holds));
    }

    #[test]
    fn a_clear_first_keeps_its_place_and_twins_do_not() {
        let before = vec![blocks(&[0.0; 8]); 3];
        let after = vec![
            blocks(&[9.0; 8]),
            blocks(&[1.0, 2.0, 1.0, 2.0, 1.0, 2.0, 1.0, 2.0]),
            blocks(&[2.0, 1.0, 2.0, 1.0, 2.0, 1.0, 2.0, 1.0]),
        ];
        let kept = rank_stability(&before, &after).unwrap();
        assert!((kept[0] - 1.0).abs() < f64::EPSILON, "{kept:?}");
        assert!(kept[1] < 0.9 && kept[2] < 0.9, "{kept:?}");
    }
}

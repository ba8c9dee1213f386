//! The quantiles of how long a statement takes, from how old its executions were when seen.
//!
//! ```text
//!  executions
//!  past an age
//!      calls ┤▔╲
//!            │  ╲__      seconds seen at ages about here, over the width of here:
//!            │     ╲__   so many executions got past this age
//!        1 % ┤┄┄┄┄┄┄┄┄╲_____
//!            └─────────┴──────▶ age
//!                     p99
//! ```
//!
//! - An execution spends a microsecond at every age that it reaches. What the looks stand for
//!   therefore adds up, age by age, to the number of executions that got past it, whatever their
//!   lengths are, however they cluster and however the pace of the looks changes. In the words
//!   of renewal theory: the density of ages is `S(age) ⁄ E[T]`, with Little's mean as `E[T]`.
//! - That number falls with age. The fit is the decreasing one of Grenander: the slope of the
//!   least concave majorant of the seconds seen up to each age. The slope at age 0 is
//!   inconsistent, and no quantile rests on it.
//! - Whatever lasts longer than the gap between two looks is seen. Ranked among the calls these
//!   executions enclose a quantile, as far as it is longer than the gaps. Where that
//!   bracket is narrow, counting them tells more than their ages do.
//!
//! Pure arithmetic over ages: nothing here knows sessions, statements or causes.

use crate::attribution::finding::TailBasis;
use crate::time::Span;

/// A session's time at one look: how old its execution was, and the seconds it stands for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Sighting {
    pub(super) age: Span,
    pub(super) seconds: f64,
}

/// Over so many sightings chance makes a fifth of a slope.
const FIRST: usize = 30;

/// The ages at which executions were seen.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Ages(Vec<Sighting>);

impl Ages {
    /// Puts sightings in order of age.
    pub(super) fn of(mut sightings: Vec<Sighting>) -> Self {
        sightings.sort_by_key(|sighting| sighting.age);
        Self(sightings)
    }

    /// Gives the age that no more than so many executions got past.
    ///
    /// Where the majorant's slope falls to `count` is where the seconds seen are farthest above
    /// a line of that slope, so the majorant itself is not needed.
    pub(super) fn passed_by(&self, count: f64) -> Span {
        let (mut farthest, mut at, mut seen) = (0.0, Span::ZERO, 0.0);
        for sighting in &self.0 {
            seen += sighting.seconds;
            let above = seen - count * sighting.age.as_secs_f64();
            if above > farthest {
                (farthest, at) = (above, sighting.age);
            }
        }
        at
    }

    /// Counts about how many executions got past `age`: the slope over the first sightings beyond
    /// it, so many that chance makes little of it. None with fewer.
    pub(super) fn past(&self, age: Span) -> Option<f64> {
        let beyond = self.0.partition_point(|sighting| sighting.age <= age);
        let beyond = &self.0[beyond..];
        let first = beyond.get(..FIRST.max(beyond.len() / 20))?;
        let seconds: f64 = first.iter().map(|sighting| sighting.seconds).sum();
        Some(seconds / first.last()?.age.less(age).as_secs_f64())
    }
}

/// What is certain of how long one execution took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Length {
    pub(super) at_least: Span,
    /// None while nothing bounds it.
    pub(super) at_most: Option<Span>,
}

/// The executions that were seen, of which those longer than a gap between looks are all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Census {
    /// The executions that ended in the window, by what they took at least, longest first.
    ended: Vec<Length>,
    /// What all that may have ended in it took at most, longest first.
    perhaps: Vec<Span>,
    /// The stretches in which nobody looked, longest first.
    gaps: Vec<Span>,
    /// Sessions that can have hidden executions in them.
    sessions: usize,
}

/// An execution without an upper bound.
const ENDLESS: Span = Span::from_micros(i64::MAX);

impl Census {
    /// Ranks executions: those that ended in the window, those that may have.
    pub(super) fn of(
        ended: impl Iterator<Item = Length>,
        perhaps: impl Iterator<Item = Length>,
        gaps: impl Iterator<Item = Span>,
        sessions: usize,
    ) -> Self {
        let ranked = |spans: &mut Vec<Span>| spans.sort_unstable_by(|a, b| b.cmp(a));
        let mut census = Self {
            ended: ended.collect(),
            perhaps: perhaps
                .map(|length| length.at_most.unwrap_or(ENDLESS))
                .collect(),
            gaps: gaps.collect(),
            sessions,
        };
        let at_least = |length: &Length| std::cmp::Reverse(length.at_least);
        census.ended.sort_by_key(at_least);
        ranked(&mut census.perhaps);
        ranked(&mut census.gaps);
        census
    }

    /// Encloses the length that no more than `count` executions exceed; above, none where
    /// nothing bounds it.
    ///
    /// A gap longer than the answer may hide as many executions as fit into it, one after the
    /// other, in every session.
    pub(super) fn bracket(&self, count: f64) -> (Span, Option<Span>) {
        let rank = |count: f64| {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "a float beyond the range becomes its end"
            )]
            let rank = count.max(0.0) as usize;
            rank
        };
        let low = self.ended.get(rank(count));
        let low = low.map_or(Span::ZERO, |length| length.at_least);
        // The shorter the gap the more may be hidden in the longer ones, and the longer is what
        // that leaves: what bounds lies where the two meet.
        let bound = |longer: usize| -> Option<Span> {
            let gap = self.gaps[longer];
            let fit = |hiding: &Span| (hiding.as_micros() / gap.as_micros()) as f64;
            let hidden: f64 = self.gaps[..longer].iter().map(fit).sum();
            let left = count - hidden * self.sessions as f64;
            (left >= 0.0).then(|| self.perhaps.get(rank(left)).copied().unwrap_or(Span::ZERO))
        };
        let (mut meet, mut end) = (0, self.gaps.partition_point(|&gap| gap > Span::ZERO));
        let all = end;
        while meet < end {
            let middle = usize::midpoint(meet, end);
            if bound(middle).is_none_or(|bound| bound >= self.gaps[middle]) {
                end = middle;
            } else {
                meet = middle + 1;
            }
        }
        let mut high = ENDLESS;
        for longer in meet.saturating_sub(1)..all.min(meet + 1) {
            if let Some(bound) = bound(longer) {
                high = high.min(bound.max(self.gaps[longer]));
            }
        }
        (low, (high < ENDLESS).then_some(high))
    }

    /// Gives the length that `count` executions exceed, between two that enclose it, if each is
    /// as likely to have ended at any instant at which it may have.
    fn exceeded_by(&self, count: f64, mut low: Span, mut high: Span) -> Span {
        let exceeds = |length: &Length, span: Span| {
            let at_most = length.at_most.unwrap_or(ENDLESS);
            if span < length.at_least {
                1.0
            } else if span < at_most {
                let [left, all] = [span, length.at_least].map(|from| at_most.less(from));
                left.as_micros() as f64 / all.as_micros() as f64
            } else {
                0.0
            }
        };
        while high.less(low) > Span::from_micros(1) {
            let middle = low + Span::from_micros(high.less(low).as_micros() / 2);
            let lengths = self.ended.iter();
            if lengths.map(|length| exceeds(length, middle)).sum::<f64>() > count {
                low = middle;
            } else {
                high = middle;
            }
        }
        high
    }
}

/// A bracket is narrow where its ends are apart by no more than this factor.
const NARROW: f64 = 1.5;

/// Gives the length that `count` executions exceed, and what that rests on.
pub(super) fn quantile(ages: &Ages, census: &Census, count: f64) -> (Span, TailBasis) {
    let (low, high) = census.bracket(count);
    match high {
        Some(high) if high.as_secs_f64() <= NARROW * low.as_secs_f64() => {
            (census.exceeded_by(count, low, high), TailBasis::Census)
        }
        _ => {
            let by_age = ages.passed_by(count).max(low);
            (by_age.min(high.unwrap_or(by_age)), TailBasis::Ages)
        }
    }
}

#[cfg(test)]
#[path = "quantile_tests.rs"]
mod tests;

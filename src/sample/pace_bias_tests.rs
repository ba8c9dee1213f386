//! That the changing pace biases no figure.
//!
//! A story is fixed: who waited and who worked at each instant of it. Many watchers look at it,
//! each with a layout of its own, at a pace that follows what it sees and what that costs. What
//! they estimate on average is held against what happened, within what chance allows.

use super::*;

/// How many sessions do something.
#[derive(Clone, Copy, Debug, Default)]
struct Doing {
    waiting: i32,
    working: i32,
}

/// What happened: from each instant on, until the next.
struct Story(Vec<(i64, Doing)>);

const SECOND: i64 = 1_000_000;
const LENGTH: i64 = 120 * SECOND;

impl Story {
    /// Transactions arrive, in bursts; each works a little and then works on with a row for
    /// itself alone, for which it may have to queue.
    fn of(seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut exponential = |mean: f64| {
            let uniform: f64 = rng.random_range(1e-9..1.0);
            #[expect(clippy::cast_possible_truncation, reason = "below some minutes")]
            let micros = (-uniform.ln() * mean * 1e6) as i64;
            micros.max(1)
        };
        let mut steps: Vec<(i64, i32, i32)> = Vec::new();
        let (mut now, mut free) = (0, 0);
        let mut burst_ends = 0;
        let mut burst_begins = exponential(15.0);
        while now < LENGTH {
            if now >= burst_begins {
                burst_ends = now + exponential(2.0);
                burst_begins = burst_ends + exponential(15.0);
            }
            let asks = now + exponential(0.02);
            let gets = asks.max(free);
            let held = if now < burst_ends { 0.08 } else { 0.2 };
            free = gets + exponential(held);
            steps.extend([(now, 0, 1), (asks, 1, -1), (gets, -1, 1), (free, 0, -1)]);
            now += exponential(if now < burst_ends { 0.05 } else { 2.0 });
        }
        steps.sort_unstable();
        let mut doing = Doing::default();
        let told = steps.into_iter().map(|(at, waiting, working)| {
            doing.waiting += waiting;
            doing.working += working;
            (at, doing)
        });
        Self(told.collect())
    }

    fn at(&self, instant: i64) -> Doing {
        let next = self.0.partition_point(|(at, _)| *at <= instant);
        next.checked_sub(1)
            .map_or(Doing::default(), |n| self.0[n].1)
    }

    /// Gives the seconds of sessions that waited and worked from an instant on.
    fn truth(&self, from: i64) -> [f64; 2] {
        let mut sums = [0.0; 2];
        let ends = self.0.iter().skip(1).map(|(at, _)| *at).chain([LENGTH]);
        for ((at, doing), end) in self.0.iter().zip(ends) {
            let seconds = (end.min(LENGTH) - (*at).max(from)).max(0) as f64 / 1e6;
            sums[0] += f64::from(doing.waiting) * seconds;
            sums[1] += f64::from(doing.working) * seconds;
        }
        sums
    }
}

/// What one watcher makes of a story, from the end of the first cell on.
#[derive(Default)]
struct Estimate {
    /// By what each look stands for.
    ours: [f64; 2],
    /// By the time since the look before.
    by_gaps: [f64; 2],
    looks: [u32; 2],
}

fn watch(story: &Story, mut pace: Pace) -> Estimate {
    let mut estimate = Estimate::default();
    let mut now = Span::ZERO;
    let mut last = None;
    loop {
        let next = pace.next(now);
        now += Span::from_micros(i64::try_from(next.wait.as_micros()).unwrap_or(i64::MAX));
        if now.as_micros() >= LENGTH {
            return estimate;
        }
        let Doing { waiting, working } = story.at(now.as_micros());
        if let Some(last) = last.replace(now.as_micros()) {
            let gap = (now.as_micros() - last) as f64 / 1e6;
            let span = next.span.as_secs_f64();
            for (n, sessions) in [waiting, working].into_iter().enumerate() {
                estimate.ours[n] += span * f64::from(sessions);
                estimate.by_gaps[n] += gap * f64::from(sessions);
            }
            estimate.looks[usize::from(next.reason == PaceReason::Busy)] += 1;
        }
        // In a storm looks are dear, so the budget has its part in the pace.
        let cost = Span::from_micros(400 + 250 * i64::from(waiting));
        pace.spent(now, cost, waiting > 0);
    }
}

/// Gives how many standard errors the mean of some estimates lies off the truth, and that error
/// as a share of the truth.
fn off(estimates: &[f64], truth: f64) -> (f64, f64) {
    let count = estimates.len() as f64;
    let mean = estimates.iter().sum::<f64>() / count;
    let squares: f64 = estimates.iter().map(|e| (e - mean).powi(2)).sum();
    let error = (squares / (count - 1.0) / count).sqrt();
    ((mean - truth) / error, error / truth)
}

/// Watches some stories many times at one cadence.
fn check(cadence: Cadence, budget: f64, gaps_are_biased: bool) {
    const WATCHERS: u64 = 400;
    for seed in 1..=4 {
        let story = Story::of(seed);
        let watchers = (0..WATCHERS).map(|n| watch(&story, Pace::new(cadence, n, budget)));
        let estimates: Vec<Estimate> = watchers.collect();
        let first = Pace::new(cadence, 0, budget).next(Span::ZERO).span;
        let truth = story.truth(first.as_micros());
        for (n, &truth) in truth.iter().enumerate() {
            let ours: Vec<f64> = estimates.iter().map(|e| e.ours[n]).collect();
            let (errors, share) = off(&ours, truth);
            assert!(
                errors.abs() < 4.0,
                "story {seed}, {n}: off by {errors} errors"
            );
            assert!(
                share < 0.02,
                "story {seed}, {n}: nothing is shown within {share}"
            );
        }
        if gaps_are_biased {
            let gaps: Vec<f64> = estimates.iter().map(|e| e.by_gaps[0]).collect();
            let (errors, _) = off(&gaps, truth[0]);
            assert!(
                errors > 6.0,
                "story {seed}: gaps are off by {errors} errors only"
            );
            let both = |e: &Estimate| e.looks.iter().all(|looks| *looks > 20);
            assert!(
                estimates.iter().all(both),
                "story {seed}: the pace does not change"
            );
        }
    }
}

#[test]
fn a_pace_by_need_estimates_what_happened_where_gaps_between_looks_do_not() {
    let need = Need {
        hold: Span::from_secs(1),
        ..Need::default()
    };
    check(Cadence::ByNeed(need), 1.0, true);
}

#[test]
fn a_budget_that_bites_in_the_storm_biases_nothing() {
    check(Cadence::ByNeed(Need::default()), 0.004, false);
}

#[test]
fn a_fixed_pace_estimates_what_happened() {
    check(Cadence::Fixed(4.0), 1.0, false);
}

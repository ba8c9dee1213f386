//! When to look next, and what time each look stands for.
//!
//! The instants are laid out ahead of the looks, each a random half to one and a
//! half periods after the one before, so that they cannot beat in time with the
//! workload. A look stands for the gap before it as it was drawn, never for how long
//! something happened to take: a stall of the server does not swell the sample that
//! follows it. Instants that went by meanwhile are counted as missed instead.
//!
//! ```text
//!  drawn    ├──┼─────┼────┼──┼─────┼────▶
//!  looked   ●  ●  ▒▒▒▒▒▒▒▒▒▒▒●     ●         two missed
//! ```
//!
//! The server's time is on a budget. While looks cost more than that on average the
//! period is stretched to what they may cost, at once; it shrinks again by halves, and
//! only when they would fit well. While somebody waits for a lock it stays so short that
//! the wait is seen, whatever that costs. The period changes with what looks cost before,
//! never with what the look saw that a gap leads to: no figure is biased by it.
//!
//! Pure arithmetic: the clock is handed in, and one seed and one cost give one layout.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::time::Span;

/// The share of time that the server may spend on being watched.
pub const BUDGET: f64 = 0.02;

/// The longest period that is stretched to.
const SLOWEST: Span = Span::from_secs(10);

/// … while somebody waits for a lock.
const SLOWEST_IN_WAITS: Span = Span::from_millis(500);

/// What looks cost is averaged over so many of them, or over [`SLOWEST`] where that is less:
/// one look that the server kept waiting for a processor says little.
const AVERAGED: f64 = 20.0;

/// The layout of looks over time.
#[derive(Debug)]
pub struct Pace {
    /// The period that was asked for.
    usual: Span,
    period: Span,
    budget: f64,
    /// What a look costs on average, in microseconds.
    cost: f64,
    rng: StdRng,
    /// When the last instant that was drawn is due, from the start.
    due: Span,
    begun: bool,
}

/// The next look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Next {
    /// How long to wait for it.
    pub wait: Duration,
    /// What it stands for.
    pub span: Span,
    /// Instants that went by since the last look.
    pub missed: u32,
    /// Whether it comes later than asked for, to stay within the budget.
    pub lowered: bool,
}

impl Pace {
    /// Lays out `hz` looks a second on average, between 0.01 and 1,000, fewer where they
    /// would cost the server more than the share `budget` of its time.
    #[must_use]
    pub fn new(hz: f64, seed: u64, budget: f64) -> Self {
        #[expect(clippy::cast_possible_truncation, reason = "between 1 ms and 100 s")]
        let period = (1e6 / hz.clamp(0.01, 1e3)) as i64;
        Self {
            usual: Span::from_micros(period),
            period: Span::from_micros(period),
            budget: budget.max(1e-6),
            // The first look is always dear; from nothing it counts for little.
            cost: 0.0,
            rng: StdRng::seed_from_u64(seed),
            due: Span::ZERO,
            begun: false,
        }
    }

    /// Gives the next look, `elapsed` after the start.
    ///
    /// The first is due at once. An instant that went by less than half a period ago
    /// is still taken, late.
    pub fn next(&mut self, elapsed: Span) -> Next {
        let half = self.period.as_micros() / 2;
        let mut missed = 0;
        loop {
            let gap = self.draw();
            if self.begun {
                self.due += gap;
            } else {
                self.begun = true;
                self.due = elapsed;
            }
            let ahead = self.due.as_micros() - elapsed.as_micros();
            if ahead > -half {
                return Next {
                    wait: Duration::from_micros(u64::try_from(ahead).unwrap_or(0)),
                    span: gap,
                    missed,
                    lowered: self.period > self.usual,
                };
            }
            missed += 1;
        }
    }

    /// Tells how many instants, at the present pace, lie between two looks so far apart.
    #[must_use]
    pub fn due_in(&self, gap: Span) -> u32 {
        let (gap, period) = (gap.as_micros(), self.period.as_micros());
        let rounded = (gap.saturating_add(period / 2) / period).saturating_sub(1);
        u32::try_from(rounded.max(0)).unwrap_or(u32::MAX)
    }

    /// Takes note of what a look cost the server, and whether it saw somebody wait for a lock.
    pub fn spent(&mut self, server: Span, waits: bool) {
        let server = server.as_micros() as f64;
        let weight = (self.period.as_secs_f64() / SLOWEST.as_secs_f64()).clamp(1.0 / AVERAGED, 1.0);
        self.cost += weight * (server - self.cost);
        let slowest = if waits { SLOWEST_IN_WAITS } else { SLOWEST };
        #[expect(
            clippy::cast_possible_truncation,
            reason = "a float beyond the range becomes its end"
        )]
        let fitting = Span::from_micros((self.cost / self.budget) as i64);
        let halved = Span::from_micros(self.period.as_micros() / 2);
        self.period = if fitting > self.period {
            fitting
        } else if fitting < halved {
            halved
        } else {
            self.period
        };
        self.period = self.period.min(slowest).max(self.usual);
    }

    fn draw(&mut self) -> Span {
        let period = self.period.as_micros();
        Span::from_micros(self.rng.random_range(period / 2..=period + period / 2))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at_ease(hz: f64, seed: u64) -> Pace {
        Pace::new(hz, seed, BUDGET)
    }

    /// Lets looks cost so many milliseconds and gives the spans that they stand for.
    fn paid(pace: &mut Pace, costs: &[i64], waits: bool) -> Vec<Span> {
        let mut now = Span::ZERO;
        let look = |cost: &i64| {
            let next = pace.next(now);
            let waited = i64::try_from(next.wait.as_micros()).unwrap_or(i64::MAX);
            now += Span::from_micros(waited) + Span::from_millis(*cost);
            pace.spent(Span::from_millis(*cost), waits);
            next.span
        };
        costs.iter().map(look).collect()
    }

    fn looks(pace: &mut Pace, count: usize, stall: impl Fn(usize) -> i64) -> (Vec<Next>, Span) {
        let mut now = Span::ZERO;
        let looks = (0..count)
            .map(|n| {
                let next = pace.next(now);
                let waited = i64::try_from(next.wait.as_micros()).unwrap_or(i64::MAX);
                now += Span::from_micros(waited + stall(n));
                next
            })
            .collect();
        (looks, now)
    }

    #[test]
    fn the_first_look_is_at_once() {
        assert_eq!(
            at_ease(1.0, 7).next(Span::from_millis(30)).wait,
            Duration::ZERO
        );
    }

    #[test]
    fn gaps_lie_between_half_and_one_and_a_half_periods_and_average_to_one() {
        let (looks, _) = looks(&mut at_ease(10.0, 1), 5_000, |_| 2_000);
        for look in &looks {
            assert!((50_000..=150_000).contains(&look.span.as_micros()));
            assert_eq!(look.missed, 0);
        }
        let mean = looks.iter().map(|look| look.span).sum::<Span>().as_micros() / 5_000;
        assert!((99_000..=101_000).contains(&mean), "{mean}");
    }

    #[test]
    fn what_the_looks_stand_for_adds_up_to_the_time_watched() {
        let (looks, now) = looks(&mut at_ease(10.0, 2), 1_000, |_| 0);
        let stood: Span = looks[1..].iter().map(|look| look.span).sum();
        assert_eq!(stood, now);
    }

    #[test]
    fn a_stall_is_counted_and_not_stretched_over() {
        let stall = |n| if n == 10 { 1_000_000 } else { 0 };
        let (calm, _) = looks(&mut at_ease(10.0, 3), 60, |_| 0);
        let (looks, _) = looks(&mut at_ease(10.0, 3), 20, stall);
        // One seed draws the same instants: those long past when the stall ended were missed.
        let mut after = Span::ZERO;
        let past = calm[11..].iter().take_while(|look| {
            after += look.span;
            after <= Span::from_millis(950)
        });
        let past = past.count();
        assert!(past >= 6, "{past}");
        assert_eq!(looks[11].missed as usize, past);
        assert_eq!(looks[11].span, calm[11 + past].span);
        assert!(looks[11].span <= Span::from_millis(150));
        assert!(
            looks
                .iter()
                .enumerate()
                .all(|(n, look)| n == 11 || look.missed == 0)
        );
    }

    #[test]
    fn cheap_looks_keep_their_pace() {
        let mut pace = at_ease(10.0, 5);
        paid(&mut pace, &[1; 500], false);
        assert_eq!(pace.period, Span::from_millis(100));
        assert!(!pace.next(Span::ZERO).lowered);
    }

    #[test]
    fn dear_looks_become_rarer_until_they_fit_the_budget() {
        let costs = [20; 400];
        let spans = paid(&mut at_ease(10.0, 6), &costs, false);
        let watched = spans[100..].iter().copied().sum::<Span>().as_secs_f64();
        let share = 300.0 * 0.020 / watched;
        assert!((0.019..=0.021).contains(&share), "{share}");
    }

    #[test]
    fn a_lowered_pace_is_told_with_each_look() {
        let mut pace = at_ease(10.0, 7);
        assert!(!pace.next(Span::ZERO).lowered);
        pace.spent(Span::from_millis(200), false);
        assert!(pace.next(Span::ZERO).lowered);
    }

    #[test]
    fn waits_are_seen_twice_a_second_whatever_a_look_costs() {
        let spans = paid(&mut at_ease(10.0, 8), &[300; 200], true);
        let mean = spans[2..].iter().copied().sum::<Span>().as_micros() / 198;
        assert!((480_000..=520_000).contains(&mean), "{mean}");
        // A slow pace that was asked for stays as it is.
        let mut slow = at_ease(1.0, 8);
        slow.spent(Span::from_millis(300), true);
        assert_eq!(slow.period, Span::from_secs(1));
    }

    #[test]
    fn a_wait_ends_a_long_pause_with_the_look_that_sees_it() {
        let mut pace = at_ease(10.0, 9);
        pace.spent(Span::from_secs(5), false);
        assert!(pace.period > Span::from_secs(5));
        pace.spent(Span::from_secs(5), true);
        assert_eq!(pace.period, SLOWEST_IN_WAITS);
    }

    #[test]
    fn the_pace_recovers_by_halves_within_half_a_minute() {
        let mut pace = at_ease(10.0, 10);
        pace.spent(Span::from_secs(5), false);
        let spans = paid(&mut pace, &[1; 200], false);
        assert_eq!(pace.period, Span::from_millis(100));
        let recovery = spans
            .iter()
            .take_while(|span| **span > Span::from_millis(150));
        assert!(recovery.copied().sum::<Span>() < Span::from_secs(30));
    }

    #[test]
    fn a_cost_about_the_budget_does_not_make_the_pace_swing() {
        let mut pace = at_ease(10.0, 11);
        paid(&mut pace, &[4; 50], false);
        let costs: Vec<i64> = (0..400).map(|n| 3 + 2 * (n % 2)).collect();
        let settled = pace.period;
        paid(&mut pace, &costs, false);
        assert!(pace.period >= settled && pace.period < settled + settled);
    }

    #[test]
    fn between_looks_far_apart_lies_what_would_have_been_due() {
        let pace = at_ease(10.0, 12);
        let due = |millis| pace.due_in(Span::from_millis(millis));
        assert_eq!([0, 60, 100, 149, 151, 1_000].map(due), [0, 0, 0, 0, 1, 9]);
        assert_eq!(due(i64::MAX / 1_000), u32::MAX);
    }

    #[test]
    fn one_seed_gives_one_layout() {
        let layout = |seed| looks(&mut at_ease(10.0, seed), 50, |_| 0).0;
        assert_eq!(layout(4), layout(4));
        assert_ne!(layout(4), layout(5));
    }
}

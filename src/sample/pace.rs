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
//! Pure arithmetic: the clock is handed in, and one seed gives one layout.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::time::Span;

/// The layout of looks over time.
#[derive(Debug)]
pub struct Pace {
    period: Span,
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
}

impl Pace {
    /// Lays out `hz` looks a second on average, between 0.01 and 1,000.
    #[must_use]
    pub fn new(hz: f64, seed: u64) -> Self {
        #[expect(clippy::cast_possible_truncation, reason = "between 1 ms and 100 s")]
        let period = (1e6 / hz.clamp(0.01, 1e3)) as i64;
        Self {
            period: Span::from_micros(period),
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
                };
            }
            missed += 1;
        }
    }

    fn draw(&mut self) -> Span {
        let period = self.period.as_micros();
        Span::from_micros(self.rng.random_range(period / 2..=period + period / 2))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
            Pace::new(1.0, 7).next(Span::from_millis(30)).wait,
            Duration::ZERO
        );
    }

    #[test]
    fn gaps_lie_between_half_and_one_and_a_half_periods_and_average_to_one() {
        let (looks, _) = looks(&mut Pace::new(10.0, 1), 5_000, |_| 2_000);
        for look in &looks {
            assert!((50_000..=150_000).contains(&look.span.as_micros()));
            assert_eq!(look.missed, 0);
        }
        let mean = looks.iter().map(|look| look.span).sum::<Span>().as_micros() / 5_000;
        assert!((99_000..=101_000).contains(&mean), "{mean}");
    }

    #[test]
    fn what_the_looks_stand_for_adds_up_to_the_time_watched() {
        let (looks, now) = looks(&mut Pace::new(10.0, 2), 1_000, |_| 0);
        let stood: Span = looks[1..].iter().map(|look| look.span).sum();
        assert_eq!(stood, now);
    }

    #[test]
    fn a_stall_is_counted_and_not_stretched_over() {
        let stall = |n| if n == 10 { 1_000_000 } else { 0 };
        let (calm, _) = looks(&mut Pace::new(10.0, 3), 60, |_| 0);
        let (looks, _) = looks(&mut Pace::new(10.0, 3), 20, stall);
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
    fn one_seed_gives_one_layout() {
        let layout = |seed| looks(&mut Pace::new(10.0, seed), 50, |_| 0).0;
        assert_eq!(layout(4), layout(4));
        assert_ne!(layout(4), layout(5));
    }
}

//! When to look next, and what time each look stands for.
//!
//! Time is laid out in cells, and each cell has one look, anywhere in it with equal
//! chance. How long a cell is, is settled where it begins; the look in it stands for the
//! cell, whatever it sees and however long it takes. Looks cannot beat in time with the
//! workload so, and a stall of the server does not swell the sample that follows it:
//! cells that went by meanwhile are counted as missed instead.
//!
//! ```text
//!  cells    ├─────────┼─────────┼─┼─┼─┼─┼─┼─┼─┼─┼─────────┼────▶
//!  looks        ●          ○ ····●  ● ●  ▒▒▒▒▒▒▒●     ●            four missed
//!             calm     sees a wait                calm again
//! ```
//!
//! The pace follows what the looks see and cost, and no figure is biased by it: given all
//! that was seen before, what a cell's look sees times the cell's length is on average what
//! happened in the cell. That holds of any rule by which the next length is chosen, as long
//! as no cell is cut short or drawn out after its look. A gap between two looks, for which
//! the later one stands, does not have this property: the look that first sees a wait would
//! stand for a long gap, much of it before the wait, and the one that first misses it for a
//! short one.
//!
//! - By need, cells are long while nobody waits for a lock, and short from the cell on that
//!   follows a look that saw somebody wait, until none has for a while.
//! - Where a long cell has time left after such a look, further looks fall into the rest of
//!   it. They stand for no time.
//! - The server's time is on a budget. While looks cost more than that on average the cells
//!   are stretched to what they may cost, at once; they shrink again by halves, and only when
//!   they would fit well. While somebody waits for a lock they stay so short that the wait is
//!   seen, whatever that costs.
//!
//! Pure arithmetic: the clock is handed in, and one seed and one history give one layout.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::sample::{PaceReason, Tick};
use crate::time::{Span, Timestamp};

/// The share of time that the server may spend on being watched.
pub const BUDGET: f64 = 0.02;

/// The longest cell that is stretched to.
const SLOWEST: Span = Span::from_secs(10);

/// … while somebody waits for a lock.
const SLOWEST_IN_WAITS: Span = Span::from_millis(500);

/// What looks cost is averaged over so many of them, or over [`SLOWEST`] where that is less:
/// one look that the server kept waiting for a processor says little.
const AVERAGED: f64 = 20.0;

/// How often to look.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Cadence {
    /// So many looks a second on average, whatever they see.
    Fixed(f64),
    /// Seldom while nobody waits for a lock, often as soon as somebody does.
    ByNeed(Need),
}

/// What [`Cadence::ByNeed`] goes by.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Need {
    /// Looks a second while nobody waits for a lock.
    pub quiet: f64,
    /// Looks a second while somebody does: two at least, and no fewer than `quiet`.
    pub busy: f64,
    /// For so long after the last look that saw somebody wait, they stay frequent.
    pub hold: Span,
}

impl Default for Need {
    fn default() -> Self {
        Self {
            quiet: 1.0,
            busy: 10.0,
            hold: Span::from_secs(10),
        }
    }
}

/// The layout of looks over time.
#[derive(Debug)]
pub struct Pace {
    cadence: Cadence,
    budget: f64,
    /// What a look costs on average, in microseconds.
    cost: f64,
    /// The shortest cell that the budget allows.
    floor: Span,
    /// Whether the last look saw somebody wait for a lock.
    waits: bool,
    /// Until when looks stay frequent without a wait, from the start.
    busy_until: Span,
    is_busy: bool,
    rng: StdRng,
    /// Where the cell of the last look ends, from the start.
    end: Span,
    begun: bool,
}

/// The next look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Next {
    /// How long to wait for it.
    pub wait: Duration,
    /// What it stands for: its cell, or no time.
    pub span: Span,
    /// Where that begins, from the start.
    pub from: Span,
    /// How long cells are now.
    pub period: Span,
    /// Why they are so long.
    pub reason: PaceReason,
    /// Cells that went by since the last look.
    pub missed: u32,
}

impl Pace {
    /// Lays out looks, fewer where they would cost the server more than the share `budget` of
    /// its time.
    #[must_use]
    pub fn new(cadence: Cadence, seed: u64, budget: f64) -> Self {
        Self {
            cadence,
            budget: budget.max(1e-6),
            // The first look is always dear; from nothing it counts for little.
            cost: 0.0,
            floor: Span::ZERO,
            waits: false,
            busy_until: Span::ZERO,
            is_busy: false,
            rng: StdRng::seed_from_u64(seed),
            end: Span::ZERO,
            begun: false,
        }
    }

    /// Gives the next look, `elapsed` after the start.
    ///
    /// The first is at once. One that was due less than half a cell ago is still taken, late.
    pub fn next(&mut self, elapsed: Span) -> Next {
        let (period, reason) = self.period();
        let look = |wait: i64, span, from, missed| Next {
            wait: Duration::from_micros(u64::try_from(wait).unwrap_or(0)),
            span,
            from,
            period,
            reason,
            missed,
        };
        let micros = period.as_micros();
        if !self.begun {
            self.begun = true;
            self.end = elapsed + period;
            return look(0, period, elapsed, 0);
        }
        if self.waits {
            let between = self.rng.random_range(micros / 2..=micros + micros / 2);
            if elapsed.as_micros() + between < self.end.as_micros() - micros / 2 {
                return look(between, Span::ZERO, elapsed + Span::from_micros(between), 0);
            }
        }
        let mut missed = 0;
        loop {
            let place = self.rng.random_range(0..micros);
            let ahead = self.end.as_micros() + place - elapsed.as_micros();
            let from = self.end;
            self.end += period;
            if ahead > -micros / 2 {
                return look(ahead, period, from, missed);
            }
            missed += 1;
        }
    }

    /// Tells how many looks would have been due between the last one of a watch that ended and
    /// one at `now`: at the pace that it had as long as that would have been held, and then at the
    /// present one.
    #[must_use]
    pub fn due_since(&self, last: &Tick, now: Timestamp) -> u32 {
        let own = self.period().0;
        let left = Some(last.period).filter(|period| *period > Span::ZERO);
        let hold = match self.cadence {
            Cadence::ByNeed(need) => need.hold,
            Cadence::Fixed(_) => Need::default().hold,
        };
        let gap = now.since(last.at);
        let held = gap.min(hold);
        let due = held.as_secs_f64() / left.unwrap_or(own).as_secs_f64()
            + gap.less(held).as_secs_f64() / own.as_secs_f64();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a float beyond the range becomes its end"
        )]
        let between = (due.round() - 1.0) as u32;
        between
    }

    /// Takes note of a look that ended `elapsed` after the start: what it cost the server, and
    /// whether it saw somebody wait for a lock.
    pub fn spent(&mut self, elapsed: Span, server: Span, waits: bool) {
        let (period, _) = self.period();
        let server = server.as_micros() as f64;
        let weight = (period.as_secs_f64() / SLOWEST.as_secs_f64()).clamp(1.0 / AVERAGED, 1.0);
        self.cost += weight * (server - self.cost);
        #[expect(
            clippy::cast_possible_truncation,
            reason = "a float beyond the range becomes its end"
        )]
        let fitting = Span::from_micros((self.cost / self.budget) as i64).min(SLOWEST);
        let halved = Span::from_micros(self.floor.as_micros() / 2);
        self.floor = if fitting > self.floor {
            fitting
        } else if fitting < halved {
            halved
        } else {
            self.floor
        };
        self.waits = waits;
        if let (Cadence::ByNeed(need), true) = (&self.cadence, waits) {
            self.busy_until = elapsed + need.hold;
        }
        self.is_busy = waits || elapsed < self.busy_until;
    }

    /// Gives how long the next cell is, and why.
    fn period(&self) -> (Span, PaceReason) {
        let (wanted, reason) = match self.cadence {
            Cadence::Fixed(hz) => (period(hz), PaceReason::Fixed),
            Cadence::ByNeed(Need { quiet, busy, .. }) if self.is_busy => {
                let often = period(busy.max(quiet)).min(SLOWEST_IN_WAITS);
                (often, PaceReason::Busy)
            }
            Cadence::ByNeed(need) => (period(need.quiet), PaceReason::Quiet),
        };
        let allowed = if self.waits {
            self.floor.min(SLOWEST_IN_WAITS)
        } else {
            self.floor
        };
        if allowed > wanted {
            (allowed, PaceReason::Budget)
        } else {
            (wanted, reason)
        }
    }
}

/// Gives the length of the cells of so many looks a second, between 0.01 and 1,000.
fn period(hz: f64) -> Span {
    #[expect(clippy::cast_possible_truncation, reason = "between 1 ms and 100 s")]
    let micros = (1e6 / hz.clamp(0.01, 1e3)) as i64;
    Span::from_micros(micros)
}

#[cfg(test)]
#[path = "pace_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "pace_bias_tests.rs"]
mod bias_tests;

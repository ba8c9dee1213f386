//! Whether the server's clock went as clocks go.
//!
//! An answer was made between its question and its arrival, by a clock here that only goes
//! forward. So the server's clock must have gone on, from one answer to the next, by no less than
//! from the first arrival to the second question, and by no more than from the first question to
//! the second arrival. Where it did not, it was set, or this machine slept.
//!
//! Only that a step happened is told: no instant is corrected, and no span is taken from it. What
//! the server's clock says of when an answer was made, within those bounds, tells how late a look
//! was that the server kept waiting.

use crate::time::{Span, Timestamp};

/// Two good clocks drift apart by so much in all …
const TOLERANCE: i64 = 100_000;

/// … and by one part in so many, while one of them is being slewed.
const SLEW: i64 = 1_000;

/// The server's clock beside one of ours.
#[derive(Debug, Default)]
pub(super) struct ServerClock {
    last: Option<Answer>,
    made: Span,
}

/// An answer: when it was asked for and when it came, by the clock here, and what it said.
#[derive(Clone, Copy, Debug)]
pub(super) struct Answer {
    pub(super) asked: Span,
    pub(super) came: Span,
    pub(super) at: Timestamp,
}

impl ServerClock {
    /// Tells whether the server's clock was set since the last answer.
    pub(super) fn stepped(&mut self, now: Answer) -> bool {
        let Some(last) = self.last.replace(now) else {
            self.made = now.asked;
            return false;
        };
        let went = now.at.as_micros().saturating_sub(last.at.as_micros());
        let made = self.made + Span::from_micros(went);
        self.made = made.max(now.asked).min(now.came);
        let least = now.asked.less(last.came).as_micros();
        let most = now.came.less(last.asked).as_micros();
        let tolerance = TOLERANCE + most / SLEW;
        went < least - tolerance || went > most + tolerance
    }

    /// Tells when the last answer was made, by the clock here: as long after the one before as the
    /// server's clock says, and between its question and its arrival whatever that says.
    pub(super) const fn made(&self) -> Span {
        self.made
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Asks each second, with an answer that takes `takes` milliseconds to come, at instants of
    /// the server's clock in milliseconds; gives which of the answers came after a step.
    fn check(takes: i64, said: &[i64], steps: &[usize]) {
        let mut clock = ServerClock::default();
        let mut found = Vec::new();
        for (n, at) in said.iter().enumerate() {
            let asked = Span::from_secs(i64::try_from(n).unwrap_or(0));
            let answer = Answer {
                asked,
                came: asked + Span::from_millis(takes),
                at: Timestamp::from_micros(at * 1_000),
            };
            if clock.stepped(answer) {
                found.push(n);
            }
        }
        assert_eq!(found, steps);
    }

    #[test]
    fn a_clock_that_goes_on_did_not_step() {
        check(1, &[0, 1_000, 2_000, 3_000], &[]);
    }

    #[test]
    fn a_step_either_way_is_told_once() {
        check(1, &[0, 1_000, -5_000, -4_000, 90_000, 91_000], &[2, 4]);
    }

    #[test]
    fn a_clock_that_stands_still_was_set() {
        check(1, &[0, 1_000, 1_000], &[2]);
    }

    #[test]
    fn a_slow_network_is_no_step() {
        // Made at once the first time, at the last moment the second.
        check(900, &[0, 1_900, 2_000, 3_800], &[]);
    }

    #[test]
    fn a_clock_that_is_slewed_did_not_step() {
        let slewed: Vec<i64> = (0..100).map(|n| n * 1_000 + n / 2).collect();
        check(1, &slewed, &[]);
    }

    #[test]
    fn an_answer_that_was_held_up_on_its_way_here_was_made_before() {
        let answer = |asked: i64, came: i64, at: i64| Answer {
            asked: Span::from_millis(asked),
            came: Span::from_millis(came),
            at: Timestamp::from_micros(at * 1_000),
        };
        let mut clock = ServerClock::default();
        let mut made = |answer| {
            clock.stepped(answer);
            clock.made().as_micros() / 1_000
        };
        // At once, held up behind its making, held up before it, and on a clock that was set.
        assert_eq!(made(answer(0, 1, 0)), 0);
        assert_eq!(made(answer(100, 2_100, 100)), 100);
        assert_eq!(made(answer(2_200, 4_300, 4_299)), 4_299);
        assert_eq!(made(answer(4_400, 4_402, 90_000)), 4_402);
    }

    #[test]
    fn the_ends_of_time_are_survived() {
        check(1, &[0, i64::MAX / 1_000, i64::MIN / 1_000, 0], &[1, 2, 3]);
    }
}

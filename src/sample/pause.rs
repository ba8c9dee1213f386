//! How long not to ask again.
//!
//! Whoever refuses is asked half as often each time; whoever answers twice as often
//! again, up to the usual pace.

use std::time::Duration;

use tokio::time::Instant;

/// The shortest pause after a refusal.
const SHORTEST: Duration = Duration::from_secs(1);

/// The longest pause.
const LONGEST: Duration = Duration::from_mins(1);

/// A pause between questions of one kind.
#[derive(Debug)]
pub struct Pause {
    usual: Duration,
    length: Duration,
    until: Option<Instant>,
}

impl Pause {
    /// Allows a question at once, and then each `usual` after the answer to the one before.
    #[must_use]
    pub const fn new(usual: Duration) -> Self {
        Self {
            usual,
            length: usual,
            until: None,
        }
    }

    /// Tells whether it is time to ask.
    #[must_use]
    pub fn is_over(&self, now: Instant) -> bool {
        self.until.is_none_or(|until| until <= now)
    }

    /// Takes note of an answer.
    pub fn answered(&mut self, now: Instant) {
        self.length = (self.length / 2).max(self.usual);
        self.until = Some(now + self.length);
    }

    /// Takes note of a refusal, or of an answer that never came.
    pub fn refused(&mut self, now: Instant) {
        self.length = (self.length * 2).clamp(SHORTEST, LONGEST);
        self.until = Some(now + self.length);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Tells for how many seconds it is not time to ask.
    fn rest(pause: &Pause, now: Instant) -> Option<u64> {
        (0..=120).find(|seconds| pause.is_over(now + Duration::from_secs(*seconds)))
    }

    #[test]
    fn the_first_question_waits_for_nothing() {
        assert!(Pause::new(Duration::from_secs(2)).is_over(Instant::now()));
    }

    #[test]
    fn each_refusal_doubles_the_pause_and_each_answer_halves_it() {
        let now = Instant::now();
        let mut pause = Pause::new(Duration::from_secs(2));
        let mut told = Vec::new();
        for refuses in [true, true, true, false, false, false] {
            if refuses {
                pause.refused(now);
            } else {
                pause.answered(now);
            }
            told.extend(rest(&pause, now));
        }
        assert_eq!(told, [4, 8, 16, 8, 4, 2]);
    }

    #[test]
    fn who_may_be_asked_at_any_time_rests_after_refusals_too_but_never_over_a_minute() {
        let now = Instant::now();
        let mut pause = Pause::new(Duration::ZERO);
        pause.answered(now);
        assert_eq!(rest(&pause, now), Some(0));
        pause.refused(now);
        assert_eq!(rest(&pause, now), Some(1));
        (0..20).for_each(|_| pause.refused(now));
        assert_eq!(rest(&pause, now), Some(60));
    }
}

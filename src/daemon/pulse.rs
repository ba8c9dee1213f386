//! Whether a loop still goes round.
//!
//! Before each thing that takes time, the loop says by when it will be back at the latest. A
//! server that hangs is no loop that hangs: whoever asks it gives up in time, and says so.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The sign of life of one loop.
#[derive(Clone, Debug)]
pub(super) struct Pulse(Arc<Mutex<Instant>>);

impl Pulse {
    /// Begins with so much time until the first sign.
    pub(super) fn new(within: Duration) -> Self {
        Self(Arc::new(Mutex::new(Instant::now() + within)))
    }

    /// Promises to be back within so much time.
    pub(super) fn back_within(&self, time: Duration) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now() + time;
    }

    /// Tells whether the last promise is kept.
    pub(super) fn beats(&self) -> bool {
        Instant::now() < *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_promise_that_is_not_kept_shows() {
        let pulse = Pulse::new(Duration::from_mins(1));
        assert!(pulse.beats());
        pulse.back_within(Duration::ZERO);
        assert!(!pulse.beats());
    }
}

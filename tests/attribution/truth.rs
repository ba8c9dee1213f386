//! What happened in a simulated run, exactly, and the figures that follow from it.

use pgjam::time::Timestamp;

use crate::simulator::{Micros, START};

/// A stretch of one session's time inside a statement.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stretch {
    pub(crate) worker: usize,
    pub(crate) text: &'static str,
    pub(crate) from: Micros,
    pub(crate) to: Micros,
    /// The system of the holder, for a wait.
    pub(crate) root: Option<usize>,
}

/// A statement that was run to its end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Call {
    pub(crate) worker: usize,
    pub(crate) text: &'static str,
    pub(crate) from: Micros,
    pub(crate) to: Micros,
}

/// Everything that happened, exactly.
#[derive(Clone, Debug, Default)]
pub(crate) struct Truth {
    pub(crate) stretches: Vec<Stretch>,
    pub(crate) completed: Vec<Call>,
    pub(crate) names: Vec<&'static str>,
}

impl Truth {
    fn seconds(&self, window: [Timestamp; 2], keep: impl Fn(&Stretch) -> bool) -> f64 {
        let [from, to] = window.map(|at| at.as_micros() - START.as_micros());
        let overlap = |s: &Stretch| (s.to.min(to) - s.from.max(from)).max(0);
        let kept = self.stretches.iter().filter(|s| keep(s));
        kept.map(overlap).sum::<Micros>() as f64 / 1e6
    }

    /// Counts the completed calls of a statement.
    pub(crate) fn calls(&self, text: &str, window: [Timestamp; 2]) -> f64 {
        self.completed_in(text, window).count() as f64
    }

    fn completed_in(&self, text: &str, window: [Timestamp; 2]) -> impl Iterator<Item = &Call> {
        let [from, to] = window.map(|at| at.as_micros() - START.as_micros());
        let within = move |call: &&Call| call.text == text && (from..to).contains(&call.to);
        self.completed.iter().filter(within)
    }

    /// Gives how many milliseconds the slowest `share` of a statement's calls take at least, as it
    /// was or had nobody waited for a system.
    pub(crate) fn slowest_ms(
        &self,
        text: &str,
        share: f64,
        without: Option<&str>,
        window: [Timestamp; 2],
    ) -> f64 {
        let waits = |s: &&Stretch| s.root.map(|root| self.names[root]) == without;
        let waits: Vec<&Stretch> = self
            .stretches
            .iter()
            .filter(|s| s.root.is_some() && s.text == text)
            .filter(waits)
            .collect();
        let took = |call: &Call| {
            let own = |s: &&&Stretch| s.worker == call.worker;
            let lost = waits.iter().filter(own);
            let lost = lost.map(|s| (s.to.min(call.to) - s.from.max(call.from)).max(0));
            call.to - call.from - lost.sum::<Micros>()
        };
        let mut took: Vec<Micros> = self.completed_in(text, window).map(took).collect();
        took.sort_unstable();
        let beyond = (share * took.len() as f64).ceil();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a count"
        )]
        let place = took.len().saturating_sub(beyond as usize);
        took[place] as f64 / 1e3
    }

    /// Gives a statement's mean in milliseconds per call.
    pub(crate) fn mean_ms(&self, text: &str, window: [Timestamp; 2]) -> f64 {
        self.seconds(window, |s| s.text == text) / self.calls(text, window) * 1e3
    }

    /// Gives the part of that mean that was lost waiting for a system.
    pub(crate) fn lost_ms(&self, text: &str, to: &str, window: [Timestamp; 2]) -> f64 {
        self.lost_seconds(text, to, window) / self.calls(text, window) * 1e3
    }

    /// Gives the seconds that a statement lost waiting for a system.
    pub(crate) fn lost_seconds(&self, text: &str, to: &str, window: [Timestamp; 2]) -> f64 {
        self.seconds(window, |s| {
            s.text == text && s.root.is_some_and(|root| self.names[root] == to)
        })
    }
}

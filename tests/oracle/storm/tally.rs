//! What all frozen states of a version came to.

use std::collections::HashSet;
use std::fmt;

use pgjam::pg::Pid;
use pgjam::sample::Snapshot;
use pgjam::time::Timestamp;

use crate::comparison::{Comparison, Doubt};

/// Sums over states.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) states: usize,
    /// Waits, each counted in every state that it lasts through.
    pub(crate) waits: usize,
    /// Waits, each counted once.
    distinct: HashSet<(Option<Pid>, Option<Timestamp>)>,
    /// States in which a queue had been put in another order, by the log.
    rearranged: usize,
    pub(crate) hard: usize,
    pub(crate) hard_wrong: usize,
    pub(crate) soft: usize,
    soft_sure: usize,
    near_ties: usize,
    unknown: usize,
    /// Called sure and wrong, after the server had rearranged a queue.
    sure_rearranged: usize,
    /// Called sure and wrong without any excuse.
    pub(crate) sure_wrong: usize,
    pub(crate) roots_wrong: usize,
    /// The differences in words, with what led to them.
    pub(crate) faults: Vec<String>,
}

impl Tally {
    pub(crate) fn add(&mut self, snapshot: &Snapshot, comparison: Comparison, rearranged: bool) {
        self.states += 1;
        self.waits += comparison.waits;
        let waiting = snapshot.locks.iter().filter(|lock| !lock.granted);
        self.distinct
            .extend(waiting.map(|lock| (lock.pid, lock.waitstart)));
        self.rearranged += usize::from(rearranged);
        self.hard += comparison.hard;
        self.hard_wrong += comparison.hard_wrong;
        self.soft += comparison.soft;
        self.soft_sure += comparison.soft_sure;
        self.roots_wrong += comparison.roots_wrong;
        for doubt in comparison.soft_wrong {
            match doubt {
                Doubt::NearTie => self.near_ties += 1,
                Doubt::Unknown => self.unknown += 1,
                Doubt::None if rearranged => self.sure_rearranged += 1,
                Doubt::None => self.sure_wrong += 1,
            }
        }
        let whether = if rearranged { " (rearranged)" } else { "" };
        let faults = comparison.faults.into_iter();
        self.faults
            .extend(faults.map(|fault| format!("state {}{whether}: {fault}", self.states)));
    }

    /// Counts the soft edges that only one side has.
    pub(crate) fn soft_wrong(&self) -> usize {
        self.near_ties + self.unknown + self.sure_rearranged + self.sure_wrong
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let equal = 100.0 * (1.0 - self.soft_wrong() as f64 / self.soft.max(1) as f64);
        write!(
            f,
            "{} frozen states ({} rearranged), {} waits ({} distinct); \
             hard edges {}, wrong {}; wrong roots {}; \
             soft edges {} ({:.0} % sure), {equal:.2} % equal, different: \
             {} near ties, {} unknown, {} sure but rearranged, {} sure",
            self.states,
            self.rearranged,
            self.waits,
            self.distinct.len(),
            self.hard,
            self.hard_wrong,
            self.roots_wrong,
            self.soft,
            100.0 * self.soft_sure as f64 / self.soft.max(1) as f64,
            self.near_ties,
            self.unknown,
            self.sure_rearranged,
            self.sure_wrong,
        )
    }
}

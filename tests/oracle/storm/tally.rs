//! What frozen states came to.

use std::collections::HashSet;
use std::fmt;

use pgjam::pg::Pid;
use pgjam::sample::Snapshot;
use pgjam::time::Timestamp;

use crate::comparison::{Comparison, Doubt};

/// Sums over the states of a version, or of all.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    states: usize,
    /// States in which a queue had been put in another order, by the log.
    rearranged: usize,
    /// Waits, each counted in every state that it lasts through.
    pub(crate) waits: usize,
    /// Waits, each counted once.
    distinct: usize,
    known: HashSet<(Option<Pid>, Option<Timestamp>)>,
    ours_alone: usize,
    hard: usize,
    pub(crate) hard_wrong: usize,
    pub(crate) roots_wrong: usize,
    cycles_wrong: usize,
    /// Soft edges in states without a rearranged queue, and in the others.
    calm: Soft,
    stirred: Soft,
    /// The differences in words.
    pub(crate) faults: Vec<String>,
}

/// Soft edges that either side has, and those that only one of them has.
#[derive(Clone, Copy, Debug, Default)]
struct Soft {
    edges: usize,
    /// Those that we called sure.
    sure: usize,
    near_ties: usize,
    unknown: usize,
    /// Called sure, and wrong.
    sure_wrong: usize,
}

impl Tally {
    pub(crate) fn add(&mut self, snapshot: &Snapshot, comparison: Comparison, rearranged: bool) {
        self.states += 1;
        self.rearranged += usize::from(rearranged);
        self.waits += comparison.waits;
        let waiting = snapshot.locks.iter().filter(|lock| !lock.granted);
        self.known
            .extend(waiting.map(|lock| (lock.pid, lock.waitstart)));
        self.distinct = self.known.len();
        self.ours_alone += comparison.ours_alone;
        self.hard += comparison.hard;
        self.hard_wrong += comparison.hard_wrong;
        self.roots_wrong += comparison.roots_wrong;
        self.cycles_wrong += comparison.cycles_wrong;
        let soft = if rearranged {
            &mut self.stirred
        } else {
            &mut self.calm
        };
        soft.edges += comparison.soft;
        soft.sure += comparison.soft_sure;
        for doubt in comparison.soft_wrong {
            match doubt {
                Doubt::NearTie => soft.near_ties += 1,
                Doubt::Unknown => soft.unknown += 1,
                Doubt::None => soft.sure_wrong += 1,
            }
        }
        let whether = if rearranged { " (rearranged)" } else { "" };
        let faults = comparison.faults.into_iter();
        self.faults
            .extend(faults.map(|fault| format!("state {}{whether}: {fault}", self.states)));
    }

    /// Takes up what another one has come to.
    pub(crate) fn join(&mut self, other: &Self) {
        for (sum, more) in [
            (&mut self.states, other.states),
            (&mut self.rearranged, other.rearranged),
            (&mut self.waits, other.waits),
            (&mut self.distinct, other.distinct),
            (&mut self.ours_alone, other.ours_alone),
            (&mut self.hard, other.hard),
            (&mut self.hard_wrong, other.hard_wrong),
            (&mut self.roots_wrong, other.roots_wrong),
            (&mut self.cycles_wrong, other.cycles_wrong),
        ] {
            *sum += more;
        }
        self.calm = self.calm.and(other.calm);
        self.stirred = self.stirred.and(other.stirred);
    }

    /// Checks what has to hold of every version.
    #[track_caller]
    pub(crate) fn holds(&self) {
        let faults = || self.faults.join("\n");
        assert_eq!(self.ours_alone, 0, "waits of ours:\n{}", faults());
        assert_eq!(self.hard_wrong, 0, "wrong hard edges:\n{}", faults());
        assert_eq!(self.roots_wrong, 0, "wrong roots:\n{}", faults());
        assert_eq!(self.calm.sure_wrong, 0, "called sure:\n{}", faults());
    }

    /// Checks what has to hold of all versions together, where there are enough waits to tell.
    #[track_caller]
    pub(crate) fn holds_in_all(&self) {
        if self.waits >= ENOUGH {
            let all = self.calm.and(self.stirred);
            assert!(self.calm.equal() >= 0.998, "too many soft edges differ");
            // Who has left a rearranged queue is not seen any more, and one wrong place in it
            // counts in each state that follows: here one run in a few falls below 99.8 %.
            assert!(all.equal() >= 0.995, "too many soft edges differ");
        }
    }
}

/// One place in a queue that is wrong counts in each of the states that follow, so of a few
/// hundred waits the share of equal soft edges tells little.
const ENOUGH: usize = 20_000;

impl Soft {
    fn and(self, other: Self) -> Self {
        Self {
            edges: self.edges + other.edges,
            sure: self.sure + other.sure,
            near_ties: self.near_ties + other.near_ties,
            unknown: self.unknown + other.unknown,
            sure_wrong: self.sure_wrong + other.sure_wrong,
        }
    }

    fn equal(self) -> f64 {
        1.0 - self.wrong() as f64 / self.edges.max(1) as f64
    }

    fn wrong(self) -> usize {
        self.near_ties + self.unknown + self.sure_wrong
    }
}

impl fmt::Display for Soft {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let percent = |part: usize| 100.0 * part as f64 / self.edges.max(1) as f64;
        write!(
            f,
            "{} ({:.0} % called sure), {:.2} % equal; different: {} near ties, {} unknown, {} called sure",
            self.edges,
            percent(self.sure),
            100.0 * self.equal(),
            self.near_ties,
            self.unknown,
            self.sure_wrong,
        )
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} waits ({} of them distinct) in {} frozen states",
            self.waits, self.distinct, self.states
        )?;
        writeln!(f, "  hard edges   {}, wrong {}", self.hard, self.hard_wrong)?;
        writeln!(f, "  wrong roots  {}", self.roots_wrong)?;
        writeln!(
            f,
            "  in a deadlock by one side alone  {}",
            self.cycles_wrong
        )?;
        write!(f, "  soft edges   {}", self.calm.and(self.stirred))?;
        if self.rearranged > 0 {
            let (states, soft) = (self.rearranged, self.stirred);
            write!(
                f,
                "\n    in the {states} states with a rearranged queue  {soft}"
            )?;
        }
        Ok(())
    }
}

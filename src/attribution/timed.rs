//! What the server itself timed, as a check on what the looks saw, and a help.
//!
//! A look that finds a session at work stands for all the time since the look before. Of a statement
//! that takes 5 ms twenty times a second ten looks a second show one session a second, and a minute's
//! mean is off by an eighth. `pg_stat_statements` times every execution, but not all of it: no
//! parsing or planning, where DDL is waited for, no commit, and nothing that was cancelled. So:
//!
//! ```text
//!  seconds of a victim =  in execution            +  elsewhere
//!                         counted, and as the          as the looks saw it
//!                         looks divide it over causes
//! ```
//! - What is in execution carries a query id. Waits for the log and for a standby are mostly a commit's;
//!   a statement that has much of them is left to the looks.
//! - Both figures are weighed by how far each may be off. Where they contradict each other, as they do
//!   for who is cancelled or has work deferred to the commit, the looks are believed alone.
//!
//! Nothing here does I/O or reads a clock, and nothing can fail.

use crate::attribution::cause::Class;
use crate::attribution::window::Window;
use crate::sample::Session;

/// By so much what is counted may be off: what began or ended between two looks at the counters, and
/// what is neither in execution nor seen.
const OFF: f64 = 0.05;
/// The figures contradict each other where they differ by so many standard errors.
const CONTRADICTS: f64 = 3.0;
/// Of a statement that is so much at what may be in execution or not nothing is said.
const MOST_OPEN: f64 = 0.1;

/// Where a session is in its statement, as far as what is counted goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// In execution, which the server times.
    Execution,
    /// Before it, or not known.
    Elsewhere,
    /// Perhaps in execution, and perhaps in the commit after it.
    Open,
}

impl Phase {
    /// Tells that of a session which spends its time on `class`; without the session, as far as that
    /// alone tells.
    pub(super) fn of(class: Class, session: Option<&Session>) -> Self {
        let is_open = match class {
            Class::Wal | Class::SyncReplication => true,
            // A table is locked when a statement is parsed, and by some in execution.
            Class::RelationLock | Class::DdlQueue | Class::ObjectLock => session.is_none(),
            _ => false,
        };
        match session {
            _ if is_open => Self::Open,
            Some(session) if session.query_id.is_none() => Self::Elsewhere,
            _ => Self::Execution,
        }
    }
}

/// Seconds of a victim in one block of time.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Seconds {
    /// All that the looks saw.
    pub(super) all: f64,
    /// What of it is in execution.
    pub(super) execution: f64,
    /// What of it may be.
    pub(super) open: f64,
}

impl Seconds {
    /// Puts seconds where they belong.
    pub(super) fn of(seconds: f64, phase: Phase) -> Self {
        let of = |its: Phase| if phase == its { seconds } else { 0.0 };
        Self {
            all: seconds,
            execution: of(Phase::Execution),
            open: of(Phase::Open),
        }
    }

    /// Adds up.
    pub(super) fn add(&mut self, more: Self) {
        self.all += more.all;
        self.execution += more.execution;
        self.open += more.open;
    }
}

/// How a victim's time in execution is told in one window.
#[derive(Debug, PartialEq)]
pub(super) struct Timed {
    /// The weight of what is counted against what the looks saw.
    weight: f64,
    /// Seconds in execution that were counted, for each block; not finite where that is not known.
    counted: Vec<f64>,
    /// Those that the looks saw.
    seen: Vec<f64>,
    /// The same in the whole window.
    all: f64,
    /// What one sighting stands for.
    gap: f64,
}

impl Timed {
    /// Weighs the seconds that were `counted` in each piece against those that the looks `saw`, of which
    /// one stands for `gap` seconds; none where little is known, or they contradict each other.
    pub(super) fn of(counted: &[f64], saw: &[Seconds], gap: f64, window: &Window) -> Option<Self> {
        let blocks = window.blocks.iter();
        let blocks: Vec<(f64, Seconds)> = blocks
            .map(|pieces| {
                let mut block = Seconds::default();
                saw[pieces.clone()].iter().for_each(|it| block.add(*it));
                (counted[pieces.clone()].iter().sum(), block)
            })
            .collect();
        let known = || blocks.iter().filter(|(counted, _)| counted.is_finite());
        let mut all = Seconds::default();
        known().for_each(|(_, block)| all.add(*block));
        let counted: f64 = known().map(|(counted, _)| counted).sum();
        if counted <= 0.0 || all.open > MOST_OPEN * all.all {
            return None;
        }
        // As many sightings as there are gaps in the seconds, by chance.
        let of_looks = gap * counted.midpoint(all.execution);
        let of_counted = (OFF * counted).powi(2);
        let off = (counted - all.execution).abs();
        if off > CONTRADICTS * (of_looks + of_counted).sqrt() {
            return None;
        }
        Some(Self {
            weight: of_looks / (of_looks + of_counted),
            counted: blocks.iter().map(|(counted, _)| *counted).collect(),
            seen: blocks.iter().map(|(_, block)| block.execution).collect(),
            all: all.execution,
            gap,
        })
    }

    /// Tells whether the looks saw what the executions did.
    pub(super) fn was_seen(&self) -> bool {
        self.all > 0.0
    }

    /// Gives what to add to the seconds of one cell in a block, of which the looks saw `seen` there in
    /// execution, and `all` in the whole window.
    ///
    /// What the executions of a block did is by the sightings of the block and one of the window's mean.
    pub(super) fn correction(&self, block: usize, seen: f64, all: f64) -> f64 {
        let counted = self.counted[block];
        if !counted.is_finite() {
            return 0.0;
        }
        let usual = if self.was_seen() { all / self.all } else { 0.0 };
        let share = (seen + self.gap * usual) / (self.seen[block] + self.gap);
        self.weight * (counted * share - seen)
    }

    /// Gives the seconds of a block of which nobody saw what they were spent on.
    pub(super) fn unseen(&self, block: usize) -> f64 {
        let counted = self.counted[block];
        if counted.is_finite() {
            self.weight * counted
        } else {
            0.0
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;
    use crate::time::Timestamp;

    const GAP: f64 = 0.1;

    fn window(blocks: usize) -> Window {
        Window {
            blocks: (0..blocks).map(|block| block..block + 1).collect(),
            from: Timestamp::default(),
            to: Timestamp::default(),
        }
    }

    fn in_execution(seconds: f64) -> Seconds {
        Seconds::of(seconds, Phase::Execution)
    }

    /// Tells by how much the cells of each block are corrected, of which the first cell is all.
    fn corrected(counted: &[f64], saw: &[f64]) -> Option<Vec<f64>> {
        let seconds: Vec<Seconds> = saw.iter().copied().map(in_execution).collect();
        let timed = Timed::of(counted, &seconds, GAP, &window(saw.len()))?;
        let all = saw.iter().sum();
        let blocks = saw.iter().enumerate();
        let correct = |(block, saw): (usize, &f64)| timed.correction(block, *saw, all);
        Some(blocks.map(correct).collect())
    }

    #[test]
    fn brief_executions_that_the_looks_saw_too_often_or_too_rarely_are_as_long_as_they_were_counted()
     {
        // Thirty calls of 1 ms a block: by chance none, three or one were seen.
        let corrections = corrected(&[0.03; 3], &[0.0, 0.3, 0.1]).unwrap();
        let told: f64 = 0.4 + corrections.iter().sum::<f64>();
        assert!((told - 0.09).abs() < 0.01, "{told}");
    }

    #[test]
    fn what_the_looks_saw_often_is_hardly_moved() {
        let corrections = corrected(&[10.0; 4], &[10.4; 4]).unwrap();
        assert!(corrections.iter().all(|by| (-0.4..0.0).contains(by)));
    }

    #[test]
    fn the_cells_of_a_block_share_what_was_counted_as_the_looks_saw_them() {
        let saw = [[0.3, 0.1], [0.0, 0.0]];
        let sums: Vec<Seconds> = saw
            .iter()
            .map(|cells| in_execution(cells.iter().sum()))
            .collect();
        let timed = Timed::of(&[0.5, 0.5], &sums, GAP, &window(2)).unwrap();
        let told = |block: usize, cell: usize| {
            let all = saw.iter().map(|cells| cells[cell]).sum();
            saw[block][cell] + timed.correction(block, saw[block][cell], all)
        };
        for (block, saw) in sums.iter().enumerate() {
            let sum = told(block, 0) + told(block, 1);
            let expected = timed.weight * 0.5 + (1.0 - timed.weight) * saw.execution;
            assert!((sum - expected).abs() < 1e-12, "{sum} of {expected}");
        }
        // Nothing was seen in the second: the window's mean stands for it.
        assert!((told(1, 0) / told(1, 1) - 3.0).abs() < 1e-9);
    }

    #[test]
    fn figures_that_contradict_each_other_leave_it_to_the_looks() {
        // Cancelled statements are seen, and counted by nobody.
        assert_eq!(corrected(&[1.0; 4], &[4.0; 4]), None);
        assert_eq!(corrected(&[4.0; 4], &[1.0; 4]), None);
        assert_eq!(corrected(&[0.0; 4], &[0.1; 4]), None);
        assert_eq!(corrected(&[f64::NAN; 4], &[0.1; 4]), None);
    }

    #[test]
    fn what_is_mostly_in_the_commit_is_left_to_the_looks() {
        let mut saw = [in_execution(1.0); 2];
        saw[0].add(Seconds::of(0.3, Phase::Open));
        assert_eq!(Timed::of(&[1.0; 2], &saw, GAP, &window(2)), None);
    }

    #[test]
    fn a_block_that_nobody_counted_is_by_the_looks() {
        let corrections = corrected(&[0.03, f64::NAN, 0.03, 0.03], &[0.1, 0.2, 0.0, 0.1]).unwrap();
        assert!(corrections[1].abs() < 1e-12 && corrections[0] < 0.0);
    }
}

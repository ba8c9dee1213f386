//! Resources that nobody holds: processors, the disk, the write-ahead log, lightweight locks.
//!
//! No edge leads from who waits for them to who is in the way, so what grew is *apportioned* to the
//! systems by what each added: for reads and for the log what the server counts, for the rest time at
//! work. Who does as much as before and takes longer added nothing.
//!
//! - A statement that takes more of its own time because it does more (blocks or rows a call) is
//!   slowed down by nobody. A plan that changed at the moment of an arrival accuses no arrival.
//! - Where it does the same and takes half as long again, while much more wants to run than did and
//!   others that do the same as before are slower too, the processors are what it waits for. How
//!   many the server has it does not tell, and alone a statement may have reasons that nothing counts.
//! - What is apportioned is never more than *supported*.

use std::collections::BTreeMap;

use crate::attribution::cause::{Class, InTheWay};
use crate::attribution::charge::{SystemId, VictimKey};
use crate::attribution::growth::{Comparison, GrowthPart, Ledger};
use crate::attribution::usage::{Usage, Work, seconds};
use crate::attribution::window::Window;
use crate::names::Statements;

/// A call does more where blocks or rows grew by so much …
const MORE: f64 = 1.5;
/// … and by so many.
const MORE_BLOCKS: f64 = 2.0;
/// The same work that takes so much longer is slowed down.
const SLOWED: f64 = 1.5;
/// … and by so much among those it is held against, …
const SLOWED_TOO: f64 = 1.25;
/// … of which each was seen at work for so many seconds, before and after.
const SEEN: f64 = 0.5;
/// Less than so many sessions more at work saturate no processor.
const SATURATES: f64 = 0.5;
/// The use of what else nobody holds has to grow by this much of what it was.
const MORE_USE: f64 = 0.5;
/// A statement with so many sessions is at work, whether or not a call of it ended.
const A_LITTLE: f64 = 0.05;
/// Who brought so much of what was added is named …
const MOST: f64 = 0.5;
/// … if it is so many times what the next one brought.
const CLEARLY: f64 = 2.0;

/// What each system added to the use of what nobody holds, from one window to the next.
#[derive(Debug, Default)]
pub(super) struct Added {
    classes: BTreeMap<Class, Use>,
    /// Statements that do the same per call as before: their seconds at work before, and how many
    /// times longer a call is at work.
    controls: BTreeMap<u32, (f64, f64)>,
}

/// The use of one resource: blocks or bytes a second where the server counts them, else sessions.
#[derive(Debug, Default)]
struct Use {
    before: f64,
    /// What each system added with each statement; less than before is negative.
    added: BTreeMap<(Option<SystemId>, u32), f64>,
    /// Whether somebody used it whose use is not counted.
    is_partly_unknown: bool,
}

/// Sessions on average, before and after.
type Sessions = [f64; 2];

/// A statement's sessions, by the system that runs it and what they were seen at.
type Runners = BTreeMap<Option<SystemId>, BTreeMap<Class, Sessions>>;

/// Whose new load a growth is laid to.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Apportioned {
    pub(super) class: Class,
    /// The systems by what they added, the largest first; the shares sum to 1.
    pub(super) shares: Vec<(Option<SystemId>, f64)>,
    /// Who brought most of it, and the statement with which, where that is another system.
    pub(super) most: Option<(SystemId, u32)>,
}

impl Added {
    /// Finds what was added between two windows.
    pub(super) fn between(
        ledger: &Ledger<'_>,
        usage: &Usage,
        statements: &Statements,
        windows: [&Window; 2],
    ) -> Self {
        let lengths = windows.map(|window| seconds(ledger.cuts, window));
        let mut added = Self::default();
        if lengths.iter().any(|&length| length <= 0.0) {
            return added;
        }
        for (victim, runners) in sessions(ledger, windows, lengths) {
            let key = ledger.charges.victims.get(victim);
            let works = windows.map(|window| work(key, usage, statements, window));
            let works = works[0].zip(works[1]);
            let own = total(&runners, Class::OwnWork);
            if let Some(works) = works.filter(|works| !does_more(*works)) {
                let seconds = [own[0] * lengths[0], own[1] * lengths[1]];
                let slower = (seconds[1] / works.1.calls) / (seconds[0] / works.0.calls);
                if seconds.iter().all(|&seconds| seconds >= SEEN) {
                    added.controls.insert(victim, (seconds[0], slower));
                }
            }
            let rates = works.map(|(b, a)| (b.per(lengths[0]), a.per(lengths[1])));
            added.add(victim, &runners, rates);
        }
        added
    }

    /// Takes in what one statement added.
    fn add(&mut self, victim: u32, runners: &Runners, rates: Option<(Work, Work)>) {
        let all = runners.values().flat_map(BTreeMap::values);
        let is_at_work = all.map(|[_, after]| after).sum::<f64>() >= A_LITTLE;
        // What began and did not end is in no counter.
        let rates = rates.filter(|(_, after)| after.calls > 0.0 || !is_at_work);
        for class in [Class::Io, Class::Wal, Class::SyncReplication] {
            let of = |work: &Work| {
                if class == Class::Io {
                    work.read
                } else {
                    work.wal
                }
            };
            let resource = self.classes.entry(class).or_default();
            match &rates {
                Some((before, after)) => {
                    resource.before += of(before);
                    resource.split(victim, runners, None, of(after) - of(before));
                }
                None => resource.is_partly_unknown |= is_at_work,
            }
        }
        for class in [Class::OwnWork, Class::LwLock] {
            let resource = self.classes.entry(class).or_default();
            let [was, is] = total(runners, class);
            resource.before += was;
            // What takes longer for the same work is no new load.
            let more = match &rates {
                None => is - was,
                Some((before, after)) if load(after) >= load(before) => {
                    is * (1.0 - load(before) / load(after))
                }
                Some((before, after)) => -was * (1.0 - load(after) / load(before)),
            };
            resource.split(victim, runners, Some(class), more);
        }
    }

    /// Lays the parts of a growth that nobody is in the way of to those whose load came.
    pub(super) fn lay(
        &self,
        comparison: &mut Comparison,
        ledger: &Ledger<'_>,
        usage: &Usage,
        statements: &Statements,
    ) {
        let key = ledger.charges.victims.get(comparison.pool);
        let work = |window: &Window| work(key, usage, statements, window);
        let before = comparison.before.as_ref();
        // What a part of those who run a statement did nobody counts.
        let counted = before.filter(|_| comparison.pool == comparison.victim);
        comparison.work =
            counted.and_then(|(before, _)| work(before).zip(work(&comparison.after.0)));
        let laid: Vec<_> = comparison
            .parts
            .iter()
            .map(|part| self.apportion(comparison, part))
            .collect();
        for (part, apportioned) in comparison.parts.iter_mut().zip(laid) {
            part.apportioned = apportioned;
        }
    }

    /// Lays one of them; none where it is the victim's own, or nobody's.
    fn apportion(&self, comparison: &Comparison, part: &GrowthPart) -> Option<Apportioned> {
        let resource = part.cell.class;
        let class = match resource {
            Class::OwnWork if does_more(comparison.work?) || !is_slowed(comparison, part) => {
                return None;
            }
            Class::OwnWork => Class::Cpu,
            Class::Io | Class::Wal | Class::LwLock | Class::SyncReplication => resource,
            _ => return None,
        };
        let resource = self.classes.get(&resource)?;
        let by_system = resource.by_system();
        let sum: f64 = by_system.values().sum();
        let is_enough = match class {
            Class::Cpu => sum >= SATURATES && self.others_are_slowed(comparison.pool),
            _ => sum > 0.0 && sum >= MORE_USE * resource.before,
        };
        if !is_enough {
            return None;
        }
        let share = |(system, amount)| (system, amount / sum);
        let mut shares: Vec<_> = by_system.into_iter().map(share).collect();
        shares.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        let second = shares.get(1).map_or(0.0, |(_, share)| *share);
        let first = shares.first();
        let first = first.filter(|(_, share)| *share >= MOST && *share >= CLEARLY * second);
        let other = first.filter(|(system, _)| !comparison.systems.contains(system));
        let most = other.and_then(|(system, _)| {
            let own = resource.added.iter().filter(|((by, _), _)| by == system);
            let ((_, statement), _) = own.max_by(|a, b| a.1.total_cmp(b.1))?;
            Some(((*system)?, *statement))
        });
        Some(Apportioned {
            class,
            shares,
            most: most.filter(|_| !resource.is_partly_unknown),
        })
    }

    /// Tells whether most of the time of the other statements that do the same as before is of such
    /// as take longer for it. Where there are none nobody knows.
    fn others_are_slowed(&self, victim: u32) -> bool {
        let others = || self.controls.iter().filter(|(other, _)| **other != victim);
        let all: f64 = others().map(|(_, (seconds, _))| seconds).sum();
        let slowed = others().filter(|(_, (_, slower))| *slower >= SLOWED_TOO);
        let slowed: f64 = slowed.map(|(_, (seconds, _))| seconds).sum();
        all > 0.0 && slowed > 0.5 * all
    }
}

impl Use {
    /// Divides what a statement added over the systems that run it, by what each of them is more at
    /// it than before; where none is, by what they are.
    fn split(&mut self, victim: u32, runners: &Runners, class: Option<Class>, amount: f64) {
        let at = |classes: &BTreeMap<Class, Sessions>| -> Sessions {
            let of = |side: usize| match class {
                Some(class) => classes.get(&class).map_or(0.0, |sessions| sessions[side]),
                None => classes.values().map(|sessions| sessions[side]).sum(),
            };
            [of(0), of(1)]
        };
        let moved = |[was, is]: Sessions| (is - was) * amount.signum();
        let moved: Vec<f64> = runners.values().map(|it| moved(at(it)).max(0.0)).collect();
        let is: Vec<f64> = runners.values().map(|it| at(it)[1]).collect();
        let weights = if moved.iter().sum::<f64>() > 0.0 {
            moved
        } else {
            is
        };
        let sum: f64 = weights.iter().sum();
        for (system, weight) in runners.keys().zip(weights) {
            if sum > 0.0 && amount != 0.0 {
                *self.added.entry((*system, victim)).or_default() += amount * weight / sum;
            }
        }
    }

    /// Sums what each system added with all it does: what moved from one statement to another is none.
    fn by_system(&self) -> BTreeMap<Option<SystemId>, f64> {
        let mut sums: BTreeMap<Option<SystemId>, f64> = BTreeMap::new();
        for ((system, _), amount) in &self.added {
            *sums.entry(*system).or_default() += amount;
        }
        sums.retain(|_, amount| *amount > 0.0);
        sums
    }
}

/// Counts who was at what that nobody holds, by statement and system.
fn sessions(
    ledger: &Ledger<'_>,
    windows: [&Window; 2],
    lengths: [f64; 2],
) -> BTreeMap<u32, Runners> {
    let mut at_work: BTreeMap<u32, Runners> = BTreeMap::new();
    for charge in &ledger.charges.all {
        let Some((piece, scale)) = ledger.cuts.of_tick(charge.tick) else {
            continue;
        };
        let Some(side) = windows.iter().position(|window| window.has(piece)) else {
            continue;
        };
        let cell = ledger.charges.cells.get(charge.cell);
        if cell.blocker == InTheWay::Nobody {
            let runners = at_work.entry(charge.victim).or_default();
            let classes = runners.entry(charge.system).or_default();
            classes.entry(cell.class).or_default()[side] += charge.seconds * scale / lengths[side];
        }
    }
    at_work
}

/// Sums the sessions that were at one thing.
fn total(runners: &Runners, class: Class) -> Sessions {
    let of = |side: usize| {
        let classes = runners.values().filter_map(|classes| classes.get(&class));
        classes.map(|sessions| sessions[side]).sum()
    };
    [of(0), of(1)]
}

/// Gives what a victim's statement did in a window, where that is counted.
fn work(key: &VictimKey, usage: &Usage, statements: &Statements, window: &Window) -> Option<Work> {
    usage.within(key.database?, key.statement?, statements, window)
}

/// Gives what a statement asks of a processor, in calls and the blocks that they touch.
fn load(rate: &Work) -> f64 {
    rate.calls.max(rate.blocks).max(f64::MIN_POSITIVE)
}

/// Tells whether a call does more than before.
fn does_more((before, after): (Work, Work)) -> bool {
    if before.calls <= 0.0 || after.calls <= 0.0 {
        return true;
    }
    let [before, after] = [before.per(before.calls), after.per(after.calls)];
    let grew = |was: f64, is: f64| is >= MORE * was && is - was >= MORE_BLOCKS;
    grew(before.blocks, after.blocks) || grew(before.rows, after.rows)
}

/// Tells whether a part of a mean is so much larger than it was.
fn is_slowed(comparison: &Comparison, part: &GrowthPart) -> bool {
    let Some([_, calls]) = comparison.calls else {
        return false;
    };
    let after = part.seconds / calls;
    after >= SLOWED * (after - part.estimate.value)
}

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
/// Who brought so much of what was added is named …
const MOST: f64 = 0.5;
/// … if it is so many times what the next one brought.
const CLEARLY: f64 = 2.0;

/// What each system added to the use of what nobody holds, from one window to the next.
#[derive(Debug, Default)]
pub(super) struct Added {
    by: BTreeMap<Class, BTreeMap<(Option<SystemId>, u32), f64>>,
    /// Statements that do the same per call as before: their seconds at work before, and how many
    /// times longer a call is at work.
    controls: BTreeMap<u32, (f64, f64)>,
}

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
        [before, after]: [&Window; 2],
    ) -> Self {
        let Ledger { charges, cuts, .. } = ledger;
        let lengths = [before, after].map(|window| seconds(cuts, window));
        if lengths.iter().any(|&length| length <= 0.0) {
            return Self::default();
        }
        // Sessions on average, before and after: by class, and at all.
        let mut at_work: BTreeMap<(u32, Option<SystemId>), BTreeMap<Class, [f64; 2]>> =
            BTreeMap::new();
        for charge in &charges.all {
            let Some((piece, scale)) = cuts.of_tick(charge.tick) else {
                continue;
            };
            let Some(side) = [before, after].iter().position(|window| window.has(piece)) else {
                continue;
            };
            let cell = charges.cells.get(charge.cell);
            if cell.blocker == InTheWay::Nobody {
                let classes = at_work.entry((charge.victim, charge.system)).or_default();
                let sessions = classes.entry(cell.class).or_default();
                sessions[side] += charge.seconds * scale / lengths[side];
            }
        }
        // Of each statement, all its sessions after, and those at work before and after.
        let mut of_statement: BTreeMap<u32, (f64, [f64; 2])> = BTreeMap::new();
        for ((victim, _), classes) in &at_work {
            let (all, own) = of_statement.entry(*victim).or_default();
            *all += classes.values().map(|[_, after]| after).sum::<f64>();
            let [before, after] = classes.get(&Class::OwnWork).copied().unwrap_or_default();
            *own = [own[0] + before, own[1] + after];
        }
        let both = |victim: u32| {
            let key = charges.victims.get(victim);
            let work = |window| work(key, usage, statements, window);
            work(before).zip(work(after))
        };
        let control = |(&victim, (_, own)): (&u32, &(f64, [f64; 2]))| {
            let works = both(victim).filter(|works| !does_more(*works))?;
            let seconds = [own[0] * lengths[0], own[1] * lengths[1]];
            let slower = (seconds[1] / works.1.calls) / (seconds[0] / works.0.calls);
            let is_seen = seconds.iter().all(|&seconds| seconds >= SEEN);
            is_seen.then_some((victim, (seconds[0], slower)))
        };
        let controls = of_statement.iter().filter_map(control).collect();
        let mut added: BTreeMap<Class, BTreeMap<(Option<SystemId>, u32), f64>> = BTreeMap::new();
        for ((victim, system), classes) in &at_work {
            let rates = both(*victim).map(|(b, a)| (b.per(lengths[0]), a.per(lengths[1])));
            let all: f64 = classes.values().map(|[_, after]| after).sum();
            let share = all / of_statement[victim].0.max(f64::MIN_POSITIVE);
            let mut add = |class: Class, amount: f64| {
                if amount > 0.0 {
                    let by = added.entry(class).or_default();
                    *by.entry((*system, *victim)).or_default() += amount;
                }
            };
            if let Some((before, after)) = rates {
                add(Class::Io, share * (after.read - before.read));
                add(Class::Wal, share * (after.wal - before.wal));
                add(Class::SyncReplication, share * (after.wal - before.wal));
            }
            for (class, [was, is]) in classes {
                let amount = match (class, rates) {
                    (Class::Io | Class::Wal | Class::SyncReplication, Some(_)) => continue,
                    // What takes longer for the same work is no new load.
                    (_, Some((before, after))) => {
                        is * (1.0 - (load(&before) / load(&after)).min(1.0))
                    }
                    (_, None) => is - was,
                };
                add(*class, amount);
            }
        }
        Self {
            by: added,
            controls,
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
        let key = ledger.charges.victims.get(comparison.victim);
        let work = |window: &Window| work(key, usage, statements, window);
        let before = comparison.before.as_ref();
        comparison.work =
            before.and_then(|(before, _)| work(before).zip(work(&comparison.after.0)));
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
        let added = self.by.get(&resource)?;
        let sum: f64 = added.values().sum();
        let saturates = || sum >= SATURATES && self.others_are_slowed(comparison.victim);
        if sum <= 0.0 || (class == Class::Cpu && !saturates()) {
            return None;
        }
        let mut by_system: BTreeMap<Option<SystemId>, f64> = BTreeMap::new();
        for ((system, _), amount) in added {
            *by_system.entry(*system).or_default() += amount / sum;
        }
        let mut shares: Vec<_> = by_system.into_iter().collect();
        shares.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        let second = shares.get(1).map_or(0.0, |(_, share)| *share);
        let first = shares.first();
        let first = first.filter(|(_, share)| *share >= MOST && *share >= CLEARLY * second);
        let other = first.filter(|(system, _)| !comparison.systems.contains(system));
        let most = other.and_then(|(system, _)| {
            let own = added.iter().filter(|((by, _), _)| by == system);
            let ((_, statement), _) = own.max_by(|a, b| a.1.total_cmp(b.1))?;
            Some(((*system)?, *statement))
        });
        Some(Apportioned {
            class,
            shares,
            most,
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

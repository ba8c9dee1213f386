//! From figures to findings: what is worth saying, and how sure it is.
//!
//! Nothing is said of a cause that is not *material* (large enough to matter, seen
//! often enough to be one). *Proved* takes all of: wait-for edges to a blocker with
//! a name, counted calls, an interval clear of zero, for whoever was there before
//! also after correction for the number of tests, enough blocks, and a rank that most
//! replicates keep. What is material
//! but not significant is *inconclusive*, names the minutes still needed, and is
//! no accusation.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::attribution::Book;
use crate::attribution::account::{cause, effect, first_event, growth, victim};
use crate::attribution::cause::{Class, InTheWay};
use crate::attribution::charge::{Charge, Look, SystemId};
use crate::attribution::event::{EventGroup, Happening, ONBOARDED};
use crate::attribution::finding::{CallsBasis, Evidence, Finding, History, Scope, Tail, Verdict};
use crate::attribution::growth::{Comparison, GrowthPart, Ledger};
use crate::attribution::statistics::{FEWEST_BLOCKS, discoveries};
use crate::attribution::tail::Slowest;
use crate::attribution::usage::Work;
use crate::attribution::what_if::what_if;

/// A cause matters from this share of the mean before, or of the time now.
const MATERIAL_SHARE: f64 = 0.1;
/// … and from this much of a session kept waiting by it, on average.
const MATERIAL_WAITING: f64 = 0.01;
/// … or kept busy, where nobody is in the way.
const MATERIAL_BUSY: f64 = 0.05;
/// … and seen at so many ticks.
const MATERIAL_TICKS: usize = 5;
/// Proof rests on at least so many ticks.
const PROOF_TICKS: usize = 10;
/// A first place is held in so many of the replicates, or it is none.
const STABLE: f64 = 0.8;
/// An interval so much narrower than the value stands the correction for many questions.
const CLEARLY: f64 = 1.5;
/// More minutes than this are not worth promising.
const LONGEST_PROMISE: f64 = 120.0;

/// A comparison and the group of events it stands for; none for what is lost now.
pub(super) struct Compared {
    pub(super) comparison: Comparison,
    pub(super) before: Option<Slowest>,
    pub(super) after: Slowest,
    pub(super) group: Option<usize>,
}

impl Compared {
    /// Tells how slow the slowest calls are.
    pub(super) fn tail(&self) -> Tail {
        Tail {
            before: self.before.as_ref().map(|slowest| slowest.told.clone()),
            after: self.after.told.clone(),
        }
    }

    /// Gives a part's share of the time of the slowest calls.
    pub(super) fn share_of_slowest(&self, part: &GrowthPart) -> Option<f64> {
        self.after.share(part.cells.iter().map(|(cell, _)| *cell))
    }
}

/// A material part of a comparison.
struct Candidate<'a> {
    compared: &'a Compared,
    part: &'a GrowthPart,
    charges: Vec<&'a Charge>,
    looks: &'a [Look],
}

/// Draws the findings: those that accuse before those in doubt, the heaviest first.
pub(super) fn findings(
    book: &Book<'_>,
    ledger: &Ledger<'_>,
    compared: &[Compared],
    events: &[Happening],
    groups: &[EventGroup],
) -> Vec<Finding> {
    let mut ranked: Vec<(f64, Finding)> = Vec::new();
    let mut grown: BTreeSet<(u32, u32)> = BTreeSet::new();
    // What grew and what is simply lost are two families of tests. A loss that is told as
    // a growth is not told again.
    for is_growth in [true, false] {
        let tests: Vec<(&Compared, &GrowthPart)> = compared
            .iter()
            .filter(|compared| compared.group.is_some() == is_growth)
            .flat_map(|compared| {
                compared
                    .comparison
                    .parts
                    .iter()
                    .map(move |part| (compared, part))
            })
            .collect();
        let p_values: Vec<f64> = tests
            .iter()
            .map(|(_, part)| part.estimate.p_value())
            .collect();
        for ((compared, part), holds) in tests.into_iter().zip(discoveries(&p_values)) {
            let victim = compared.comparison.pool;
            let told = part
                .cells
                .iter()
                .any(|(cell, _)| grown.contains(&(victim, *cell)));
            let candidate = Candidate {
                compared,
                part,
                charges: book.charges_of(&compared.comparison, part),
                looks: &book.charges.looks,
            };
            if !candidate.is_material() || (!is_growth && told) {
                continue;
            }
            if is_growth {
                grown.extend(part.cells.iter().map(|(cell, _)| (victim, *cell)));
            }
            let finding = candidate.finding(book, ledger, holds, events, groups);
            ranked.push((candidate.share_of_residents(book, events, groups), finding));
        }
    }
    ranked.sort_by(|(share_a, a), (share_b, b)| {
        // What is lost without a time before to hold it against is mostly what the newcomers lose
        // themselves, however surely; and so is what mostly they lose of a statement's growth.
        let order = |share: f64, finding: &Finding| {
            let accuses = finding.verdict.accuses();
            let is_newcomers = finding.growth.is_none() || share < 0.5;
            (!accuses, is_newcomers, finding.verdict)
        };
        let [weight_a, weight_b] =
            [(share_a, a), (share_b, b)].map(|(share, it)| share * weight(it));
        order(*share_a, a)
            .cmp(&order(*share_b, b))
            .then(weight_b.total_cmp(&weight_a))
            .then(a.scope.cmp(&b.scope))
            .then_with(|| {
                (&a.victim, a.cause.class, &a.cause.table).cmp(&(
                    &b.victim,
                    b.cause.class,
                    &b.cause.table,
                ))
            })
    });
    let ranks = (1..).zip(ranked);
    let findings = ranks.map(|(rank, (_, finding))| Finding { rank, ..finding });
    findings.collect()
}

/// Lists the systems that arrived in a group of events.
fn arrivals<'a>(events: &'a [Happening], group: &EventGroup) -> impl Iterator<Item = &'a Arc<str>> {
    let members = group.members.iter().map(|&member| &events[member]);
    let arrived = members.filter(|event| event.kind == ONBOARDED);
    arrived.map(|event| &event.label)
}

/// Says how long a call took in execution before anybody watched, and after.
fn history((before, after): (Work, Work)) -> History {
    let per_call = |work: &Work| work.seconds / work.calls * 1e3;
    History {
        calls: before.calls,
        execution_ms: per_call(&before),
        execution_after_ms: per_call(&after),
    }
}

/// Gives the seconds that a cause cost its victim: what it grew by, or all where that is not known.
fn weight(finding: &Finding) -> f64 {
    match (&finding.growth, finding.ms_per_call) {
        (Some(growth), Some(ms)) => ms * growth.calls_after / 1e3,
        _ => finding.db_seconds,
    }
}

impl Candidate<'_> {
    /// Counts the ticks that saw it; of a minute without samples no more than it had.
    fn ticks(&self) -> usize {
        let mut seen: BTreeMap<usize, u32> = BTreeMap::new();
        for charge in &self.charges {
            let ticks = seen.entry(charge.tick).or_default();
            *ticks = ticks.saturating_add(charge.ticks);
        }
        seen.into_iter()
            .map(|(look, ticks)| ticks.min(self.looks[look].ticks) as usize)
            .sum()
    }

    /// Tells whether it is large enough, and was seen often enough, to be worth saying.
    fn is_material(&self) -> bool {
        let Comparison {
            before,
            after,
            total,
            ..
        } = &self.compared.comparison;
        let reference = before
            .as_ref()
            .map_or(after.1.value, |(_, ratio)| ratio.value);
        let window = after.0.length().as_secs_f64();
        let share_of_total = self.part.estimate.value / total.value;
        // Of a growth, the parts that make it up; of own work, only what makes much of it.
        let (weighs, sessions) = if self.part.cell.class.has_holder() {
            (0.05, MATERIAL_WAITING)
        } else {
            (0.2, MATERIAL_BUSY)
        };
        self.part.estimate.value > 0.0
            && self.part.cell.blocker != InTheWay::Unseen
            && self.part.cell.class != Class::Other
            && (before.is_some() || self.part.cell.class.has_holder())
            && self.part.estimate.value >= MATERIAL_SHARE * reference
            && (share_of_total >= weighs || total.value <= 0.0)
            && self.part.seconds >= sessions * window
            && self.ticks() >= MATERIAL_TICKS
    }

    /// Tells how much of what was lost to it was lost by others than those who arrived then.
    fn share_of_residents(
        &self,
        book: &Book<'_>,
        events: &[Happening],
        groups: &[EventGroup],
    ) -> f64 {
        let Some(group) = self.compared.group.map(|group| &groups[group]) else {
            return 1.0;
        };
        let newcomers: Vec<SystemId> = arrivals(events, group)
            .filter_map(|label| book.charges.systems.find(label))
            .collect();
        let is_newcomer = |charge: &&&Charge| {
            let system = charge.system;
            system.is_some_and(|system| newcomers.contains(&system))
        };
        let all: f64 = self.charges.iter().map(|charge| charge.seconds).sum();
        let theirs = self.charges.iter().filter(is_newcomer);
        let theirs: f64 = theirs.map(|charge| charge.seconds).sum();
        if all > 0.0 { 1.0 - theirs / all } else { 1.0 }
    }

    /// Tells whether it needs no test of whether it is there, only an interval of how much it is: waits
    /// that were seen, of a loss, or for who was not there before. Who asks many questions finds
    /// differences by chance; that one waited for a newcomer does not come about by chance.
    fn is_no_chance(
        &self,
        book: &Book<'_>,
        events: &[Happening],
        group: Option<&EventGroup>,
    ) -> bool {
        if !self.part.cell.class.has_holder() || self.ticks() < PROOF_TICKS {
            return false;
        }
        let Some(group) = group else {
            return true;
        };
        let came = |system: &str| arrivals(events, group).any(|label| **label == *system);
        let mut grown = self.part.cells.iter().filter(|(_, growth)| *growth > 0.0);
        grown.all(|(cell, _)| match book.charges.cells.get(*cell).blocker {
            InTheWay::System(system) => book.system(system).is_some_and(|name| came(&name)),
            _ => false,
        })
    }

    fn verdict(&self, holds: bool) -> Verdict {
        let comparison = &self.compared.comparison;
        let clear = self
            .part
            .estimate
            .interval()
            .is_some_and(|[low, _]| low > 0.0);
        let named = matches!(
            self.part.cell.blocker,
            InTheWay::System(Some(_)) | InTheWay::Prepared { .. } | InTheWay::Many
        );
        let blocks = comparison.blocks[1] >= FEWEST_BLOCKS;
        if !holds || !clear || !blocks {
            return Verdict::Inconclusive;
        }
        if self.part.cell.class.has_holder() && !named {
            return Verdict::Inconclusive;
        }
        // Where no mean is claimed, only who lost how much time to whom, edges suffice.
        let counted = match comparison.calls {
            Some(_) => comparison.basis == CallsBasis::Counted,
            None => comparison.systems.len() == 1,
        };
        let proof = self.part.cell.class.has_holder()
            && counted
            && self.ticks() >= PROOF_TICKS
            && self.part.stability.is_some_and(|kept| kept >= STABLE);
        if proof {
            Verdict::Proved
        } else {
            Verdict::Supported
        }
    }

    fn scope(&self) -> Scope {
        let apportioned = self.part.apportioned.as_ref();
        match self.part.cell.blocker {
            InTheWay::Nobody if apportioned.is_some_and(|it| it.most.is_some()) => Scope::Culprit,
            InTheWay::Nobody if self.part.kept.is_some() => Scope::Culprit,
            InTheWay::Nobody => Scope::Own,
            InTheWay::Many => Scope::Object,
            InTheWay::System(_) | InTheWay::Prepared { .. } | InTheWay::Unseen => Scope::Culprit,
        }
    }

    fn finding(
        &self,
        book: &Book<'_>,
        ledger: &Ledger<'_>,
        holds: bool,
        events: &[Happening],
        groups: &[EventGroup],
    ) -> Finding {
        let comparison = &self.compared.comparison;
        let group = self.compared.group.map(|group| &groups[group]);
        let cause = cause(book, self.part, &self.charges, events, group);
        let is_per_call = comparison.calls.is_some();
        let per_call = |of: fn(&Work) -> f64| {
            let (before, after) = comparison.work?;
            let counted = before.calls > 0.0 && after.calls > 0.0;
            counted.then(|| [before, after].map(|work| of(&work) / work.calls))
        };
        let milliseconds = |seconds: f64| seconds * 1e3;
        let verdict = self.verdict(holds || self.is_no_chance(book, events, group));
        let value = self.part.estimate.value;
        Finding {
            rank: 0,
            verdict,
            scope: self.scope(),
            rank_stability: self.part.stability,
            victim: victim(book, comparison),
            growth: growth(
                self.compared,
                cause.event.clone().or_else(|| first_event(group)),
            ),
            ms_per_call: is_per_call.then(|| milliseconds(value)),
            ci95_ms_per_call: self
                .part
                .estimate
                .interval()
                .filter(|_| is_per_call)
                .map(|interval| interval.map(milliseconds)),
            share_of_growth: comparison
                .before
                .as_ref()
                .filter(|_| comparison.total.value > 0.0)
                .map(|_| value / comparison.total.value),
            db_seconds: self.part.seconds,
            event_effect: group.and_then(|group| effect(book, comparison, &cause, group, events)),
            what_if: what_if(
                (book, ledger),
                self.compared,
                self.part,
                &cause,
                (events, group),
            ),
            tail: self.compared.tail(),
            share_of_slowest: self.compared.share_of_slowest(self.part),
            needs_minutes: (verdict == Verdict::Inconclusive)
                .then(|| self.needs_minutes())
                .flatten(),
            evidence: Evidence {
                samples: self.charges.len(),
                ticks: self.ticks(),
                longest_wait_ms: self
                    .charges
                    .iter()
                    .filter_map(|charge| charge.waited)
                    .max()
                    .map(crate::time::Span::as_millis_f64),
                blocks: comparison.blocks,
                rows_per_call: per_call(|work| work.rows),
                blocks_per_call: per_call(|work| work.blocks),
                history: comparison.history.map(history),
                log: None,
            },
            cause,
        }
    }

    /// Tells about how many more minutes would make the interval narrow enough, if nothing
    /// changes; none where no time would help, since the one in the way has no name.
    ///
    /// The error falls with the square root of the time watched.
    fn needs_minutes(&self) -> Option<f64> {
        let nameless = self.part.cell.blocker == InTheWay::System(None);
        let watched = self.compared.comparison.after.0.length().as_secs_f64() / 60.0;
        let narrower = self.part.estimate.half_width().map_or(2.0, |half| {
            (CLEARLY * half / self.part.estimate.value).powi(2)
        });
        // Where the interval is clear already it is the number of questions that asks for more.
        let more = watched * (narrower - 1.0).max(0.5);
        (!nameless).then(|| more.clamp(1.0, LONGEST_PROMISE))
    }
}

//! From figures to findings: what is worth saying, and how sure it is.
//!
//! Nothing is said of a cause that is not *material* (large enough to matter, seen
//! often enough to be one). *Proved* takes all of: wait-for edges to a blocker with
//! a name, counted calls, an interval clear of zero after correction for the number
//! of tests, enough blocks, and a rank that most replicates keep. What is material
//! but not significant is *inconclusive*, names the minutes still needed, and is
//! no accusation.

use std::collections::{BTreeMap, BTreeSet};

use crate::attribution::Book;
use crate::attribution::cause::{Class, InTheWay};
use crate::attribution::charge::{Charge, tally};
use crate::attribution::event::{EventGroup, Happening};
use crate::attribution::finding::{
    Amplifier, Blocker, CallsBasis, Cause, CauseLock, EventEffect, Evidence, Finding, Growth, Part,
    Scope, Split, Verdict, Victim, WhatIf,
};
use crate::attribution::growth::{Comparison, GrowthPart};
use crate::attribution::statistics::{FEWEST_BLOCKS, discoveries};
use crate::graph::Basis;
use crate::time::Rfc3339;

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
/// More minutes than this are not worth promising.
const LONGEST_PROMISE: f64 = 120.0;

/// A comparison and the group of events it stands for; none for what is lost now.
pub(super) struct Compared {
    pub(super) comparison: Comparison,
    pub(super) group: Option<usize>,
}

/// A material part of a comparison.
struct Candidate<'a> {
    compared: &'a Compared,
    part: &'a GrowthPart,
    charges: Vec<&'a Charge>,
}

/// Draws the findings, best supported and heaviest first.
pub(super) fn findings(
    book: &Book<'_>,
    compared: &[Compared],
    events: &[Happening],
    groups: &[EventGroup],
) -> Vec<Finding> {
    let tests: Vec<(&Compared, &GrowthPart)> = compared
        .iter()
        .flat_map(|compared| {
            compared
                .comparison
                .parts
                .iter()
                .map(move |part| (compared, part))
        })
        .filter(|(_, part)| part.estimate.value > 0.0)
        .collect();
    let p_values: Vec<f64> = tests
        .iter()
        .map(|(_, part)| part.estimate.p_value())
        .collect();
    let holds = discoveries(&p_values);
    let mut findings = Vec::new();
    for ((compared, part), holds) in tests.into_iter().zip(holds) {
        let charges = book.charges_of(&compared.comparison, part);
        let candidate = Candidate {
            compared,
            part,
            charges,
        };
        if candidate.is_material() {
            findings.push(candidate.finding(book, holds, events, groups));
        }
    }
    findings.sort_by(|a, b| {
        let order = |finding: &Finding| (finding.verdict, finding.scope);
        order(a)
            .cmp(&order(b))
            .then(b.db_seconds.total_cmp(&a.db_seconds))
            .then_with(|| {
                (&a.victim, a.cause.class, &a.cause.table).cmp(&(
                    &b.victim,
                    b.cause.class,
                    &b.cause.table,
                ))
            })
    });
    for (rank, finding) in (1..).zip(&mut findings) {
        finding.rank = rank;
    }
    findings
}

impl Candidate<'_> {
    fn ticks(&self) -> usize {
        self.charges
            .iter()
            .map(|charge| charge.tick)
            .collect::<BTreeSet<_>>()
            .len()
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
            (0.02, MATERIAL_WAITING)
        } else {
            (0.2, MATERIAL_BUSY)
        };
        self.part.cell.blocker != InTheWay::Unseen
            && self.part.cell.class != Class::Other
            && (before.is_some() || self.part.cell.class.has_holder())
            && self.part.estimate.value >= MATERIAL_SHARE * reference
            && (share_of_total >= weighs || total.value <= 0.0)
            && self.part.seconds >= sessions * window
            && self.ticks() >= MATERIAL_TICKS
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
            InTheWay::System(Some(_)) | InTheWay::Prepared(_) | InTheWay::Many
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
        match self.part.cell.blocker {
            InTheWay::Nobody => Scope::Own,
            InTheWay::Many => Scope::Object,
            InTheWay::System(_) | InTheWay::Prepared(_) | InTheWay::Unseen => Scope::Culprit,
        }
    }

    fn finding(
        &self,
        book: &Book<'_>,
        holds: bool,
        events: &[Happening],
        groups: &[EventGroup],
    ) -> Finding {
        let comparison = &self.compared.comparison;
        let group = self.compared.group.map(|group| &groups[group]);
        let cause = cause(book, &self.part.cell, &self.charges, events, group);
        let per_call = comparison.calls.is_some();
        let milliseconds = |seconds: f64| seconds * 1e3;
        let verdict = self.verdict(holds);
        let value = self.part.estimate.value;
        let culprit = cause
            .blocker
            .as_ref()
            .and_then(|blocker| blocker.system.clone());
        let state = cause.blocker.as_ref().and_then(|blocker| {
            blocker
                .state
                .iter()
                .max_by(|a, b| a.1.total_cmp(b.1))
                .map(|(state, _)| state.clone())
        });
        Finding {
            rank: 0,
            verdict,
            scope: self.scope(),
            rank_stability: self.part.stability,
            victim: victim(book, comparison),
            growth: growth(
                comparison,
                cause.event.clone().or_else(|| first_event(group)),
            ),
            ms_per_call: per_call.then(|| milliseconds(value)),
            ci95_ms_per_call: self
                .part
                .estimate
                .interval()
                .filter(|_| per_call)
                .map(|interval| interval.map(milliseconds)),
            share_of_growth: comparison
                .before
                .as_ref()
                .filter(|_| comparison.total.value > 0.0)
                .map(|_| value / comparison.total.value),
            db_seconds: self.part.seconds,
            event_effect: group.and_then(|group| effect(book, comparison, &cause, group, events)),
            what_if: what_if(
                comparison,
                value,
                culprit.as_deref(),
                state.as_deref(),
                &cause,
            ),
            needs_minutes: (verdict == Verdict::Inconclusive).then(|| self.needs_minutes()),
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
            },
            cause,
        }
    }

    /// Tells how many more minutes would make the interval narrow enough, if nothing changes.
    ///
    /// The error falls with the square root of the time watched.
    fn needs_minutes(&self) -> f64 {
        let watched = self.compared.comparison.after.0.length().as_secs_f64() / 60.0;
        let narrower = self
            .part
            .estimate
            .half_width()
            .map_or(2.0, |half| (1.5 * half / self.part.estimate.value).powi(2));
        (watched * (narrower - 1.0)).clamp(1.0, LONGEST_PROMISE)
    }
}

/// Names the earliest event of a group.
fn first_event(group: Option<&EventGroup>) -> Option<String> {
    group?.members.first().map(|&member| event_id(member))
}

/// Names an event by its place in order of time.
pub(super) fn event_id(place: usize) -> String {
    format!("e{}", place + 1)
}

/// Says who got slower.
pub(super) fn victim(book: &Book<'_>, comparison: &Comparison) -> Victim {
    let key = book.charges.victims.get(comparison.victim);
    let statement = key.statement.and_then(|id| book.statements.get(id));
    let named = |system: &Option<u32>| book.system(*system);
    Victim {
        system: match comparison.systems[..] {
            [only] => book.system(only),
            _ => None,
        },
        systems: comparison.systems.iter().filter_map(named).collect(),
        query_id: key.statement.and_then(|id| {
            book.statements
                .query_ids(id)
                .first()
                .map(ToString::to_string)
        }),
        fingerprint: key.statement.map_or_else(String::new, |id| id.to_string()),
        query: statement.map_or_else(|| "(text unknown)".to_owned(), |s| s.text.to_string()),
        database: key
            .database
            .and_then(|oid| book.names.database(oid))
            .map(ToString::to_string),
    }
}

/// Says how much slower; none without a baseline.
pub(super) fn growth(comparison: &Comparison, event: Option<String>) -> Option<Growth> {
    let (window_before, before) = comparison.before.as_ref()?;
    let (window_after, after) = &comparison.after;
    let [calls_before, calls_after] = comparison.calls?;
    Some(Growth {
        event,
        before_ms: before.value * 1e3,
        after_ms: after.value * 1e3,
        delta_ms: comparison.total.value * 1e3,
        ci95_ms: comparison
            .total
            .interval()
            .map(|interval| interval.map(|bound| bound * 1e3)),
        p99_before_ms: None,
        p99_after_ms: None,
        calls_before,
        calls_after,
        calls_basis: comparison.basis,
        window_before: [Rfc3339(window_before.from), Rfc3339(window_before.to)],
        window_after: [Rfc3339(window_after.from), Rfc3339(window_after.to)],
    })
}

/// Says what stood in the way, by the charges behind it.
fn cause(
    book: &Book<'_>,
    cell: &crate::attribution::cause::Cell,
    charges: &[&Charge],
    events: &[Happening],
    group: Option<&EventGroup>,
) -> Cause {
    let lock = tally(
        charges
            .iter()
            .filter_map(|c| Some((c.lock.clone()?, c.seconds))),
    )
    .into_iter()
    .next();
    let whys = || {
        charges
            .iter()
            .filter_map(|charge| Some((charge.why.as_ref()?, charge.seconds)))
    };
    let states = tally(whys().map(|(why, seconds)| (why.state, seconds)));
    let sum: f64 = states.iter().map(|(_, seconds)| seconds).sum();
    let state: BTreeMap<String, f64> = states
        .into_iter()
        .map(|(state, seconds)| (state.to_owned(), seconds / sum))
        .collect();
    let took = tally(whys().filter_map(|(why, seconds)| Some((why.statement?, seconds))));
    let through = tally(whys().filter_map(|(why, seconds)| Some((why.through.clone()?, seconds))));
    let text = |id| {
        book.statements
            .get(id)
            .map(|statement| statement.text.to_string())
    };
    let blocker = |system: Option<String>| {
        let (statement, basis) = took.first().map(|((id, basis), _)| (*id, *basis)).unzip();
        Blocker {
            system,
            query: statement.and_then(text),
            fingerprint: statement.map(|id| id.to_string()),
            query_basis: basis.map(Basis::name),
            state: state.clone(),
        }
    };
    let system = match &cell.blocker {
        InTheWay::System(system) => book.system(*system),
        InTheWay::Prepared(gid) => Some(format!("prepared transaction {gid}")),
        InTheWay::Nobody | InTheWay::Unseen | InTheWay::Many => None,
    };
    let event = system.as_deref().and_then(|system| {
        let arrived = |&&member: &&usize| {
            events[member].kind == "system-onboarded" && *events[member].label == *system
        };
        group?
            .members
            .iter()
            .find(arrived)
            .map(|&member| event_id(member))
    });
    let bases = tally(charges.iter().filter_map(|c| Some((c.basis?, c.seconds))));
    let inferred = bases
        .first()
        .is_some_and(|(basis, _)| *basis == Basis::Inferred);
    Cause {
        class: cell.class.name(),
        basis: if inferred { "inferred" } else { "measured" },
        table: cell.table.as_ref().map(ToString::to_string),
        lock: lock.map(|((kind, mode), _)| CauseLock {
            kind: kind.to_string(),
            mode: mode.name().to_owned(),
        }),
        blocker: match cell.blocker {
            InTheWay::System(_) | InTheWay::Prepared(_) => Some(blocker(system)),
            InTheWay::Nobody | InTheWay::Unseen | InTheWay::Many => None,
        },
        through: through
            .into_iter()
            .take(3)
            .map(|((system, statement), _)| Amplifier {
                system: system.map(|system| system.to_string()),
                query: statement.and_then(text),
            })
            .collect(),
        event,
    }
}

/// Says what the blamed event did to a victim, apart and with its group.
fn effect(
    book: &Book<'_>,
    comparison: &Comparison,
    cause: &Cause,
    group: &EventGroup,
    events: &[Happening],
) -> Option<EventEffect> {
    let blamed = cause.event.as_ref()?;
    comparison.before.as_ref()?;
    comparison.calls?;
    let value = |part: &GrowthPart| part.estimate.value * 1e3;
    let direct_of = |system: &str| -> f64 {
        let by_system = |part: &&GrowthPart| match part.cell.blocker {
            InTheWay::System(by) => book.system(by).as_deref() == Some(system),
            _ => false,
        };
        comparison.parts.iter().filter(by_system).map(value).sum()
    };
    let own: f64 = comparison
        .parts
        .iter()
        .filter(|part| part.cell.class == Class::OwnWork)
        .map(value)
        .sum();
    let marginal = comparison.total.value * 1e3 - own;
    let label = |member: &usize| (event_id(*member), &*events[*member].label);
    let members: Vec<(String, &str)> = group.members.iter().map(label).collect();
    let direct = members
        .iter()
        .find(|(id, _)| id == blamed)
        .map(|(_, label)| direct_of(label))?;
    let direct_of_all: f64 = members.iter().map(|(_, label)| direct_of(label)).sum();
    let alone = members.len() == 1;
    Some(EventEffect {
        direct_ms: direct,
        marginal_ms: alone.then_some(marginal),
        interaction_ms: alone.then_some(marginal - direct),
        group_marginal_ms: Some(marginal),
        group_interaction_ms: Some(marginal - direct_of_all),
    })
}

/// Says what the victim would be without a cause.
fn what_if(
    comparison: &Comparison,
    value: f64,
    culprit: Option<&str>,
    state: Option<&str>,
    cause: &Cause,
) -> Option<WhatIf> {
    comparison.calls?;
    let removed = match (culprit, state) {
        (Some(culprit), Some(state)) => format!("{state} of {culprit}"),
        (Some(culprit), None) => culprit.to_owned(),
        (None, _) => cause.class.to_owned(),
    };
    let mean = (comparison.after.1.value - value).max(0.0) * 1e3;
    Some(WhatIf {
        removed,
        mean_ms: Some(mean),
        p99_ms: None,
    })
}

/// Splits a victim's growth over its causes, without remainder.
pub(super) fn split(
    book: &Book<'_>,
    compared: &Compared,
    events: &[Happening],
    groups: &[EventGroup],
) -> Option<Split> {
    let comparison = &compared.comparison;
    let group = compared.group.map(|group| &groups[group]);
    let growth = growth(comparison, first_event(group))?;
    let (unseen, seen): (Vec<&GrowthPart>, Vec<&GrowthPart>) = comparison
        .parts
        .iter()
        .partition(|part| part.cell.blocker == InTheWay::Unseen);
    let parts = seen
        .into_iter()
        .map(|part| Part {
            cause: cause(
                book,
                &part.cell,
                &book.charges_of(comparison, part),
                events,
                group,
            ),
            delta_ms: part.estimate.value * 1e3,
            ci95_ms: part
                .estimate
                .interval()
                .map(|interval| interval.map(|bound| bound * 1e3)),
        })
        .collect();
    Some(Split {
        victim: victim(book, comparison),
        growth,
        parts,
        residual_ms: unseen.iter().map(|part| part.estimate.value * 1e3).sum(),
    })
}

//! The figures of a finding: who, how much, and through what.

use std::collections::BTreeMap;

use crate::attribution::Book;
use crate::attribution::apportion::Apportioned;
use crate::attribution::cause::{Class, InTheWay};
use crate::attribution::charge::{Charge, SystemId, tally};
use crate::attribution::event::{EventGroup, Happening};
use crate::attribution::finding::{
    Amplifier, Blocker, Cause, CauseLock, EventEffect, Growth, Part, Share, Split, Victim,
};
use crate::attribution::growth::{Comparison, GrowthPart};
use crate::attribution::horizon::Kept;
use crate::attribution::verdict::Compared;
use crate::graph::Basis;
use crate::statement::StatementId;
use crate::time::Rfc3339;

/// Names the earliest event of a group.
pub(super) fn first_event(group: Option<&EventGroup>) -> Option<String> {
    group?.members.first().map(|&member| event_id(member))
}

/// Names an event by its place in order of time.
pub(super) fn event_id(place: usize) -> String {
    format!("e{}", place + 1)
}

/// Says who got slower.
pub(super) fn victim(book: &Book<'_>, comparison: &Comparison) -> Victim {
    let key = book.charges.victims.get(comparison.pool);
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
        fingerprint: key.statement.unwrap_or(StatementId(0)).to_string(),
        query: statement.map_or_else(|| "(text unknown)".to_owned(), |s| s.text.to_string()),
        database: key
            .database
            .and_then(|oid| book.names.database(oid))
            .map(ToString::to_string),
    }
}

/// Says how much slower; none without a baseline.
pub(super) fn growth(compared: &Compared, event: Option<String>) -> Option<Growth> {
    let comparison = &compared.comparison;
    let (window_before, before) = comparison.before.as_ref()?;
    let (window_after, after) = &comparison.after;
    let [calls_before, calls_after] = comparison.calls?;
    let tail = compared.tail();
    Some(Growth {
        event,
        before_ms: before.value * 1e3,
        after_ms: after.value * 1e3,
        delta_ms: comparison.total.value * 1e3,
        ci95_ms: comparison
            .total
            .interval()
            .map(|interval| interval.map(|bound| bound * 1e3)),
        p95_before_ms: tail.before.as_ref().and_then(|before| before.p95_ms),
        p95_after_ms: tail.after.p95_ms,
        p99_before_ms: tail.before.as_ref().and_then(|before| before.p99_ms),
        p99_after_ms: tail.after.p99_ms,
        calls_before,
        calls_after,
        calls_basis: comparison.basis,
        window_before: [Rfc3339(window_before.from), Rfc3339(window_before.to)],
        window_after: [Rfc3339(window_after.from), Rfc3339(window_after.to)],
    })
}

/// Says what stood in the way, by the charges behind it.
pub(super) fn cause(
    book: &Book<'_>,
    part: &GrowthPart,
    charges: &[&Charge],
    events: &[Happening],
    group: Option<&EventGroup>,
) -> Cause {
    let cell = &part.cell;
    let apportioned = part.apportioned.as_ref();
    let kept = part.kept.as_ref();
    let bringer = apportioned.and_then(|it| Some(bringer(book, it.most?)));
    let bringer = bringer.or_else(|| kept.map(keeper));
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
            gid: match &cell.blocker {
                InTheWay::Prepared { gid, .. } => Some(gid.to_string()),
                _ => None,
            },
            table: cell
                .held
                .as_ref()
                .or(cell.table.as_ref())
                .map(ToString::to_string),
            query: statement.and_then(text),
            fingerprint: statement.map(|id| id.to_string()),
            query_basis: basis.map(Basis::name),
            state: state.clone(),
        }
    };
    let system = match &cell.blocker {
        InTheWay::System(system) => book.system(*system),
        InTheWay::Prepared { owner, .. } => owner.as_ref().map(ToString::to_string),
        InTheWay::Nobody | InTheWay::Unseen | InTheWay::Many => {
            bringer.as_ref().and_then(|bringer| bringer.system.clone())
        }
    };
    let arrival = |system: &str| arrival(system, events, group);
    // Where the one at the end was always there, it may be who stands between that came.
    let between = through
        .first()
        .and_then(|((system, _), _)| system.as_deref());
    let event = system
        .as_deref()
        .and_then(arrival)
        .or_else(|| between.and_then(arrival));
    let bases = tally(charges.iter().filter_map(|c| Some((c.basis?, c.seconds))));
    let inferred = bases
        .first()
        .is_some_and(|(basis, _)| *basis == Basis::Inferred);
    Cause {
        class: class(part).name(),
        basis: match apportioned {
            Some(_) => "apportioned",
            None if inferred || kept.is_some() => "inferred",
            None => "measured",
        },
        table: (kept.map(|kept| &kept.table))
            .or(cell.table.as_ref())
            .map(ToString::to_string),
        lock: lock.map(|((kind, mode), _)| CauseLock {
            kind: kind.to_string(),
            mode: mode.name().to_owned(),
        }),
        blocker: match cell.blocker {
            InTheWay::System(_) | InTheWay::Prepared { .. } => Some(blocker(system)),
            InTheWay::Nobody | InTheWay::Unseen | InTheWay::Many => bringer,
        },
        through: through
            .into_iter()
            .take(3)
            .map(|((system, statement), _)| Amplifier {
                system: system.map(|system| system.to_string()),
                query: statement.and_then(text),
            })
            .collect(),
        apportioned: apportioned.map(|it| shares(book, it)),
        event,
    }
}

/// Says what a part of a growth is, where more is known of it than what sessions were seen at.
fn class(part: &GrowthPart) -> Class {
    match (&part.apportioned, &part.kept) {
        (Some(apportioned), _) => apportioned.class,
        (None, Some(_)) => Class::Horizon,
        (None, None) => part.cell.class,
    }
}

/// Finds a system's arrival, or its step to more, among the events of a group; of a loss, which is held against no time
/// before, among all of the watch.
fn arrival(system: &str, events: &[Happening], group: Option<&EventGroup>) -> Option<String> {
    let arrived =
        |&member: &usize| events[member].is_of_a_system() && *events[member].label == *system;
    let member = match group {
        Some(group) => group.members.iter().copied().find(arrived),
        None => (0..events.len()).find(arrived),
    };
    member.map(event_id)
}

/// Names who brought most of a load, and the statement with which it did.
fn bringer(book: &Book<'_>, (system, statement): (SystemId, u32)) -> Blocker {
    let id = book.charges.victims.get(statement).statement;
    let text = id.and_then(|id| book.statements.get(id));
    Blocker {
        system: book.system(Some(system)),
        gid: None,
        table: None,
        query: text.map(|statement| statement.text.to_string()),
        fingerprint: id.map(|id| id.to_string()),
        query_basis: id.map(|_| Basis::Inferred.name()),
        // It is what it does that is in the way.
        state: BTreeMap::from([("active".to_owned(), 1.0)]),
    }
}

/// Names whose old snapshot keeps dead rows.
fn keeper(kept: &Kept) -> Blocker {
    Blocker {
        system: kept.system.as_ref().map(ToString::to_string),
        gid: kept.gid.as_ref().map(ToString::to_string),
        table: Some(kept.table.to_string()),
        query: None,
        fingerprint: None,
        query_basis: None,
        state: BTreeMap::from([(kept.state.to_owned(), 1.0)]),
    }
}

/// Names the systems among which a growth is apportioned.
fn shares(book: &Book<'_>, apportioned: &Apportioned) -> Vec<Share> {
    let share = |&(system, share): &(Option<SystemId>, f64)| Share {
        system: book.system(system),
        share,
    };
    apportioned.shares.iter().map(share).collect()
}

/// Says what the blamed event did to a victim, apart and with its group.
pub(super) fn effect(
    book: &Book<'_>,
    comparison: &Comparison,
    cause: &Cause,
    group: &EventGroup,
    events: &[Happening],
) -> Option<EventEffect> {
    // Through waits whose root it was: of a load that came there are none.
    let blamed = cause
        .event
        .as_ref()
        .filter(|_| cause.apportioned.is_none())?;
    comparison.before.as_ref()?;
    comparison.calls?;
    let by = |cell: u32| match book.charges.cells.get(cell).blocker {
        InTheWay::System(system) => book.system(system),
        _ => None,
    };
    // By the cells behind the parts: who is one of many in a finding still did its share.
    let growths = || comparison.parts.iter().flat_map(|part| &part.cells);
    let direct_of = |system: &str| -> f64 {
        let own = growths().filter(|(cell, _)| by(*cell).as_deref() == Some(system));
        own.map(|(_, growth)| growth * 1e3).sum()
    };
    let through_locks = |cell: u32| book.charges.cells.get(cell).class.has_holder();
    let marginal: f64 = growths()
        .filter(|(cell, _)| through_locks(*cell))
        .map(|(_, growth)| growth * 1e3)
        .sum();
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

/// Splits a victim's growth over its causes, without remainder.
pub(super) fn split(
    book: &Book<'_>,
    compared: &Compared,
    events: &[Happening],
    groups: &[EventGroup],
) -> Option<Split> {
    let comparison = &compared.comparison;
    let group = compared.group.map(|group| &groups[group]);
    let growth = growth(compared, first_event(group))?;
    let (unseen, seen): (Vec<&GrowthPart>, Vec<&GrowthPart>) = comparison
        .parts
        .iter()
        .partition(|part| part.cell.blocker == InTheWay::Unseen);
    let parts = seen
        .into_iter()
        .map(|part| Part {
            cause: cause(
                book,
                part,
                &book.charges_of(comparison, part),
                events,
                group,
            ),
            delta_ms: part.estimate.value * 1e3,
            ci95_ms: part
                .estimate
                .interval()
                .map(|interval| interval.map(|bound| bound * 1e3)),
            share_of_slowest: compared.share_of_slowest(part),
        })
        .collect();
    Some(Split {
        victim: victim(book, comparison),
        growth,
        parts,
        tail: compared.tail(),
        residual_ms: unseen.iter().map(|part| part.estimate.value * 1e3).sum(),
    })
}

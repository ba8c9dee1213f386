//! What each system did to the others that arrived, or began to do much more.

use crate::attribution::Book;
use crate::attribution::account::event_id;
use crate::attribution::cause::InTheWay;
use crate::attribution::charge::SystemId;
use crate::attribution::event::{EventGroup, Happening};
use crate::attribution::finding::{Effect, Event, Finding, Scope, Verdict};
use crate::attribution::window::Window;
use crate::time::{Rfc3339, Span};

/// Who holds up less than this share of others' lock waits did nothing to speak of …
const LITTLE_OF_WAITS: f64 = 0.02;
/// … nor did who keeps less than this much of a session waiting, on average …
const LITTLE_OF_A_SESSION: f64 = 0.005;
/// … provided that so much was watched.
const WATCHED: Span = Span::from_secs(10);

/// Words the events, each with what its system did to others.
pub(super) fn events(
    book: &Book<'_>,
    happenings: &[Happening],
    groups: &[EventGroup],
    findings: &[Finding],
) -> Vec<Event> {
    let group_of = |place: usize| {
        groups
            .iter()
            .position(|group| group.members.contains(&place))
    };
    let view = |(place, event): (usize, &Happening)| {
        let id = event_id(place);
        let group = group_of(place);
        let after = group.and_then(|group| groups[group].after.as_ref());
        // One that was never seen at work has no number, and did nothing.
        let system = book.charges.systems.find(&event.label);
        Event {
            effect: after
                .filter(|_| event.is_of_a_system())
                .map(|after| effect(book, &id, (&event.label, system), after, findings)),
            id,
            kind: event.kind,
            label: event.label.to_string(),
            at: Rfc3339(event.at),
            source: if event.declared {
                "declared"
            } else {
                "detected"
            },
            group: group.map(|group| format!("g{}", group + 1)),
            calls_per_second: event.rates,
        }
    };
    happenings.iter().enumerate().map(view).collect()
}

/// Sums what a system did to others in a window, and judges it.
///
/// *No effect* is said of locks alone, and only where nothing that has no holder (a
/// processor, a disk) slowed anybody down at the same time: that may be its doing too.
fn effect(
    book: &Book<'_>,
    id: &str,
    (name, system): (&str, Option<SystemId>),
    after: &Window,
    findings: &[Finding],
) -> Effect {
    let (mut caused, mut between, mut waits) = (0.0, 0.0, 0.0);
    for charge in &book.charges.all {
        let cell = book.charges.cells.get(charge.cell);
        let within = after.contains(book.charges.looks[charge.tick].at);
        let own = system.is_some() && charge.system == system;
        if own || !within || !cell.class.has_holder() {
            continue;
        }
        waits += charge.seconds;
        if system.is_some() && cell.blocker == InTheWay::System(system) {
            caused += charge.seconds;
            continue;
        }
        // A gate holds nothing that others wait for, and they would not wait without it.
        let through = charge.why.as_ref().and_then(|why| why.through.as_ref());
        if through.is_some_and(|(system, _)| system.as_deref() == Some(name)) {
            between += charge.seconds;
        }
    }
    let looks = book
        .charges
        .looks
        .iter()
        .filter(|look| after.contains(look.at));
    let watched: Span = looks.map(|look| look.span).sum();
    let shared = findings.iter().any(|finding| {
        let grown = finding.growth.as_ref();
        finding.scope == Scope::Own
            && grown.is_some_and(|growth| growth.window_after[0] == Rfc3339(after.from))
    });
    let had_part = caused + between;
    let little = had_part <= LITTLE_OF_WAITS * waits
        || had_part <= LITTLE_OF_A_SESSION * watched.as_secs_f64();
    let accused = findings
        .iter()
        .filter(|finding| finding.cause.event.as_deref() == Some(id))
        .map(|finding| finding.verdict)
        .min();
    Effect {
        verdict: accused.unwrap_or(if little && !shared && watched >= WATCHED {
            Verdict::NoEffect
        } else {
            Verdict::Inconclusive
        }),
        db_seconds: caused,
        share_of_waits: if waits > 0.0 { caused / waits } else { 0.0 },
    }
}

//! What a victim's mean and its slowest calls would be without a cause.
//!
//! ```text
//!  before + growth of all causes            as it is
//!         - what waited for the cause       gone
//!         - who queued behind those         gone with it, as far as nobody else who came is in the way
//!         + the rest, as far as it is sure  stays
//! ```
//! - Who waits while the one in the way is away waits on while it commits, and for those who queued
//!   before. The graph charges such time to whoever is in front at each moment; without the cause there
//!   would have been no queue. So what grew behind those who were there before, or behind nobody that
//!   was seen, goes with those who came, by what each did directly.
//! - A remainder known to be off by as much as it is large is noise. It counts by the share that makes
//!   the squared error least.
//! - Without a baseline nothing tells what grew: then it is what remains of the mean now.

use crate::attribution::Book;
use crate::attribution::account::event_id;
use crate::attribution::cause::{Class, InTheWay};
use crate::attribution::charge::Charge;
use crate::attribution::event::{EventGroup, Happening, ONBOARDED};
use crate::attribution::finding::{Cause, WhatIf};
use crate::attribution::growth::{Comparison, GrowthPart, Ledger};
use crate::attribution::statistics::least_error;
use crate::attribution::verdict::Compared;

/// A cause is told by the state of the one in the way where that is so much of it.
const IN_ONE_STATE: f64 = 0.9;

/// What becomes of a cell without a cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// It is the cause.
    Goes,
    /// Somebody else who came is in the way.
    Stays,
    /// It is of who queued.
    GoesAlong,
    /// It is no wait for anybody.
    Apart,
}

/// A cause that is taken away.
struct Removed<'a> {
    book: &'a Book<'a>,
    part: &'a GrowthPart,
    /// The system that came and is blamed.
    blamed: Option<&'a str>,
    /// The others that came with it.
    others: Vec<&'a str>,
}

/// Says what the victim would be without a cause.
pub(super) fn what_if(
    (book, ledger): (&Book<'_>, &Ledger<'_>),
    compared: &Compared,
    part: &GrowthPart,
    cause: &Cause,
    (events, group): (&[Happening], Option<&EventGroup>),
) -> Option<WhatIf> {
    let comparison = &compared.comparison;
    comparison.calls?;
    if part.cell.blocker == InTheWay::Nobody {
        return Some(as_before(comparison, part, cause));
    }
    let removed = Removed::of(book, part, cause, events, group);
    let p99_ms = compared.after.told.p99_ms.and_then(|p99| {
        let along = removed.takes_along(comparison) >= 1.0;
        let is_gone = |charge: &Charge| match removed.fate(charge.cell) {
            Fate::Goes => true,
            Fate::GoesAlong => along,
            Fate::Stays | Fate::Apart => false,
        };
        let window = &comparison.after.0;
        let without = book.p99_without(ledger, comparison.victim, window, is_gone)?;
        Some(without.min(p99))
    });
    Some(WhatIf {
        removed: named(cause),
        mean_ms: removed.mean(comparison).map(|mean| mean.max(0.0) * 1e3),
        p99_ms,
    })
}

/// Names what is taken away.
fn named(cause: &Cause) -> String {
    let system = cause.blocker.as_ref().and_then(|it| it.system.as_deref());
    match (system, cause.dominant_state()) {
        (Some(system), _) if cause.class == Class::Deadlock.name() => {
            format!("deadlocks with {system}")
        }
        (Some(system), Some((state, share))) if share >= IN_ONE_STATE => {
            format!("{state} of {system}")
        }
        (Some(system), _) => system.to_owned(),
        (None, _) => cause.class.to_owned(),
    }
}

impl<'a> Removed<'a> {
    fn of(
        book: &'a Book<'a>,
        part: &'a GrowthPart,
        cause: &Cause,
        events: &'a [Happening],
        group: Option<&EventGroup>,
    ) -> Self {
        let members = group.map_or(&[][..], |group| &group.members);
        let is_new = |member: &usize| events[*member].kind == ONBOARDED;
        let came = members.iter().copied().filter(is_new);
        let (blamed, others): (Vec<usize>, Vec<usize>) =
            came.partition(|member| cause.event.as_deref() == Some(&*event_id(*member)));
        let label = |member: usize| &*events[member].label;
        Self {
            book,
            part,
            blamed: blamed.first().copied().map(label),
            others: others.into_iter().map(label).collect(),
        }
    }

    /// Tells what becomes of a cell.
    fn fate(&self, number: u32) -> Fate {
        if self.part.cells.iter().any(|(cell, _)| *cell == number) {
            return Fate::Goes;
        }
        let cell = self.book.charges.cells.get(number);
        let its = &self.part.cell;
        if !cell.class.has_holder() {
            return Fate::Apart;
        }
        // Of many who hold it in turn none is the cause: it is that they share it.
        if its.blocker == InTheWay::Many && (cell.class, &cell.table) == (its.class, &its.table) {
            return Fate::Goes;
        }
        let root = match &cell.blocker {
            InTheWay::System(system) => self.book.system(*system),
            InTheWay::Prepared { owner, .. } => owner.as_ref().map(ToString::to_string),
            InTheWay::Nobody | InTheWay::Unseen | InTheWay::Many => None,
        };
        match root.as_deref() {
            Some(root) if self.blamed == Some(root) => Fate::Goes,
            Some(root) if self.others.contains(&root) => Fate::Stays,
            _ => Fate::GoesAlong,
        }
    }

    /// Sums the growth of a part's cells of one fate, in seconds per call.
    fn growth(&self, part: &GrowthPart, fate: Fate) -> f64 {
        let of_fate = part
            .cells
            .iter()
            .filter(|(cell, _)| self.fate(*cell) == fate);
        of_fate.map(|(_, growth)| growth).sum()
    }

    /// Gives the share of those who queued that goes with the cause.
    fn takes_along(&self, comparison: &Comparison) -> f64 {
        if self.blamed.is_none() && self.part.cell.blocker != InTheWay::Many {
            return 0.0;
        }
        let sum = |fate: Fate| -> f64 {
            let parts = comparison.parts.iter();
            let growths = parts.map(|part| self.growth(part, fate).max(0.0));
            growths.sum()
        };
        let (goes, stays) = (sum(Fate::Goes), sum(Fate::Stays));
        if goes > 0.0 {
            goes / (goes + stays)
        } else {
            0.0
        }
    }

    /// Gives the mean without it, in seconds per call.
    fn mean(&self, comparison: &Comparison) -> Option<f64> {
        let [_, calls] = comparison.calls?;
        let Some((_, before)) = &comparison.before else {
            return Some(comparison.after.1.value - self.part.seconds / calls);
        };
        let along = self.takes_along(comparison);
        let (mut rest, mut was) = (Vec::new(), 0.0);
        for part in &comparison.parts {
            let of = |fate| self.growth(part, fate);
            let all: f64 = part.cells.iter().map(|(_, growth)| growth.abs()).sum();
            let stays = of(Fate::Stays) + of(Fate::Apart) + (1.0 - along) * of(Fate::GoesAlong);
            let share = |growth: f64| if all > 0.0 { growth.abs() / all } else { 0.0 };
            if stays.abs() > 0.0 {
                rest.push((stays, share(stays) * part.estimate.error()));
            }
            // Of what goes, what was there before goes too.
            let level = part.seconds / calls - part.estimate.value;
            was += share(of(Fate::Goes)) * level;
        }
        // Of what no look saw there may have been as much as one sighting stands for.
        let window = &comparison.after.0;
        let looks = self.book.charges.looks.iter();
        let (mut seconds, mut ticks) = (0.0, 0.0);
        for look in looks.filter(|look| window.contains(look.at)) {
            seconds += look.span.as_secs_f64();
            ticks += f64::from(look.ticks);
        }
        Some(before.value - was + least_error(rest, seconds / ticks / calls))
    }
}

/// Says what the victim would be without the growth of what nobody is in the way of, or without that
/// part of it that one system brought; of the slowest calls that is not known.
fn as_before(comparison: &Comparison, part: &GrowthPart, cause: &Cause) -> WhatIf {
    let bringer = cause
        .blocker
        .as_ref()
        .and_then(|bringer| bringer.system.as_deref());
    let brought = part.apportioned.as_ref().and_then(|it| it.shares.first());
    let (removed, share) = match (bringer, brought) {
        (Some(system), Some((_, share))) => (format!("the load of {system}"), *share),
        (Some(system), None) => (format!("the old snapshot of {system}"), 1.0),
        _ => (format!("the growth of {}", cause.class), 1.0),
    };
    let mean = comparison.after.1.value - share * part.estimate.value;
    WhatIf {
        removed,
        mean_ms: Some(mean.max(0.0) * 1e3),
        p99_ms: None,
    }
}

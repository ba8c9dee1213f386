//! Statements that several systems run, and whose calls are whose.
//!
//! The server counts the calls of a statement, and not who made them. The mean of such a *pool*
//! moves with its members: when one joins whose calls are slow by nature, the mean of all is up
//! though nobody became slower. So around an event from which the members differ, those who run the
//! statement before *and* after, its *residents*, are a victim of their own.
//!
//! ```text
//!  look        ┆          ●                    ┆          ●
//!  session A   ┼──[ s ]───┼ idle: A ran s      ┼──────────┼
//!          B   ┼──────────┼─[ s ]──────────────┼──[ s ]───┼ B ran s
//!                   └ began within the last part of the time since the look before
//! ```
//! A session that is at work or idle tells its last statement and when that began. Of what began in a
//! last part of the time between two looks all is seen, save what another statement of the session
//! has overtaken since: with all of that time most of it where sessions pause, with a small part of it
//! nearly all. The part is the largest whose sightings amount to the calls that the server counted in
//! the window, so nearly that whose the rest are matters little to the residents; where none does,
//! nobody knows by this whose calls are whose.
//!
//! Then a *companion* may tell: a statement that only residents run, so many to one of the pool's
//! while they had that to themselves, as an `UPDATE` to its `COMMIT`. Its calls are counted.
//! Either way the residents' calls are *estimated*.
//!
//! Nothing here does I/O or reads a clock, and nothing can fail.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::attribution::charge::{Charges, SystemId, VictimKey};
use crate::attribution::event::EventGroup;
use crate::attribution::statistics::{Block, Estimate, Ratio};
use crate::attribution::window::{Cuts, Window};
use crate::names::Statements;
use crate::recording::Recording;
use crate::sample::Session;
use crate::time::Span;

/// Parts of the time between two looks, each half of the one before.
const PARTS: usize = 4;
/// Sightings stand for the calls that were counted where what they are off, if all of it were the
/// residents', is no more than this of theirs …
const OFF: f64 = 0.15;
/// … in each window in which others run it too, by at least so many, …
const SIGHTINGS: u32 = 100;
/// … so many of them of residents.
const OF_RESIDENTS: u32 = 30;
/// A companion's calls are to the pool's as they were, give or take this much (95 %), …
const AS_THEY_WERE: f64 = 0.1;
/// … over at least so many before and after.
const ENOUGH: f64 = 100.0;
/// Who has so much of the time or the calls changes a mean.
const MATTERS: f64 = 0.02;

/// Who runs a statement before and after an event, as a victim of its own.
#[derive(Debug)]
pub(super) struct Residents {
    /// The statement, as a victim with everybody who runs it.
    pub(super) pool: u32,
    /// The place of the group of events.
    pub(super) group: usize,
    pub(super) systems: BTreeSet<Option<SystemId>>,
    /// Their calls in each piece, estimated; `NaN` where not known.
    pub(super) calls: Vec<f64>,
}

/// How many executions of a system were seen to begin in a piece, by the part of the time between
/// looks.
type Begun = [u32; PARTS];

/// The executions of a pool that were seen to begin: for each system by piece.
type Sightings = BTreeMap<Option<SystemId>, BTreeMap<usize, Begun>>;

/// A statement whose calls are counted, and who was seen to run it.
struct Counted {
    systems: BTreeSet<Option<SystemId>>,
    calls: Vec<f64>,
}

/// What a pool did in a window.
struct Within<'a> {
    window: &'a Window,
    /// Calls counted in the pieces that are known.
    calls: f64,
    by_system: BTreeMap<Option<SystemId>, Member>,
}

/// A member's part of it.
#[derive(Clone, Copy, Debug, Default)]
struct Member {
    begun: Begun,
    seconds: f64,
}

/// Finds the residents of each statement whose members differ before and after a group of events.
pub(super) fn residents(
    recording: &Recording,
    charges: &Charges,
    (cuts, groups): (&Cuts, &[EventGroup]),
    statements: &Statements,
    system_of: impl Fn(&Session) -> Option<SystemId>,
) -> Vec<Residents> {
    // Of minutes without samples nobody knows who began what.
    if !recording.minutes.is_empty() || groups.is_empty() {
        return Vec::new();
    }
    let mut seconds: HashMap<u32, BTreeMap<Option<SystemId>, BTreeMap<usize, f64>>> =
        HashMap::new();
    for charge in &charges.all {
        if let Some((piece, scale)) = cuts.of_tick(charge.tick) {
            let of = seconds.entry(charge.victim).or_default();
            let pieces = of.entry(charge.system).or_default();
            *pieces.entry(piece).or_default() += charge.seconds * scale;
        }
    }
    let begun = sightings(recording, charges, cuts, system_of);
    let nothing = BTreeMap::new();
    let mut counted: BTreeMap<u32, Counted> = BTreeMap::new();
    for (victim, seen) in &begun {
        let key = charges.victims.get(*victim);
        let known = key.database.zip(key.statement);
        let calls = known.and_then(|(database, id)| cuts.calls(database, id, statements));
        let at_work = seconds.get(victim).unwrap_or(&nothing);
        let systems = seen.keys().chain(at_work.keys()).copied().collect();
        counted.extend(calls.map(|calls| (*victim, Counted { systems, calls })));
    }
    let mut residents = Vec::new();
    for (pool, Counted { calls, .. }) in &counted {
        let seen = &begun[pool];
        if seen.len() < 2 {
            continue;
        }
        let at_work = seconds.get(pool).unwrap_or(&nothing);
        for (place, group) in groups.iter().enumerate() {
            let (Some(before), Some(after)) = (&group.before, &group.after) else {
                continue;
            };
            let sides = [before, after].map(|window| Within::of(window, calls, seen, at_work));
            let found = differing(&sides).and_then(|systems| {
                let theirs = told_apart(&systems, &sides, seen, calls)
                    .or_else(|| by_companion(&systems, &sides, calls, counted.values()))?;
                Some((systems, theirs))
            });
            residents.extend(found.map(|(systems, calls)| Residents {
                pool: *pool,
                group: place,
                systems,
                calls,
            }));
        }
    }
    residents
}

/// Counts what sessions were seen to have begun since the look before.
fn sightings(
    recording: &Recording,
    charges: &Charges,
    cuts: &Cuts,
    system_of: impl Fn(&Session) -> Option<SystemId>,
) -> BTreeMap<u32, Sightings> {
    let mut begun: BTreeMap<u32, Sightings> = BTreeMap::new();
    let looks = recording.snapshots.iter().enumerate();
    for ((_, before), (look, snapshot)) in looks.clone().zip(looks.skip(1)) {
        let Some(piece) = cuts.piece(look) else {
            continue;
        };
        let gap = snapshot.tick.at.since(before.tick.at);
        for session in snapshot.sessions.iter().filter(|it| it.is_client()) {
            let Some(start) = session.query_start else {
                continue;
            };
            // What began while the look was taken is of the next one.
            let age = snapshot.tick.at.since(start);
            if age < Span::ZERO || age >= gap {
                continue;
            }
            let key = VictimKey {
                database: session.database,
                statement: session.statement,
            };
            let Some(pool) = charges.victims.find(&key) else {
                continue;
            };
            let of = begun.entry(pool).or_default();
            let pieces = of.entry(system_of(session)).or_default();
            let counts = pieces.entry(piece).or_default();
            for (part, count) in counts.iter_mut().enumerate() {
                *count += u32::from(age.as_micros() << part < gap.as_micros());
            }
        }
    }
    begun
}

impl<'a> Within<'a> {
    fn of(
        window: &'a Window,
        calls: &[f64],
        seen: &Sightings,
        seconds: &BTreeMap<Option<SystemId>, BTreeMap<usize, f64>>,
    ) -> Self {
        let counts = |piece: &usize| window.has(*piece) && calls[*piece].is_finite();
        let mut by_system: BTreeMap<Option<SystemId>, Member> = BTreeMap::new();
        for (system, pieces) in seen {
            let begun = pieces.iter().filter(|(piece, _)| counts(piece));
            let member = by_system.entry(*system).or_default();
            for (_, counted) in begun {
                add(&mut member.begun, counted);
            }
        }
        for (system, pieces) in seconds {
            let at_work = pieces.iter().filter(|(piece, _)| counts(piece));
            by_system.entry(*system).or_default().seconds += at_work.map(|(_, s)| s).sum::<f64>();
        }
        by_system.retain(|_, member| member.begun[0] > 0 || member.seconds > 0.0);
        let counted = (0..calls.len()).filter(counts).map(|piece| calls[piece]);
        Self {
            window,
            calls: counted.sum(),
            by_system,
        }
    }

    /// Sums over some members.
    fn sum(&self, of: impl Fn(Option<SystemId>) -> bool) -> Member {
        let mut sum = Member::default();
        for (_, member) in self.by_system.iter().filter(|(system, _)| of(**system)) {
            add(&mut sum.begun, &member.begun);
            sum.seconds += member.seconds;
        }
        sum
    }

    /// Tells whether nobody else had a part in it.
    fn is_only_of(&self, residents: &BTreeSet<Option<SystemId>>) -> bool {
        self.by_system
            .keys()
            .all(|system| residents.contains(system))
    }

    /// Sums what is known of the pieces.
    fn known(&self, calls: &[f64]) -> f64 {
        let pieces = calls.iter().enumerate();
        let known = pieces.filter(|(piece, calls)| self.window.has(*piece) && calls.is_finite());
        known.map(|(_, calls)| calls).sum()
    }

    /// Sets the calls of the pieces.
    fn each_piece(&self, theirs: &mut [f64], of: impl Fn(usize) -> f64) {
        for piece in self.window.blocks.iter().cloned().flatten() {
            theirs[piece] = of(piece);
        }
    }

    /// Tells whether the sightings in a part of the time between looks amount to the calls counted,
    /// as far as that matters to some of the members.
    fn amounts(&self, part: usize, theirs: u32) -> bool {
        let seen = self.sum(|_| true).begun[part];
        let stands_for = |seen: u32| f64::from(seen) * f64::from(1_u32 << part);
        let off = (stands_for(seen) - self.calls).abs();
        seen >= SIGHTINGS && off <= OFF * stands_for(theirs)
    }
}

/// Gives the residents, where the members differ.
fn differing([before, after]: &[Within<'_>; 2]) -> Option<BTreeSet<Option<SystemId>>> {
    let both = before.by_system.keys().copied();
    let residents: BTreeSet<Option<SystemId>> = both
        .filter(|system| after.by_system.contains_key(system))
        .collect();
    let differs = [before, after].into_iter().any(|side| {
        let all = side.sum(|_| true);
        let rest = side.sum(|system| !residents.contains(&system));
        rest.seconds > MATTERS * all.seconds
            || f64::from(rest.begun[0]) > MATTERS * f64::from(all.begun[0])
    });
    differs.then_some(residents)
}

/// Gives the residents' calls in each piece by what was seen, where that tells whose calls are whose.
fn told_apart(
    residents: &BTreeSet<Option<SystemId>>,
    sides: &[Within<'_>; 2],
    seen: &Sightings,
    calls: &[f64],
) -> Option<Vec<f64>> {
    let is_resident = |system: Option<SystemId>| residents.contains(&system);
    let mut theirs = vec![f64::NAN; calls.len()];
    for side in sides {
        if side.is_only_of(residents) {
            side.each_piece(&mut theirs, |piece| calls[piece]);
            continue;
        }
        let part = (0..PARTS).find(|&part| {
            let theirs = side.sum(is_resident).begun[part];
            theirs >= OF_RESIDENTS && side.amounts(part, theirs)
        })?;
        let count = |piece: usize, of: &dyn Fn(Option<SystemId>) -> bool| {
            let systems = seen.iter().filter(|(system, _)| of(**system));
            let begun = systems.filter_map(|(_, pieces)| Some(pieces.get(&piece)?[part]));
            f64::from(begun.sum::<u32>())
        };
        let of_window = |of: &dyn Fn(Option<SystemId>) -> bool| f64::from(side.sum(of).begun[part]);
        let usual = of_window(&is_resident) / of_window(&|_| true);
        side.each_piece(&mut theirs, |piece| {
            let all = count(piece, &|_| true);
            let share = if all > 0.0 {
                count(piece, &is_resident) / all
            } else {
                usual
            };
            calls[piece] * share
        });
    }
    Some(theirs)
}

/// Gives the residents' calls in each piece by those of a companion, where there is one.
fn by_companion<'a>(
    residents: &BTreeSet<Option<SystemId>>,
    [before, after]: &[Within<'_>; 2],
    calls: &[f64],
    counted: impl Iterator<Item = &'a Counted>,
) -> Option<Vec<f64>> {
    if !before.is_only_of(residents) {
        return None;
    }
    let only_theirs = counted.filter(|other| other.systems.is_subset(residents));
    let companion = |other: &'a Counted| {
        let blocks = before.window.blocks.iter().map(|pieces| Block {
            seconds: calls[pieces.clone()].iter().sum(),
            per: other.calls[pieces.clone()].iter().sum(),
        });
        let ratio = Ratio::of(blocks.filter(|block| block.per.is_finite()))?;
        let off = Estimate::of(ratio).half_width()? / ratio.value;
        let sums = [before, after].map(|side| side.known(&other.calls));
        let is_one = off <= AS_THEY_WERE && sums.iter().all(|sum| *sum >= ENOUGH);
        is_one.then_some((off, ratio.value, other))
    };
    let (_, ratio, other) = only_theirs
        .filter_map(companion)
        .min_by(|a, b| a.0.total_cmp(&b.0))?;
    // Of what all did no more is theirs than all of it.
    if ratio * after.known(&other.calls) > (1.0 + AS_THEY_WERE) * after.calls {
        return None;
    }
    let mut theirs = vec![f64::NAN; calls.len()];
    before.each_piece(&mut theirs, |piece| calls[piece]);
    after.each_piece(&mut theirs, |piece| ratio * other.calls[piece]);
    Some(theirs)
}

fn add(sum: &mut Begun, more: &Begun) {
    for (sum, more) in sum.iter_mut().zip(more) {
        *sum = sum.saturating_add(*more);
    }
}

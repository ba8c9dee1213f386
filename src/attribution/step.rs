//! When a system that was there all along begins to do much more.
//!
//! A system's rate is what the server counts of the statements that only this system runs. Where it
//! is best divided in two it has changed, if that divides it better than nearly all orders of the same
//! blocks of time would; then each part is looked at in turn. It stepped *up* where it does twice
//! what it did in any part before: who comes back to its pace after a jam has not.
//!
//! What follows within seconds on an arrival may be its consequence, as a storm of retries is, and is
//! no event of its own.
//!
//! Nothing here does I/O or reads a clock, and nothing can fail. Equal input gives equal output.

use rand::SeedableRng as _;
use std::collections::BTreeMap;

use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;

use crate::attribution::charge::SystemId;
use crate::attribution::event::{APART, Happening};
use crate::attribution::growth::Ledger;
use crate::recording::Event;
use crate::time::Timestamp;

/// A rate is known over so many seconds.
const SIDE: f64 = 10.0;
/// A block is at least so many seconds, …
const BLOCK: f64 = 4.0;
/// … and so many are in a series at most.
const BLOCKS: usize = 120;
/// Of so many series without a step one is found to have one, all systems together.
const ONE_IN: usize = 100;
/// Blocks are put in another order so many times at most.
const ORDERS: usize = 19_999;
/// A step is to at least so many times the rate …
const FACTOR: f64 = 2.0;
/// … and makes so many calls more.
const CALLS: f64 = 20.0;

/// What a system did in a stretch of time.
#[derive(Clone, Copy, Debug, Default)]
struct Done {
    seconds: f64,
    calls: f64,
}

impl Done {
    fn rate(self) -> f64 {
        self.calls / self.seconds
    }

    fn of(series: &[Self]) -> Self {
        let mut sum = Self::default();
        for done in series {
            sum.seconds += done.seconds;
            sum.calls += done.calls;
        }
        sum
    }
}

/// A step up: before which place of the series, from what rate, to what.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Step {
    place: usize,
    rates: [f64; 2],
}

/// Adds the steps of those who were there to what else happened, in order of time.
pub(super) fn with_steps(mut events: Vec<Happening>, ledger: &Ledger<'_>) -> Vec<Happening> {
    let calls = calls_of_systems(ledger);
    let orders = (20 * ONE_IN * calls.len()).min(ORDERS);
    // Of as many orders fewer than this may divide as well.
    let most = (orders + 1) / (ONE_IN * calls.len().max(1));
    let mut found = Vec::new();
    for (system, calls) in calls {
        let known: Vec<usize> = (0..calls.len())
            .filter(|&piece| calls[piece].is_finite())
            .collect();
        let done = |&piece: &usize| Done {
            seconds: ledger.cuts.seconds(piece),
            calls: calls[piece],
        };
        let series: Vec<Done> = known.iter().map(done).collect();
        let label = ledger.charges.systems.get(system);
        for step in steps(&series, orders, most) {
            let piece = known[step.place];
            let from = ledger.cuts.start(piece);
            let to = ledger.cuts.start(piece + 1);
            if !events.iter().any(|event| may_follow(event, from, to)) {
                found.push(Happening {
                    at: from,
                    kind: Event::RATE,
                    label: label.clone(),
                    declared: false,
                    rates: Some(step.rates),
                });
            }
        }
    }
    events.append(&mut found);
    events.sort_by(|a, b| (a.at, &a.label).cmp(&(b.at, &b.label)));
    events
}

/// Sums each system's calls in each piece: of the statements that nobody else runs.
fn calls_of_systems(ledger: &Ledger<'_>) -> BTreeMap<SystemId, Vec<f64>> {
    let mut sums: BTreeMap<SystemId, Vec<f64>> = BTreeMap::new();
    let pieces = ledger.cuts.pieces();
    for (victim, _) in (0..).zip(ledger.charges.victims.values()) {
        let [Some(system)] = *ledger.runners(victim) else {
            continue;
        };
        let calls = (0..pieces).map(|piece| ledger.calls(victim, piece));
        if calls.clone().all(|calls| calls.is_none()) {
            continue;
        }
        let sum = sums.entry(system).or_insert_with(|| vec![0.0; pieces]);
        for (sum, calls) in sum.iter_mut().zip(calls) {
            *sum += calls.unwrap_or(f64::NAN);
        }
    }
    sums
}

/// Tells whether what began in a stretch of time may be what an event led to, or the event itself.
fn may_follow(event: &Happening, from: Timestamp, to: Timestamp) -> bool {
    event.at <= to && from.since(event.at) < APART
}

/// Finds the steps up of a series.
fn steps(series: &[Done], orders: usize, most: usize) -> Vec<Step> {
    let mut places = Vec::new();
    divide(series, 0, orders, most, &mut places);
    places.sort_unstable();
    let ends = places.iter().copied().chain([series.len()]);
    let mut steps = Vec::new();
    let (mut highest, mut from) = (None::<f64>, 0);
    for end in ends {
        let part = Done::of(&series[from..end]);
        if let Some(highest) = highest
            && part.rate() >= FACTOR * highest
            && part.calls - highest * part.seconds >= CALLS
        {
            steps.push(Step {
                place: from,
                rates: [highest, part.rate()],
            });
        }
        highest = Some(highest.map_or(part.rate(), |highest| highest.max(part.rate())));
        from = end;
    }
    steps
}

/// Divides a series where its rate changes, and again.
fn divide(series: &[Done], first: usize, orders: usize, most: usize, places: &mut Vec<usize>) {
    let blocks = blocks(series);
    let mut shuffled: Vec<Done> = blocks.iter().map(|(_, done)| *done).collect();
    let Some((block, observed)) = best(&shuffled) else {
        return;
    };
    let mut rng = StdRng::seed_from_u64(0x0070_676a_616d);
    let mut as_good = 1;
    for _ in 0..orders {
        shuffled.shuffle(&mut rng);
        as_good += usize::from(best(&shuffled).is_some_and(|(_, gain)| gain >= observed));
        if as_good > most {
            return;
        }
    }
    // Within a block it is known better where.
    let around = [block - 1, block + 1].map(|block| blocks.get(block).map(|(place, _)| *place));
    let around = around[0].unwrap_or(0).max(1)..=around[1].unwrap_or(series.len() - 1);
    let gain_at = |place: &usize| gain(&series[..*place], &series[*place..]);
    let place = around
        .max_by(|a, b| gain_at(a).total_cmp(&gain_at(b)))
        .unwrap_or(blocks[block].0);
    places.push(first + place);
    divide(&series[..place], first, orders, most, places);
    divide(&series[place..], first + place, orders, most, places);
}

/// Puts a series into blocks, each with the place of its first.
fn blocks(series: &[Done]) -> Vec<(usize, Done)> {
    let length = Done::of(series).seconds / BLOCKS as f64;
    let mut blocks: Vec<(usize, Done)> = Vec::new();
    for (place, done) in series.iter().enumerate() {
        match blocks.last_mut() {
            Some((_, block)) if block.seconds < length.max(BLOCK) => {
                *block = Done::of(&[*block, *done]);
            }
            _ => blocks.push((place, *done)),
        }
    }
    blocks
}

/// Finds where a series is best divided in two parts that are long enough, and how well that is.
fn best(series: &[Done]) -> Option<(usize, f64)> {
    let all = Done::of(series);
    let mut before = Done::default();
    let mut best = None;
    for (place, done) in series.iter().enumerate() {
        let after = Done {
            seconds: all.seconds - before.seconds,
            calls: all.calls - before.calls,
        };
        if before.seconds >= SIDE && after.seconds >= SIDE {
            let gain = between(before, after);
            if best.is_none_or(|(_, most)| gain > most) {
                best = Some((place, gain));
            }
        }
        before = Done::of(&[before, *done]);
    }
    best
}

fn gain(before: &[Done], after: &[Done]) -> f64 {
    between(Done::of(before), Done::of(after))
}

/// Tells by how much the squares around one rate are more than those around two.
fn between(before: Done, after: Done) -> f64 {
    let apart = after.rate() - before.rate();
    let weight = before.seconds * after.seconds / (before.seconds + after.seconds);
    weight * apart * apart
}

#[cfg(test)]
mod tests {
    use rand::RngExt as _;

    use super::*;

    /// A series of pieces of two seconds, with Poisson's noise.
    fn series(parts: &[(f64, usize)], seed: u64) -> Vec<Done> {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut poisson = |mean: f64| {
            let (limit, mut product, mut count) = ((-mean).exp(), 1.0, -1.0);
            while product > limit {
                product *= rng.random::<f64>();
                count += 1.0;
            }
            count
        };
        let pieces = parts
            .iter()
            .flat_map(|&(rate, pieces)| (0..pieces).map(move |_| rate));
        let pieces = pieces.map(|rate| Done {
            seconds: 2.0,
            calls: poisson(2.0 * rate),
        });
        pieces.collect()
    }

    fn found(parts: &[(f64, usize)], seed: u64) -> Vec<usize> {
        let steps = steps(&series(parts, seed), 1_999, 20);
        steps.iter().map(|step| step.place).collect()
    }

    #[test]
    fn a_rate_that_triples_is_found_where_it_does() {
        for seed in 0..20 {
            let places = found(&[(4.0, 20), (12.0, 20)], seed);
            assert!(matches!(places[..], [19..=21]), "{places:?}");
        }
    }

    #[test]
    fn a_steady_rate_has_no_step_nor_has_one_that_grows_by_half() {
        for seed in 0..50 {
            assert_eq!(found(&[(6.0, 100)], seed), [0; 0]);
            assert_eq!(found(&[(6.0, 50), (9.0, 50)], seed), [0; 0]);
        }
    }

    #[test]
    fn who_comes_back_to_its_pace_after_a_jam_has_not_stepped_up() {
        for seed in 0..20 {
            assert_eq!(found(&[(8.0, 20), (0.2, 10), (8.0, 20)], seed), [0; 0]);
        }
    }

    #[test]
    fn what_lasts_for_seconds_only_is_no_step() {
        for seed in 0..20 {
            assert_eq!(found(&[(4.0, 30), (20.0, 2), (4.0, 30)], seed), [0; 0]);
        }
    }

    #[test]
    fn too_little_is_known_of_a_few_seconds() {
        assert_eq!(found(&[(1.0, 4), (30.0, 4)], 1), [0; 0]);
        assert_eq!(found(&[], 1), [0; 0]);
    }
}

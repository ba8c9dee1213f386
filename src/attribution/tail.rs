//! How slow a victim's slowest calls are, what they spent their time on, and what without it.
//!
//! The mean of a window is its sampled seconds over its calls; its tail comes of the same
//! seconds, by how old each execution was (`quantile`), and the same calls.
//!
//! - A quantile that the data does not support is not told, with the reason.
//! - A p99 is no sum of parts. What can be said of a cause is its share of the time of the slowest
//!   calls, and what the p99 would be at most without it.
//!
//! Nothing here does I/O or reads a clock, and nothing can fail.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::ops::Range;

use crate::attribution::Book;
use crate::attribution::charge::Charge;
use crate::attribution::execution::Execution;
use crate::attribution::finding::{NotTold, Quantiles, TailBasis};
use crate::attribution::growth::Ledger;
use crate::attribution::quantile::{Ages, Census, Sighting, quantile};
use crate::attribution::window::Window;
use crate::time::Span;

/// One call in twenty, and one in a hundred, take longer.
const BEYOND: [f64; 2] = [0.05, 0.01];
/// From fewer sampled sessions a p99 is off by more than a fifth, as often as not.
const FEWEST_ROWS: usize = 300;
/// A quantile speaks of so many calls beyond it at least.
const FEWEST_BEYOND: f64 = 10.0;
/// More executions than calls by this factor are no chance.
const MOST_SEEN_PER_CALL: f64 = 1.5;
/// A look reads a session up to its own length after the instant that it gives: an age of so many
/// looks is off by a fifth at most.
const LOOKS: i64 = 5;
/// Of the charged seconds so many have an age, or the samples of a part are gone.
const WITH_AGE: f64 = 0.99;

/// A victim's tail in one window.
#[derive(Debug)]
pub(super) struct Slowest {
    pub(super) told: Quantiles,
    /// Seconds of the slowest calls by cell.
    by_cell: BTreeMap<u32, f64>,
}

/// A victim's session at one look.
struct Row {
    execution: u32,
    age: Span,
    /// Seconds that it stands for, scaled.
    seconds: f64,
    /// The places of its charges.
    charges: Range<usize>,
}

/// What a victim did in a window.
struct Sample<'a> {
    rows: Vec<Row>,
    charges: Vec<&'a Charge>,
    calls: Option<f64>,
    /// Seconds charged, with an age or not.
    seconds: f64,
}

/// The pieces of a window that count: those of its blocks, with calls where these are wanted.
fn pieces(ledger: &Ledger<'_>, victim: u32, window: &Window, counted: bool) -> BTreeSet<usize> {
    let known = |pieces: &Range<usize>| {
        !counted
            || pieces
                .clone()
                .all(|piece| ledger.calls(victim, piece).is_some())
    };
    let blocks = window.blocks.iter().cloned();
    blocks.filter(known).flatten().collect()
}

impl Book<'_> {
    /// Reads a victim's tail in a window; `counted` where its calls are known.
    pub(super) fn slowest(
        &self,
        ledger: &Ledger<'_>,
        victim: u32,
        window: &Window,
        counted: bool,
    ) -> Slowest {
        let pieces = pieces(ledger, victim, window, counted);
        let sample = self.sample(ledger, victim, &pieces, counted);
        let mut under_way: Vec<u32> = sample.rows.iter().map(|row| row.execution).collect();
        under_way.sort_unstable();
        under_way.dedup();
        let mut told = Quantiles {
            p95_ms: None,
            p99_ms: None,
            p99_bracket_ms: None,
            basis: None,
            rows: sample.rows.len(),
            executions: under_way.len(),
            exact: 0,
            seen_per_call: None,
            why_not: None,
        };
        let nothing = |told, why_not| Slowest {
            told: Quantiles {
                why_not: Some(why_not),
                ..told
            },
            by_cell: BTreeMap::new(),
        };
        let Some(calls) = sample.calls else {
            return nothing(told, NotTold::CallsNotCounted);
        };
        let with_age: f64 = sample.rows.iter().map(|row| row.seconds).sum();
        if with_age < WITH_AGE * sample.seconds {
            return nothing(told, NotTold::NoAges);
        }
        if told.rows < FEWEST_ROWS {
            return nothing(told, NotTold::FewRows);
        }
        let (census, exact) = self.census(ledger, victim, &pieces);
        told.exact = exact;
        let (low, high) = census.bracket(BEYOND[1] * calls);
        told.p99_bracket_ms = high.map(|high| [low, high].map(Span::as_millis_f64));
        let sighting = |row: &Row| Sighting {
            age: row.age,
            seconds: row.seconds,
        };
        let ages = Ages::of(sample.rows.iter().map(sighting).collect());
        let look = self.look_takes(ledger, &pieces);
        told.seen_per_call = ages.past(look).map(|past| past / calls);
        if told.seen_per_call > Some(MOST_SEEN_PER_CALL) {
            return nothing(told, NotTold::MoreSeenThanCounted);
        }
        let [p95, p99] = BEYOND.map(|share| -> Option<(Span, TailBasis)> {
            let beyond = share * calls;
            if beyond < FEWEST_BEYOND {
                told.why_not = Some(NotTold::FewCalls);
                return None;
            }
            let (at, basis) = quantile(&ages, &census, beyond);
            if at <= Span::ZERO || at.as_micros() < LOOKS.saturating_mul(look.as_micros()) {
                told.why_not = Some(NotTold::ShorterThanALook);
                return None;
            }
            Some((at, basis))
        });
        told.p95_ms = p95.map(|(at, _)| at.as_millis_f64());
        // They are estimated apart, and may come from different ends of what is known.
        let p99 = p99.map(|(at, basis)| (at.max(p95.map_or(at, |(p95, _)| p95)), basis));
        told.p99_ms = p99.map(|(at, _)| at.as_millis_f64());
        told.basis = p99.map(|(_, basis)| basis);
        let mut by_cell = BTreeMap::new();
        if let Some((p95, _)) = p95 {
            let is_slow = |row: &&Row| self.executions.get(row.execution).length.at_least >= p95;
            for row in sample.rows.iter().filter(is_slow) {
                for charge in &sample.charges[row.charges.clone()] {
                    *by_cell.entry(charge.cell).or_default() += charge.seconds;
                }
            }
        }
        Slowest { told, by_cell }
    }

    /// Tells below which length 99 % of the calls would have stayed at the most without the
    /// charges that `removed` picks; in milliseconds.
    ///
    /// What an execution lost to them before it was first seen is not known and stays in its age:
    /// it is an upper bound.
    pub(super) fn p99_without(
        &self,
        ledger: &Ledger<'_>,
        victim: u32,
        window: &Window,
        removed: impl Fn(&Charge) -> bool,
    ) -> Option<f64> {
        let pieces = pieces(ledger, victim, window, true);
        let sample = self.sample(ledger, victim, &pieces, true);
        let calls = sample.calls?;
        let shortest =
            Span::from_micros(LOOKS.saturating_mul(self.look_takes(ledger, &pieces).as_micros()));
        // For each execution its age when it was last seen, the share of that look's time that
        // was removed, and what was removed of its age until then.
        let mut gone: HashMap<u32, (Span, f64, Span)> = HashMap::new();
        let mut left = Vec::new();
        for row in &sample.rows {
            let charges = &sample.charges[row.charges.clone()];
            let all = charges.len() as f64;
            let seconds = |charge: &Charge| charge.seconds;
            let whole: f64 = charges.iter().map(|charge| seconds(charge)).sum();
            let taken = charges.iter().filter(|charge| removed(charge));
            let (count, sum) = taken.fold((0.0, 0.0), |(count, sum), charge| {
                (count + 1.0, sum + seconds(charge))
            });
            let share = if whole > 0.0 {
                sum / whole
            } else {
                count / all
            };
            let until_now = match gone.get(&row.execution) {
                Some((age, before, gone)) => {
                    *gone + part(row.age.less(*age), (before + share) / 2.0)
                }
                None => Span::ZERO,
            };
            gone.insert(row.execution, (row.age, share, until_now));
            left.push(Sighting {
                age: row.age.less(until_now).max(Span::ZERO),
                seconds: row.seconds * (1.0 - share),
            });
        }
        let at = Ages::of(left).passed_by(BEYOND[1] * calls);
        Some(at.max(shortest).as_millis_f64())
    }

    /// Collects what a victim did in some pieces of time.
    fn sample(
        &self,
        ledger: &Ledger<'_>,
        victim: u32,
        pieces: &BTreeSet<usize>,
        counted: bool,
    ) -> Sample<'_> {
        let mut sample = Sample {
            rows: Vec::new(),
            charges: Vec::new(),
            calls: counted.then(|| {
                let calls = pieces
                    .iter()
                    .filter_map(|&piece| ledger.calls(victim, piece));
                calls.sum()
            }),
            seconds: 0.0,
        };
        let mut last = None;
        for charge in &self.by_victim[victim as usize] {
            let charge = &self.charges.all[*charge];
            let Some((piece, scale)) = ledger.cuts.of_tick(charge.tick) else {
                continue;
            };
            if !pieces.contains(&piece) {
                continue;
            }
            let seconds = charge.seconds * scale;
            sample.seconds += seconds;
            let execution = charge
                .row
                .and_then(|row| self.executions.of_row(charge.tick, row));
            let Some(execution) = execution else {
                continue;
            };
            let place = sample.charges.len();
            sample.charges.push(charge);
            let same = last.replace((charge.tick, charge.row)) == Some((charge.tick, charge.row));
            match sample.rows.last_mut().filter(|_| same) {
                Some(row) => {
                    row.seconds += seconds;
                    row.charges.end = place + 1;
                }
                None => sample.rows.push(Row {
                    execution,
                    age: self.charges.looks[charge.tick]
                        .at
                        .since(self.executions.get(execution).start),
                    seconds,
                    charges: place..place + 1,
                }),
            }
        }
        sample
    }

    /// Ranks what is known of a victim's executions in some pieces of time, and counts those of
    /// which it is known exactly when they ended.
    fn census(
        &self,
        ledger: &Ledger<'_>,
        victim: u32,
        pieces: &BTreeSet<usize>,
    ) -> (Census, usize) {
        let counts = |look: usize| {
            let piece = ledger.cuts.piece(look);
            piece.is_some_and(|piece| pieces.contains(&piece))
        };
        let (mut ended, mut perhaps, mut exact) = (Vec::new(), Vec::new(), 0);
        let mut sessions = HashSet::new();
        let part = ledger.part_of(victim);
        let is_theirs = |execution: &&Execution| {
            part.is_none_or(|part| part.systems.contains(&execution.system))
        };
        let all = self.charges.victims.get(ledger.pool(victim));
        for execution in self.executions.of_victim(all).filter(is_theirs) {
            let [last, next] = [execution.last, execution.last + 1].map(counts);
            if last && next {
                ended.push(execution.length);
                exact += usize::from(execution.is_exact());
            }
            if last || next {
                perhaps.push(execution.length);
                sessions.insert(execution.backend);
            }
        }
        let looks = &self.charges.looks;
        let gaps = (1..looks.len())
            .filter(|&look| counts(look - 1) || counts(look))
            .map(|look| (looks[look].at + looks[look].server).since(looks[look - 1].at));
        let census = Census::of(ended.into_iter(), perhaps.into_iter(), gaps, sessions.len());
        (census, exact)
    }

    /// Tells how long a look takes on average in some pieces of time.
    fn look_takes(&self, ledger: &Ledger<'_>, pieces: &BTreeSet<usize>) -> Span {
        let (mut sum, mut count) = (Span::ZERO, 0);
        for (look, taken) in self.charges.looks.iter().enumerate() {
            let piece = ledger.cuts.piece(look);
            if piece.is_some_and(|piece| pieces.contains(&piece)) {
                sum += taken.server;
                count += 1;
            }
        }
        Span::from_micros(sum.as_micros() / count.max(1))
    }
}

impl Slowest {
    /// Gives the share of some cells in the time of the slowest calls, as far as these were
    /// seen; none without a p95.
    pub(super) fn share(&self, cells: impl Iterator<Item = u32>) -> Option<f64> {
        let all: f64 = self.by_cell.values().sum();
        let of = cells.filter_map(|cell| self.by_cell.get(&cell));
        // A sum of nothing is -0.0.
        (all > 0.0).then(|| of.fold(0.0, |sum, seconds| sum + seconds) / all)
    }
}

/// Takes a part of a span, from none of it to all.
fn part(span: Span, share: f64) -> Span {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a float beyond the range becomes its end"
    )]
    let micros = (span.as_micros() as f64 * share) as i64;
    Span::from_micros(micros)
}

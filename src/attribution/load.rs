//! DB load: how many sessions were active at a time, whose, and what their time went into.

use std::collections::{BTreeMap, HashMap};

use crate::attribution::cause::{Cell, InTheWay};
use crate::attribution::charge::{Charges, tally};
use crate::attribution::finding::{LoadCell, LoadOverTime, Series};
use crate::names::Statements;
use crate::statement::Statement;
use crate::time::{Rfc3339, Span, Timestamp};

/// A chart of the load has about so many bins.
const BINS: i64 = 240;
/// The finest bin.
const FINEST: Span = Span::from_secs(1);
/// So many causes are drawn apart; the rest is one.
const CAUSES: usize = 7;
/// So many cells are kept apart; those that are lighter are summed by class.
const CELLS: usize = 1_200;

/// Spreads all charges over bins of time, the heaviest cell first; nothing of them is left out.
pub(super) fn over_time(charges: &Charges, statements: &Statements) -> LoadOverTime {
    // Not the first and the last look: the clock may have stepped back between them.
    let times = || charges.looks.iter().map(|look| look.at);
    let (Some(first), Some(last)) = (times().min(), times().max()) else {
        return LoadOverTime::default();
    };
    let bin = (last.since(first).as_micros() / BINS).max(FINEST.as_micros());
    let bin_of = |at: Timestamp| u32::try_from(at.since(first).as_micros() / bin).unwrap_or(0);
    let mut watched = vec![0.0; bin_of(last) as usize + 1];
    for look in &charges.looks {
        watched[bin_of(look.at) as usize] += look.span.as_secs_f64();
    }
    let mut seconds: HashMap<_, BTreeMap<u32, f64>> = HashMap::new();
    for charge in &charges.all {
        let cell = (charge.victim, charge.system, charge.cell);
        let bin = bin_of(charges.looks[charge.tick].at);
        *seconds.entry(cell).or_default().entry(bin).or_default() += charge.seconds;
    }
    let mut seconds: Vec<_> = seconds.into_iter().collect();
    let sum = |bins: &BTreeMap<u32, f64>| bins.values().sum::<f64>();
    seconds.sort_by(|a, b| sum(&b.1).total_cmp(&sum(&a.1)).then(a.0.cmp(&b.0)));
    let cells = seconds
        .into_iter()
        .map(|((victim, system, cell), seconds)| {
            let statement = charges.victims.get(victim).statement;
            let statement = statement.and_then(|id| statements.get(id));
            let cell = charges.cells.get(cell);
            LoadCell {
                statement: statement.map(Statement::short),
                system: system.map(|system| charges.systems.get(system).to_string()),
                class: cell.class.name(),
                table: cell.table.as_deref().map(str::to_owned),
                blocker: blocker(charges, cell),
                bins: (seconds.into_iter())
                    .map(|(bin, seconds)| (bin, seconds / watched[bin as usize]))
                    .collect(),
            }
        });
    // One tick in a bin says little of the bin, as at the end of the watch.
    let enough = 0.3 * Span::from_micros(bin).as_secs_f64();
    LoadOverTime {
        from: Rfc3339(first),
        bin: Span::from_micros(bin),
        cells: cells.collect(),
        watched: watched.iter().map(|&seen| seen > enough).collect(),
    }
}

fn blocker(charges: &Charges, cell: &Cell) -> Option<String> {
    match &cell.blocker {
        InTheWay::System(system) => Some(charges.systems.get((*system)?).to_string()),
        InTheWay::Prepared { gid, .. } => Some(format!("prepared {gid}")),
        _ => None,
    }
}

impl LoadOverTime {
    /// Sums the load by cause, the largest first; the series stack.
    pub(super) fn by_cause(&self) -> Vec<Series> {
        let causes: Vec<String> = self.cells.iter().map(LoadCell::cause).collect();
        let sums = causes.iter().map(String::as_str).zip(&self.cells);
        let drawn = tally(sums.map(|(cause, cell)| (cause, cell.sum())));
        let drawn: Vec<&str> = drawn
            .into_iter()
            .take(CAUSES)
            .map(|(cause, _)| cause)
            .collect();
        let mut series: BTreeMap<usize, Vec<f64>> = BTreeMap::new();
        for (cause, cell) in causes.iter().zip(&self.cells) {
            let place = drawn.iter().position(|drawn| drawn == cause);
            let bins = series
                .entry(place.unwrap_or(drawn.len()))
                .or_insert_with(|| vec![0.0; self.watched.len()]);
            for &(bin, sessions) in &cell.bins {
                bins[bin as usize] += sessions;
            }
        }
        let begins = |n: usize| {
            let offset = self.bin.as_micros() * i64::try_from(n).unwrap_or(0);
            Rfc3339(self.from.0 + Span::from_micros(offset))
        };
        let points = |bins: Vec<f64>| {
            let bins = bins.into_iter().zip(&self.watched).enumerate();
            bins.map(|(n, (sessions, watched))| (begins(n), watched.then_some(sessions)))
                .collect()
        };
        series
            .into_iter()
            .map(|(place, bins)| Series {
                label: drawn
                    .get(place)
                    .copied()
                    .unwrap_or("other causes")
                    .to_owned(),
                points: points(bins),
            })
            .collect()
    }

    /// Keeps the heaviest cells apart and sums the rest by class.
    pub(super) fn bounded(mut self) -> Self {
        if self.cells.len() <= CELLS {
            return self;
        }
        let mut rest: BTreeMap<&'static str, BTreeMap<u32, f64>> = BTreeMap::new();
        for cell in self.cells.drain(CELLS..) {
            let sums = rest.entry(cell.class).or_default();
            for (bin, sessions) in cell.bins {
                *sums.entry(bin).or_default() += sessions;
            }
        }
        self.cells
            .extend(rest.into_iter().map(|(class, bins)| LoadCell {
                statement: None,
                system: None,
                class,
                table: None,
                blocker: None,
                bins: bins.into_iter().collect(),
            }));
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A cell for each weight, in three bins, the second of which nobody watched.
    fn load(weights: impl Iterator<Item = f64>) -> LoadOverTime {
        let cell = |(n, weight): (usize, f64)| LoadCell {
            statement: Some(format!("SELECT {n}")),
            system: Some(format!("system-{n}")),
            class: if n % 2 == 0 { "row-lock" } else { "own-work" },
            table: Some(format!("public.t{}", n % 20)),
            blocker: None,
            bins: vec![(0, weight), (2, 2.0 * weight)],
        };
        LoadOverTime {
            from: Rfc3339::default(),
            bin: Span::from_secs(1),
            watched: vec![true, false, true],
            cells: weights.enumerate().map(cell).collect(),
        }
    }

    fn sum(load: &LoadOverTime) -> f64 {
        load.cells.iter().map(LoadCell::sum).sum()
    }

    #[test]
    fn three_thousand_cells_are_bounded_and_still_add_up() {
        let whole = load((0..3_000).map(|n| f64::from(3_000 - n)));
        let bounded = whole.clone().bounded();
        assert_eq!(
            bounded.cells.len(),
            CELLS + 2,
            "the rest is one cell for each class"
        );
        assert!((sum(&bounded) - sum(&whole)).abs() < 1e-6);
        assert_eq!(bounded.cells[..CELLS], whole.cells[..CELLS]);
    }

    #[test]
    fn causes_stack_to_the_whole_and_a_gap_is_no_zero() {
        let whole = load((0..100).map(|_| 0.5));
        let series = whole.by_cause();
        assert_eq!(series.len(), CAUSES + 1);
        assert_eq!(
            series.last().map(|last| last.label.as_str()),
            Some("other causes")
        );
        let at =
            |bin: usize| -> Option<f64> { series.iter().map(|series| series.points[bin].1).sum() };
        assert_eq!([at(0), at(1), at(2)], [Some(50.0), None, Some(100.0)]);
    }
}

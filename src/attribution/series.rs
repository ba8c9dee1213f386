//! Quantities over time, for charts.

use std::collections::BTreeMap;

use crate::attribution::cause::{Cell, InTheWay};
use crate::attribution::charge::{Charges, tally};
use crate::attribution::finding::Series;
use crate::attribution::growth::Ledger;
use crate::time::{Rfc3339, Span, Timestamp};

/// A load chart has about so many bins.
const BINS: i64 = 120;
/// The finest bin.
const FINEST: Span = Span::from_secs(1);
/// So many causes are drawn apart; the rest is one.
const CAUSES: usize = 7;

/// Draws mean latency in milliseconds per call of some victims, a point for each look.
pub(super) fn latency(ledger: &Ledger<'_>, victims: &[(u32, String)]) -> Vec<Series> {
    let point = |victim: u32, piece: usize| {
        let watched = ledger.cuts.is_watched(piece);
        let calls = ledger
            .calls(victim, piece)
            .filter(|calls| watched && *calls > 0.0);
        let mean = calls.map(|calls| ledger.seconds(victim, piece) / calls * 1e3);
        (Rfc3339(ledger.cuts.start(piece)), mean)
    };
    victims
        .iter()
        .map(|(victim, label)| Series {
            label: label.clone(),
            points: (0..ledger.cuts.pieces())
                .map(|piece| point(*victim, piece))
                .collect(),
        })
        .collect()
}

/// Draws average active sessions by cause, largest cause first; the series stack.
pub(super) fn load(charges: &Charges) -> Vec<Series> {
    // Not the first and the last look: the clock may have stepped back between them.
    let times = || charges.looks.iter().map(|look| look.at);
    let (Some(first), Some(last)) = (times().min(), times().max()) else {
        return Vec::new();
    };
    let bin = (last.since(first).as_micros() / BINS).max(FINEST.as_micros());
    let bin_of = |at: Timestamp| usize::try_from(at.since(first).as_micros() / bin).unwrap_or(0);
    let bins = bin_of(last) + 1;
    let mut watched = vec![0.0; bins];
    for look in &charges.looks {
        watched[bin_of(look.at)] += look.span.as_secs_f64();
    }
    let cells = charges.cells.values().iter();
    let labels: Vec<String> = cells.map(|cell| label(charges, cell)).collect();
    let by_cause = tally(
        charges
            .all
            .iter()
            .map(|charge| (&*labels[charge.cell as usize], charge.seconds)),
    );
    let drawn: Vec<&str> = by_cause
        .into_iter()
        .take(CAUSES)
        .map(|(label, _)| label)
        .collect();
    let cause = |label: &String| drawn.iter().position(|drawn| drawn == label);
    let causes = labels
        .iter()
        .map(|label| cause(label).unwrap_or(drawn.len()));
    let causes: Vec<usize> = causes.collect();
    let mut seconds: BTreeMap<usize, Vec<f64>> = BTreeMap::new();
    for charge in &charges.all {
        let cause = causes[charge.cell as usize];
        let bin = bin_of(charges.looks[charge.tick].at);
        seconds.entry(cause).or_insert_with(|| vec![0.0; bins])[bin] += charge.seconds;
    }
    // One tick in a bin says little of the bin, as at the end of the watch.
    let seen = |n: usize| watched[n] > 0.3 * Span::from_micros(bin).as_secs_f64();
    let begins = |n: usize| first + Span::from_micros(bin * i64::try_from(n).unwrap_or(0));
    seconds
        .into_iter()
        .map(|(cause, seconds)| Series {
            label: drawn
                .get(cause)
                .map_or("other causes", |label| *label)
                .to_owned(),
            points: (0..bins)
                .map(|n| (Rfc3339(begins(n)), seen(n).then(|| seconds[n] / watched[n])))
                .collect(),
        })
        .collect()
}

/// Says in a legend's words what a cell is.
fn label(charges: &Charges, cell: &Cell) -> String {
    let class = match cell.class.name() {
        "own-work" => "running",
        other => other,
    };
    let at = cell
        .table
        .as_ref()
        .map(|table| format!(" {table}"))
        .unwrap_or_default();
    let by = match &cell.blocker {
        InTheWay::System(Some(system)) => format!(" by {}", charges.systems.get(*system)),
        InTheWay::Prepared { gid, .. } => format!(" by prepared {gid}"),
        _ => String::new(),
    };
    format!("{class}{at}{by}")
}

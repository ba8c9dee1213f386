//! A victim's latency over time, for charts.

use crate::attribution::finding::Series;
use crate::attribution::growth::Ledger;
use crate::time::Rfc3339;

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

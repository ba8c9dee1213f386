//! Stretches of time, cut where the counters were read.
//!
//! Calls are known only at the looks at `pg_stat_statements`; every window and
//! every block within it therefore begins and ends at such a look. Without the
//! extension the cuts are regular, and calls are unknown.
//!
//! Charged seconds are scaled by the block's length over the time that its ticks
//! stand for, so that jitter and a few missed ticks bias nothing. A block of which
//! less than half was watched is not used.

use std::collections::HashMap;
use std::ops::Range;

use crate::attribution::charge::Look;
use crate::names::Statements;
use crate::pg::{Oid, QueryId};
use crate::recording::Recording;
use crate::statement::StatementId;
use crate::time::{Span, Timestamp};

/// The shortest stretch between two cuts when there are no counters.
const REGULAR_CUT: Span = Span::from_secs(2);
/// A window is divided into so many blocks, if it has as many pieces.
const BLOCKS: usize = 10;

/// Where time is cut, and what is known of each piece.
#[derive(Debug)]
pub(super) struct Cuts {
    at: Vec<Timestamp>,
    /// For each piece, the factor on charged seconds; none if too little was watched.
    scale: Vec<Option<f64>>,
    /// For each tick, the piece that it lies in.
    piece_of_tick: Vec<Option<usize>>,
    calls: Option<HashMap<(Oid, QueryId), Vec<f64>>>,
}

/// A window: a range of pieces, grouped into blocks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Window {
    pub(super) blocks: Vec<Range<usize>>,
    pub(super) from: Timestamp,
    pub(super) to: Timestamp,
}

impl Cuts {
    /// Finds the cuts of a recording.
    pub(super) fn of(recording: &Recording, looks: &[Look]) -> Self {
        let counted = recording.counters.len() >= 2;
        let at: Vec<Timestamp> = if counted {
            recording
                .counters
                .iter()
                .map(|counters| counters.at)
                .collect()
        } else {
            regular(looks)
        };
        let pieces = at.len().saturating_sub(1);
        let piece_of_tick: Vec<Option<usize>> = looks
            .iter()
            .map(|look| {
                at.partition_point(|&cut| cut <= look.at)
                    .checked_sub(1)
                    .filter(|&p| p < pieces)
            })
            .collect();
        let mut watched = vec![Span::ZERO; pieces];
        for (look, piece) in looks.iter().zip(&piece_of_tick) {
            if let Some(piece) = *piece {
                watched[piece] += look.span;
            }
        }
        let scale = (0..pieces)
            .map(|piece| {
                let length = at[piece + 1].since(at[piece]).as_secs_f64();
                let watched = watched[piece].as_secs_f64();
                (watched > 0.5 * length).then(|| length / watched)
            })
            .collect();
        let calls = counted.then(|| calls(recording));
        Self {
            at,
            scale,
            piece_of_tick,
            calls,
        }
    }

    /// Gives the piece that a tick lies in and the factor on its seconds.
    pub(super) fn of_tick(&self, tick: usize) -> Option<(usize, f64)> {
        let piece = self.piece_of_tick[tick]?;
        Some((piece, self.scale[piece]?))
    }

    /// Tells how many calls of a statement each piece saw complete.
    ///
    /// None where nothing counts them; `NaN` for a piece in which the counters were reset.
    pub(super) fn calls(
        &self,
        database: Oid,
        statement: StatementId,
        statements: &Statements,
    ) -> Option<Vec<f64>> {
        let calls = self.calls.as_ref()?;
        let ids = statements.query_ids(statement);
        let mut known = ids.iter().filter_map(|id| calls.get(&(database, *id)));
        let mut sum = known.next()?.clone();
        for more in known {
            sum.iter_mut()
                .zip(more)
                .for_each(|(sum, more)| *sum += more);
        }
        Some(sum)
    }

    /// Gives the length of a piece in seconds.
    pub(super) fn seconds(&self, piece: usize) -> f64 {
        self.at[piece + 1].since(self.at[piece]).as_secs_f64()
    }

    /// Gives the start of a piece.
    pub(super) fn start(&self, piece: usize) -> Timestamp {
        self.at[piece]
    }

    /// Gives the number of pieces.
    pub(super) fn pieces(&self) -> usize {
        self.scale.len()
    }

    /// Tells whether enough of a piece was watched to use it.
    pub(super) fn is_watched(&self, piece: usize) -> bool {
        self.scale[piece].is_some()
    }

    /// Gives all that was cut, as one window; none where that is no whole piece.
    ///
    /// Its first look at the counters comes before the first tick, its last after the last.
    pub(super) fn whole(&self) -> Option<Window> {
        self.window(*self.at.first()?, *self.at.last()?)
    }

    /// Cuts a window out of the stretch `from..to`; none if no whole piece lies in it.
    pub(super) fn window(&self, from: Timestamp, to: Timestamp) -> Option<Window> {
        let first = self.at.partition_point(|&cut| cut < from);
        let last = self.at.partition_point(|&cut| cut <= to).checked_sub(1)?;
        if last <= first {
            return None;
        }
        let pieces = last - first;
        let count = pieces.min(BLOCKS);
        let cut = |block: usize| first + block * pieces / count;
        let mut blocks: Vec<Range<usize>> =
            (0..count).map(|block| cut(block)..cut(block + 1)).collect();
        blocks.retain(|block| block.clone().all(|piece| self.is_watched(piece)));
        Some(Window {
            blocks,
            from: self.at[first],
            to: self.at[last],
        })
    }
}

impl Window {
    /// Gives its length.
    pub(super) fn length(&self) -> Span {
        self.to.since(self.from)
    }

    /// Tells whether an instant lies in it.
    pub(super) fn contains(&self, at: Timestamp) -> bool {
        self.from <= at && at < self.to
    }
}

/// Cuts time into pieces of about [`REGULAR_CUT`] where there were looks.
///
/// A stretch without looks is one piece, however long.
fn regular(looks: &[Look]) -> Vec<Timestamp> {
    let mut cuts: Vec<Timestamp> = Vec::new();
    for look in looks {
        if cuts
            .last()
            .is_none_or(|&cut| look.at.since(cut) >= REGULAR_CUT)
        {
            cuts.push(look.at);
        }
    }
    cuts
}

/// Turns cumulative counters into calls per piece.
fn calls(recording: &Recording) -> HashMap<(Oid, QueryId), Vec<f64>> {
    let pieces = recording.counters.len() - 1;
    let mut last: HashMap<(Oid, QueryId), i64> = HashMap::new();
    let mut calls: HashMap<(Oid, QueryId), Vec<f64>> = HashMap::new();
    for (look, counters) in recording.counters.iter().enumerate() {
        for row in &counters.rows {
            let key = (row.database, row.query_id);
            let before = last.insert(key, row.calls);
            let Some(piece) = look.checked_sub(1) else {
                continue;
            };
            let counted = match before {
                // A counter that falls was reset or evicted: nobody knows how many were lost.
                Some(before) if row.calls < before => f64::NAN,
                Some(before) => (row.calls - before) as f64,
                None => row.calls as f64,
            };
            calls.entry(key).or_insert_with(|| vec![0.0; pieces])[piece] = counted;
        }
    }
    for key in last.into_keys() {
        calls.entry(key).or_insert_with(|| vec![0.0; pieces]);
    }
    calls
}

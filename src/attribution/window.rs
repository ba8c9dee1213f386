//! Stretches of time, cut where the counters were read.
//!
//! Calls are known only at the looks at `pg_stat_statements`; every window and
//! every block within it therefore begins and ends at such a look. Without the
//! extension the cuts are regular, and calls are unknown.
//!
//! Charged seconds are scaled by the block's length over the part of it that some tick
//! stands for, so that a few missed ticks bias nothing. What a tick at the edge stands for
//! beyond the block is no part of that: how many ticks fall into a block has to do with what
//! they saw, since the pace follows that, and a division by their sum would undo what the
//! choice of their times achieves. A block of which less than half was watched is not used.

use std::collections::HashMap;
use std::ops::Range;

use crate::attribution::charge::Look;
use crate::names::Statements;
use crate::pg::{Oid, QueryId};
use crate::recording::Recording;
use crate::sample::StatementCounters;
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
        let counters = looks_at_counters(recording);
        let counted = counters.len() >= 2;
        let at: Vec<Timestamp> = if counted {
            counters.iter().map(|(at, _)| *at).collect()
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
        for look in looks {
            let [from, to] = look.stretch;
            let first = at.partition_point(|&cut| cut <= from).saturating_sub(1);
            for piece in first..pieces {
                if at[piece] >= to {
                    break;
                }
                watched[piece] += to.min(at[piece + 1]).since(from.max(at[piece]));
            }
        }
        let scale = (0..pieces)
            .map(|piece| {
                let length = at[piece + 1].since(at[piece]).as_secs_f64();
                let watched = watched[piece].as_secs_f64();
                (watched > 0.5 * length).then(|| length / watched)
            })
            .collect();
        let calls = counted.then(|| calls(&counters));
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

    /// Gives the piece that a tick lies in.
    pub(super) fn piece(&self, tick: usize) -> Option<usize> {
        *self.piece_of_tick.get(tick)?
    }

    /// Tells how many calls of a statement each piece saw complete.
    ///
    /// None where nothing counts them; `NaN` for a piece in which the entry was reset or evicted.
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

    /// Gives the start of a piece, or with their number the end of the last.
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

    /// Tells whether a piece is compared in it.
    pub(super) fn has(&self, piece: usize) -> bool {
        self.blocks.iter().any(|block| block.contains(&piece))
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

/// Lists the looks at the counters: the last of each minute whose samples are gone, and then all.
pub(super) fn looks_at_counters(recording: &Recording) -> Vec<(Timestamp, &[StatementCounters])> {
    let minutes = recording
        .minutes
        .iter()
        .filter_map(|rolled| Some((rolled.minute.counted?, &rolled.counters[..])));
    let looks = recording.counters.iter();
    minutes
        .chain(looks.map(|look| (look.at, &look.rows[..])))
        .collect()
}

/// Turns cumulative counters into calls per piece.
///
/// From the look that misses an entry to the one that finds it again, both pieces
/// included, nobody knows how many calls there were: an entry comes back with the call
/// that made it, and may have come and gone between two looks.
fn calls(looks: &[(Timestamp, &[StatementCounters])]) -> HashMap<(Oid, QueryId), Vec<f64>> {
    let pieces = looks.len() - 1;
    let mut last: HashMap<(Oid, QueryId), (usize, StatementCounters)> = HashMap::new();
    let mut calls: HashMap<(Oid, QueryId), Vec<f64>> = HashMap::new();
    for (look, (_, rows)) in looks.iter().enumerate() {
        for row in *rows {
            let key = (row.database, row.query_id);
            let before = last.insert(key, (look, *row));
            let Some(piece) = look.checked_sub(1) else {
                continue;
            };
            let calls = calls.entry(key).or_insert_with(|| vec![0.0; pieces]);
            match before {
                None => calls[piece] = row.calls.map_or(f64::NAN, |calls| calls as f64),
                Some((gone, StatementCounters { calls: None, .. })) => {
                    calls[gone.saturating_sub(1)..=piece].fill(f64::NAN);
                }
                Some((_, before)) => {
                    let more = row.calls_since(&before);
                    calls[piece] = more.map_or(f64::NAN, |calls| calls as f64);
                }
            }
        }
    }
    for (key, (look, row)) in last {
        let calls = calls.entry(key).or_insert_with(|| vec![0.0; pieces]);
        if row.calls.is_none() {
            calls[look.saturating_sub(1)..].fill(f64::NAN);
        }
    }
    calls
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pg::Version;
    use crate::sample::{Counters, Server};

    /// What one look says of an entry.
    #[derive(Clone, Copy)]
    enum Told {
        Nothing,
        Gone,
        Calls(i64),
        Took(i64, f64),
    }
    use Told::{Calls, Gone, Nothing, Took};

    fn check(looks: &[Told], expected: &[Option<f64>]) {
        let counters = |(second, told): (i64, &Told)| {
            let at = Timestamp::from_micros(1_000_000 * second);
            let row = |calls: Option<i64>, exec_ms: f64| StatementCounters {
                at,
                database: Oid(1),
                query_id: QueryId(1),
                calls,
                exec_ms,
                rows: 0,
                blocks_hit: 0,
                blocks_read: 0,
                wal_bytes: 0,
            };
            let row = match *told {
                Nothing => None,
                Gone => Some(row(None, 0.0)),
                Calls(calls) => Some(row(Some(calls), 2.0 * calls as f64)),
                Took(calls, exec_ms) => Some(row(Some(calls), exec_ms)),
            };
            Counters {
                at,
                rows: row.into_iter().collect(),
            }
        };
        let server = Server {
            version_num: Version(150_000),
            system_identifier: None,
            in_recovery: false,
            started_at: Timestamp::default(),
            address: String::new(),
            has_statements: true,
        };
        let recording = Recording {
            counters: (0..).zip(looks).map(counters).collect(),
            ..Recording::empty(server)
        };
        let counted = calls(&looks_at_counters(&recording)).remove(&(Oid(1), QueryId(1)));
        let counted: Vec<Option<f64>> = counted
            .iter()
            .flatten()
            .map(|calls| Some(*calls).filter(|calls| calls.is_finite()))
            .collect();
        assert_eq!(counted, expected);
    }

    #[test]
    fn calls_are_the_difference_between_looks() {
        let looks = [Calls(5), Calls(9), Nothing, Calls(10)];
        check(&looks, &[Some(4.0), Some(0.0), Some(1.0)]);
        check(&[Nothing, Calls(3), Nothing], &[Some(3.0), Some(0.0)]);
    }

    #[test]
    fn calls_are_unknown_while_an_entry_is_gone() {
        let looks = [Calls(5), Calls(9), Gone, Nothing, Nothing];
        check(&looks, &[Some(4.0), None, None, None]);
    }

    #[test]
    fn calls_are_unknown_until_an_entry_is_back_whatever_it_then_counts() {
        let looks = [Calls(5), Gone, Nothing, Calls(80), Calls(81)];
        check(&looks, &[None, None, None, Some(1.0)]);
    }

    #[test]
    fn calls_are_unknown_when_any_counter_fell() {
        check(&[Calls(5), Calls(4)], &[None]);
        check(&[Took(5, 900.0), Took(7, 20.0)], &[None]);
    }
}

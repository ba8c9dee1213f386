//! Counters in a stretch that begins in the middle of a recording.
//!
//! A look tells what changed since the last one, and the first look in an hour tells everything.
//! So a stretch is read from the start of its hour, and what was told before it becomes its first
//! look. Where the hour did not begin with such a look nobody knows by how much an entry grew that
//! is told for the first time later: it may be new, or have stood still since before that hour.

use std::collections::{BTreeMap, HashSet};

use super::charge::RolledUp;
use crate::pg::{Oid, QueryId};
use crate::sample::{Counters, StatementCounters};
use crate::time::Timestamp;

/// A look: when, and what it told.
pub(super) type Told<'l> = (Timestamp, &'l mut Vec<StatementCounters>);

/// Lists the looks of minutes, and then those of which all is there.
pub(super) fn counters_of<'l>(
    minutes: &'l mut [RolledUp],
    looks: &'l mut [Counters],
) -> Vec<Told<'l>> {
    let minutes = minutes.iter_mut().filter_map(|rolled| {
        let at = rolled.minute.counted?;
        Some((at, &mut rolled.counters))
    });
    let looks = looks.iter_mut().map(|look| (look.at, &mut look.rows));
    minutes.chain(looks).collect()
}

/// Makes one look of all before `from`, which tells how everything stood at the last of them.
pub(super) fn begin_at(looks: &mut Vec<Counters>, from: Timestamp) {
    let before = looks.partition_point(|look| look.at < from);
    let Some(last) = before.checked_sub(1) else {
        return;
    };
    let at = looks[last].at;
    let rows = looks.drain(..before).flat_map(|look| look.rows);
    let rows = last_of_each(rows, at);
    looks.insert(0, Counters { at, rows });
}

/// Counters of a stretch, as they last stood in it.
///
/// Of an entry that was not the same all the time it is told first that it was gone, since nobody
/// knows how many calls there were.
#[derive(Debug, Default)]
pub(super) struct AsTheyLastStood {
    /// Each with whether it went on from what was told before.
    last: BTreeMap<(Oid, QueryId), (bool, StatementCounters)>,
}

impl AsTheyLastStood {
    /// Adds what was told, of each entry in order of time.
    pub(super) fn add(&mut self, row: StatementCounters) {
        let told = self.last.entry((row.database, row.query_id));
        let (goes_on, last) = told.or_insert((true, row));
        if row.at >= last.at && row != *last {
            *goes_on &= row.calls_since(last).is_some();
            *last = row;
        }
    }

    /// Gives them, as of the last look that told any.
    pub(super) fn rows(self) -> Vec<StatementCounters> {
        let at = self.last.values().map(|(_, row)| row.at).max();
        let at = at.unwrap_or_default();
        let rows = self.last.into_values().flat_map(|(goes_on, row)| {
            let gone = StatementCounters::gone(at, row.database, row.query_id);
            let was_gone = !goes_on && row.calls.is_some();
            let last = StatementCounters { at, ..row };
            was_gone.then_some(gone).into_iter().chain([last])
        });
        rows.collect()
    }
}

/// Makes one row of each entry, where what was told several times was not summed yet.
pub(super) fn condense(rows: &mut Vec<StatementCounters>) {
    let mut known = HashSet::new();
    let is_once = |row: &StatementCounters| known.insert((row.database, row.query_id));
    if rows.iter().all(is_once) {
        return;
    }
    rows.sort_by_key(|row| row.at);
    let mut last = AsTheyLastStood::default();
    rows.drain(..).for_each(|row| last.add(row));
    *rows = last.rows();
}

/// Completes a look by what was told before it.
pub(super) fn complete(
    look: &mut Vec<StatementCounters>,
    at: Timestamp,
    before: Vec<StatementCounters>,
) {
    let rows = before.into_iter().chain(std::mem::take(look));
    *look = last_of_each(rows, at);
}

/// Gives what was told last of each entry, as of `at`.
fn last_of_each(
    rows: impl Iterator<Item = StatementCounters>,
    at: Timestamp,
) -> Vec<StatementCounters> {
    let mut last: BTreeMap<(Oid, QueryId), StatementCounters> = BTreeMap::new();
    for row in rows {
        last.insert(
            (row.database, row.query_id),
            StatementCounters { at, ..row },
        );
    }
    last.into_values().collect()
}

/// Says of an entry that is told of for the first time that it was not known before.
pub(super) fn leave_first_growth_open(mut looks: Vec<Told<'_>>) {
    let mut known = HashSet::new();
    for place in 0..looks.len() {
        let rows = looks[place].1.iter();
        let new: Vec<StatementCounters> = rows
            .filter(|row| known.insert((row.database, row.query_id)))
            .copied()
            .collect();
        let Some(before) = place.checked_sub(1) else {
            continue;
        };
        let (at, rows) = &mut looks[before];
        let at = *at;
        rows.extend(new.into_iter().map(|row| StatementCounters {
            at,
            calls: None,
            ..row
        }));
    }
}

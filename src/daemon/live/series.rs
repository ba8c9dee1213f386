//! Sums by key, of which there are never more than so many.
//!
//! A key that has a series keeps counting there. Where all places are taken, a new key takes the
//! place of the one that has stood still longest, if that is more than a day; else what it brings
//! goes to the series of all others. So a name in which every pod has its own number cannot fill
//! a monitoring system, and a system that comes late is still seen.

use std::collections::BTreeMap;

use crate::time::{Span, Timestamp};

/// A series that has not moved for so long may make room.
const STILL: Span = Span::from_secs(24 * 3_600);

/// Sums of time by key.
#[derive(Clone, Debug)]
pub struct Series<K> {
    most: usize,
    sums: BTreeMap<K, Sum>,
    others: Span,
}

#[derive(Clone, Copy, Debug)]
struct Sum {
    time: Span,
    moved: Timestamp,
}

impl<K: Ord + Clone> Series<K> {
    /// Begins with room for `most` keys.
    #[must_use]
    pub const fn new(most: usize) -> Self {
        Self {
            most,
            sums: BTreeMap::new(),
            others: Span::ZERO,
        }
    }

    /// Adds time to a key's sum, or to that of the others.
    pub fn add(&mut self, key: K, time: Span, at: Timestamp) {
        if let Some(sum) = self.sums.get_mut(&key) {
            sum.time += time;
            sum.moved = at;
            return;
        }
        if self.sums.len() >= self.most && !self.make_room(at) {
            self.others += time;
            return;
        }
        self.sums.insert(key, Sum { time, moved: at });
    }

    /// Gives up the series that has stood still longest, if it has for long enough.
    fn make_room(&mut self, at: Timestamp) -> bool {
        let stillest = self.sums.iter().min_by_key(|(_, sum)| sum.moved);
        let Some((key, sum)) = stillest else {
            return false;
        };
        if at.since(sum.moved) < STILL {
            return false;
        }
        let key = key.clone();
        self.sums.remove(&key).is_some()
    }

    /// Lists the sums, by key.
    pub fn iter(&self) -> impl Iterator<Item = (&K, Span)> {
        self.sums.iter().map(|(key, sum)| (key, sum.time))
    }

    /// Gives the sum of all keys that had no place.
    #[must_use]
    pub const fn others(&self) -> Span {
        self.others
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(hours: i64) -> Timestamp {
        Timestamp::default() + Span::from_secs(hours * 3_600)
    }

    fn sums(series: &Series<&'static str>) -> Vec<(&'static str, i64)> {
        series
            .iter()
            .map(|(key, sum)| (*key, sum.as_micros()))
            .collect()
    }

    #[test]
    fn who_has_a_series_keeps_it_and_the_rest_is_one() {
        let mut series = Series::new(2);
        for key in ["a", "b", "c", "a", "d"] {
            series.add(key, Span::from_micros(1), at(0));
        }
        assert_eq!(sums(&series), [("a", 2), ("b", 1)]);
        assert_eq!(series.others(), Span::from_micros(2));
    }

    #[test]
    fn a_series_that_stood_still_for_a_day_makes_room() {
        let mut series = Series::new(2);
        series.add("a", Span::from_micros(1), at(0));
        series.add("b", Span::from_micros(1), at(20));
        series.add("c", Span::from_micros(1), at(23));
        series.add("d", Span::from_micros(1), at(24));
        assert_eq!(sums(&series), [("b", 1), ("d", 1)]);
        assert_eq!(series.others(), Span::from_micros(1));
    }
}

//! What may stay: by bytes and by age, samples and sums of minutes apart; and how fine the sums.
//!
//! - What is planned is a value: nothing here touches a file.
//! - Whole partitions go, hours of samples and days of sums, the oldest first, and never one that
//!   is being written.
//! - Texts and names stay: whatever is left may refer to them, and each is written once.

use super::grain::Grain;
use crate::time::Span;

const HOUR: i64 = 3_600_000_000;

/// How much may be kept; none is without a bound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retention {
    /// Bytes of samples: what was seen at ticks, and what was charged then.
    pub raw_bytes: Option<u64>,
    /// Their age.
    pub raw_age: Option<Span>,
    /// Bytes of the sums of minutes, and of what was told, seen to happen and lost.
    pub rollup_bytes: Option<u64>,
    /// Their age.
    pub rollup_age: Option<Span>,
    /// Bytes of days that are kept by the minute; beyond, they become sums of hours.
    pub minutes_bytes: Option<u64>,
    /// Bytes of days that are kept by the hour; beyond, they become sums of a day.
    pub hours_bytes: Option<u64>,
}

/// What a table's rows are, as far as it concerns how long they stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Class {
    /// Samples.
    Raw,
    /// Sums of minutes.
    Rollup,
    /// What both refer to.
    Kept,
}

impl Class {
    /// How many hours one partition of its tables has.
    ///
    /// Sums of minutes are few: in parts of an hour most of the bytes would be about the columns.
    pub(super) const fn hours(self) -> i64 {
        match self {
            Self::Raw | Self::Kept => 1,
            Self::Rollup => 24,
        }
    }

    /// Gives the first hour of the partition that an hour lies in.
    pub(super) const fn first_hour(self, hour: i64) -> i64 {
        hour - hour.rem_euclid(self.hours())
    }
}

/// A partition of the tables of one class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Held {
    pub(super) class: Class,
    /// Its first hour, since the Unix epoch.
    pub(super) hour: i64,
    pub(super) bytes: u64,
}

/// Says which hours of which class are to go, the oldest first, in the hour `now`.
pub(super) fn plan(held: &[Held], retention: Retention, now: i64) -> Vec<(Class, i64)> {
    let mut gone = Vec::new();
    for (class, bytes, age) in [
        (Class::Raw, retention.raw_bytes, retention.raw_age),
        (Class::Rollup, retention.rollup_bytes, retention.rollup_age),
    ] {
        let of_class = held.iter().filter(|held| held.class == class);
        let mut hours: Vec<&Held> = of_class.collect();
        hours.sort_by_key(|held| held.hour);
        let mut left: u64 = hours.iter().map(|held| held.bytes).sum();
        for held in hours {
            // It is as old as its last moment.
            let hours = now - held.hour - class.hours();
            if hours < 0 {
                continue;
            }
            let old = hours.saturating_mul(HOUR);
            if age.is_some_and(|age| old >= age.as_micros())
                || bytes.is_some_and(|most| left > most)
            {
                gone.push((class, held.hour));
                left -= held.bytes;
            }
        }
    }
    gone
}

/// What the sums of a day take, and how fine they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Day {
    /// Its first hour, since the Unix epoch.
    pub(super) hour: i64,
    pub(super) grain: Grain,
    pub(super) bytes: u64,
}

/// Says which day's sums are to become coarser next, the oldest first, in the hour `now`, and how
/// coarse.
pub(super) fn coarser(days: &[Day], retention: Retention, now: i64) -> Option<(i64, Grain)> {
    let bounds = [
        (Grain::Minute, retention.minutes_bytes),
        (Grain::Hour, retention.hours_bytes),
    ];
    bounds.into_iter().find_map(|(grain, most)| {
        let of_grain = || days.iter().filter(|day| day.grain == grain);
        let bytes: u64 = of_grain().map(|day| day.bytes).sum();
        let is_over = |day: &&Day| day.hour + Class::Rollup.hours() <= now;
        let oldest = of_grain().filter(is_over).min_by_key(|day| day.hour);
        let oldest = oldest.filter(|_| most.is_some_and(|most| bytes > most))?;
        Some((oldest.hour, grain.coarser()?))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_000;

    fn held(class: Class, hour: i64, bytes: u64) -> Held {
        Held { class, hour, bytes }
    }

    /// Ten partitions of each class up to the one that is being written, ten bytes each.
    fn ten() -> Vec<Held> {
        let classes = [Class::Kept, Class::Rollup, Class::Raw];
        (0..10)
            .flat_map(|ago| classes.map(|class| held(class, NOW - ago * class.hours(), 10)))
            .collect()
    }

    fn check(retention: Retention, expected: &[(Class, i64)]) {
        let gone = plan(&ten(), retention, NOW);
        let gone: Vec<(Class, i64)> = gone
            .iter()
            .map(|(class, hour)| (*class, hour - NOW))
            .collect();
        assert_eq!(gone, expected);
    }

    #[test]
    fn without_bounds_everything_stays() {
        check(Retention::default(), &[]);
    }

    #[test]
    fn the_oldest_hours_go_until_the_rest_has_room() {
        let retention = Retention {
            raw_bytes: Some(75),
            rollup_bytes: Some(90),
            ..Retention::default()
        };
        let expected = [
            (Class::Raw, -9),
            (Class::Raw, -8),
            (Class::Raw, -7),
            (Class::Rollup, -9 * 24),
        ];
        check(retention, &expected);
    }

    #[test]
    fn an_hour_goes_when_its_last_moment_is_old_enough() {
        let retention = Retention {
            raw_age: Some(Span::from_micros(7 * HOUR)),
            rollup_age: Some(Span::from_micros(8 * 24 * HOUR + 1)),
            ..Retention::default()
        };
        check(retention, &[(Class::Raw, -9), (Class::Raw, -8)]);
    }

    #[test]
    fn the_hour_that_is_being_written_stays_and_so_do_later_ones() {
        let mut all = ten();
        all.push(held(Class::Raw, NOW + 5, 10));
        let retention = Retention {
            raw_bytes: Some(0),
            raw_age: Some(Span::ZERO),
            ..Retention::default()
        };
        let gone = plan(&all, retention, NOW);
        assert_eq!(gone.len(), 9);
        assert!(
            gone.iter()
                .all(|(class, hour)| *class == Class::Raw && *hour < NOW)
        );
    }

    /// Ten days up to today, ten bytes each, so many of them by the hour.
    fn days(by_the_hour: usize) -> Vec<Day> {
        let day = |ago: i64| Day {
            hour: NOW - ago * 24,
            grain: Grain::Minute,
            bytes: 10,
        };
        let mut days: Vec<Day> = (0..10).rev().map(day).collect();
        for day in &mut days[..by_the_hour] {
            day.grain = Grain::Hour;
        }
        days
    }

    #[test]
    fn the_oldest_day_becomes_coarser_where_those_of_its_grain_have_no_room() {
        let retention = Retention {
            minutes_bytes: Some(70),
            hours_bytes: Some(25),
            ..Retention::default()
        };
        let oldest = NOW - 9 * 24;
        assert_eq!(
            coarser(&days(0), retention, NOW),
            Some((oldest, Grain::Hour))
        );
        let next = oldest + 2 * 24;
        assert_eq!(coarser(&days(2), retention, NOW), Some((next, Grain::Hour)));
        assert_eq!(
            coarser(&days(3), retention, NOW),
            Some((oldest, Grain::Day))
        );
        let mut days = days(3);
        days[0].grain = Grain::Day;
        assert_eq!(coarser(&days, retention, NOW), None);
        assert_eq!(coarser(&days, Retention::default(), NOW), None);
    }

    #[test]
    fn the_day_that_is_being_written_keeps_its_minutes() {
        let retention = Retention {
            minutes_bytes: Some(0),
            ..Retention::default()
        };
        let today = &days(0)[9..];
        assert_eq!(coarser(today, retention, NOW), None);
        assert_eq!(
            coarser(today, retention, NOW + 24),
            Some((NOW, Grain::Hour))
        );
    }
}

//! The times in a log: what `log_timezone` makes of the server's clock.

use jiff::civil::DateTime;
use jiff::tz::{Offset, TimeZone};

use crate::time::Timestamp;

/// Reads the times of one log.
///
/// A log tells the wall's time and the abbreviation of its zone, which is no zone: `CST` is noon in
/// Chicago and in Shanghai. Only `UTC`, `GMT` and those that are numbers say enough by themselves;
/// for the others the name of the zone must be known.
#[derive(Clone, Debug, Default)]
pub struct Clock {
    zone: Option<TimeZone>,
}

/// A zone of which this machine knows nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no time zone is known here as '{0}'; names are as Europe/Berlin")]
pub struct UnknownZone(pub String);

/// Where a time was not understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoTime {
    /// It is none.
    Malformed,
    /// Its zone is not known.
    Unplaced,
}

impl Clock {
    /// Knows the zone, by its name or as a POSIX rule.
    ///
    /// # Errors
    /// When this machine knows of no such zone.
    pub fn of(name: &str) -> Result<Self, UnknownZone> {
        let known = TimeZone::get(name).or_else(|_| TimeZone::posix(name));
        match known {
            Ok(zone) => Ok(Self { zone: Some(zone) }),
            Err(_) => Err(UnknownZone(name.to_owned())),
        }
    }

    /// Reads `2026-11-23 14:03:05.120 UTC`, with or without a fraction.
    pub(super) fn read(&self, text: &str) -> Result<Timestamp, NoTime> {
        let mut words = text.splitn(3, ' ');
        let (Some(date), Some(time), Some(zone)) = (words.next(), words.next(), words.next())
        else {
            return Err(NoTime::Malformed);
        };
        let has_shape = date.len() == 10 && time.len() >= 8 && date.is_ascii() && time.is_ascii();
        let civil = format!("{date}T{time}").parse::<DateTime>();
        let civil = civil.ok().filter(|_| has_shape);
        let civil = civil.ok_or(NoTime::Malformed)?;
        self.place(civil, zone.trim_end())
    }

    fn place(&self, civil: DateTime, abbreviation: &str) -> Result<Timestamp, NoTime> {
        let at = |offset: Offset| {
            let instant = offset.to_timestamp(civil).map_err(|_| NoTime::Malformed)?;
            Ok(Timestamp::from_micros(instant.as_microsecond()))
        };
        if let Some(offset) = told(abbreviation) {
            return at(offset);
        }
        let zone = self.zone.as_ref().ok_or(NoTime::Unplaced)?;
        // An hour is there twice where the clocks go back: the abbreviation says which it is.
        let ambiguous = zone.to_ambiguous_zoned_datetime(civil);
        let both = [ambiguous.clone().earlier(), ambiguous.later()];
        let known = both.into_iter().flatten().find(|zoned| {
            let info = zone.to_offset_info(zoned.timestamp());
            info.abbreviation() == abbreviation
        });
        at(known.ok_or(NoTime::Unplaced)?.offset())
    }
}

/// Reads `1763906585.120`, seconds since 1970.
pub(super) fn epoch(text: &str) -> Option<Timestamp> {
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
    let seconds: i64 = seconds.parse().ok()?;
    let digits = fraction.bytes().chain(std::iter::repeat(b'0')).take(6);
    let micros = digits.map(char::from).collect::<String>().parse::<i64>();
    let micros = seconds.checked_mul(1_000_000)?.checked_add(micros.ok()?)?;
    Some(Timestamp::from_micros(micros))
}

/// Reads the abbreviations that say how far from Greenwich they are.
fn told(abbreviation: &str) -> Option<Offset> {
    if matches!(abbreviation, "UTC" | "GMT" | "UCT" | "Z") {
        return Some(Offset::UTC);
    }
    let sign = match abbreviation.bytes().next()? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let digits: String = abbreviation[1..].split(':').collect();
    let is_number = matches!(digits.len(), 2 | 4 | 6) && digits.bytes().all(|b| b.is_ascii_digit());
    let part = |n: usize| digits.get(n..n + 2).map_or(Ok(0), str::parse::<i32>);
    let [hours, minutes, seconds] = [part(0).ok()?, part(2).ok()?, part(4).ok()?];
    let offset = sign * (hours * 3_600 + minutes * 60 + seconds);
    Offset::from_seconds(offset).ok().filter(|_| is_number)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[track_caller]
    fn check(zone: Option<&str>, text: &str, expected: Result<&str, NoTime>) {
        let clock = zone.map_or_else(Clock::default, |zone| Clock::of(zone).unwrap());
        let read = clock.read(text).map(Timestamp::to_rfc3339);
        assert_eq!(read, expected.map(str::to_owned));
    }

    #[test]
    fn what_says_how_far_from_greenwich_it_is_needs_no_zone() {
        check(
            None,
            "2026-11-23 14:03:05.120 UTC",
            Ok("2026-11-23T14:03:05.120Z"),
        );
        check(
            None,
            "2026-11-23 14:03:05 -03",
            Ok("2026-11-23T17:03:05.000Z"),
        );
        check(
            None,
            "2026-11-23 14:03:05.120 +0530",
            Ok("2026-11-23T08:33:05.120Z"),
        );
    }

    #[test]
    fn an_abbreviation_alone_is_not_guessed() {
        check(None, "2026-11-23 14:03:05.120 CST", Err(NoTime::Unplaced));
        check(
            Some("America/Chicago"),
            "2026-11-23 14:03:05.120 CST",
            Ok("2026-11-23T20:03:05.120Z"),
        );
        check(
            Some("Asia/Shanghai"),
            "2026-11-23 14:03:05.120 CST",
            Ok("2026-11-23T06:03:05.120Z"),
        );
        // It was another zone then.
        check(
            Some("Europe/Berlin"),
            "2026-11-23 14:03:05.120 CST",
            Err(NoTime::Unplaced),
        );
    }

    #[test]
    fn the_hour_that_is_there_twice_is_told_apart() {
        let zone = Some("Europe/Berlin");
        check(
            zone,
            "2026-10-25 02:30:00.000 CEST",
            Ok("2026-10-25T00:30:00.000Z"),
        );
        check(
            zone,
            "2026-10-25 02:30:00.000 CET",
            Ok("2026-10-25T01:30:00.000Z"),
        );
    }

    #[test]
    fn what_is_no_time_is_none() {
        for text in [
            "",
            "yesterday at noon",
            "2026-13-23 14:03:05.120 UTC",
            "2026-11-23",
        ] {
            check(None, text, Err(NoTime::Malformed));
        }
        assert_eq!(epoch("soon"), None);
        assert_eq!(
            epoch("1763906585.120"),
            Some(Timestamp::from_micros(1_763_906_585_120_000))
        );
        assert!(Clock::of("Mars/Olympus").is_err());
    }
}

//! Server instants and spans: the only arithmetic on time.
//!
//! A [`Timestamp`] is what the *server's* clock said; the tool's own clock never
//! becomes one. Both types count whole microseconds, PostgreSQL's own grain, so
//! sums are exact.
//!
//! Subtraction saturates at zero where a negative span has no meaning (a clock
//! that stepped back must not turn a wait into a gain): see [`Timestamp::since`].

use std::fmt;
use std::iter::Sum;
use std::ops::{Add, AddAssign, Sub};

use serde::{Deserialize, Serialize};

/// An instant on the server's clock, in microseconds since the Unix epoch.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Timestamp(i64);

/// A length of time in microseconds.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Span(i64);

impl Timestamp {
    /// Takes microseconds since the Unix epoch.
    #[must_use]
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// Gives microseconds since the Unix epoch.
    #[must_use]
    pub const fn as_micros(self) -> i64 {
        self.0
    }

    /// Tells how long ago `earlier` was, zero where it lies in the future.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Span {
        let span = self.0.saturating_sub(earlier.0);
        Span(if span < 0 { 0 } else { span })
    }

    /// Writes RFC 3339 in UTC with milliseconds, as `2026-11-23T14:03:05.120Z`.
    #[must_use]
    pub fn to_rfc3339(self) -> String {
        jiff::Timestamp::from_microsecond(self.0)
            .map_or_else(|_| format!("@{}us", self.0), |at| format!("{at:.3}"))
    }

    /// Writes RFC 3339 in UTC with microseconds, all that the server tells.
    #[must_use]
    pub fn to_rfc3339_whole(self) -> String {
        jiff::Timestamp::from_microsecond(self.0)
            .map_or_else(|_| self.to_rfc3339(), |at| format!("{at:.6}"))
    }

    /// Writes the time of day in UTC, as `14:03:05`.
    #[must_use]
    pub fn to_clock(self) -> String {
        jiff::Timestamp::from_microsecond(self.0).map_or_else(
            |_| self.to_rfc3339(),
            |at| at.strftime("%H:%M:%S").to_string(),
        )
    }
}

/// An instant on its way to a reader: it serialises as RFC 3339 in UTC, whole, to the
/// microsecond, so that a backend's start can be compared with the server's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rfc3339(pub Timestamp);

impl Serialize for Rfc3339 {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0.to_rfc3339_whole())
    }
}

impl Span {
    /// No time at all.
    pub const ZERO: Self = Self(0);

    /// Takes microseconds.
    #[must_use]
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// Takes milliseconds.
    #[must_use]
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis * 1_000)
    }

    /// Takes whole seconds.
    #[must_use]
    pub const fn from_secs(secs: i64) -> Self {
        Self(secs * 1_000_000)
    }

    /// Gives microseconds.
    #[must_use]
    pub const fn as_micros(self) -> i64 {
        self.0
    }

    /// Gives milliseconds.
    #[must_use]
    pub fn as_millis_f64(self) -> f64 {
        self.0 as f64 / 1e3
    }

    /// Tells by how much it is longer than another; less than nothing where it is shorter.
    #[must_use]
    pub const fn less(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }

    /// Gives seconds.
    #[must_use]
    pub fn as_secs_f64(self) -> f64 {
        self.0 as f64 / 1e6
    }
}

impl Add<Span> for Timestamp {
    type Output = Self;
    fn add(self, span: Span) -> Self {
        Self(self.0.saturating_add(span.0))
    }
}

impl Sub<Span> for Timestamp {
    type Output = Self;
    fn sub(self, span: Span) -> Self {
        Self(self.0.saturating_sub(span.0))
    }
}

impl Add for Span {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl AddAssign for Span {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Sum for Span {
    fn sum<I: Iterator<Item = Self>>(spans: I) -> Self {
        spans.fold(Self::ZERO, Add::add)
    }
}

/// A span as a person says it: `84 ms`, `3.2 s`, `4 min 10 s`, `2 h 5 min`.
impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0 / 1_000_000;
        match self.0 {
            i64::MIN..1_000 => write!(f, "{} µs", self.0),
            1_000..1_000_000 => write!(f, "{} ms", self.0 / 1_000),
            1_000_000..60_000_000 => write!(f, "{:.1} s", self.as_secs_f64()),
            60_000_000..3_600_000_000 => write!(f, "{} min {} s", seconds / 60, seconds % 60),
            _ => write!(f, "{} h {} min", seconds / 3_600, seconds % 3_600 / 60),
        }
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_rfc3339())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_steps_back_gives_no_negative_wait() {
        let (early, late) = (Timestamp::from_micros(5), Timestamp::from_micros(9));
        assert_eq!(late.since(early), Span::from_micros(4));
        assert_eq!(early.since(late), Span::ZERO);
    }

    #[test]
    fn spans_read_as_a_person_says_them() {
        let said: Vec<String> = [17, 84_000, 3_240_000, 250_000_000, 7_500_000_000]
            .map(|micros| Span::from_micros(micros).to_string())
            .to_vec();
        assert_eq!(said, ["17 µs", "84 ms", "3.2 s", "4 min 10 s", "2 h 5 min"]);
    }

    #[test]
    fn an_instant_is_written_as_rfc_3339() {
        assert_eq!(
            Timestamp::from_micros(1_123_456).to_rfc3339(),
            "1970-01-01T00:00:01.123Z"
        );
    }
}

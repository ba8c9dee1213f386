//! Values as they are typed.

use std::sync::Arc;
use std::time::Duration;

use crate::lab::scenario::Scenario;
use crate::time::{Span, Timestamp};

/// An event may lie so far ahead of this machine's clock.
const AHEAD: Span = Span::from_secs(3_600);

/// A declared event: what and when.
#[derive(Clone, Debug)]
pub(super) struct Event {
    pub(super) label: Arc<str>,
    pub(super) at: Timestamp,
}

pub(super) fn hertz(text: &str) -> Result<f64, String> {
    let hz: f64 = text.parse().map_err(|_| "is not a number".to_owned())?;
    if (1.0..=100.0).contains(&hz) {
        Ok(hz)
    } else {
        Err("must be from 1 to 100".to_owned())
    }
}

pub(super) fn factor(text: &str) -> Result<f64, String> {
    let factor: f64 = text.parse().map_err(|_| "is not a number".to_owned())?;
    if (0.05..=100.0).contains(&factor) {
        Ok(factor)
    } else {
        Err("must be from 0.05 to 100".to_owned())
    }
}

/// Finds a scenario of the lab by its name.
pub(super) fn scenario(text: &str) -> Result<Scenario, String> {
    Scenario::find(text).ok_or_else(|| "is no scenario; `pgjam lab list` describes them".to_owned())
}

pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let span: jiff::SignedDuration = match text.trim().parse::<u32>() {
        Ok(seconds) => jiff::SignedDuration::from_secs(i64::from(seconds)),
        Err(_) => text
            .parse()
            .map_err(|_| "write it as 90s, 5m or 1h".to_owned())?,
    };
    let duration = Duration::try_from(span).map_err(|_| "must not be negative".to_owned())?;
    if duration < Duration::from_secs(1) {
        return Err("must be at least 1s".to_owned());
    }
    Ok(duration)
}

pub(super) fn event(text: &str) -> Result<Event, String> {
    let (label, at) = text
        .rsplit_once('@')
        .ok_or_else(|| "write it as label@2026-11-23T14:03:00Z".to_owned())?;
    Ok(Event {
        label: crate::recording::label(label).map_err(|error| error.to_string())?,
        at: time(at)?,
    })
}

pub(super) fn time(text: &str) -> Result<Timestamp, String> {
    let at: jiff::Timestamp = text
        .trim()
        .parse()
        .map_err(|_| format!("'{text}' is no time such as 2026-11-23T14:03:00Z"))?;
    Ok(Timestamp::from_micros(at.as_microsecond()))
}

/// A time in a recording, as people say it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum When {
    /// `2026-11-23T14:03:00Z`.
    At(Timestamp),
    /// `-5m`: so long before the recording's end.
    Before(Span),
    /// `14:03`: the last time until the recording's end that a UTC clock showed it.
    Clock(Span),
}

impl When {
    /// Finds the instant in a recording that ends then.
    pub(super) fn resolve(self, end: Timestamp) -> Timestamp {
        match self {
            Self::At(at) => at,
            Self::Before(span) => end - span,
            Self::Clock(shown) => {
                let midnight = end.as_micros().div_euclid(DAY) * DAY;
                let at = midnight.saturating_add(shown.as_micros());
                Timestamp::from_micros(if at > end.as_micros() { at - DAY } else { at })
            }
        }
    }
}

/// A day in microseconds.
const DAY: i64 = 86_400_000_000;

/// Reads a time in a recording: an instant, a clock's time, or how long before its end.
pub(super) fn when(text: &str) -> Result<When, String> {
    let text = text.trim();
    if let Some(before) = text.strip_prefix('-') {
        let span = duration(before).map_err(|why| format!("{why}, after the minus"))?;
        let micros = i64::try_from(span.as_micros()).unwrap_or(i64::MAX);
        return Ok(When::Before(Span::from_micros(micros)));
    }
    if let Ok(shown) = text.parse::<jiff::civil::Time>()
        && !text.contains(['T', 't', '-'])
    {
        let since = shown.duration_since(jiff::civil::Time::midnight());
        let micros = i64::try_from(since.as_micros()).unwrap_or(0);
        return Ok(When::Clock(Span::from_micros(micros)));
    }
    if let Ok(at) = time(text) {
        return Ok(When::At(at));
    }
    let in_utc = text.parse::<jiff::civil::DateTime>().ok();
    let in_utc = in_utc.and_then(|at| jiff::tz::TimeZone::UTC.to_timestamp(at).ok());
    let at = in_utc
        .ok_or_else(|| format!("'{text}' is no time such as 14:03, -5m or 2026-11-23T14:03:00Z"))?;
    Ok(When::At(Timestamp::from_micros(at.as_microsecond())))
}

/// Reads a time that is not yet to come; this machine's clock may be behind the server's.
pub(super) fn happened(text: &str) -> Result<Timestamp, String> {
    let at = time(text)?;
    let soon = jiff::Timestamp::now().as_microsecond() + AHEAD.as_micros();
    if at.as_micros() > soon {
        return Err("is yet to come".to_owned());
    }
    Ok(at)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_people_write_them() {
        let seconds = |text: &str| duration(text).map(|d| d.as_secs());
        assert_eq!(seconds("60s"), Ok(60));
        assert_eq!(seconds("90"), Ok(90));
        assert_eq!(seconds("5m"), Ok(300));
        assert_eq!(seconds("1h"), Ok(3600));
        assert!(seconds("0s").is_err());
        assert!(seconds("soon").is_err());
    }

    #[test]
    fn a_time_in_a_recording_is_read_as_people_say_it() {
        let end = time("2026-11-24T14:30:00Z").unwrap();
        let check = |said: &str, meant: &str| {
            let at = when(said).map(|when| when.resolve(end));
            assert_eq!(at, time(meant), "{said}");
        };
        check("14:03", "2026-11-24T14:03:00Z");
        check("14:30", "2026-11-24T14:30:00Z");
        // What the clock has not shown yet today is of yesterday.
        check("23:15:10", "2026-11-23T23:15:10Z");
        check("-5m", "2026-11-24T14:25:00Z");
        check("-90", "2026-11-24T14:28:30Z");
        check("2026-11-23T14:03:00Z", "2026-11-23T14:03:00Z");
        check("2026-11-23T14:03:00+02:00", "2026-11-23T12:03:00Z");
        check("2026-11-23 14:03", "2026-11-23T14:03:00Z");
        for wrong in ["", "-", "noon", "25:00", "-soon", "2026-13-01T00:00:00Z"] {
            assert!(when(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn an_event_may_have_an_at_sign_in_its_label() {
        let told = event("deploy api@v2@1970-01-01T00:00:01Z").unwrap();
        assert_eq!(
            (&*told.label, told.at.as_micros()),
            ("deploy api@v2", 1_000_000)
        );
        assert!(event("deploy").is_err());
    }
}

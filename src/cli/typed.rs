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
    fn an_event_may_have_an_at_sign_in_its_label() {
        let told = event("deploy api@v2@1970-01-01T00:00:01Z").unwrap();
        assert_eq!(
            (&*told.label, told.at.as_micros()),
            ("deploy api@v2", 1_000_000)
        );
        assert!(event("deploy").is_err());
    }
}

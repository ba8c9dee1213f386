//! How a server writes its log, as far as its recording tells.

use std::path::PathBuf;

use super::{Clock, Prefix, Reading};
use crate::recording::Recording;
use crate::time::{Span, Timestamp};

impl Reading {
    /// Says how to read the log of a server that was recorded: by what was told, else with its
    /// time zone, and lines that begin as nobody has configured them.
    #[must_use]
    pub fn of(
        recording: &Recording,
        paths: Vec<PathBuf>,
        prefix: Option<Prefix>,
        clock: Option<Clock>,
    ) -> Self {
        let set = |name| value(recording, name);
        let clock = clock.or_else(|| Clock::of(&set("log_timezone")?).ok());
        Self {
            paths,
            prefix: prefix.unwrap_or_default(),
            clock: clock.unwrap_or_default(),
            window: window(recording),
        }
    }
}

/// Gives the last value of a setting, where one is configured.
fn value(recording: &Recording, name: &str) -> Option<String> {
    let told = recording.surroundings.settings.iter().rev();
    let value = told
        .filter(|it| &*it.name == name)
        .find_map(|it| it.value.clone());
    // An older recording has a hash of it.
    value
        .filter(|text| !text.starts_with("hash "))
        .map(|text| text.to_string())
}

/// Tells whether waits are logged; none where no setting was told.
pub(super) fn logs_waits(recording: &Recording) -> Option<bool> {
    let is_told = !recording.surroundings.settings.is_empty();
    is_told.then(|| value(recording, "log_lock_waits").as_deref() == Some("on"))
}

/// Gives from when to when somebody looked.
pub(super) fn window(recording: &Recording) -> [Timestamp; 2] {
    let minutes = || recording.minutes.iter().map(|rolled| rolled.minute);
    let ticks = || recording.snapshots.iter().map(|snapshot| snapshot.tick);
    let first = minutes()
        .map(|minute| minute.at)
        .chain(ticks().map(|tick| tick.stretch()[0]));
    let last = minutes()
        .map(|minute| minute.until)
        .chain(ticks().map(|tick| tick.stretch()[1]));
    let nothing = Timestamp::default();
    [
        first.min().unwrap_or(nothing),
        last.max().unwrap_or(nothing),
    ]
}

/// Gives after how long a wait is logged.
pub(super) fn threshold(recording: &Recording) -> Option<Span> {
    let ticks = recording.snapshots.iter();
    ticks.map(|snapshot| snapshot.tick.deadlock_timeout).min()
}

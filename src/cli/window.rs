//! Which part of a recording a command reads.

use std::path::Path;
use std::time::Duration;

use clap::Args;

use crate::cli::exit::Failure;
use crate::cli::screen::Screen;
use crate::cli::typed::{When, duration, when};
use crate::recording::{Recording, RecordingError, Window};
use crate::time::Span;

/// Which part of a recording; of what does not fit in memory the sums of minutes, and samples of its end.
#[derive(Args, Debug, Default)]
pub(super) struct WindowArgs {
    /// From when on: 14:03 (UTC), -5m (before its end), 2026-11-23T14:03:00Z.
    #[arg(long, value_name = "TIME", value_parser = when, allow_hyphen_values = true)]
    pub(super) from: Option<When>,
    /// Until when, likewise.
    #[arg(long, value_name = "TIME", value_parser = when, allow_hyphen_values = true)]
    pub(super) to: Option<When>,
    /// Only the last 10m, 1h, … that it holds.
    #[arg(long, value_name = "SPAN", value_parser = duration, conflicts_with_all = ["from", "to"])]
    pub(super) last: Option<Duration>,
}

/// Of what is too long to be read at once so many bytes of samples are read, beside the sums.
const BYTES_BESIDE_SUMS: u64 = 64 << 20;

impl WindowArgs {
    /// Reads that part of a recording, and says so where not all of it is samples.
    pub(super) fn read(&self, folder: &Path, screen: &Screen) -> Result<Recording, Failure> {
        let window = self.window(folder)?;
        match Recording::open_within(folder, window) {
            Err(RecordingError::TooLarge { .. }) => {}
            read => return Ok(read?),
        }
        let (recording, from) = Recording::open_summed(folder, window, BYTES_BESIDE_SUMS)?;
        if let Some(from) = from {
            let which = if recording.minutes.is_empty() {
                format!("this is about the time from {from} on")
            } else {
                format!("the time before {from} is told from the sums of its minutes")
            };
            screen.note(&format!(
                "the recording is too long to be read at once: {which}; --from, --to and --last \
                 choose a shorter part"
            ));
        }
        Ok(recording)
    }

    fn window(&self, folder: &Path) -> Result<Window, Failure> {
        if let Some(last) = self.last {
            let last = i64::try_from(last.as_micros()).unwrap_or(i64::MAX);
            return Ok(Window::last(folder, Span::from_micros(last))?);
        }
        if self.from.is_none() && self.to.is_none() {
            return Ok(Window::ALL);
        }
        let end = Window::last(folder, Span::ZERO)?.from;
        let instant = |said: Option<When>| said.map(|said| said.resolve(end));
        Ok(Window {
            from: instant(self.from).unwrap_or(Window::ALL.from),
            to: instant(self.to).unwrap_or(Window::ALL.to),
        })
    }
}

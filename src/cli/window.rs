//! Which part of a recording a command reads.

use std::path::Path;
use std::time::Duration;

use clap::Args;

use crate::cli::exit::Failure;
use crate::cli::screen::Screen;
use crate::cli::typed::{duration, time};
use crate::recording::Window;
use crate::time::{Span, Timestamp};

/// Which part of a recording; all of it if it fits in memory, else as much of its end as does.
#[derive(Args, Debug, Default)]
pub(super) struct WindowArgs {
    /// From when on, as 2026-11-23T14:03:00Z.
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub(super) from: Option<Timestamp>,
    /// Until when.
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub(super) to: Option<Timestamp>,
    /// Only the last 10m, 1h, … that it holds.
    #[arg(long, value_name = "SPAN", value_parser = duration, conflicts_with_all = ["from", "to"])]
    pub(super) last: Option<Duration>,
}

impl WindowArgs {
    /// Chooses which part of a recording to read, and says so where that is not all of it unasked.
    pub(super) fn of(&self, folder: &Path, screen: &Screen) -> Result<Window, Failure> {
        if let Some(last) = self.last {
            let last = i64::try_from(last.as_micros()).unwrap_or(i64::MAX);
            return Ok(Window::last(folder, Span::from_micros(last))?);
        }
        if self.from.is_some() || self.to.is_some() {
            return Ok(Window {
                from: self.from.unwrap_or(Window::ALL.from),
                to: self.to.unwrap_or(Window::ALL.to),
            });
        }
        let (window, cut) = Window::fitting(folder)?;
        if let Some(span) = cut {
            screen.note(&format!(
                "the recording is too long to be read at once: this is about its last {span}; \
                 --from, --to and --last choose another part"
            ));
        }
        Ok(window)
    }
}

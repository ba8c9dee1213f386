//! The terminal: the only place that prints.

use std::io::{IsTerminal, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use anstream::ColorChoice;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::cli::args::{Cli, Colour};
use crate::cli::exit::Failure;
use crate::report::Style;
use crate::report::line::escape;

/// Where nobody watches a bar, a line of progress comes this often.
const LINE_EVERY: Duration = Duration::from_secs(10);
/// Lines longer than this are hard to read, however wide the terminal.
const WIDEST: usize = 120;

/// What the user wants to see, and can.
#[derive(Clone, Copy, Debug)]
pub(super) struct Screen {
    quiet: bool,
    style: Style,
}

impl Screen {
    /// Takes the user's wishes.
    pub(super) fn of(cli: &Cli) -> Self {
        match cli.color {
            Colour::Auto => ColorChoice::Auto,
            Colour::Always => ColorChoice::Always,
            Colour::Never => ColorChoice::Never,
        }
        .write_global();
        let width = console_width().unwrap_or(80).clamp(40, WIDEST);
        Self {
            quiet: cli.quiet,
            style: Style {
                width,
                color: cli.color != Colour::Never,
            },
        }
    }

    /// The same, for what nobody should be told.
    pub(super) const fn silent(self) -> Self {
        Self {
            quiet: true,
            ..self
        }
    }

    /// Whether only the answer is wanted.
    pub(super) const fn is_quiet(&self) -> bool {
        self.quiet
    }

    /// How pages are set; colours that cannot be shown are taken out on the way.
    pub(super) const fn style(&self) -> &Style {
        &self.style
    }

    /// Tells something beside the answer, whoever wrote it.
    pub(super) fn note(&self, text: &str) {
        if !self.quiet {
            say(&safe(text));
        }
    }

    /// Shows a page of the report's own beside the answer, with its colours.
    pub(super) fn page(&self, page: &str) {
        if !self.quiet {
            say(page);
        }
    }

    /// Tells why there is no answer; names and a server's own words stand in it, escaped.
    pub(super) fn fail(error: &dyn std::fmt::Display) {
        say(&format!("pgjam: {}", safe(&error.to_string())));
    }

    /// Gives an answer: to the terminal, or into a file.
    pub(super) fn answer(&self, text: &str, file: Option<&Path>) -> Result<(), Failure> {
        if let Some(file) = file {
            return self.write(file, &anstream::adapter::strip_str(text).to_string());
        }
        let mut out = anstream::stdout().lock();
        let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
        match written {
            // A reader who has seen enough, as in `pgjam now | head`.
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
            other => other.map_err(Failure::io("cannot write to the standard output")),
        }
    }

    /// Writes a file, and says so.
    pub(super) fn write(&self, file: &Path, text: &str) -> Result<(), Failure> {
        std::fs::write(file, text)
            .map_err(Failure::io(format!("cannot write {}", file.display())))?;
        self.note(&format!("wrote {}", file.display()));
        Ok(())
    }

    /// Begins to tell how far something of known length is.
    pub(super) fn progress(&self, length: Duration) -> Progress {
        let seconds = length.as_secs();
        let bar = if self.quiet || !std::io::stderr().is_terminal() {
            ProgressBar::with_draw_target(Some(seconds), ProgressDrawTarget::hidden())
        } else {
            ProgressBar::new(seconds)
        };
        let template = "{bar:24} {pos}/{len} s  {msg}";
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style.progress_chars("━╸─"));
        }
        let lines = !self.quiet && !std::io::stderr().is_terminal();
        Progress {
            bar,
            began: Instant::now(),
            lines: lines.then(Instant::now),
        }
    }
}

/// How far something is: a bar on a terminal, a line now and then elsewhere.
pub(super) struct Progress {
    bar: ProgressBar,
    began: Instant,
    lines: Option<Instant>,
}

impl Progress {
    /// Says where it stands.
    pub(super) fn at(&mut self, message: &str) {
        let elapsed = self.began.elapsed();
        self.bar
            .set_position(elapsed.as_secs().min(self.bar.length().unwrap_or(u64::MAX)));
        self.bar.set_message(message.to_owned());
        if let Some(last) = &mut self.lines
            && last.elapsed() >= LINE_EVERY
        {
            *last = Instant::now();
            let length = self.bar.length().unwrap_or_default();
            say(&format!(
                "{:>4} of {length} s  {message}",
                elapsed.as_secs()
            ));
        }
    }

    /// Takes the bar away.
    pub(super) fn done(&self) {
        self.bar.finish_and_clear();
    }
}

/// Tells something on the standard error; where nobody reads it, nobody misses it.
fn say(text: &str) {
    let _ = writeln!(anstream::stderr(), "{text}");
}

/// Escapes what could act on a terminal, line by line.
pub(super) fn safe(text: &str) -> String {
    let lines: Vec<String> = text.split('\n').map(escape).collect();
    lines.join("\n")
}

/// Asks the terminal how wide it is.
fn console_width() -> Option<usize> {
    let columns = std::env::var("COLUMNS")
        .ok()
        .and_then(|columns| columns.parse().ok());
    columns.or_else(|| terminal_size::terminal_size().map(|(width, _)| usize::from(width.0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_server_says_keeps_its_lines_and_cannot_act_on_the_terminal() {
        assert_eq!(
            safe("no \u{1b}[2Jroom\r\n  GRANT pg_monitor TO \"x\";"),
            "no \\u{1b}[2Jroom \n  GRANT pg_monitor TO \"x\";"
        );
    }
}

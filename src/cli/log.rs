//! The daemon's log: lines for people, or JSON objects, on the standard error.
//!
//! A terminal that was stopped, or a pipe that nobody reads, takes no line: a thread of its own
//! waits for it, and no watcher. What there is no room for is left out and counted.

use std::fmt::{self, Write as _};
use std::io::{self, IsTerminal as _, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime as _, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use crate::cli::screen::safe;
use crate::daemon::config::{Log, LogFormat, LogLevel};

/// So many lines may wait for the standard error.
const WAITING: usize = 1_024;
/// How long the last lines have at the end.
const LAST: Duration = Duration::from_millis(100);

/// Begins to write the log; the first call counts. What it gives is kept until the last line.
pub(super) fn begin(log: Log, is_quiet: bool) -> io::Result<LastLines> {
    let level = match log.level {
        LogLevel::Error => Level::ERROR,
        LogLevel::Warn => Level::WARN,
        LogLevel::Info if is_quiet => Level::WARN,
        LogLevel::Info => Level::INFO,
        LogLevel::Debug => Level::DEBUG,
    };
    let stderr = std::io::stderr();
    let is_coloured = stderr.is_terminal()
        && anstream::AutoStream::choice(&stderr) != anstream::ColorChoice::Never;
    let (waiting, received) = sync_channel(WAITING);
    let lines = Arc::new(Lines {
        waiting: waiting.clone(),
        left_out: AtomicU64::new(0),
    });
    let writer = Arc::clone(&lines);
    std::thread::Builder::new()
        .name("log".to_owned())
        .spawn(move || writer.write_out(&received))?;
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(level)
        .with_ansi(is_coloured)
        .with_writer(lines);
    let begun = match log.format {
        LogFormat::Human => subscriber
            .event_format(Human {
                // The journal puts the time before each line itself.
                has_time: std::env::var_os("JOURNAL_STREAM").is_none(),
            })
            .try_init(),
        LogFormat::Json => subscriber
            .json()
            .flatten_event(true)
            .with_current_span(false)
            .with_span_list(false)
            .try_init(),
    };
    // It fails where there is a log already.
    drop(begun);
    Ok(LastLines(waiting))
}

/// What is on its way to the standard error.
enum Waiting {
    Line(Vec<u8>),
    /// Whoever waits for all lines before this.
    Until(SyncSender<()>),
}

/// Lines on their way, and how many had no room.
struct Lines {
    waiting: SyncSender<Waiting>,
    left_out: AtomicU64,
}

impl Write for &Lines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if self.waiting.try_send(Waiting::Line(line.to_vec())).is_err() {
            self.left_out.fetch_add(1, Ordering::Relaxed);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Lines {
    fn write_out(&self, received: &Receiver<Waiting>) {
        for waiting in received {
            match waiting {
                // Where it cannot be written there is nobody to tell.
                Waiting::Line(line) => drop(io::stderr().write_all(&line)),
                Waiting::Until(told) => drop(told.try_send(())),
            }
            let left_out = self.left_out.swap(0, Ordering::Relaxed);
            if left_out > 0 {
                tracing::warn!("{left_out} lines of the log had no room, and are left out");
            }
        }
    }
}

/// Waits a moment, when it is dropped, for what was said until then.
pub(super) struct LastLines(SyncSender<Waiting>);

impl Drop for LastLines {
    fn drop(&mut self) {
        let (told, written) = sync_channel(1);
        if self.0.try_send(Waiting::Until(told)).is_ok() {
            let _ = written.recv_timeout(LAST);
        }
    }
}

/// `2026-11-23T14:03:00.120000Z  WARN prod-7: the server went away`
struct Human {
    has_time: bool,
}

impl<S, N> FormatEvent<S, N> for Human
where
    S: Subscriber + for<'s> LookupSpan<'s>,
    N: for<'w> FormatFields<'w> + 'static,
{
    fn format_event(
        &self,
        _context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut said = Said::default();
        event.record(&mut said);
        if self.has_time {
            SystemTime.format_time(&mut writer)?;
            writer.write_char(' ')?;
        }
        let level = *event.metadata().level();
        let (on, off) = match level {
            Level::ERROR => ("\u{1b}[31m", "\u{1b}[0m"),
            Level::WARN => ("\u{1b}[33m", "\u{1b}[0m"),
            _ => ("", ""),
        };
        if writer.has_ansi_escapes() {
            write!(writer, "{on}{level:>5}{off} ")?;
        } else {
            write!(writer, "{level:>5} ")?;
        }
        if !said.server.is_empty() {
            write!(writer, "{}: ", safe(&said.server))?;
        }
        // A server's own words stand in it.
        writeln!(writer, "{}{}", safe(&said.message), safe(&said.rest))
    }
}

/// The fields of an event, those that lead a line apart.
#[derive(Default)]
struct Said {
    server: String,
    message: String,
    rest: String,
}

impl Visit for Said {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // Into a string this cannot fail.
        let _ = match field.name() {
            "message" => write!(self.message, "{value:?}"),
            "server" => write!(self.server, "{value:?}"),
            other => write!(self.rest, " {other}={value:?}"),
        };
    }
}

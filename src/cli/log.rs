//! The daemon's log: lines for people, or JSON objects, on the standard error.

use std::fmt::{self, Write as _};
use std::io::IsTerminal as _;

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime as _, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use crate::cli::screen::safe;
use crate::daemon::config::{Log, LogFormat, LogLevel};

/// Begins to write the log; the first call counts.
pub(super) fn begin(log: Log, is_quiet: bool) {
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
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(level)
        .with_ansi(is_coloured)
        .with_writer(std::io::stderr);
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

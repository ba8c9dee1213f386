//! What can be typed.

#![expect(clippy::doc_markdown, reason = "these comments are the help texts")]

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

use crate::system::Naming;

/// Finds which system's arrival made whose latency grow on a shared PostgreSQL.
///
/// It samples sessions and locks while your applications write, builds the wait-for graph,
/// and says whose transactions the slower statements waited for, on which table, by how much
/// and how surely. It only reads, holds no lock of yours, and needs no extension
/// (pg_stat_statements makes the figures exact per call).
#[derive(Debug, Parser)]
#[command(version, after_help = super::exit::HELP, max_term_width = 100)]
pub(super) struct Cli {
    #[command(subcommand)]
    pub(super) command: Command,
    /// When to use colour; NO_COLOR is honoured too.
    #[arg(long, global = true, value_enum, default_value_t = Colour::Auto, value_name = "WHEN")]
    pub(super) color: Colour,
    /// No progress and no first screen, only the answer.
    #[arg(long, short, global = true)]
    pub(super) quiet: bool,
}

/// When to use colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Colour {
    /// On a terminal.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

const NOW_HELP: &str = "How to read the trees:
  ● 4700 reporting  active  3 sessions behind it, 2 deep   in the way, waits for nobody
  └─ 4710 migrator       9.0 s  gate, 2 behind             waits, and makes 2 others queue
     ├─ 4720 intake      7.4 s  AccessShareLock            waits for the one above it
     └─ 12 × decision    up to 6.1 s  AccessShareLock      many alike, in one line
  root      waits for no lock itself: when it ends, those behind it go on or move up
  gate      waits for a whole table and makes others queue who could have had it: cancelling it
            is often the gentlest way out
  inferred  the table follows from the statement; elsewhere it was read off the lock table
  order unsure, order unknown
            the server does not show its queues: these two may stand the other way round

Examples:
  pgjam now --dsn postgres://oncall@db1/app
  pgjam now --format json | jq '.chains[0].signature.text'
  pgjam now --format svg --output jam.svg";

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Who waits for whom, this instant.
    ///
    /// One look, drawn as trees: whoever stands in the way on top, the worst first, with why it is
    /// not finished; below it who waits, how long, for which lock on which table. Then what to do,
    /// gentlest first: the exact statement, whom it frees, what it costs whom, and whether the
    /// role in use may run it. pgjam itself only reads.
    #[command(after_help = NOW_HELP)]
    Now(NowArgs),
    /// Watch for a while, then say what made whose latency grow.
    ///
    /// The first screen comes at once: who is blocked now, by whom, and what to do. The
    /// verdict follows after --duration; Ctrl-C ends the watch early and gives what there is.
    #[command(after_help = "Examples:
  pgjam diagnose --dsn postgres://oncall@db1/app
  pgjam diagnose --dsn 'service=prod' --duration 5m --html jam.html
  PGHOST=db1 pgjam diagnose --event 'county 12 onboarded@2026-11-23T14:03:00Z'")]
    Diagnose(DiagnoseArgs),
    /// Watch without an end, into a recording; goes on when the server comes back.
    ///
    /// Made to be started once, by systemd or in a tmux, and to be there when the incident is over:
    /// `pgjam report FOLDER` says what it saw. Lost connections are tried again, after pauses of
    /// up to 30 s, and counted. SIGTERM or Ctrl-C ends it.
    #[command(after_help = "Example:
  pgjam record --dsn 'service=prod' --to /var/lib/pgjam/prod")]
    Record(RecordArgs),
    /// The same verdict from a recording, without a server.
    Report(ReportArgs),
    /// What this role may see on this server, and the statements that grant the rest.
    Doctor(ConnectArgs),
    /// A throw-away PostgreSQL with a workload whose truth is known.
    Lab(LabArgs),
    /// A completion script for your shell.
    Completions {
        /// Which shell.
        shell: Shell,
    },
}

#[derive(Args, Clone, Debug, Default)]
pub(super) struct ConnectArgs {
    /// Where: a URL or key=value string as psql takes it. PG* variables, ~/.pgpass and service
    /// files count too.
    #[arg(long, short, value_name = "DSN")]
    pub(super) dsn: Option<String>,
}

#[derive(Args, Clone, Debug)]
pub(super) struct NamingArgs {
    /// How a system is named, first that says something wins: application_name, role,
    /// database, client_addr, tag:KEY (a sqlcommenter tag).
    #[arg(long, value_name = "KEYS", default_value_t = Naming::default())]
    pub(super) system_by: Naming,
}

#[derive(Args, Debug)]
pub(super) struct NowArgs {
    #[command(flatten)]
    pub(super) connect: ConnectArgs,
    #[command(flatten)]
    pub(super) naming: NamingArgs,
    /// In which form.
    #[arg(long, short, value_enum, default_value_t = GraphFormat::Text)]
    pub(super) format: GraphFormat,
    /// Into a file instead of the terminal.
    #[arg(long, short, value_name = "FILE")]
    pub(super) output: Option<PathBuf>,
}

/// The forms of a wait-for graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum GraphFormat {
    /// A tree for people.
    Text,
    /// `pgjam.graph/1`.
    Json,
    /// For Graphviz.
    Dot,
    /// A picture.
    Svg,
}

/// The forms of a diagnosis.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// For people.
    Text,
    /// `pgjam.diagnosis/0`.
    Json,
}

#[derive(Args, Clone, Debug)]
pub(super) struct OutputArgs {
    /// In which form.
    #[arg(long, short, value_enum, default_value_t = Format::Text)]
    pub(super) format: Format,
    /// Into a file instead of the terminal.
    #[arg(long, short, value_name = "FILE")]
    pub(super) output: Option<PathBuf>,
    /// The report as one HTML file as well.
    #[arg(long, value_name = "FILE")]
    pub(super) html: Option<PathBuf>,
    /// The charts and the graph as SVG files as well.
    #[arg(long, value_name = "FOLDER")]
    pub(super) svg: Option<PathBuf>,
}

#[derive(Args, Clone, Debug)]
pub(super) struct WatchArgs {
    /// Looks per second, 1 to 100; fewer where they would take more than 2 % of the server's
    /// time.
    #[arg(long, default_value_t = 10.0, value_parser = hertz)]
    pub(super) hz: f64,
    /// Where the recording goes; by default a new folder among the temporary files.
    #[arg(long, value_name = "FOLDER")]
    pub(super) record: Option<PathBuf>,
}

#[derive(Args, Debug)]
pub(super) struct DiagnoseArgs {
    #[command(flatten)]
    pub(super) connect: ConnectArgs,
    /// How long to watch: 90s, 5m, 1h.
    #[arg(long, default_value = "60s", value_parser = duration)]
    pub(super) duration: Duration,
    #[command(flatten)]
    pub(super) watch: WatchArgs,
    #[command(flatten)]
    pub(super) naming: NamingArgs,
    /// Something that happened, for the report to hold latency against; may be repeated.
    #[arg(long = "event", value_name = "LABEL@TIME", value_parser = event)]
    pub(super) events: Vec<Event>,
    #[command(flatten)]
    pub(super) output: OutputArgs,
}

#[derive(Args, Debug)]
pub(super) struct RecordArgs {
    #[command(flatten)]
    pub(super) connect: ConnectArgs,
    /// Where the recording goes; one that is there is gone on with.
    #[arg(long, value_name = "FOLDER")]
    pub(super) to: PathBuf,
    /// Looks per second, 1 to 100, instead of 1 while nobody waits for a lock and 10 as soon as
    /// somebody does; fewer where they would take more than 2 % of the server's time.
    #[arg(long, value_parser = hertz)]
    pub(super) hz: Option<f64>,
    #[command(flatten)]
    pub(super) naming: NamingArgs,
}

#[derive(Args, Debug)]
pub(super) struct ReportArgs {
    /// The folder of a recording.
    pub(super) recording: PathBuf,
    #[command(flatten)]
    pub(super) naming: NamingArgs,
    /// Something that happened; may be repeated.
    #[arg(long = "event", value_name = "LABEL@TIME", value_parser = event)]
    pub(super) events: Vec<Event>,
    #[command(flatten)]
    pub(super) output: OutputArgs,
}

#[derive(Args, Debug)]
pub(super) struct LabArgs {
    /// Which scenario.
    #[arg(value_enum)]
    pub(super) scenario: Scenario,
    /// Watch it with pgjam while it runs, and hold the verdict against the clients' timings.
    #[arg(long)]
    pub(super) diagnose: bool,
    /// Without the synchronous call, and with rows that never collide: nothing should be found.
    #[arg(long)]
    pub(super) harmless: bool,
    /// Stretches every phase; 1 is two minutes.
    #[arg(long, default_value_t = 1.0, value_name = "FACTOR", value_parser = factor)]
    pub(super) scale: f64,
    /// Equal seeds give equal arrivals.
    #[arg(long, default_value_t = 1)]
    pub(super) seed: u64,
    /// Run on this server instead of a throw-away one (in a schema pgjam_lab, dropped at the end).
    #[arg(long, short, value_name = "DSN")]
    pub(super) dsn: Option<String>,
    /// The folder with initdb and postgres; by default they are looked for.
    #[arg(long, value_name = "FOLDER")]
    pub(super) pg_bin: Option<PathBuf>,
    /// Where the clients' timings go; the analysis never reads them.
    #[arg(long, value_name = "FILE")]
    pub(super) truth: Option<PathBuf>,
    #[command(flatten)]
    pub(super) watch: WatchArgs,
    #[command(flatten)]
    pub(super) output: OutputArgs,
}

/// The scenarios of the lab.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Scenario {
    /// Twelve agencies onboard in waves beside a decision component; sync-12 makes a call inside
    /// its transaction.
    CountyRollout,
}

/// A declared event: what and when.
#[derive(Clone, Debug)]
pub(super) struct Event {
    pub(super) label: String,
    pub(super) at: crate::time::Timestamp,
}

fn hertz(text: &str) -> Result<f64, String> {
    let hz: f64 = text.parse().map_err(|_| "is not a number".to_owned())?;
    if (1.0..=100.0).contains(&hz) {
        Ok(hz)
    } else {
        Err("must be from 1 to 100".to_owned())
    }
}

fn factor(text: &str) -> Result<f64, String> {
    let factor: f64 = text.parse().map_err(|_| "is not a number".to_owned())?;
    if (0.05..=100.0).contains(&factor) {
        Ok(factor)
    } else {
        Err("must be from 0.05 to 100".to_owned())
    }
}

fn duration(text: &str) -> Result<Duration, String> {
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

fn event(text: &str) -> Result<Event, String> {
    let (label, at) = text
        .rsplit_once('@')
        .ok_or_else(|| "write it as label@2026-11-23T14:03:00Z".to_owned())?;
    let at: jiff::Timestamp = at
        .trim()
        .parse()
        .map_err(|_| format!("'{at}' is no time such as 2026-11-23T14:03:00Z"))?;
    let at = crate::time::Timestamp::from_micros(at.as_microsecond());
    Ok(Event {
        label: label.trim().to_owned(),
        at,
    })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

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
            (told.label.as_str(), told.at.as_micros()),
            ("deploy api@v2", 1_000_000)
        );
        assert!(event("deploy").is_err());
    }
}

//! What can be typed.

#![expect(clippy::doc_markdown, reason = "these comments are the help texts")]

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

use crate::cli::baseline::Baseline;
use crate::cli::typed::{Event, duration, event, factor, hertz, scenario};
use crate::daemon::config::LogFormat;
use crate::lab::scenario::Scenario;
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

const RECORD_HELP: &str = "A configuration:
  data_dir = \"/var/lib/pgjam\"        # a recording goes to data_dir/NAME
  [defaults]                           # for all servers; each may say otherwise
  budget = \"2%\"                      # of the server's time
  raw_age = \"14d\"                    # also raw_bytes, rollup_age, rollup_bytes,
                                       # minutes_bytes, hours_bytes
  [servers.prod-7]
  dsn = \"host=db7 dbname=app user=pgjam\"   # the password belongs into ~/.pgpass
  [http]
  listen = \"127.0.0.1:7487\"

Examples:
  pgjam record --dsn 'service=prod' --to /var/lib/pgjam/prod
  pgjam record --config pgjam.toml --check-config
  pgjam record --print-systemd-unit > /etc/systemd/system/pgjam.service";

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
    /// Who waits for whom, as it changes: a screen to stay on.
    ///
    /// The trees of `pgjam now`, the load by what sessions do, and whose time it is. It can be
    /// paused, walked back through, cut to a system, a table or a pid, and saved; ? lists the keys.
    #[command(after_help = "Examples:
  pgjam top --dsn postgres://oncall@db1/app
  pgjam top prod-7 --hz 10
  pgjam top --recording /var/lib/pgjam/prod-7 --last 10m")]
    Top(super::top::TopArgs),
    /// Watch for a while, then say what made whose latency grow.
    ///
    /// The first screen comes at once: who is blocked now, by whom, and what to do. The verdict
    /// follows as soon as it stands, after a minute at most or after --duration; Ctrl-C ends the
    /// watch early and gives what there is. "Not enough data yet" is a verdict too, and says
    /// about how long it needs.
    #[command(after_help = "Examples:
  pgjam diagnose --dsn postgres://oncall@db1/app
  pgjam diagnose --dsn 'service=prod' --duration 5m --html jam.html
  pgjam diagnose prod-7                     # compared with the daemon's recording of it
  pgjam diagnose --baseline /var/lib/pgjam/prod-7 --baseline-span 2h
  PGHOST=db1 pgjam diagnose --event 'county 12 onboarded@2026-11-23T14:03:00Z'")]
    Diagnose(DiagnoseArgs),
    /// Watch without an end, into recordings; goes on when a server comes back.
    ///
    /// Made to be started once, by systemd or in a tmux, and to be there when the incident is over:
    /// `pgjam report` says what it saw. The servers come from a configuration, each watched for
    /// itself, or it is one with --dsn and --to. Lost connections are tried again, after pauses of
    /// up to 30 s, and counted. SIGHUP reads the configuration again; SIGTERM or Ctrl-C ends it.
    ///
    /// What somebody has to mend (a password, a GRANT, the folder of another server) ends the
    /// watch of --dsn as it starts. With a configuration it is told, and tried again after up to
    /// 5 min, since the other servers are watched all the same.
    #[command(after_help = RECORD_HELP)]
    Record(RecordArgs),
    /// The same verdict from a recording, without a server.
    #[command(after_help = "Examples:
  pgjam report /var/lib/pgjam/prod-7 --last 1h --html jam.html --open
  pgjam report prod-7 --from 14:00 --to 14:10")]
    Report(ReportArgs),
    /// Who waited for whom at an instant of a recording.
    ///
    /// The last look until then, drawn as `pgjam now` draws the present, and what could have been
    /// done. It says which look it is; where nobody looked, that.
    #[command(after_help = "Examples:
  pgjam at prod-7 14:03:10                  # the last time that a UTC clock showed it
  pgjam at /var/lib/pgjam/prod-7 -5m        # so long before the recording's end
  pgjam at prod-7 2026-11-23T14:03:00Z --format svg --output jam.svg")]
    At(super::at::AtArgs),
    /// Declare that something happened that no tick sees: a deployment, an onboarding.
    ///
    /// It becomes part of the recording, also while a daemon writes into it, and every report
    /// holds latency against it.
    #[command(after_help = "Examples:
  pgjam event 'deploy api 4.2' prod-7
  pgjam event 'county 12 onboarded' --at 2026-11-23T14:03:00Z --to /var/lib/pgjam/prod
  pgjam event 'deploy api 4.2' --url http://127.0.0.1:7487 --token-file /etc/pgjam/token")]
    Event(super::event::EventArgs),
    /// What this role may see on this server, and the statements that grant the rest.
    Doctor(ConnectArgs),
    /// A throw-away PostgreSQL with a workload whose truth is known.
    #[command(after_help = "Examples:
  pgjam lab county-rollout --diagnose --html jam.html
  pgjam lab list
  pgjam lab score --smoke")]
    Lab(Box<LabArgs>),
    /// A completion script for your shell.
    Completions {
        /// Which shell.
        shell: Shell,
    },
}

#[derive(Args, Clone, Debug, Default)]
pub(super) struct ConnectArgs {
    /// The server, by its name in the configuration or as a connection string.
    #[arg(value_name = "SERVER", conflicts_with = "dsn")]
    pub(super) server: Option<String>,
    /// Where: a URL or key=value string as psql takes it. PG* variables, ~/.pgpass and service
    /// files count too.
    #[arg(long, short, value_name = "DSN")]
    pub(super) dsn: Option<String>,
    /// The configuration that names servers. [default: $PGJAM_CONFIG,
    /// ~/.config/pgjam/config.toml, /etc/pgjam/config.toml]
    #[arg(long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
}

#[derive(Args, Clone, Debug)]
pub(super) struct NamingArgs {
    /// How a system is named, first that says something wins: application_name, role,
    /// database, client_addr, tag:KEY (a sqlcommenter tag). [default: the server's in the
    /// configuration, else application_name,role,database]
    #[arg(long, value_name = "KEYS")]
    pub(super) system_by: Option<Naming>,
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
    /// For programs; a diagnosis as `pgjam.diagnosis/0`.
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
    /// Open that file in a browser.
    #[arg(long, requires = "html")]
    pub(super) open: bool,
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

#[derive(Args, Clone, Debug)]
pub(super) struct BaselineArgs {
    /// What the watch is compared with, where the trouble began before it: the folder of a
    /// recording, none, or auto, the daemon's recording of a server that was named.
    #[arg(long, value_name = "FOLDER", default_value = "auto")]
    pub(super) baseline: Baseline,
    /// How much of the time before the watch is taken from there: 10m, 1h.
    #[arg(long, value_name = "SPAN", default_value = "30m", value_parser = duration)]
    pub(super) baseline_span: Duration,
}

#[derive(Args, Debug)]
pub(super) struct DiagnoseArgs {
    #[command(flatten)]
    pub(super) connect: ConnectArgs,
    /// How long to watch: 90s, 5m, 1h. [default: until the verdict stands, 1m at most]
    #[arg(long, value_parser = duration)]
    pub(super) duration: Option<Duration>,
    #[command(flatten)]
    pub(super) watch: WatchArgs,
    #[command(flatten)]
    pub(super) baseline: BaselineArgs,
    #[command(flatten)]
    pub(super) naming: NamingArgs,
    /// Something that happened, for the report to hold latency against; may be repeated.
    #[arg(long = "event", value_name = "LABEL@TIME", value_parser = event)]
    pub(super) events: Vec<Event>,
    #[command(flatten)]
    pub(super) log: super::logged::LogArgs,
    #[command(flatten)]
    pub(super) output: OutputArgs,
}

/// What is said of one server stands in the configuration, if there is one.
const OF_ONE_SERVER: [&str; 5] = ["to", "dsn", "hz", "listen", "system_by"];

#[derive(Args, Debug)]
pub(super) struct RecordArgs {
    /// The configuration that names the servers to watch. [default: $PGJAM_CONFIG,
    /// ~/.config/pgjam/config.toml, /etc/pgjam/config.toml]
    #[arg(long, value_name = "FILE", conflicts_with_all = OF_ONE_SERVER)]
    pub(super) config: Option<PathBuf>,
    /// Say what is wrong with the configuration, or how it was understood, and end.
    #[arg(long, conflicts_with_all = OF_ONE_SERVER)]
    pub(super) check_config: bool,
    /// Without a configuration: the one server to watch, as psql takes it.
    #[arg(long, short, value_name = "DSN", requires = "to")]
    pub(super) dsn: Option<String>,
    /// Without a configuration: where the recording goes; one that is there is gone on with.
    #[arg(long, value_name = "FOLDER")]
    pub(super) to: Option<PathBuf>,
    /// Without a configuration: looks per second, 1 to 100, instead of 1 while nobody waits for a
    /// lock and 10 as soon as somebody does; fewer where they would take more than 2 % of the
    /// server's time.
    #[arg(long, value_parser = hertz, requires = "to")]
    pub(super) hz: Option<f64>,
    /// Without a configuration: where metrics and graphs can be had over HTTP, as 127.0.0.1:7487.
    #[arg(long, value_name = "ADDRESS", requires = "to")]
    pub(super) listen: Option<std::net::SocketAddr>,
    /// The token that callers over HTTP show; without it they see no query texts, and are on this
    /// machine.
    #[arg(long, value_name = "FILE", requires = "listen")]
    pub(super) token_file: Option<PathBuf>,
    /// Without a configuration: how a system is named, first that says something wins:
    /// application_name, role, database, client_addr, tag:KEY. [default:
    /// application_name,role,database]
    #[arg(long, value_name = "KEYS", requires = "to")]
    pub(super) system_by: Option<Naming>,
    /// In which form the log is written. [default: as the configuration says, else human]
    #[arg(long, value_enum, value_name = "FORM")]
    pub(super) log_format: Option<LogForm>,
    /// Print a unit for systemd, with what to do with it, and end.
    #[arg(long, exclusive = true)]
    pub(super) print_systemd_unit: bool,
}

/// The forms of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum LogForm {
    /// Lines for people.
    Human,
    /// A JSON object a line.
    Json,
}

impl From<LogForm> for LogFormat {
    fn from(form: LogForm) -> Self {
        match form {
            LogForm::Human => Self::Human,
            LogForm::Json => Self::Json,
        }
    }
}

#[derive(Args, Debug)]
pub(super) struct ReportArgs {
    /// The folder of a recording, or the name of a server in the configuration.
    #[arg(value_name = "RECORDING")]
    pub(super) recording: PathBuf,
    /// The configuration that names servers. [default: $PGJAM_CONFIG,
    /// ~/.config/pgjam/config.toml, /etc/pgjam/config.toml]
    #[arg(long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    #[command(flatten)]
    pub(super) naming: NamingArgs,
    #[command(flatten)]
    pub(super) window: super::window::WindowArgs,
    /// Something that happened; may be repeated.
    #[arg(long = "event", value_name = "LABEL@TIME", value_parser = event)]
    pub(super) events: Vec<Event>,
    #[command(flatten)]
    pub(super) log: super::logged::LogArgs,
    #[command(flatten)]
    pub(super) output: OutputArgs,
}

#[derive(Args, Debug)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct LabArgs {
    #[command(subcommand)]
    pub(super) command: Option<LabCommand>,
    #[command(flatten)]
    pub(super) run: LabRunArgs,
}

#[derive(Debug, Subcommand)]
pub(super) enum LabCommand {
    /// The scenarios, and what is true of each.
    List,
    /// How often pgjam is right about the scenarios, beside simpler methods.
    ///
    /// Each scenario runs on a throw-away server of its own and is watched as by `pgjam diagnose`.
    /// What the first findings say is held against what is true of it; an answer is a hit only if
    /// it is proved or supported.
    #[command(after_help = "Examples:
  pgjam lab score --smoke
  pgjam lab score --seeds 3 --into runs       # goes on where it was broken off
  pgjam lab score --from runs --format json")]
    Score(ScoreArgs),
}

#[derive(Args, Debug)]
pub(super) struct ScoreArgs {
    /// Only these scenarios.
    #[arg(long, value_name = "NAME", num_args = 1.., value_parser = scenario)]
    pub(super) only: Vec<Scenario>,
    /// Three short scenarios, one of them without a cause.
    #[arg(long, conflicts_with = "only")]
    pub(super) smoke: bool,
    /// Runs each scenario so often, with seeds from 1 on.
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub(super) seeds: u64,
    /// Stretches every phase; 1 is a minute.
    #[arg(long, default_value_t = 1.0, value_name = "FACTOR", value_parser = factor)]
    pub(super) scale: f64,
    /// Keep recordings and timings here; runs that are there already are not made again.
    #[arg(long, value_name = "FOLDER")]
    pub(super) into: Option<PathBuf>,
    /// Run nothing, or only what --what-if adds: score what an earlier run kept.
    #[arg(long, value_name = "FOLDER", conflicts_with = "into")]
    pub(super) from: Option<PathBuf>,
    /// Plays each run once more without its cause, and once committing before its call, and tells how
    /// near pgjam's what-if came.
    #[arg(long)]
    pub(super) what_if: bool,
    /// The folder with initdb and postgres; by default they are looked for.
    #[arg(long, value_name = "FOLDER")]
    pub(super) pg_bin: Option<PathBuf>,
    /// Looks per second, 1 to 100.
    #[arg(long, default_value_t = 10.0, value_parser = hertz)]
    pub(super) hz: f64,
    /// In which form.
    #[arg(long, short, value_enum, default_value_t = Format::Text)]
    pub(super) format: Format,
    /// Into a file instead of the terminal.
    #[arg(long, short, value_name = "FILE")]
    pub(super) output: Option<PathBuf>,
}

#[derive(Args, Debug)]
pub(super) struct LabRunArgs {
    /// Which scenario; without one they are listed.
    #[arg(value_parser = scenario)]
    pub(super) scenario: Option<Scenario>,
    /// Watch it with pgjam while it runs, and hold the verdict against the clients' timings.
    #[arg(long)]
    pub(super) diagnose: bool,
    /// Stretches every phase; 1 is a minute, for the county rollout two.
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

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_configuration_says_itself_how_systems_are_named() {
        let by = |more: &[&'static str]| {
            let begin = ["pgjam", "record", "--system-by", "role"];
            Cli::try_parse_from(begin.iter().chain(more)).is_ok()
        };
        assert!(by(&["--to", "folder"]));
        assert!(!by(&["--config", "pgjam.toml"]) && !by(&[]));
    }
}

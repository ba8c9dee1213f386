//! `pgjam record`: the daemon, from the command line.

use std::fmt::Write as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

use crate::cli::Done;
use crate::cli::args::RecordArgs;
use crate::cli::exit::Failure;
use crate::cli::log;
use crate::cli::screen::{Screen, safe};
use crate::connect::{Environment, Target};
use crate::daemon::config::{Config, Dsn, Log, Settings};
use crate::daemon::{self, DaemonError, Plan, http};
use crate::sample::pace::Cadence;

/// Watches until it is told to stop.
pub(super) fn run(args: &RecordArgs, screen: &Screen) -> Done {
    if args.print_systemd_unit {
        return screen.answer(daemon::SYSTEMD_UNIT, None);
    }
    if !args.check_config {
        // Before anything is read that can be read once, as a pipe.
        begin_anew();
    }
    let plan = plan(args)?;
    let mut wanted = Log::default();
    if let Plan::Configured(config) = &plan {
        if args.check_config {
            for notice in &config.notices {
                screen.note(&format!("note: {notice}"));
            }
            config.http.check().map_err(DaemonError::Http)?;
            return screen.answer(&safe(&page(config)), None);
        }
        wanted = config.log;
    }
    wanted.format = args.log_format.map_or(wanted.format, Into::into);
    let _last_lines =
        log::begin(wanted, screen.is_quiet()).map_err(Failure::io("cannot begin the log"))?;
    if let Plan::Configured(config) = &plan {
        for notice in &config.notices {
            tracing::warn!("{notice}");
        }
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Failure::io("cannot start the runtime"))?;
    let ended = runtime.block_on(daemon::run(plan));
    // Whoever is late, as for a disk that hangs, is not waited for any longer.
    std::mem::forget(runtime);
    Ok(ended?)
}

/// Tells that this process has begun anew, whatever became of the rest of its environment.
const BEGUN_ANEW: &str = "PGJAM_BEGUN_ANEW";

/// Begins anew in place of this process, once, with what the allocator is to be told.
///
/// It keeps its id, its arguments and what else is in its environment. What the allocator was told
/// by somebody else stays; where a program cannot begin anew it goes on as it is, with more memory.
fn begin_anew() {
    let is_told = |key: &str| std::env::var_os(key).is_some();
    let mut arguments = std::env::args_os();
    let (Some(name), Ok(program)) = (arguments.next(), std::env::current_exe()) else {
        return;
    };
    // A loader that was started with the program as its argument is not the program.
    let is_itself = Path::new(&name).file_name() == program.file_name() && program.exists();
    let is_told_already = daemon::ALLOCATOR.iter().any(|(key, _)| is_told(key));
    if is_itself && !is_told(BEGUN_ANEW) && !is_told_already {
        let mut again = Command::new(program);
        again.arg0(name).args(arguments).envs(daemon::ALLOCATOR);
        // It comes back only where that failed.
        let _ = again.env(BEGUN_ANEW, "1").exec();
    }
}

/// Understands what is to be watched.
fn plan(args: &RecordArgs) -> Result<Plan, Failure> {
    let Some(to) = &args.to else {
        let file = args.config.clone().map_or_else(Config::find, Ok)?;
        return Ok(Plan::Configured(Box::new(Config::read(&file)?)));
    };
    let mut settings = Settings::usual(args.dsn.clone().map(Dsn::new), to.clone());
    if let Some(hz) = args.hz {
        settings.cadence = Cadence::Fixed(hz);
    }
    if let Some(naming) = &args.system_by {
        settings.system_by = naming.clone();
    }
    let http = http::Settings {
        listen: args.listen,
        token_file: args.token_file.clone(),
        ..http::Settings::default()
    };
    Ok(Plan::One(name_of(to), Box::new(settings), Box::new(http)))
}

/// Names the one server after its folder.
fn name_of(folder: &Path) -> String {
    let name = folder.file_name().unwrap_or(folder.as_os_str());
    name.to_string_lossy().into_owned()
}

/// Words a configuration as it was understood.
fn page(config: &Config) -> String {
    let count = config.servers.len();
    let plural = if count == 1 { "" } else { "s" };
    let mut page = format!(
        "{} can be used: {count} server{plural}\n",
        config.file.display()
    );
    for (name, settings) in &config.servers {
        let dsn = settings.dsn.as_ref().map(Dsn::as_str);
        let address = Target::resolve(dsn, &Environment::from_process()).map_or_else(
            |error| format!("cannot be reached: {error}"),
            |target| target.address(),
        );
        let pace = match settings.cadence {
            Cadence::Fixed(hz) => format!("{hz} a second"),
            Cadence::ByNeed(need) => format!(
                "{} a second, {} while somebody waits for a lock",
                need.quiet, need.busy
            ),
        };
        let kept = settings.retention;
        let lines = [
            ("at", address),
            ("recorded to", settings.to.display().to_string()),
            ("looks", pace),
            (
                "budget",
                format!("{} % of the server's time", settings.budget * 100.0),
            ),
            ("systems by", settings.system_by.to_string()),
            ("kept raw", format!("{}, {}", kept.raw_bytes, kept.raw_age)),
            (
                "rolled up",
                format!("{}, {}", kept.rollup_bytes, kept.rollup_age),
            ),
            (
                "in detail",
                format!(
                    "{} by the minute, {} by the hour",
                    kept.minutes_bytes, kept.hours_bytes
                ),
            ),
            ("memory", settings.memory.to_string()),
        ];
        let _ = writeln!(page, "\n{name}");
        for (what, value) in lines {
            let _ = writeln!(page, "  {what:<12} {value}");
        }
    }
    if let Some(listen) = config.http.listen {
        let scheme = if config.http.cert.is_some() {
            "https"
        } else {
            "http"
        };
        let guard = match (&config.http.token_file, &config.http.client_ca) {
            (Some(_), Some(_)) => "for whoever has the token and a certificate",
            (Some(_), None) => "for whoever has the token",
            (None, Some(_)) => "for whoever has a certificate",
            (None, None) => "without query texts",
        };
        let _ = writeln!(page, "\n{scheme}://{listen}, {guard}");
    }
    page
}

//! `pgjam lab`: workloads whose truth is known, pgjam's verdict beside it, and the score of it.

mod score;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::cli::Done;
use crate::cli::args::{LabArgs, LabCommand, LabRunArgs};
use crate::cli::diagnose::{conclude, deliver, replay};
use crate::cli::exit::Failure;
use crate::cli::screen::Screen;
use crate::cli::standing::SoFar;
use crate::cli::watch::{Watched, block_on, folder, tell_recording};
use crate::connect::{Environment, Target};
use crate::daemon::watch::reach;
use crate::lab::play::Running;
use crate::lab::scenario::{Scenario, Without};
use crate::lab::score::Growth;
use crate::lab::server::{self, ThrowAway};
use crate::lab::truth::Truth;
use crate::lab::{Config, LabError};
use crate::recording::Recording;
use crate::report::{Report, figures};
use crate::system::Naming;

/// How long the first systems may take to be at work.
const BEGIN_WITHIN: Duration = Duration::from_secs(30);

/// Runs a scenario, watched or not, or tells which there are.
pub(super) fn run(args: &LabArgs, screen: &Screen) -> Done {
    match (&args.command, args.run.scenario) {
        (Some(LabCommand::Score(args)), _) => score::run(args, screen),
        (None, Some(scenario)) => play(&scenario, &args.run, screen),
        (Some(LabCommand::List) | None, _) => screen.answer(&list(), None),
    }
}

/// Describes the scenarios.
fn list() -> String {
    let mut out = String::new();
    for scenario in Scenario::all() {
        let nothing = if scenario.is_null() {
            " (nothing to find)"
        } else {
            ""
        };
        let _ = writeln!(out, "{:<26}{}{nothing}", scenario.name, scenario.about);
    }
    out
}

/// Runs a scenario, watched or not.
fn play(scenario: &Scenario, args: &LabRunArgs, screen: &Screen) -> Done {
    server::stop_on_signals()?;
    let naming = naming_of(scenario);
    let (throw_away, dsn) = if let Some(dsn) = &args.dsn {
        if scenario.needs_own_server() {
            return Err(LabError::NeedsOwnServer {
                scenario: scenario.name,
            }
            .into());
        }
        (None, dsn.clone())
    } else {
        screen.note("starting a throw-away PostgreSQL");
        let server = ThrowAway::start(&options(scenario, args.pg_bin.as_deref()))?;
        let dsn = server.dsn("postgres", "postgres");
        (Some(server), dsn)
    };
    let truth = truth_file(args)?;
    let target = Target::resolve(Some(&dsn), &Environment::from_process())?;
    // A throw-away server goes as a whole.
    let keep_schema = throw_away.is_some();
    let config = client_config(&dsn)?;
    let running = scenario.start(
        &config,
        &truth,
        args.seed,
        args.scale,
        Without::Nothing,
        keep_schema,
    )?;
    screen.note(&format!(
        "{} runs on {}; in psql: psql '{dsn}'",
        scenario.name,
        target.address()
    ));
    let watched = if args.diagnose {
        Some(watch(args, &naming, &dsn, &running, screen)?)
    } else {
        None
    };
    follow(&running, screen);
    let summary = running.wait()?;
    if let Some(first) = &summary.errors.first {
        let count = summary.errors.count;
        screen.note(&format!(
            "the lab's clients met {count} errors, the first: {first}"
        ));
    }
    if let Some(server) = throw_away {
        server.stop()?;
    }
    screen.note(&format!("client timings: {}", truth.display()));
    let Some(recorded) = watched else {
        return Ok(());
    };
    let recording = Recording::open(&recorded)?;
    let report = conclude(&recording, &naming);
    deliver(
        &report,
        || replay(&recording, &naming),
        &args.output,
        screen,
    )?;
    let beside = beside_truth(scenario, &report, &Truth::read(&truth)?);
    screen.answer(&beside, None)?;
    if let Some(html) = &args.output.html {
        screen.note(&format!("open {} in a browser", html.display()));
    }
    tell_recording(screen, &recorded);
    Ok(())
}

/// Tells how systems are named in a scenario.
fn naming_of(scenario: &Scenario) -> Naming {
    scenario.system_by.parse().unwrap_or_default()
}

/// Tells what server a scenario is for.
fn options(scenario: &Scenario, pg_bin: Option<&Path>) -> server::Options {
    let settings = scenario.settings.iter();
    server::Options {
        pg_bin: pg_bin.map(Path::to_owned),
        // Most are about locks: how slow this machine's disk is today is not part of them.
        fsync: false,
        settings: settings
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect(),
        ..Default::default()
    }
}

fn truth_file(args: &LabRunArgs) -> Result<PathBuf, Failure> {
    match &args.truth {
        Some(file) => Ok(file.clone()),
        None => Ok(tempfile::Builder::new()
            .prefix("pgjam-truth-")
            .suffix(".jsonl")
            .tempfile()
            .and_then(|file| file.keep().map_err(|kept| kept.error))
            .map_err(Failure::io("cannot make a file for the clients' timings"))?
            .1),
    }
}

/// Reads the connection string for the lab's clients, who use the plain driver.
fn client_config(dsn: &str) -> Result<Config, Failure> {
    dsn.parse::<Config>().map_err(|error| Failure::Io {
        what: "the lab's clients cannot use this connection string".to_owned(),
        error: std::io::Error::other(error),
    })
}

/// Waits until the first systems are at work.
fn await_begin(running: &Running) {
    let deadline = Instant::now() + BEGIN_WITHIN;
    while running.phase().phase == "starting" && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Watches until the schedule ends.
fn watch(
    args: &LabRunArgs,
    naming: &Naming,
    dsn: &str,
    running: &Running,
    screen: &Screen,
) -> Result<PathBuf, Failure> {
    await_begin(running);
    block_on(async {
        let target = Target::resolve(Some(dsn), &Environment::from_process())?;
        let reached = reach(target).await?;
        let folder = folder(&args.watch)?;
        let watched = Watched {
            duration: running.phase().left_in_all,
            hz: args.watch.hz,
            naming,
            events: &[],
            so_far: SoFar::default(),
        };
        watched
            .run(&folder, reached, screen, std::future::pending())
            .await?;
        Ok(folder)
    })
}

/// Tells how far the schedule is, until it is over.
fn follow(running: &Running, screen: &Screen) {
    let mut progress = screen.progress(running.phase().left_in_all);
    loop {
        let at = running.phase();
        if at.phase == "finished" {
            break;
        }
        progress.at(&format!("{}, {} s left of it", at.phase, at.left.as_secs()));
        std::thread::sleep(
            Duration::from_millis(200).min(at.left_in_all + Duration::from_millis(1)),
        );
    }
    progress.done();
}

/// Holds pgjam's figures for the victim against what its clients timed.
fn beside_truth(scenario: &Scenario, report: &Report, clients: &Truth) -> String {
    let (system, label) = scenario.truth.victim;
    let Some(growth) = Growth::of(scenario, &report.diagnosis, clients) else {
        return format!("\nBeside the truth: {system} has no growth to compare.\n");
    };
    let row = |who: &str, [before, after]: [f64; 2], n: f64| {
        format!(
            "  {who:<16} {:>10} {:>10} {:>10} {:>9}\n",
            figures::milliseconds(before),
            figures::milliseconds(after),
            figures::milliseconds(after - before),
            figures::count(whole(n)),
        )
    };
    let verdict = growth.error().map_or_else(
        || "too little grew to compare".to_owned(),
        |off| {
            let off = off * 100.0;
            format!("pgjam's growth is {off:+.1} % off what the clients timed")
        },
    );
    let [by_pgjam, by_clients] = growth.calls;
    format!(
        "\nBeside the truth: {system}'s \"{label}\", before and after the last arrivals\n  \
         {:<16} {:>10} {:>10} {:>10} {:>9}\n{}{}  {verdict}\n",
        "",
        "before",
        "after",
        "growth",
        "calls",
        row("clients timed", growth.clients_ms, by_clients),
        row("pgjam says", growth.pgjam_ms, by_pgjam),
    )
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a count of calls"
)]
fn whole(calls: f64) -> u64 {
    calls.round().max(0.0) as u64
}

//! `pgjam lab`: a workload whose truth is known, and pgjam's verdict beside it.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::attribution::finding::{Growth, Split};
use crate::cli::Done;
use crate::cli::args::{LabArgs, Scenario};
use crate::cli::diagnose::{conclude, deliver};
use crate::cli::exit::Failure;
use crate::cli::screen::Screen;
use crate::cli::standing::SoFar;
use crate::cli::watch::{Watched, block_on, folder, tell_recording};
use crate::connect::{Environment, Target};
use crate::daemon::watch::reach;
use crate::lab::Config;
use crate::lab::rollout::{Phases, Rollout, Running, Variant};
use crate::lab::server::{self, ThrowAway};
use crate::lab::truth::Truth;
use crate::recording::Recording;
use crate::report::{Report, figures};
use crate::statement;
use crate::system::Naming;

/// The system whose latency the story is about.
const PROTAGONIST: &str = "decision";
/// A growth in milliseconds below which a percentage says nothing.
const LEAST_GROWTH_MS: f64 = 0.5;
/// How long the first system may take to be at work.
const BEGIN_WITHIN: Duration = Duration::from_secs(30);

/// Runs a scenario, watched or not.
pub(super) fn run(args: &LabArgs, screen: &Screen) -> Done {
    let Scenario::CountyRollout = args.scenario;
    server::stop_on_signals()?;
    let (throw_away, dsn) = if let Some(dsn) = &args.dsn {
        (None, dsn.clone())
    } else {
        screen.note("starting a throw-away PostgreSQL");
        let options = server::Options {
            pg_bin: args.pg_bin.clone(),
            // The story is about locks: how slow this machine's disk is today is not part of it.
            fsync: false,
            ..Default::default()
        };
        let server = ThrowAway::start(&options)?;
        let dsn = server.dsn("postgres", "postgres");
        (Some(server), dsn)
    };
    let truth = truth_file(args)?;
    let rollout = Rollout {
        seed: args.seed,
        variant: if args.harmless {
            Variant::Quiet
        } else {
            Variant::Story
        },
        phases: Phases::default().scaled(args.scale),
        // A throw-away server goes as a whole.
        keep_schema: throw_away.is_some(),
        ..Rollout::default()
    };
    let target = Target::resolve(Some(&dsn), &Environment::from_process())?;
    let running = rollout.start(&client_config(&dsn)?, &truth)?;
    screen.note(&format!(
        "county-rollout runs on {}; in psql: psql '{dsn}'",
        target.address()
    ));
    let watched = if args.diagnose {
        Some(watch(args, &dsn, &running, screen)?)
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
    let report = conclude(&recording, &Naming::default());
    deliver(&report, &args.output, screen)?;
    screen.answer(&beside_truth(&report, &Truth::read(&truth)?), None)?;
    if let Some(html) = &args.output.html {
        screen.note(&format!("open {} in a browser", html.display()));
    }
    tell_recording(screen, &recorded);
    Ok(())
}

fn truth_file(args: &LabArgs) -> Result<PathBuf, Failure> {
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

/// Watches until the schedule ends.
fn watch(
    args: &LabArgs,
    dsn: &str,
    running: &Running,
    screen: &Screen,
) -> Result<PathBuf, Failure> {
    let deadline = Instant::now() + BEGIN_WITHIN;
    while running.phase().phase == "starting" && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(50));
    }
    block_on(async {
        let target = Target::resolve(Some(dsn), &Environment::from_process())?;
        let reached = reach(target).await?;
        let folder = folder(&args.watch)?;
        let watched = Watched {
            duration: running.phase().left_in_all,
            hz: args.watch.hz,
            naming: &Naming::default(),
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

/// Holds pgjam's figures for the protagonist against what its client timed.
fn beside_truth(report: &Report, truth: &Truth) -> String {
    let compared = the_growth(report).and_then(|(query, growth)| {
        let label = label_of(truth, query)?;
        let [before, after] = [growth.window_before, growth.window_after]
            .map(|[from, to]| truth.mean_ms(PROTAGONIST, &label, from.0, to.0));
        Some((growth, before?, after?))
    });
    let Some((growth, before, after)) = compared else {
        return format!("\nBeside the truth: {PROTAGONIST} has no growth to compare.\n");
    };
    let row = |who: &str, before: f64, after: f64, n: u64| {
        format!(
            "  {who:<16} {:>10} {:>10} {:>10} {:>9}\n",
            figures::milliseconds(before),
            figures::milliseconds(after),
            figures::milliseconds(after - before),
            figures::count(n),
        )
    };
    let timed = after.ms - before.ms;
    let verdict = if timed.abs() < LEAST_GROWTH_MS {
        "too little grew to compare".to_owned()
    } else {
        let off = (growth.delta_ms - timed) / timed * 100.0;
        format!("pgjam's growth is {off:+.1} % off what the clients timed")
    };
    format!(
        "\nBeside the truth: {PROTAGONIST}'s update of the counters, before and after the last wave\n  \
         {:<16} {:>10} {:>10} {:>10} {:>9}\n{}{}  {verdict}\n",
        "",
        "before",
        "after",
        "growth",
        "calls",
        row("clients timed", before.ms, after.ms, after.calls),
        row(
            "pgjam says",
            growth.before_ms,
            growth.after_ms,
            whole(growth.calls_after)
        ),
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

/// Finds the protagonist's largest growth after the last wave.
fn the_growth(report: &Report) -> Option<(&str, &Growth)> {
    let last = report
        .diagnosis
        .splits
        .iter()
        .map(|split| split.growth.window_after[0])
        .max()?;
    let of_protagonist = |split: &&Split| {
        split.victim.system.as_deref() == Some(PROTAGONIST)
            && split.growth.window_after[0] == last
            && split.victim.query.starts_with("UPDATE")
    };
    let split = report.diagnosis.splits.iter().find(of_protagonist)?;
    Some((&split.victim.query, &split.growth))
}

/// Finds the label under which the clients timed a statement.
fn label_of(truth: &Truth, query: &str) -> Option<String> {
    let id = statement::read(query.as_bytes()).id;
    truth
        .statements
        .iter()
        .find(|((system, _), sql)| {
            system == PROTAGONIST && statement::read(sql.as_bytes()).id == id
        })
        .map(|((_, label), _)| label.clone())
}

//! `pgjam lab score`: the scenarios one after the other, each watched, and how right that was.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{await_begin, client_config, naming_of, options};
use crate::attribution;
use crate::cli::Done;
use crate::cli::args::{Format, ScoreArgs};
use crate::cli::exit::Failure;
use crate::cli::screen::{Progress, Screen};
use crate::cli::watch::block_on;
use crate::connect::{Environment, Target};
use crate::daemon::watch::{Audience, Watch, reach};
use crate::lab::scenario::{Scenario, Without};
use crate::lab::score::{Logged, Placebo, Run, Score, Watched, WhatIf, render};
use crate::lab::server::{self, ThrowAway};
use crate::lab::truth::Truth;
use crate::recording::{Limits, Recording};
use crate::sample::live::Options;
use crate::sample::pace::Cadence;
use crate::sample::{Declared, Snapshot};
use crate::system::Naming;
use crate::time::Timestamp;

/// The scenarios of `--smoke`, which are short …
const SMOKE: [&str; 3] = ["idle-in-transaction", "lock-table", "harmless-twins"];
/// … when they are stretched by this.
const SMOKE_SCALE: f64 = 0.4;

/// What is left out to see what would be, where the scenario has it.
const WITHOUT: [Without; 2] = [Without::Cause, Without::Call];

/// How long the server may keep the end of a watch waiting.
const ENDING: Duration = Duration::from_secs(10);

/// What is kept of a run that came to its end, in `run.json`.
#[derive(Debug, Serialize, Deserialize)]
struct Kept {
    scenario: String,
    seed: u64,
    scale: f64,
    /// What was left out.
    #[serde(default)]
    without: Without,
    /// What went wrong in the clients.
    errors: u64,
    /// The first of it.
    first_error: Option<String>,
}

impl Kept {
    /// Reads what was kept of a run.
    fn read(folder: &Path) -> Result<Self, Failure> {
        let reading = || Failure::io(format!("cannot read {}", folder.display()));
        let kept = fs::read_to_string(folder.join("run.json")).map_err(reading())?;
        serde_json::from_str(&kept)
            .map_err(std::io::Error::from)
            .map_err(reading())
    }
}

/// Runs the scenarios, or reads the runs that were kept, and tells the score.
pub(super) fn run(args: &ScoreArgs, screen: &Screen) -> Done {
    if args.from.is_none() || args.what_if {
        server::stop_on_signals()?;
    }
    let (folders, mut failed) = match &args.from {
        Some(folder) => (kept_in(folder)?, Vec::new()),
        None => play_all(args, screen)?,
    };
    if args.what_if {
        for without in WITHOUT {
            for folder in &folders {
                failed.extend(play_without(without, folder, args, screen)?);
            }
        }
    }
    let mut runs = Vec::new();
    for folder in &folders {
        match judge(folder, args) {
            Ok(run) => runs.extend(run),
            Err(failure) => failed.push(format!("{}: {failure}", folder.display())),
        }
    }
    let score = Score::of(runs, failed);
    let answer = match args.format {
        Format::Text => render(&score),
        Format::Json => {
            let json = serde_json::to_string_pretty(&score);
            json.map_err(std::io::Error::from)
                .map_err(Failure::io("cannot write the score"))?
                + "\n"
        }
    };
    screen.answer(&answer, args.output.as_deref())
}

/// Lists the runs that are kept in a folder, in order of their names.
fn kept_in(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let reading = || Failure::io(format!("cannot read {}", folder.display()));
    let entries = fs::read_dir(folder).map_err(reading())?;
    let mut folders: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.join("run.json").is_file())
        .collect();
    folders.sort();
    Ok(folders)
}

/// Runs what is asked for; gives the folders of the runs, and what failed.
fn play_all(args: &ScoreArgs, screen: &Screen) -> Result<(Vec<PathBuf>, Vec<String>), Failure> {
    let into = match &args.into {
        Some(folder) => folder.clone(),
        None => tempfile::Builder::new()
            .prefix("pgjam-score-")
            .tempdir()
            .map_err(Failure::io("cannot make a folder for the runs"))?
            .keep(),
    };
    let scenarios = chosen(args);
    let scale = if args.smoke {
        args.scale * SMOKE_SCALE
    } else {
        args.scale
    };
    let mut folders = Vec::new();
    let mut failed = Vec::new();
    let count = scenarios.len() * usize::try_from(args.seeds).unwrap_or(1);
    let all = (1..=args.seeds).flat_map(|seed| scenarios.iter().map(move |it| (seed, it)));
    for (nth, (seed, scenario)) in (1..).zip(all) {
        let folder = into.join(format!("{}.{seed}", scenario.name));
        if !folder.join("run.json").is_file() {
            let what = format!("{nth} of {count}: {}, seed {seed}", scenario.name);
            screen.note(&what);
            if let Err(failure) = play(
                scenario,
                seed,
                scale,
                Without::Nothing,
                &folder,
                args,
                screen,
            ) {
                screen.note(&format!("failed: {failure}"));
                failed.push(format!("{}, seed {seed}: {failure}", scenario.name));
                continue;
            }
        }
        folders.push(folder);
    }
    screen.note(&format!(
        "the runs are kept: pgjam lab score --from {}",
        into.display()
    ));
    Ok((folders, failed))
}

/// Tells whether runs of a scenario are among those to be scored.
fn is_asked_for(scenario: &Scenario, args: &ScoreArgs) -> bool {
    args.only.is_empty() || args.only.iter().any(|only| only.name == scenario.name)
}

fn chosen(args: &ScoreArgs) -> Vec<Scenario> {
    if args.smoke {
        SMOKE.into_iter().filter_map(Scenario::find).collect()
    } else if args.only.is_empty() {
        Scenario::all()
    } else {
        args.only.clone()
    }
}

/// Plays a run that was kept once more without a part of it, unless that was done or there is none;
/// gives what failed.
fn play_without(
    without: Without,
    folder: &Path,
    args: &ScoreArgs,
    screen: &Screen,
) -> Result<Option<String>, Failure> {
    let kept = Kept::read(folder)?;
    let again = beside(folder, without);
    if kept.without != Without::Nothing || again.join("run.json").is_file() {
        return Ok(None);
    }
    let asked = |it: &Scenario| it.has(without) && is_asked_for(it, args);
    let Some(scenario) = Scenario::find(&kept.scenario).filter(asked) else {
        return Ok(None);
    };
    let what = format!(
        "{}, seed {}, without the {}",
        kept.scenario,
        kept.seed,
        without.name()
    );
    screen.note(&what);
    let played = play(
        &scenario, kept.seed, kept.scale, without, &again, args, screen,
    );
    Ok(played.err().map(|failure| format!("{what}: {failure}")))
}

/// Names the folder of the run without a part of what was played into `folder`.
fn beside(folder: &Path, without: Without) -> PathBuf {
    let mut name = folder.as_os_str().to_owned();
    name.push(".without-");
    name.push(without.name());
    name.into()
}

/// Runs one scenario on a server of its own, watched into `folder`.
fn play(
    scenario: &Scenario,
    seed: u64,
    scale: f64,
    without: Without,
    folder: &Path,
    args: &ScoreArgs,
    screen: &Screen,
) -> Result<(), Failure> {
    let making = || Failure::io(format!("cannot write {}", folder.display()));
    if folder.exists() {
        // What a run left that was broken off.
        fs::remove_dir_all(folder).map_err(making())?;
    }
    fs::create_dir_all(folder).map_err(making())?;
    let mut options = options(scenario, args.pg_bin.as_deref());
    let logs = Logged::SETTINGS;
    options
        .settings
        .extend(logs.map(|(name, value)| (name.to_owned(), value.to_owned())));
    let server = ThrowAway::start(&options)?;
    let dsn = server.dsn("postgres", "postgres");
    let truth = folder.join("truth.jsonl");
    let running = scenario.start(&client_config(&dsn)?, &truth, seed, scale, without, true)?;
    await_begin(&running);
    let naming = naming_of(scenario);
    let left = running.phase().left_in_all;
    let watch = Watch {
        duration: Some(left),
        options: Options {
            cadence: Cadence::Fixed(args.hz),
            seed,
            tag_keys: naming.tags().iter().map(ToString::to_string).collect(),
            ..Options::default()
        },
        naming,
        limits: Limits::default(),
        ending: ENDING,
    };
    block_on(async {
        let target = Target::resolve(Some(&dsn), &Environment::from_process())?;
        let reached = reach(target).await?;
        let mut progress = Teller(screen.progress(left));
        let recording = folder.join("recording");
        let watched = watch.run(&recording, reached, &mut progress, std::future::pending());
        let watched = watched.await;
        progress.0.done();
        Ok(watched?)
    })?;
    let summary = running.wait()?;
    fs::copy(server.log_path(), folder.join("server.log")).map_err(making())?;
    server.stop()?;
    let kept = Kept {
        scenario: scenario.name.to_owned(),
        seed,
        scale,
        without,
        errors: summary.errors.count,
        first_error: summary.errors.first,
    };
    if let Some(first) = &kept.first_error {
        screen.note(&format!(
            "  its clients met {} errors, the first: {first}",
            kept.errors
        ));
    }
    let json = serde_json::to_string_pretty(&kept).map_err(std::io::Error::from);
    json.and_then(|json| fs::write(folder.join("run.json"), json))
        .map_err(making())
}

/// Tells on the terminal how far a watch is.
struct Teller(Progress);

impl Audience for Teller {
    fn saw(&mut self, snapshot: &Snapshot) {
        let active = snapshot
            .sessions
            .iter()
            .filter(|session| session.state.is_active());
        self.0.at(&format!("{} active", active.count()));
    }
}

/// Judges a run that was kept; none where it is of a scenario that is not asked for.
fn judge(folder: &Path, args: &ScoreArgs) -> Result<Option<Run>, Failure> {
    let reading = || Failure::io(format!("cannot read {}", folder.display()));
    let kept = Kept::read(folder)?;
    let asked = |it: &Scenario| kept.without == Without::Nothing && is_asked_for(it, args);
    let Some(scenario) = Scenario::find(&kept.scenario).filter(asked) else {
        return Ok(None);
    };
    let recording = Recording::open(&folder.join("recording"))?;
    let clients = Truth::read(&folder.join("truth.jsonl"))?;
    // The server writes in whatever encoding a database has.
    let log = fs::read(folder.join("server.log")).map_err(reading())?;
    let log = Logged::read(&String::from_utf8_lossy(&log));
    let naming = naming_of(&scenario);
    let event = clients
        .phases
        .last()
        .map_or(Timestamp::default(), |phase| phase.from);
    let diagnosis = attribution::diagnose(&recording, &naming);
    let watched = Watched::new(&recording, &naming, &log, event);
    let run = Run::of(&scenario, kept.seed, &diagnosis, &watched, &clients);
    let placebo = scenario
        .is_null()
        .then(|| placebo(folder, &naming, &clients));
    let again = WITHOUT.map(|without| beside(folder, without));
    let mut played = Vec::new();
    for (without, folder) in WITHOUT.into_iter().zip(&again) {
        if folder.join("run.json").is_file() {
            played.push((without, Truth::read(&folder.join("truth.jsonl"))?));
        }
    }
    Ok(Some(Run {
        placebo: placebo.transpose()?,
        what_if: WhatIf::of(&scenario, &diagnosis, &clients, &played),
        ..run
    }))
}

/// Diagnoses parts of a run in which no arrival is to blame.
fn placebo(folder: &Path, naming: &Naming, clients: &Truth) -> Result<Placebo, Failure> {
    let mut placebo = Placebo::default();
    for cut in Placebo::cuts(clients) {
        let mut part = Recording::open_within(&folder.join("recording"), cut.window)?;
        part.declared.extend(cut.edge.map(|at| Declared {
            at,
            label: "nothing".into(),
        }));
        placebo.add(&cut, &attribution::diagnose(&part, naming));
    }
    Ok(placebo)
}

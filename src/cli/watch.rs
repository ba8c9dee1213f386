//! Watching a server into a recording: what `diagnose` and the lab have in common.
//!
//! ```text
//!  connect ─▶ doctor ─▶ ticks ─▶ recording folder ─▶ (attribution reads it from there)
//! ```
//! The recording is written beside the watch and made safe twice a second: a slow
//! disk delays no look, and whatever ends the watch leaves what was seen until then.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::time::{Duration, Instant};

use crate::cli::args::{Event, WatchArgs};
use crate::cli::exit::Failure;
use crate::cli::screen::{Progress, Screen};
use crate::connect::{Environment, Session, Target};
use crate::doctor::Checkup;
use crate::graph::WaitGraph;
use crate::graph::view::Vocabulary;
use crate::names::{Names, Statements};
use crate::pg::Version;
use crate::recording::{Disk, Entry, Recorder};
use crate::report::{Rights, first_screen};
use crate::sample::live::{Options, Source};
use crate::sample::pace::Cadence;
use crate::sample::{Declared, SampleError, Server, Snapshot};
use crate::system::Naming;

/// How long other databases may keep the end of a watch waiting for names.
pub(super) const LAST_NAMES: Duration = Duration::from_secs(2);
/// How long the server may keep the end of a watch waiting that somebody looks at.
pub(super) const ENDING: Duration = Duration::from_secs(30);
/// How long the preflight may take before the server counts as hanging.
const PREFLIGHT: Duration = Duration::from_secs(10);
/// So many ticks in a row may run into a timeout of ours before we give up.
const TIMEOUTS: u32 = 20;

/// A server that was reached and may be watched.
pub(super) struct Reached {
    pub(super) target: Target,
    pub(super) session: Session,
    pub(super) server: Server,
    pub(super) checkup: Checkup,
}

/// Connects and makes sure that what is needed may be seen.
pub(super) async fn reach(dsn: Option<&str>, screen: &Screen) -> Result<Reached, Failure> {
    let target = Target::resolve(dsn, &Environment::from_process())?;
    for notice in target.notices() {
        screen.note(notice);
    }
    let session = target.connect().await?;
    let preflight = tokio::time::timeout(PREFLIGHT, Checkup::run(session.client()));
    let checkup = preflight.await.map_err(|_| SampleError::Silent {
        query: "the preflight",
        seconds: PREFLIGHT.as_secs_f64(),
    })??;
    match checkup.server(session.address()) {
        Some(server) if !checkup.is_fatal() => Ok(Reached {
            target,
            session,
            server,
            checkup,
        }),
        _ => Err(refused(session.address(), &checkup)),
    }
}

/// Gives what the role in use may do to the sessions of others.
pub(super) fn rights(checkup: &Checkup) -> Option<Rights> {
    let facts = checkup.facts.as_ref()?;
    Some(Rights {
        version: checkup.version,
        role: facts.role.clone(),
        is_superuser: facts.superuser,
        signals_sessions: facts.may_signal,
        signals_autovacuum: facts.may_signal_autovacuum,
    })
}

/// Says what is missing, and what grants it.
fn refused(address: &str, checkup: &Checkup) -> Failure {
    let mut said = format!("{address} cannot be watched");
    for missing in checkup.missing.iter().filter(|missing| missing.fatal) {
        said.extend(["\n  ", &missing.what, ": ", &missing.consequence]);
        said.extend(missing.remedy.iter().flat_map(|remedy| ["\n    ", remedy]));
    }
    if checkup.version < Version::OLDEST {
        Failure::TooOld(said)
    } else {
        Failure::Missing(said)
    }
}

/// What is watched for, and how.
pub(super) struct Watch<'a> {
    /// How long; without an end where there is none, and without a word on the way.
    pub(super) duration: Option<Duration>,
    pub(super) cadence: Cadence,
    pub(super) naming: &'a Naming,
    pub(super) events: &'a [Event],
    /// How long the server may keep the end waiting.
    pub(super) ending: Duration,
}

impl Watch<'_> {
    /// Watches into a folder until the time is over or `stop` comes.
    ///
    /// Where the server goes away the folder holds what was seen until then.
    pub(super) async fn run(
        &self,
        folder: &Path,
        reached: &Reached,
        screen: &Screen,
        stop: impl Future<Output = ()>,
    ) -> Result<(), Failure> {
        let mut recorder = Recorder::create(folder, &reached.server)?;
        let watched = self.go_on(&mut recorder, reached, screen, stop).await;
        recorder.finish()?;
        match watched {
            Err(Failure::Sample(error)) => Err(Failure::Lost {
                error,
                kept: folder.to_owned(),
            }),
            other => other,
        }
    }

    /// Watches into a recording that may have begun before and may go on afterwards.
    pub(super) async fn go_on(
        &self,
        recorder: &mut Recorder,
        reached: &Reached,
        screen: &Screen,
        stop: impl Future<Output = ()>,
    ) -> Result<(), Failure> {
        for Event { label, at } in self.events {
            recorder.take(Entry::Declared(Declared {
                at: *at,
                label: label.as_str().into(),
            }));
        }
        let options = Options {
            cadence: self.cadence,
            seed: u64::from(std::process::id()),
            tag_keys: self.naming.tags().iter().map(ToString::to_string).collect(),
            target: Some(reached.target.clone()),
            after: recorder.last_tick(),
            ..Options::default()
        };
        let mut stop = std::pin::pin!(stop);
        let mut source = tokio::select! {
            () = &mut stop => return Err(Failure::Interrupted),
            source = Source::new(reached.session.client(), options) => source?,
        };
        let mut live = Live::new(self.naming, rights(&reached.checkup));
        let watched = self
            .ticks(&mut source, recorder, &mut live, screen, stop)
            .await;
        match watched {
            Ok(()) if live.ticks == 0 => Err(Failure::Interrupted),
            other => other,
        }
    }

    async fn ticks(
        &self,
        source: &mut Source<'_>,
        recorder: &mut Recorder,
        live: &mut Live<'_>,
        screen: &Screen,
        mut stop: Pin<&mut impl Future<Output = ()>>,
    ) -> Result<(), Failure> {
        let mut progress = self.duration.map(|duration| screen.progress(duration));
        let begun = Instant::now();
        let is_over = || self.duration.is_some_and(|all| begun.elapsed() >= all);
        while !is_over() {
            // Whoever hangs in the middle of a step does not keep the end waiting.
            let step = step(source, recorder, live, screen, &mut progress);
            tokio::select! {
                () = &mut stop => break,
                step = step => step?,
            }
        }
        if let Some(progress) = progress {
            progress.done();
        }
        // The last piece of time ends where the watch does; the names may come after it.
        let ending = async {
            count(source, recorder).await?;
            for name in source.last_names(LAST_NAMES).await {
                recorder.take(Entry::Name(name));
            }
            Ok(())
        };
        let ended = tokio::time::timeout(self.ending, ending).await;
        lose(source, recorder);
        ended.unwrap_or(Ok(()))
    }
}

/// Takes one tick and what is asked beside it.
async fn step(
    source: &mut Source<'_>,
    recorder: &mut Recorder,
    live: &mut Live<'_>,
    screen: &Screen,
    progress: &mut Option<Progress>,
) -> Result<(), Failure> {
    let snapshot = match source.tick().await {
        Ok(snapshot) => snapshot,
        Err(SampleError::Timeout { .. }) if live.timeouts < TIMEOUTS => {
            live.timeouts += 1;
            recorder.lose("timed_out_ticks", 1);
            return Ok(());
        }
        Err(error) => return Err(error.into()),
    };
    live.timeouts = 0;
    // What the server has told is safe before it is asked for more.
    recorder.take(Entry::Snapshot(Box::new(snapshot.clone())));
    // A watch without an end must not gather what nobody will read.
    let is_shown = live.ticks == 0 && progress.is_some();
    for text in source.learned() {
        if is_shown {
            live.statements.learn(&text);
        }
        recorder.take(Entry::Statement(text));
    }
    for name in source.names(&snapshot).await {
        if is_shown {
            live.names.learn(&name);
        }
        recorder.take(Entry::Name(name));
    }
    lose(source, recorder);
    // What helps at once comes before anything that may take its time.
    if is_shown {
        screen.page(&live.first_screen(&snapshot, screen));
    }
    let status = live.status(&snapshot);
    if let Some(progress) = progress {
        progress.at(&status);
    }
    match recorder.disk() {
        Some(Disk::Refuses(why)) => {
            screen.note(&format!("the recording waits in memory: {why}"));
        }
        Some(Disk::TakesAgain) => screen.note("the recording is written again"),
        None => {}
    }
    if source.should_count() {
        count(source, recorder).await?;
    }
    Ok(())
}

/// Reads the counters, if there are any.
async fn count(source: &mut Source<'_>, recorder: &mut Recorder) -> Result<(), Failure> {
    if let Some(counters) = source.counters().await? {
        recorder.take(Entry::Counters(counters));
    }
    Ok(())
}

/// Takes down what was lost.
fn lose(source: &mut Source<'_>, recorder: &mut Recorder) {
    for loss in source.losses() {
        recorder.take(Entry::Loss(loss));
    }
}

/// What the first screen needs to know, and how the watch goes on.
struct Live<'a> {
    naming: &'a Naming,
    rights: Option<Rights>,
    names: Names,
    statements: Statements,
    ticks: usize,
    /// Ticks in a row that ran into a timeout.
    timeouts: u32,
}

impl<'a> Live<'a> {
    fn new(naming: &'a Naming, rights: Option<Rights>) -> Self {
        Self {
            naming,
            rights,
            names: Names::default(),
            statements: Statements::default(),
            ticks: 0,
            timeouts: 0,
        }
    }

    fn words(&self) -> Vocabulary<'_> {
        Vocabulary {
            naming: self.naming,
            names: &self.names,
            statements: &self.statements,
        }
    }

    /// Words what an engineer should know at once.
    fn first_screen(&self, snapshot: &Snapshot, screen: &Screen) -> String {
        let view = WaitGraph::of(snapshot).view(self.words());
        first_screen::render(&view, self.rights.as_ref(), screen.style())
    }

    /// Words the state of things for a line of progress.
    fn status(&mut self, snapshot: &Snapshot) -> String {
        self.ticks += 1;
        let active = snapshot
            .sessions
            .iter()
            .filter(|session| session.state.is_active())
            .count();
        let blocked = snapshot
            .sessions
            .iter()
            .filter(|session| session.wait_event_type.as_deref() == Some("Lock"))
            .count();
        format!("{active} active, {blocked} waiting for a lock")
    }
}

/// Chooses where a recording goes: where the user says, or a new folder of its own.
pub(super) fn folder(watch: &WatchArgs) -> Result<PathBuf, Failure> {
    match &watch.record {
        Some(folder) => Ok(folder.clone()),
        None => Ok(tempfile::Builder::new()
            .prefix("pgjam-recording-")
            .tempdir()
            .map_err(Failure::io("cannot make a folder for the recording"))?
            .keep()),
    }
}

/// Runs one asynchronous command to its end.
pub(super) fn block_on<T>(command: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Failure::io("cannot start the runtime"))?
        .block_on(command)
}

/// Ends when the user presses Ctrl-C.
pub(super) async fn ctrl_c() {
    if tokio::signal::ctrl_c().await.is_err() {
        // Without a handler Ctrl-C ends the process as it always does.
        std::future::pending::<()>().await;
    }
}

/// Tells where the recording is.
pub(super) fn tell_recording(screen: &Screen, folder: &Path) {
    screen.note(&format!(
        "recording: {} (pgjam report reads it again)",
        folder.display()
    ));
}

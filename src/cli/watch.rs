//! Watching from the command line: what is shown on the way, and where the recording goes.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use crate::cli::args::WatchArgs;
use crate::cli::exit::Failure;
use crate::cli::screen::{Progress, Screen};
use crate::cli::standing::SoFar;
use crate::cli::typed::Event;
use crate::daemon::watch::{Audience, Reached, Watch};
use crate::doctor::Checkup;
use crate::graph::WaitGraph;
use crate::graph::view::Vocabulary;
use crate::names::{Names, Statements};
use crate::recording::{Disk, Limits};
use crate::report::{Rights, first_screen};
use crate::sample::live::Options;
use crate::sample::pace::Cadence;
use crate::sample::{Declared, Name, Snapshot, StatementText};
use crate::system::Naming;

/// How long the server may keep the end of a watch waiting that somebody looks at.
const ENDING: Duration = Duration::from_secs(30);

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

/// A watch that somebody looks at.
pub(super) struct Watched<'a> {
    pub(super) duration: Duration,
    pub(super) hz: f64,
    pub(super) naming: &'a Naming,
    pub(super) events: &'a [Event],
    /// What is concluded on the way.
    pub(super) so_far: SoFar,
}

impl Watched<'_> {
    /// Watches into a folder until the time is over or `stop` comes, and closes the session.
    pub(super) async fn run(
        &self,
        folder: &Path,
        reached: Reached,
        screen: &Screen,
        stop: impl Future<Output = ()>,
    ) -> Result<(), Failure> {
        let tags = self.naming.tags();
        let watch = Watch {
            duration: Some(self.duration),
            naming: self.naming.clone(),
            options: Options {
                cadence: Cadence::Fixed(self.hz),
                seed: u64::from(std::process::id()),
                tag_keys: tags.iter().map(ToString::to_string).collect(),
                ..Options::default()
            },
            limits: Limits::default(),
            ending: ENDING,
        };
        let mut viewer = Viewer {
            screen,
            progress: screen.progress(self.duration),
            naming: self.naming,
            rights: rights(&reached.checkup),
            events: self.events.iter().map(declared).collect(),
            names: Names::default(),
            statements: Statements::default(),
            has_seen: false,
            so_far: Arc::clone(&self.so_far),
        };
        let watched = watch.run(folder, reached, &mut viewer, stop).await;
        viewer.progress.done();
        Ok(watched?)
    }
}

/// Turns what was typed into what is recorded.
pub(super) fn declared(event: &Event) -> Declared {
    Declared {
        at: event.at,
        label: Arc::clone(&event.label),
    }
}

/// Who looks at a watch while it goes on.
struct Viewer<'a> {
    screen: &'a Screen,
    progress: Progress,
    naming: &'a Naming,
    rights: Option<Rights>,
    /// What was told on the command line, until it is recorded.
    events: Vec<Declared>,
    names: Names,
    statements: Statements,
    has_seen: bool,
    so_far: SoFar,
}

impl Audience for Viewer<'_> {
    // Beyond the first screen nobody asks for them here.
    fn learned(&mut self, text: &StatementText) {
        if !self.has_seen {
            self.statements.learn(text);
        }
    }

    fn named(&mut self, name: &Name) {
        if !self.has_seen {
            self.names.learn(name);
        }
    }

    fn saw(&mut self, snapshot: &Snapshot) {
        if !self.has_seen {
            self.has_seen = true;
            // What an engineer should know at once.
            let words = Vocabulary {
                naming: self.naming,
                names: &self.names,
                statements: &self.statements,
            };
            let view = WaitGraph::of(snapshot).view(words);
            let page = first_screen::render(&view, self.rights.as_ref(), self.screen.style());
            self.screen.page(&page);
        }
        let so_far = self.so_far.lock().unwrap_or_else(PoisonError::into_inner);
        self.progress.at(&status(snapshot, &so_far));
    }

    fn disk(&mut self, disk: &Disk) {
        match disk {
            Disk::Refuses(why) => {
                let said = format!("the recording waits in memory: {why}");
                self.screen.note(&said);
            }
            Disk::TakesAgain => self.screen.note("the recording is written again"),
        }
    }

    fn declared(&mut self) -> Vec<Declared> {
        std::mem::take(&mut self.events)
    }
}

/// Words the state of things for a line of progress.
fn status(snapshot: &Snapshot, so_far: &str) -> String {
    let sessions = || snapshot.sessions.iter();
    let active = sessions().filter(|session| session.state.is_active());
    let blocked = sessions().filter(|session| session.wait_event_type.as_deref() == Some("Lock"));
    let separator = if so_far.is_empty() { "" } else { "; " };
    format!(
        "{} active, {} waiting for a lock{separator}{so_far}",
        active.count(),
        blocked.count()
    )
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

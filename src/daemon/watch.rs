//! One server, watched into a recording: what `diagnose`, the lab and the daemon have in common.
//!
//! ```text
//!  connect ─▶ doctor ─▶ ticks ─▶ recording folder ─▶ (attribution reads it from there)
//!                         └────▶ audience: whoever wants to know at once
//! ```
//! The recording is written beside the watch and made safe twice a second: a slow
//! disk delays no look, and whatever ends the watch leaves what was seen until then.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::time::{Duration, Instant};

use super::books::Books;
use crate::connect::{ConnectError, Session, Target};
use crate::doctor::{Checkup, DoctorError};
use crate::pg::Version;
use crate::recording::{Charge, Disk, Entry, Event, Limits, Recorder, RecordingError, Size};
use crate::sample::live::{Options, Owed, Source};
use crate::sample::{Declared, Loss, Name, SampleError, Server, Snapshot, StatementText};
use crate::system::Naming;

/// How long other databases may keep the end of a watch waiting for names.
pub const LAST_NAMES: Duration = Duration::from_secs(2);
/// How long the preflight may take before the server counts as hanging.
const PREFLIGHT: Duration = Duration::from_secs(10);
/// So many ticks in a row may run into a timeout of ours before we give up.
const TIMEOUTS: u32 = 20;

/// Why a watch did not come about, or ended.
#[derive(Debug, thiserror::Error)]
pub enum WatchError {
    /// The server could not be reached or refused.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The preflight could not be made.
    #[error(transparent)]
    Doctor(#[from] DoctorError),
    /// The role sees too little, or the server lacks what is needed.
    #[error("{0}")]
    Missing(String),
    /// The server is older than what the tick needs.
    #[error("{0}")]
    TooOld(String),
    /// Watching failed.
    #[error(transparent)]
    Sample(#[from] SampleError),
    /// Watching ended before its time, and what was seen until then is kept.
    #[error("{error}\n  what was seen until then is kept: pgjam report {}", kept.display())]
    Lost {
        /// Why.
        error: SampleError,
        /// Where the recording is.
        kept: PathBuf,
    },
    /// The recording could not be written.
    #[error(transparent)]
    Recording(#[from] RecordingError),
    /// It was stopped before it had anything to say.
    #[error("interrupted before the first tick")]
    Interrupted,
}

/// A server that was reached and may be watched.
#[derive(Debug)]
pub struct Reached {
    /// How it was reached.
    pub target: Target,
    /// The session on it.
    pub session: Session,
    /// What it is.
    pub server: Server,
    /// What may be seen there.
    pub checkup: Checkup,
}

/// Connects and makes sure that what is needed may be seen.
///
/// # Errors
///
/// Where the server cannot be reached, hangs, or shows too little.
pub async fn reach(target: Target) -> Result<Reached, WatchError> {
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

/// Says what is missing, and what grants it.
fn refused(address: &str, checkup: &Checkup) -> WatchError {
    let mut said = format!("{address} cannot be watched");
    for missing in checkup.missing.iter().filter(|missing| missing.fatal) {
        said.extend(["\n  ", &missing.what, ": ", &missing.consequence]);
        said.extend(missing.remedy.iter().flat_map(|remedy| ["\n    ", remedy]));
    }
    if checkup.version < Version::OLDEST {
        WatchError::TooOld(said)
    } else {
        WatchError::Missing(said)
    }
}

/// Who is told what a watch sees while it goes on; it must not take its time.
pub trait Audience: Send {
    /// Hears that the watch goes on, before each look.
    fn stirs(&mut self) {}
    /// Hears a text, before the look that mentions it.
    fn learned(&mut self, _text: &StatementText) {}
    /// Hears a name, before the look that mentions it where the server told it in time.
    fn named(&mut self, _name: &Name) {}
    /// Hears a look.
    fn saw(&mut self, _snapshot: &Snapshot) {}
    /// Hears where the time of that look went.
    fn charged(&mut self, _charges: &[Charge]) {}
    /// Hears of a loss, whoever noticed it.
    fn lost(&mut self, _loss: &Loss) {}
    /// Hears what the recording takes on disk.
    fn recorded(&mut self, _size: &Size) {}
    /// Hears that the server has another role, or was started anew, while the watch goes on.
    fn found(&mut self, _server: &Server) {}
    /// Hears that the disk refuses, or takes again.
    fn disk(&mut self, _disk: &Disk) {}
    /// Gives what was declared since it was last asked, for the recording.
    fn declared(&mut self) -> Vec<Declared> {
        Vec::new()
    }
}

/// How a server is watched.
#[derive(Clone, Debug)]
pub struct Watch {
    /// How long; without an end where there is none.
    pub duration: Option<Duration>,
    /// How systems are named, in what is worked out beside the samples.
    pub naming: Naming,
    /// How it is looked at. The target and the last tick before it come from what was reached
    /// and from the recording.
    pub options: Options,
    /// What the recording may take.
    pub limits: Limits,
    /// How long the server may keep the end waiting.
    pub ending: Duration,
}

impl Watch {
    /// Watches into a folder until the time is over or `stop` comes, and closes the session.
    ///
    /// # Errors
    ///
    /// Where the server goes away; the folder then holds what was seen until then. Where the
    /// folder cannot be written.
    pub async fn run(
        &self,
        folder: &Path,
        reached: Reached,
        audience: &mut dyn Audience,
        stop: impl Future<Output = ()>,
    ) -> Result<(), WatchError> {
        let mut recorder = Recorder::create(folder, &reached.server)?;
        recorder.take(Entry::Limits(self.limits));
        let (told, until) = (Event::told(folder), recorder.last_tick());
        let mut books = Books::new(self.naming.clone(), &told, until.map(|tick| tick.at));
        let watched = self
            .go_on(&mut recorder, &mut books, &reached, audience, stop)
            .await;
        reached.session.close().await;
        let watched = match watched {
            Ok(owed) => {
                keep_owed(owed, &mut recorder, LAST_NAMES).await;
                Ok(())
            }
            Err(failure) => Err(failure),
        };
        books.finish().into_iter().for_each(|it| recorder.take(it));
        recorder.finish()?;
        match watched {
            Err(WatchError::Sample(error)) => Err(WatchError::Lost {
                error,
                kept: folder.to_owned(),
            }),
            other => other,
        }
    }

    /// Watches into a recording that may have begun before and may go on afterwards, and gives the
    /// names that other databases still owe.
    ///
    /// # Errors
    ///
    /// Where the server goes away, or refuses what the tick needs.
    pub async fn go_on(
        &self,
        recorder: &mut Recorder,
        books: &mut Books,
        reached: &Reached,
        audience: &mut dyn Audience,
        stop: impl Future<Output = ()>,
    ) -> Result<Owed, WatchError> {
        let options = Options {
            target: Some(reached.target.clone()),
            after: recorder.last_tick(),
            ..self.options.clone()
        };
        let mut stop = std::pin::pin!(stop);
        let source = tokio::select! {
            () = &mut stop => return Err(WatchError::Interrupted),
            source = Source::new(reached.session.client(), options) => source?,
        };
        let mut watching = Watching {
            source,
            recorder,
            books,
            audience,
            unread: None,
            ticks: 0,
            timeouts: 0,
        };
        let watched = watching.until(self.duration, stop).await;
        watching.read();
        watching.lose();
        watching.take_declared();
        watched?;
        watching.end(self.ending).await?;
        if watching.ticks == 0 {
            return Err(WatchError::Interrupted);
        }
        Ok(watching.source.owed())
    }
}

/// Tells how it stands with a recording.
pub(super) fn tell_of_recording(recorder: &mut Recorder, audience: &mut dyn Audience) {
    if let Some(disk) = recorder.disk() {
        audience.disk(&disk);
    }
    if let Some(size) = recorder.size() {
        audience.recorded(&size);
    }
    for loss in recorder.lost() {
        audience.lost(&loss);
    }
}

/// Records the names that other databases owe, once the session of the watch is closed.
pub async fn keep_owed(owed: Owed, recorder: &mut Recorder, patience: Duration) {
    match owed.names(patience).await {
        Some(names) => names
            .into_iter()
            .for_each(|name| recorder.take(Entry::Name(name))),
        None => recorder.lose("refused_names", 1),
    }
}

/// A watch under way.
struct Watching<'a> {
    source: Source<'a>,
    recorder: &'a mut Recorder,
    books: &'a mut Books,
    audience: &'a mut dyn Audience,
    /// The look that waits for its names, and is read without them where the watch ends meanwhile.
    unread: Option<Snapshot>,
    ticks: u64,
    /// Ticks in a row that ran into a timeout.
    timeouts: u32,
}

impl Watching<'_> {
    async fn until(
        &mut self,
        duration: Option<Duration>,
        mut stop: Pin<&mut impl Future<Output = ()>>,
    ) -> Result<(), WatchError> {
        let begun = Instant::now();
        while duration.is_none_or(|all| begun.elapsed() < all) {
            // Whoever hangs in the middle of a step does not keep the end waiting.
            tokio::select! {
                () = &mut stop => break,
                step = self.step() => step?,
            }
        }
        Ok(())
    }

    /// Takes one tick and what is asked beside it.
    async fn step(&mut self) -> Result<(), WatchError> {
        self.audience.stirs();
        self.take_declared();
        let snapshot = match self.source.tick().await {
            Ok(snapshot) => snapshot,
            Err(SampleError::Timeout { .. }) if self.timeouts < TIMEOUTS => {
                self.timeouts += 1;
                self.recorder.lose("timed_out_ticks", 1);
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        };
        self.timeouts = 0;
        // What the server has told is safe before it is asked for more.
        self.recorder
            .take(Entry::Snapshot(Box::new(snapshot.clone())));
        for text in self.source.learned() {
            self.audience.learned(&text);
            self.books.learn(&text);
            self.recorder.take(Entry::Statement(text));
        }
        let look = self.unread.insert(snapshot);
        for name in self.source.names(look).await {
            self.audience.named(&name);
            self.books.name(&name);
            self.recorder.take(Entry::Name(name));
        }
        self.lose();
        self.read();
        tell_of_recording(self.recorder, self.audience);
        if self.source.should_count() {
            self.count().await?;
        }
        if self.source.should_look_around() {
            self.look_around().await?;
        }
        Ok(())
    }

    /// Works out what the last look adds, before anything that may take its time.
    fn read(&mut self) {
        let Some(snapshot) = self.unread.take() else {
            return;
        };
        self.ticks += 1;
        self.audience.saw(&snapshot);
        for entry in self.books.look(&snapshot) {
            if let Entry::Charges(charges) = &entry {
                self.audience.charged(charges);
            }
            self.recorder.take(entry);
        }
    }

    fn take_declared(&mut self) {
        for declared in self.audience.declared() {
            self.recorder.take(Entry::Declared(declared));
        }
    }

    /// Asks what the end still needs: the last piece of time ends where the watch does.
    async fn end(&mut self, patience: Duration) -> Result<(), WatchError> {
        let last = async {
            self.count().await?;
            self.look_around().await
        };
        let ended = tokio::time::timeout(patience, last).await;
        self.lose();
        ended.unwrap_or(Ok(()))
    }

    /// Reads the counters, if there are any.
    async fn count(&mut self) -> Result<(), WatchError> {
        if let Some(counters) = self.source.counters().await? {
            let worked_out = self.books.count(&counters);
            self.recorder.take(Entry::Counters(counters));
            for entry in worked_out {
                self.recorder.take(entry);
            }
        }
        Ok(())
    }

    /// Looks around.
    async fn look_around(&mut self) -> Result<(), WatchError> {
        let surroundings = self.source.look_around().await?;
        let server = surroundings.describe(self.recorder.server());
        if server != *self.recorder.server() {
            self.recorder.found_again(&server)?;
            self.audience.found(&server);
        }
        for entry in self.books.look_around(&surroundings) {
            self.recorder.take(entry);
        }
        self.recorder
            .take(Entry::Surroundings(Box::new(surroundings)));
        Ok(())
    }

    /// Takes down what was lost.
    fn lose(&mut self) {
        for loss in self.source.losses() {
            self.recorder.take(Entry::Loss(loss));
        }
    }
}

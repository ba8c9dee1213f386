//! One server's attendant: a watch without an end, which goes on when the server comes back.
//!
//! ```text
//!  reach ─▶ watch ─▶ lost ─▶ pause, longer each time ─▶ reach ─▶ …
//! ```
//! The recording outlives the connection: rows that wait for a disk wait on. Where new settings
//! come, the watch goes on with them, over the same connection unless they name another.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::RngExt as _;
use tokio::sync::{mpsc, watch};
use tracing::{error, info, warn};

use super::books::Books;
use super::config::{Age, Settings};
use super::live::ServerLive;
use super::watch::{Audience, Reached, Watch, WatchError, keep_owed, reach, tell_of_recording};
use super::words::Words;
use crate::connect::{ConnectErrorKind, Environment, Target};
use crate::recording::{
    Charge, Disk, Entry, Event, Limits, Recorder, RecordingError, Retention, Size, declare,
};
use crate::sample::live::{Options, Owed};
use crate::sample::{Declared, Loss, Server, Snapshot};
use crate::time::Span;

/// How soon it tries again, and how long it waits at most in the end.
const PAUSES: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));
/// How long it waits at most for somebody to mend what does not mend itself.
const UNTIL_MENDED: Duration = Duration::from_mins(5);
/// How often `pg_stat_statements` is read.
const COUNT_EVERY: Duration = Duration::from_secs(10);
/// How long the end may take on the server: whoever sends SIGTERM wants it gone within two seconds,
/// and the disk needs its time too.
const ENDING: Duration = Duration::from_millis(700);
/// … and the names that other databases owe.
const LAST_NAMES: Duration = Duration::from_millis(300);
/// How long an attempt to connect may take, over all hosts of a server.
const CONNECTING: Duration = Duration::from_mins(5);
/// How long a look may take: the longest pause before it, its patience, and names.
const LOOKING: Duration = Duration::from_mins(2);

/// What an attendant tells of its server.
#[derive(Clone, Debug)]
pub(super) enum News {
    /// It was looked at, for the first time since it was reached.
    Watching,
    /// It is not watched, and why.
    Away(String),
}

/// The attendant of one server.
pub(super) struct Attendant {
    pub(super) name: Arc<str>,
    pub(super) settings: watch::Receiver<Settings>,
    pub(super) stop: watch::Receiver<bool>,
    pub(super) news: mpsc::UnboundedSender<(Arc<str>, News)>,
    /// What is known of the server, for whoever asks.
    pub(super) live: Arc<ServerLive>,
    /// Whether anybody may ask: what is told costs a little at every look.
    pub(super) has_readers: bool,
    /// Whether it waits for what somebody has to mend, or ends with it.
    pub(super) waits_for_mending: bool,
}

/// Why a watch ended that did not fail.
enum Ended {
    Stopped,
    Changed,
}

/// What outlives a connection, and what outlives a change of settings.
#[derive(Default)]
struct Kept {
    recorder: Option<(PathBuf, Recorder, Books)>,
    reached: Option<Reached>,
    /// What the last watch would still have asked.
    owed: Option<Owed>,
}

impl Attendant {
    /// Watches until it is told to stop.
    pub(super) async fn run(mut self) -> Result<(), WatchError> {
        let mut kept = Kept::default();
        let ended = self.attend(&mut kept).await;
        if let Some(reached) = kept.reached {
            reached.session.close().await;
        }
        if let (Some(owed), Some((_, recorder, _))) = (kept.owed, &mut kept.recorder) {
            keep_owed(owed, recorder, LAST_NAMES).await;
        }
        self.keep_declared(&mut kept.recorder).await;
        ended.and(finish(kept.recorder).await)
    }

    /// Records what was declared while nobody watched; it is not said twice.
    async fn keep_declared(&self, recorder: &mut Option<(PathBuf, Recorder, Books)>) {
        let declared = self.live.take_declared();
        if let Some((_, recorder, _)) = recorder {
            let all = declared.into_iter().map(Entry::Declared);
            all.for_each(|it| recorder.take(it));
        } else if !declared.is_empty() {
            let (count, folder) = (declared.len(), self.settings.borrow().to.clone());
            let all = move || declared.iter().try_for_each(|it| declare(&folder, it));
            let kept = beside(all).await.and_then(|kept| Ok(kept?));
            if let Err(failure) = kept {
                let server = &*self.name;
                error!(server, "{count} declared events are lost: {failure}");
            }
        }
    }

    async fn attend(&mut self, kept: &mut Kept) -> Result<(), WatchError> {
        let mut pause = PAUSES.0;
        loop {
            let settings = self.settings.borrow_and_update().clone();
            let begun = Instant::now();
            if let Some((_, recorder, _)) = &mut kept.recorder {
                tell_of_recording(recorder, &mut self.listener());
                self.keep_declared(&mut kept.recorder).await;
            }
            let failure = match self.watch(&settings, kept).await {
                Ok(Ended::Stopped) => return Ok(()),
                Ok(Ended::Changed) => {
                    self.change(&settings, kept).await?;
                    pause = PAUSES.0;
                    continue;
                }
                Err(failure) => failure,
            };
            kept.reached = None;
            let passes = is_passing(&failure, kept.recorder.is_none());
            if !passes && !self.waits_for_mending {
                return Err(failure);
            }
            // A server that lets us in and drops us at once is not to be knocked at twice a second.
            if begun.elapsed() > PAUSES.1 {
                pause = PAUSES.0;
            }
            let wait = pause.mul_f64(rand::rng().random_range(0.5..1.0));
            self.tell_failure(&failure, passes, wait);
            self.live.back_within(wait + LOOKING);
            tokio::select! {
                () = until_true(self.stop.clone()) => return Ok(()),
                () = changed(self.settings.clone()) => {
                    self.change(&settings, kept).await?;
                    pause = PAUSES.0;
                    continue;
                }
                () = tokio::time::sleep(wait) => {}
            }
            pause = (pause * 2).min(if passes { PAUSES.1 } else { UNTIL_MENDED });
        }
    }

    /// Reaches the server and watches it until it is lost, or it is time to stop.
    async fn watch(&mut self, settings: &Settings, kept: &mut Kept) -> Result<Ended, WatchError> {
        self.live.back_within(CONNECTING);
        let mut stop = std::pin::pin!(async {
            tokio::select! {
                () = until_true(self.stop.clone()) => Ended::Stopped,
                () = changed(self.settings.clone()) => Ended::Changed,
            }
        });
        if kept.reached.is_none() {
            let reached = tokio::select! {
                ended = &mut stop => return Ok(ended),
                reached = reach(self.target(settings)?) => reached,
            };
            if let (Err(_), Some((_, recorder, _))) = (&reached, &mut kept.recorder) {
                recorder.lose("failed_connections", 1);
            }
            kept.reached = Some(reached?);
        }
        let Some(reached) = &mut kept.reached else {
            return Ok(Ended::Changed);
        };
        let (_, recorder, books) = match &mut kept.recorder {
            Some(kept) => {
                kept.1.found_again(&reached.server)?;
                kept
            }
            none => {
                for missing in &reached.checkup.missing {
                    let (what, consequence) = (&missing.what, &missing.consequence);
                    info!(server = &*self.name, "{what}: {consequence}");
                }
                none.insert(create(settings, reached, self.live.words()).await?)
            }
        };
        let (name, address, to) = (&self.name, reached.session.address(), settings.to.display());
        info!(server = &**name, "watching {address} into {to}");
        let watch = Watch {
            duration: None,
            naming: settings.system_by.clone(),
            options: options(settings),
            limits: limits(settings),
            ending: ENDING,
        };
        self.live.connected(&reached.server);
        let mut audience = Listener {
            news: Some(&self.news),
            ..self.listener()
        };
        let mut why = None;
        let told = async { why = Some(stop.await) };
        let ended = watch
            .go_on(recorder, books, reached, &mut audience, told)
            .await;
        // Whoever goes on over the same connection goes on with what the server has become.
        reached.server.clone_from(recorder.server());
        match ended {
            Ok(owed) => {
                kept.owed = Some(owed);
                Ok(why.unwrap_or(Ended::Stopped))
            }
            Err(WatchError::Interrupted) => Ok(why.unwrap_or(Ended::Stopped)),
            Err(failure) => {
                recorder.lose("lost_connections", 1);
                Err(failure)
            }
        }
    }

    fn listener(&self) -> Listener<'_> {
        Listener {
            name: &self.name,
            live: &self.live,
            has_readers: self.has_readers,
            news: None,
        }
    }

    /// Makes way for new settings.
    async fn change(&self, old: &Settings, kept: &mut Kept) -> Result<(), WatchError> {
        let new = self.settings.borrow().clone();
        self.live.back_within(CONNECTING);
        info!(server = &*self.name, "goes on with its new settings");
        if new.dsn != old.dsn
            && let Some(reached) = kept.reached.take()
        {
            reached.session.close().await;
        }
        // The books name systems as they did when they were opened.
        let is_as_it_was = new.to == old.to
            && new.retention == old.retention
            && new.memory == old.memory
            && new.system_by == old.system_by;
        if !is_as_it_was || new.dsn != old.dsn {
            finish(kept.recorder.take()).await?;
        }
        Ok(())
    }

    fn target(&self, settings: &Settings) -> Result<Target, WatchError> {
        let dsn = settings.dsn.as_ref().map(super::config::Dsn::as_str);
        let target = Target::resolve(dsn, &Environment::from_process())?;
        for notice in target.notices() {
            warn!(server = &*self.name, "{notice}");
        }
        Ok(target)
    }

    fn tell_failure(&self, failure: &WatchError, passes: bool, wait: Duration) {
        let (server, seconds) = (&*self.name, wait.as_secs_f64());
        if passes {
            warn!(server, "{failure}\n  trying again in {seconds:.1} s");
        } else {
            error!(
                server,
                "{failure}\n  somebody has to mend this; trying again in {seconds:.1} s"
            );
        }
        self.live.disconnected(&failure.to_string());
        let _ = self
            .news
            .send((Arc::clone(&self.name), News::Away(failure.to_string())));
    }
}

/// Says how a server is looked at; no two of them in step.
fn options(settings: &Settings) -> Options {
    let tags = settings.system_by.tags();
    Options {
        cadence: settings.cadence,
        budget: settings.budget,
        seed: rand::rng().random(),
        tag_keys: tags.iter().map(ToString::to_string).collect(),
        count_every: COUNT_EVERY,
        ..Options::default()
    }
}

/// Says what the recording of a server may take.
fn limits(settings: &Settings) -> Limits {
    let kept = settings.retention;
    let age = |age: Age| {
        let micros = i64::try_from(age.as_duration().as_micros());
        Some(Span::from_micros(micros.unwrap_or(i64::MAX)))
    };
    // The queue before them and the columns that they become take the rest.
    let waiting = settings.memory.count() / 3;
    Limits {
        retention: Retention {
            raw_bytes: Some(kept.raw_bytes.count()),
            raw_age: age(kept.raw_age),
            rollup_bytes: Some(kept.rollup_bytes.count()),
            rollup_age: age(kept.rollup_age),
            minutes_bytes: Some(kept.minutes_bytes.count()),
            hours_bytes: Some(kept.hours_bytes.count()),
        },
        waiting: usize::try_from(waiting).unwrap_or(usize::MAX),
    }
}

/// Begins a recording, or goes on with it, away from the other servers' looks.
async fn create(
    settings: &Settings,
    reached: &Reached,
    words: Words,
) -> Result<(PathBuf, Recorder, Books), WatchError> {
    let (folder, naming) = (settings.to.clone(), settings.system_by.clone());
    let server = reached.server.clone();
    let limits = limits(settings);
    beside(move || {
        let mut recorder = Recorder::create_when_there_is_room(&folder, &server)?;
        recorder.take(Entry::Limits(limits));
        let books = Books::new(
            naming,
            &Event::told(&folder),
            recorder.last_tick().map(|tick| tick.at),
        );
        let books = books.sharing(words);
        Ok((folder, recorder, books))
    })
    .await?
}

/// Ends a recording, away from the other servers' looks.
async fn finish(recorder: Option<(PathBuf, Recorder, Books)>) -> Result<(), WatchError> {
    match recorder {
        Some((_, mut recorder, mut books)) => {
            books.finish().into_iter().for_each(|it| recorder.take(it));
            Ok(beside(move || recorder.finish()).await??)
        }
        None => Ok(()),
    }
}

/// Runs what may wait for a disk on a thread of its own.
async fn beside<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, WatchError> {
    // It fails where the work panicked, or the runtime is gone.
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|_| WatchError::Interrupted)
}

/// Tells whether a failure may pass by itself.
fn is_passing(failure: &WatchError, is_first: bool) -> bool {
    match failure {
        WatchError::Recording(RecordingError::Io { .. }) | WatchError::Missing(_) => !is_first,
        WatchError::Recording(_) | WatchError::TooOld(_) => false,
        WatchError::Connect(error) => !is_first || may_be_starting(error.kind()),
        _ => true,
    }
}

/// Tells whether a server may just not be there yet, as when a machine boots.
const fn may_be_starting(kind: ConnectErrorKind) -> bool {
    matches!(
        kind,
        ConnectErrorKind::Unreachable
            | ConnectErrorKind::TimedOut
            | ConnectErrorKind::NotReady
            | ConnectErrorKind::TooManyConnections
            | ConnectErrorKind::WrongRole
    )
}

pub(super) async fn until_true(mut told: watch::Receiver<bool>) {
    if told.wait_for(|stop| *stop).await.is_err() {
        // Whoever would tell is gone, and so is the runtime.
        std::future::pending::<()>().await;
    }
}

async fn changed(mut settings: watch::Receiver<Settings>) {
    if settings.changed().await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// What the daemon takes from a watch as it goes on.
struct Listener<'a> {
    name: &'a Arc<str>,
    live: &'a ServerLive,
    has_readers: bool,
    /// Where the first look is told.
    news: Option<&'a mpsc::UnboundedSender<(Arc<str>, News)>>,
}

impl Audience for Listener<'_> {
    fn stirs(&mut self) {
        self.live.back_within(LOOKING);
    }

    fn found(&mut self, server: &Server) {
        info!(
            server = &**self.name,
            "it is a {} now",
            if server.in_recovery {
                "standby"
            } else {
                "primary"
            }
        );
        self.live.found(server);
    }

    fn lost(&mut self, loss: &Loss) {
        self.live.lost(loss);
    }

    fn recorded(&mut self, size: &Size) {
        self.live.recorded(*size);
    }

    fn declared(&mut self) -> Vec<Declared> {
        self.live.take_declared()
    }

    fn saw(&mut self, snapshot: &Snapshot) {
        if self.has_readers {
            self.live.saw(snapshot);
        }
        if let Some(news) = self.news.take() {
            let _ = news.send((Arc::clone(self.name), News::Watching));
        }
    }

    fn charged(&mut self, charges: &[Charge]) {
        if self.has_readers {
            self.live.charged(charges);
        }
    }

    fn disk(&mut self, disk: &Disk) {
        match disk {
            Disk::Refuses(why) => {
                self.live.recording_failed(why);
                error!(
                    server = &**self.name,
                    "the recording waits in memory: {why}"
                );
            }
            Disk::TakesAgain => info!(server = &**self.name, "the recording is written again"),
        }
    }
}

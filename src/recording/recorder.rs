//! A writer on a thread of its own, so that a slow disk cannot delay a look.
//!
//! The watcher hands rows over and goes on. Rows that a stalled disk leaves no room
//! for are dropped and counted (`dropped_rows`), like those beyond the writer's own bound.

use std::path::{Path, PathBuf};
use std::sync::mpsc::RecvTimeoutError;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::format::Manifest;
use super::queue::{Outlet, Queue, queue};
use super::{Entry, Event, Limits, RecordingError, Size, Writer, format, reader};
use crate::sample::{Loss, PaceReason, Server, Tick};

/// How often rows are put beyond the reach of a crash.
const FLUSH_EVERY: Duration = Duration::from_millis(500);
/// How often parts are made of them.
const SEAL_EVERY: Duration = Duration::from_mins(1);
/// … each so many times of sums of minutes too, of which there are few rows.
const SEALS_OF_SAMPLES: u64 = 10;

/// News of the disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Disk {
    /// It refuses, and says why; the rows wait in memory.
    Refuses(String),
    /// It refused, and takes rows again.
    TakesAgain,
}

/// How it stands with the recording.
#[derive(Debug, Default)]
struct Stand {
    /// What the disk refuses now.
    trouble: Option<String>,
    /// What was lost since that was last asked, one of a kind.
    lost: Vec<Loss>,
    size: Option<Size>,
}

/// A recording that is being written elsewhere.
#[derive(Debug)]
pub struct Recorder {
    entries: Option<Queue>,
    thread: Option<JoinHandle<Result<(), RecordingError>>>,
    folder: PathBuf,
    server: Server,
    /// The last one that was handed over, or that the folder held before.
    last_tick: Option<Tick>,
    stand: Arc<Mutex<Stand>>,
    /// What was last told of what the disk refuses.
    told: Option<String>,
    /// What had no room since that was last written down: entries, and the ticks among them.
    dropped: u64,
    missed: u32,
}

impl Recorder {
    /// Begins, or goes on with, the recording of `server` in `folder`.
    ///
    /// One that goes on counts that it was interrupted (`observer_restarts`).
    ///
    /// # Errors
    ///
    /// As [`Writer::create`], or where the machine gives no thread.
    pub fn create(folder: &Path, server: &Server) -> Result<Self, RecordingError> {
        let before = reader::manifest(folder).ok();
        let writer = Writer::create(folder, server)?;
        Self::with(Ok(writer), before, folder, server)
    }

    /// The same, where a disk without room is waited for: until there is some, entries wait in
    /// memory, and of those beyond its bound the latest are counted and dropped.
    ///
    /// # Errors
    ///
    /// As [`Recorder::create`], but for a disk that is full.
    pub fn create_when_there_is_room(
        folder: &Path,
        server: &Server,
    ) -> Result<Self, RecordingError> {
        let before = reader::manifest(folder).ok();
        match Writer::create(folder, server) {
            Err(failure) if !failure.is_no_room() => Err(failure),
            begun => Self::with(begun, before, folder, server),
        }
    }

    fn with(
        begun: Result<Writer, RecordingError>,
        before: Option<Manifest>,
        folder: &Path,
        server: &Server,
    ) -> Result<Self, RecordingError> {
        let last_tick = reader::last_tick(folder, &format::slug(server));
        let (entries, received) = queue(Limits::default().waiting);
        let stand = Arc::new(Mutex::default());
        let told = Arc::clone(&stand);
        let place = (folder.to_owned(), server.clone());
        let thread = std::thread::Builder::new()
            .name("recorder".to_owned())
            .spawn(move || {
                let writer = begun.or_else(|full| await_room(&place, full, &received, &told))?;
                write(writer, &received, &told)
            })
            .map_err(|source| RecordingError::Io {
                path: folder.to_owned(),
                source,
            })?;
        let mut recorder = Self {
            entries: Some(entries),
            thread: Some(thread),
            folder: folder.to_owned(),
            server: server.clone(),
            last_tick,
            stand,
            told: None,
            dropped: 0,
            missed: 0,
        };
        if last_tick.is_some() {
            recorder.lose("observer_restarts", 1);
        }
        if let Some(before) = before {
            recorder.tell_what_became_of(&before.server);
        }
        Ok(recorder)
    }

    /// Goes on with the same server, which may meanwhile have another role or address.
    ///
    /// # Errors
    ///
    /// Where it is another server.
    pub fn found_again(&mut self, server: &Server) -> Result<(), RecordingError> {
        if format::slug(server) != format::slug(&self.server) {
            return Err(RecordingError::OtherServer {
                folder: self.folder.clone(),
                of: self.server.address.clone(),
            });
        }
        if *server != self.server {
            let before = std::mem::replace(&mut self.server, server.clone());
            self.take(Entry::Server(server.clone()));
            self.tell_what_became_of(&before);
        }
        Ok(())
    }

    /// Takes down that the server was started anew, has another role, or is another machine of the
    /// same cluster: what comes next is to be read with that in mind.
    fn tell_what_became_of(&mut self, before: &Server) {
        let now = &self.server;
        let role = if now.in_recovery {
            "standby"
        } else {
            "primary"
        };
        let unseen = self.last_tick.map_or(now.started_at, |tick| tick.at);
        let moved = (now.address != before.address)
            .then(|| format!("at {}, before at {}", now.address, before.address));
        let event = |at, kind: &str, label: &str, detail: Option<String>| {
            Entry::Event(Event {
                at,
                kind: kind.into(),
                label: label.into(),
                detail: detail.map(Into::into),
            })
        };
        let mut events = Vec::new();
        if moved.is_none() && now.started_at > before.started_at {
            events.push(event(now.started_at, Event::RESTARTED, "server", None));
        }
        if moved.is_some() || now.in_recovery != before.in_recovery {
            events.push(event(unseen, Event::ROLE, role, moved));
        }
        for event in events {
            self.take(event);
        }
    }

    /// Gives the server as it was last found.
    #[must_use]
    pub const fn server(&self) -> &Server {
        &self.server
    }

    /// Gives the last tick, also one that an earlier writer left in the folder.
    #[must_use]
    pub const fn last_tick(&self) -> Option<Tick> {
        self.last_tick
    }

    /// Hands an entry over, without waiting for the disk.
    ///
    /// Of what finds no room the next that finds some tells: how many entries were dropped, and how
    /// many ticks were missed.
    pub fn take(&mut self, mut entry: Entry) {
        let Some(entries) = &mut self.entries else {
            return;
        };
        match &mut entry {
            Entry::Limits(limits) => entries.most = limits.waiting,
            Entry::Snapshot(snapshot) => {
                self.last_tick = Some(snapshot.tick);
                let missed = std::mem::take(&mut self.missed);
                snapshot.tick.missed = snapshot.tick.missed.saturating_add(missed);
            }
            _ => {}
        }
        if let Err(refused) = entries.put(entry) {
            self.dropped += 1;
            if let Entry::Snapshot(snapshot) = *refused {
                self.missed = snapshot.tick.missed.saturating_add(1);
            }
        } else {
            self.tell_what_was_dropped();
        }
    }

    fn tell_what_was_dropped(&mut self) {
        if self.dropped > 0 {
            let dropped = std::mem::take(&mut self.dropped);
            let lost = Entry::Loss(self.loss("dropped_rows", dropped));
            let entries = self.entries.as_ref();
            // Where that fails nobody writes any more, and there is nobody to tell.
            let _ = entries.map(|entries| entries.put_anyway(lost));
        }
    }

    /// Takes down what was lost after the last tick.
    pub fn lose(&mut self, kind: &str, count: u64) {
        self.take(Entry::Loss(self.loss(kind, count)));
    }

    fn loss(&self, kind: &str, count: u64) -> Loss {
        Loss {
            at: self
                .last_tick
                .map_or(self.server.started_at, |tick| tick.at),
            kind: kind.into(),
            count,
        }
    }

    /// Tells whether the disk refuses, when that has changed since the last call; the watch
    /// goes on all the same.
    pub fn disk(&mut self) -> Option<Disk> {
        let now = stand(&self.stand).trouble.clone();
        if now == self.told {
            return None;
        }
        self.told.clone_from(&now);
        Some(now.map_or(Disk::TakesAgain, Disk::Refuses))
    }

    /// Gives what was lost since the last call and is about to be recorded, one of a kind.
    #[must_use]
    pub fn lost(&mut self) -> Vec<Loss> {
        std::mem::take(&mut stand(&self.stand).lost)
    }

    /// Tells what the recording takes on disk, as [`Writer::size`].
    #[must_use]
    pub fn size(&self) -> Option<Size> {
        stand(&self.stand).size
    }

    /// Writes what is left.
    ///
    /// # Errors
    ///
    /// Where the last rows could not be written.
    pub fn finish(mut self) -> Result<(), RecordingError> {
        self.tell_what_was_dropped();
        self.join()
    }

    fn join(&mut self) -> Result<(), RecordingError> {
        self.entries = None;
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(written)) => written,
            // A panic was reported as it happened; what was sealed is safe.
            Some(Err(_)) | None => Ok(()),
        }
    }
}

fn stand(stand: &Mutex<Stand>) -> MutexGuard<'_, Stand> {
    stand.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Drop for Recorder {
    fn drop(&mut self) {
        let _ = self.join();
    }
}

/// Waits until there is room for a recording, as long as entries are handed over.
fn await_room(
    (folder, server): &(PathBuf, Server),
    mut failure: RecordingError,
    entries: &Outlet,
    told: &Mutex<Stand>,
) -> Result<Writer, RecordingError> {
    loop {
        stand(told).trouble = Some(failure.to_string());
        let has_ended = entries.has_ended();
        match Writer::create(folder, server) {
            Ok(writer) => {
                stand(told).trouble = None;
                return Ok(writer);
            }
            Err(failure) if has_ended => return Err(failure),
            Err(refused) => failure = refused,
        }
        std::thread::sleep(FLUSH_EVERY);
    }
}

/// Writes entries until nobody hands any over.
///
/// A tick at another pace is put beyond the reach of a crash at once: by the pace of the last one
/// that is there, whoever goes on counts what is not.
fn write(mut writer: Writer, entries: &Outlet, told: &Mutex<Stand>) -> Result<(), RecordingError> {
    let mut flush = Instant::now() + FLUSH_EVERY;
    let mut seal = Instant::now() + SEAL_EVERY;
    let mut pace = PaceReason::default();
    let mut seals = 0_u64;
    loop {
        match entries.next(flush.saturating_duration_since(Instant::now())) {
            Ok(entry) => {
                if let Entry::Snapshot(snapshot) = &entry
                    && pace != snapshot.tick.pace
                {
                    pace = snapshot.tick.pace;
                    flush = Instant::now();
                }
                writer.take(entry);
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return writer.finish(),
        }
        let now = Instant::now();
        if now < flush {
            continue;
        }
        let written = if now < seal {
            writer.flush()
        } else {
            seal = now + SEAL_EVERY;
            seals += 1;
            if seals.is_multiple_of(SEALS_OF_SAMPLES) {
                writer.seal()
            } else {
                writer.seal_samples()
            }
        };
        writer.upkeep();
        let mut told = stand(told);
        told.trouble = written.err().map(|error| error.to_string());
        told.size = writer.size();
        for loss in writer.lost() {
            match told.lost.iter_mut().find(|known| known.kind == loss.kind) {
                Some(known) => known.count += loss.count,
                None => told.lost.push(loss),
            }
        }
        drop(told);
        flush = now + FLUSH_EVERY;
    }
}

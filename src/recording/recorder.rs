//! A writer on a thread of its own, so that a slow disk cannot delay a look.
//!
//! The watcher hands rows over and goes on. Rows that a stalled disk leaves no room
//! for are dropped and counted (`dropped_rows`), like those beyond the writer's own bound.

use std::path::{Path, PathBuf};
use std::sync::mpsc::RecvTimeoutError;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::queue::{Outlet, Queue, queue};
use super::{Entry, Event, Limits, RecordingError, Writer, format, reader};
use crate::sample::{Loss, Server};
use crate::time::Timestamp;

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

/// A recording that is being written elsewhere.
#[derive(Debug)]
pub struct Recorder {
    entries: Option<Queue>,
    thread: Option<JoinHandle<Result<(), RecordingError>>>,
    folder: PathBuf,
    server: Server,
    /// The last one that was handed over, or that the folder held before.
    last_tick: Option<Timestamp>,
    /// What the disk refuses now.
    trouble: Arc<Mutex<Option<String>>>,
    /// What was last told of that.
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
        let last_tick = reader::last_tick(folder, &format::slug(server));
        let (entries, received) = queue(Limits::default().waiting);
        let trouble = Arc::new(Mutex::new(None));
        let told = Arc::clone(&trouble);
        let thread = std::thread::Builder::new()
            .name("recorder".to_owned())
            .spawn(move || write(writer, &received, &told))
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
            trouble,
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
        let unseen = self.last_tick.unwrap_or(now.started_at);
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

    /// Gives the time of the last tick, also of one that an earlier writer left in the folder.
    #[must_use]
    pub const fn last_tick(&self) -> Option<Timestamp> {
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
                self.last_tick = Some(snapshot.tick.at);
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
            at: self.last_tick.unwrap_or(self.server.started_at),
            kind: kind.into(),
            count,
        }
    }

    /// Tells whether the disk refuses, when that has changed since the last call; the watch
    /// goes on all the same.
    pub fn disk(&mut self) -> Option<Disk> {
        let trouble = self.trouble.lock();
        let now = trouble.unwrap_or_else(PoisonError::into_inner).clone();
        if now == self.told {
            return None;
        }
        self.told.clone_from(&now);
        Some(now.map_or(Disk::TakesAgain, Disk::Refuses))
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

impl Drop for Recorder {
    fn drop(&mut self) {
        let _ = self.join();
    }
}

/// Writes entries until nobody hands any over.
fn write(
    mut writer: Writer,
    entries: &Outlet,
    trouble: &Mutex<Option<String>>,
) -> Result<(), RecordingError> {
    let mut flush = Instant::now() + FLUSH_EVERY;
    let mut seal = Instant::now() + SEAL_EVERY;
    let mut seals = 0_u64;
    loop {
        match entries.next(flush.saturating_duration_since(Instant::now())) {
            Ok(entry) => writer.take(entry),
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
        *trouble.lock().unwrap_or_else(PoisonError::into_inner) =
            written.err().map(|error| error.to_string());
        writer.upkeep();
        flush = now + FLUSH_EVERY;
    }
}

//! A writer on a thread of its own, so that a slow disk cannot delay a look.
//!
//! The watcher hands rows over and goes on. Rows that a stalled disk leaves no room
//! for, by number or by bytes, are dropped and counted (`dropped_rows`), like those beyond the
//! writer's own bound; the next tick says that theirs were missed.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::{Entry, Event, Limits, RecordingError, Writer, format, reader};
use crate::sample::{Loss, Server, Session};
use crate::time::Timestamp;

/// How often rows are put beyond the reach of a crash.
const FLUSH_EVERY: Duration = Duration::from_millis(500);
/// How often parts are made of them.
const SEAL_EVERY: Duration = Duration::from_mins(1);
/// … each so many times of sums of minutes too, of which there are few rows.
const SEALS_OF_SAMPLES: u64 = 10;
/// So many rows may wait for the disk: minutes of ticks.
const WAITING: usize = 4_096;

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
    entries: Option<SyncSender<Entry>>,
    thread: Option<JoinHandle<Result<(), RecordingError>>>,
    folder: PathBuf,
    server: Server,
    /// The last one that was handed over, or that the folder held before.
    last_tick: Option<Timestamp>,
    /// What the disk refuses now.
    trouble: Arc<Mutex<Option<String>>>,
    /// What was last told of that.
    told: Option<String>,
    /// What the entries take that wait to be written, and may take.
    waiting: Arc<AtomicUsize>,
    most_bytes: usize,
    /// Rows that were dropped and are not told yet.
    dropped: u64,
    /// Ticks among them, and those that they had missed.
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
        let (entries, received) = sync_channel(WAITING);
        let trouble = Arc::new(Mutex::new(None));
        let told = Arc::clone(&trouble);
        let waiting = Arc::new(AtomicUsize::new(0));
        let written = Arc::clone(&waiting);
        let thread = std::thread::Builder::new()
            .name("recorder".to_owned())
            .spawn(move || write(writer, &received, &told, &written))
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
            waiting,
            most_bytes: Limits::default().waiting,
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
    pub fn take(&mut self, mut entry: Entry) {
        if let Entry::Limits(limits) = &entry {
            self.most_bytes = limits.waiting;
        }
        if let Entry::Snapshot(snapshot) = &mut entry {
            let tick = &mut snapshot.tick;
            self.last_tick = Some(tick.at);
            tick.missed = tick.missed.saturating_add(std::mem::take(&mut self.missed));
        }
        match self.hand_over(entry) {
            Ok(()) if self.dropped > 0 => {
                let lost = self.loss("dropped_rows", self.dropped);
                if self.hand_over(Entry::Loss(lost)).is_ok() {
                    self.dropped = 0;
                }
            }
            Ok(()) => {}
            Err(dropped) => {
                self.dropped += dropped.rows() as u64;
                if let Entry::Snapshot(snapshot) = dropped {
                    self.missed = snapshot.tick.missed.saturating_add(1);
                }
            }
        }
    }

    /// Puts an entry in line; gives it back where there is no room.
    fn hand_over(&self, entry: Entry) -> Result<(), Entry> {
        let Some(entries) = &self.entries else {
            return Err(entry);
        };
        let bytes = entry.bytes();
        let before = self.waiting.fetch_add(bytes, Ordering::Relaxed);
        let sent = if before > 0 && before + bytes > self.most_bytes {
            Err(entry)
        } else {
            entries.try_send(entry).map_err(|error| match error {
                TrySendError::Full(entry) | TrySendError::Disconnected(entry) => entry,
            })
        };
        if sent.is_err() {
            self.waiting.fetch_sub(bytes, Ordering::Relaxed);
        }
        sent
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
        if self.dropped > 0 {
            let lost = Entry::Loss(self.loss("dropped_rows", self.dropped));
            // Here waiting is right: this is the last entry.
            self.entries.as_ref().map(|entries| entries.send(lost));
        }
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
    entries: &Receiver<Entry>,
    trouble: &Mutex<Option<String>>,
    waiting: &AtomicUsize,
) -> Result<(), RecordingError> {
    let mut flush = Instant::now() + FLUSH_EVERY;
    let mut seal = Instant::now() + SEAL_EVERY;
    let mut seals = 0_u64;
    loop {
        match entries.recv_timeout(flush.saturating_duration_since(Instant::now())) {
            Ok(entry) => {
                let bytes = entry.bytes();
                writer.take(entry);
                waiting.fetch_sub(bytes, Ordering::Relaxed);
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
        *trouble.lock().unwrap_or_else(PoisonError::into_inner) =
            written.err().map(|error| error.to_string());
        writer.upkeep();
        flush = now + FLUSH_EVERY;
    }
}

impl Entry {
    /// Tells how many rows it becomes.
    fn rows(&self) -> usize {
        match self {
            Self::Snapshot(seen) => {
                let waits = seen.prepared.len() + seen.safe_snapshots.len();
                1 + seen.sessions.len() + seen.locks.len() + waits
            }
            Self::Counters(counters) => 1 + counters.rows.len(),
            Self::Charges(rows) => rows.len(),
            Self::Edges(rows) => rows.len(),
            Self::Minute(rolled) => 1 + rolled.cells.len() + rolled.counters.len(),
            Self::Surroundings(around) => {
                let counted = around.tables.len() + around.databases.len() + around.server.len();
                counted + around.horizons.len() + around.settings.len()
            }
            Self::Server(_) | Self::Limits(_) => 0,
            _ => 1,
        }
    }

    /// The memory that it takes, about: that of as many sessions, the largest rows.
    fn bytes(&self) -> usize {
        let text = match self {
            Self::Statement(statement) => statement.text.len(),
            _ => 0,
        };
        self.rows() * size_of::<Session>() + text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recording::tests::{server, snapshot};

    /// A recorder that nobody takes entries from.
    fn stalled(most_bytes: usize) -> (Recorder, Receiver<Entry>) {
        let (entries, received) = sync_channel(WAITING);
        let recorder = Recorder {
            entries: Some(entries),
            thread: None,
            folder: PathBuf::new(),
            server: server(),
            last_tick: None,
            trouble: Arc::default(),
            told: None,
            waiting: Arc::default(),
            most_bytes,
            dropped: 0,
            missed: 0,
        };
        (recorder, received)
    }

    #[test]
    fn a_disk_that_stalls_fills_no_memory_and_its_ticks_are_counted_as_missed() {
        let (mut recorder, received) = stalled(1 << 20);
        for tick in 0..1_000 {
            recorder.take(snapshot(tick, 100).into());
        }
        let waited: Vec<Entry> = received.try_iter().collect();
        let bytes: usize = waited.iter().map(Entry::bytes).sum();
        assert!((1 << 19..=1 << 20).contains(&bytes), "{bytes}");
        recorder.waiting.fetch_sub(bytes, Ordering::Relaxed);
        recorder.take(snapshot(1_000, 100).into());
        let next: Vec<Entry> = received.try_iter().collect();
        let [Entry::Snapshot(after), Entry::Loss(lost)] = &next[..] else {
            panic!("{next:?}");
        };
        // Each of these ticks has missed one itself.
        let gone = 1_000 - waited.len();
        assert_eq!(after.tick.missed as usize, 2 * gone + 1);
        assert_eq!(lost.count, (gone * snapshot_rows()) as u64);
        assert_eq!(&*lost.kind, "dropped_rows");
    }

    fn snapshot_rows() -> usize {
        Entry::from(snapshot(0, 100)).rows()
    }
}

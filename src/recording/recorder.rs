//! A writer on a thread of its own, so that a slow disk cannot delay a look.
//!
//! The watcher hands rows over and goes on. Rows that a stalled disk leaves no room
//! for are dropped and counted (`dropped_rows`), like those beyond the writer's own bound.

use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::{Entry, RecordingError, Writer};
use crate::sample::{Loss, Server};
use crate::time::Timestamp;

/// How often rows are put beyond the reach of a crash.
const FLUSH_EVERY: Duration = Duration::from_millis(500);
/// How often parts are made of them.
const SEAL_EVERY: Duration = Duration::from_mins(1);
/// So many rows may wait for the disk: minutes of ticks.
const WAITING: usize = 4_096;

/// A recording that is being written elsewhere.
#[derive(Debug)]
pub struct Recorder {
    entries: Option<SyncSender<Entry>>,
    thread: Option<JoinHandle<Result<(), RecordingError>>>,
    trouble: Arc<Mutex<Option<String>>>,
    dropped: u64,
}

impl Recorder {
    /// Begins, or goes on with, the recording of `server` in `folder`.
    ///
    /// # Errors
    ///
    /// As [`Writer::create`], or where the machine gives no thread.
    pub fn create(folder: &Path, server: &Server) -> Result<Self, RecordingError> {
        let writer = Writer::create(folder, server)?;
        let (entries, received) = sync_channel(WAITING);
        let trouble = Arc::new(Mutex::new(None));
        let told = Arc::clone(&trouble);
        let thread = std::thread::Builder::new()
            .name("recorder".to_owned())
            .spawn(move || write(writer, &received, &told))
            .map_err(|source| RecordingError::Io {
                path: folder.to_owned(),
                source,
            })?;
        Ok(Self {
            entries: Some(entries),
            thread: Some(thread),
            trouble,
            dropped: 0,
        })
    }

    /// Hands an entry over, without waiting for the disk.
    pub fn take(&mut self, entry: Entry) {
        let sent = self.entries.as_ref().map(|entries| entries.try_send(entry));
        if let Some(Err(TrySendError::Full(_) | TrySendError::Disconnected(_))) = sent {
            self.dropped += 1;
        }
    }

    /// Tells what the disk refused since the last call; the watch goes on all the same.
    #[must_use]
    pub fn trouble(&self) -> Option<String> {
        self.trouble
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }

    /// Writes what is left.
    ///
    /// # Errors
    ///
    /// Where the last rows could not be written.
    pub fn finish(mut self, at: Timestamp) -> Result<(), RecordingError> {
        if self.dropped > 0 {
            let lost = Loss {
                at,
                kind: "dropped_rows".into(),
                count: self.dropped,
            };
            // Here waiting is right: this is the last entry.
            self.entries
                .as_ref()
                .map(|entries| entries.send(Entry::Loss(lost)));
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
) -> Result<(), RecordingError> {
    let mut flush = Instant::now() + FLUSH_EVERY;
    let mut seal = Instant::now() + SEAL_EVERY;
    loop {
        match entries.recv_timeout(flush.saturating_duration_since(Instant::now())) {
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
            writer.seal()
        };
        if let Err(error) = written {
            *trouble.lock().unwrap_or_else(PoisonError::into_inner) = Some(error.to_string());
        }
        flush = now + FLUSH_EVERY;
    }
}

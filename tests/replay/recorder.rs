//! What the daemon's recorder does, by the clock of what it is given.

use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use pgjam::recording::{Entry, Writer};
use pgjam::sample::Server;
use pgjam::time::{Span, Timestamp};

/// How often it flushes, and does a piece of its upkeep.
const FLUSH_EVERY: Span = Span::from_millis(500);

/// How often it seals samples.
const SEAL_EVERY: Span = Span::from_secs(60);

/// … each so many times all the rest too.
const SEALS_OF_SAMPLES: u64 = 10;

/// So many entries wait for it at most: a disk is slower than a replay.
const WAITING: usize = 64;

/// A recording that is written on a thread of its own.
pub(crate) struct Recorder {
    entries: SyncSender<Entry>,
    thread: JoinHandle<()>,
}

impl Recorder {
    pub(crate) fn begin(folder: &Path, server: &Server) -> Self {
        let writer = Writer::create(folder, server).unwrap();
        let (entries, received) = sync_channel(WAITING);
        let thread = std::thread::spawn(move || write(writer, &received));
        Self { entries, thread }
    }

    pub(crate) fn take(&self, entry: Entry) {
        self.entries.send(entry).unwrap();
    }

    pub(crate) fn finish(self) {
        drop(self.entries);
        self.thread.join().unwrap();
    }
}

/// Writes entries until nobody hands any over.
fn write(mut writer: Writer, entries: &Receiver<Entry>) {
    let mut due: Option<Due> = None;
    for entry in entries {
        let now = match &entry {
            Entry::Snapshot(snapshot) => Some(snapshot.tick.at),
            _ => None,
        };
        writer.take(entry);
        if let Some(now) = now {
            due.get_or_insert_with(|| Due::after(now))
                .at(now, &mut writer);
        }
    }
    writer.finish().unwrap();
}

/// When it flushes and seals next.
struct Due {
    flush: Timestamp,
    seal: Timestamp,
    seals: u64,
}

impl Due {
    fn after(at: Timestamp) -> Self {
        Self {
            flush: at + FLUSH_EVERY,
            seal: at + SEAL_EVERY,
            seals: 0,
        }
    }

    /// Does what is due.
    fn at(&mut self, now: Timestamp, writer: &mut Writer) {
        if now < self.flush {
            return;
        }
        if now < self.seal {
            writer.flush().unwrap();
        } else {
            self.seal = now + SEAL_EVERY;
            self.seals += 1;
            if self.seals.is_multiple_of(SEALS_OF_SAMPLES) {
                writer.seal().unwrap();
            } else {
                writer.seal_samples().unwrap();
            }
        }
        // Between two looks there may have been time for several pieces.
        while self.flush <= now {
            writer.upkeep();
            self.flush = self.flush + FLUSH_EVERY;
        }
        let _ = writer.lost();
    }
}

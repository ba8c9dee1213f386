//! Entries on their way to the thread that writes.
//!
//! A disk that stalls holds that thread up, and nobody says for how long. So the queue is bounded
//! by what its entries take, about: in a storm a tick takes a thousand times what it takes at rest.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

use super::{Entry, RolledUp};
use crate::sample::Surroundings;

/// Where entries are put in.
#[derive(Debug)]
pub(super) struct Queue {
    entries: Sender<(usize, Entry)>,
    waiting: Arc<AtomicUsize>,
    /// So many bytes may wait.
    pub(super) most: usize,
}

/// Where they come out.
#[derive(Debug)]
pub(super) struct Outlet {
    entries: Receiver<(usize, Entry)>,
    waiting: Arc<AtomicUsize>,
}

/// Makes a queue in which so many bytes may wait.
pub(super) fn queue(most: usize) -> (Queue, Outlet) {
    let (sender, receiver) = channel();
    let waiting = Arc::new(AtomicUsize::new(0));
    let outlet = Outlet {
        entries: receiver,
        waiting: Arc::clone(&waiting),
    };
    let queue = Queue {
        entries: sender,
        waiting,
        most,
    };
    (queue, outlet)
}

impl Outlet {
    /// Tells whether nobody puts anything in any more; what was put in before may still be there.
    pub(super) fn has_ended(&self) -> bool {
        Arc::strong_count(&self.waiting) == 1
    }
}

impl Queue {
    /// Puts an entry in, or gives it back where it has no room or nobody takes it. One that nothing
    /// waits before has room, or a tick could be too large for ever.
    pub(super) fn put(&self, entry: Entry) -> Result<(), Box<Entry>> {
        let bytes = entry.bytes();
        let waiting = self.waiting.load(Ordering::Relaxed);
        if waiting > 0 && waiting.saturating_add(bytes) > self.most {
            return Err(Box::new(entry));
        }
        self.push(bytes, entry)
    }

    /// Puts an entry in whatever waits: the last, or one that says what had no room.
    pub(super) fn put_anyway(&self, entry: Entry) -> Result<(), Box<Entry>> {
        self.push(entry.bytes(), entry)
    }

    fn push(&self, bytes: usize, entry: Entry) -> Result<(), Box<Entry>> {
        self.waiting.fetch_add(bytes, Ordering::Relaxed);
        let sent = self.entries.send((bytes, entry));
        sent.map_err(|refused| Box::new(refused.0.1))
    }
}

impl Outlet {
    /// Takes the next entry out, for which it waits so long.
    pub(super) fn next(&self, timeout: Duration) -> Result<Entry, RecvTimeoutError> {
        let (bytes, entry) = self.entries.recv_timeout(timeout)?;
        self.waiting.fetch_sub(bytes, Ordering::Relaxed);
        Ok(entry)
    }
}

impl Entry {
    /// The memory that it takes, about: words that many rows share do not count.
    fn bytes(&self) -> usize {
        let more = match self {
            Self::Snapshot(snapshot) => {
                size_of_val(&**snapshot)
                    + size_of_val(&*snapshot.sessions)
                    + size_of_val(&*snapshot.locks)
                    + size_of_val(&*snapshot.prepared)
                    + size_of_val(&*snapshot.safe_snapshots)
            }
            Self::Counters(counters) => size_of_val(&*counters.rows),
            Self::Statement(statement) => statement.text.len(),
            Self::Name(name) => name.name.len(),
            Self::Declared(declared) => declared.label.len(),
            Self::Charges(rows) => size_of_val(&**rows),
            Self::Edges(rows) => size_of_val(&**rows),
            Self::Minute(minute) => {
                let RolledUp {
                    cells, counters, ..
                } = &**minute;
                size_of_val(&**minute) + size_of_val(&**cells) + size_of_val(&**counters)
            }
            Self::Surroundings(around) => {
                let Surroundings {
                    tables,
                    databases,
                    server,
                    horizons,
                    settings,
                } = &**around;
                size_of_val(&**tables)
                    + size_of_val(&**databases)
                    + size_of_val(&**server)
                    + size_of_val(&**horizons)
                    + size_of_val(&**settings)
            }
            Self::Loss(_) | Self::Event(_) | Self::Server(_) | Self::Limits(_) => 0,
        };
        size_of::<Self>() + more
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::Loss;
    use crate::time::Timestamp;

    fn loss(count: u64) -> Entry {
        Entry::Loss(Loss {
            at: Timestamp::from_micros(0),
            kind: "dropped_rows".into(),
            count,
        })
    }

    #[test]
    fn what_has_no_room_comes_back_until_something_is_taken_out() {
        let (queue, outlet) = queue(3 * loss(1).bytes());
        for _ in 0..3 {
            assert!(queue.put(loss(1)).is_ok());
        }
        assert!(queue.put(loss(1)).is_err());
        assert!(outlet.next(Duration::ZERO).is_ok());
        assert!(queue.put(loss(1)).is_ok());
        assert!(queue.put(loss(1)).is_err());
        assert!(queue.put_anyway(loss(1)).is_ok());
        drop(queue);
        let left = std::iter::from_fn(|| outlet.next(Duration::ZERO).ok());
        assert_eq!(left.count(), 4);
    }

    #[test]
    fn an_entry_of_many_rows_takes_the_room_of_all_of_them() {
        let edges = |count| Entry::Edges(vec![edge(); count]);
        let (queue, outlet) = queue(edges(1_000).bytes());
        assert!(queue.put(edges(0)).is_ok());
        assert!(queue.put(edges(1_000)).is_err());
        assert!(outlet.next(Duration::ZERO).is_ok());
        assert!(queue.put(edges(2_000)).is_ok());
        assert!(queue.put(edges(0)).is_err());
    }

    fn edge() -> crate::recording::Edge {
        crate::recording::Edge {
            at: Timestamp::from_micros(0),
            waiter: crate::pg::Pid(1),
            blocker: None,
            gid: None,
            owner: None,
            kind: "hard".into(),
            certainty: None,
            lock_type: None,
            lock_mode: None,
            table_name: None,
        }
    }
}

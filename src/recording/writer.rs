//! Writing a recording: rows gather in memory, a flush appends them to segments, and a seal makes
//! parts of those.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use super::buffer::Place;
use super::charge::RolledUp;
use super::files::{io, make_folder, write_whole};
use super::format::{self, FORMAT, MANIFEST, MINOR, Manifest};
use super::retention::{Class, Size};
use super::rows::{Look, PerMinute, PerTick, Stamped, TickRow};
use super::seen::{LockRow, SessionRow};
use super::tables::{KINDS, Table, Tables};
use super::upkeep::Upkeep;
use super::{Entry, Limits, RecordingError, merge, partition, reader, segment};
use crate::sample::{Counters, Loss, Server, Snapshot, StatementCounters, Surroundings};
use crate::time::Timestamp;

/// Whoever writes has it locked.
const LOCK: &str = "recording.lock";

/// Writes a recording.
///
/// Rows are buffered until [`Writer::flush`]. One that fails keeps what it could not write for the
/// next; beyond a bound the oldest are dropped, and the recording says how many rows
/// (`dropped_rows`), and how many ticks were missed.
#[derive(Debug)]
pub struct Writer {
    /// Held as long as this is the one who writes.
    lock: File,
    place: Place,
    server: Server,
    /// Whether the manifest tells of this server as it was found again.
    is_told: bool,
    /// The last time that a row told; the server's start before the first.
    now: Timestamp,
    tables: Tables,
    upkeep: Upkeep,
    /// What rows may take that wait for the disk.
    most_bytes: usize,
}

impl Writer {
    /// Begins a recording of `server` in `folder`, or goes on with the one that is there.
    ///
    /// # Errors
    ///
    /// Where the folder holds anything else, or the file system refuses.
    pub fn create(folder: &Path, server: &Server) -> Result<Self, RecordingError> {
        make_folder(folder)?;
        if folder.join(MANIFEST).exists() {
            let there = reader::manifest(folder)?;
            if there.minor > MINOR {
                return Err(RecordingError::Newer {
                    folder: folder.to_owned(),
                    format: format!("{}.{}", there.format, there.minor),
                });
            }
            let there = there.server;
            if format::slug(&there) != format::slug(server) {
                return Err(RecordingError::OtherServer {
                    folder: folder.to_owned(),
                    of: there.address,
                });
            }
        } else if holds_something(folder)? {
            return Err(RecordingError::Occupied(folder.to_owned()));
        }
        let lock = lock(folder)?;
        write_manifest(folder, server)?;
        // What a merge left that was interrupted, before or after its end.
        let _ = fs::remove_dir_all(folder.join(merge::ASIDE));
        recover(folder, &format::slug(server))?;
        let place = Place {
            folder: folder.to_owned(),
            slug: format::slug(server),
            sequence: reader::last_sequence(folder),
        };
        Ok(Self {
            lock,
            place,
            server: server.clone(),
            is_told: true,
            now: server.started_at,
            tables: Tables::default(),
            upkeep: Upkeep::default(),
            most_bytes: Limits::default().waiting,
        })
    }

    /// Takes in whatever there is to record.
    pub fn take(&mut self, entry: Entry) {
        let tables = &mut self.tables;
        match entry {
            Entry::Snapshot(snapshot) => {
                self.now = snapshot.tick.at;
                tables.snapshot(*snapshot);
            }
            Entry::Counters(counters) => {
                self.now = counters.at;
                tables.counters(counters);
            }
            Entry::Statement(row) => tables.statements.push(self.now, row),
            Entry::Name(row) => tables.names.push(self.now, row),
            Entry::Declared(row) => tables.declared.push(self.now, row),
            Entry::Loss(row) => tables.lose(self.now, row),
            Entry::Charges(rows) => {
                let rows = rows.into_iter().map(PerTick);
                tables.charges.extend(self.now, rows);
            }
            Entry::Edges(rows) => tables.edges.extend(self.now, rows.into_iter()),
            Entry::Minute(minute) => tables.minute(*minute),
            Entry::Surroundings(around) => tables.surroundings(self.now, *around),
            Entry::Event(row) => tables.events.push(self.now, row),
            Entry::Server(server) => {
                self.server = server;
                self.is_told = false;
            }
            Entry::Limits(limits) => {
                self.upkeep.keep(limits.retention);
                self.most_bytes = limits.waiting;
            }
        }
        self.tables.shed(self.now, self.most_bytes);
    }

    /// Puts what was taken in beyond the reach of a crash of this process.
    ///
    /// # Errors
    ///
    /// Where the file system refuses; what could not be written stays for the next call.
    pub fn flush(&mut self) -> Result<(), RecordingError> {
        let folder = &self.place.folder;
        if !folder.join(MANIFEST).exists() {
            // Somebody has removed the recording, and its lock with it.
            make_folder(folder)?;
            self.lock = lock(folder)?;
            self.is_told = false;
        }
        if !self.is_told {
            write_manifest(folder, &self.server)?;
            self.is_told = true;
        }
        let tables = self.tables.all().into_iter();
        let count: u64 = tables.map(Table::let_go_of_removed).sum();
        if count > 0 {
            let removed = Loss {
                at: self.now,
                kind: "dropped_rows".into(),
                count,
            };
            self.tables.lose(self.now, removed);
        }
        let mut tables = self.tables.all().into_iter();
        tables.try_for_each(|table| table.flush(&mut self.place))
    }

    /// Makes durable what was taken in: a part for each table and hour that has rows.
    ///
    /// # Errors
    ///
    /// Where the file system refuses; what could not be written stays for the next call.
    pub fn seal(&mut self) -> Result<(), RecordingError> {
        let flushed = self.flush();
        // Also where no more rows could be appended: the next segment may take them.
        let tables = self.tables.all().into_iter();
        tables.map(Table::seal).fold(flushed, Result::and)
    }

    /// Makes durable what is many rows; sums of minutes and the like stay in their segments.
    ///
    /// # Errors
    ///
    /// As [`Writer::seal`].
    pub fn seal_samples(&mut self) -> Result<(), RecordingError> {
        let flushed = self.flush();
        let tables = self.tables.all().into_iter();
        let samples = tables.filter(|table| table.class() != Class::Rollup);
        samples.map(Table::seal).fold(flushed, Result::and)
    }

    /// Does a piece of what keeps the recording small, and tells whether there is more of it: the
    /// parts of hours that are over become one, and what is beyond the retention goes.
    pub fn upkeep(&mut self) -> bool {
        self.upkeep.step(&mut self.place, self.now)
    }

    /// Gives what was lost since the last call, also on the way to the disk, one of a kind.
    #[must_use]
    pub fn lost(&mut self) -> Vec<Loss> {
        std::mem::take(&mut self.tables.lost)
    }

    /// Tells what the recording took when upkeep last looked, which it does every five minutes.
    #[must_use]
    pub const fn size(&self) -> Option<Size> {
        self.upkeep.size
    }

    /// Seals for the last time.
    ///
    /// # Errors
    ///
    /// As [`Writer::seal`].
    pub fn finish(mut self) -> Result<(), RecordingError> {
        self.seal()
    }
}

impl Tables {
    /// Takes in what went on around.
    fn surroundings(&mut self, now: Timestamp, around: Surroundings) {
        self.tables.extend(now, around.tables.into_iter());
        self.databases.extend(now, around.databases.into_iter());
        self.server.extend(now, around.server.into_iter());
        self.horizons.extend(now, around.horizons.into_iter());
        self.settings.extend(now, around.settings.into_iter());
    }

    /// Takes in a tick, with its time on each row.
    fn snapshot(&mut self, snapshot: Snapshot) {
        let at = snapshot.tick.at;
        let mut tick = TickRow::from(snapshot.tick);
        tick.missed = tick.missed.saturating_add(std::mem::take(&mut self.missed));
        self.ticks.push(at, tick);
        let sessions = snapshot.sessions.into_iter();
        self.sessions
            .extend(at, sessions.map(|row| SessionRow::new(at, row)));
        let locks = snapshot.locks.into_iter();
        self.locks
            .extend(at, locks.map(|row| LockRow::new(at, row)));
        let prepared = snapshot.prepared.into_iter();
        self.prepared
            .extend(at, prepared.map(|row| Stamped { at, row }));
        let waits = snapshot.safe_snapshots.into_iter();
        self.safe_snapshots
            .extend(at, waits.map(|row| Stamped { at, row }));
    }

    /// Takes in what remains of a minute.
    fn minute(&mut self, rolled: RolledUp) {
        let at = rolled.minute.at;
        self.cells
            .extend(at, rolled.cells.into_iter().map(PerMinute));
        let counters = rolled.counters.into_iter();
        self.minute_counters.extend(at, counters.map(PerMinute));
        self.minutes.push(at, rolled.minute);
    }

    /// Takes in a look at `pg_stat_statements`, with the look's time on each row.
    fn counters(&mut self, counters: Counters) {
        let at = counters.at;
        self.looks.push(at, Look { at });
        let rows = counters.rows.into_iter();
        self.counters
            .extend(at, rows.map(|row| StatementCounters { at, ..row }));
    }
}

/// Seals as well as it can: whoever wants to know calls [`Writer::finish`].
impl Drop for Writer {
    fn drop(&mut self) {
        let _ = self.seal();
    }
}

/// Writes down whose recording this is.
fn write_manifest(folder: &Path, server: &Server) -> Result<(), RecordingError> {
    let manifest = Manifest {
        format: FORMAT.to_owned(),
        minor: MINOR,
        tool: concat!("pgjam ", env!("CARGO_PKG_VERSION")).to_owned(),
        server: server.clone(),
    };
    let mut json =
        serde_json::to_vec_pretty(&manifest).map_err(|error| RecordingError::Encode {
            table: MANIFEST,
            reason: error.to_string(),
        })?;
    json.push(b'\n');
    write_whole(&folder.join(MANIFEST), &json)
}

/// Makes sure that nobody else writes into a folder.
fn lock(folder: &Path) -> Result<File, RecordingError> {
    let path = folder.join(LOCK);
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false).mode(0o600);
    let file = options.open(&path).map_err(io(&path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(RecordingError::Busy(folder.to_owned())),
        Err(TryLockError::Error(error)) => Err(io(&path)(error)),
    }
}

/// Tells whether there is anything in a folder, a lock aside.
fn holds_something(folder: &Path) -> Result<bool, RecordingError> {
    let mut entries = fs::read_dir(folder).map_err(io(folder))?;
    Ok(entries.any(|entry| entry.is_ok_and(|entry| entry.file_name() != LOCK)))
}

/// Makes parts of the segments that a crash has left.
fn recover(folder: &Path, slug: &str) -> Result<(), RecordingError> {
    for kind in KINDS {
        for hour in partition::partitions(&folder.join(kind.table), slug) {
            let mut left = partition::entries(&hour.path);
            left.retain(|path| {
                path.extension()
                    .is_some_and(|known| known == segment::EXTENSION)
            });
            left.iter().try_for_each(|path| (kind.seal)(path))?;
        }
    }
    Ok(())
}

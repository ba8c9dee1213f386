//! Writing a recording: rows gather in memory, a flush appends them to segments, and a seal makes
//! parts of those.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use super::format::{self, FORMAT, Look, MANIFEST, Manifest, Row, Stamped, TickRow};
use super::segment::{self, Segment};
use super::{RecordingError, reader};
use crate::sample::{
    Counters, Declared, Lock, Loss, Name, Prepared, SafeSnapshotWait, Server, Session, Snapshot,
    StatementCounters, StatementText,
};
use crate::time::Timestamp;

/// Whoever writes has it locked.
const LOCK: &str = "recording.lock";

/// How many rows of a table wait for a disk that refuses them.
const MOST_BUFFERED: usize = 200_000;

/// Writes a recording.
///
/// Rows are buffered until [`Writer::flush`]. One that fails keeps what it could not write for the
/// next; beyond a bound the oldest rows are dropped, and the recording says how many
/// (`dropped_rows`).
#[derive(Debug)]
pub struct Writer {
    /// Held as long as this is the one who writes.
    _lock: File,
    place: Place,
    /// The server as it was found again, until that is written down.
    found: Option<Server>,
    /// The last time that a row told; the server's start before the first.
    now: Timestamp,
    ticks: Buffer<TickRow>,
    sessions: Buffer<Stamped<Session>>,
    locks: Buffer<Stamped<Lock>>,
    prepared: Buffer<Stamped<Prepared>>,
    safe_snapshots: Buffer<Stamped<SafeSnapshotWait>>,
    looks: Buffer<Look>,
    counters: Buffer<StatementCounters>,
    statements: Buffer<StatementText>,
    names: Buffer<Name>,
    declared: Buffer<Declared>,
    losses: Buffer<Loss>,
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
            let there = reader::manifest(folder)?.server;
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
        recover(folder)?;
        let place = Place {
            folder: folder.to_owned(),
            slug: format::slug(server),
            sequence: reader::last_sequence(folder),
        };
        Ok(Self {
            _lock: lock,
            place,
            found: None,
            now: server.started_at,
            ticks: Buffer::new(),
            sessions: Buffer::new(),
            locks: Buffer::new(),
            prepared: Buffer::new(),
            safe_snapshots: Buffer::new(),
            looks: Buffer::new(),
            counters: Buffer::new(),
            statements: Buffer::new(),
            names: Buffer::new(),
            declared: Buffer::new(),
            losses: Buffer::new(),
        })
    }

    /// Takes in a tick.
    pub fn snapshot(&mut self, snapshot: &Snapshot) {
        let at = snapshot.tick.at;
        self.now = at;
        self.ticks.push(at, snapshot.tick.into());
        for row in snapshot.sessions.iter().cloned() {
            self.sessions.push(at, Stamped { at, row });
        }
        for row in snapshot.locks.iter().cloned() {
            self.locks.push(at, Stamped { at, row });
        }
        for row in snapshot.prepared.iter().cloned() {
            self.prepared.push(at, Stamped { at, row });
        }
        for row in snapshot.safe_snapshots.iter().copied() {
            self.safe_snapshots.push(at, Stamped { at, row });
        }
    }

    /// Takes in a look at `pg_stat_statements`, with the look's time on each row.
    pub fn counters(&mut self, counters: &Counters) {
        let at = counters.at;
        self.now = at;
        self.looks.push(at, Look { at });
        for row in &counters.rows {
            self.counters.push(at, StatementCounters { at, ..*row });
        }
    }

    /// Takes in a text.
    pub fn statement(&mut self, statement: &StatementText) {
        self.statements.push(self.now, statement.clone());
    }

    /// Takes in what an oid means.
    pub fn name(&mut self, name: &Name) {
        self.names.push(self.now, name.clone());
    }

    /// Takes in what was told.
    pub fn declared(&mut self, declared: &Declared) {
        self.declared.push(declared.at, declared.clone());
    }

    /// Takes in a loss.
    pub fn loss(&mut self, loss: &Loss) {
        self.losses.push(loss.at, loss.clone());
    }

    /// Takes in that the same server was found again.
    pub fn server(&mut self, server: Server) {
        self.found = Some(server);
    }

    /// Puts what was taken in beyond the reach of a crash of this process.
    ///
    /// # Errors
    ///
    /// Where the file system refuses; what could not be written stays for the next call.
    pub fn flush(&mut self) -> Result<(), RecordingError> {
        let dropped = self.ticks.dropped
            + self.sessions.dropped
            + self.locks.dropped
            + self.prepared.dropped
            + self.safe_snapshots.dropped
            + self.looks.dropped
            + self.counters.dropped
            + self.statements.dropped
            + self.names.dropped;
        if dropped > self.losses.reported {
            let count = dropped - self.losses.reported;
            self.losses.reported = dropped;
            self.losses.push(
                self.now,
                Loss {
                    at: self.now,
                    kind: "dropped_rows".into(),
                    count,
                },
            );
        }
        if let Some(server) = &self.found {
            write_manifest(&self.place.folder, server)?;
            self.found = None;
        }
        // Ticks go last: rows without their tick count as lost, a tick without rows would lie.
        self.locks.flush(&mut self.place)?;
        self.prepared.flush(&mut self.place)?;
        self.safe_snapshots.flush(&mut self.place)?;
        self.sessions.flush(&mut self.place)?;
        self.ticks.flush(&mut self.place)?;
        self.counters.flush(&mut self.place)?;
        self.looks.flush(&mut self.place)?;
        self.statements.flush(&mut self.place)?;
        self.names.flush(&mut self.place)?;
        self.declared.flush(&mut self.place)?;
        self.losses.flush(&mut self.place)
    }

    /// Makes durable what was taken in: a part for each table and hour that has rows.
    ///
    /// # Errors
    ///
    /// Where the file system refuses; what could not be written stays for the next call.
    pub fn seal(&mut self) -> Result<(), RecordingError> {
        self.flush()?;
        self.locks.seal()?;
        self.prepared.seal()?;
        self.safe_snapshots.seal()?;
        self.sessions.seal()?;
        self.ticks.seal()?;
        self.counters.seal()?;
        self.looks.seal()?;
        self.statements.seal()?;
        self.names.seal()?;
        self.declared.seal()?;
        self.losses.seal()
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
fn recover(folder: &Path) -> Result<(), RecordingError> {
    fn of<R: Row>(folder: &Path) -> Result<(), RecordingError> {
        let left = reader::files(&folder.join(R::TABLE), segment::EXTENSION);
        left.iter().try_for_each(|path| segment::seal::<R>(path))
    }
    of::<Stamped<Lock>>(folder)?;
    of::<Stamped<Prepared>>(folder)?;
    of::<Stamped<SafeSnapshotWait>>(folder)?;
    of::<Stamped<Session>>(folder)?;
    of::<TickRow>(folder)?;
    of::<StatementCounters>(folder)?;
    of::<Look>(folder)?;
    of::<StatementText>(folder)?;
    of::<Name>(folder)?;
    of::<Declared>(folder)?;
    of::<Loss>(folder)
}

/// Where parts go.
#[derive(Debug)]
struct Place {
    folder: PathBuf,
    slug: String,
    sequence: u64,
}

impl Place {
    /// Names the next part of a table in the partition of an hour, and makes its folder.
    fn next_part(&mut self, table: &str, hour: i64) -> Result<PathBuf, RecordingError> {
        let start = jiff::Timestamp::from_second(hour.saturating_mul(3_600)).unwrap_or_default();
        let folder = self
            .folder
            .join(table)
            .join(format!("server={}", self.slug))
            .join(start.strftime("dt=%Y-%m-%d").to_string())
            .join(start.strftime("hr=%H").to_string());
        make_folder(&folder)?;
        self.sequence += 1;
        Ok(folder.join(format!("part-{:08}.parquet", self.sequence)))
    }
}

/// The rows of a table that are not durable yet, each with the time that places it.
#[derive(Debug)]
struct Buffer<R> {
    rows: Vec<(Timestamp, R)>,
    /// By hour, where the rows go.
    segments: BTreeMap<i64, Segment>,
    dropped: u64,
    /// How many dropped rows, of all tables, are already counted as a loss.
    reported: u64,
}

impl<R: Row> Buffer<R> {
    fn new() -> Self {
        Self {
            rows: Vec::new(),
            segments: BTreeMap::new(),
            dropped: 0,
            reported: 0,
        }
    }

    fn push(&mut self, at: Timestamp, row: R) {
        if self.rows.len() >= MOST_BUFFERED {
            let oldest = MOST_BUFFERED / 10;
            self.rows.drain(..oldest);
            self.dropped += oldest as u64;
        }
        self.rows.push((at, row));
    }

    /// Appends the rows to the segments of their hours.
    fn flush(&mut self, place: &mut Place) -> Result<(), RecordingError> {
        let mut hours: BTreeMap<i64, Vec<&R>> = BTreeMap::new();
        for (at, row) in &self.rows {
            hours.entry(hour(*at)).or_default().push(row);
        }
        let mut written = Vec::new();
        let mut outcome = Ok(());
        for (hour, rows) in hours {
            outcome = append(&mut self.segments, place, hour, &rows);
            if outcome.is_err() {
                break;
            }
            written.push(hour);
        }
        self.rows.retain(|(at, _)| !written.contains(&hour(*at)));
        outcome
    }

    /// Makes parts of the segments.
    fn seal(&mut self) -> Result<(), RecordingError> {
        while let Some(segment) = self.segments.first_entry() {
            segment::seal::<R>(segment.get().path())?;
            segment.remove();
        }
        Ok(())
    }
}

fn append<R: Row>(
    segments: &mut BTreeMap<i64, Segment>,
    place: &mut Place,
    hour: i64,
    rows: &[&R],
) -> Result<(), RecordingError> {
    let segment = match segments.entry(hour) {
        Entry::Occupied(known) => known.into_mut(),
        Entry::Vacant(place_of_it) => {
            let part = place.next_part(R::TABLE, hour)?;
            place_of_it.insert(Segment::create::<R>(&part)?)
        }
    };
    segment.append(rows)
}

fn hour(at: Timestamp) -> i64 {
    at.as_micros().div_euclid(3_600_000_000)
}

pub(super) fn io(path: &Path) -> impl Fn(std::io::Error) -> RecordingError {
    move |source| RecordingError::Io {
        path: path.to_owned(),
        source,
    }
}

fn make_folder(path: &Path) -> Result<(), RecordingError> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(io(path))
}

/// Writes a file so that under its name it is whole, whatever happens in between.
pub(super) fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), RecordingError> {
    let unfinished = path.with_extension("unfinished");
    let write = || {
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&unfinished)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&unfinished, path)?;
        path.parent()
            .map_or(Ok(()), |folder| File::open(folder)?.sync_all())
    };
    write().map_err(|source| {
        let _ = fs::remove_file(&unfinished);
        io(path)(source)
    })
}

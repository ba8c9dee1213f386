//! Reading a recording back: all of it, in order of time.

use std::collections::{BTreeMap, HashSet};
use std::fs::{self, File};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::charge::{Charge, Minute, RolledUp};
use super::event::Event;
use super::format::{self, FORMAT, MANIFEST, Manifest};
use super::rows::{Look, PerMinute, Row, Stamped, TickRow};
use super::segment;
use super::{Recording, RecordingError};
use crate::sample::{
    Counters, Declared, Lock, Loss, Name, Prepared, SafeSnapshotWait, Session, Snapshot,
    StatementCounters, StatementText,
};
use crate::time::Timestamp;

impl Recording {
    /// Reads a recording into memory.
    ///
    /// Parts that are torn, foreign or of another server are passed over and counted
    /// as the loss `unreadable_parts`; rows whose tick is missing as `rows_without_tick`.
    ///
    /// # Errors
    ///
    /// Where the folder is no recording, or a later version wrote it.
    pub fn open(folder: &Path) -> Result<Self, RecordingError> {
        let server = manifest(folder)?.server;
        let mut parts = Parts {
            folder,
            own: format!("server={}", format::slug(&server)),
            unreadable: 0,
            strings: HashSet::new(),
        };
        let (snapshots, orphans) = snapshots(&mut parts);
        let counters = counters(&mut parts);
        let mut statements: Vec<StatementText> = parts.rows();
        for statement in &mut statements {
            parts.intern(&mut statement.text);
        }
        let names: Vec<Name> = parts.rows();
        let declared: Vec<Declared> = parts.rows();
        let events: Vec<Event> = parts.rows();
        let first = snapshots.first().map(|snapshot| snapshot.tick.at);
        let minutes = minutes(&mut parts, first);
        let mut losses: Vec<Loss> = parts.rows();
        let at = snapshots
            .last()
            .map_or(server.started_at, |snapshot| snapshot.tick.at);
        for (kind, count) in [
            ("unreadable_parts", parts.unreadable),
            ("rows_without_tick", orphans),
        ] {
            if count > 0 {
                losses.push(Loss {
                    at,
                    kind: kind.into(),
                    count,
                });
            }
        }
        Ok(Self {
            server,
            snapshots,
            counters,
            statements,
            names,
            declared,
            losses,
            minutes,
            events,
        })
    }
}

/// Reads the rows of one table; none where the folder is no recording.
pub(super) fn rows_of_table<R: Row>(folder: &Path) -> Option<Vec<R>> {
    let server = manifest(folder).ok()?.server;
    let mut parts = Parts {
        folder,
        own: format!("server={}", format::slug(&server)),
        unreadable: 0,
        strings: HashSet::new(),
    };
    Some(parts.rows())
}

fn snapshots(parts: &mut Parts<'_>) -> (Vec<Snapshot>, u64) {
    let mut snapshots: BTreeMap<Timestamp, Snapshot> = BTreeMap::new();
    for row in parts.rows::<TickRow>() {
        let empty = Snapshot {
            tick: row.into(),
            sessions: Vec::new(),
            locks: Vec::new(),
            prepared: Vec::new(),
            safe_snapshots: Vec::new(),
        };
        snapshots.insert(row.at, empty);
    }
    let mut orphans = 0;
    for Stamped { at, mut row } in parts.rows::<Stamped<Session>>() {
        let Some(snapshot) = snapshots.get_mut(&at) else {
            orphans += 1;
            continue;
        };
        parts.intern(&mut row.backend_type);
        parts.intern(&mut row.application_name);
        let optional = [
            &mut row.client_addr,
            &mut row.wait_event_type,
            &mut row.wait_event,
            &mut row.tags,
        ];
        for text in optional.into_iter().flatten() {
            parts.intern(text);
        }
        snapshot.sessions.push(row);
    }
    for Stamped { at, mut row } in parts.rows::<Stamped<Lock>>() {
        let Some(snapshot) = snapshots.get_mut(&at) else {
            orphans += 1;
            continue;
        };
        parts.intern(&mut row.owner);
        parts.intern(&mut row.target.locktype);
        if let Some(virtualxid) = &mut row.target.virtualxid {
            parts.intern(virtualxid);
        }
        snapshot.locks.push(row);
    }
    for Stamped { at, row } in parts.rows::<Stamped<Prepared>>() {
        match snapshots.get_mut(&at) {
            Some(snapshot) => snapshot.prepared.push(row),
            None => orphans += 1,
        }
    }
    for Stamped { at, row } in parts.rows::<Stamped<SafeSnapshotWait>>() {
        match snapshots.get_mut(&at) {
            Some(snapshot) => snapshot.safe_snapshots.push(row),
            None => orphans += 1,
        }
    }
    (snapshots.into_values().collect(), orphans)
}

/// Reads what remains of the minutes before the first tick.
fn minutes(parts: &mut Parts<'_>, first_tick: Option<Timestamp>) -> Vec<RolledUp> {
    let mut minutes: Vec<RolledUp> = Vec::new();
    for minute in parts.rows::<Minute>() {
        if first_tick.is_none_or(|first| minute.until <= first) {
            minutes.push(RolledUp {
                minute,
                cells: Vec::new(),
                counters: Vec::new(),
            });
        }
    }
    minutes.sort_by_key(|rolled| rolled.minute.at);
    if minutes.is_empty() {
        return minutes;
    }
    for PerMinute(cell) in parts.rows::<PerMinute<Charge>>() {
        if let Ok(place) = minutes.binary_search_by_key(&cell.at, |rolled| rolled.minute.at) {
            minutes[place].cells.push(cell);
        }
    }
    for PerMinute(row) in parts.rows::<PerMinute<StatementCounters>>() {
        // A look that ends a minute is that minute's.
        let place = minutes.partition_point(|rolled| rolled.minute.until < row.at);
        if let Some(rolled) = minutes.get_mut(place).filter(|it| it.minute.at <= row.at) {
            rolled.counters.push(row);
        }
    }
    minutes
}

fn counters(parts: &mut Parts<'_>) -> Vec<Counters> {
    let mut looks: BTreeMap<Timestamp, Counters> = BTreeMap::new();
    for Look { at } in parts.rows() {
        looks.insert(
            at,
            Counters {
                at,
                rows: Vec::new(),
            },
        );
    }
    for row in parts.rows::<StatementCounters>() {
        let look = looks.entry(row.at).or_insert(Counters {
            at: row.at,
            rows: Vec::new(),
        });
        look.rows.push(row);
    }
    looks.into_values().collect()
}

/// Reads `recording.json`.
pub(super) fn manifest(folder: &Path) -> Result<Manifest, RecordingError> {
    /// The one field that every version has.
    #[derive(serde::Deserialize)]
    struct Format {
        format: String,
    }
    let none = || RecordingError::NotARecording(folder.to_owned());
    let json = fs::read(folder.join(MANIFEST)).map_err(|_| none())?;
    let Format { format } = serde_json::from_slice(&json).map_err(|_| none())?;
    if format != FORMAT {
        return Err(if format.starts_with("pgjam.recording/") {
            RecordingError::Newer {
                folder: folder.to_owned(),
                format,
            }
        } else {
            none()
        });
    }
    serde_json::from_slice(&json).map_err(|_| none())
}

/// Finds the highest part number in a recording, so that the next writer goes on behind it.
pub(super) fn last_sequence(folder: &Path) -> u64 {
    let number = |path: &PathBuf| {
        path.file_stem()?
            .to_str()?
            .strip_prefix("part-")?
            .parse::<u64>()
            .ok()
    };
    let tables = entries(folder)
        .into_iter()
        .flat_map(|table| part_files(&table));
    tables.filter_map(|path| number(&path)).max().unwrap_or(0)
}

/// Finds the last tick that a recording holds.
pub(super) fn last_tick(folder: &Path) -> Option<Timestamp> {
    let files = part_files(&folder.join(TickRow::TABLE));
    // Partitions are in order of time, and only the newest is worth reading, unless it is torn.
    files.iter().rev().find_map(|path| {
        let rows = catch_unwind(AssertUnwindSafe(|| rows_of::<TickRow>(path)));
        let rows = rows.ok().flatten()?;
        rows.iter().map(|row| row.at).max()
    })
}

/// The part files of a table, in order of their partitions, then of writing; and the segments that
/// are no parts yet.
fn part_files(table: &Path) -> Vec<PathBuf> {
    let mut all = files(table, "parquet");
    let segments = files(table, segment::EXTENSION).into_iter();
    all.extend(segments.filter(|path| !segment::part_of(path).exists()));
    all.sort();
    all
}

/// The files of a table whose name ends so.
pub(super) fn files(table: &Path, extension: &str) -> Vec<PathBuf> {
    let below = |folders: Vec<PathBuf>| -> Vec<PathBuf> {
        folders.iter().flat_map(|folder| entries(folder)).collect()
    };
    let mut files = below(below(below(entries(table))));
    files.retain(|path| path.extension().is_some_and(|known| known == extension));
    files
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    paths.sort();
    paths
}

/// Reads a part, or a segment; one that has become a part since it was found is read as that.
fn rows_of<R: Row>(path: &Path) -> Option<Vec<R>> {
    if path
        .extension()
        .is_some_and(|known| known == segment::EXTENSION)
    {
        if let Ok(file) = File::open(path) {
            return segment::decode(file);
        }
        return rows_of(&segment::part_of(path));
    }
    format::decode(File::open(path).ok()?)
}

/// The parts of a recording, and what their reading has in common.
struct Parts<'a> {
    folder: &'a Path,
    own: String,
    unreadable: u64,
    strings: HashSet<Arc<str>>,
}

impl Parts<'_> {
    /// Reads a table in order of time.
    fn rows<R: Row>(&mut self) -> Vec<R> {
        let table = self.folder.join(R::TABLE);
        let mut rows = Vec::new();
        for path in part_files(&table) {
            let is_own = path
                .strip_prefix(&table)
                .is_ok_and(|path| path.starts_with(&self.own));
            // A torn file is an error to the decoder; that it never panics on one is not promised.
            let part = || rows_of::<R>(&path);
            match catch_unwind(AssertUnwindSafe(part)) {
                Ok(Some(part)) if is_own => rows.extend(part),
                _ => self.unreadable += 1,
            }
        }
        // Those without a time stay in the order of writing.
        rows.sort_by_key(Row::at);
        rows
    }

    /// Lets equal strings share one allocation.
    fn intern(&mut self, text: &mut Arc<str>) {
        if let Some(known) = self.strings.get(text) {
            *text = Arc::clone(known);
        } else {
            self.strings.insert(Arc::clone(text));
        }
    }
}

//! Reading a recording back, in order of time.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::hash::Hash;
use std::path::{Path, PathBuf};

use super::charge::{self, Charge, Minute, RolledUp};
use super::counted;
use super::format::{self, FORMAT, MANIFEST, Manifest};
use super::grain;
use super::interner::Interner;
use super::partition::{self, entries, hour_of, partitions};
use super::parts::Parts;
use super::rows::{Look, PerMinute, Row, Stamped, TickRow};
use super::seen::{self, LockRow, SessionRow};
use super::tables::KINDS;
use super::window::{self, MOST_BYTES, Size, Window};
use super::{Recording, RecordingError};
use crate::pg::QueryId;
use crate::sample::{
    Counters, Loss, Name, Prepared, SafeSnapshotWait, Snapshot, StatementCounters, StatementText,
    Surroundings, Tick,
};
use crate::statement::StatementId;
use crate::time::Timestamp;

impl Recording {
    /// Reads a recording into memory.
    ///
    /// # Errors
    ///
    /// As [`Recording::open_within`].
    pub fn open(folder: &Path) -> Result<Self, RecordingError> {
        Self::open_within(folder, Window::ALL)
    }

    /// Reads what a recording holds of a window, with texts and names.
    ///
    /// Parts that are torn, foreign or of another server are passed over and counted
    /// as the loss `unreadable_parts`; rows whose tick is missing as `rows_without_tick`.
    ///
    /// # Errors
    ///
    /// Where the folder is no recording, or a later version wrote it, or the window holds more
    /// than can be read at once.
    pub fn open_within(folder: &Path, window: Window) -> Result<Self, RecordingError> {
        Self::open_bounded(folder, window, MOST_BYTES)
    }

    /// Reads a window whose rows take about so many bytes in memory at most; see [`Recording::open_within`].
    ///
    /// # Errors
    ///
    /// As [`Recording::open_within`].
    pub fn open_bounded(folder: &Path, window: Window, most: u64) -> Result<Self, RecordingError> {
        let manifest = manifest(folder)?;
        if let Size::TooLarge { bytes, fits } = window::size(folder, window, most)? {
            let folder = folder.to_owned();
            return Err(RecordingError::TooLarge {
                folder,
                bytes,
                fits,
            });
        }
        Ok(Self::of_parts(folder, manifest, window, window))
    }

    /// Reads a window however much it holds: of its end the samples, about so many bytes at most, and
    /// of the time before what remains of the minutes; gives that moment, if it is not all samples.
    ///
    /// A minute's sums are what its samples were charged to, and so it is the same time that is
    /// attributed, by the minute. What only samples tell, as how long a call took, is not known of it.
    ///
    /// # Errors
    ///
    /// Where the folder is no recording, or a later version wrote it.
    pub fn open_summed(
        folder: &Path,
        window: Window,
        most: u64,
    ) -> Result<(Self, Option<Timestamp>), RecordingError> {
        let manifest = manifest(folder)?;
        let Some(from) = window::fitting_from(folder, window, most)? else {
            let all = Self::of_parts(folder, manifest, window, window);
            return Ok((all, None));
        };
        let minutes: Vec<Minute> = Parts::of(folder, format::slug(&manifest.server), window).rows();
        let begin = || minutes.iter().map(|minute| minute.at);
        let from = if begin().any(|at| at < from) {
            // A minute of which some ticks are read would be missing before them.
            begin().filter(|at| *at >= from).min().unwrap_or(from)
        } else {
            window::fitting_from(folder, window, MOST_BYTES.max(most))?.unwrap_or(from)
        };
        let samples = Window { from, ..window };
        let read = Self::of_parts(folder, manifest, window, samples);
        Ok((read, Some(from)))
    }

    /// Reads what there is of a window, and the samples of a piece at its end.
    fn of_parts(folder: &Path, manifest: Manifest, window: Window, samples: Window) -> Self {
        let server = manifest.server;
        let slug = format::slug(&server);
        let mut parts = Parts::of(folder, slug, samples);
        parts.unreadable = strangers(folder, &format::slug(&server));
        let (snapshots, orphans) = snapshots(&mut parts);
        let mut counters = counters(&mut parts);
        let first = snapshots.first().map(|snapshot| snapshot.tick.at);
        let surroundings = Surroundings {
            tables: parts.rows(),
            databases: parts.rows(),
            server: parts.rows(),
            horizons: parts.rows(),
            settings: parts.rows(),
        };
        parts.window = window;
        let mut minutes = minutes(&mut parts, first);
        if let Some(last) = minutes.last().filter(|_| samples != window) {
            // Up to there the minutes have told.
            counters.retain(|look| look.at > last.minute.until);
        }
        // Before, an hour did not begin with a look that tells everything.
        if manifest.format == format::BEFORE && window.from > Window::ALL.from {
            counted::leave_first_growth_open(counted::counters_of(&mut minutes, &mut counters));
        }
        let mentioned = Mentioned::by(&snapshots, &counters, &minutes);
        let is_of_use = |text: &StatementText| window == Window::ALL || mentioned.has(text);
        let mut statements = last_of_each(parts.until_the_end(is_of_use));
        for statement in &mut statements {
            parts.intern(&mut statement.text);
        }
        let names: Vec<Name> = last_of_each(parts.until_the_end(|_| true));
        let declared = parts.rows();
        let events = parts.rows();
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
        Self {
            server,
            snapshots,
            counters,
            statements,
            names,
            declared,
            losses,
            minutes,
            events,
            surroundings,
        }
    }
}

/// Reads the rows of one table; none where the folder is no recording.
pub(super) fn rows_of_table<R: Row>(folder: &Path) -> Option<Vec<R>> {
    let server = manifest(folder).ok()?.server;
    Some(Parts::of(folder, format::slug(&server), Window::ALL).rows())
}

/// Counts the parts that are in no partition of this server.
fn strangers(folder: &Path, slug: &str) -> u64 {
    let tables = KINDS.iter().map(|kind| folder.join(kind.table));
    tables.map(|table| partition::strangers(&table, slug)).sum()
}

/// Reads the ticks and what they saw, hour by hour, and counts rows without their tick.
///
/// Rows whose tick came while it was read are none of these, nor are those behind the last tick.
fn snapshots(parts: &mut Parts<'_>) -> (Vec<Snapshot>, u64) {
    let hours = parts.hours::<TickRow>();
    let mut snapshots = Vec::new();
    let mut orphans = Vec::new();
    for hour in &hours {
        snapshots.extend(of_hour(parts, *hour, &mut orphans));
    }
    // Whoever makes room removes the ticks first: without them the rest of an hour is no hour.
    let left = parts.hours::<TickRow>();
    if hours.iter().any(|hour| !left.contains(hour)) {
        snapshots.retain(|snapshot: &Snapshot| left.contains(&hour_of(snapshot.tick.at)));
        orphans.retain(|at| left.contains(&hour_of(*at)));
    }
    if !orphans.is_empty() {
        let unreadable = parts.unreadable;
        let came = parts.rows::<TickRow>().into_iter().map(|tick| tick.at);
        let came: HashSet<Timestamp> = came.collect();
        // These are counted already.
        parts.unreadable = unreadable;
        orphans.retain(|at| !came.contains(at));
    }
    let last = snapshots.last().map(|snapshot| snapshot.tick.at);
    let lost = orphans
        .iter()
        .filter(|at| last.is_some_and(|last| **at < last));
    let lost = lost.count() as u64;
    (snapshots, lost)
}

fn of_hour(parts: &mut Parts<'_>, hour: i64, orphans: &mut Vec<Timestamp>) -> Vec<Snapshot> {
    let mut snapshots: BTreeMap<Timestamp, Snapshot> = BTreeMap::new();
    for row in parts.of_hour::<TickRow>(hour) {
        let empty = Snapshot {
            tick: row.into(),
            sessions: Vec::new(),
            locks: Vec::new(),
            prepared: Vec::new(),
            safe_snapshots: Vec::new(),
        };
        snapshots.insert(row.at, empty);
    }
    for row in parts.of_hour::<SessionRow>(hour) {
        match snapshots.get_mut(&row.at) {
            Some(snapshot) => snapshot.sessions.push(parts.interned(row.session())),
            None => orphans.push(row.at),
        }
    }
    for row in parts.of_hour::<LockRow>(hour) {
        let Some(snapshot) = snapshots.get_mut(&row.at) else {
            orphans.push(row.at);
            continue;
        };
        let mut row = row.lock();
        parts.intern(&mut row.owner);
        parts.intern(&mut row.target.locktype);
        if let Some(virtualxid) = &mut row.target.virtualxid {
            parts.intern(virtualxid);
        }
        snapshot.locks.push(row);
    }
    for Stamped { at, row } in parts.of_hour::<Stamped<Prepared>>(hour) {
        match snapshots.get_mut(&at) {
            Some(snapshot) => snapshot.prepared.push(row),
            None => orphans.push(at),
        }
    }
    for Stamped { at, row } in parts.of_hour::<Stamped<SafeSnapshotWait>>(hour) {
        match snapshots.get_mut(&at) {
            Some(snapshot) => snapshot.safe_snapshots.push(row),
            None => orphans.push(at),
        }
    }
    let mut snapshots: Vec<Snapshot> = snapshots.into_values().collect();
    snapshots.iter_mut().for_each(seen::arrange);
    snapshots
}

/// Reads what remains of the minutes before the first tick.
///
/// While they are read a day's sums may become coarser. So they are read again until their rows
/// are still the same afterwards.
fn minutes(parts: &mut Parts<'_>, first_tick: Option<Timestamp>) -> Vec<RolledUp> {
    let unreadable = parts.unreadable;
    for attempt in 1.. {
        let rows = parts.rows::<Minute>();
        let minutes = of_rows(parts, &rows, first_tick);
        let counted = std::mem::replace(&mut parts.unreadable, unreadable);
        if parts.rows::<Minute>() == rows || attempt == partition::ATTEMPTS {
            parts.unreadable = counted;
            return minutes;
        }
        parts.unreadable = unreadable;
    }
    unreachable!("the last attempt returns")
}

/// Puts cells and counters into the minutes that they lie in; where sums are just becoming coarser
/// these are the minutes' in the rows of hours.
fn of_rows(parts: &mut Parts<'_>, rows: &[Minute], first_tick: Option<Timestamp>) -> Vec<RolledUp> {
    let before_it = |row: &&Minute| first_tick.is_none_or(|first| row.until <= first);
    let rows = rows.iter().filter(before_it);
    let mut minutes: Vec<RolledUp> = rows
        .map(|&minute| RolledUp {
            minute,
            cells: Vec::new(),
            counters: Vec::new(),
        })
        .collect();
    minutes.sort_by_key(|rolled| rolled.minute.at);
    if minutes.is_empty() {
        return minutes;
    }
    for hour in parts.hours::<PerMinute<Charge>>() {
        for PerMinute(cell) in parts.of_hour::<PerMinute<Charge>>(hour) {
            let begun = minutes.partition_point(|rolled| rolled.minute.at <= cell.at);
            let last = begun.checked_sub(1).map(|place| &mut minutes[place]);
            let holds = |Minute { at, until, .. }: Minute| cell.at == at || cell.at < until;
            if let Some(rolled) = last.filter(|rolled| holds(rolled.minute)) {
                rolled.cells.push(cell);
            }
        }
    }
    for rolled in &mut minutes {
        rolled.cells.shrink_to_fit();
    }
    let mut before = Vec::new();
    for PerMinute(row) in parts.since_their_hour::<PerMinute<StatementCounters>>() {
        // A look that ends a minute is that minute's.
        let place = minutes.partition_point(|rolled| rolled.minute.until < row.at);
        match minutes.get_mut(place) {
            Some(rolled) if rolled.minute.at <= row.at => rolled.counters.push(row),
            Some(_) if place == 0 => before.push(row),
            _ => {}
        }
    }
    for rolled in &mut minutes {
        counted::condense(&mut rolled.counters);
    }
    if let Some(first) = minutes.first_mut()
        && let Some(at) = first.minute.counted
    {
        before.sort_by_key(|row| row.at);
        counted::complete(&mut first.counters, at, before);
    }
    minutes
}

fn counters(parts: &mut Parts<'_>) -> Vec<Counters> {
    let mut looks: BTreeMap<Timestamp, Counters> = BTreeMap::new();
    let empty = |at| Counters {
        at,
        rows: Vec::new(),
    };
    for Look { at } in parts.since_their_hour() {
        looks.insert(at, empty(at));
    }
    for row in parts.since_their_hour::<StatementCounters>() {
        looks.entry(row.at).or_insert(empty(row.at)).rows.push(row);
    }
    for look in looks.values_mut() {
        look.rows.sort_by_key(|row| (row.database, row.query_id));
    }
    let mut looks = looks.into_values().collect();
    counted::begin_at(&mut looks, parts.window.from);
    looks
}

/// The statements that rows mention: of weeks of texts, a window needs few.
struct Mentioned {
    statements: HashSet<StatementId>,
    queries: HashSet<QueryId>,
}

impl Mentioned {
    fn by(snapshots: &[Snapshot], counters: &[Counters], minutes: &[RolledUp]) -> Self {
        let sessions = || snapshots.iter().flat_map(|seen| &seen.sessions);
        let charged = charge::accounts(minutes).flat_map(|account| {
            let of = [account.statement, account.blocker_statement];
            of.into_iter().chain([account.through_statement]).flatten()
        });
        let ran = sessions().filter_map(|session| session.statement);
        let counted = counters.iter().flat_map(|look| &look.rows);
        let counted = counted.chain(minutes.iter().flat_map(|rolled| &rolled.counters));
        let running = sessions().filter_map(|session| session.query_id);
        Self {
            statements: ran.chain(charged).collect(),
            queries: counted.map(|row| row.query_id).chain(running).collect(),
        }
    }

    fn has(&self, text: &StatementText) -> bool {
        let is_counted = |id| self.queries.contains(&id);
        self.statements.contains(&text.id) || text.query_id.is_some_and(is_counted)
    }
}

/// Keeps the last one of rows that say the same, in their order.
fn last_of_each<R: Eq + Hash + Clone>(mut rows: Vec<R>) -> Vec<R> {
    let mut seen = HashSet::new();
    rows.reverse();
    rows.retain(|row| seen.insert(row.clone()));
    rows.reverse();
    rows
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
    if format != FORMAT && format != format::BEFORE {
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
        let name = path.file_stem()?.to_str()?;
        // A number that no writer comes to is not one of ours.
        let number: u32 = grain::number_in(name)?.parse().ok()?;
        Some(u64::from(number))
    };
    let below = |folders: Vec<PathBuf>| -> Vec<PathBuf> {
        folders.iter().flat_map(|folder| entries(folder)).collect()
    };
    let files = below(below(below(below(entries(folder)))));
    files.iter().filter_map(number).max().unwrap_or(0)
}

/// Finds the last tick that a recording holds.
pub(super) fn last_tick(folder: &Path, slug: &str) -> Option<Tick> {
    let hours = partitions(&folder.join(TickRow::TABLE), slug);
    // Only the newest is worth reading, unless it is torn.
    hours.iter().rev().find_map(|hour| {
        let read = partition::read::<TickRow>(&hour.path, Window::ALL, &mut Interner::default());
        read.rows
            .into_iter()
            .max_by_key(|row| row.at)
            .map(Tick::from)
    })
}

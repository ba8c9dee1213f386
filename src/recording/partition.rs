//! The folders of a recording: tables, servers, days, hours; and the files in an hour.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::format;
use super::interner::Interner;
use super::rows::Row;
use super::segment;
use super::window::Window;
use crate::time::Timestamp;

/// So often a partition is read anew that changes while it is read.
pub(super) const ATTEMPTS: usize = 10;

/// The rows of one table of one hour.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Partition {
    /// Hours since the Unix epoch.
    pub(super) hour: i64,
    pub(super) path: PathBuf,
}

/// Tells in which hour a time lies.
pub(super) const fn hour_of(at: Timestamp) -> i64 {
    at.as_micros().div_euclid(3_600_000_000)
}

/// Gives the first instant of an hour.
pub(super) const fn start_of(hour: i64) -> Timestamp {
    Timestamp::from_micros(hour.saturating_mul(3_600_000_000))
}

/// Names the folders of an hour below those of a table.
pub(super) fn place(slug: &str, hour: i64) -> PathBuf {
    let start = jiff::Timestamp::from_second(hour.saturating_mul(3_600)).unwrap_or_default();
    Path::new(&format!("server={slug}"))
        .join(start.strftime("dt=%Y-%m-%d").to_string())
        .join(start.strftime("hr=%H").to_string())
}

/// Lists the hours of a table, the oldest first.
pub(super) fn partitions(table: &Path, slug: &str) -> Vec<Partition> {
    let days = entries(&table.join(format!("server={slug}")));
    let hours = days.iter().flat_map(|day| entries(day));
    let mut found: Vec<Partition> = hours
        .filter_map(|path| {
            let hour = hour_named(&path)?;
            // Another name of the same hour is none of ours: it would be read as this one.
            let is_ours = path.ends_with(place(slug, hour));
            is_ours.then_some(Partition { hour, path })
        })
        .collect();
    found.sort();
    found
}

/// Reads the hour off the names of its folders.
fn hour_named(path: &Path) -> Option<i64> {
    let name =
        |path: &Path, key: &str| Some(path.file_name()?.to_str()?.strip_prefix(key)?.to_owned());
    let day: jiff::civil::Date = name(path.parent()?, "dt=")?.parse().ok()?;
    let hour: i8 = name(path, "hr=")?.parse().ok()?;
    let start = day.to_datetime(jiff::civil::Time::new(hour, 0, 0, 0).ok()?);
    let start = jiff::tz::TimeZone::UTC.to_timestamp(start).ok()?;
    Some(start.as_second().div_euclid(3_600))
}

/// Counts the parts of a table that are in no partition of this server.
pub(super) fn strangers(table: &Path, slug: &str) -> u64 {
    let own: HashSet<PathBuf> = partitions(table, slug)
        .into_iter()
        .map(|own| own.path)
        .collect();
    let files = entries(table)
        .into_iter()
        .flat_map(|server| entries(&server));
    let files = files
        .flat_map(|day| entries(&day))
        .filter(|hour| !own.contains(hour));
    files.map(|hour| files_in(&hour).len() as u64).sum()
}

/// Lists the parts in a partition in order of writing, and the segments that are no parts yet.
pub(super) fn files_in(partition: &Path) -> Vec<PathBuf> {
    let mut files = entries(partition);
    let is = |path: &Path, kind: &str| path.extension().is_some_and(|known| known == kind);
    files.retain(|path| {
        is(path, "parquet") || is(path, segment::EXTENSION) && !segment::part_of(path).exists()
    });
    files
}

/// Lists what is in a folder, by name; nothing if it is not there.
pub(super) fn entries(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    paths.sort();
    paths
}

/// What was read of a partition.
pub(super) struct Read<R> {
    pub(super) rows: Vec<R>,
    /// So many files could not be read.
    pub(super) unreadable: u64,
}

/// Reads the rows of a window from a partition, as it is at one moment.
///
/// While it is read its segments may become parts, and all of its parts be exchanged for one. So
/// it is read again until nothing has changed meanwhile.
pub(super) fn read<R: Row>(partition: &Path, window: Window, known: &mut Interner) -> Read<R> {
    let mut files = files_in(partition);
    for attempt in 1.. {
        let mut read = Read {
            rows: Vec::new(),
            unreadable: 0,
        };
        for path in &files {
            match rows_of::<R>(path, window, known) {
                Rows::Are(rows) => read.rows.extend(rows),
                Rows::Gone => {}
                Rows::Unreadable => read.unreadable += 1,
            }
        }
        let now = files_in(partition);
        if now == files || attempt == ATTEMPTS {
            return read;
        }
        files = now;
    }
    unreachable!("the last attempt returns")
}

/// What a file has.
enum Rows<R> {
    Are(Vec<R>),
    Gone,
    Unreadable,
}

/// Reads a part or a segment.
fn rows_of<R: Row>(path: &Path, window: Window, known: &mut Interner) -> Rows<R> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Rows::Gone,
        Err(_) => return Rows::Unreadable,
    };
    let is_segment = path
        .extension()
        .is_some_and(|known| known == segment::EXTENSION);
    let rows = if is_segment {
        segment::decode::<R>(file, known)
    } else {
        format::decode::<R>(&file, window, known)
    };
    match rows {
        Some(mut rows) => {
            rows.retain(|row| row.at().is_none_or(|at| window.holds(at)));
            Rows::Are(rows)
        }
        None => Rows::Unreadable,
    }
}

//! The rows of a table on their way into segments.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::path::PathBuf;

use super::RecordingError;
use super::files::make_folder;
use super::partition::{hour_of, place};
use super::retention::Class;
use super::rows::Row;
use super::segment::{self, Segment};
use super::tables::{Table, class_of};
use crate::time::Timestamp;

/// So many places stay for the rows to come. Some tables get thousands of rows at once, each minute
/// or each hour, and that much room each would be most of what a watch takes.
const PLACES: usize = 256;

/// Where parts go.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) folder: PathBuf,
    pub(super) slug: String,
    /// The number of the last part.
    pub(super) sequence: u64,
}

impl Place {
    /// Names the next part of a table in the partition of an hour, and makes its folder.
    fn next_part(&mut self, table: &str, hour: i64) -> Result<PathBuf, RecordingError> {
        let folder = self.hour(table, hour)?;
        Ok(folder.join(self.next_name()))
    }

    /// Makes the folder of the partition that a row with a time of its own lies in.
    pub(super) fn partition<R: Row>(&self, row: &R) -> Result<PathBuf, RecordingError> {
        let hour = hour_of(row.at().unwrap_or_default());
        self.hour(R::TABLE, class_of::<R>().first_hour(hour))
    }

    /// Makes the folder of the partition of an hour.
    fn hour(&self, table: &str, hour: i64) -> Result<PathBuf, RecordingError> {
        let folder = self.folder.join(table).join(place(&self.slug, hour));
        make_folder(&folder)?;
        Ok(folder)
    }

    /// Gives a name that no part has yet.
    pub(super) fn next_name(&mut self) -> String {
        self.sequence += 1;
        format!("part-{:08}.parquet", self.sequence)
    }
}

/// The rows of a table that are not durable yet, each with the time that places it.
#[derive(Debug)]
pub(super) struct Buffer<R> {
    rows: Vec<(Timestamp, R)>,
    /// By the first hour of their partition, where the rows go.
    segments: BTreeMap<i64, Segment>,
    /// What the rows take.
    bytes: usize,
}

impl<R> Default for Buffer<R> {
    fn default() -> Self {
        Self {
            rows: Vec::new(),
            segments: BTreeMap::new(),
            bytes: 0,
        }
    }
}

impl<R: Row> Buffer<R> {
    /// Takes in a row, at `now` by the server's clock.
    pub(super) fn push(&mut self, now: Timestamp, row: R) {
        self.bytes += row.bytes();
        self.rows.push((row.at().unwrap_or(now), row));
    }

    /// Takes in rows, at `now` by the server's clock.
    pub(super) fn extend(&mut self, now: Timestamp, rows: impl ExactSizeIterator<Item = R>) {
        // Not twice as many, as where one comes after the other.
        self.rows.reserve(rows.len());
        rows.for_each(|row| self.push(now, row));
    }

    /// Gives the rows that wait up to a time.
    pub(super) fn until(&self, cut: Timestamp) -> impl Iterator<Item = &R> {
        let rows = self.rows.iter().filter(move |(at, _)| *at <= cut);
        rows.map(|(_, row)| row)
    }

    /// Gives the rows that wait, the last ones first.
    pub(super) fn waiting(&mut self) -> impl Iterator<Item = &mut R> {
        self.rows.iter_mut().rev().map(|(_, row)| row)
    }

    /// Gives the first of the rows that wait.
    pub(super) fn first_mut(&mut self) -> Option<&mut R> {
        self.rows.first_mut().map(|(_, row)| row)
    }

    fn retain(&mut self, keep: impl Fn(Timestamp) -> bool) -> u64 {
        let before = self.rows.len();
        self.rows.retain(|(at, _)| keep(*at));
        self.rows.shrink_to(PLACES);
        self.bytes = self.rows.iter().map(|(_, row)| row.bytes()).sum();
        (before - self.rows.len()) as u64
    }
}

impl<R: Row> Table for Buffer<R> {
    fn name(&self) -> &'static str {
        R::TABLE
    }

    fn flush(&mut self, place: &mut Place) -> Result<(), RecordingError> {
        let class = class_of::<R>();
        let placed = |at: Timestamp| class.first_hour(hour_of(at));
        let mut hours: BTreeMap<i64, Vec<&R>> = BTreeMap::new();
        for (at, row) in &self.rows {
            hours.entry(placed(*at)).or_default().push(row);
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
        self.retain(|at| !written.contains(&placed(at)));
        outcome?;
        // What a part is made of has to fit in memory.
        let full = self
            .segments
            .iter()
            .filter(|(_, segment)| segment.is_full());
        let full: Vec<i64> = full.map(|(hour, _)| *hour).collect();
        let mut full = full.into_iter();
        full.try_for_each(|hour| seal::<R>(&mut self.segments, hour))
    }

    fn seal(&mut self) -> Result<(), RecordingError> {
        while let Some(hour) = self.segments.keys().next().copied() {
            seal::<R>(&mut self.segments, hour)?;
        }
        Ok(())
    }

    fn class(&self) -> Class {
        class_of::<R>()
    }

    fn let_go_of_removed(&mut self) -> u64 {
        let mut removed = 0;
        self.segments.retain(|_, segment| {
            let rows = segment.removed();
            removed += rows.unwrap_or(0);
            rows.is_none()
        });
        removed
    }

    fn bytes(&self) -> usize {
        self.bytes
    }

    fn oldest(&self) -> Option<Timestamp> {
        self.rows.iter().map(|(at, _)| *at).min()
    }

    fn drop_until(&mut self, cut: Timestamp) -> u64 {
        self.retain(|at| at > cut)
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

fn seal<R: Row>(segments: &mut BTreeMap<i64, Segment>, hour: i64) -> Result<(), RecordingError> {
    if let Some(segment) = segments.get(&hour) {
        segment::seal::<R>(segment.path())?;
    }
    segments.remove(&hour);
    Ok(())
}

//! The rows of a table on their way into segments.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::path::PathBuf;

use super::RecordingError;
use super::files::make_folder;
use super::rows::Row;
use super::segment::{self, Segment};
use super::tables::Table;
use crate::time::Timestamp;

/// How many rows of a table wait for a disk that refuses them.
const MOST_BUFFERED: usize = 200_000;

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
        self.sequence += 1;
        Ok(folder.join(format!("part-{:08}.parquet", self.sequence)))
    }

    /// Makes the folder of the partition that a row with a time of its own lies in.
    pub(super) fn partition<R: Row>(&self, row: &R) -> Result<PathBuf, RecordingError> {
        self.hour(R::TABLE, hour(row.at().unwrap_or_default()))
    }

    /// Makes the folder of the partition of an hour.
    fn hour(&self, table: &str, hour: i64) -> Result<PathBuf, RecordingError> {
        let start = jiff::Timestamp::from_second(hour.saturating_mul(3_600)).unwrap_or_default();
        let folder = self
            .folder
            .join(table)
            .join(format!("server={}", self.slug))
            .join(start.strftime("dt=%Y-%m-%d").to_string())
            .join(start.strftime("hr=%H").to_string());
        make_folder(&folder)?;
        Ok(folder)
    }
}

/// The rows of a table that are not durable yet, each with the time that places it.
#[derive(Debug)]
pub(super) struct Buffer<R> {
    rows: Vec<(Timestamp, R)>,
    /// By hour, where the rows go.
    segments: BTreeMap<i64, Segment>,
    dropped: u64,
}

impl<R> Default for Buffer<R> {
    fn default() -> Self {
        Self {
            rows: Vec::new(),
            segments: BTreeMap::new(),
            dropped: 0,
        }
    }
}

impl<R: Row> Buffer<R> {
    /// Takes in a row, at `now` by the server's clock.
    pub(super) fn push(&mut self, now: Timestamp, row: R) {
        if self.rows.len() >= MOST_BUFFERED {
            let oldest = MOST_BUFFERED / 10;
            self.rows.drain(..oldest);
            self.dropped += oldest as u64;
        }
        self.rows.push((row.at().unwrap_or(now), row));
    }

    /// Lets go of segments that somebody has removed, and counts what was in them.
    fn let_go_of_removed(&mut self) {
        let dropped = &mut self.dropped;
        self.segments.retain(|_, segment| {
            let removed = segment.removed();
            *dropped += removed.unwrap_or(0);
            removed.is_none()
        });
    }
}

impl<R: Row> Table for Buffer<R> {
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

    fn seal(&mut self) -> Result<(), RecordingError> {
        while let Some(segment) = self.segments.first_entry() {
            segment::seal::<R>(segment.get().path())?;
            segment.remove();
        }
        Ok(())
    }

    fn dropped(&mut self) -> u64 {
        self.let_go_of_removed();
        self.dropped
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

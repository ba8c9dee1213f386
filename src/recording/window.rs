//! Which part of a recording to read, so that weeks of it need not fit in memory.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::Path;

use parquet::file::reader::{FileReader as _, SerializedFileReader};

use super::partition::{self, Partition};
use super::retention::Class;
use super::rows::Row;
use super::seen::{LockRow, SessionRow};
use super::{RecordingError, format, reader};
use crate::sample::{Lock, Session, StatementCounters, TableCounters};
use crate::time::{Span, Timestamp};

/// The tables that make a window large, and what a row of each takes in memory. Its words it shares
/// with others.
const LARGE: [(&str, usize); 4] = [
    (SessionRow::TABLE, size_of::<Session>()),
    (LockRow::TABLE, size_of::<Lock>()),
    (StatementCounters::TABLE, size_of::<StatementCounters>()),
    (TableCounters::TABLE, size_of::<TableCounters>()),
];

/// So many bytes of these are read at once.
pub(super) const MOST_BYTES: u64 = 1 << 30;

/// What a row of a segment takes, about.
const SEGMENT_ROW_BYTES: u64 = 200;

const HOUR: i64 = 3_600_000_000;

/// A stretch of time, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Nothing before this.
    pub from: Timestamp,
    /// Nothing after this.
    pub to: Timestamp,
}

impl Window {
    /// All of it.
    pub const ALL: Self = Self {
        from: Timestamp::from_micros(i64::MIN),
        to: Timestamp::from_micros(i64::MAX),
    };

    /// Gives the last piece of a recording, counted back from its last tick.
    ///
    /// # Errors
    ///
    /// As [`Recording::open`](super::Recording::open).
    pub fn last(folder: &Path, span: Span) -> Result<Self, RecordingError> {
        let slug = format::slug(&reader::manifest(folder)?.server);
        let last = reader::last_tick(folder, &slug);
        let from = last.map_or(Self::ALL.from, |last| last.at - span);
        Ok(Self { from, ..Self::ALL })
    }

    /// Tells whether a time lies in it.
    #[must_use]
    pub const fn holds(self, at: Timestamp) -> bool {
        self.from.as_micros() <= at.as_micros() && at.as_micros() <= self.to.as_micros()
    }

    /// Tells whether a partition that begins with an hour has a piece of it.
    pub(super) const fn touches(self, hour: i64, class: Class) -> bool {
        partition::hour_of(self.from) < hour.saturating_add(class.hours())
            && hour <= partition::hour_of(self.to)
    }

    /// Tells how much of an hour it covers.
    fn share_of(self, hour: i64) -> f64 {
        let start = hour.saturating_mul(HOUR);
        let from = self.from.as_micros().max(start);
        let to = self.to.as_micros().min(start.saturating_add(HOUR));
        (to.saturating_sub(from).max(0) as f64 / HOUR as f64).min(1.0)
    }
}

/// Whether a window can be read at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Size {
    Fits,
    TooLarge {
        bytes: u64,
        /// So long a one at the end of the recording would fit.
        fits: Span,
    },
}

/// Weighs a window by what its files say that they hold, without reading their rows.
pub(super) fn size(folder: &Path, window: Window, most: u64) -> Result<Size, RecordingError> {
    let hours = bytes_by_hour(
        folder,
        &format::slug(&reader::manifest(folder)?.server),
        window,
    );
    let bytes: f64 = hours.values().sum();
    if bytes <= most as f64 {
        return Ok(Size::Fits);
    }
    let mut room = most as f64;
    let mut fits = 0.0;
    for bytes in hours.values().rev() {
        let share = (room / bytes).min(1.0);
        fits += share;
        room -= bytes * share;
        if share < 1.0 {
            break;
        }
    }
    #[expect(
        clippy::cast_possible_truncation,
        reason = "hours of a recording, in minutes"
    )]
    let minutes = ((fits * 60.0) as i64).max(1);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "what rows take"
    )]
    let bytes = bytes as u64;
    let fits = Span::from_secs(minutes * 60);
    Ok(Size::TooLarge { bytes, fits })
}

/// Gives the moment from which on a window can be read at once; none where all of it can.
pub(super) fn fitting_from(
    folder: &Path,
    window: Window,
    most: u64,
) -> Result<Option<Timestamp>, RecordingError> {
    let slug = format::slug(&reader::manifest(folder)?.server);
    let hours = bytes_by_hour(folder, &slug, window);
    // The rows of the last hour lie before its last tick.
    let last = reader::last_tick(folder, &slug).map_or(window.to, |last| last.at.min(window.to));
    let mut room = most as f64;
    for (&hour, &bytes) in hours.iter().rev() {
        if bytes > room {
            let start = partition::start_of(hour).max(window.from);
            let end = partition::start_of(hour + 1).min(last).max(start);
            #[expect(clippy::cast_possible_truncation, reason = "a part of an hour")]
            let fits = (end.since(start).as_micros() as f64 * room / bytes) as i64;
            return Ok(Some(end - Span::from_micros(fits)));
        }
        room -= bytes;
    }
    Ok(None)
}

/// Adds up what the rows of the large tables in a window take, by the hour.
fn bytes_by_hour(folder: &Path, slug: &str, window: Window) -> BTreeMap<i64, f64> {
    let mut hours = BTreeMap::new();
    for (table, row_bytes) in LARGE {
        let all = partition::partitions(&folder.join(table), slug).into_iter();
        for Partition { hour, path } in all.filter(|hour| window.touches(hour.hour, Class::Raw)) {
            let files = partition::files_in(&path);
            let rows: u64 = files.iter().map(|file| rows_in(file)).sum();
            *hours.entry(hour).or_default() +=
                rows as f64 * row_bytes as f64 * window.share_of(hour);
        }
    }
    hours
}

/// Tells how many rows a file has; of a segment, about.
fn rows_in(path: &Path) -> u64 {
    if path.extension().is_some_and(|known| known == "parquet") {
        let rows = format::whatever_it_holds(|| {
            let reader = SerializedFileReader::new(File::open(path).ok()?).ok()?;
            u64::try_from(reader.metadata().file_metadata().num_rows()).ok()
        });
        return rows.unwrap_or(0);
    }
    fs::metadata(path).map_or(0, |about| about.len() / SEGMENT_ROW_BYTES)
}

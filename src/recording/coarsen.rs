//! Sums of minutes become sums of hours, and these sums of days: what is long ago takes less room.
//!
//! - Nothing is lost but when in the hour it was: the ticks of each account, and what the counters
//!   came to, are the sums of the minutes'. So is the time, to about a millisecond: each cell of an
//!   hour is less than [`FINEST`] off, and all of them together are too.
//! - `minutes` goes first, then `cells`, then `minute_counters`, each in one exchange of folders.
//!   Whoever reads puts cells and counters into the row in whose time they lie, so each state in
//!   which this may be interrupted reads as its end does.
//! - A part is read once for each row that there will be, in pieces, so that what is held in memory
//!   is the accounts of one of these.
//! - Cells in no minute, which nobody reads, go.

use std::collections::VecDeque;
use std::fmt;
use std::path::PathBuf;

use arrow_array::cast::AsArray as _;
use arrow_array::types::TimestampMicrosecondType;
use arrow_array::{BooleanArray, RecordBatch};
use arrow_select::filter::filter_record_batch;

use super::RecordingError;
use super::buffer::Place;
use super::cells::Cells;
use super::charge::{Charge, Minute};
use super::counted::AsTheyLastStood;
use super::format;
use super::grain::Grain;
use super::interner::Interner;
use super::merge::{self, Merging, Replacement};
use super::partition;
use super::rows::{PerMinute, Row};
use super::window::Window;
use crate::sample::StatementCounters;
use crate::time::{Span, Timestamp};

/// The tables that become coarser, in the order in which they do.
pub(super) const TABLES: [&str; 3] = [
    Minute::TABLE,
    <PerMinute<Charge>>::TABLE,
    <PerMinute<StatementCounters>>::TABLE,
];

/// So many accounts of an hour or a day tell statements apart.
const MOST_CELLS: usize = 12_000;

/// So many pieces of a part, of about a thousand rows each, are read at once.
const PIECES: usize = 8;

/// So many rows at once become columns.
const BATCH: usize = 1_024;

/// What times are rounded to, in microseconds: a byte that is always zero takes no room.
const FINEST: i64 = 1_024;

/// Rows that are summed.
trait Summed: Row {
    type Sum: fmt::Debug + Send;
    fn none() -> Self::Sum;
    fn add(self, sum: &mut Self::Sum);
    /// Gives the rows of a sum that begins at some time.
    fn rows(sum: Self::Sum, at: Timestamp) -> Vec<Self>;
}

impl Summed for PerMinute<Charge> {
    type Sum = Cells;

    fn none() -> Cells {
        Cells::of_at_most(MOST_CELLS)
    }

    fn add(self, sum: &mut Cells) {
        sum.add(&self.0);
    }

    fn rows(sum: Cells, at: Timestamp) -> Vec<Self> {
        rounded(sum.at(at)).into_iter().map(Self).collect()
    }
}

impl Summed for PerMinute<StatementCounters> {
    type Sum = AsTheyLastStood;

    fn none() -> AsTheyLastStood {
        AsTheyLastStood::default()
    }

    fn add(self, sum: &mut AsTheyLastStood) {
        sum.add(self.0);
    }

    fn rows(sum: AsTheyLastStood, _: Timestamp) -> Vec<Self> {
        sum.rows().into_iter().map(Self).collect()
    }
}

/// Rounds times, and hands what is left of each to the next: the sum stays.
fn rounded(mut cells: Vec<Charge>) -> Vec<Charge> {
    let mut left = 0;
    for cell in &mut cells {
        let spent = left + cell.spent_us.as_micros();
        left = spent.rem_euclid(FINEST);
        cell.spent_us = Span::from_micros(spent - left);
        let above = |waited: Span| (waited.as_micros() + FINEST - 1).div_euclid(FINEST) * FINEST;
        cell.waited_us = cell.waited_us.map(above).map(Span::from_micros);
    }
    cells
}

/// A day on its way: its cells, which are being summed, and then its counters.
#[derive(Debug)]
struct Coarsening {
    now: Box<dyn Merging>,
    counters: Sums,
}

/// The sums that one table of a day will have.
#[derive(Debug)]
struct Sums {
    folder: PathBuf,
    partition: PathBuf,
    /// The part's, which says how fine it is.
    name: String,
    grain: Grain,
    stretches: VecDeque<Window>,
}

/// Begins to make a day's sums coarser, and does so with its `minutes`; none if nothing is left
/// to do.
pub(super) fn begin(
    place: &mut Place,
    hour: i64,
    grain: Grain,
) -> Result<Option<Box<dyn Merging>>, RecordingError> {
    let day = partition::place(&place.slug, hour);
    let [minutes, cells, counters] = TABLES.map(|table| place.folder.join(table).join(&day));
    // Where it was interrupted these are done, and say what the others become.
    let Some(there) = Grain::of(&partition::entries(&minutes)) else {
        return Ok(None);
    };
    let grain = grain.max(there);
    let name = grain.named(&place.next_name());
    let mut rows = Vec::new();
    for file in partition::entries(&minutes) {
        for batch in merge::batches::<Minute>(&file, Window::ALL)? {
            rows.extend(rows_within::<Minute>(&batch?, Window::ALL)?);
        }
    }
    rows.sort_by_key(|row| row.at);
    if there < grain {
        rows = united(rows, grain);
        let mut new = Replacement::<Minute>::begin(&place.folder, &minutes, &name)?;
        new.push(format::batch(&rows.iter().collect::<Vec<_>>())?)?;
        if !new.finish()? {
            return Ok(None);
        }
    }
    let table = |partition, stretches| Sums {
        folder: place.folder.clone(),
        partition,
        name: name.clone(),
        grain,
        stretches,
    };
    let counters = table(counters, counted_in(&rows));
    match table(cells, charged_in(&rows)).begin::<PerMinute<Charge>>()? {
        Some(now) => Ok(Some(Box::new(Coarsening { now, counters }))),
        None => counters.begin::<PerMinute<StatementCounters>>(),
    }
}

impl Merging for Coarsening {
    fn step(self: Box<Self>) -> Result<Option<Box<dyn Merging>>, RecordingError> {
        let Self { now, counters } = *self;
        match now.step()? {
            Some(now) => Ok(Some(Box::new(Self { now, counters }))),
            None => counters.begin::<PerMinute<StatementCounters>>(),
        }
    }
}

/// Makes one row of those that a grain unites.
fn united(rows: Vec<Minute>, grain: Grain) -> Vec<Minute> {
    let mut sums: Vec<Minute> = Vec::new();
    for row in rows {
        match sums.last_mut() {
            Some(last) if grain.unites(last.at, row.at) => *last = last.with(row),
            _ => sums.push(row),
        }
    }
    sums
}

/// Gives the stretch of each row that its cells lie in.
fn charged_in(rows: &[Minute]) -> VecDeque<Window> {
    let ends = rows.iter().skip(1).map(|next| next.at);
    let ends = ends.chain([Window::ALL.to]);
    let stretches = rows.iter().zip(ends).map(|(row, next)| Window {
        from: row.at,
        to: row.until.min(next) - Span::from_micros(1),
    });
    stretches.collect()
}

/// Gives the stretches that counters are as of: a look that ends a row is that row's, so that those
/// of the day before may have left some here.
fn counted_in(rows: &[Minute]) -> VecDeque<Window> {
    let starts = rows.iter().map(|row| row.at + Span::from_micros(1));
    let starts = [Window::ALL.from].into_iter().chain(starts);
    let ends = rows.iter().map(|row| row.at).chain([Window::ALL.to]);
    let stretches = starts.zip(ends);
    stretches.map(|(from, to)| Window { from, to }).collect()
}

impl Sums {
    /// Begins to sum them; none where the table has no rows that are finer.
    fn begin<R: Summed>(self) -> Result<Option<Box<dyn Merging>>, RecordingError> {
        let files = partition::entries(&self.partition);
        if Grain::of(&files).is_none_or(|there| there >= self.grain) || self.stretches.is_empty() {
            return Ok(None);
        }
        let new = Replacement::begin(&self.folder, &self.partition, &self.name)?;
        Ok(Some(Box::new(Summing::<R> {
            left: files.into(),
            new,
            stretches: self.stretches,
            open: None,
            sum: R::none(),
        })))
    }
}

/// A table of a day while it is summed.
struct Summing<R: Summed> {
    new: Replacement<R>,
    /// The first is the one that is being summed.
    stretches: VecDeque<Window>,
    /// The parts that it has not yet been looked for in.
    left: VecDeque<PathBuf>,
    open: Option<Box<dyn Iterator<Item = Result<RecordBatch, RecordingError>> + Send>>,
    sum: R::Sum,
}

impl<R: Summed> fmt::Debug for Summing<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Summing");
        shown
            .field("new", &self.new)
            .field("stretches", &self.stretches);
        shown.finish_non_exhaustive()
    }
}

impl<R: Summed> Merging for Summing<R> {
    fn step(mut self: Box<Self>) -> Result<Option<Box<dyn Merging>>, RecordingError> {
        let Some(&stretch) = self.stretches.front() else {
            self.new.finish()?;
            return Ok(None);
        };
        let Some(batches) = &mut self.open else {
            match self.left.pop_front() {
                Some(path) => self.open = Some(Box::new(merge::batches::<R>(&path, stretch)?)),
                None => self.end(stretch)?,
            }
            return Ok(Some(self));
        };
        for _ in 0..PIECES {
            let Some(batch) = batches.next() else {
                self.open = None;
                break;
            };
            for row in rows_within::<R>(&batch?, stretch)? {
                row.add(&mut self.sum);
            }
        }
        Ok(Some(self))
    }
}

impl<R: Summed> Summing<R> {
    /// Takes the rows of a stretch that was looked for in all parts, and turns to the next.
    fn end(&mut self, stretch: Window) -> Result<(), RecordingError> {
        let sum = std::mem::replace(&mut self.sum, R::none());
        for rows in R::rows(sum, stretch.from).chunks(BATCH) {
            self.new
                .push(format::batch(&rows.iter().collect::<Vec<_>>())?)?;
        }
        self.stretches.pop_front();
        self.left = self.new.files().to_vec().into();
        Ok(())
    }
}

/// Gives the rows of a stretch; only these are taken out of their columns.
fn rows_within<R: Row>(batch: &RecordBatch, stretch: Window) -> Result<Vec<R>, RecordingError> {
    let at = batch.column_by_name("at");
    let at = at.and_then(|at| at.as_primitive_opt::<TimestampMicrosecondType>());
    let holds = |at: Option<i64>| at.map(|at| stretch.holds(Timestamp::from_micros(at)));
    let held: BooleanArray = at.into_iter().flatten().map(holds).collect();
    let batch = filter_record_batch(batch, &held);
    let rows = batch.map(|batch| format::rows_of_batch::<R>(&batch, &mut Interner::default()));
    let rows = rows.map_err(|error| format::cannot_encode::<R>(&error))?;
    rows.ok_or_else(not_ours::<R>)
}

fn not_ours<R: Row>() -> RecordingError {
    RecordingError::Encode {
        table: R::TABLE,
        reason: "rows of another kind".to_owned(),
    }
}

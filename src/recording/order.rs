//! The order in which rows lie in a part.

use arrow_array::RecordBatch;
use arrow_ord::ord::{DynComparator, make_comparator};
use arrow_schema::{ArrowError, SortOptions};
use arrow_select::concat::concat;

use super::rows::Row;

/// Says in which order to take the rows of some batches, each by its batch and its place there.
///
/// Rows of which none goes before the other stay as they came.
pub(super) fn of<R: Row>(batches: &[RecordBatch]) -> Result<Vec<(usize, usize)>, ArrowError> {
    let mut columns: Vec<DynComparator> = Vec::new();
    for name in R::ORDER {
        let pieces = batches
            .iter()
            .filter_map(|batch| batch.column_by_name(name));
        let pieces: Vec<_> = pieces.map(AsRef::as_ref).collect();
        // Texts and names have no time.
        if !pieces.is_empty() {
            let values = concat(&pieces)?;
            columns.push(make_comparator(&values, &values, SortOptions::default())?);
        }
    }
    let batches = batches.iter().enumerate();
    let places =
        batches.flat_map(|(number, batch)| (0..batch.num_rows()).map(move |row| (number, row)));
    let mut places: Vec<(usize, (usize, usize))> = places.enumerate().collect();
    places.sort_unstable_by(|(a, _), (b, _)| {
        let mut orders = columns.iter().map(|compare| compare(*a, *b));
        let first = orders.find(|order| order.is_ne());
        first.unwrap_or_else(|| a.cmp(b))
    });
    Ok(places.into_iter().map(|(_, place)| place).collect())
}

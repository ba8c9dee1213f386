//! The order in which rows lie in a part.

use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch, UInt64Array};
use arrow_ord::sort::{SortColumn, lexsort_to_indices};
use arrow_schema::ArrowError;
use arrow_select::concat::concat;

use super::rows::Row;

/// Says in which order to take the rows of some batches, each by its batch and its place there.
///
/// Rows of which none goes before the other stay as they came.
pub(super) fn of<R: Row>(batches: &[RecordBatch]) -> Result<Vec<(usize, usize)>, ArrowError> {
    let places = batches.iter().enumerate();
    let places =
        places.flat_map(|(number, batch)| (0..batch.num_rows()).map(move |row| (number, row)));
    let places: Vec<(usize, usize)> = places.collect();
    let mut columns = Vec::new();
    for name in R::ORDER {
        let pieces = batches
            .iter()
            .filter_map(|batch| batch.column_by_name(name));
        let pieces: Vec<_> = pieces.map(AsRef::as_ref).collect();
        // Texts and names have no time.
        if !pieces.is_empty() {
            columns.push(sorted_by(concat(&pieces)?));
        }
    }
    columns.push(sorted_by(Arc::new(UInt64Array::from_iter_values(
        0..places.len() as u64,
    ))));
    let order = lexsort_to_indices(&columns, None)?;
    Ok(order
        .values()
        .iter()
        .map(|&place| places[place as usize])
        .collect())
}

fn sorted_by(values: ArrayRef) -> SortColumn {
    SortColumn {
        values,
        options: None,
    }
}

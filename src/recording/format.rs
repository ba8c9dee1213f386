//! The format: `recording.json`, and rows to files and back.

use std::fs::File;
use std::io::Write;
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::{FieldRef, Schema};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::metadata::RowGroupMetaData;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::file::statistics::Statistics;
use parquet::schema::types::ColumnPath;
use serde::{Deserialize, Serialize};

use super::RecordingError;
use super::rows::Row;
use super::window::Window;
use crate::sample::Server;

/// The name and version of the format.
pub(super) const FORMAT: &str = "pgjam.recording/1";

/// The one before, which is read too.
pub(super) const BEFORE: &str = "pgjam.recording/0";

/// What was added to that version since, in steps.
pub(super) const MINOR: u32 = 0;

/// The file that makes a folder a recording.
pub(super) const MANIFEST: &str = "recording.json";

/// What is in [`MANIFEST`].
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Manifest {
    pub(super) format: String,
    #[serde(default)]
    pub(super) minor: u32,
    pub(super) tool: String,
    pub(super) server: Server,
}

/// Names a server in a path: its identity, or its address with odd characters replaced.
pub(super) fn slug(server: &Server) -> String {
    let name = server.system_identifier.as_ref().unwrap_or(&server.address);
    let plain = |c: char| {
        if c.is_ascii_alphanumeric() || c == '.' {
            c
        } else {
            '-'
        }
    };
    let slug: String = name.chars().map(plain).take(100).collect();
    slug.trim_start_matches('.').to_owned()
}

/// Lists the columns of a table.
pub(super) fn fields<R: Row>() -> Vec<FieldRef> {
    let columns = R::columns().into_iter();
    columns.map(|column| column.field).collect()
}

/// Turns rows into columns.
pub(super) fn batch<R: Row>(rows: &[&R]) -> Result<RecordBatch, RecordingError> {
    serde_arrow::to_record_batch(&fields::<R>(), &rows).map_err(|error| cannot_encode::<R>(&error))
}

/// Says that rows of a table cannot be encoded, and why.
pub(super) fn cannot_encode<R: Row>(error: &dyn std::error::Error) -> RecordingError {
    RecordingError::Encode {
        table: R::TABLE,
        reason: error.to_string(),
    }
}

/// Rows on their way into one Parquet file, a row group at a time.
pub(super) struct Groups<R, W: Write + Send> {
    writer: ArrowWriter<W>,
    rows: PhantomData<R>,
}

impl<R: Row, W: Write + Send> Groups<R, W> {
    /// Begins a file.
    pub(super) fn new(file: W) -> Result<Self, RecordingError> {
        let begin = || -> Result<ArrowWriter<W>, ParquetError> {
            let options = ArrowWriterOptions::new()
                .with_properties(properties::<R>()?)
                // Parquet's own types say it all; arrow's beside them take a kilobyte a file.
                .with_skip_arrow_metadata(true);
            let schema = Arc::new(Schema::new(fields::<R>()));
            ArrowWriter::try_new_with_options(file, schema, options)
        };
        let writer = begin().map_err(|error| cannot_encode::<R>(&error))?;
        let rows = PhantomData;
        Ok(Self { writer, rows })
    }

    /// Writes one row group.
    pub(super) fn write(&mut self, mut rows: Vec<&R>) -> Result<(), RecordingError> {
        R::arrange(&mut rows);
        let batch = batch(&rows)?;
        let written = self.writer.write(&batch).and_then(|()| self.writer.flush());
        written.map_err(|error| cannot_encode::<R>(&error))
    }

    /// Ends the file.
    pub(super) fn finish(self) -> Result<W, RecordingError> {
        let ended = self.writer.into_inner();
        ended.map_err(|error| cannot_encode::<R>(&error))
    }
}

/// Says how a table's columns are packed.
fn properties<R: Row>() -> Result<WriterProperties, ParquetError> {
    let mut properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(9)?))
        // An engine that looks for a time passes over row groups; other bounds cost more than
        // they give.
        .set_statistics_enabled(EnabledStatistics::None)
        .set_column_statistics_enabled("at".into(), EnabledStatistics::Chunk)
        .set_offset_index_disabled(true);
    for column in R::columns() {
        if let Some(encoding) = column.packing {
            let path = ColumnPath::from(column.field.name().as_str());
            properties = properties
                .set_column_dictionary_enabled(path.clone(), false)
                .set_column_encoding(path, encoding);
        }
    }
    Ok(properties.build())
}

/// Turns rows into the bytes of one Parquet file.
pub(super) fn encode<R: Row>(rows: &[&R]) -> Result<Vec<u8>, RecordingError> {
    let mut groups = Groups::new(Vec::new())?;
    groups.write(rows.to_vec())?;
    groups.finish()
}

/// Reads the rows of one Parquet file; none if it is torn or not ours.
///
/// Row groups that say that they have no row of the window are passed over.
pub(super) fn decode<R: Row>(file: File, window: Window) -> Option<Vec<R>> {
    whatever_it_holds(|| decode_part(file, window))
}

/// Reads a file that may be torn or foreign: to the decoders that is an error, but that they never
/// panic on one is not promised.
pub(super) fn whatever_it_holds<T>(read: impl FnOnce() -> Option<T>) -> Option<T> {
    catch_unwind(AssertUnwindSafe(read)).ok().flatten()
}

fn decode_part<R: Row>(file: File, window: Window) -> Option<Vec<R>> {
    let builder = ParquetRecordBatchReaderBuilder::try_new(file).ok()?;
    let groups = builder.metadata().row_groups().iter();
    let wanted = groups.map(|group| may_hold(group, window)).enumerate();
    let wanted = wanted.filter(|(_, wanted)| *wanted).map(|(group, _)| group);
    let wanted = wanted.collect();
    let mut rows = Vec::new();
    for batch in builder.with_row_groups(wanted).build().ok()? {
        rows.extend(rows_of_batch::<R>(&batch.ok()?)?);
    }
    Some(rows)
}

/// Tells whether a row group may have rows of a window.
fn may_hold(group: &RowGroupMetaData, window: Window) -> bool {
    let mut columns = group.columns().iter();
    let at = columns.find(|column| column.column_path().string() == "at");
    let Some(Statistics::Int64(bounds)) = at.and_then(|at| at.statistics()) else {
        return true;
    };
    let after = |max: &i64| *max < window.from.as_micros();
    let before = |min: &i64| *min > window.to.as_micros();
    !bounds.max_opt().is_some_and(after) && !bounds.min_opt().is_some_and(before)
}

/// Turns columns into rows, whatever other columns a later version has put beside them.
pub(super) fn rows_of_batch<R: Row>(batch: &RecordBatch) -> Option<Vec<R>> {
    let mut known: Vec<String> = R::BEFORE.iter().map(|&name| name.to_owned()).collect();
    known.extend(fields::<R>().iter().map(|field| field.name().clone()));
    let schema = batch.schema();
    let there = schema.fields().iter().enumerate();
    let wanted = there.filter(|(_, field)| known.contains(field.name()));
    let wanted: Vec<usize> = wanted.map(|(column, _)| column).collect();
    if wanted.is_empty() {
        return None;
    }
    let columns = batch.project(&wanted).ok()?;
    let rows: Vec<R> = serde_arrow::from_record_batch(&columns).ok()?;
    Some(rows.into_iter().map(R::renewed).collect())
}

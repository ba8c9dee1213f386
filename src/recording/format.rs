//! The format: `recording.json`, and rows to files and back.

use std::fs::File;
use std::io::Write;
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use arrow_array::{Array, RecordBatch};
use arrow_schema::{DataType, Field, FieldRef, Schema, SchemaRef};
use arrow_select::interleave::interleave;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader,
    ParquetRecordBatchReaderBuilder,
};
use parquet::arrow::arrow_writer::{
    ArrowRowGroupWriterFactory, ArrowWriterOptions, compute_leaves,
};
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::metadata::{ParquetMetaData, RowGroupMetaData};
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::file::statistics::Statistics;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::ColumnPath;
use serde::{Deserialize, Serialize};

use super::RecordingError;
use super::interner::Interner;
use super::order;
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

/// So many rows at once are put in their order and packed.
const PIECE: usize = 1_024;

/// So many rows make a page: what is alike lies far apart in some columns, and is only found within
/// one.
const PAGE: usize = 16_384;

/// … or so many bytes, and a dictionary that has as many takes no more words.
const PAGE_BYTES: usize = 128 << 10;

/// So many rows at once are read: more than most row groups have.
const BATCH: usize = 32_768;

/// How hard a part is compressed that stays for an hour.
pub(super) const LEVEL: i32 = 9;

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
///
/// Of a row group one column after the other is packed: a compressor takes many times the memory
/// of what it packs, and all at once they would be most of what a watch takes. A column's writer
/// takes up to a megabyte before it has seen a row, so these too are made one after the other.
pub(super) struct Groups<R, W: Write + Send> {
    file: SerializedFileWriter<W>,
    /// What makes the writer of each column.
    columns: Vec<ArrowRowGroupWriterFactory>,
    rows: PhantomData<R>,
}

impl<R: Row, W: Write + Send> Groups<R, W> {
    /// Begins a file that is compressed so hard.
    pub(super) fn new(file: W, level: i32) -> Result<Self, RecordingError> {
        let begin = || -> Result<_, ParquetError> {
            let options = ArrowWriterOptions::new()
                .with_properties(properties::<R>(level)?)
                // Parquet's own types say it all; arrow's beside them take a kilobyte a file.
                .with_skip_arrow_metadata(true);
            // Who would make the writers of a whole file makes all of them at once.
            let alone = fields::<R>().into_iter().map(|field| {
                let (nowhere, schema) = (std::io::sink(), Arc::new(Schema::new(vec![field])));
                let writer = ArrowWriter::try_new_with_options(nowhere, schema, options.clone())?;
                Ok(writer.into_serialized_writer()?.1)
            });
            let columns = alone.collect::<Result<_, ParquetError>>()?;
            let schema = Arc::new(Schema::new(fields::<R>()));
            let writer = ArrowWriter::try_new_with_options(file, schema, options)?;
            Ok((writer.into_serialized_writer()?.0, columns))
        };
        let (file, columns) = begin().map_err(|error| cannot_encode::<R>(&error))?;
        let rows = PhantomData;
        Ok(Self {
            file,
            columns,
            rows,
        })
    }

    /// Writes one row group.
    pub(super) fn write(&mut self, batches: &[RecordBatch]) -> Result<(), RecordingError> {
        let mut write = || -> Result<(), Box<dyn std::error::Error>> {
            let order = order::of::<R>(batches)?;
            let number = self.file.flushed_row_groups().len();
            let mut group = self.file.next_row_group()?;
            for (column, (field, writers)) in fields::<R>().iter().zip(&self.columns).enumerate() {
                let columns = batches.iter().map(|batch| batch.column(column).as_ref());
                let columns: Vec<&dyn Array> = columns.collect();
                // No column is a structure, so each has one writer.
                for mut writer in writers.create_column_writers(number)? {
                    for piece in order.chunks(PIECE) {
                        let leaves = compute_leaves(field, &interleave(&columns, piece)?)?;
                        leaves.iter().try_for_each(|leaf| writer.write(leaf))?;
                    }
                    writer.close()?.append_to_row_group(&mut group)?;
                }
            }
            group.close()?;
            Ok(())
        };
        write().map_err(|error| cannot_encode::<R>(&*error))
    }

    /// Ends the file.
    pub(super) fn finish(self) -> Result<W, RecordingError> {
        let ended = self.file.into_inner();
        ended.map_err(|error| cannot_encode::<R>(&error))
    }
}

/// Says how a table's columns are packed.
fn properties<R: Row>(level: i32) -> Result<WriterProperties, ParquetError> {
    let mut properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(level)?))
        // An engine that looks for a time passes over row groups; other bounds cost more than
        // they give.
        .set_statistics_enabled(EnabledStatistics::None)
        .set_column_statistics_enabled("at".into(), EnabledStatistics::Chunk)
        .set_offset_index_disabled(true)
        // Each column's compressor takes many times the memory of a page.
        .set_data_page_row_count_limit(PAGE)
        .set_data_page_size_limit(PAGE_BYTES)
        .set_dictionary_page_size_limit(PAGE_BYTES);
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
    let mut groups = Groups::<R, _>::new(Vec::new(), LEVEL)?;
    groups.write(&[batch(rows)?])?;
    groups.finish()
}

/// Opens a Parquet file; none if it is torn or not ours.
///
/// Row groups that say that they have no row of the window are passed over.
pub(super) fn batches(file: File, window: Window) -> Option<ParquetRecordBatchReader> {
    let builder = ParquetRecordBatchReaderBuilder::try_new(file).ok()?;
    let wanted = wanted(builder.metadata(), window).collect();
    builder.with_row_groups(wanted).build().ok()
}

/// Lists the row groups that may have rows of a window.
fn wanted(about: &ParquetMetaData, window: Window) -> impl Iterator<Item = usize> {
    let groups = about.row_groups().iter().enumerate();
    let wanted = groups.filter(move |(_, group)| may_hold(group, window));
    wanted.map(|(group, _)| group)
}

/// Reads the rows of one Parquet file as [`batches`] does, a row group at a time.
pub(super) fn decode<R: Row>(file: &File, window: Window, known: &mut Interner) -> Option<Vec<R>> {
    whatever_it_holds(|| {
        let about = ArrowReaderMetadata::load(file, ArrowReaderOptions::new()).ok()?;
        let about = with_words_by_number::<R>(about);
        let mut rows = Vec::new();
        for group in wanted(about.metadata(), window) {
            let file = file.try_clone().ok()?;
            // A batch of two row groups would have two dictionaries.
            let batches = ParquetRecordBatchReaderBuilder::new_with_metadata(file, about.clone())
                .with_row_groups(vec![group])
                .with_batch_size(BATCH);
            for batch in batches.build().ok()? {
                rows.extend(rows_of_batch::<R>(&batch.ok()?, known)?);
            }
        }
        Some(rows)
    })
}

/// Lets words be read as numbers in their dictionary, where rows are made by column.
fn with_words_by_number<R: Row>(about: ArrowReaderMetadata) -> ArrowReaderMetadata {
    if R::BY_COLUMN.is_none() || !is_of_now::<R>(about.schema()) {
        return about;
    }
    let fields = about.schema().fields().iter().map(|field| {
        if *field.data_type() == DataType::Utf8 {
            let (name, nullable) = (field.name().clone(), field.is_nullable());
            return Arc::new(Field::new(name, by_number(), nullable));
        }
        Arc::clone(field)
    });
    let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    let options = ArrowReaderOptions::new().with_schema(schema);
    ArrowReaderMetadata::try_new(Arc::clone(about.metadata()), options).unwrap_or(about)
}

/// Gives the type of words as numbers in a dictionary.
fn by_number() -> DataType {
    DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8))
}

/// Tells whether the columns of a table that are there are this version's, in their types too.
fn is_of_now<R: Row>(there: &SchemaRef) -> bool {
    let is_as_now = |field: &FieldRef| {
        let Ok(there) = there.field_with_name(field.name()) else {
            return true;
        };
        let (there, now) = (there.data_type(), field.data_type());
        there == now || *now == DataType::Utf8 && *there == by_number()
    };
    let is_before = |name: &&str| there.field_with_name(name).is_ok();
    fields::<R>().iter().all(is_as_now) && !R::BEFORE.iter().any(is_before)
}

/// Reads a file that may be torn or foreign: to the decoders that is an error, but that they never
/// panic on one is not promised.
pub(super) fn whatever_it_holds<T>(read: impl FnOnce() -> Option<T>) -> Option<T> {
    catch_unwind(AssertUnwindSafe(read)).ok().flatten()
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
pub(super) fn rows_of_batch<R: Row>(batch: &RecordBatch, known: &mut Interner) -> Option<Vec<R>> {
    let schema = batch.schema();
    if let Some(rows) = R::BY_COLUMN.filter(|_| is_of_now::<R>(&schema)) {
        return rows(batch, known);
    }
    let mut names: Vec<String> = R::BEFORE.iter().map(|&name| name.to_owned()).collect();
    names.extend(fields::<R>().iter().map(|field| field.name().clone()));
    let there = schema.fields().iter().enumerate();
    let wanted = there.filter(|(_, field)| names.contains(field.name()));
    let wanted: Vec<usize> = wanted.map(|(column, _)| column).collect();
    if wanted.is_empty() {
        return None;
    }
    let columns = batch.project(&wanted).ok()?;
    let rows: Vec<R> = serde_arrow::from_record_batch(&columns).ok()?;
    Some(rows.into_iter().map(R::renewed).collect())
}

/// Gives columns as this version has them, whichever wrote them; none if they are not ours.
///
/// What this one wrote passes without being turned into rows, which take several times the memory.
pub(super) fn conform<R: Row>(batch: &RecordBatch) -> Option<RecordBatch> {
    let fields = fields::<R>();
    let columns = fields.iter().map(|field| {
        let column = batch.column_by_name(field.name())?;
        let is_as_now = column.data_type() == field.data_type();
        let is_whole = field.is_nullable() || column.null_count() == 0;
        (is_as_now && is_whole).then(|| Arc::clone(column))
    });
    if let Some(columns) = columns.collect() {
        return RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).ok();
    }
    let rows = rows_of_batch::<R>(batch, &mut Interner::default())?;
    self::batch(&rows.iter().collect::<Vec<_>>()).ok()
}

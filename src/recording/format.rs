//! The format: `recording.json`, and rows to files and back.

use arrow_array::RecordBatch;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use serde::{Deserialize, Serialize};

use super::RecordingError;
use super::rows::Row;
use crate::sample::Server;

/// The name and version of the format.
pub(super) const FORMAT: &str = "pgjam.recording/0";

/// The file that makes a folder a recording.
pub(super) const MANIFEST: &str = "recording.json";

/// What is in [`MANIFEST`].
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Manifest {
    pub(super) format: String,
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

/// Turns rows into columns.
pub(super) fn batch<R: Row>(rows: &[&R]) -> Result<RecordBatch, RecordingError> {
    serde_arrow::to_record_batch(&R::fields(), &rows).map_err(|error| cannot_encode::<R>(&error))
}

/// Says that rows of a table cannot be encoded, and why.
pub(super) fn cannot_encode<R: Row>(error: &dyn std::error::Error) -> RecordingError {
    RecordingError::Encode {
        table: R::TABLE,
        reason: error.to_string(),
    }
}

/// Turns rows into the bytes of one Parquet file.
pub(super) fn encode<R: Row>(rows: &[&R]) -> Result<Vec<u8>, RecordingError> {
    let batch = batch(rows)?;
    let encode = || -> Result<Vec<u8>, ParquetError> {
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::try_new(3)?))
            .build();
        let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), Some(properties))?;
        writer.write(&batch)?;
        writer.into_inner()
    };
    encode().map_err(|error| cannot_encode::<R>(&error))
}

/// Reads the rows of one Parquet file; none if it is torn or not ours.
pub(super) fn decode<R: Row>(file: std::fs::File) -> Option<Vec<R>> {
    let mut rows = Vec::new();
    for batch in ParquetRecordBatchReaderBuilder::try_new(file)
        .ok()?
        .build()
        .ok()?
    {
        let part: Vec<R> = serde_arrow::from_record_batch(&batch.ok()?).ok()?;
        rows.extend(part);
    }
    Some(rows)
}

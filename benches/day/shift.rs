//! The first hour of a recording's large tables once more, at another time.
//!
//! A tick's time is in one column, and all others are told from it. So that column is packed anew
//! and the others are taken as they are, which takes a hundredth of the time of writing them.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::column::reader::ColumnReader;
use parquet::column::writer::ColumnCloseResult;
use parquet::data_type::Int64Type;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::file::reader::{FileReader as _, SerializedFileReader};
use parquet::file::writer::SerializedFileWriter;

/// Those that have a row for each thing seen at a tick.
const LARGE: [&str; 4] = ["locks", "charges", "edges", "sessions"];

/// Makes an hour of the first one.
pub(super) fn hour(folder: &Path, hour: i64, length: i64) {
    for table in LARGE {
        let [server] = &entries(&folder.join(table))[..] else {
            panic!("one server")
        };
        let day = entries(server).remove(0);
        let to = day.join(format!("hr={hour:02}"));
        fs::create_dir_all(&to).unwrap();
        for part in entries(&day.join("hr=00")) {
            shifted(&part, &to.join(part.file_name().unwrap()), hour * length);
        }
    }
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let mut entries: Vec<PathBuf> = entries.collect();
    entries.sort();
    entries
}

/// Copies a part with its times moved.
fn shifted(from: &Path, to: &Path, by: i64) {
    let file = File::open(from).unwrap();
    let reader = SerializedFileReader::new(file.try_clone().unwrap()).unwrap();
    let schema = reader
        .metadata()
        .file_metadata()
        .schema_descr()
        .root_schema_ptr();
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(15).unwrap()))
        .set_dictionary_enabled(false)
        .set_encoding(Encoding::PLAIN)
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .set_offset_index_disabled(true);
    let properties = Arc::new(properties.build());
    let out = File::create_new(to).unwrap();
    let mut writer = SerializedFileWriter::new(out, schema, properties).unwrap();
    for number in 0..reader.num_row_groups() {
        let group = reader.get_row_group(number).unwrap();
        let about = group.metadata();
        let rows = usize::try_from(about.num_rows()).unwrap();
        let mut next = writer.next_row_group().unwrap();
        for (place, column) in about.columns().iter().enumerate() {
            if column.column_path().string() == "at" {
                let ColumnReader::Int64ColumnReader(mut times) =
                    group.get_column_reader(place).unwrap()
                else {
                    panic!("times are numbers")
                };
                let mut values = Vec::with_capacity(rows);
                times.read_records(rows, None, None, &mut values).unwrap();
                for at in &mut values {
                    *at += by;
                }
                let mut column = next.next_column().unwrap().unwrap();
                let typed = column.typed::<Int64Type>();
                assert_eq!(typed.write_batch(&values, None, None).unwrap(), rows);
                column.close().unwrap();
            } else {
                let as_it_is = ColumnCloseResult {
                    bytes_written: column.compressed_size().cast_unsigned(),
                    rows_written: about.num_rows().cast_unsigned(),
                    metadata: column.clone(),
                    bloom_filter: None,
                    column_index: None,
                    offset_index: None,
                };
                next.append_column(&file, as_it_is).unwrap();
            }
        }
        next.close().unwrap();
    }
    writer.close().unwrap();
}

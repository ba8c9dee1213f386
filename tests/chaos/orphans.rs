//! Rows without their tick, found without the reader that counts them.
//!
//! Ticks are written behind what they saw: where the writing stops in between, the rows that came
//! first have none.

use std::collections::HashSet;
use std::fs::{self, File};
use std::path::Path;

use parquet::file::reader::{FileReader as _, SerializedFileReader};
use parquet::record::Field;
use pgjam::time::Timestamp;

use crate::ledger::Ledger;

/// The loss as which they are counted.
pub(crate) const KIND: &str = "rows_without_tick";

/// Gives the time of each in a recording that nobody writes any more.
pub(crate) fn of(recording: &Path) -> Vec<Timestamp> {
    let ticks: HashSet<Timestamp> = times(&recording.join("ticks")).into_iter().collect();
    let seen = ["locks", "prepared", "safe_snapshots", "sessions"];
    let seen = seen.iter().flat_map(|table| times(&recording.join(table)));
    seen.filter(|at| !ticks.contains(at)).collect()
}

/// Says what a ledger has to allow for: nothing but these, where there are some.
pub(crate) fn lost(ledger: &Ledger) -> &'static [&'static str] {
    if ledger.lost(KIND) > 0 { &[KIND] } else { &[] }
}

/// Gives the times of all rows of a table, as any engine reads them.
fn times(table: &Path) -> Vec<Timestamp> {
    let mut times = Vec::new();
    for entry in fs::read_dir(table).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            times.extend(self::times(&path));
        } else {
            assert_eq!(path.extension().unwrap(), "parquet", "{}", path.display());
            let part = SerializedFileReader::new(File::open(&path).unwrap()).unwrap();
            for row in part.get_row_iter(None).unwrap() {
                let row = row.unwrap();
                let at = row.get_column_iter().find(|(name, _)| *name == "at");
                let Some((_, Field::TimestampMicros(at))) = at else {
                    panic!("{row:?} tells no time");
                };
                times.push(Timestamp::from_micros(*at));
            }
        }
    }
    times
}

//! Files that another writer, an accident or a villain put into the folder.

use std::panic::{self, AssertUnwindSafe};

use super::segments::{killed, three};
use super::*;

/// So many times each file is damaged.
const DAMAGES: i64 = 40;

fn only(folder: &Path, table: &str) -> PathBuf {
    parts(&folder.join(table)).remove(0)
}

#[test]
fn another_name_of_an_hour_is_a_stranger_and_tells_no_row_twice() {
    let folder = written(&recording());
    let part = only(folder.path(), "ticks");
    let hour = part.parent().unwrap();
    let other = hour.with_file_name("hr=+14");
    fs::create_dir(&other).unwrap();
    fs::copy(&part, other.join("part-00000001.parquet")).unwrap();
    let mut read = Recording::open(folder.path()).unwrap();
    let loss = read.losses.pop().unwrap();
    assert_eq!((&*loss.kind, loss.count), ("unreadable_parts", 1));
    assert_eq!(read, recording());
}

#[test]
fn a_part_with_a_number_beyond_all_numbers_stops_nobody() {
    let folder = written(&recording());
    let part = only(folder.path(), "losses");
    let foreign = format!("part-{}.parquet", u64::MAX);
    fs::rename(&part, part.with_file_name(foreign)).unwrap();
    let mut writer = Writer::create(folder.path(), &server()).unwrap();
    writer.take(snapshot(3_000_000, 1).into());
    writer.finish().unwrap();
    let read = Recording::open(folder.path()).unwrap();
    assert_eq!(read.snapshots.last(), Some(&snapshot(3_000_000, 1)));
    assert_eq!(read.losses, recording().losses);
}

#[test]
fn whatever_is_damaged_in_a_file_neither_reader_nor_writer_panics() {
    let sealed = written(&recording());
    let open = killed(&three());
    for (folder, table) in [
        (&sealed, "ticks"),
        (&sealed, "sessions"),
        (&open, "sessions"),
    ] {
        let path = only(folder.path(), table);
        let whole = fs::read(&path).unwrap();
        for n in 0..DAMAGES {
            let mut bytes = whole.clone();
            for hit in 0..=n % 3 {
                let place = noise(n * 10 + hit, i64::try_from(whole.len()).unwrap());
                bytes[usize::try_from(place).unwrap()] ^=
                    u8::try_from(1 + noise(n * 10 + hit + 7, 255)).unwrap();
            }
            fs::write(&path, &bytes).unwrap();
            let survived = panic::catch_unwind(AssertUnwindSafe(|| {
                let _ = Recording::open(folder.path());
                if path.extension().is_some_and(|it| it == "arrows") {
                    let copy = tempfile::tempdir().unwrap();
                    segments::copy(folder.path(), copy.path());
                    let _ = Writer::create(copy.path(), &server());
                }
            }));
            assert!(survived.is_ok(), "{table}, damage {n}");
        }
        fs::write(&path, &whole).unwrap();
    }
}

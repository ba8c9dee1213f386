//! The parts of an hour become one, and nobody notices.

use std::sync::atomic::{AtomicBool, Ordering};

use super::*;

/// A recording of many small parts in one hour, and one in the next.
fn in_parts(folder: &Path, parts: i64) -> (Writer, Vec<Snapshot>) {
    let mut writer = Writer::create(folder, &server()).unwrap();
    let mut all = Vec::new();
    for number in 0..parts {
        all.push(snapshot(number * 10 - 900_000, 2));
    }
    all.push(snapshot(2_000_000, 1));
    for snapshot in &all {
        writer.take(snapshot.clone().into());
        writer.seal().unwrap();
    }
    (writer, all)
}

fn files_by_table(folder: &Path) -> Vec<usize> {
    let tables = ["ticks", "sessions", "locks", "prepared", "safe_snapshots"];
    tables
        .iter()
        .map(|table| parts(&folder.join(table)).len())
        .collect()
}

#[test]
fn an_hour_that_is_over_becomes_one_part() {
    let folder = tempfile::tempdir().unwrap();
    let (mut writer, all) = in_parts(folder.path(), 7);
    assert_eq!(files_by_table(folder.path()), [8; 5]);
    while writer.upkeep() {}
    assert_eq!(files_by_table(folder.path()), [2; 5]);
    let read = Recording::open(folder.path()).unwrap();
    assert_eq!((read.snapshots, read.losses), (all, vec![]));
    assert!(!folder.path().join(".merging").exists());
}

#[test]
fn who_reads_meanwhile_sees_each_row_once() {
    let folder = tempfile::tempdir().unwrap();
    let (mut writer, all) = in_parts(folder.path(), 6);
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                let read = Recording::open(folder.path()).unwrap();
                assert_eq!(read.snapshots[..all.len()], all);
                assert_eq!(read.losses, []);
            }
        });
        for hour in 1..6 {
            while writer.upkeep() {}
            // One more part in the hour that was merged, and the next hour, so that it is again.
            for micros in [2_000_000 + hour, hour * 3_600_000_000] {
                let bare = Snapshot {
                    locks: vec![],
                    prepared: vec![],
                    safe_snapshots: vec![],
                    ..snapshot(micros, 0)
                };
                writer.take(bare.into());
            }
            writer.seal().unwrap();
        }
        done.store(true, Ordering::Relaxed);
        reader.join().unwrap();
    });
}

#[test]
fn what_came_late_is_merged_by_and_by() {
    let folder = tempfile::tempdir().unwrap();
    let (mut writer, mut all) = in_parts(folder.path(), 3);
    while writer.upkeep() {}
    for snapshot in [snapshot(-500_000, 3), snapshot(3_700_000_000, 1)] {
        writer.take(snapshot.clone().into());
        writer.seal().unwrap();
        all.push(snapshot);
    }
    assert_eq!(files_by_table(folder.path()), [4; 5]);
    while writer.upkeep() {}
    assert_eq!(files_by_table(folder.path()), [3; 5]);
    all.sort_by_key(|snapshot| snapshot.tick.at);
    assert_eq!(Recording::open(folder.path()).unwrap().snapshots, all);
}

#[test]
fn an_hour_with_a_torn_part_stays_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let (mut writer, _) = in_parts(folder.path(), 3);
    let ticks = parts(&folder.path().join("ticks"));
    fs::write(&ticks[0], "torn").unwrap();
    while writer.upkeep() {}
    assert_eq!(parts(&folder.path().join("ticks")), ticks);
    assert_eq!(files_by_table(folder.path())[1], 2);
}

#[test]
fn what_an_interrupted_merge_left_is_removed() {
    let folder = tempfile::tempdir().unwrap();
    let (writer, all) = in_parts(folder.path(), 3);
    drop(writer);
    let left = folder.path().join(".merging/hr");
    fs::create_dir_all(&left).unwrap();
    fs::write(left.join("part-00000099.parquet"), "half").unwrap();
    assert_eq!(Recording::open(folder.path()).unwrap().snapshots, all);
    Writer::create(folder.path(), &server()).unwrap();
    assert!(!folder.path().join(".merging").exists());
}

#[test]
fn a_part_is_made_before_it_is_too_large() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = Writer::create(folder.path(), &server()).unwrap();
    for tick in 0..40 {
        writer.take(snapshot(2_000_000 + tick, 1_000).into());
        writer.flush().unwrap();
    }
    let sessions = parts(&folder.path().join("sessions"));
    let kinds: Vec<_> = sessions
        .iter()
        .map(|path| path.extension().unwrap().to_str().unwrap())
        .collect();
    assert_eq!(kinds, ["parquet", "parquet", "arrows"]);
    let read = Recording::open(folder.path()).unwrap();
    let rows: usize = read.snapshots.iter().map(|tick| tick.sessions.len()).sum();
    assert_eq!((read.snapshots.len(), rows), (40, 40_000));
}

#[test]
fn what_comes_in_while_an_hour_waits_for_its_merge_is_merged_with_the_next() {
    let folder = tempfile::tempdir().unwrap();
    let (mut writer, mut all) = in_parts(folder.path(), 3);
    // Now it is planned, and the first table begun.
    assert!(writer.upkeep());
    for late in [snapshot(-400_000, 1), snapshot(2_000_001, 1)] {
        writer.take(late.clone().into());
        all.push(late);
    }
    writer.flush().unwrap();
    while writer.upkeep() {}
    all.push(snapshot(3_700_000_000, 1));
    writer.take(snapshot(3_700_000_000, 1).into());
    writer.seal().unwrap();
    while writer.upkeep() {}
    assert_eq!(files_by_table(folder.path()), [3; 5]);
    all.sort_by_key(|snapshot| snapshot.tick.at);
    assert_eq!(Recording::open(folder.path()).unwrap().snapshots, all);
}

#[test]
fn what_others_declare_stays_in_the_parts_that_they_made() {
    let folder = tempfile::tempdir().unwrap();
    let (mut writer, _) = in_parts(folder.path(), 2);
    let told = |micros, label: &str| Declared {
        at: at(micros),
        label: label.into(),
    };
    declare(folder.path(), &told(-200_000_000_002, "deploy")).unwrap();
    declare(folder.path(), &told(-200_000_000_001, "deploy")).unwrap();
    let before = parts(&folder.path().join("declared"));
    while writer.upkeep() {}
    assert_eq!(parts(&folder.path().join("declared")), before);
    assert_eq!(before.len(), 2);
}

//! A disk that refuses, for a while or for good.

use super::*;

/// Makes a file where the folder of a table belongs, which is refused to root as well.
fn block(folder: &Path, table: &str) {
    fs::write(folder.join(table), "").unwrap();
}

fn unblock(folder: &Path, table: &str) {
    fs::remove_file(folder.join(table)).unwrap();
}

#[test]
fn rows_survive_a_disk_that_refuses_for_a_while() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = Writer::create(folder.path(), &server()).unwrap();
    block(folder.path(), "ticks");
    writer.take(snapshot(0, 2).into());
    assert!(matches!(
        writer.seal().unwrap_err(),
        RecordingError::Io { .. }
    ));
    unblock(folder.path(), "ticks");
    writer.take(snapshot(1, 2).into());
    writer.finish().unwrap();
    let read = Recording::open(folder.path()).unwrap();
    assert_eq!(read.snapshots, [snapshot(0, 2), snapshot(1, 2)]);
    assert_eq!(read.losses, []);
}

/// Writes some ticks while the disk refuses and memory is short, then one more.
fn short_of_memory(ticks: i64, most_bytes: usize) -> Recording {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = Writer::create(folder.path(), &server()).unwrap();
    writer.take(Entry::Limits(Limits {
        waiting: most_bytes,
        ..Limits::default()
    }));
    block(folder.path(), "locks");
    for tick in 0..ticks {
        writer.take(snapshot(2_000_000 + tick * 100_000, 50).into());
        writer.flush().unwrap_err();
    }
    unblock(folder.path(), "locks");
    writer.take(snapshot(2_000_000 + ticks * 100_000, 50).into());
    writer.finish().unwrap();
    Recording::open(folder.path()).unwrap()
}

#[test]
fn beyond_the_bound_the_oldest_ticks_go_and_are_counted_as_missed() {
    let read = short_of_memory(100, 100_000);
    let there = read.snapshots.len();
    assert!((2..10).contains(&there), "{there}");
    // As each of these ticks says itself, one was missed before it; and those that went said so.
    let missed: usize = read.snapshots.iter().map(|s| s.tick.missed as usize).sum();
    assert_eq!(missed, there + 2 * (101 - there));
    assert!(read.snapshots.iter().all(|s| s.sessions.len() == 50));
    let kinds: Vec<&str> = read.losses.iter().map(|loss| &*loss.kind).collect();
    assert!(
        kinds.iter().all(|kind| *kind == "dropped_rows"),
        "{kinds:?}"
    );
    let dropped: u64 = read.losses.iter().map(|loss| loss.count).sum();
    // Each with its fifty sessions, a lock, a prepared transaction and a wait.
    assert_eq!(dropped, (101 - there as u64) * 54);
}

#[test]
fn of_what_is_lost_while_the_disk_refuses_there_is_one_row_of_a_kind_and_a_minute() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = Writer::create(folder.path(), &server()).unwrap();
    block(folder.path(), "losses");
    for second in 0..180 {
        for kind in ["missed_ticks", "hidden_sessions"] {
            writer.take(Entry::Loss(Loss {
                at: at(second * 1_000_000),
                kind: kind.into(),
                count: 2,
            }));
        }
        writer.flush().unwrap_err();
    }
    let told = writer.lost();
    let told: Vec<(&str, u64)> = told.iter().map(|it| (&*it.kind, it.count)).collect();
    assert_eq!(told, [("missed_ticks", 360), ("hidden_sessions", 360)]);
    assert_eq!(writer.lost(), []);
    unblock(folder.path(), "losses");
    writer.finish().unwrap();
    let losses = Recording::open(folder.path()).unwrap().losses;
    assert!((6..=8).contains(&losses.len()), "{losses:?}");
    assert_eq!(losses.iter().map(|it| it.count).sum::<u64>(), 720);
}

#[test]
fn a_short_refusal_within_the_bound_loses_nothing() {
    let read = short_of_memory(20, 1 << 20);
    assert_eq!((read.snapshots.len(), read.losses), (21, vec![]));
}

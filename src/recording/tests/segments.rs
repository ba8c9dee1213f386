//! What is not a part yet, and what a crash leaves of it.

use super::*;

/// The segments and parts in a folder, by how their names end.
fn ending(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let mut found = parts(folder);
    found.retain(|path| path.extension().is_some_and(|known| known == extension));
    found
}

/// Writes as a process would that is killed before its next seal, flush by flush.
pub(super) fn killed(snapshots: &[Snapshot]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = Writer::create(folder.path(), &server()).unwrap();
    for snapshot in snapshots {
        writer.take(snapshot.clone().into());
        writer.flush().unwrap();
    }
    let left = tempfile::tempdir().unwrap();
    copy(folder.path(), left.path());
    left
}

pub(super) fn copy(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let there = to.join(entry.file_name());
        if entry.path().is_dir() {
            fs::create_dir_all(&there).unwrap();
            copy(&entry.path(), &there);
        } else {
            fs::copy(entry.path(), there).unwrap();
        }
    }
}

pub(super) fn three() -> [Snapshot; 3] {
    [snapshot(0, 2), snapshot(100, 3), snapshot(200, 1)]
}

#[test]
fn what_is_flushed_can_be_read_while_it_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = Writer::create(folder.path(), &server()).unwrap();
    for (count, snapshot) in (1..).zip(three()) {
        writer.take(snapshot.into());
        writer.flush().unwrap();
        let read = Recording::open(folder.path()).unwrap();
        assert_eq!(read.snapshots, three()[..count]);
        assert_eq!(read.losses, []);
    }
    assert!(ending(folder.path(), "parquet").is_empty());
    writer.seal().unwrap();
    assert_eq!(
        Recording::open(folder.path()).unwrap().snapshots,
        three().to_vec()
    );
    assert!(ending(folder.path(), "arrows").is_empty());
}

#[test]
fn the_next_writer_makes_parts_of_what_a_crash_left() {
    let left = killed(&three());
    let mut writer = Writer::create(left.path(), &server()).unwrap();
    assert!(ending(left.path(), "arrows").is_empty());
    writer.take(snapshot(300, 1).into());
    writer.finish().unwrap();
    let read = Recording::open(left.path()).unwrap();
    assert_eq!(read.snapshots.len(), 4);
    assert_eq!(read.snapshots[..3], three());
}

#[test]
fn wherever_a_segment_is_torn_what_came_before_is_read() {
    let left = killed(&three());
    let ticks = ending(&left.path().join("ticks"), "arrows");
    let [ticks] = &ticks[..] else {
        panic!("{ticks:?}")
    };
    let whole = fs::read(ticks).unwrap();
    let mut seen = 0;
    for length in 0..=whole.len() {
        fs::write(ticks, &whole[..length]).unwrap();
        let read = Recording::open(left.path()).unwrap();
        let count = read.snapshots.len();
        assert!(count >= seen, "fewer after more bytes");
        assert_eq!(read.snapshots, three()[..count]);
        seen = count;
    }
    assert_eq!(seen, 3);
}

#[test]
fn a_segment_beside_its_part_counts_no_more() {
    let left = killed(&three());
    let segments = ending(left.path(), "arrows");
    let kept: Vec<(PathBuf, Vec<u8>)> = segments
        .iter()
        .map(|path| (path.clone(), fs::read(path).unwrap()))
        .collect();
    Writer::create(left.path(), &server())
        .unwrap()
        .finish()
        .unwrap();
    for (path, bytes) in &kept {
        fs::write(path, bytes).unwrap();
    }
    let read = Recording::open(left.path()).unwrap();
    assert_eq!(read.snapshots, three().to_vec());
    Writer::create(left.path(), &server())
        .unwrap()
        .finish()
        .unwrap();
    assert!(ending(left.path(), "arrows").is_empty());
    assert_eq!(Recording::open(left.path()).unwrap(), read);
}

#[test]
fn what_cannot_be_read_is_not_removed() {
    let left = killed(&three());
    let segments = ending(left.path(), "arrows");
    for path in &segments {
        fs::write(path, "something else").unwrap();
    }
    Writer::create(left.path(), &server())
        .unwrap()
        .finish()
        .unwrap();
    assert_eq!(ending(left.path(), "arrows"), segments);
}

#[test]
fn two_do_not_write_into_one_recording() {
    let folder = tempfile::tempdir().unwrap();
    let first = Writer::create(folder.path(), &server()).unwrap();
    let refused = Writer::create(folder.path(), &server()).unwrap_err();
    assert!(matches!(refused, RecordingError::Busy(_)), "{refused}");
    first.finish().unwrap();
    Writer::create(folder.path(), &server()).unwrap();
}

#[test]
fn lengths_that_a_foreign_file_names_are_not_believed() {
    let folder = killed(&three());
    let ticks = ending(&folder.path().join("ticks"), "arrows").remove(0);
    let whole = fs::read(&ticks).unwrap();
    // A letter, and a message of two gigabytes: alone, and behind rows of ours.
    let huge = [[0xff; 4], 0x7fff_ffff_u32.to_le_bytes(), [0; 4]].concat();
    let behind = [whole.as_slice(), &huge].concat();
    for foreign in [&b"a letter"[..], &huge, &behind] {
        let begun = std::time::Instant::now();
        fs::write(&ticks, foreign).unwrap();
        let read = Recording::open(folder.path()).unwrap();
        assert!(begun.elapsed() < std::time::Duration::from_millis(500));
        let rows = if foreign == behind { 3 } else { 0 };
        assert_eq!(read.snapshots.len(), rows);
    }
}

#[test]
fn who_goes_on_knows_the_last_tick_and_says_that_it_was_away() {
    let folder = tempfile::tempdir().unwrap();
    let mut recorder = Recorder::create(folder.path(), &server()).unwrap();
    assert_eq!(recorder.last_tick(), None);
    for snapshot in three() {
        recorder.take(Entry::Snapshot(Box::new(snapshot)));
    }
    recorder.finish().unwrap();
    let recorder = Recorder::create(folder.path(), &server()).unwrap();
    assert_eq!(recorder.last_tick(), Some(snapshot(200, 0).tick));
    recorder.finish().unwrap();
    let read = Recording::open(folder.path()).unwrap();
    let away = Loss {
        at: at(200),
        kind: "observer_restarts".into(),
        count: 1,
    };
    assert_eq!(read.losses, [away]);
}

#[test]
fn a_server_that_is_found_again_may_have_another_role_but_no_other_identity() {
    let folder = tempfile::tempdir().unwrap();
    let mut recorder = Recorder::create(folder.path(), &server()).unwrap();
    let promoted = Server {
        in_recovery: !server().in_recovery,
        address: "other:5432/postgres".to_owned(),
        ..server()
    };
    recorder.found_again(&promoted).unwrap();
    let other = Server {
        system_identifier: Some("1".to_owned()),
        ..server()
    };
    let refused = recorder.found_again(&other).unwrap_err();
    assert!(
        matches!(refused, RecordingError::OtherServer { .. }),
        "{refused}"
    );
    let restarted = Server {
        started_at: at(5),
        ..promoted.clone()
    };
    recorder.found_again(&restarted).unwrap();
    recorder.finish().unwrap();
    let read = Recording::open(folder.path()).unwrap();
    assert_eq!(read.server, restarted);
    let role = if promoted.in_recovery {
        "standby"
    } else {
        "primary"
    };
    let told: Vec<_> = read
        .events
        .iter()
        .map(|event| (&*event.kind, &*event.label))
        .collect();
    assert_eq!(told, [(Event::ROLE, role), (Event::RESTARTED, "server")]);
}

#[test]
fn a_recording_that_is_removed_is_begun_again_and_what_went_with_it_is_counted() {
    let folder = tempfile::tempdir().unwrap();
    let to = folder.path().join("prod");
    let mut writer = Writer::create(&to, &server()).unwrap();
    let [first, second, third] = three();
    writer.take(Entry::Snapshot(Box::new(first.clone())));
    writer.flush().unwrap();
    fs::remove_dir_all(&to).unwrap();
    for snapshot in [&second, &third] {
        writer.take(Entry::Snapshot(Box::new(snapshot.clone())));
    }
    writer.flush().unwrap();
    let refused = Writer::create(&to, &server()).unwrap_err();
    assert!(matches!(refused, RecordingError::Busy(_)), "{refused}");
    writer.finish().unwrap();
    let read = Recording::open(&to).unwrap();
    let rows = first.sessions.len() + first.locks.len() + first.prepared.len();
    let lost: Vec<_> = read
        .losses
        .iter()
        .map(|loss| (&*loss.kind, loss.count))
        .collect();
    let rows = rows + first.safe_snapshots.len() + 1;
    assert_eq!(lost, [("dropped_rows", rows as u64)]);
    assert_eq!(read.snapshots, [second, third]);
}

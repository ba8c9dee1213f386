//! Events declared beside a writer.

use std::sync::Arc;

use super::segments::three;
use super::*;

fn told(micros: i64, label: &str) -> Declared {
    Declared {
        at: at(micros),
        label: label.into(),
    }
}

/// Only root may give files away; anybody else cannot come into this situation.
#[test]
fn what_root_declares_belongs_to_whom_the_recording_does() {
    use std::os::unix::fs::{MetadataExt as _, chown};
    let folder = tempfile::tempdir().unwrap();
    Writer::create(folder.path(), &server())
        .unwrap()
        .finish()
        .unwrap();
    let (user, group) = (12_345, 23_456);
    for path in [folder.path(), &folder.path().join("recording.json")] {
        if chown(path, Some(user), Some(group)).is_err() {
            return;
        }
    }
    declare(folder.path(), &told(50, "deploy")).unwrap();
    let mut path = folder.path().join("declared");
    for _ in 0..5 {
        let about = fs::metadata(&path).unwrap();
        assert_eq!(
            (about.uid(), about.gid()),
            (user, group),
            "{}",
            path.display()
        );
        if about.is_dir() {
            let mut entries = fs::read_dir(&path).unwrap();
            path = entries.next().unwrap().unwrap().path();
        }
    }
    assert!(path.is_file(), "{}", path.display());
}

#[test]
fn an_event_may_be_declared_while_another_writes() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = Writer::create(folder.path(), &server()).unwrap();
    for snapshot in three() {
        writer.take(snapshot.into());
    }
    writer.flush().unwrap();
    declare(folder.path(), &told(50, "deploy")).unwrap();
    declare(folder.path(), &told(50, "deploy")).unwrap();
    writer.seal().unwrap();
    declare(folder.path(), &told(-7_200_000_000, "earlier")).unwrap();
    writer.finish().unwrap();
    Writer::create(folder.path(), &server())
        .unwrap()
        .finish()
        .unwrap();

    let read = Recording::open(folder.path()).unwrap();

    let expected = [
        told(-7_200_000_000, "earlier"),
        told(50, "deploy"),
        told(50, "deploy"),
    ];
    assert_eq!(read.declared, expected);
    assert_eq!(read.snapshots, three());
    assert_eq!(read.losses, []);
}

#[test]
fn nothing_is_declared_where_there_is_no_recording() {
    let folder = tempfile::tempdir().unwrap();
    assert!(declare(folder.path(), &told(0, "deploy")).is_err());
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn a_label_is_one_short_line() {
    assert_eq!(
        label("  county 12 onboarded "),
        Ok(Arc::from("county 12 onboarded"))
    );
    assert_eq!(label(" "), Err(LabelError::Empty));
    assert_eq!(label("two\nlines"), Err(LabelError::Control));
    assert_eq!(label("\u{1b}[2J"), Err(LabelError::Control));
    assert_eq!(label(&"é".repeat(200)), Ok("é".repeat(200).into()));
    assert_eq!(label(&"é".repeat(201)), Err(LabelError::TooLong(201)));
}

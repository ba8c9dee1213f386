//! The rule of versions, clause by clause: see the module's documentation.

use super::*;

/// What version 0 wrote, of seven seconds of the lab.
const VERSION_0: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/recording/tests/version-0");

/// How many sessions, lock entries and ticks it has.
const COUNTS: [usize; 3] = [1_220, 128, 28];

/// When transactions, statements, states and waits began: the sums, and how many there are.
const SUMS: [(i128, usize); 4] = [
    (102_350_937_998_971_002, 57),
    (2_188_873_568_612_986_464, 1_219),
    (2_190_669_199_102_956_106, 1_220),
    (66_438_328_178_082_302, 37),
];

fn copy_of_version_0() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    segments::copy(Path::new(VERSION_0), folder.path());
    folder
}

fn manifest(folder: &Path) -> serde_json::Value {
    serde_json::from_slice(&fs::read(folder.join("recording.json")).unwrap()).unwrap()
}

/// Adds up times, beyond what one of them could hold.
fn sum(times: impl Iterator<Item = Option<Timestamp>>) -> (i128, usize) {
    let there: Vec<i128> = times
        .flatten()
        .map(|at| i128::from(at.as_micros()))
        .collect();
    (there.iter().sum(), there.len())
}

/// Holds what is read against what another engine read from the same files.
fn is_version_0(read: &Recording) {
    let sessions = || {
        read.snapshots
            .iter()
            .flat_map(|snapshot| &snapshot.sessions)
    };
    let locks = || read.snapshots.iter().flat_map(|snapshot| &snapshot.locks);
    let xacts = sum(sessions().map(|session| session.xact_start));
    let queries = sum(sessions().map(|session| session.query_start));
    let changes = sum(sessions().map(|session| session.state_change));
    let waits = sum(locks().map(|lock| lock.waitstart));
    let counts = [sessions().count(), locks().count(), read.snapshots.len()];
    assert_eq!(counts, COUNTS);
    assert_eq!([xacts, queries, changes, waits], SUMS);
    assert_eq!(read.losses, []);
}

#[test]
fn what_version_0_wrote_is_read() {
    let read = Recording::open(Path::new(VERSION_0)).unwrap();
    is_version_0(&read);
}

#[test]
fn a_recording_of_version_0_is_gone_on_with_and_becomes_one_of_this() {
    let folder = copy_of_version_0();
    let before = Recording::open(folder.path()).unwrap();
    let mut writer = Writer::create(folder.path(), &before.server).unwrap();
    assert_eq!(manifest(folder.path())["format"], "pgjam.recording/1");
    writer.take(snapshot(0, 3).into());
    writer.finish().unwrap();
    let mut read = Recording::open(folder.path()).unwrap();
    assert_eq!(read.snapshots.remove(0), snapshot(0, 3));
    is_version_0(&read);
    assert_eq!(read.names, before.names);
}

#[test]
fn the_parts_of_version_0_are_merged_with_all_that_they_tell() {
    let folder = copy_of_version_0();
    let before = Recording::open(folder.path()).unwrap();
    let mut writer = Writer::create(folder.path(), &before.server).unwrap();
    let last = before.snapshots.last().unwrap().tick.at;
    let later = |micros: i64| {
        let mut later = before.snapshots[0].clone();
        later.tick.at = last + Span::from_micros(micros);
        later
    };
    let added = [later(1), later(3_600_000_000)];
    for snapshot in added.clone() {
        writer.take(snapshot.into());
        writer.seal().unwrap();
    }
    while writer.upkeep() {}
    assert_eq!(parts(&folder.path().join("sessions")).len(), 2);
    let mut read = Recording::open(folder.path()).unwrap();
    let there = read.snapshots.split_off(before.snapshots.len());
    assert_eq!(there, added);
    is_version_0(&read);
}

#[test]
fn what_a_later_minor_version_adds_is_passed_over() {
    let folder = written(&recording());
    let ticks = parts(&folder.path().join("ticks"));
    let later = folder
        .path()
        .join("novelties")
        .join(ticks[0].strip_prefix(folder.path().join("ticks")).unwrap());
    fs::create_dir_all(later.parent().unwrap()).unwrap();
    fs::copy(&ticks[0], later).unwrap();
    fs::write(&ticks[0], later::ticks(at(0))).unwrap();
    let mut said = manifest(folder.path());
    said["minor"] = 7.into();
    said["novelty"] = "word".into();
    fs::write(folder.path().join("recording.json"), said.to_string()).unwrap();
    let read = Recording::open(folder.path()).unwrap();
    assert_eq!(read, recording());
    // It would not keep what it does not know as it must be kept.
    let refused = Writer::create(folder.path(), &server()).unwrap_err();
    assert!(
        refused.to_string().contains("pgjam.recording/1.7"),
        "{refused}"
    );
    assert_eq!(Recording::open(folder.path()).unwrap(), recording());
}

#[test]
fn another_major_version_is_named_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(
        folder.path().join("recording.json"),
        r#"{"format":"pgjam.recording/9"}"#,
    )
    .unwrap();
    let read = Recording::open(folder.path()).unwrap_err();
    let written = Writer::create(folder.path(), &server()).unwrap_err();
    for refused in [read, written] {
        assert!(
            refused.to_string().contains("pgjam.recording/9"),
            "{refused}"
        );
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn what_an_earlier_minor_version_lacks_is_as_it_says() {
    let folder = written(&recording());
    let ticks = parts(&folder.path().join("ticks"));
    fs::write(&ticks[0], earlier::ticks(at(0))).unwrap();
    let read = Recording::open(folder.path()).unwrap();
    assert_eq!(read.losses, recording().losses);
    let first = read.snapshots[0].tick;
    assert_eq!(first.deadlock_timeout, Tick::DEADLOCK_TIMEOUT);
    assert_eq!(first.stretch(), [at(-100_000), at(0)]);
    assert_eq!(
        (first.period, first.pace),
        (Span::ZERO, PaceReason::Unknown)
    );
}

/// Ticks from before they told the deadlock timeout.
mod earlier {
    use super::super::rows::{self, Column, Row};
    use super::*;

    #[derive(serde::Serialize, serde::Deserialize)]
    struct Earlier {
        at: Timestamp,
        span_us: Span,
        server_us: Span,
        missed: u32,
    }

    impl Row for Earlier {
        const TABLE: &'static str = "ticks";
        fn columns() -> Vec<Column> {
            let mut columns = rows::TickRow::columns();
            let earlier = ["at", "span_us", "server_us", "missed"];
            columns.retain(|column| earlier.contains(&column.field.name().as_str()));
            columns
        }
        fn at(&self) -> Option<Timestamp> {
            Some(self.at)
        }
    }

    pub(super) fn ticks(at: Timestamp) -> Vec<u8> {
        let row = Earlier {
            at,
            span_us: Span::from_millis(100),
            server_us: Span::ZERO,
            missed: 0,
        };
        format::encode(&[&row]).unwrap()
    }
}

/// Ticks that tell what nobody knows yet.
mod later {
    use super::super::rows::{self, Column, Row, kind};
    use super::*;

    #[derive(serde::Serialize, serde::Deserialize)]
    struct Later {
        #[serde(flatten)]
        tick: rows::TickRow,
        moon: Vec<String>,
    }

    impl Row for Later {
        const TABLE: &'static str = "ticks";
        fn columns() -> Vec<Column> {
            let mut columns = rows::TickRow::columns();
            columns.insert(0, Column::new("moon", kind::words(), true));
            columns
        }
        fn at(&self) -> Option<Timestamp> {
            Some(self.tick.at)
        }
    }

    pub(super) fn ticks(at: Timestamp) -> Vec<u8> {
        let first = recording().snapshots[0].tick;
        assert_eq!(first.at, at);
        let row = Later {
            tick: first.into(),
            moon: vec!["full".to_owned()],
        };
        format::encode(&[&row]).unwrap()
    }
}

#[test]
fn a_merge_keeps_what_version_0_told_in_other_columns() {
    let folder = copy_of_version_0();
    let before = Recording::open(folder.path()).unwrap();
    let mut writer = Writer::create(folder.path(), &before.server).unwrap();
    let files = |table: &str| parts(&folder.path().join(table)).len();
    let last = before.snapshots[COUNTS[2] - 1].tick.at;
    for (seconds, rows) in [(1, 2), (7_200, 0)] {
        let mut later = snapshot(0, rows);
        later.tick.at = last + crate::time::Span::from_secs(seconds);
        writer.take(later.into());
        writer.seal().unwrap();
    }
    assert_eq!([files("sessions"), files("locks")], [2, 2 + 1]);
    while writer.upkeep() {}
    assert_eq!([files("sessions"), files("locks")], [1, 1 + 1]);
    drop(writer);
    let mut read = Recording::open(folder.path()).unwrap();
    read.snapshots.truncate(COUNTS[2]);
    is_version_0(&read);
}

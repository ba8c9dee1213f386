//! Recordings written and read back, whole and broken.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod around;
mod coarser;
mod declare;
mod disk;
mod foreign;
mod joined;
mod merging;
mod older;
mod rollup;
mod segments;
mod windows;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use proptest::prelude::*;

use super::*;
use crate::pg::{LockMode, Oid, Pid, QueryId, Version, Xid};
use crate::sample::{
    Lock, LockTarget, NameKind, PaceReason, Prepared, SafeSnapshotWait, Session, State,
    StatementCounters, Tick,
};
use crate::statement::StatementId;
use crate::time::{Span, Timestamp};

/// 2026-11-23T14:59:59Z: one second before the hour turns.
const START: i64 = 1_795_445_999_000_000;

const HOSTILE: &str = "'\"<script>\u{0}\u{202e}\n, é=🐘\\";

fn at(micros: i64) -> Timestamp {
    Timestamp::from_micros(START + micros)
}

pub(super) fn server() -> Server {
    Server {
        version_num: Version(150_018),
        system_identifier: Some("7312345678901234567".to_owned()),
        in_recovery: false,
        started_at: at(-1_000_000_000),
        address: "localhost:5432/app".to_owned(),
        has_statements: true,
    }
}

/// A span below a bound that looks random and is always the same.
fn noise(seed: i64, bound: i64) -> i64 {
    let mixed = seed.wrapping_mul(6_364_136_223_846_793_005).rotate_left(29);
    mixed
        .wrapping_mul(1_442_695_040_888_963_407)
        .rotate_left(31)
        .rem_euclid(bound)
}

fn session(number: i64, micros: i64) -> Session {
    let busy = number % 3 != 0;
    let seed = micros * 1_000 + number;
    let (began, ran) = (noise(seed, 80_000), noise(seed + 500, 30_000));
    Session {
        pid: Pid(i32::try_from(1000 + number).unwrap()),
        backend_start: at(-number * 1_234_567),
        leader_pid: None,
        backend_type: "client backend".into(),
        database: Some(Oid(16_384)),
        role: Some(Oid(16_385)),
        application_name: format!("sync-{:02}", number % 15).into(),
        client_addr: busy.then(|| "10.0.0.7".into()),
        state: if busy {
            State::Active
        } else {
            State::IdleInTransaction
        },
        wait_event_type: busy.then(|| "Lock".into()),
        wait_event: busy.then(|| "transactionid".into()),
        query_id: Some(QueryId(-8_000_000_000_000_000_000 + number % 20)),
        statement: Some(StatementId(u64::MAX - u64::try_from(number).unwrap() % 20)),
        tags: None,
        xact_start: Some(at(micros - ran - began)),
        query_start: Some(at(micros - ran)),
        state_change: Some(at(micros - if busy { ran } else { ran / 3 })),
        backend_xid: busy.then(|| Xid(u32::try_from(700 + number).unwrap())),
        backend_xmin: Some(Xid(701)),
    }
}

fn lock() -> Lock {
    Lock {
        owner: "3/292".into(),
        pid: None,
        target: LockTarget {
            locktype: "tuple".into(),
            database: Some(Oid(16_384)),
            relation: Some(Oid(u32::MAX)),
            page: Some(-1),
            tuple: Some(-7),
            virtualxid: Some("3/4".into()),
            transactionid: Some(Xid(u32::MAX)),
            classid: None,
            objid: Some(Oid(0)),
            objsubid: Some(2),
        },
        mode: LockMode::ShareRowExclusive,
        granted: true,
        fastpath: false,
        waitstart: Some(at(-5)),
    }
}

pub(super) fn snapshot(micros: i64, sessions: i64) -> Snapshot {
    Snapshot {
        tick: Tick {
            at: at(micros),
            span: Span::from_millis(100),
            place: Span::from_millis(100),
            server: Span::from_micros(412),
            missed: 1,
            deadlock_timeout: Tick::DEADLOCK_TIMEOUT,
            period: Span::from_millis(100),
            pace: PaceReason::Fixed,
        },
        sessions: (0..sessions)
            .map(|number| session(number, micros))
            .collect(),
        locks: vec![lock()],
        prepared: vec![Prepared {
            transaction: Xid(9),
            gid: HOSTILE.into(),
            prepared: at(-9),
            owner: Oid(10),
            database: Oid(11),
        }],
        safe_snapshots: vec![SafeSnapshotWait {
            waiter: Pid(1),
            blocker: Pid(0),
        }],
    }
}

/// One of everything, over the turn of an hour.
fn recording() -> Recording {
    let counters = StatementCounters {
        at: at(500_000),
        database: Oid(16_384),
        query_id: QueryId(i64::MIN),
        calls: Some(3),
        exec_ms: 0.1,
        rows: 4,
        blocks_hit: 5,
        blocks_read: 6,
        wal_bytes: 7,
    };
    let gone = StatementCounters {
        query_id: QueryId(1),
        calls: None,
        ..counters
    };
    Recording {
        server: server(),
        snapshots: vec![snapshot(0, 4), snapshot(100_000, 0), snapshot(2_000_000, 2)],
        counters: vec![
            Counters {
                at: at(500_000),
                rows: vec![counters, gone],
            },
            Counters {
                at: at(600_000),
                rows: Vec::new(),
            },
        ],
        statements: vec![StatementText {
            id: StatementId(u64::MAX),
            database: None,
            query_id: Some(QueryId(-1)),
            text: HOSTILE.into(),
            parsed: false,
        }],
        names: vec![
            Name {
                database: Some(Oid(16_384)),
                relkind: Some("r".into()),
                parent: Some(Oid(19_000)),
                topmost: Some(Oid(18_000)),
                triggers: Some(false),
                columns: Some(vec!["id".into(), HOSTILE.into()]),
                ..Name::new(NameKind::Relation, Oid(20_000), "public.agency")
            },
            Name {
                superuser: Some(true),
                usable: Some(false),
                ..Name::new(NameKind::Role, Oid(10), HOSTILE)
            },
            Name {
                database: Some(Oid(16_384)),
                table: Some(Oid(20_000)),
                refers_to: Some(Oid(20_001)),
                columns: Some(vec![]),
                cascades: Some(true),
                ..Name::new(NameKind::ForeignKey, Oid(20_002), "agency_fkey")
            },
        ],
        declared: vec![Declared {
            at: at(1),
            label: HOSTILE.into(),
        }],
        losses: vec![Loss {
            at: at(2),
            kind: "missed_ticks".into(),
            count: u64::MAX,
        }],
        minutes: Vec::new(),
        events: Vec::new(),
        surroundings: around::surroundings(),
    }
}

fn write(writer: &mut Writer, recording: &Recording) {
    for snapshot in &recording.snapshots {
        writer.take(snapshot.clone().into());
        writer.seal().unwrap();
    }
    let of = recording.clone();
    let counters = of.counters.into_iter().map(Entry::Counters);
    let statements = of.statements.into_iter().map(Entry::Statement);
    let names = of.names.into_iter().map(Entry::Name);
    let declared = of.declared.into_iter().map(Entry::Declared);
    let losses = of.losses.into_iter().map(Entry::Loss);
    writer.take(Entry::Surroundings(Box::new(of.surroundings)));
    let others = counters.chain(statements).chain(names);
    others
        .chain(declared)
        .chain(losses)
        .for_each(|entry| writer.take(entry));
}

fn written(recording: &Recording) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = Writer::create(folder.path(), &recording.server).unwrap();
    write(&mut writer, recording);
    writer.finish().unwrap();
    folder
}

fn parts(table: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![table.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

#[test]
fn what_is_written_is_read() {
    let recording = recording();
    let folder = written(&recording);
    assert_eq!(Recording::open(folder.path()).unwrap(), recording);
}

#[test]
fn parts_lie_in_the_hour_of_their_rows() {
    let folder = written(&recording());
    let ticks = folder.path().join("ticks");
    let said: Vec<String> = parts(&ticks)
        .iter()
        .map(|path| {
            path.parent()
                .unwrap()
                .strip_prefix(&ticks)
                .unwrap()
                .display()
                .to_string()
        })
        .collect();
    let hour = |hour: u32| format!("server=7312345678901234567/dt=2026-11-23/hr={hour}");
    assert_eq!(said, [hour(14), hour(14), hour(15)]);
}

#[test]
fn nobody_else_may_read_it() {
    let folder = written(&recording());
    for path in parts(folder.path()) {
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
    }
    let table = fs::metadata(folder.path().join("sessions")).unwrap();
    assert_eq!(table.permissions().mode() & 0o777, 0o700);
}

#[test]
fn an_empty_recording_is_a_recording() {
    let folder = tempfile::tempdir().unwrap();
    Writer::create(folder.path(), &server())
        .unwrap()
        .finish()
        .unwrap();
    let read = Recording::open(folder.path()).unwrap();
    assert_eq!(read.server, server());
    assert!(read.snapshots.is_empty() && read.losses.is_empty());
}

#[test]
fn a_dropped_writer_has_sealed() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = Writer::create(folder.path(), &server()).unwrap();
    writer.take(snapshot(0, 1).into());
    drop(writer);
    assert_eq!(
        Recording::open(folder.path()).unwrap().snapshots,
        [snapshot(0, 1)]
    );
}

#[test]
fn a_second_writer_goes_on_with_the_recording_of_its_server() {
    let folder = tempfile::tempdir().unwrap();
    for micros in [0, 100] {
        let mut writer = Writer::create(folder.path(), &server()).unwrap();
        writer.take(snapshot(micros, 1).into());
        writer.finish().unwrap();
    }
    assert_eq!(Recording::open(folder.path()).unwrap().snapshots.len(), 2);
    let other = Server {
        system_identifier: Some("1".to_owned()),
        ..server()
    };
    let refused = Writer::create(folder.path(), &other).unwrap_err();
    assert!(
        matches!(refused, RecordingError::OtherServer { .. }),
        "{refused}"
    );
}

#[test]
fn a_folder_of_something_else_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let refused = Recording::open(folder.path()).unwrap_err();
    assert!(
        matches!(refused, RecordingError::NotARecording(_)),
        "{refused}"
    );
    fs::write(folder.path().join("letter.txt"), "dear").unwrap();
    let refused = Writer::create(folder.path(), &server()).unwrap_err();
    assert!(matches!(refused, RecordingError::Occupied(_)), "{refused}");
}

#[test]
fn torn_and_foreign_parts_are_passed_over_and_counted() {
    let folder = written(&recording());
    let ticks = parts(&folder.path().join("ticks"));
    let whole = fs::read(&ticks[0]).unwrap();
    fs::write(&ticks[0], &whole[..whole.len() / 2]).unwrap();
    fs::write(ticks[1].with_file_name("part-x.parquet"), "no parquet").unwrap();
    let names = parts(&folder.path().join("names"));
    fs::write(names[0].with_file_name("part-y.parquet"), &whole).unwrap();
    let read = Recording::open(folder.path()).unwrap();
    let lost = |kind: &str| {
        read.losses
            .iter()
            .find(|loss| &*loss.kind == kind)
            .unwrap()
            .count
    };
    assert_eq!(read.snapshots.len(), 2);
    assert_eq!(lost("unreadable_parts"), 3);
    assert_eq!(lost("rows_without_tick"), 4 + 1 + 1 + 1);
}

#[test]
fn any_flipped_byte_is_survived() {
    let folder = written(&recording());
    let path = parts(&folder.path().join("locks")).remove(0);
    let whole = fs::read(&path).unwrap();
    for position in (0..whole.len()).step_by(37) {
        let mut torn = whole.clone();
        torn[position] ^= 0x55;
        fs::write(&path, &torn).unwrap();
        assert_eq!(Recording::open(folder.path()).unwrap().snapshots.len(), 3);
    }
}

#[test]
fn a_hundred_thousand_sessions_stay_small() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = Writer::create(folder.path(), &server()).unwrap();
    for tick in 0..1_000 {
        writer.take(snapshot(2_000_000 + tick * 100_003, 100).into());
        if tick % 50 == 49 {
            writer.seal().unwrap();
        }
    }
    writer.finish().unwrap();
    let files = parts(&folder.path().join("sessions"));
    let bytes: u64 = files
        .iter()
        .map(|path| fs::metadata(path).unwrap().len())
        .sum();
    let per_row = bytes as f64 / 100_000.0;
    assert!(per_row < 12.0, "{per_row} bytes per row");
}

fn text() -> impl Strategy<Value = std::sync::Arc<str>> {
    prop_oneof![any::<String>(), Just(HOSTILE.to_owned())].prop_map(Into::into)
}

fn time() -> impl Strategy<Value = Timestamp> {
    any::<i64>().prop_map(Timestamp::from_micros)
}

prop_compose! {
    fn any_session()(
        (pid, backend_start, leader) in (any::<i32>(), time(), prop::option::of(any::<i32>())),
        (application_name, backend_type, client_addr) in (text(), text(), prop::option::of(text())),
        (wait_event_type, wait_event, tags) in
            (prop::option::of(text()), prop::option::of(text()), prop::option::of(text())),
        (query_id, statement, oid) in
            (prop::option::of(any::<i64>()), prop::option::of(any::<u64>()), prop::option::of(any::<u32>())),
        (xact_start, query_start, state_change) in
            (prop::option::of(time()), prop::option::of(time()), prop::option::of(time())),
    ) -> Session {
        Session {
            pid: Pid(pid),
            backend_start,
            leader_pid: leader.map(Pid),
            backend_type,
            database: oid.map(Oid),
            role: oid.map(Oid),
            application_name,
            client_addr,
            state: State::IdleInTransactionAborted,
            wait_event_type,
            wait_event,
            query_id: query_id.map(QueryId),
            statement: statement.map(StatementId),
            tags,
            xact_start,
            query_start,
            state_change,
            backend_xid: oid.map(Xid),
            backend_xmin: None,
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn any_session_is_read_as_it_was_written(
        mut sessions in prop::collection::vec(any_session(), 0..8)
    ) {
        sessions.sort_by_key(|session| session.pid);
        sessions.dedup_by_key(|session| session.pid);
        let recording = Recording {
            snapshots: vec![Snapshot { sessions, ..snapshot(0, 0) }],
            ..recording()
        };
        let folder = written(&recording);
        prop_assert_eq!(Recording::open(folder.path()).unwrap(), recording);
    }
}

//! What remains of minutes, and what is written beside the samples.

use std::io::Write as _;
use std::sync::Arc;

use super::*;
use crate::pg::LockMode;
use crate::recording::interner::Interner;
use crate::recording::rows::{PerMinute, PerTick, Row};
use crate::recording::{Account, Charge, Edge, Event, Minute, RolledUp};

fn charge(micros: i64) -> Charge {
    Charge {
        at: at(micros),
        account: Arc::new(Account {
            database: Some(Oid(16_384)),
            statement: Some(StatementId(u64::MAX)),
            system: Some(HOSTILE.into()),
            class: "row-lock".into(),
            table_name: Some("public.inbox".into()),
            held_table: None,
            basis: Some("measured".into()),
            lock_type: Some("transactionid".into()),
            lock_mode: Some(LockMode::Share),
            blocker: "prepared".into(),
            blocker_system: None,
            blocker_gid: Some(HOSTILE.into()),
            blocker_state: Some("prepared".into()),
            blocker_statement: None,
            blocker_basis: None,
            through_system: None,
            through_statement: Some(StatementId(7)),
        }),
        spent_us: Span::from_micros(1_234_567),
        ticks: 12,
        waited_us: Some(Span::from_millis(2)),
    }
}

fn minute(second: i64) -> RolledUp {
    let begins = at(second * 1_000_000);
    let looked = begins + Span::from_secs(60);
    RolledUp {
        minute: Minute {
            at: begins,
            until: looked,
            ticks: 600,
            missed: 1,
            span_us: Span::from_secs(59),
            watched_us: Span::from_secs(58),
            server_us: Span::from_millis(300),
            blocked: 17,
            counted: Some(looked),
        },
        cells: vec![charge(second * 1_000_000)],
        counters: vec![StatementCounters {
            at: looked,
            database: Oid(16_384),
            query_id: QueryId(-9),
            calls: Some(4),
            exec_ms: 1.5,
            rows: 4,
            blocks_hit: 0,
            blocks_read: 0,
            wal_bytes: 0,
        }],
    }
}

#[test]
fn minutes_without_samples_and_events_are_read_as_they_were_written() {
    let event = Event {
        at: at(5),
        kind: Event::ONBOARDED.into(),
        label: HOSTILE.into(),
        detail: Some(HOSTILE.into()),
    };
    let recording = Recording {
        minutes: vec![minute(0), minute(60), minute(3_540)],
        events: vec![event.clone()],
        ..Recording::empty(server())
    };
    let folder = tempfile::tempdir().unwrap();
    let mut writer = Writer::create(folder.path(), &server()).unwrap();
    for minute in recording.minutes.clone() {
        writer.take(Entry::Minute(Box::new(minute)));
    }
    writer.take(Entry::Event(event));
    writer.finish().unwrap();
    assert_eq!(Recording::open(folder.path()).unwrap(), recording);
}

#[test]
fn minutes_of_which_the_samples_are_there_are_not_told_twice() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = Writer::create(folder.path(), &server()).unwrap();
    for second in [0, 60, 120] {
        writer.take(Entry::Minute(Box::new(minute(second))));
    }
    writer.take(snapshot(120_000_000, 1).into());
    writer.finish().unwrap();
    let read = Recording::open(folder.path()).unwrap();
    assert_eq!(read.minutes, [minute(0), minute(60)]);
    assert_eq!(read.snapshots.len(), 1);
}

#[test]
fn charges_and_edges_lie_beside_the_samples() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = Writer::create(folder.path(), &server()).unwrap();
    let edge = Edge {
        at: at(9),
        waiter: Pid(7),
        blocker: None,
        gid: Some(HOSTILE.into()),
        owner: None,
        kind: "hard".into(),
        certainty: None,
        lock_type: Some("transactionid".into()),
        lock_mode: Some(LockMode::Share),
        table_name: Some("public.inbox".into()),
    };
    writer.take(Entry::Charges(vec![charge(9)]));
    writer.take(Entry::Edges(vec![edge.clone()]));
    writer.finish().unwrap();
    assert_eq!(rows::<PerTick<Charge>>(folder.path()), [PerTick(charge(9))]);
    assert_eq!(rows::<Edge>(folder.path()), [edge]);
}

/// Cells of two accounts, one of which has nothing that may be missing.
fn cells() -> Vec<PerMinute<Charge>> {
    let [mut bare, other] = [charge(1), charge(3)];
    bare.account = Arc::new(Account {
        database: None,
        statement: None,
        system: None,
        table_name: None,
        basis: None,
        lock_type: None,
        lock_mode: None,
        blocker_gid: None,
        blocker_state: None,
        through_statement: None,
        ..(*bare.account).clone()
    });
    bare.waited_us = None;
    let again = Charge {
        at: at(2),
        ..bare.clone()
    };
    [bare, again, other].map(PerMinute).into()
}

#[test]
fn cells_of_a_part_are_read_as_they_are_and_share_their_accounts() {
    let cells = cells();
    let mut file = tempfile::tempfile().unwrap();
    let rows: Vec<&PerMinute<Charge>> = cells.iter().collect();
    file.write_all(&format::encode(&rows).unwrap()).unwrap();
    let read = format::decode(&file, Window::ALL, &mut Interner::default());
    let mut read: Vec<PerMinute<Charge>> = read.unwrap();
    read.sort_by_key(|PerMinute(cell)| cell.at);
    assert_eq!(read, cells);
    assert!(Arc::ptr_eq(&read[0].0.account, &read[1].0.account));
}

#[test]
fn cells_older_than_a_column_have_nulls_in_it_unless_a_cell_must_have_it() {
    let bare: Vec<_> = cells().into_iter().take(2).collect();
    let batch = format::batch(&bare.iter().collect::<Vec<_>>()).unwrap();
    let without = |columns: &[&str]| {
        let schema = batch.schema();
        let there = (0..batch.num_columns())
            .filter(|column| !columns.contains(&schema.field(*column).name().as_str()));
        let batch = batch.project(&there.collect::<Vec<_>>()).unwrap();
        format::rows_of_batch::<PerMinute<Charge>>(&batch, &mut Interner::default())
    };
    assert_eq!(
        without(&["lock_mode", "waited_us", "statement"]),
        Some(bare)
    );
    for column in ["at", "class", "spent_us"] {
        assert_eq!(without(&[column]), None, "{column}");
    }
}

/// Reads the rows of the one part that a table has.
fn rows<R: Row>(folder: &Path) -> Vec<R> {
    let parts = parts(&folder.join(R::TABLE));
    let [part] = &parts[..] else {
        panic!("not one part: {parts:?}")
    };
    let file = fs::File::open(part).unwrap();
    format::decode(&file, Window::ALL, &mut Interner::default()).unwrap()
}

#[test]
fn sums_of_a_day_lie_in_one_partition_and_become_one_part_when_it_is_over() {
    const HOUR: i64 = 3_600;
    let folder = tempfile::tempdir().unwrap();
    let mut writer = Writer::create(folder.path(), &server()).unwrap();
    for hour in 0..4 {
        writer.take(Entry::Minute(Box::new(minute(hour * HOUR))));
        writer.seal().unwrap();
    }
    let parts = || parts(&folder.path().join("cells"));
    // The stage begins one second before 15 o'clock.
    assert_eq!(parts().len(), 4);
    let days: std::collections::BTreeSet<_> = parts()
        .iter()
        .map(|it| it.parent().map(Path::to_owned))
        .collect();
    assert_eq!(days.len(), 1);
    writer.take(snapshot(48 * HOUR * 1_000_000, 1).into());
    while writer.upkeep() {}
    assert_eq!(parts().len(), 1);
    writer.finish().unwrap();
    let read = Recording::open(folder.path()).unwrap();
    assert_eq!(read.minutes, [0, 1, 2, 3].map(|hour| minute(hour * HOUR)));
    let window = Window {
        from: at(HOUR * 1_000_000),
        to: at(2 * HOUR * 1_000_000),
    };
    let read = Recording::open_within(folder.path(), window).unwrap();
    assert_eq!(read.minutes.len(), 2);
}

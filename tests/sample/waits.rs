//! What a tick shows of those who wait for locks.

use std::time::Instant;

use pgjam::pg::{LockMode, Pid};
use pgjam::query;
use pgjam::sample::live::Options;
use pgjam::sample::pace::{Cadence, Need};
use pgjam::sample::{NameKind, PaceReason, SafeSnapshotWait, State};
use pgjam::time::Span;

use crate::stage::{Lab, SOON, aside, locks_of, pid, quick, session};

#[test]
fn a_row_lock_wait_shows_who_waits_for_whom_and_on_which_table() {
    let lab = Lab::start();
    let mut holder = lab.client("holder");
    let held_by = pid(&mut holder);
    holder
        .batch_execute("begin; update hot set n = n + 1 where id = 1")
        .unwrap();
    let first = lab.behind("first", "update hot set n = n + 1 where id = 1");
    let second = lab.behind("second", "update hot set n = n + 1 where id = 1");
    let third = lab.behind("third", "update hot set n = n + 1 where id = 1");

    let (snapshot, names) = lab.watch(async |source| {
        let snapshot = source.tick().await.unwrap();
        let names = source.names(&snapshot).await;
        (snapshot, names)
    });

    let asked = locks_of(&snapshot, first.pid, "transactionid", false);
    assert_eq!((asked.len(), asked[0].mode), (1, LockMode::Share));
    assert!(asked[0].waitstart.is_some());
    let held = locks_of(&snapshot, held_by, "transactionid", true);
    assert_eq!(
        held[0].target, asked[0].target,
        "the holder's own transaction"
    );
    let tuple = locks_of(&snapshot, first.pid, "tuple", true);
    for waiter in [&second, &third] {
        let queued = locks_of(&snapshot, waiter.pid, "tuple", false);
        assert_eq!(queued[0].target, tuple[0].target);
    }
    let row = session(&snapshot, held_by);
    assert_eq!(row.state, State::IdleInTransaction);
    assert_eq!(&*row.application_name, "holder");
    assert!(row.statement.is_some());
    assert_eq!(
        session(&snapshot, third.pid).wait_event_type.as_deref(),
        Some("Lock")
    );

    let relation = tuple[0].target.relation.unwrap();
    let meaning = |kind, oid| {
        names
            .iter()
            .find(|name| name.kind == kind && name.oid == oid)
    };
    assert_eq!(
        &*meaning(NameKind::Relation, relation).unwrap().name,
        "public.hot"
    );
    assert_eq!(
        &*meaning(NameKind::Role, row.role.unwrap()).unwrap().name,
        "postgres"
    );
    assert_eq!(
        &*meaning(NameKind::Database, row.database.unwrap())
            .unwrap()
            .name,
        "postgres"
    );
    // The index on which the first waiter holds a lock belongs to the table.
    let of_table = names.iter().filter(|name| name.table == Some(relation));
    assert!(of_table.clone().count() >= 2, "{names:#?}");
    assert!(of_table.clone().all(|name| &*name.name == "public.hot"));
}

#[test]
fn a_queue_for_a_table_shows_all_its_entries() {
    let lab = Lab::start();
    let mut reader = lab.client("reader");
    let reads = pid(&mut reader);
    reader.batch_execute("begin; select * from hot").unwrap();
    let gate = lab.behind("migrator", "alter table hot add column more int");
    let behind = lab.behind("victim", "select * from hot");

    let snapshot = lab.look();

    let asked = locks_of(&snapshot, gate.pid, "relation", false);
    assert_eq!(asked[0].mode, LockMode::AccessExclusive);
    let queued = locks_of(&snapshot, behind.pid, "relation", false);
    assert_eq!(queued[0].target, asked[0].target);
    let held = locks_of(&snapshot, reads, "relation", true);
    assert!(
        held.iter()
            .any(|lock| lock.target == asked[0].target && !lock.fastpath)
    );
    assert_eq!(session(&snapshot, reads).state, State::IdleInTransaction);
    // It is still being parsed: no query id, and a statement all the same.
    let victim = session(&snapshot, behind.pid);
    assert_eq!(victim.query_id, None);
    assert!(victim.statement.is_some());
}

#[test]
fn a_prepared_transaction_in_the_way_comes_with_its_gid() {
    let lab = Lab::start();
    lab.client("two-phase")
        .batch_execute("begin; update hot set n = 9 where id = 1; prepare transaction 'payment-17'")
        .unwrap();
    assert_eq!(lab.look().prepared, [], "nobody waits for it yet");
    let waiter = lab.behind("victim", "update hot set n = n + 1 where id = 1");

    let snapshot = lab.look();

    let asked = locks_of(&snapshot, waiter.pid, "transactionid", false);
    let held = snapshot
        .locks
        .iter()
        .find(|lock| lock.granted && lock.target == asked[0].target);
    assert_eq!(held.unwrap().pid, None);
    assert_eq!(snapshot.prepared.len(), 1);
    assert_eq!(&*snapshot.prepared[0].gid, "payment-17");
    assert_eq!(
        Some(snapshot.prepared[0].transaction),
        asked[0].target.transactionid
    );
}

#[test]
fn a_wait_for_a_safe_snapshot_names_the_transaction_in_its_way() {
    let lab = Lab::start();
    let mut writer = lab.client("writer");
    let written_by = pid(&mut writer);
    writer
        .batch_execute("begin isolation level serializable; update hot set n = n + 1 where id = 1")
        .unwrap();
    let reader = lab.behind_for(
        "SafeSnapshot",
        "reader",
        "begin isolation level serializable read only deferrable; select * from hot",
    );

    let snapshot = lab.look();

    let wait = SafeSnapshotWait {
        waiter: Pid(reader.pid),
        blocker: Pid(written_by),
    };
    assert_eq!(snapshot.safe_snapshots, [wait]);
    assert_eq!(
        session(&snapshot, written_by).state,
        State::IdleInTransaction
    );
}

#[test]
fn who_holds_a_transaction_that_is_waited_for_tells_the_tables_it_has_locked() {
    let lab = Lab::start();
    let mut holder = lab.client("holder");
    let held_by = pid(&mut holder);
    holder
        .batch_execute("begin; insert into hot values (7, 0)")
        .unwrap();
    let _waiter = lab.behind("victim", "insert into hot values (7, 1)");

    let snapshot = lab.look();

    let locked = locks_of(&snapshot, held_by, "relation", true);
    assert!(
        locked
            .iter()
            .any(|lock| lock.mode == LockMode::RowExclusive)
    );
}

#[test]
fn an_idle_session_in_the_way_is_seen_at_every_tick() {
    let lab = Lab::start();
    let mut holder = lab.client("holder");
    let held_by = pid(&mut holder);
    holder.batch_execute("select pg_advisory_lock(42)").unwrap();
    let waiter = lab.behind("victim", "select pg_advisory_lock(42)");

    let (_, snapshot) =
        lab.watch(async |source| (source.tick().await.unwrap(), source.tick().await.unwrap()));

    assert_eq!(session(&snapshot, held_by).state, State::Idle);
    let held = locks_of(&snapshot, held_by, "advisory", true);
    let asked = locks_of(&snapshot, waiter.pid, "advisory", false);
    assert_eq!(held[0].target, asked[0].target);
}

#[test]
fn a_quiet_server_is_not_asked_for_its_locks() {
    let lab = Lab::start();
    let mut client = lab.client("explain");
    client
        .batch_execute(&format!(
            "prepare tick (timestamptz, bigint[], boolean) as {}",
            query::TICK.statement()
        ))
        .unwrap();
    let mut calls = || -> Vec<String> {
        client
            .simple_query("explain (analyze) execute tick ('-infinity', '{}', true)")
            .unwrap()
            .iter()
            .filter_map(|message| match message {
                postgres::SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
                _ => None,
            })
            .filter(|line| {
                line.contains("on pg_lock_status") || line.contains("on pg_prepared_xact")
            })
            .collect()
    };
    let quiet = calls();
    assert_eq!(quiet.len(), 2);
    assert!(
        quiet.iter().all(|line| line.contains("never executed")),
        "{quiet:#?}"
    );

    let mut holder = lab.client("holder");
    holder.batch_execute("begin; lock table hot").unwrap();
    let _waiter = lab.behind("victim", "select * from hot");
    let busy = calls();
    assert!(busy[0].contains("actual time"), "{busy:#?}");
    assert!(busy[1].contains("never executed"), "{busy:#?}");
}

#[test]
fn a_pace_over_the_budget_is_lowered_but_never_below_two_looks_a_second_while_locks_are_waited_for()
{
    let lab = Lab::start();
    let mut holder = lab.client("holder");
    holder.batch_execute("begin; lock hot").unwrap();
    let _waiter = lab.behind("waiter", "select n from hot");
    let options = Options {
        budget: 1e-6,
        ..quick()
    };
    lab.watch_in("postgres", options, async |source| {
        source.tick().await.unwrap();
        for _ in 0..4 {
            let tick = source.tick().await.unwrap().tick;
            assert_eq!(tick.span, Span::from_millis(500));
            assert_eq!((tick.period, tick.pace), (tick.span, PaceReason::Budget));
        }
        let losses = source.losses();
        let lowered = losses.iter().find(|loss| &*loss.kind == "lowered_pace");
        assert_eq!(lowered.map(|loss| loss.count), Some(4));
    });
}

#[test]
fn a_pace_by_need_is_slow_until_somebody_waits_and_every_tick_says_why() {
    let lab = Lab::start();
    let mut holder = lab.client("holder");
    let need = Need {
        quiet: 4.0,
        busy: 50.0,
        hold: Span::from_millis(200),
    };
    let options = Options {
        cadence: Cadence::ByNeed(need),
        ..quick()
    };
    let paces = lab.watch_in("postgres", options, async |source| {
        let mut paces = Vec::new();
        let mut until = async |pace| {
            let begun = Instant::now();
            while paces.last() != Some(&pace) {
                assert!(begun.elapsed() < SOON, "{paces:?}");
                paces.push(source.tick().await.unwrap().tick.pace);
            }
        };
        until(PaceReason::Quiet).await;
        // The driver's clients must not be used inside the runtime.
        let waiter = aside(|| {
            holder.batch_execute("begin; lock hot").unwrap();
            lab.behind("waiter", "select n from hot")
        });
        until(PaceReason::Busy).await;
        aside(|| {
            drop(waiter);
            drop(holder);
        });
        until(PaceReason::Quiet).await;
        paces
    });
    assert!(!paces.contains(&PaceReason::Budget), "{paces:?}");
}

//! Waits for a whole table: who queues before it, and who is in nobody's way.

use crate::stage::Stage;

const READ: &str = "select from hot";
const ALTER: &str = "alter table hot add column region text";

pub(crate) fn readers_queue_behind_an_alter(stage: &mut Stage<'_>) {
    let _report = stage.holds("report", READ);
    let _migrator = stage.behind("migrator", ALTER);
    let _first = stage.behind("first", READ);
    let _second = stage.behind("second", READ);

    let seen = stage.look();

    seen.has_edges(&[
        "migrator => report: public.hot",
        "first -> migrator: public.hot",
        "second -> migrator: public.hot",
    ]);
    seen.has_roots(&["report"]);
    seen.has_chains(&["report holds table public.hot, alter table hot of migrator queues"]);
    seen.has_amplifiers(&["migrator"]);
    assert_eq!(
        seen.view().chains[0].gate,
        Some(seen.node("migrator").party)
    );
    assert_eq!(seen.node("migrator").behind, 2);
    assert_eq!(seen.node("report").frees, 1);
}

pub(crate) fn who_reads_a_table_is_in_no_writers_way(stage: &mut Stage<'_>) {
    let _reader = stage.holds("reader", READ);
    let _other = stage.holds("other", "lock table hot in row share mode");
    let _indexer = stage.holds("indexer", "create index on hot (n)");
    let _writer = stage.behind("writer", "insert into hot values (11, 0)");

    let seen = stage.look();

    seen.has_edges(&["writer => indexer: public.hot"]);
    seen.has_roots(&["indexer"]);
}

pub(crate) fn two_roots_for_one_waiter(stage: &mut Stage<'_>) {
    let _first = stage.holds("first", READ);
    let _second = stage.holds("second", READ);
    let _migrator = stage.behind("migrator", ALTER);

    let seen = stage.look();

    seen.has_edges(&[
        "migrator => first: public.hot",
        "migrator => second: public.hot",
    ]);
    seen.has_roots(&["first", "second"]);
    assert_eq!(seen.node("first").behind, 1);
    assert_eq!(seen.node("first").frees, 0);
}

/// Who holds something against somebody in the queue goes before it.
pub(crate) fn a_lock_upgrade_jumps_the_queue(stage: &mut Stage<'_>) {
    let _report = stage.holds("report", READ);
    let upgrader = stage.holds("upgrader", READ);
    let _migrator = stage.behind("migrator", ALTER);
    let _reader = stage.behind("reader", READ);
    let _upgrader = stage.goes_behind(upgrader, "lock table hot in access exclusive mode");

    let seen = stage.look();

    seen.has_edges(&[
        "upgrader => report: public.hot",
        "migrator => report: public.hot",
        "migrator => upgrader: public.hot",
        "reader -> upgrader: public.hot",
        "reader -> migrator: public.hot",
    ]);
    seen.has_roots(&["report"]);
}

/// The truncation has the first table already when it waits for the second.
pub(crate) fn a_truncation_waits_for_a_reader_of_what_refers(stage: &mut Stage<'_>) {
    let _report = stage.holds("report", "select from child");
    let _cleaner = stage.behind("cleaner", "truncate hot cascade");
    let _reader = stage.behind("reader", READ);

    let seen = stage.look();

    seen.has_edges(&[
        "cleaner => report: public.child",
        "reader => cleaner: public.hot",
    ]);
    seen.has_roots(&["report"]);
    seen.has_amplifiers(&["cleaner"]);
}

/// What is taken beside the lock table moves there when somebody asks for more.
pub(crate) fn a_weak_lock_leaves_the_fast_path_to_be_in_the_way(stage: &mut Stage<'_>) {
    let _bystander = stage.holds("bystander", "update child set id = id");
    let _writer = stage.holds("writer", "update child set id = id; update hot set n = 1");
    let _row = stage.behind("row", "update hot set n = 2 where id = 1");
    let _migrator = stage.behind("migrator", ALTER);

    let seen = stage.look();

    seen.has_edges(&[
        "row => writer: public.hot",
        "migrator => writer: public.hot",
        "migrator => row: public.hot",
    ]);
    seen.has_roots(&["writer"]);
    let locks = seen.snapshot.locks.iter();
    let (beside, within): (Vec<_>, Vec<_>) = locks
        .filter(|lock| &*lock.target.locktype == "relation")
        .partition(|lock| lock.fastpath);
    assert!(!beside.is_empty() && !within.is_empty());
    assert!(within.iter().all(|lock| lock.target == within[0].target));
    assert!(beside.iter().all(|lock| lock.target != within[0].target));
}

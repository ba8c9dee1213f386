//! Locks on nothing but a number, often of sessions that do nothing.

use crate::stage::Stage;

pub(crate) fn an_idle_session_holds_an_advisory_lock(stage: &mut Stage<'_>) {
    let mut holder = stage.client("holder");
    holder
        .batch_execute("select pg_advisory_lock(-42); select pg_advisory_lock(7, -3)")
        .unwrap();
    let _one = stage.behind("one", "select pg_advisory_lock(-42)");
    let _two = stage.behind("two", "select pg_advisory_xact_lock(7, -3)");

    let seen = stage.look();

    seen.has_edges(&[
        "one => holder: advisory lock -42",
        "two => holder: advisory lock (7, -3)",
    ]);
    seen.has_roots(&["holder"]);
    seen.has_chains(&[
        "holder holds advisory lock -42",
        "holder holds advisory lock (7, -3)",
    ]);
    let holder = seen.node("holder");
    assert_eq!((&*holder.state, holder.xact_age_ms), ("idle", None));
}

pub(crate) fn equal_numbers_of_two_shapes_are_two_locks(stage: &mut Stage<'_>) {
    let mut first = stage.client("first");
    first
        .batch_execute("select pg_advisory_lock(1, 2)")
        .unwrap();
    let mut second = stage.client("second");
    // The same bits as (1, 2).
    second
        .batch_execute("select pg_advisory_lock((1::bigint << 32) + 2)")
        .unwrap();
    let _waiter = stage.behind("waiter", "select pg_advisory_lock((1::bigint << 32) + 2)");

    let seen = stage.look();

    seen.has_edges(&["waiter => second: advisory lock 4294967298"]);
    seen.has_roots(&["second"]);
}

pub(crate) fn shared_advisory_locks_are_in_the_way_of_an_exclusive_one(stage: &mut Stage<'_>) {
    let share = "select pg_advisory_lock_shared(42)";
    let (mut first, mut second) = (stage.client("first"), stage.client("second"));
    first.batch_execute(share).unwrap();
    second.batch_execute(share).unwrap();
    let _owner = stage.behind("owner", "select pg_advisory_lock(42)");
    let _third = stage.behind("third", share);

    let seen = stage.look();

    seen.has_edges(&[
        "owner => first: advisory lock 42",
        "owner => second: advisory lock 42",
        "third -> owner: advisory lock 42",
    ]);
    seen.has_roots(&["first", "second"]);
}

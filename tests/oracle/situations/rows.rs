//! Waits for a row, and so for the transaction that has changed it.

use crate::stage::Stage;

const UPDATE: &str = "update hot set n = n + 1 where id = 1";

pub(crate) fn one_waiter_on_one_row(stage: &mut Stage<'_>) {
    let _holder = stage.holds("holder", UPDATE);
    let _waiter = stage.behind("waiter", UPDATE);

    let seen = stage.look();

    seen.has_edges(&["waiter => holder: public.hot"]);
    seen.has_roots(&["holder"]);
    seen.has_chains(&["holder holds rows of public.hot"]);
    assert_eq!(seen.edge("waiter").lock.kind, "transactionid");
    assert_eq!(seen.edge("waiter").lock.row.as_deref(), Some("(0,1)"));
    assert_eq!(seen.node("holder").state, "idle in transaction");
}

pub(crate) fn three_waiters_on_one_row(stage: &mut Stage<'_>) {
    let _holder = stage.holds("holder", UPDATE);
    let _first = stage.behind("first", UPDATE);
    let _second = stage.behind("second", UPDATE);
    let _third = stage.behind("third", UPDATE);

    let seen = stage.look();

    seen.has_edges(&[
        "first => holder: public.hot",
        "second => first: public.hot",
        "third -> second: public.hot",
        "third => first: public.hot",
    ]);
    seen.has_roots(&["holder"]);
    seen.has_chains(&["holder holds rows of public.hot"]);
    assert_eq!(seen.edge("third").lock.kind, "tuple");
}

/// Who waits holds what somebody else waits for.
pub(crate) fn a_chain_over_two_tables(stage: &mut Stage<'_>) {
    stage.run("insert into child values (1, null)");
    let _holder = stage.holds("holder", UPDATE);
    let middle = stage.holds("middle", "update child set id = 7 where id = 1");
    let _middle = stage.goes_behind(middle, UPDATE);
    let _last = stage.behind("last", "update child set id = 8 where id = 1");

    let seen = stage.look();

    seen.has_edges(&[
        "middle => holder: public.hot",
        "last => middle: public.child",
    ]);
    seen.has_roots(&["holder"]);
    seen.has_chains(&["holder holds rows of public.hot"]);
    seen.has_amplifiers(&["middle"]);
    assert_eq!(seen.view().chains[0].depth, 2);
    assert_eq!(seen.node("holder").behind, 2);
}

pub(crate) fn a_row_locked_in_a_savepoint(stage: &mut Stage<'_>) {
    let sql = format!("savepoint a; {UPDATE}; release a; savepoint b");
    let _holder = stage.holds("holder", &sql);
    let _waiter = stage.behind("waiter", UPDATE);

    let seen = stage.look();

    seen.has_edges(&["waiter => holder: public.hot"]);
    seen.has_roots(&["holder"]);
}

pub(crate) fn a_key_share_is_in_no_updates_way(stage: &mut Stage<'_>) {
    let _bystander = stage.holds("bystander", "select from hot where id = 1 for key share");
    let _holder = stage.holds("holder", UPDATE);
    let _waiter = stage.behind("waiter", UPDATE);

    let seen = stage.look();

    seen.has_edges(&["waiter => holder: public.hot"]);
    seen.has_roots(&["holder"]);
}

/// The row is another table's than the one that the statement names.
pub(crate) fn a_cascade_waits_for_a_row(stage: &mut Stage<'_>) {
    stage.run(
        "create table leaf (id int primary key, hot int references hot on delete cascade);
         insert into leaf values (1, 1)",
    );
    let _holder = stage.holds("holder", "select from leaf for update");
    let _waiter = stage.behind("waiter", "delete from hot where id = 1");

    let seen = stage.look();

    seen.has_edges(&["waiter => holder: public.leaf"]);
    seen.has_roots(&["holder"]);
}

/// Of several who share a row the server shows the one that is waited for now.
pub(crate) fn two_share_a_row_that_is_deleted(stage: &mut Stage<'_>) {
    let _first = stage.holds("first", "select from hot where id = 1 for key share");
    let _second = stage.holds("second", "select from hot where id = 1 for share");
    let _waiter = stage.behind("waiter", "delete from hot where id = 1");

    let seen = stage.look();

    seen.has_edges(&["waiter => first: public.hot"]);
    seen.has_roots(&["first"]);
}

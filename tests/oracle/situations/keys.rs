//! Waits for a row that is not there yet, or that another row refers to.

use crate::stage::Stage;

pub(crate) fn two_insert_one_key(stage: &mut Stage<'_>) {
    let _holder = stage.holds("holder", "insert into hot values (11, 0)");
    let _waiter = stage.behind("waiter", "insert into hot values (11, 1)");

    let seen = stage.look();

    seen.has_edges(&["waiter => holder: public.hot"]);
    seen.has_roots(&["holder"]);
    let lock = seen.edge("waiter").lock;
    assert_eq!(lock.kind, "transactionid");
    assert_eq!(lock.table_basis, Some("inferred"));
    assert_eq!(seen.edge("waiter").taken_by_query, Some(true));
}

pub(crate) fn two_insert_one_key_or_update(stage: &mut Stage<'_>) {
    let upsert = "insert into hot values (11, 0) on conflict (id) do update set n = excluded.n";
    let _holder = stage.holds("holder", upsert);
    let _updates = stage.behind("updates", upsert);
    let insert = "insert into hot values (11, 1) on conflict do nothing";
    let _nothing = stage.behind("nothing", insert);

    let seen = stage.look();

    seen.has_edges(&[
        "updates => holder: public.hot",
        "nothing => holder: public.hot",
    ]);
    seen.has_roots(&["holder"]);
}

pub(crate) fn a_child_waits_for_its_parents_row(stage: &mut Stage<'_>) {
    let _deletes = stage.holds("deletes", "delete from hot where id = 1");
    let _rekeys = stage.holds("rekeys", "update hot set id = 12 where id = 2");
    let _first = stage.behind("first", "insert into child values (1, 1)");
    let _second = stage.behind("second", "insert into child values (2, 2)");

    let seen = stage.look();

    seen.has_edges(&[
        "first => deletes: public.hot",
        "second => rekeys: public.hot",
    ]);
    seen.has_roots(&["deletes", "rekeys"]);
}

pub(crate) fn a_parent_waits_for_its_child(stage: &mut Stage<'_>) {
    let _child = stage.holds("child", "insert into child values (1, 1)");
    let _parent = stage.behind("parent", "delete from hot where id = 1");

    let seen = stage.look();

    seen.has_edges(&["parent => child: public.hot"]);
    seen.has_roots(&["child"]);
}

/// Between a tentative row and its index entries somebody else finds it.
pub(crate) fn a_tentative_insertion_is_waited_for(stage: &mut Stage<'_>) {
    stage.run(
        "create table draft (id int, title text);
         create unique index on draft (id);
         create function slowly(title text) returns text immutable language plpgsql as
         $$ begin perform pg_advisory_xact_lock_shared(42); return title; end $$;
         create index on draft (slowly(title))",
    );
    let mut lets_go = stage.client("lets_go");
    lets_go
        .batch_execute("select pg_advisory_lock(42)")
        .unwrap();
    let insert = "insert into draft values (1, 'a') on conflict (id) do nothing";
    let _first = stage.behind("first", insert);
    let _second = stage.behind_for("spectoken", "second", insert);

    let seen = stage.look();

    seen.has_edges(&[
        "first => lets_go: advisory lock 42",
        "second => first: public.draft",
    ]);
    seen.has_roots(&["lets_go"]);
    assert_eq!(seen.edge("second").lock.kind, "spectoken");
    seen.has_amplifiers(&["first"]);
}

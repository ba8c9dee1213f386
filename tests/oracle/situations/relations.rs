//! What is locked as a relation of its own, and named by the table that it belongs to.

use crate::stage::Stage;

pub(crate) fn an_index_is_named_by_its_table(stage: &mut Stage<'_>) {
    let _report = stage.holds("report", "select from hot where id = 1");
    let _mover = stage.behind("mover", "alter index hot_pkey set tablespace pg_default");

    let seen = stage.look();

    seen.has_edges(&["mover => report: public.hot"]);
    seen.has_roots(&["report"]);
    seen.has_chains(&["report holds table public.hot"]);
}

pub(crate) fn an_index_is_rebuilt_behind_a_writer(stage: &mut Stage<'_>) {
    let _writer = stage.holds("writer", "update hot set n = 1 where id = 1");
    let _keeper = stage.behind("keeper", "reindex index hot_pkey");
    let _follower = stage.behind("follower", "update hot set n = 1 where id = 2");

    let seen = stage.look();

    seen.has_edges(&[
        "keeper => writer: public.hot",
        "follower -> keeper: public.hot",
    ]);
    seen.has_roots(&["writer"]);
    seen.has_chains(&["writer holds table public.hot, reindex index hot_pkey of keeper queues"]);
}

pub(crate) fn a_toast_table_is_named_by_its_owner(stage: &mut Stage<'_>) {
    stage.run("create table letter (id int, body text); alter table letter alter body set storage external");
    let toast: String = stage
        .client("setup")
        .query_one(
            "select reltoastrelid::regclass::text from pg_class where relname = 'letter'",
            &[],
        )
        .unwrap()
        .get(0);
    let _writer = stage.holds(
        "writer",
        "insert into letter values (1, repeat('x', 100000))",
    );
    let _keeper = stage.behind("keeper", &format!("reindex table {toast}"));

    let seen = stage.look();

    seen.has_edges(&["keeper => writer: public.letter"]);
    seen.has_roots(&["writer"]);
}

pub(crate) fn a_partition_is_told_with_the_table_above(stage: &mut Stage<'_>) {
    stage.run(
        "create table reading (day int, n int) partition by list (day);
         create table reading_week partition of reading for values in (1, 2) partition by list (day);
         create table reading_1 partition of reading_week for values in (1);
         insert into reading values (1, 0)",
    );
    let _writer = stage.holds("writer", "update reading set n = 1");
    let _row = stage.behind("row", "update reading set n = 2");
    let _keeper = stage.behind("keeper", "alter table reading_1 add check (n > -1)");

    let seen = stage.look();

    seen.has_edges(&[
        "row => writer: public.reading_1",
        "keeper => writer: public.reading_1",
        "keeper => row: public.reading_1",
    ]);
    seen.has_roots(&["writer"]);
    for waiter in ["row", "keeper"] {
        let lock = seen.edge(waiter).lock;
        assert_eq!(lock.topmost.as_deref(), Some("public.reading"));
    }
}

pub(crate) fn a_table_of_another_database(stage: &mut Stage<'_>) {
    stage.run("create database elsewhere");
    let mut holder = stage.client_in("elsewhere", "holder");
    holder
        .batch_execute("create table orders (id int, n int); insert into orders values (1, 0)")
        .unwrap();
    let update = "update orders set n = n + 1";
    holder.batch_execute(&format!("begin; {update}")).unwrap();
    let _waiter = stage.behind_in("elsewhere", "waiter", update);
    let _keeper = stage.behind_in(
        "elsewhere",
        "keeper",
        "begin; lock table orders in share mode",
    );

    let seen = stage.look();

    seen.has_edges(&[
        "waiter => holder: public.orders",
        "keeper => holder: public.orders",
        "keeper => waiter: public.orders",
    ]);
    seen.has_roots(&["holder"]);
    assert_eq!(seen.node("waiter").database.as_deref(), Some("elsewhere"));
}

pub(crate) fn a_schema_is_dropped_behind_who_fills_it(stage: &mut Stage<'_>) {
    stage.run("drop schema if exists attic cascade; create schema attic");
    let _mover = stage.holds("mover", "create table attic.trunk (id int)");
    let _cleaner = stage.behind("cleaner", "drop schema attic");

    let seen = stage.look();

    seen.agrees();
    seen.has_roots(&["mover"]);
    let lock = seen.edge("cleaner").lock;
    assert_eq!((&*lock.kind, lock.table), ("object", None));
    assert!(lock.target.starts_with("schema "), "{}", lock.target);
}

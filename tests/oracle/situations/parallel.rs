//! Queries that several processes work at: each is one, under its leader's name.

use crate::stage::Stage;

/// Makes two workers do a query's work while the leader waits for them.
const TWO_WORKERS: &str = "set min_parallel_table_scan_size = 0; set parallel_setup_cost = 0;
set parallel_tuple_cost = 0; set max_parallel_workers_per_gather = 2;
set parallel_leader_participation = off;";

fn prepare(stage: &Stage<'_>) {
    stage.run(
        "create table wide as select n id, repeat('x', 900) filler from generate_series(1, 1000) n;
         alter table wide set (parallel_workers = 2);
         analyze wide;
         create function waits(id int) returns int parallel safe language plpgsql as
         $$ begin perform pg_advisory_xact_lock_shared(42); return id; end $$;
         create function sleeps(id int) returns int parallel safe language plpgsql as
         $$ begin perform pg_sleep(600); return id; end $$",
    );
}

pub(crate) fn workers_wait_as_their_leader(stage: &mut Stage<'_>) {
    prepare(stage);
    let mut holder = stage.client("holder");
    holder.batch_execute("select pg_advisory_lock(42)").unwrap();
    let mut report = stage.client("report");
    report.batch_execute(TWO_WORKERS).unwrap();
    let report = stage.goes_behind(report, "select sum(waits(id)) from wide");
    stage.until(&format!(
        "select count(*) = 2 from pg_stat_activity
          where leader_pid = {} and wait_event = 'advisory'",
        report.pid
    ));
    let _migrator = stage.behind("migrator", "alter table wide add column region text");

    let seen = stage.look();

    assert_eq!(
        seen.snapshot
            .locks
            .iter()
            .filter(|lock| !lock.granted)
            .count(),
        3
    );
    seen.has_edges(&[
        "report => holder: advisory lock 42",
        "report => holder: advisory lock 42",
        "migrator => report: public.wide",
    ]);
    seen.has_roots(&["holder"]);
    seen.has_amplifiers(&["report"]);
}

pub(crate) fn workers_hold_as_their_leader(stage: &mut Stage<'_>) {
    prepare(stage);
    let mut report = stage.client("report");
    report.batch_execute(TWO_WORKERS).unwrap();
    let report = stage.waiting(
        report,
        "select sum(sleeps(id)) from wide",
        "wait_event = 'PgSleep'",
    );
    stage.until(&format!(
        "select count(*) = 2 from pg_stat_activity
          where leader_pid = {} and wait_event = 'PgSleep'",
        report.pid
    ));
    let _migrator = stage.behind("migrator", "alter table wide add column region text");

    let seen = stage.look();

    let holds = seen.snapshot.locks.iter().filter(|lock| lock.granted);
    assert_eq!(holds.count(), 3, "a leader and two workers");
    seen.has_edges(&["migrator => report: public.wide"]);
    seen.has_roots(&["report"]);
}

//! Waits for the server's own processes, its commits and its snapshots.

use pgjam::graph::view::Autovacuum;

use crate::stage::Stage;

pub(crate) fn a_vacuum_against_wraparound_holds_a_table(stage: &mut Stage<'_>) {
    stage.set("autovacuum_naptime", "1s");
    stage.set("autovacuum", "on");
    stage.run(
        "create table ledger (id int, filler text) with (autovacuum_freeze_max_age = 100000,
         autovacuum_vacuum_cost_delay = 100, autovacuum_vacuum_cost_limit = 1);
         insert into ledger select n, repeat('x', 500) from generate_series(1, 20000) n;
         do $$ begin for n in 1..110000 loop begin
         insert into ledger values (n); exception when others then null; end; end loop; end $$",
    );
    stage.until(
        "select exists (select from pg_stat_activity
          where backend_type = 'autovacuum worker'
            and query like '%ledger (to prevent wraparound)')",
    );
    let _migrator = stage.behind("migrator", "alter table ledger add column region text");
    let _reader = stage.behind("reader", "select from ledger");

    let seen = stage.look();

    seen.has_edges(&[
        "migrator => autovacuum worker: public.ledger",
        "reader -> migrator: public.ledger",
    ]);
    seen.has_roots(&["autovacuum worker"]);
    let root = seen.node("autovacuum worker");
    assert_eq!(root.autovacuum, Some(Autovacuum::AgainstWraparound));
    seen.has_chains(&[
        "autovacuum worker holds table public.ledger, alter table ledger of migrator queues",
    ]);
}

pub(crate) fn an_index_is_built_beside_an_old_transaction(stage: &mut Stage<'_>) {
    let _writer = stage.holds("writer", "insert into hot values (11, 0)");
    let _indexer = stage.behind("indexer", "create index concurrently on hot (n)");
    let _keeper = stage.behind("keeper", "vacuum hot");

    let seen = stage.look();

    seen.has_edges(&[
        "indexer => writer: a virtual transaction",
        "keeper => indexer: public.hot",
    ]);
    seen.has_roots(&["writer"]);
    seen.has_chains(&["writer holds its transaction open"]);
    seen.has_amplifiers(&["indexer"]);
}

const WRITE: &str =
    "set transaction isolation level serializable; update hot set n = 1 where id = 1";
const BACK_UP: &str = "begin isolation level serializable read only deferrable; select from hot";

/// The server's function says nothing about it.
pub(crate) fn a_safe_snapshot_waits_for_a_writer(stage: &mut Stage<'_>) {
    let _writer = stage.holds("writer", WRITE);
    let _backup = stage.behind_for("SafeSnapshot", "backup", BACK_UP);

    let seen = stage.look();

    assert!(seen.truth.blockers.is_empty());
    seen.has_edges(&["backup => writer: safe snapshot"]);
    seen.has_roots(&["writer"]);
    seen.has_chains(&["writer holds back a safe snapshot"]);
    assert!(seen.view().without_holder.is_empty());
}

/// Which of the prepared transactions it is the server tells nobody.
pub(crate) fn a_safe_snapshot_waits_for_a_prepared_transaction(stage: &mut Stage<'_>) {
    let mut writer = stage.holds("writer", WRITE);
    writer
        .batch_execute("prepare transaction 'payment-17'")
        .unwrap();
    let _backup = stage.behind_for("SafeSnapshot", "backup", BACK_UP);

    let seen = stage.look();

    assert!(seen.truth.blockers.is_empty());
    seen.has_edges(&["backup => owner a prepared transaction: safe snapshot"]);
    seen.has_roots(&["owner a prepared transaction"]);
}

/// Commits that NOTIFY go one at a time, and the first waits for a standby that is not there.
pub(crate) fn a_commit_with_notify_waits_for_another(stage: &mut Stage<'_>) {
    stage.set("synchronous_standby_names", "missing");
    until_commits_wait(stage);
    let commit = |id| {
        format!(
            "set synchronous_commit = on;
             begin; update hot set n = 1 where id = {id}; notify news; commit"
        )
    };
    let _first = stage.behind_for("SyncRep", "first", &commit(1));
    let _second = stage.behind("second", &commit(2));

    let seen = stage.look();

    seen.has_edges(&["second => first: the lock of commits that NOTIFY"]);
    seen.has_roots(&["first"]);
    seen.has_chains(&["first holds the lock of commits that NOTIFY"]);
    let root = seen.node("first");
    assert_eq!(root.wait_event.as_deref(), Some("IPC: SyncRep"));
    assert_eq!(seen.view().without_holder["IPC: SyncRep"], 1);
}

/// The checkpointer tells the others, some time after it was told.
fn until_commits_wait(stage: &Stage<'_>) {
    let mut probe = stage.client("probe");
    probe.batch_execute("set synchronous_commit = on").unwrap();
    let commits = "do $$ begin loop update hot set n = n where id = 10; commit; end loop; end $$";
    let probe = stage.waiting(probe, commits, "wait_event = 'SyncRep'");
    // Cancelled, it would go on with the next commit.
    stage.run(&format!("select pg_terminate_backend({})", probe.pid));
}

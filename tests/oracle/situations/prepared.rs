//! Transactions that hold what they hold without a session.

use std::thread::sleep;
use std::time::{Duration, Instant};

use postgres::Client;
use rustix::process::{Pid, Signal, kill_process};

use crate::stage::{SOON, Stage, pid};

const UPDATE: &str = "update hot set n = n + 1 where id = 1";

pub(crate) fn a_prepared_transaction_holds_a_row(stage: &mut Stage<'_>) {
    prepare(stage, UPDATE, "payment-17");
    let victim = stage.behind("victim", UPDATE);

    let seen = stage.look();

    assert_eq!(seen.truth.blockers[&victim.pid], [0].into());
    seen.has_edges(&["victim => payment-17: public.hot"]);
    seen.has_roots(&["payment-17"]);
    let root = seen.node("payment-17");
    assert_eq!(root.state, "prepared");
    assert_eq!(root.role.as_deref(), Some("postgres"));
    assert_eq!(root.database.as_deref(), Some("postgres"));
    assert!(root.xact_age_ms.is_some());
}

pub(crate) fn two_prepared_transactions_share_a_table(stage: &mut Stage<'_>) {
    prepare(stage, "lock table hot in share mode", "export-1");
    prepare(stage, "lock table hot in share mode", "export-2");
    let victim = stage.behind("victim", UPDATE);

    let seen = stage.look();

    // Two of them are one to the server.
    assert_eq!(seen.truth.blockers[&victim.pid], [0].into());
    seen.has_edges(&[
        "victim => export-1: public.hot",
        "victim => export-2: public.hot",
    ]);
    seen.has_roots(&["export-1", "export-2"]);
}

pub(crate) fn a_prepared_transaction_survives_a_crash(stage: &mut Stage<'_>) {
    prepare(stage, UPDATE, "payment-17");
    crash(stage);
    let _victim = stage.behind("victim", UPDATE);

    let seen = stage.look();

    // What was read back from disk has no place among the backends.
    let holder = seen.snapshot.locks.iter().find(|lock| lock.pid.is_none());
    assert!(holder.unwrap().owner.starts_with("-1/"), "{holder:?}");
    seen.has_edges(&["victim => payment-17: public.hot"]);
    seen.has_roots(&["payment-17"]);
}

fn prepare(stage: &Stage<'_>, sql: &str, gid: &str) {
    let mut client = stage.holds("shop", sql);
    let prepare = format!("prepare transaction '{gid}'");
    client.batch_execute(&prepare).unwrap();
}

/// Ends a backend so that the server has to begin anew from what is on disk.
fn crash(stage: &Stage<'_>) {
    let mut bystander = stage.client("bystander");
    let mut doomed = stage.client("doomed");
    let backend = Pid::from_raw(pid(&mut doomed)).unwrap();
    kill_process(backend, Signal::KILL).unwrap();
    let begun = Instant::now();
    let answers = |client: &mut Client| client.batch_execute("select").is_ok();
    // The server lets nobody in from the moment at which it ends everybody.
    while answers(&mut bystander) {
        assert!(begun.elapsed() < SOON, "it does not notice");
        sleep(Duration::from_millis(2));
    }
    let connect = || stage.server().connect("postgres");
    while !connect().is_ok_and(|mut client| answers(&mut client)) {
        assert!(begun.elapsed() < SOON, "it does not come back");
        sleep(Duration::from_millis(10));
    }
}

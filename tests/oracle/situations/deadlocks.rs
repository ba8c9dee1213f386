//! Those who wait for each other, before the server has noticed.

use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::stage::{SOON, Stage};

pub(crate) fn two_rows_in_two_orders(stage: &mut Stage<'_>) {
    let lock = |id| format!("update hot set n = 0 where id = {id}");
    let first = stage.holds("first", &lock(1));
    let second = stage.holds("second", &lock(2));
    let first = stage.goes_behind(first, &lock(2));
    let second = stage.goes_behind(second, &lock(1));
    let _victim = stage.behind("victim", &lock(1));

    let seen = stage.look();

    seen.has_edges(&[
        "first => second: public.hot",
        "second => first: public.hot",
        "victim => second: public.hot",
    ]);
    seen.has_roots(&[]);
    let mut members = vec![first.pid, second.pid];
    members.sort_unstable();
    assert_eq!(seen.view().cycles, [members]);
    seen.has_chains(&["deadlock among first, second over rows of public.hot"]);
}

/// The server dissolves it by letting the reader go first.
pub(crate) fn a_cycle_through_a_queue(stage: &mut Stage<'_>) {
    let report = stage.holds("report", "select from hot");
    let loader = stage.holds("loader", "lock table child in access exclusive mode");
    let migrator = stage.behind("migrator", "alter table hot add column region text");
    let loader = stage.goes_behind(loader, "select from hot");
    let report = stage.goes_behind(report, "select from child");

    let seen = stage.look();

    seen.has_edges(&[
        "migrator => report: public.hot",
        "loader ?> migrator: public.hot",
        "report => loader: public.child",
    ]);
    seen.has_roots(&[]);
    let mut members = vec![report.pid, loader.pid, migrator.pid];
    members.sort_unstable();
    assert_eq!(seen.view().cycles, [members]);
}

/// Before it calls a cycle a deadlock the server puts the queue in another order, and says so in
/// its log alone.
pub(crate) fn a_queue_that_the_server_has_rearranged(stage: &mut Stage<'_>) {
    stage.set("deadlock_timeout", "60ms");
    let log = || std::fs::read_to_string(stage.server().log_path()).unwrap();
    let so_far = log().len();
    let report = stage.holds("report", "select from hot");
    let keeper = stage.holds("keeper", "lock table hot in share row exclusive mode");
    let loader = stage.holds("loader", "lock table child in access exclusive mode");
    let _migrator = stage.behind("migrator", "alter table hot add column region text");
    let _loader = stage.goes_behind(loader, "lock table hot in row exclusive mode");
    let _report = stage.goes_behind(report, "select from child");
    let begun = Instant::now();
    while !log()[so_far..].contains("rearranging queue order") {
        assert!(begun.elapsed() < SOON, "it is not rearranged");
        sleep(Duration::from_millis(5));
    }

    let seen = stage.look();

    seen.has_edges(&[
        "loader => keeper: public.hot",
        "migrator => keeper: public.hot",
        "migrator => report: public.hot",
        "migrator ?> loader: public.hot",
        "report => loader: public.child",
    ]);
    seen.has_roots(&["keeper"]);
    assert!(seen.view().cycles.is_empty());
    drop(keeper);
}

//! Those who wait for each other, before the server has noticed.

use crate::stage::Stage;

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

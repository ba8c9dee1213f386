//! What a server does to who watches it.

use rustix::process::Signal;

use crate::stage::{Scene, WATCHER, pass};

/// Stops the server as told while it is watched under load, starts it again, and balances.
#[track_caller]
fn comes_back_after(how: Signal) {
    let scene = Scene::set();
    let load = scene.load();
    let mut watch = scene.watch();
    watch.hear("watching ");
    pass(1.5);
    scene.server.halt(how).unwrap();
    watch.hear("trying again in ");
    pass(1.0);
    scene.resume();
    watch.hear("watching ");
    pass(1.5);
    watch.ends_well();
    drop(load);
    scene.is_left_alone();
    let ledger = scene.ledger();
    ledger.balances(1);
    assert!(ledger.longest_gap() > 1.0);
    assert_eq!(ledger.lost("lost_connections"), 1);
    assert_eq!(ledger.lost("observer_restarts"), 0);
    assert!(ledger.events().contains(&"server-restarted"));
}

pub(crate) fn a_fast_restart_is_a_gap() {
    comes_back_after(Signal::INT);
}

pub(crate) fn an_immediate_restart_is_a_gap() {
    comes_back_after(Signal::QUIT);
}

pub(crate) fn a_postmaster_that_is_killed_is_a_gap() {
    comes_back_after(Signal::KILL);
}

/// The server is gone while the program waits to try again, and both are gone for a while.
pub(crate) fn the_end_and_the_beginning_come_while_the_server_is_away() {
    let scene = Scene::set();
    let mut watch = scene.watch();
    watch.hear("watching ");
    pass(1.0);
    scene.server.halt(Signal::INT).unwrap();
    watch.hear("trying again in ");
    watch.ends_well();
    let mut watch = scene.watch();
    watch.hear("trying again in ");
    scene.resume();
    watch.hear("watching ");
    pass(1.0);
    watch.ends_well();
    let ledger = scene.ledger();
    ledger.balances(1);
    assert_eq!(ledger.lost("lost_connections"), 1);
    assert_eq!(ledger.lost("observer_restarts"), 1);
    assert!(ledger.events().contains(&"server-restarted"));
}

pub(crate) fn a_backend_that_is_terminated_again_and_again_is_found_again() {
    let scene = Scene::set();
    let _load = scene.load();
    let mut watch = scene.watch();
    for _ in 0..3 {
        watch.hear("watching ");
        pass(0.7);
        scene.run(&format!(
            "select pg_terminate_backend(pid) from pg_stat_activity where usename = '{WATCHER}'"
        ));
        watch.hear("trying again in ");
    }
    watch.hear("watching ");
    pass(0.7);
    watch.ends_well();
    scene.is_left_alone();
    let ledger = scene.ledger();
    ledger.balances(1);
    assert_eq!(ledger.lost("lost_connections"), 3);
}

/// Checkpoints and the list of running transactions, which a server writes of its own accord, are
/// put out of the way; so are dead rows, which even a reader may prune. Then its WAL stands still.
pub(crate) fn nothing_is_written_on_a_server_that_is_watched() {
    let scene = Scene::with(&[
        ("autovacuum", "off"),
        ("checkpoint_timeout", "1h"),
        ("wal_level", "minimal"),
        ("max_wal_senders", "0"),
    ]);
    scene.run("vacuum");
    scene.run("checkpoint");
    let mut client = scene.superuser();
    let mut position = || -> String {
        let row = client.query_one("select pg_current_wal_insert_lsn()::text", &[]);
        row.unwrap().get(0)
    };
    // The first session of a role and the first use of anything else may set hint bits.
    let mut watch = scene.watch();
    watch.hear("watching ");
    pass(1.0);
    let before = position();
    pass(3.0);
    watch.ends_well();
    let mut watch = scene.watch();
    watch.hear("watching ");
    pass(1.5);
    watch.ends_well();
    assert_eq!(position(), before);
    scene.is_left_alone();
    scene.ledger().balances(1);
}

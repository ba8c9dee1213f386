//! What an administrator takes away from who watches, and gives back.

use std::thread::sleep;
use std::time::Duration;

use crate::stage::{Scene, WATCHER, Watch, pass};

/// Takes something away, ends the session so that it is felt at once, and gives it back.
#[track_caller]
fn goes_on_after(take: &str, said: &str, give: &str) {
    let scene = Scene::set();
    let _load = scene.load();
    let mut watch = scene.watch();
    watch.hear("watching ");
    pass(0.7);
    scene.run(take);
    scene.run(&format!(
        "select pg_terminate_backend(pid) from pg_stat_activity where usename = '{WATCHER}'"
    ));
    watch.hear(said);
    watch.hear("trying again in ");
    scene.run(give);
    watch.hear("watching ");
    pass(0.7);
    watch.ends_well();
    scene.is_left_alone();
    let ledger = scene.ledger();
    ledger.balances(1);
    assert_eq!(ledger.lost("lost_connections"), 1);
    assert!(ledger.lost("failed_connections") >= 1);
}

pub(crate) fn a_role_that_may_not_log_in_for_a_while_is_a_gap() {
    goes_on_after(
        "alter role watcher nologin",
        "is not permitted to log in",
        "alter role watcher login",
    );
}

pub(crate) fn a_database_that_may_not_be_entered_for_a_while_is_a_gap() {
    goes_on_after(
        "revoke connect on database postgres from public",
        "GRANT CONNECT ON DATABASE",
        "grant connect on database postgres to public",
    );
}

pub(crate) fn a_role_without_a_connection_to_spare_is_a_gap() {
    goes_on_after(
        "alter role watcher connection limit 0",
        "too many connections",
        "alter role watcher connection limit -1",
    );
}

pub(crate) fn a_role_that_sees_too_little_for_a_while_is_a_gap() {
    goes_on_after(
        "revoke pg_monitor from watcher",
        "GRANT",
        "grant pg_monitor to watcher",
    );
}

/// Without a reconnect the watch goes on, blind to what others do, and says how much it is.
pub(crate) fn a_privilege_that_is_revoked_in_mid_flight_is_told_and_ends_nothing() {
    let scene = Scene::set();
    let _load = scene.load();
    let mut watch = scene.watch();
    watch.hear("watching ");
    pass(0.7);
    scene.run("revoke pg_monitor from watcher");
    pass(1.5);
    scene.run("grant pg_monitor to watcher");
    pass(1.0);
    watch.ends_well();
    let ledger = scene.ledger();
    ledger.balances(1);
    assert!(ledger.lost("hidden_sessions") > 0);
    assert_eq!(ledger.lost("lost_connections"), 0);
}

pub(crate) fn a_password_that_changes_is_felt_at_the_next_connection() {
    let scene = Scene::with_password("first");
    let _load = scene.load();
    let dsn = |password: &str| format!("{} password={password}", scene.tcp_dsn());
    let mut watch = Watch::start(&dsn("first"), &scene.to());
    watch.hear("watching ");
    pass(0.7);
    scene.run("alter role watcher password 'second'");
    pass(0.7);
    scene.run("select pg_terminate_backend(pid) from pg_stat_activity where usename = 'watcher'");
    watch.hear("password authentication failed");
    scene.run("alter role watcher password 'first'");
    watch.hear("watching ");
    pass(0.7);
    watch.ends_well();
    scene.is_left_alone();
    scene.ledger().balances(1);
}

pub(crate) fn a_server_without_room_lets_in_again_when_there_is_some() {
    let scene = Scene::with(&[
        ("max_connections", "12"),
        ("superuser_reserved_connections", "3"),
    ]);
    let mut watch = scene.watch();
    watch.hear("watching ");
    pass(0.7);
    // Whoever is dropped finds the last place taken.
    let mut crowd: Vec<_> = Vec::new();
    scene.run("create role crowd login");
    while crowd.len() < 8 {
        let config: postgres::Config = scene.server.dsn("postgres", "crowd").parse().unwrap();
        crowd.push(config.connect(postgres::NoTls).unwrap());
    }
    scene.run("select pg_terminate_backend(pid) from pg_stat_activity where usename = 'watcher'");
    let config: postgres::Config = scene.server.dsn("postgres", "crowd").parse().unwrap();
    while crowd.len() < 9 {
        crowd.extend(config.connect(postgres::NoTls).ok());
    }
    // The role has pg_monitor's right to be shown others, and no right to a reserved place.
    watch.hear("slots");
    drop(crowd);
    watch.hear("watching ");
    pass(0.7);
    watch.ends_well();
    scene.ledger().balances(1);
}

/// Dropped with force while it is watched from within, and made anew under the same name.
pub(crate) fn a_database_that_is_dropped_under_the_watch_is_a_gap_until_it_is_back() {
    let scene = Scene::set();
    scene.run("create database town");
    let dsn = scene.server.dsn("town", WATCHER);
    let mut watch = Watch::start(&dsn, &scene.to());
    watch.hear("watching ");
    pass(0.7);
    scene.run("drop database town with (force)");
    watch.hear("does not exist");
    scene.run("create database town");
    watch.hear("watching ");
    pass(0.7);
    watch.ends_well();
    let ledger = scene.ledger();
    ledger.balances(1);
    assert_eq!(ledger.lost("lost_connections"), 1);
}

/// Another database comes and goes while its relations have no name yet.
pub(crate) fn another_database_that_is_dropped_disturbs_nothing() {
    let scene = Scene::set();
    let mut watch = scene.watch();
    watch.hear("watching ");
    for turn in 0..3 {
        scene.run("create database town");
        let mut config: postgres::Config = scene.server.dsn("town", "postgres").parse().unwrap();
        config.application_name(&format!("resident-{turn}"));
        let mut holder = config.connect(postgres::NoTls).unwrap();
        holder
            .batch_execute("create table house (n int); begin; lock table house")
            .unwrap();
        let waiter = std::thread::spawn(move || {
            let mut waiter = config.connect(postgres::NoTls).unwrap();
            let _ = waiter.batch_execute("select * from house");
        });
        sleep(Duration::from_millis(400));
        scene.run("drop database town with (force)");
        waiter.join().unwrap();
    }
    watch.ends_well();
    scene.is_left_alone();
    let ledger = scene.ledger();
    ledger.balances(1);
    assert_eq!(ledger.lost("lost_connections"), 0);
}

/// Reset, dropped, missing and made again: the watch goes on and says what it lost. The counters
/// are read with the first look and with the end.
pub(crate) fn counters_that_are_reset_or_dropped_are_told_and_end_nothing() {
    let scene = Scene::set();
    let _load = scene.load();
    for happens in [
        "select pg_stat_statements_reset()",
        "drop extension pg_stat_statements",
        "create extension pg_stat_statements",
    ] {
        let mut watch = scene.watch();
        watch.hear("watching ");
        pass(1.2);
        scene.run(happens);
        pass(0.5);
        watch.ends_well();
    }
    let ledger = scene.ledger();
    ledger.balances(1);
    assert!(ledger.lost("reset_counters") + ledger.lost("evicted_counters") > 0);
    assert_eq!(ledger.lost("refused_counters"), 1);
    assert_eq!(ledger.lost("lost_connections"), 0);
}

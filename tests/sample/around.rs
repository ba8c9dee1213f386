//! What the slow looks see around the sessions, and what they may never wait for or tell.

use std::time::{Duration, Instant};

use pgjam::sample::live::Source;
use pgjam::sample::{Loss, Surroundings};

use crate::stage::{Lab, SOON, aside, pid};

fn do_in(lab: &Lab, sql: &str) {
    aside(|| lab.client("setup").batch_execute(sql).unwrap());
}

/// Looks around until something is as it should be.
async fn until(source: &mut Source<'_>, holds: impl Fn(&Surroundings) -> bool) -> Surroundings {
    let begun = Instant::now();
    let mut all = Surroundings::default();
    while !holds(&all) {
        assert!(begun.elapsed() < SOON, "never seen: {all:#?}");
        all.extend(source.look_around().await.unwrap());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    all
}

fn is_setting(around: &Surroundings, name: &str, value: Option<&str>) -> bool {
    let told = around.settings.iter().rfind(|it| &*it.name == name);
    told.is_some_and(|it| it.value.as_deref() == value)
}

#[test]
fn what_is_done_to_tables_is_told_when_it_changes() {
    let lab = Lab::start();
    lab.watch(async |source| {
        assert!(source.should_look_around());
        let first = until(source, |around| !around.tables.is_empty()).await;
        assert!(!source.should_look_around());
        let hot = first.tables.iter().find(|table| table.inserted == 2);
        let hot = *hot.unwrap_or_else(|| panic!("{first:#?}"));
        do_in(&lab, "update hot set n = n + 1");
        let grown = until(source, |around| {
            let told = around.tables.iter().find(|table| table.table == hot.table);
            told.is_some_and(|table| table.updated == hot.updated + 2)
        });
        let grown = grown.await;
        assert!(grown.databases.iter().any(|database| database.updated >= 2));
        assert!(grown.server.iter().any(|it| &*it.name == "wal_bytes"));
    });
}

#[test]
fn a_locked_table_delays_no_look_around_and_a_locked_catalogue_only_that_of_tables() {
    let lab = Lab::start();
    do_in(&lab, "alter role postgres set lock_timeout = '100ms'");
    let mut holder = lab.client("holder");
    holder.batch_execute("set lock_timeout = 0; begin").unwrap();
    let mut hold = |what: &str| aside(|| holder.batch_execute(what).unwrap());
    lab.watch(async |source| {
        source.look_around().await.unwrap();
        // Whoever connects from now on waits for these.
        hold("lock hot; lock pg_catalog.pg_database, pg_catalog.pg_authid");
        source.look_around().await.unwrap();
        assert_eq!(source.losses(), []);

        hold("lock pg_catalog.pg_class");
        let around = source.look_around().await.unwrap();
        assert!(around.tables.is_empty());
        let losses = source.losses();
        let of_tables = |loss: &Loss| &*loss.kind == "timed_out_tables" && loss.count == 1;
        assert!(
            losses.iter().all(of_tables) && losses.len() == 1,
            "{losses:?}"
        );
        // What took so long is not asked soon again.
        assert!(!source.should_look_around());
    });
}

#[test]
fn the_oldest_horizons_are_told_with_their_owners() {
    let lab = Lab::start();
    do_in(
        &lab,
        "begin; insert into hot values (7, 0); prepare transaction 'order-7'",
    );
    let mut old = lab.client("report");
    old.batch_execute("begin isolation level repeatable read; select n from hot")
        .unwrap();
    let old_pid = pid(&mut old);
    lab.watch(async |source| {
        let around = source.look_around().await.unwrap();
        let owners: Vec<(&str, Option<&str>, Option<i32>)> = around
            .horizons
            .iter()
            .map(|it| (&*it.kind, it.owner.as_deref(), it.pid.map(|pid| pid.0)))
            .collect();
        assert!(
            owners.contains(&("prepared", Some("order-7"), None)),
            "{owners:?}"
        );
        assert!(
            owners.contains(&("backend", Some("report"), Some(old_pid))),
            "{owners:?}"
        );
    });
}

#[test]
fn changed_settings_are_told_and_no_secret_among_them() {
    let lab = Lab::with(&[
        ("primary_conninfo", "'host=nowhere password=hush'"),
        ("work_mem", "5MB"),
        ("log_line_prefix", "'hush %m '"),
    ]);
    lab.watch(async |source| {
        let first = source.look_around().await.unwrap();
        assert!(
            is_setting(&first, "work_mem", Some("5120 kB")),
            "{first:#?}"
        );
        let told = format!("{:?}", first.settings);
        assert!(told.contains("log_line_prefix"), "{told}");
        assert!(
            !told.contains("hush") && !told.contains("conninfo"),
            "{told}"
        );

        do_in(&lab, "alter system set work_mem = '6MB'");
        do_in(&lab, "alter system set log_lock_waits = on");
        do_in(&lab, "select pg_reload_conf()");
        until(source, |around| {
            is_setting(around, "work_mem", Some("6144 kB"))
        })
        .await;
        do_in(&lab, "alter system reset log_lock_waits");
        do_in(&lab, "select pg_reload_conf()");
        until(source, |around| is_setting(around, "log_lock_waits", None)).await;
    });
}

#[test]
fn a_function_that_the_role_may_not_call_is_asked_once() {
    let lab = Lab::start();
    do_in(
        &lab,
        "create role watcher login in role pg_monitor;
         revoke execute on function pg_catalog.pg_prepared_xact() from public",
    );
    lab.watch_as(
        "watcher",
        "postgres",
        crate::stage::quick(),
        async |source| {
            for _ in 0..3 {
                let around = source.look_around().await.unwrap();
                assert!(around.horizons.is_empty());
            }
            let losses = source.losses();
            let refused = losses.iter().find(|loss| &*loss.kind == "refused_horizons");
            assert_eq!(refused.map(|loss| loss.count), Some(1), "{losses:?}");
        },
    );
}

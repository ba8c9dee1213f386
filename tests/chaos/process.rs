//! What happens to the program itself.

use std::fs;
use std::process::Command;

use pgjam::recording::Recording;
use pgjam::time::Timestamp;
use rustix::process::{Pid, Signal, kill_process};

use crate::orphans;
use crate::stage::{HZ, Scene, Watch, pass, tell};

/// How often it is killed, unless `PGJAM_KILLS` says another number.
const KILLS: u64 = 8;

/// Killed at other places between two flushes, and started again on what it left, under load.
pub(crate) fn after_kill_9_at_most_the_last_second_is_missing() {
    goes_on_after_kill_9(Scene::watch, 0.0);
}

/// The pace before the kill is not the one that the next watch begins with.
pub(crate) fn after_kill_9_by_need_what_is_missing_is_counted_as_well() {
    goes_on_after_kill_9(Scene::watch_by_need, 2.0);
}

/// Kills a watch of which two looks may be `apart` seconds from each other while nobody waits.
#[track_caller]
fn goes_on_after_kill_9(watch: fn(&Scene) -> Watch, apart: f64) {
    let kills = std::env::var("PGJAM_KILLS").map_or(KILLS, |number| number.parse().unwrap());
    let scene = Scene::set();
    // Of so many some wait at any time.
    let _load = [scene.load(), scene.load()];
    let mut worst: f64 = 0.0;
    let mut killed = Vec::new();
    for kill in 0..kills {
        let mut watch = watch(&scene);
        watch.hear("watching ");
        pass(1.0 + apart + (kill * 611 % 1_000) as f64 / 1_000.0);
        let then = watch.kill();
        killed.push(then);
        // It opens, whatever the last write was in the middle of.
        let ledger = scene.ledger();
        let missing = ledger.missing_before(then);
        assert!(
            missing < 1.0 + apart,
            "{missing:.3} s are missing after kill {kill}"
        );
        worst = worst.max(missing);
        // So many ticks fit into a second.
        ledger.balances_but_for(orphans::lost(&ledger), HZ.try_into().unwrap());
        assert_eq!(ledger.lost("observer_restarts"), kill);
    }
    tell(&format!(
        "after {kills} kills {worst:.3} s were missing at most"
    ));
    let mut last = watch(&scene);
    last.hear("watching ");
    pass(0.7);
    last.ends_well();
    scene.is_left_alone();
    let ledger = scene.ledger();
    ledger.balances_but_for(orphans::lost(&ledger), 1);
    // What a kill leaves in the middle of writing is of its last second, and counted.
    let orphans = orphans::of(&scene.to());
    assert_eq!(ledger.lost(orphans::KIND), orphans.len() as u64);
    for at in orphans {
        let before = |then: &Timestamp| then.since(at).as_secs_f64().abs() < 1.0 + apart;
        assert!(killed.iter().any(before), "rows without a tick at {at:?}");
    }
}

/// A laptop that sleeps, a machine without a free processor.
pub(crate) fn a_program_that_stands_still_counts_what_it_missed() {
    let scene = Scene::set();
    let _load = scene.load();
    let mut watch = scene.watch();
    watch.hear("watching ");
    pass(0.7);
    watch.signal(Signal::STOP);
    pass(2.5);
    watch.signal(Signal::CONT);
    pass(1.0);
    watch.ends_well();
    let ledger = scene.ledger();
    ledger.balances(1);
    assert!(ledger.longest_gap() > 2.0);
    assert_eq!(ledger.lost("lost_connections"), 0);
}

pub(crate) fn by_need_the_ledger_balances_as_well() {
    let scene = Scene::set();
    let mut watch = scene.watch_by_need();
    watch.hear("watching ");
    pass(2.0);
    let load = scene.load();
    pass(2.5);
    watch.signal(Signal::STOP);
    pass(2.0);
    watch.signal(Signal::CONT);
    pass(1.0);
    drop(load);
    scene.run("select pg_terminate_backend(pid) from pg_stat_activity where usename = 'watcher'");
    watch.hear("watching ");
    pass(2.5);
    watch.ends_well();
    let ledger = scene.ledger();
    ledger.balances(1);
    assert!(ledger.longest_gap() > 1.5);
    assert_eq!(ledger.lost("lost_connections"), 1);
}

/// Our own backend stands still: the tick is late, and those due meanwhile are missed.
pub(crate) fn a_backend_that_stands_still_is_waited_out() {
    let scene = Scene::set();
    let _load = scene.load();
    let mut watch = scene.watch();
    watch.hear("watching ");
    pass(0.7);
    let backend: i32 = scene
        .superuser()
        .query_one(
            "select pid from pg_stat_activity where usename = 'watcher'",
            &[],
        )
        .unwrap()
        .get(0);
    let backend = Pid::from_raw(backend).unwrap();
    kill_process(backend, Signal::STOP).unwrap();
    pass(2.5);
    kill_process(backend, Signal::CONT).unwrap();
    pass(1.0);
    watch.ends_well();
    scene.is_left_alone();
    let ledger = scene.ledger();
    ledger.balances(1);
    assert!(ledger.longest_gap() > 1.5);
    assert_eq!(ledger.lost("lost_connections"), 0);
}

/// A postmaster that stands still lets nobody in, and whoever is in goes on.
pub(crate) fn a_postmaster_that_stands_still_disturbs_no_watch_and_no_end() {
    let scene = Scene::set();
    let mut watch = scene.watch();
    watch.hear("watching ");
    pass(0.7);
    let postmaster = Pid::from_raw(i32::try_from(scene.server.pid().unwrap()).unwrap()).unwrap();
    kill_process(postmaster, Signal::STOP).unwrap();
    pass(1.5);
    watch.ends_well();
    kill_process(postmaster, Signal::CONT).unwrap();
    scene.is_left_alone();
    let ledger = scene.ledger();
    ledger.balances(1);
    assert!(ledger.longest_gap() < 1.0);
}

pub(crate) fn a_second_program_on_the_same_folder_refuses() {
    let scene = Scene::set();
    let mut watch = scene.watch();
    watch.hear("watching ");
    let mut second = Command::new(env!("CARGO_BIN_EXE_pgjam"));
    second.args(["record", "--dsn", &scene.dsn(), "--to"]);
    let second = Watch::spawn(second.arg(scene.to())).comes_to_an_end();
    assert_eq!(second.0.code(), Some(8), "{}", second.1);
    assert!(
        second.1.contains("another pgjam is writing into"),
        "{}",
        second.1
    );
    pass(0.7);
    watch.ends_well();
    scene.ledger().balances(1);
}

/// What a dead one left locked is free: the lock ended with its process.
pub(crate) fn the_lock_of_a_dead_program_stands_in_nobodys_way() {
    let scene = Scene::set();
    let mut watch = scene.watch();
    watch.hear("watching ");
    pass(1.0);
    watch.kill();
    assert!(scene.to().join("recording.lock").exists());
    let mut watch = scene.watch();
    watch.hear("watching ");
    pass(0.7);
    watch.ends_well();
    scene.ledger().balances(1);
}

/// Neither is taken for a part of the recording, and neither is destroyed.
pub(crate) fn a_torn_and_a_foreign_file_are_passed_over_and_kept() {
    let scene = Scene::set();
    let mut watch = scene.watch();
    watch.hear("watching ");
    pass(1.5);
    watch.kill();
    let before = Recording::open(&scene.to()).unwrap().snapshots.len();
    let ticks = parts_of(&scene, "ticks");
    let torn = ticks[0].with_file_name("part-00009999.parquet");
    let foreign = ticks[0].with_file_name("part-00009998.arrows");
    fs::write(&torn, "PAR1 and then nothing").unwrap();
    fs::write(&foreign, "a letter").unwrap();
    fs::write(scene.to().join("ticks/README"), "not ours").unwrap();
    let mut watch = scene.watch();
    watch.hear("watching ");
    pass(1.0);
    watch.ends_well();
    for kept in [&torn, &foreign] {
        assert!(kept.exists(), "{}", kept.display());
    }
    let ledger = scene.ledger();
    assert!(ledger.ticks().len() > before + 3);
    ledger.balances_but_for(&["unreadable_parts"], 1);
}

fn parts_of(scene: &Scene, table: &str) -> Vec<std::path::PathBuf> {
    let mut below = vec![scene.to().join(table)];
    for _ in 0..4 {
        below = below
            .iter()
            .flat_map(|folder| fs::read_dir(folder).into_iter().flatten())
            .map(|entry| entry.unwrap().path())
            .collect();
    }
    below
}

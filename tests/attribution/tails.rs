//! How slow the slowest calls are said to be, against a truth that no look can see.

use pgjam::attribution::finding::{NotTold, Split};
use pgjam::recording::Recording;
use pgjam::time::Timestamp;

use crate::conclude;
use crate::simulator::{System, World, system, takes};
use crate::story::{DECIDE, finding_about, quiet_guilty, world};

/// Twelve sessions that decide, and from 40 s on somebody who keeps them waiting.
fn busy(seed: u64) -> World {
    let decision = System {
        sessions: 12,
        ..system("decision", 12, -60.0, 150.0, &[takes(DECIDE, 4.0, 0)])
    };
    world(vec![decision, quiet_guilty(40.2)], 130.0, seed)
}

fn the_split(recording: &Recording) -> Split {
    let text = pgjam::statement::read(DECIDE.as_bytes()).text;
    let splits = conclude(recording).splits;
    let about = |split: &Split| *split.victim.query == *text;
    splits.into_iter().find(about).unwrap()
}

fn window(split: &Split) -> [Timestamp; 2] {
    split.growth.window_after.map(|at| at.0)
}

#[test]
fn the_p99_is_that_of_the_calls_and_lies_in_its_bracket() {
    const SEEDS: u64 = 20;
    let (mut off, mut squares) = (0.0, 0.0);
    for seed in 0..SEEDS {
        let (recording, truth) = busy(seed).run();
        let split = the_split(&recording);
        let told = &split.tail.after;
        let [p95, p99] =
            [0.05, 0.01].map(|share| truth.slowest_ms(DECIDE, share, None, window(&split)));
        assert_eq!(split.growth.p99_after_ms, told.p99_ms);
        assert_eq!(split.growth.p95_after_ms, told.p95_ms);
        let [low, high] = told.p99_bracket_ms.unwrap();
        assert!((low..=high).contains(&p99), "{low} {p99} {high}");
        let error = told.p99_ms.unwrap() / p99 - 1.0;
        off += error / SEEDS as f64;
        squares += error * error / SEEDS as f64;
        assert!((told.p95_ms.unwrap() / p95 - 1.0).abs() < 0.3);
    }
    println!(
        "p99 off by {:+.1} %, rms {:.1} %",
        off * 100.0,
        squares.sqrt() * 100.0
    );
    assert!(off.abs() < 0.05, "{off}");
    assert!(squares.sqrt() < 0.12, "{squares}");
}

#[test]
fn the_time_of_the_slowest_goes_to_who_made_them_slow_and_without_him_the_p99_is_lower() {
    for seed in 0..5 {
        let (recording, truth) = busy(seed).run();
        let diagnosis = conclude(&recording);
        let finding = finding_about(&diagnosis, DECIDE, "sync-12");
        let growth = finding.growth.as_ref().unwrap();
        let share = finding.share_of_slowest.unwrap();
        assert!((0.6..=1.0).contains(&share), "{share}");
        let told = finding.what_if.as_ref().unwrap().p99_ms.unwrap();
        let after = growth.window_after.map(|at| at.0);
        let exact = truth.slowest_ms(DECIDE, 0.01, Some("sync-12"), after);
        println!("without sync-12 {exact:.1} ms, at most {told:.1} ms");
        // A bound, but for what chance does to an estimate.
        assert!(told > 0.85 * exact, "{told} {exact}");
        assert!(told <= growth.p99_after_ms.unwrap(), "{told}");
        let split = the_split(&recording);
        let shares = split.parts.iter().filter_map(|part| part.share_of_slowest);
        assert!(shares.sum::<f64>() <= 1.0 + 1e-9);
    }
}

#[test]
fn too_few_rows_or_calls_tell_no_quantile() {
    let (recording, _) = busy(3).run();
    let split = the_split(&recording);
    // Before, hardly anybody is ever seen at it.
    let before = split.tail.before.unwrap();
    assert_eq!(before.why_not, Some(NotTold::FewRows));
    assert_eq!(
        (before.p95_ms, before.p99_ms, before.basis),
        (None, None, None)
    );
    assert_eq!(split.growth.p99_before_ms, None);
}

#[test]
fn ages_that_do_not_fit_the_calls_tell_no_quantile() {
    let (mut recording, _) = busy(3).run();
    for look in &mut recording.counters {
        for row in &mut look.rows {
            row.calls = row.calls.map(|calls| calls / 8);
        }
    }
    let told = the_split(&recording).tail.after;
    assert_eq!(told.why_not, Some(NotTold::MoreSeenThanCounted), "{told:?}");
    assert_eq!(told.p99_ms, None);
}

#[test]
fn samples_that_do_not_tell_when_statements_began_tell_no_quantile() {
    let (mut recording, _) = busy(3).run();
    for snapshot in &mut recording.snapshots {
        for session in &mut snapshot.sessions {
            session.query_start = None;
        }
    }
    let told = the_split(&recording).tail.after;
    assert_eq!(told.why_not, Some(NotTold::NoAges), "{told:?}");
}

#[test]
fn where_nobody_counts_calls_there_is_no_quantile() {
    let (mut recording, _) = busy(3).run();
    recording.counters.clear();
    let diagnosis = conclude(&recording);
    let finding = finding_about(&diagnosis, DECIDE, "sync-12");
    assert_eq!(finding.tail.after.why_not, Some(NotTold::CallsNotCounted));
    assert_eq!(finding.tail.before, None);
}

//! Statements that several systems run: whose latency it is when one of them joins.

use pgjam::attribution::finding::{CallsBasis, Diagnosis, Split, Verdict};
use pgjam::time::Timestamp;

use crate::simulator::{START, Step, System, runs, system, takes};
use crate::story::world;
use crate::truth::Truth;
use crate::{accused, conclude, culprit, told};

const WRITE: &str = "UPDATE document SET seen = true WHERE id = $1";
const OTHER: &str = "SELECT name FROM agency WHERE id = $1";
const MINE: &str = "SELECT body FROM document WHERE id = $1";
const TAKE: &str = "UPDATE counter SET n = n + 1 WHERE id = 1";
/// Sessions of who was always there.
const SESSIONS: usize = 4;

fn resident(steps: &[Step]) -> System {
    system("decision", SESSIONS, -5.0, 60.0, steps)
}

/// Averages what the resident's calls took, in milliseconds.
fn mean_ms(truth: &Truth, text: &str, window: [Timestamp; 2]) -> f64 {
    let [from, to] = window.map(|at| at.as_micros() - START.as_micros());
    let theirs = truth.completed.iter().filter(|call| {
        call.worker < SESSIONS && call.text == text && (from..to).contains(&call.to)
    });
    let (sum, calls) = theirs.fold((0, 0), |(sum, calls), call| {
        (sum + call.to - call.from, calls + 1)
    });
    sum as f64 / f64::from(calls) / 1e3
}

fn split_of<'a>(diagnosis: &'a Diagnosis, query: &str) -> Option<&'a Split> {
    let of = |split: &&Split| split.victim.query == query;
    diagnosis.splits.iter().find(of)
}

#[test]
fn a_mean_that_only_grew_by_who_joined_is_nobodys_growth() {
    for seed in 1..=3 {
        let big = system("big-tenant", 3, 30.2, 60.0, &[runs(WRITE, 60.0)]);
        let systems = vec![resident(&[runs(WRITE, 6.0)]), big];
        let (recording, truth) = world(systems, 90.0, seed).run();
        let diagnosis = conclude(&recording);
        assert_eq!(diagnosis.events.len(), 1);
        assert!(diagnosis.findings.is_empty(), "{}", told(&diagnosis));
        if let Some(split) = split_of(&diagnosis, WRITE) {
            let growth = &split.growth;
            let timed = [growth.window_before, growth.window_after]
                .map(|window| mean_ms(&truth, WRITE, window.map(|at| at.0)));
            println!(
                "{:.2} to {:.2}, timed {timed:.2?}",
                growth.before_ms, growth.after_ms
            );
            assert_eq!(split.victim.systems, ["decision"]);
            assert!(growth.delta_ms < 1.0, "{} ms", growth.delta_ms);
        }
    }
}

/// Diagnoses who came to a pool and holds up the residents; gives how far off their growth is told.
fn newcomer_is_accused_and_growth_off(systems: Vec<System>, seed: u64) -> f64 {
    let (recording, truth) = world(systems, 360.0, seed).run();
    let diagnosis = conclude(&recording);
    let finding = &diagnosis.findings[0];
    assert_eq!(culprit(finding), Some("sync-12"), "{}", told(&diagnosis));
    assert_eq!(finding.verdict, Verdict::Supported);
    assert_eq!(finding.victim.systems, ["decision"]);
    let growth = finding.growth.as_ref().unwrap();
    assert_eq!(growth.calls_basis, CallsBasis::Estimated);
    let [before, after] = [growth.window_before, growth.window_after]
        .map(|window| mean_ms(&truth, TAKE, window.map(|at| at.0)));
    let off = (growth.delta_ms - (after - before)) / (after - before);
    println!(
        "{:.2} to {:.2}, timed {before:.2} to {after:.2}, {off:+.3}",
        growth.before_ms, growth.after_ms
    );
    off
}

#[test]
fn who_joins_a_pool_and_holds_up_the_others_is_accused_by_what_they_lost() {
    for seed in 1..=3 {
        let joins = [takes(TAKE, 2.0, 0), Step::Away(40.0)];
        let joins = system("sync-12", 2, 90.2, 300.0, &joins);
        let systems = vec![resident(&[takes(TAKE, 2.0, 0)]), joins];
        let off = newcomer_is_accused_and_growth_off(systems, seed);
        assert!(off.abs() < 0.12, "{off:+.3}");
    }
}

#[test]
fn where_sessions_never_pause_after_a_statement_nobody_knows_whose_calls_are_whose() {
    // The next statement overtakes each within a fraction of a millisecond.
    let quick = [runs(WRITE, 0.2), runs(OTHER, 8.0)];
    let slow = [runs(WRITE, 3.0), runs(OTHER, 8.0)];
    let systems = vec![resident(&quick), system("big-tenant", 3, 30.2, 60.0, &slow)];
    let diagnosis = conclude(&world(systems, 90.0, 1).run().0);
    let split = split_of(&diagnosis, WRITE).unwrap();
    assert_eq!(split.growth.calls_basis, CallsBasis::Pooled);
    assert_eq!(split.victim.systems, ["decision", "big-tenant"]);
    assert_eq!(accused(&diagnosis), Vec::<&str>::new());
}

#[test]
fn a_statement_that_only_residents_run_tells_how_often_they_run_the_one_that_others_joined() {
    for seed in 1..=3 {
        // What takes the lock is overtaken at once, by the residents and by who joins.
        let steps = [runs(MINE, 1.0), takes(TAKE, 2.0, 0), runs(OTHER, 1.0)];
        let joins = [takes(TAKE, 0.2, 0), runs(OTHER, 12.0)];
        let joins = system("sync-12", 2, 90.2, 40.0, &joins);
        let systems = vec![resident(&steps), joins];
        let off = newcomer_is_accused_and_growth_off(systems, seed);
        assert!(off.abs() < 0.05, "{off:+.3}");
    }
}

#[test]
fn what_newcomers_lose_of_a_pools_growth_comes_after_what_the_others_lose() {
    for seed in 1..=3 {
        let steps = [takes(TAKE, 0.2, 0), runs(OTHER, 24.0)];
        let joins = [takes(TAKE, 0.2, 0), runs(OTHER, 12.0)];
        let slow = system("decision", 6, -5.0, 250.0, &steps);
        let joins = system("sync-12", 1, 60.2, 10.0, &joins);
        let diagnosis = conclude(&world(vec![slow, joins], 180.0, seed).run().0);
        let culprits: Vec<_> = diagnosis.findings.iter().filter_map(culprit).collect();
        assert_eq!(culprits, ["sync-12", "decision"], "{}", told(&diagnosis));
        assert!(diagnosis.findings[0].victim.systems.len() > 1);
    }
}

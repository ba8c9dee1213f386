//! Recordings with something wrong or missing: what is not known is not said.

use pgjam::attribution::finding::{CallsBasis, Diagnosis, Verdict};
use pgjam::pg::{LockMode, Oid};
use pgjam::recording::Recording;
use pgjam::report::{Report, json};
use pgjam::sample::{Counters, Prepared, Snapshot};
use pgjam::time::{Span, Timestamp};

use crate::simulator::{SECOND, START, System, World, at, runs, system, takes};
use crate::story::{DECIDE, decision, finding_about, quiet_guilty, story, world};
use crate::{accused, conclude, culprit, told};

/// Decision and the guilty one who arrives at 30 s.
fn pair(seconds: f64, seed: u64) -> World {
    world(vec![decision(), quiet_guilty(30.2)], seconds, seed)
}

fn second_of(at: Timestamp) -> f64 {
    (at.as_micros() - START.as_micros()) as f64 / 1e6
}

fn is_by_sync(diagnosis: &Diagnosis) -> bool {
    diagnosis
        .findings
        .iter()
        .any(|f| culprit(f) == Some("sync-12"))
}

#[test]
fn a_prepared_transaction_is_a_root() {
    let (mut recording, _) = pair(80.0, 1).run();
    for snapshot in &mut recording.snapshots {
        prepare(snapshot);
    }
    let diagnosis = conclude(&recording);
    let finding = finding_about(&diagnosis, DECIDE, "order-7");
    assert_eq!(finding.cause.class, "prepared-transaction");
    let blocker = finding.cause.blocker.as_ref().unwrap();
    assert!((blocker.state["prepared"] - 1.0).abs() < 1e-9);
    assert!(
        finding.verdict <= Verdict::Supported,
        "{}",
        told(&diagnosis)
    );
}

/// Makes the guilty one's transactions prepared ones, which have no session.
fn prepare(snapshot: &mut Snapshot) {
    let guilty = snapshot
        .sessions
        .iter()
        .position(|s| &*s.application_name == "sync-12");
    let Some(guilty) = guilty.map(|place| snapshot.sessions.remove(place)) else {
        return;
    };
    snapshot
        .locks
        .retain(|lock| lock.pid != Some(guilty.pid) || lock.granted);
    for lock in snapshot
        .locks
        .iter_mut()
        .filter(|lock| lock.pid == Some(guilty.pid))
    {
        lock.pid = None;
        lock.owner = "-1/700".into();
    }
    snapshot
        .prepared
        .extend(guilty.backend_xid.map(|transaction| Prepared {
            transaction,
            gid: "order-7".into(),
            prepared: snapshot.tick.at,
            owner: Oid(10),
            database: Oid(5),
        }));
}

#[test]
fn a_root_that_is_gone_is_nobody() {
    let (mut recording, _) = pair(80.0, 2).run();
    for snapshot in &mut recording.snapshots {
        let of_holder = |lock: &pgjam::sample::Lock| {
            lock.granted
                && lock.mode == LockMode::Exclusive
                && &*lock.target.locktype == "transactionid"
        };
        snapshot.locks.retain(|lock| !of_holder(lock));
    }
    let diagnosis = conclude(&recording);
    assert!(
        diagnosis.unattributed_share > 0.99,
        "{}",
        diagnosis.unattributed_share
    );
    assert!(
        diagnosis.findings.iter().all(|f| culprit(f).is_none()),
        "{}",
        told(&diagnosis)
    );
    let split = &diagnosis.splits[0];
    assert!(split.residual_ms > 0.8 * split.growth.delta_ms, "{split:?}");
}

#[test]
fn a_short_watch_says_how_much_longer() {
    let mut busy = quiet_guilty(30.2);
    busy.think_ms = 60.0;
    let (recording, _) = world(vec![decision(), busy], 38.0, 3).run();
    let diagnosis = conclude(&recording);
    let finding = finding_about(&diagnosis, DECIDE, "sync-12");
    assert_eq!(finding.verdict, Verdict::Inconclusive);
    assert!(finding.needs_minutes.unwrap() >= 1.0);
    assert_eq!(accused(&diagnosis), Vec::<&str>::new());
}

#[test]
fn a_statement_of_several_systems_is_a_pool_and_never_proved() {
    let portal = System {
        name: "portal",
        ..decision()
    };
    let systems = vec![decision(), portal, quiet_guilty(30.2)];
    let diagnosis = conclude(&world(systems, 90.0, 4).run().0);
    let finding = finding_about(&diagnosis, DECIDE, "sync-12");
    assert_eq!(finding.victim.system, None);
    assert_eq!(finding.victim.systems, ["decision", "portal"]);
    assert_eq!(
        finding.growth.as_ref().unwrap().calls_basis,
        CallsBasis::Pooled
    );
    assert_eq!(finding.verdict, Verdict::Supported, "{}", told(&diagnosis));
}

#[test]
fn without_counters_there_are_no_means() {
    let (mut recording, truth) = pair(80.0, 5).run();
    recording.counters.clear();
    recording.server.has_statements = false;
    let diagnosis = conclude(&recording);
    let finding = finding_about(&diagnosis, DECIDE, "sync-12");
    assert_eq!(finding.growth, None);
    assert_eq!(finding.ms_per_call, None);
    assert_eq!(finding.ci95_ms_per_call, None);
    assert_eq!(finding.what_if, None);
    assert!(diagnosis.splits.is_empty());
    // Edges prove who loses how many seconds to whom; nothing is said per call.
    assert_eq!(finding.verdict, Verdict::Proved);
    let exact = truth.lost_seconds(DECIDE, "sync-12", [at(0), at(80 * SECOND)]);
    let off = finding.db_seconds - exact;
    assert!(off.abs() < 0.3 * exact, "{off} of {exact} s");
}

/// Checks that the guilty one is still proved, at the size that the simulation knows.
fn still_proved(recording: &Recording, truth: &crate::truth::Truth) -> Diagnosis {
    let diagnosis = conclude(recording);
    let finding = finding_about(&diagnosis, DECIDE, "sync-12");
    assert_eq!(finding.verdict, Verdict::Proved, "{}", told(&diagnosis));
    let growth = finding.growth.as_ref().unwrap();
    let [before, after] = [growth.window_before, growth.window_after].map(|w| w.map(|at| at.0));
    let exact = truth.lost_ms(DECIDE, "sync-12", after) - truth.lost_ms(DECIDE, "sync-12", before);
    let [low, high] = finding.ci95_ms_per_call.unwrap();
    let off = finding.ms_per_call.unwrap() - exact;
    assert!(off.abs() < 0.75 * (high - low), "{off} of {exact} ms");
    diagnosis
}

#[test]
fn counters_that_were_reset_cost_a_block_and_no_more() {
    let (mut recording, truth) = pair(100.0, 6).run();
    let reset = |counters: &Counters| second_of(counters.at) >= 60.0;
    let first = recording.counters.iter().position(reset).unwrap();
    let (earlier, later) = recording.counters.split_at_mut(first);
    let lost = earlier.last().unwrap();
    for counters in later {
        for row in &mut counters.rows {
            let before = lost.rows.iter().find(|lost| lost.query_id == row.query_id);
            let before = before.and_then(|lost| lost.calls).unwrap_or(0);
            row.calls = row.calls.map(|calls| calls - before);
        }
    }
    let diagnosis = still_proved(&recording, &truth);
    let growth = diagnosis.findings[0].growth.as_ref().unwrap();
    let window = growth.window_after.map(|at| at.0);
    assert!(growth.calls_after < truth.calls(DECIDE, window));
}

#[test]
fn missed_ticks_and_a_gap_bias_nothing() {
    let (mut recording, truth) = pair(120.0, 7).run();
    let mut missed = 0;
    let mut place = 0;
    recording.snapshots.retain_mut(|snapshot| {
        place += 1;
        if place % 5 == 0 || (60.0..70.0).contains(&second_of(snapshot.tick.at)) {
            missed += 1;
            return false;
        }
        snapshot.tick.missed = std::mem::take(&mut missed);
        true
    });
    let diagnosis = still_proved(&recording, &truth);
    assert!(diagnosis.window.largest_gap_ms >= 9_900.0);
    assert!(diagnosis.window.missed_ticks > 300);
}

#[test]
fn who_was_not_watched_is_not_acquitted() {
    let loud = system(
        "loud-1",
        6,
        20.1,
        20.0,
        &[runs("INSERT INTO log_a VALUES (1)", 8.0)],
    );
    let (mut recording, _) = world(vec![decision(), loud], 60.0, 8).run();
    let last = recording.snapshots.last().unwrap().tick.at;
    recording
        .snapshots
        .retain(|s| second_of(s.tick.at) < 21.0 || s.tick.at == last);
    let diagnosis = conclude(&recording);
    let effect = diagnosis.events[0].effect.as_ref().unwrap();
    assert_eq!(effect.verdict, Verdict::Inconclusive);
}

#[test]
fn nothing_and_next_to_nothing_are_no_news() {
    let (mut recording, _) = pair(50.0, 9).run();
    recording.snapshots.truncate(1);
    let one = conclude(&recording);
    assert!(one.findings.is_empty() && one.events.is_empty() && one.splits.is_empty());
    recording.snapshots.clear();
    recording.counters.clear();
    let none = conclude(&recording);
    assert!(none.findings.is_empty() && none.worst.is_none());
    assert!(json::render(&Report::new(none)).ends_with("}\n"));
}

#[test]
fn a_clock_that_steps_back_accuses_nobody() {
    for back in [3.0, 25.0, 40.0] {
        let (mut recording, _) = world(vec![decision()], 80.0, 10).run();
        let set = |at: &mut Timestamp| {
            if second_of(*at) >= 50.0 {
                *at = *at - Span::from_micros(crate::simulator::micros(back));
            }
        };
        recording
            .snapshots
            .iter_mut()
            .for_each(|s| set(&mut s.tick.at));
        recording.counters.iter_mut().for_each(|c| set(&mut c.at));
        let diagnosis = conclude(&recording);
        assert_eq!(
            accused(&diagnosis),
            Vec::<&str>::new(),
            "{back} s back:\n{}",
            told(&diagnosis)
        );
        assert!(json::render(&Report::new(diagnosis)).ends_with("}\n"));
    }
}

#[test]
fn a_clock_that_jumps_by_decades_is_survived() {
    let (mut recording, _) = pair(50.0, 13).run();
    recording.counters.clear();
    let last = recording.snapshots.last_mut().unwrap();
    last.tick.at = last.tick.at + Span::from_secs(60 * 365 * 86_400);
    let diagnosis = conclude(&recording);
    assert_eq!(
        accused(&diagnosis),
        Vec::<&str>::new(),
        "{}",
        told(&diagnosis)
    );
}

#[test]
fn a_clock_that_steps_back_in_the_story_accuses_nobody_else() {
    let (mut recording, _) = story(3).run();
    for snapshot in &mut recording.snapshots {
        if second_of(snapshot.tick.at) >= 60.0 {
            snapshot.tick.at = snapshot.tick.at - Span::from_secs(5);
        }
    }
    let diagnosis = conclude(&recording);
    assert!(is_by_sync(&diagnosis));
    assert!(
        accused(&diagnosis)
            .iter()
            .all(|name| !name.starts_with("loud"))
    );
}

#[test]
fn every_sampled_second_of_every_victim_is_in_the_load() {
    let (recording, _) = pair(80.0, 11).run();
    let diagnosis = conclude(&recording);
    let first = recording.snapshots[0].tick.at;
    let mut spans = vec![0.0; 81];
    let mut sampled = 0.0;
    for snapshot in &recording.snapshots {
        let span = snapshot.tick.span.as_secs_f64();
        let bin = usize::try_from(snapshot.tick.at.since(first).as_micros() / SECOND).unwrap();
        spans[bin] += span;
        let active = snapshot.sessions.iter().filter(|s| s.state.is_active());
        sampled += span * active.count() as f64;
    }
    let series = diagnosis
        .load
        .iter()
        .flat_map(|series| series.points.iter().enumerate());
    let charged: f64 = series
        .map(|(bin, (_, value))| value.unwrap_or(0.0) * spans[bin])
        .sum();
    assert!((charged - sampled).abs() < 1e-6, "{charged} of {sampled} s");
}

#[test]
fn the_interval_covers_the_truth_about_as_often_as_it_says() {
    const SEEDS: u64 = 40;
    let mut told = Vec::new();
    let mut exact = Vec::new();
    for seed in 1_000..1_000 + SEEDS {
        let systems = vec![decision(), quiet_guilty(30.2)];
        let (recording, truth) = world(systems, 70.0, seed).run();
        let diagnosis = conclude(&recording);
        let text = pgjam::statement::read(DECIDE.as_bytes()).text;
        let split = diagnosis
            .splits
            .iter()
            .find(|s| *s.victim.query == *text)
            .unwrap();
        let growth = &split.growth;
        let [before, after] = [growth.window_before, growth.window_after].map(|w| w.map(|at| at.0));
        exact.push(truth.mean_ms(DECIDE, after) - truth.mean_ms(DECIDE, before));
        told.push(growth.ci95_ms.unwrap());
    }
    // Of all runs together: the mean that each of them draws from.
    let expected = exact.iter().sum::<f64>() / exact.len() as f64;
    let covers = |value: f64, [low, high]: &[f64; 2]| (*low..=*high).contains(&value);
    let share = |covered: usize| covered as f64 / SEEDS as f64;
    let of_expected = share(told.iter().filter(|ci| covers(expected, ci)).count());
    let of_window = share(
        told.iter()
            .zip(&exact)
            .filter(|(ci, exact)| covers(**exact, ci))
            .count(),
    );
    println!(
        "growth {expected:.2} ms; coverage {of_expected:.3} of the mean, {of_window:.3} of the run's own"
    );
    assert!(of_expected >= 0.85 && of_window >= 0.85);
}

#[test]
fn a_full_lock_up_completes_no_calls_and_is_still_somebodys() {
    let hold = [
        takes("UPDATE inbox SET county = 'x' WHERE id = 1", 2.0, 0),
        crate::simulator::Step::Away(600_000.0),
    ];
    let stuck = system("sync-12", 1, 30.2, 250.0, &hold);
    let diagnosis = conclude(&world(vec![decision(), stuck], 60.0, 12).run().0);
    let finding = finding_about(&diagnosis, DECIDE, "sync-12");
    assert_eq!(finding.ms_per_call, None);
    assert!(finding.db_seconds > 70.0, "{}", told(&diagnosis));
    assert_eq!(diagnosis.now.blocked_sessions, 3);
}

#[test]
fn who_connects_anew_for_each_transaction_is_not_accused_of_arriving() {
    for seed in 0..10 {
        let log = [runs("INSERT INTO log_a VALUES (1)", 8.0)];
        let hasty = system("hasty", 1, -60.0, 4_000.0, &log);
        let (mut recording, _) = world(vec![decision(), hasty], 30.0, seed).run();
        let sessions = recording.snapshots.iter_mut().flat_map(|s| &mut s.sessions);
        for session in sessions.filter(|s| &*s.application_name == "hasty") {
            session.backend_start = session.query_start.unwrap() - Span::from_millis(2);
        }
        let diagnosis = conclude(&recording);
        assert_eq!(
            accused(&diagnosis),
            Vec::<&str>::new(),
            "{}",
            told(&diagnosis)
        );
        let effects = diagnosis
            .events
            .iter()
            .filter_map(|event| event.effect.as_ref());
        assert!(
            effects
                .into_iter()
                .all(|effect| effect.verdict >= Verdict::Inconclusive)
        );
    }
}

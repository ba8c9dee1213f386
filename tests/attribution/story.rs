//! Who is named, for how much, and how surely.

use pgjam::attribution::diagnose;
use pgjam::attribution::finding::{Diagnosis, Finding, Scope, Verdict};
use pgjam::pg::LockMode;
use pgjam::report::{Report, json};
use pgjam::sample::pace::Cadence;
use pgjam::system::Naming;

use crate::simulator::{Kind, Step, System, World, runs, system, takes};
use crate::{accused, conclude, culprit, told};

pub(crate) const DECIDE: &str = "UPDATE inbox SET decided = true WHERE id = 1";
pub(crate) const SYNC: &str = "UPDATE inbox SET county = 'x' WHERE id = 1";
const LOG: &str = "INSERT INTO log_a VALUES (1, 'x')";
const AUDIT: &str = "INSERT INTO audit_b (id, what) VALUES (1, 'x')";

const ROW: [(Kind, &str); 1] = [(Kind::Row, "public.inbox")];

/// Decides on one row, all the time.
pub(crate) fn decision() -> System {
    system("decision", 3, -60.0, 100.0, &[takes(DECIDE, 4.0, 0)])
}

/// Holds that row while it is away, now and then.
pub(crate) fn quiet_guilty(from: f64) -> System {
    let steps = [takes(SYNC, 2.0, 0), Step::Away(80.0)];
    system("sync-12", 1, from, 250.0, &steps)
}

fn loud_harmless(from: f64) -> [System; 2] {
    [
        system("loud-1", 6, from, 20.0, &[runs(LOG, 8.0)]),
        system("loud-2", 6, from + 0.3, 30.0, &[runs(AUDIT, 8.0)]),
    ]
}

pub(crate) fn world(systems: Vec<System>, seconds: f64, seed: u64) -> World {
    World {
        systems,
        resources: ROW.to_vec(),
        seconds,
        cadence: Cadence::Fixed(10.0),
        seed,
    }
}

pub(crate) fn story(seed: u64) -> World {
    let [one, two] = loud_harmless(40.1);
    world(vec![decision(), quiet_guilty(40.2), one, two], 100.0, seed)
}

pub(crate) fn finding_about<'a>(diagnosis: &'a Diagnosis, query: &str, by: &str) -> &'a Finding {
    let text = pgjam::statement::read(query.as_bytes()).text;
    let about = |finding: &&Finding| *finding.victim.query == *text && culprit(finding) == Some(by);
    diagnosis
        .findings
        .iter()
        .find(about)
        .unwrap_or_else(|| panic!("nobody says that {by} is in the way:\n{}", told(diagnosis)))
}

/// Compares what is said would be without `guilty` with the same world without it: how far off, as a
/// share of that, on average over some seeds.
fn what_if_is_off(query: &str, guilty: &str, world: impl Fn(u64) -> World) -> f64 {
    let off = |seed| {
        let whole = world(seed);
        let mut without = whole.clone();
        without.systems.retain(|system| system.name != guilty);
        let (recording, _) = whole.run();
        let (_, truth) = without.run();
        let diagnosis = conclude(&recording);
        let finding = finding_about(&diagnosis, query, guilty);
        let after = finding.growth.as_ref().unwrap().window_after;
        let exact = truth.mean_ms(query, after.map(|at| at.0));
        let told = finding.what_if.as_ref().unwrap().mean_ms.unwrap();
        println!("{told:.2} ms said, {exact:.2} ms without {guilty}, seed {seed}");
        (told - exact) / exact
    };
    (0..5).map(off).sum::<f64>() / 5.0
}

#[test]
fn what_is_said_would_be_without_the_guilty_is_what_is_without_it() {
    let off = what_if_is_off(DECIDE, "sync-12", story);
    assert!(off.abs() < 0.2, "{off}");
}

#[test]
fn who_queued_behind_the_guilty_would_not_queue_without_it() {
    let many = |seed| {
        let decision = system("decision", 12, -60.0, 400.0, &[takes(DECIDE, 4.0, 0)]);
        let steps = [takes(SYNC, 2.0, 0), Step::Away(300.0)];
        let holder = system("sync-12", 1, 40.2, 600.0, &steps);
        world(vec![decision, holder], 100.0, seed)
    };
    let off = what_if_is_off(DECIDE, "sync-12", many);
    assert!(off.abs() < 0.2, "{off}");
}

#[test]
fn the_quiet_guilty_is_named_and_the_loud_harmless_are_not() {
    for seed in 0..5 {
        let (recording, truth) = story(seed).run();
        let diagnosis = conclude(&recording);
        let first = &diagnosis.findings[0];
        assert_eq!(first.verdict, Verdict::Proved, "{}", told(&diagnosis));
        assert_eq!(first.scope, Scope::Culprit);
        assert_eq!(first.victim.system.as_deref(), Some("decision"));
        assert_eq!(culprit(first), Some("sync-12"));
        assert_eq!(first.cause.class, "row-lock");
        assert_eq!(first.cause.table.as_deref(), Some("public.inbox"));
        let blocker = first.cause.blocker.as_ref().unwrap();
        assert!(
            blocker.state["idle in transaction"] > 0.8,
            "{:?}",
            blocker.state
        );
        let sync = pgjam::statement::read(SYNC.as_bytes()).text;
        assert_eq!(blocker.query.as_deref(), Some(&*sync));

        // The event that it names is the guilty one's own arrival.
        let event = diagnosis
            .events
            .iter()
            .find(|event| Some(&event.id) == first.cause.event.as_ref());
        assert_eq!(event.unwrap().label, "sync-12");
        assert_eq!(
            accused(&diagnosis)
                .iter()
                .filter(|name| name.starts_with("loud"))
                .count(),
            0
        );
        for event in &diagnosis.events {
            let effect = event.effect.as_ref().unwrap();
            let expected = match &*event.label {
                "sync-12" => Verdict::Proved,
                _ => Verdict::NoEffect,
            };
            assert_eq!(effect.verdict, expected, "{} with seed {seed}", event.label);
        }
        assert_eq!(diagnosis.events.len(), 3);

        // Sizes are those of the simulation, within what its sampling allows.
        let growth = first.growth.as_ref().unwrap();
        let [before, after] = [growth.window_before, growth.window_after].map(|w| w.map(|at| at.0));
        assert!((growth.calls_after - truth.calls(DECIDE, after)).abs() < 0.5);
        assert!((growth.calls_before - truth.calls(DECIDE, before)).abs() < 0.5);
        let exact = truth.mean_ms(DECIDE, after) - truth.mean_ms(DECIDE, before);
        let allowed = |ci: [f64; 2]| 1.5 * (ci[1] - ci[0]) / 2.0;
        let off = growth.delta_ms - exact;
        assert!(
            off.abs() < allowed(growth.ci95_ms.unwrap()),
            "{off} of {exact} ms with seed {seed}"
        );
        let exact =
            truth.lost_ms(DECIDE, "sync-12", after) - truth.lost_ms(DECIDE, "sync-12", before);
        let off = first.ms_per_call.unwrap() - exact;
        assert!(
            off.abs() < allowed(first.ci95_ms_per_call.unwrap()),
            "{off} of {exact} ms with seed {seed}"
        );
        let exact = truth.lost_seconds(DECIDE, "sync-12", after);
        assert!(
            (first.db_seconds - exact).abs() < 0.35 * exact,
            "{} against {exact} s",
            first.db_seconds
        );
    }
}

#[test]
fn harmless_arrivals_accuse_nobody() {
    let mut false_accusations = 0;
    for seed in 100..120 {
        let [one, two] = loud_harmless(20.1);
        let (recording, _) = world(vec![decision(), one, two], 50.0, seed).run();
        let diagnosis = conclude(&recording);
        let locks = diagnosis
            .findings
            .iter()
            .any(|finding| finding.scope != Scope::Own && finding.verdict <= Verdict::Supported);
        if locks || !accused(&diagnosis).is_empty() {
            false_accusations += 1;
            println!("seed {seed}:\n{}", told(&diagnosis));
        }
    }
    println!("false accusations: {false_accusations} of 20");
    assert_eq!(false_accusations, 0);
}

#[test]
fn a_guilty_one_that_was_always_there_is_named_without_growth() {
    let (recording, truth) = world(vec![decision(), quiet_guilty(-30.0)], 60.0, 7).run();
    let diagnosis = conclude(&recording);
    assert!(diagnosis.events.is_empty());
    let finding = finding_about(&diagnosis, DECIDE, "sync-12");
    assert_eq!(finding.growth, None);
    assert_eq!(finding.share_of_growth, None);
    assert_eq!(finding.cause.event, None);
    assert_eq!(finding.event_effect, None);
    let window = [diagnosis.window.from.0, diagnosis.window.to.0];
    let exact = truth.lost_seconds(DECIDE, "sync-12", window);
    assert!(
        (finding.db_seconds - exact).abs() < 0.3 * exact,
        "{} against {exact} s",
        finding.db_seconds
    );
}

#[test]
fn without_a_baseline_the_servers_own_past_is_told() {
    let (mut recording, _) = world(vec![decision(), quiet_guilty(-30.0)], 60.0, 7).run();
    let found = |recording: &pgjam::recording::Recording| {
        let diagnosis = conclude(recording);
        finding_about(&diagnosis, DECIDE, "sync-12")
            .evidence
            .history
    };
    assert_eq!(found(&recording), None);
    // 50,000 calls of 0.4 ms before anybody watched.
    for row in recording
        .counters
        .iter_mut()
        .flat_map(|look| &mut look.rows)
    {
        row.calls = row.calls.map(|calls| calls + 50_000);
        row.exec_ms += 20_000.0;
    }
    let history = found(&recording).unwrap();
    // Those of the seconds before the first look are of the past too.
    assert!((50_000.0..50_300.0).contains(&history.calls), "{history:?}");
    assert!((0.4..0.45).contains(&history.execution_ms), "{history:?}");
    assert!(history.execution_after_ms > 5.0, "{history:?}");
    let report = pgjam::report::Report::new(conclude(&recording));
    let told = &report.findings[0].sentence;
    assert!(told.contains("before the watch it was 0.4"), "{told}");
}

#[test]
fn more_work_of_ones_own_is_nobodys_doing() {
    let mut worker = system("decision", 4, -60.0, 60.0, &[runs(DECIDE, 20.0)]);
    worker.changes = Some((40.0, vec![runs(DECIDE, 60.0)]));
    let [one, _] = loud_harmless(40.1);
    let (recording, _) = world(vec![worker, one], 100.0, 3).run();
    let diagnosis = conclude(&recording);
    assert_eq!(accused(&diagnosis), Vec::<&str>::new());
    let first = &diagnosis.findings[0];
    assert_eq!(first.scope, Scope::Own, "{}", told(&diagnosis));
    assert_eq!(first.cause.class, "own-work");
    assert_eq!(first.cause.blocker, None);
    assert_eq!(first.verdict, Verdict::Supported);
    let ms = first.ms_per_call.unwrap();
    assert!((30.0..50.0).contains(&ms), "{ms}");
}

#[test]
fn many_who_hold_one_row_in_turn_are_one_finding_about_the_row() {
    const NAMES: [&str; 12] = [
        "county-01",
        "county-02",
        "county-03",
        "county-04",
        "county-05",
        "county-06",
        "county-07",
        "county-08",
        "county-09",
        "county-10",
        "county-11",
        "county-12",
    ];
    let holder = |name| {
        system(
            name,
            1,
            -20.0,
            900.0,
            &[takes(SYNC, 2.0, 0), Step::Away(40.0)],
        )
    };
    let mut systems: Vec<System> = NAMES.map(holder).to_vec();
    systems.push(decision());
    let (recording, _) = world(systems, 60.0, 11).run();
    let diagnosis = conclude(&recording);
    let decide = pgjam::statement::read(DECIDE.as_bytes()).text;
    let about: Vec<&Finding> = diagnosis
        .findings
        .iter()
        .filter(|f| *f.victim.query == *decide)
        .collect();
    assert_eq!(about.len(), 1, "{}", told(&diagnosis));
    assert_eq!(about[0].scope, Scope::Object);
    assert_eq!(about[0].cause.table.as_deref(), Some("public.inbox"));
    assert_eq!(about[0].cause.blocker, None);
    assert_eq!(accused(&diagnosis), Vec::<&str>::new());
}

#[test]
fn behind_a_gate_the_root_is_the_long_reader_and_the_gate_stands_between() {
    const READ: &str = "SELECT count(*) FROM inbox";
    const REPORT: &str = "SELECT * FROM inbox ORDER BY 1";
    const ALTER: &str = "ALTER TABLE inbox ADD COLUMN note text";
    let on_table = |text, ms, mode| Step::Run {
        text,
        ms,
        lock: Some((0, mode)),
    };
    let long = [
        on_table(REPORT, 1.0, LockMode::AccessShare),
        Step::Away(900.0),
    ];
    let systems = vec![
        system(
            "portal",
            4,
            -60.0,
            40.0,
            &[on_table(READ, 3.0, LockMode::AccessShare)],
        ),
        system("warehouse", 1, 30.1, 300.0, &long),
        system(
            "migration",
            1,
            30.2,
            700.0,
            &[on_table(ALTER, 2.0, LockMode::AccessExclusive)],
        ),
    ];
    let resources = vec![(Kind::Table, "public.inbox")];
    let world = World {
        resources,
        ..world(systems, 80.0, 5)
    };
    let diagnosis = conclude(&world.run().0);
    let finding = finding_about(&diagnosis, READ, "warehouse");
    assert_eq!(finding.cause.class, "ddl-queue");
    let gate = &finding.cause.through[0];
    assert_eq!(gate.system.as_deref(), Some("migration"));
    assert!(
        gate.query
            .as_deref()
            .unwrap()
            .starts_with("ALTER TABLE inbox")
    );
    assert_eq!(finding.verdict, Verdict::Proved, "{}", told(&diagnosis));
}

#[test]
fn an_idle_session_with_an_advisory_lock_is_a_root() {
    const TAKE: &str = "SELECT pg_advisory_lock(42)";
    const JOB: &str = "SELECT pg_advisory_xact_lock(42)";
    let resources = vec![(Kind::Advisory, "-")];
    let systems = vec![
        system("jobs", 2, -60.0, 100.0, &[takes(JOB, 3.0, 0)]),
        system(
            "forgetful",
            1,
            -40.0,
            300.0,
            &[takes(TAKE, 1.0, 0), Step::Idle(200.0)],
        ),
    ];
    let world = World {
        resources,
        ..world(systems, 60.0, 9)
    };
    let diagnosis = conclude(&world.run().0);
    let finding = finding_about(&diagnosis, JOB, "forgetful");
    assert_eq!(finding.cause.class, "advisory-lock");
    assert_eq!(finding.cause.table, None);
    let blocker = finding.cause.blocker.as_ref().unwrap();
    assert!(blocker.state["idle"] > 0.8, "{:?}", blocker.state);
}

#[test]
fn equal_input_gives_equal_bytes() {
    let (recording, _) = story(1).run();
    let bytes = || json::render(&Report::new(diagnose(&recording, &Naming::default())));
    assert_eq!(bytes(), bytes());
}

#[test]
fn two_who_arrive_together_are_both_named_and_what_they_did_together_is_the_groups() {
    const OTHER: &str = "UPDATE inbox SET mark = 'y' WHERE id = 1";
    let other = System {
        steps: vec![takes(OTHER, 2.0, 0), Step::Away(80.0)],
        name: "sync-13",
        ..quiet_guilty(40.9)
    };
    let systems = vec![decision(), quiet_guilty(40.2), other];
    let diagnosis = conclude(&world(systems, 120.0, 21).run().0);
    for name in ["sync-12", "sync-13"] {
        let finding = finding_about(&diagnosis, DECIDE, name);
        assert!(
            finding.verdict <= Verdict::Supported,
            "{}",
            told(&diagnosis)
        );
        let effect = finding.event_effect.as_ref().unwrap();
        assert_eq!(effect.marginal_ms, None);
        assert_eq!(effect.interaction_ms, None);
        assert!(effect.direct_ms > 0.0);
        let together = effect.group_marginal_ms.unwrap() - effect.group_interaction_ms.unwrap();
        assert!(together > effect.direct_ms);
    }
    assert_eq!(diagnosis.groups.len(), 1);
}

#[test]
fn what_newcomers_lose_to_each_other_is_laid_to_their_arrival() {
    let steps = [takes(SYNC, 2.0, 0), Step::Away(40.0)];
    let newcomer = system("worker-b", 3, 30.2, 20.0, &steps);
    let reader = system("portal", 2, -60.0, 50.0, &[runs(LOG, 3.0)]);
    let diagnosis = conclude(&world(vec![reader, newcomer], 80.0, 8).run().0);
    let finding = finding_about(&diagnosis, SYNC, "worker-b");
    assert_eq!(finding.growth, None);
    let blamed = diagnosis
        .events
        .iter()
        .find(|event| Some(&event.id) == finding.cause.event.as_ref());
    assert_eq!(blamed.unwrap().label, "worker-b", "{}", told(&diagnosis));
}

#[test]
fn whose_latency_grew_comes_before_what_newcomers_lose_to_each_other() {
    let steps = [takes(SYNC, 2.0, 0), Step::Away(40.0)];
    let newcomer = system("worker-b", 6, 30.2, 20.0, &steps);
    let diagnosis = conclude(&world(vec![decision(), newcomer], 90.0, 9).run().0);
    let first = &diagnosis.findings[0];
    assert!(
        first.growth.is_some() && first.verdict.accuses(),
        "{}",
        told(&diagnosis)
    );
    assert_eq!(first.victim.system.as_deref(), Some("decision"));
    let own = finding_about(&diagnosis, SYNC, "worker-b");
    assert!(own.db_seconds > first.db_seconds, "{}", told(&diagnosis));
}

#[test]
fn many_questions_do_not_hide_whom_others_were_seen_waiting_for() {
    const ASIDE: [&str; 12] = [
        "SELECT a FROM t1",
        "SELECT a FROM t2",
        "SELECT a FROM t3",
        "SELECT a FROM t4",
        "SELECT a FROM t5",
        "SELECT a FROM t6",
        "SELECT a FROM t7",
        "SELECT a FROM t8",
        "SELECT a FROM t9",
        "SELECT a FROM u1",
        "SELECT a FROM u2",
        "SELECT a FROM u3",
    ];
    let mut rare = quiet_guilty(30.2);
    rare.think_ms = 2_500.0;
    let mut systems = vec![decision(), rare];
    systems.extend(ASIDE.map(|text| system("aside", 1, -60.0, 40.0, &[runs(text, 5.0)])));
    let mut seen = 0;
    for seed in 0..10 {
        let diagnosis = conclude(&world(systems.clone(), 90.0, seed).run().0);
        let mut findings = diagnosis.findings.iter();
        let about = findings.find(|it| it.growth.is_some() && culprit(it) == Some("sync-12"));
        let is_clear = |it: &&Finding| it.ci95_ms_per_call.is_some_and(|[low, _]| low > 0.0);
        if let Some(finding) = about.filter(is_clear).filter(|it| it.evidence.ticks >= 10) {
            assert!(finding.verdict.accuses(), "{}", told(&diagnosis));
            seen += 1;
        }
        let mut accused = accused(&diagnosis).into_iter();
        assert!(accused.all(|who| who == "sync-12"), "{}", told(&diagnosis));
    }
    assert!(seen >= 5, "{seen}");
}

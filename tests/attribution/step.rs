//! Systems that were there all along, and begin to do much more.

use pgjam::attribution::finding::{Diagnosis, Event, Verdict};

use crate::simulator::{Step, System, runs, system, takes};
use crate::story::{SYNC, decision, quiet_guilty, world};
use crate::{accused, conclude, culprit, told};

const OWN: &str = "UPDATE report SET done = true WHERE id = 1";

/// Holds the row that the others need while it is away, from a time on with more sessions.
fn batch(sessions: usize, from: f64) -> System {
    let steps = [takes(SYNC, 2.0, 0), Step::Away(40.0)];
    system("batch", sessions, from, 2_000.0, &steps)
}

/// Works for itself.
fn harmless(sessions: usize, from: f64) -> System {
    system("reports", sessions, from, 300.0, &[runs(OWN, 5.0)])
}

fn steps(diagnosis: &Diagnosis) -> Vec<&Event> {
    let events = diagnosis.events.iter();
    events.filter(|event| event.kind == "system-rate").collect()
}

#[test]
fn who_does_four_times_as_much_is_accused_of_what_others_wait_for_it_since() {
    for seed in 1..=3 {
        let systems = vec![decision(), batch(2, -60.0), batch(8, 60.2)];
        let diagnosis = conclude(&world(systems, 150.0, seed).run().0);
        let [step] = steps(&diagnosis)[..] else {
            panic!("{:?}", diagnosis.events);
        };
        assert_eq!(step.label, "batch");
        let [before, after] = step.calls_per_second.unwrap();
        assert!(
            after > 3.0 * before && after < 7.0 * before,
            "{before} to {after}"
        );
        let finding = &diagnosis.findings[0];
        assert_eq!(culprit(finding), Some("batch"), "{}", told(&diagnosis));
        assert_eq!(finding.cause.event.as_ref(), Some(&step.id));
        assert_eq!(finding.verdict, Verdict::Proved);
    }
}

#[test]
fn who_does_much_more_and_is_in_nobodys_way_is_told_and_not_accused() {
    for seed in 1..=3 {
        let systems = vec![decision(), harmless(2, -60.0), harmless(8, 60.2)];
        let diagnosis = conclude(&world(systems, 150.0, seed).run().0);
        let [step] = steps(&diagnosis)[..] else {
            panic!("{:?}", diagnosis.events);
        };
        let effect = step.effect.as_ref().unwrap();
        assert_eq!(effect.verdict, Verdict::NoEffect);
        assert_eq!(
            accused(&diagnosis),
            Vec::<&str>::new(),
            "{}",
            told(&diagnosis)
        );
    }
}

#[test]
fn what_steps_up_with_an_arrival_is_no_event_of_its_own() {
    let systems = vec![
        decision(),
        quiet_guilty(60.1),
        harmless(2, -60.0),
        harmless(8, 62.0),
    ];
    let diagnosis = conclude(&world(systems, 150.0, 1).run().0);
    assert!(steps(&diagnosis).is_empty(), "{:?}", diagnosis.events);
    assert_eq!(culprit(&diagnosis.findings[0]), Some("sync-12"));
}

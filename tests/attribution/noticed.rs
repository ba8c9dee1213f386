//! What is noticed while it happens.

use pgjam::attribution::Detector;
use pgjam::graph::view::Vocabulary;
use pgjam::names::{Names, Statements};
use pgjam::recording::{Event, Recording};
use pgjam::system::Naming;
use pgjam::time::Span;

use crate::conclude;
use crate::simulator::{START, Step, runs, system};
use crate::story::{decision, quiet_guilty, story, world};

/// Lets a detector see a recording tick by tick.
fn noticed(detector: &mut Detector, recording: &Recording) -> Vec<Event> {
    let (names, statements) = (
        Names::of(&recording.names),
        Statements::of(&recording.statements),
    );
    let naming = Naming::default();
    let words = Vocabulary {
        naming: &naming,
        names: &names,
        statements: &statements,
    };
    let looks = recording.snapshots.iter();
    looks
        .flat_map(|snapshot| detector.look(snapshot, words))
        .collect()
}

fn of_kind<'e>(events: &'e [Event], kind: &str) -> Vec<&'e str> {
    let kind = events.iter().filter(|event| &*event.kind == kind);
    kind.map(|event| &*event.label).collect()
}

#[test]
fn arrivals_are_noticed_as_the_whole_recording_tells_them() {
    let mut world = story(1);
    world.seconds = 120.0;
    let (recording, _) = world.run();
    let events = noticed(&mut Detector::default(), &recording);
    let mut onboarded: Vec<(String, _)> = events
        .iter()
        .filter(|event| &*event.kind == Event::ONBOARDED)
        .map(|event| (event.label.to_string(), event.at))
        .collect();
    let told = conclude(&recording).events.into_iter();
    let mut told: Vec<(String, _)> = told.map(|event| (event.label, event.at.0)).collect();
    onboarded.sort();
    told.sort();
    assert_eq!(onboarded, told);
    assert_eq!(onboarded.len(), 3);
    assert_eq!(of_kind(&events, Event::FIRST_SEEN), ["decision"]);
}

#[test]
fn who_was_seen_by_an_earlier_watch_is_no_newcomer() {
    let (recording, _) = story(1).run();
    let known = ["decision", "sync-12"].map(|system| Event {
        at: START - Span::from_secs(86_400),
        kind: Event::FIRST_SEEN.into(),
        label: system.into(),
        detail: None,
    });
    let mut world = story(1);
    world.seconds = 120.0;
    let until = Some(START - Span::from_secs(86_400));
    let mut detector = Detector::knowing(&known, until);
    let events = noticed(&mut detector, &world.run().0);
    let mut onboarded = of_kind(&events, Event::ONBOARDED);
    onboarded.sort_unstable();
    assert_eq!(onboarded, ["loud-1", "loud-2"]);
    assert!(of_kind(&events, Event::FIRST_SEEN).is_empty());
    // Nor does a watch of forty seconds decide about who came at its end.
    let short = Recording {
        snapshots: recording.snapshots[..450].to_vec(),
        ..recording
    };
    let events = noticed(&mut Detector::default(), &short);
    assert!(of_kind(&events, Event::ONBOARDED).is_empty());
}

#[test]
fn who_was_connected_while_an_earlier_watch_looked_has_only_another_name() {
    let mut world = story(1);
    world.seconds = 120.0;
    // The earlier watch looked until long after all of them had come.
    let until = Some(START + Span::from_secs(200));
    let events = noticed(&mut Detector::knowing(&[], until), &world.run().0);
    assert!(of_kind(&events, Event::ONBOARDED).is_empty());
    assert_eq!(of_kind(&events, Event::FIRST_SEEN).len(), 4);
}

#[test]
fn who_only_reads_is_seen_and_does_not_arrive() {
    let reader = system("report", 1, 20.0, 100.0, &[runs("SELECT 1", 20.0)]);
    let (recording, _) = world(vec![decision(), reader], 100.0, 2).run();
    let events = noticed(&mut Detector::default(), &recording);
    assert!(of_kind(&events, Event::ONBOARDED).is_empty());
    assert_eq!(of_kind(&events, Event::FIRST_SEEN), ["decision", "report"]);
}

#[test]
fn a_change_of_the_schema_is_told_once() {
    let ddl = "ALTER TABLE inbox ADD COLUMN IF NOT EXISTS x int";
    let migrator = system(
        "migrator",
        1,
        -30.0,
        2_000.0,
        &[runs(ddl, 30.0), Step::Away(5.0)],
    );
    let (recording, _) = world(vec![decision(), quiet_guilty(-60.0), migrator], 60.0, 2).run();
    let events = noticed(&mut Detector::default(), &recording);
    assert_eq!(of_kind(&events, Event::DDL), ["migrator"]);
    let detail = events.iter().find(|event| &*event.kind == Event::DDL);
    let detail = detail.and_then(|event| event.detail.as_deref());
    assert!(
        detail.is_some_and(|text| text.contains("ALTER TABLE")),
        "{detail:?}"
    );
}

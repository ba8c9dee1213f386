//! What nobody holds: whose load came, and when it is nobody's.

use pgjam::attribution::finding::{Diagnosis, Finding, Scope, Verdict};
use pgjam::recording::Recording;

use crate::simulator::{SECOND, System, at, query_id, runs, system};
use crate::story::world;
use crate::{accused, conclude, told};

pub(crate) const READ: &str = "SELECT allowed FROM permission WHERE agency = $1";
const LOOK_UP: &str = "SELECT name FROM agency WHERE id = $1";
pub(crate) const WRITE: &str = "UPDATE document SET seen = true WHERE id = $1";
const REPORT: &str = "SELECT count(*) FROM document";

/// A system whose one statement takes longer from 30 s on.
pub(crate) fn reader(later_ms: f64) -> System {
    let mut reader = system("portal", 4, -5.0, 20.0, &[runs(READ, 4.0)]);
    reader.changes = Some((30.0, vec![runs(READ, later_ms)]));
    reader
}

/// Another one, to hold it against.
pub(crate) fn control(later_ms: f64) -> System {
    let mut control = system("intake", 3, -5.0, 30.0, &[runs(LOOK_UP, 5.0)]);
    control.changes = Some((30.0, vec![runs(LOOK_UP, later_ms)]));
    control
}

/// A system that comes at 30 s with so many sessions, all of them always at work.
fn busy(name: &'static str, sessions: usize) -> System {
    let steps = [runs(WRITE, 1.0), runs(REPORT, 400.0)];
    system(name, sessions, 30.2, 1.0, &steps)
}

/// Says how many blocks a call of a statement touches, before and after 30 s.
pub(crate) fn blocks_a_call(recording: &mut Recording, text: &str, [before, after]: [i64; 2]) {
    let came = at(30 * SECOND);
    let mut calls_before = 0;
    for row in recording
        .counters
        .iter_mut()
        .flat_map(|look| &mut look.rows)
    {
        if row.query_id != query_id(text) {
            continue;
        }
        let calls = row.calls.unwrap();
        if row.at <= came {
            calls_before = calls;
        }
        row.blocks_hit = before * calls_before + after * (calls - calls_before);
    }
}

/// Says how many of the blocks that a call touches are read, before and after 30 s.
fn reads_a_call(recording: &mut Recording, text: &str, reads: [i64; 2]) {
    blocks_a_call(recording, text, reads);
    for row in recording
        .counters
        .iter_mut()
        .flat_map(|look| &mut look.rows)
    {
        if row.query_id == query_id(text) {
            row.blocks_read = std::mem::take(&mut row.blocks_hit);
        }
    }
}

/// Lets whoever runs a statement wait for the disk instead.
fn waits_for_the_disk(recording: &mut Recording, text: &str) {
    let sessions = recording.snapshots.iter_mut();
    for session in sessions.flat_map(|snapshot| &mut snapshot.sessions) {
        if session.query_id == Some(query_id(text)) && session.state.is_active() {
            session.wait_event_type = Some("IO".into());
            session.wait_event = Some("DataFileRead".into());
        }
    }
}

pub(crate) fn about<'a>(diagnosis: &'a Diagnosis, text: &str) -> &'a Finding {
    let mut about = diagnosis.findings.iter();
    let found = about.find(|finding| finding.victim.query == text && finding.growth.is_some());
    found.unwrap_or_else(|| panic!("nothing about {text}:\n{}", told(diagnosis)))
}

#[test]
fn who_takes_the_processors_is_named_and_never_proved() {
    let systems = vec![control(14.0), reader(12.0), busy("batch", 4)];
    let (mut recording, _) = world(systems, 90.0, 1).run();
    blocks_a_call(&mut recording, READ, [9, 9]);
    let diagnosis = conclude(&recording);
    let finding = about(&diagnosis, READ);
    assert_eq!(finding.cause.class, "cpu", "{}", told(&diagnosis));
    assert_eq!(finding.cause.basis, "apportioned");
    assert_eq!(finding.scope, Scope::Culprit);
    assert_eq!(finding.verdict, Verdict::Supported);
    let blocker = finding.cause.blocker.as_ref().unwrap();
    assert_eq!(blocker.system.as_deref(), Some("batch"));
    assert_eq!(blocker.query.as_deref(), Some(REPORT));
    assert!(finding.cause.event.is_some());
    let what_if = finding.what_if.as_ref().unwrap();
    assert_eq!(what_if.removed, "the load of batch");
    let [mean, before] = [
        what_if.mean_ms.unwrap(),
        finding.growth.as_ref().unwrap().before_ms,
    ];
    assert!((mean - before).abs() < 0.5 * before, "{mean} for {before}");
    let shares = finding.cause.apportioned.as_ref().unwrap();
    let sum: f64 = shares.iter().map(|share| share.share).sum();
    assert!(
        (sum - 1.0).abs() < 1e-9 && shares[0].share > 0.9,
        "{shares:?}"
    );
}

#[test]
fn a_call_that_does_more_accuses_no_arrival() {
    let systems = vec![control(14.0), reader(12.0), busy("batch", 4)];
    let (mut recording, _) = world(systems, 90.0, 2).run();
    blocks_a_call(&mut recording, READ, [9, 800]);
    let diagnosis = conclude(&recording);
    let finding = about(&diagnosis, READ);
    assert_eq!(finding.cause.class, "own-work", "{}", told(&diagnosis));
    assert_eq!((finding.scope, &finding.cause.blocker), (Scope::Own, &None));
    assert_eq!(accused(&diagnosis), Vec::<&str>::new());
}

#[test]
fn a_newcomer_that_hardly_works_is_not_what_slows_others_down() {
    let quiet = system("quiet", 1, 30.2, 400.0, &[runs(WRITE, 2.0)]);
    let systems = vec![control(14.0), reader(12.0), quiet];
    let (mut recording, _) = world(systems, 90.0, 3).run();
    blocks_a_call(&mut recording, READ, [9, 9]);
    let diagnosis = conclude(&recording);
    assert_eq!(
        accused(&diagnosis),
        Vec::<&str>::new(),
        "{}",
        told(&diagnosis)
    );
}

#[test]
fn two_who_come_at_once_share_what_they_added_and_neither_is_accused() {
    let systems = vec![
        control(14.0),
        reader(12.0),
        busy("batch", 3),
        busy("report", 3),
    ];
    let (mut recording, _) = world(systems, 90.0, 4).run();
    blocks_a_call(&mut recording, READ, [9, 9]);
    let diagnosis = conclude(&recording);
    assert_eq!(
        accused(&diagnosis),
        Vec::<&str>::new(),
        "{}",
        told(&diagnosis)
    );
    let shares = about(&diagnosis, READ).cause.apportioned.as_ref().unwrap();
    let named: Vec<&str> = shares
        .iter()
        .filter_map(|it| it.system.as_deref())
        .collect();
    let first_two: std::collections::BTreeSet<&str> = named.iter().take(2).copied().collect();
    assert_eq!(first_two, ["batch", "report"].into(), "{shares:?}");
    let both: f64 = shares.iter().take(2).map(|it| it.share).sum();
    assert!(both > 0.9 && shares[0].share < 0.65, "{shares:?}");
}

#[test]
fn where_others_are_as_fast_as_before_the_processors_are_not_what_is_waited_for() {
    let systems = vec![control(5.0), reader(12.0), busy("batch", 4)];
    let (mut recording, _) = world(systems, 90.0, 5).run();
    blocks_a_call(&mut recording, READ, [9, 9]);
    let diagnosis = conclude(&recording);
    let finding = about(&diagnosis, READ);
    assert_eq!(finding.cause.class, "own-work", "{}", told(&diagnosis));
    assert_eq!(accused(&diagnosis), Vec::<&str>::new());
}

#[test]
fn who_reads_most_of_what_came_is_named() {
    let systems = vec![control(5.0), reader(12.0), busy("batch", 2)];
    let (mut recording, _) = world(systems, 90.0, 6).run();
    for text in [READ, REPORT] {
        waits_for_the_disk(&mut recording, text);
    }
    reads_a_call(&mut recording, READ, [3, 3]);
    reads_a_call(&mut recording, REPORT, [5_000, 5_000]);
    let diagnosis = conclude(&recording);
    let finding = about(&diagnosis, READ);
    assert_eq!(finding.cause.class, "io", "{}", told(&diagnosis));
    assert_eq!(finding.verdict, Verdict::Supported);
    let blocker = finding.cause.blocker.as_ref().unwrap();
    assert_eq!(blocker.system.as_deref(), Some("batch"));
    assert_eq!(finding.event_effect, None);
}

#[test]
fn a_disk_that_slows_down_is_laid_to_nobody_who_reads_hardly_more_than_before() {
    let systems = vec![
        control(5.0),
        reader(12.0),
        system("quiet", 1, 30.2, 400.0, &[runs(WRITE, 2.0)]),
    ];
    let (mut recording, _) = world(systems, 90.0, 7).run();
    waits_for_the_disk(&mut recording, READ);
    reads_a_call(&mut recording, READ, [3, 3]);
    reads_a_call(&mut recording, LOOK_UP, [10, 12]);
    let diagnosis = conclude(&recording);
    let finding = about(&diagnosis, READ);
    assert_eq!(
        (finding.cause.class, &finding.cause.blocker),
        ("io", &None),
        "{}",
        told(&diagnosis)
    );
    assert_eq!(finding.cause.apportioned, None);
}

#[test]
fn of_a_statement_that_several_run_what_came_is_whose_sessions_came() {
    const BOTH: &str = "INSERT INTO event VALUES (1, 'x')";
    let share = |name, sessions, from| system(name, sessions, from, 60.0, &[runs(BOTH, 6.0)]);
    let systems = vec![
        reader(12.0),
        share("sync-1", 12, -5.0),
        share("sync-2", 12, 30.2),
    ];
    let (mut recording, _) = world(systems, 90.0, 8).run();
    for text in [READ, BOTH] {
        waits_for_the_disk(&mut recording, text);
    }
    reads_a_call(&mut recording, READ, [3, 3]);
    reads_a_call(&mut recording, BOTH, [40, 40]);
    let diagnosis = conclude(&recording);
    let shares = about(&diagnosis, READ).cause.apportioned.as_ref().unwrap();
    assert_eq!(shares[0].system.as_deref(), Some("sync-2"), "{shares:?}");
    assert!(shares[0].share > 0.8, "{shares:?}");
}

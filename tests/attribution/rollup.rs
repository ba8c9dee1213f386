//! What remains of a watch when its samples are gone, against what the samples say.

use std::collections::BTreeMap;

use pgjam::attribution::finding::{Diagnosis, Finding, NotTold, Verdict};
use pgjam::attribution::{Charged, Rollup};
use pgjam::graph::view::Vocabulary;
use pgjam::names::{Names, Statements};
use pgjam::pg::{Oid, QueryId};
use pgjam::recording::{
    Account, Entry, Event, Limits, Recording, Retention, RolledUp, Window, Writer,
};
use pgjam::sample::{Counters, Server, StatementCounters};
use pgjam::system::Naming;
use pgjam::time::{Span, Timestamp};

use crate::simulator::World;
use crate::story::{DECIDE, decision, finding_about, quiet_guilty, world};
use crate::{conclude, culprit, told};

/// A recording as it was charged while it was made.
struct Watched {
    recording: Recording,
    charged: Vec<Charged>,
    minutes: Vec<RolledUp>,
}

fn watched(world: &World) -> Watched {
    let (recording, _) = world.run();
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
    let (mut rollup, mut charged, mut minutes) = (Rollup::default(), Vec::new(), Vec::new());
    let mut looks = recording.counters.iter().peekable();
    for snapshot in &recording.snapshots {
        while let Some(look) = looks.next_if(|look| look.at <= snapshot.tick.at) {
            minutes.extend(rollup.count(look));
        }
        let one = rollup.look(snapshot, words);
        minutes.extend(one.over.clone());
        charged.push(one);
    }
    minutes.extend(rollup.finish(recording.snapshots.last().unwrap().tick.at));
    Watched {
        recording,
        charged,
        minutes,
    }
}

/// Twelve minutes with a culprit from the sixth on.
fn long_story() -> Watched {
    watched(&world(vec![decision(), quiet_guilty(345.0)], 720.0, 3))
}

#[test]
fn the_charges_of_a_tick_add_up_to_its_span_times_the_active_sessions() {
    let watched = long_story();
    for (snapshot, charged) in watched.recording.snapshots.iter().zip(&watched.charged) {
        let active = snapshot.sessions.iter();
        let active = active.filter(|session| session.state.is_active()).count();
        let spent: Span = charged.charges.iter().map(|charge| charge.spent_us).sum();
        let expected = snapshot.tick.span.as_micros() * i64::try_from(active).unwrap();
        assert_eq!(spent.as_micros(), expected, "at {}", snapshot.tick.at);
    }
}

#[test]
fn every_wait_has_an_edge() {
    let watched = long_story();
    let mut edges = 0;
    for (snapshot, charged) in watched.recording.snapshots.iter().zip(&watched.charged) {
        for waiting in snapshot.locks.iter().filter(|lock| !lock.granted) {
            let own = |edge: &&pgjam::recording::Edge| Some(edge.waiter) == waiting.pid;
            assert!(charged.edges.iter().any(|edge| own(&edge)), "{waiting:?}");
        }
        edges += charged.edges.len();
    }
    assert!(edges > 1_000, "{edges}");
}

#[test]
fn the_cells_of_the_minutes_are_the_sums_of_the_charges() {
    fn sums<'c>(
        charges: impl Iterator<Item = &'c pgjam::recording::Charge>,
    ) -> BTreeMap<&'c Account, i64> {
        let mut sums = BTreeMap::new();
        for charge in charges {
            *sums.entry(&*charge.account).or_default() += charge.spent_us.as_micros();
        }
        sums
    }
    let watched = long_story();
    let charges = watched.charged.iter().flat_map(|one| &one.charges);
    let cells = watched.minutes.iter().flat_map(|minute| &minute.cells);
    assert_eq!(sums(charges), sums(cells));
    let ticks: u32 = watched.minutes.iter().map(|one| one.minute.ticks).sum();
    assert_eq!(ticks as usize, watched.recording.snapshots.len());
    for (one, next) in watched.minutes.iter().zip(&watched.minutes[1..]) {
        assert_eq!(one.minute.until, next.minute.at);
    }
}

#[test]
fn what_is_concluded_from_the_minutes_is_what_the_samples_say_by_the_minute() {
    let mut watched = long_story();
    // The last did not end with a look at the counters: its time and its calls are not the same.
    watched.minutes.pop();
    let end = watched.minutes.last().unwrap().minute.until;
    let ticks = &mut watched.recording.snapshots;
    ticks.truncate(ticks.partition_point(|one| one.tick.at < end) + 1);
    let arrivals = conclude(&watched.recording).events;
    let arrival = |event: &pgjam::attribution::finding::Event| Event {
        at: event.at.0,
        kind: Event::ONBOARDED.into(),
        label: event.label.as_str().into(),
        detail: None,
    };
    let from_minutes = conclude(&Recording {
        snapshots: Vec::new(),
        counters: Vec::new(),
        minutes: watched.minutes.clone(),
        events: arrivals.iter().map(arrival).collect(),
        ..watched.recording.clone()
    });
    let by_the_minute = |rolled: &RolledUp| {
        Some(Counters {
            at: rolled.minute.counted?,
            rows: rolled.counters.clone(),
        })
    };
    let from_samples = conclude(&Recording {
        counters: watched.minutes.iter().filter_map(by_the_minute).collect(),
        ..watched.recording.clone()
    });
    assert_eq!(figures(&from_minutes), figures(&from_samples));
    let found = finding_about(&from_minutes, DECIDE, "sync-12");
    assert_eq!(found.verdict, Verdict::Proved, "{}", told(&from_minutes));
    // Sums do not tell how old anything was.
    let tail = &found.tail.after;
    assert_eq!((tail.p99_ms, tail.why_not), (None, Some(NotTold::NoAges)));
    assert_eq!(found.cause.table.as_deref(), Some("public.inbox"));
    assert_eq!(from_minutes.window.ticks + 1, from_samples.window.ticks);
}

#[test]
fn a_recording_too_long_to_be_read_at_once_says_what_its_samples_say_by_the_minute() {
    let watched = long_story();
    let folder = tempfile::tempdir().unwrap();
    let recorded = &watched.recording;
    let mut writer = Writer::create(folder.path(), &recorded.server).unwrap();
    for snapshot in &recorded.snapshots {
        writer.take(snapshot.clone().into());
    }
    let texts = recorded.statements.iter().cloned().map(Entry::Statement);
    let names = recorded.names.iter().cloned().map(Entry::Name);
    let looks = recorded.counters.iter().cloned().map(Entry::Counters);
    let minutes = watched.minutes.iter().cloned().map(Box::new);
    let arrivals = conclude(recorded).events.into_iter().map(|event| Event {
        at: event.at.0,
        kind: Event::ONBOARDED.into(),
        label: event.label.as_str().into(),
        detail: None,
    });
    texts
        .chain(names)
        .chain(looks)
        .chain(minutes.map(Entry::Minute))
        .chain(arrivals.map(Entry::Event))
        .for_each(|entry| writer.take(entry));
    writer.finish().unwrap();
    let whole = Recording::open(folder.path()).unwrap();
    let seen = whole.snapshots.iter();
    let bytes: usize = seen
        .map(|seen| size_of_val(&seen.sessions[..]) + size_of_val(&seen.locks[..]))
        .sum();
    let most = u64::try_from(bytes / 3).unwrap();
    let (read, from) = Recording::open_summed(folder.path(), Window::ALL, most).unwrap();
    let from = from.unwrap();
    assert_eq!(read.minutes.last().unwrap().minute.until, from);
    let minutes = read.minutes.len();
    assert!((3..watched.minutes.len()).contains(&minutes), "{minutes}");
    let by_the_minute = read.minutes.iter().filter_map(|rolled| {
        Some(Counters {
            at: rolled.minute.counted?,
            rows: rolled.counters.clone(),
        })
    });
    let from_samples = conclude(&Recording {
        counters: by_the_minute.chain(read.counters.clone()).collect(),
        ..whole
    });
    let found = conclude(&read);
    assert_eq!(figures(&found), figures(&from_samples));
    assert_eq!(found.window.ticks, from_samples.window.ticks);
    assert!(!found.findings.is_empty());
    let of_all = Recording::open_summed(folder.path(), Window::ALL, u64::MAX).unwrap();
    assert_eq!(
        (of_all.0, of_all.1),
        (Recording::open(folder.path()).unwrap(), None)
    );
}

#[test]
fn a_minute_with_very_many_statements_keeps_its_time_and_its_bound() {
    let (recording, _) = world(vec![decision()], 5.0, 1).run();
    let (names, statements) = (Names::default(), Statements::default());
    let naming = Naming::default();
    let words = Vocabulary {
        naming: &naming,
        names: &names,
        statements: &statements,
    };
    let mut rollup = Rollup::default();
    let (mut spent, mut next) = (0, 0);
    let looks = recording.snapshots.iter();
    let mut busy = looks.filter(|look| look.sessions.iter().any(|s| s.state.is_active()));
    let mut look = busy.next().unwrap().clone();
    look.locks.clear();
    look.sessions.retain(|session| session.state.is_active());
    let session = look.sessions[0].clone();
    for _ in 0..60 {
        look.sessions = (0..500)
            .map(|_| {
                next += 1;
                let statement = Some(pgjam::statement::StatementId(next));
                pgjam::sample::Session {
                    statement,
                    ..session.clone()
                }
            })
            .collect();
        let charged = rollup.look(&look, words);
        spent += charged
            .charges
            .iter()
            .map(|row| row.spent_us.as_micros())
            .sum::<i64>();
    }
    let [minute] = &rollup.finish(look.tick.at)[..] else {
        panic!("one minute")
    };
    let kept: Span = minute.cells.iter().map(|cell| cell.spent_us).sum();
    assert_eq!(kept.as_micros(), spent);
    assert!(minute.cells.len() <= 8_000 && minute.cells.len() > 4_000);
}

/// What a diagnosis says in figures, to a nanosecond.
fn figures(diagnosis: &Diagnosis) -> Vec<String> {
    let mut figures = Vec::new();
    for finding in &diagnosis.findings {
        let growth = finding.growth.as_ref();
        figures.push(format!(
            "{:?} {} {:?} {:?} {:.6?} {:.6?} {:.6} {:?}",
            finding.verdict,
            finding.cause.class,
            finding.cause.table,
            culprit(finding),
            growth.map(|growth| (growth.before_ms, growth.after_ms, growth.delta_ms)),
            finding.ms_per_call,
            finding.db_seconds,
            finding
                .cause
                .dominant_state()
                .map(|(state, share)| format!("{state} {share:.6}")),
        ));
    }
    for split in &diagnosis.splits {
        let parts = split.parts.iter();
        let parts = parts.map(|part| format!("{} {:.6}", part.cause.class, part.delta_ms));
        figures.push(format!(
            "{} {:.6} {:?}",
            split.victim.query,
            split.growth.delta_ms,
            parts.collect::<Vec<_>>()
        ));
    }
    figures
}

#[test]
fn a_watch_of_which_the_older_half_is_rolled_up_knows_who_was_there_before() {
    let watched = long_story();
    let from = watched.minutes[5].minute.until;
    let mut recording = watched.recording.clone();
    recording.snapshots.retain(|one| one.tick.at >= from);
    recording.counters.retain(|look| look.at > from);
    recording.minutes = watched.minutes[..6].to_vec();
    let diagnosis = conclude(&recording);
    let found = finding_about(&diagnosis, DECIDE, "sync-12");
    let growth = finding_about(&conclude(&watched.recording), DECIDE, "sync-12")
        .growth
        .clone();
    println!("whole {:?}, half rolled up {:?}", growth, found.growth);
    assert!(
        diagnosis
            .events
            .iter()
            .all(|event| event.label != "decision")
    );
}

/// Twelve hours of minutes as those of the story: in the second half the culprit is there.
fn half_a_day(watched: &Watched, start: Timestamp) -> Vec<RolledUp> {
    let mut counted: BTreeMap<(Oid, QueryId), i64> = BTreeMap::new();
    let calls_before = |place: usize, row: &StatementCounters| {
        let earlier = watched.minutes[..place].iter().rev();
        let mut told = earlier.flat_map(|one| &one.counters);
        let told = told.find(|told| (told.database, told.query_id) == (row.database, row.query_id));
        told.and_then(|told| told.calls).unwrap_or(0)
    };
    let minute = |number: usize| {
        let place = if number < 360 { 1 } else { 7 } + number % 4;
        let from = &watched.minutes[place];
        let minutes = |number: usize| Span::from_secs(60 * i64::try_from(number).unwrap());
        let (at, until) = (start + minutes(number), start + minutes(number + 1));
        let counters = from.counters.iter().map(|row| {
            let calls = counted.entry((row.database, row.query_id)).or_default();
            *calls += row.calls.unwrap() - calls_before(place, row);
            StatementCounters {
                at: until,
                calls: Some(*calls),
                exec_ms: 0.0,
                rows: 0,
                blocks_hit: 0,
                blocks_read: 0,
                wal_bytes: 0,
                ..*row
            }
        });
        let counters = counters.collect();
        let mut rolled = from.clone();
        rolled.cells.iter_mut().for_each(|cell| cell.at = at);
        (rolled.minute.at, rolled.minute.until) = (at, until);
        rolled.minute.counted = Some(until);
        RolledUp { counters, ..rolled }
    };
    (0..720).map(minute).collect()
}

/// Reads minutes back from a recording that has no room for them: by the hour.
fn by_the_hour(server: &Server, minutes: &[RolledUp]) -> Vec<RolledUp> {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = Writer::create(folder.path(), server).unwrap();
    for minute in minutes {
        writer.take(Entry::Minute(Box::new(minute.clone())));
    }
    writer.take(Entry::Limits(Limits {
        retention: Retention {
            minutes_bytes: Some(0),
            ..Retention::default()
        },
        ..Limits::default()
    }));
    writer.take(Entry::Counters(Counters {
        at: minutes[0].minute.at + Span::from_secs(172_800),
        rows: Vec::new(),
    }));
    writer.seal().unwrap();
    while writer.upkeep() {}
    Recording::open(folder.path()).unwrap().minutes
}

#[test]
fn what_is_concluded_from_hours_is_what_their_minutes_say() {
    const DAY: i64 = 86_400_000_000;
    let watched = long_story();
    let begun = watched.minutes[0].minute.at.as_micros();
    let start = Timestamp::from_micros(begun.div_euclid(DAY) * DAY);
    let minutes = half_a_day(&watched, start);
    let hours = by_the_hour(&watched.recording.server, &minutes);
    assert_eq!((minutes.len(), hours.len()), (720, 12));
    let concluded = |minutes: Vec<RolledUp>| {
        conclude(&Recording {
            snapshots: Vec::new(),
            counters: Vec::new(),
            minutes,
            events: vec![Event {
                at: start + Span::from_secs(6 * 3_600),
                kind: Event::ONBOARDED.into(),
                label: "sync-12".into(),
                detail: None,
            }],
            ..watched.recording.clone()
        })
    };
    let (minutes, hours) = (concluded(minutes), concluded(hours));
    println!(
        "by the minute\n{}by the hour\n{}",
        told(&minutes),
        told(&hours)
    );
    let found = |diagnosis| finding_about(diagnosis, DECIDE, "sync-12").clone();
    let (by_minute, by_hour) = (found(&minutes), found(&hours));
    assert_eq!(by_hour.verdict, Verdict::Proved);
    assert_eq!(by_hour.verdict, by_minute.verdict);
    assert_eq!(by_hour.victim, by_minute.victim);
    let words = |Finding { cause, .. }: &Finding| {
        let state = cause.dominant_state().map(|(state, _)| state.to_owned());
        (
            cause.class,
            cause.basis,
            cause.table.clone(),
            cause.lock.clone(),
            state,
        )
    };
    assert_eq!(words(&by_hour), words(&by_minute));
    let delta = |finding: &Finding| finding.growth.as_ref().unwrap().delta_ms;
    let off = delta(&by_hour) / delta(&by_minute) - 1.0;
    assert!(off.abs() < 0.01, "{off}");
}

//! Noticing what happens while it happens, over a watch that has no end.
//!
//! A recording's samples tell who arrived as long as they are there; what is noticed here is
//! written down and outlives them. Whoever was seen in an earlier watch of the same recording
//! is no newcomer.
//!
//! - A system is new when its first connection is younger than the watch, and it writes. It is
//!   told once it is known not to come and go all the time: after a minute, or some connections.
//! - A system's work steps up, or down, when three minutes in a row have twice what the quarter
//!   of an hour before had, or half, beyond what sampling makes of it. Work is time that it did
//!   not wait for others: it does not grow because others are in the way.
//! - A change of the schema is told once in ten minutes for each statement of a system.
//! - A reset of `pg_stat_statements` is told with the time that the server gives for it.
//! - A setting is told when it has another value than at the look before, whatever connection that
//!   was over; and when another one begins to wait for a restart.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::Arc;

use crate::attribution::cause::Class;
use crate::attribution::event::Seen;
use crate::graph::view::Vocabulary;
use crate::recording::{Event, RolledUp};
use crate::sample::{ServerCounter, Setting, Snapshot};
use crate::statement::{Kind, StatementId};
use crate::time::{Span, Timestamp};

/// So long after its first connection it is told whether a system is new.
const DECIDED: Span = Span::from_secs(60);
/// So many systems are known by name; of more nothing is told.
const MOST_SYSTEMS: usize = 4_096;
/// So many connections of a newcomer are looked at.
const MOST_CONNECTIONS: usize = 16;
/// The minutes that a system's work is held against …
const BEFORE: usize = 15;
/// … of which so many must be there …
const FEWEST: usize = 10;
/// … and those that have to differ from them, each.
const AFTER: usize = 3;
/// A step is at least so much …
const FACTOR: f64 = 2.0;
/// … in so many standard deviations of what sampling makes of a steady load …
const DEVIATIONS: f64 = 4.0;
/// … and so much of a session on average.
const LEAST: f64 = 0.05;
/// A minute of which so much was not watched is a gap: loads are not compared across it.
const LONGEST_GAP: Span = Span::from_secs(60);
/// How often a statement that changes the schema is told.
const AGAIN: Span = Span::from_secs(600);
/// So many of those are remembered.
const MOST_CHANGES: usize = 1_000;

/// Notices events as the ticks come in.
#[derive(Debug, Default)]
pub struct Detector {
    start: Option<Timestamp>,
    /// Those who are known to have been there, or to have arrived.
    known: BTreeMap<Arc<str>, Work>,
    /// Those of whom it is not told yet.
    newcomers: HashMap<Arc<str>, Seen>,
    changes: HashMap<(Option<Arc<str>>, StatementId), Timestamp>,
    /// As they were last seen; none before the first look at them.
    settings: HashMap<Arc<str>, Setting>,
    /// Since when `pg_stat_statements` counts, as it was last told.
    counts_since: Option<i64>,
    /// The changes of the schema that an earlier watch told in its last minute.
    told: HashSet<(Timestamp, Arc<str>)>,
    /// The longest time that one look stood for since the last minute was over.
    longest: Span,
}

/// A system's work by the minute: in seconds a second, and what one sighting stands for of that.
#[derive(Debug, Default)]
struct Work {
    minutes: VecDeque<(f64, f64)>,
}

impl Detector {
    /// Knows what an earlier watch into the same recording noticed, which ended with a tick at
    /// `until`.
    ///
    /// Whoever was connected before its last minute and is not known was seen by it all the same,
    /// and has had another name, or what was told of it is gone by now.
    #[must_use]
    pub fn knowing(events: &[Event], until: Option<Timestamp>) -> Self {
        let start = until.map(|until| until - DECIDED);
        let changes = events.iter().filter(|event| &*event.kind == Event::DDL);
        let changes = changes.filter(|event| start.is_some_and(|start| event.at >= start));
        let of_systems =
            |event: &&Event| [Event::ONBOARDED, Event::FIRST_SEEN].contains(&&*event.kind);
        let known = events.iter().filter(of_systems);
        Self {
            start,
            told: changes
                .map(|event| (event.at, Arc::clone(&event.label)))
                .collect(),
            known: known
                .map(|event| (Arc::clone(&event.label), Work::default()))
                .collect(),
            ..Self::default()
        }
    }

    /// Takes in a tick.
    pub fn look(&mut self, snapshot: &Snapshot, words: Vocabulary<'_>) -> Vec<Event> {
        let at = snapshot.tick.at;
        self.longest = self.longest.max(snapshot.tick.span);
        let start = *self.start.get_or_insert(at);
        let mut events = Vec::new();
        for session in snapshot
            .sessions
            .iter()
            .filter(|session| session.is_client())
        {
            let system = words.naming.name(session, words.names);
            let statement = session.statement.and_then(|id| words.statements.get(id));
            if let Some(statement) = statement.filter(|it| it.kind == Kind::Ddl)
                && let Some(begun) = session.query_start
                && begun >= start
            {
                let last = self.changes.get(&(system.clone(), statement.id));
                let label = system.clone().unwrap_or_default();
                let is_told = self.told.contains(&(begun, Arc::clone(&label)));
                if !is_told && last.is_none_or(|last| begun.since(*last) >= AGAIN) {
                    if self.changes.len() >= MOST_CHANGES {
                        self.changes.clear();
                    }
                    self.changes.insert((system.clone(), statement.id), begun);
                    events.push(Event {
                        at: begun,
                        kind: Event::DDL.into(),
                        label,
                        detail: Some(statement.short().into()),
                    });
                }
            }
            let Some(system) = system.filter(|system| !self.known.contains_key(system)) else {
                continue;
            };
            if self.known.len() + self.newcomers.len() < MOST_SYSTEMS
                || self.newcomers.contains_key(&system)
            {
                let seen = self.newcomers.entry(system).or_default();
                seen.see(session, words.statements);
                if seen.connected.len() > MOST_CONNECTIONS {
                    seen.connected.pop_last();
                }
            }
        }
        let decided = |_: &Arc<str>, seen: &mut Seen| {
            let first = seen.connected.first().copied().unwrap_or(at);
            first <= start || at.since(first) >= DECIDED || seen.is_known_well()
        };
        for (label, seen) in self.newcomers.extract_if(decided) {
            let first = seen.connected.first().copied().unwrap_or(at);
            let (kind, at) = match seen.onboarded(start) {
                Some(onboarded) => (Event::ONBOARDED, onboarded),
                None => (Event::FIRST_SEEN, first.max(start)),
            };
            self.known.insert(Arc::clone(&label), Work::default());
            events.push(Event {
                at,
                kind: kind.into(),
                label,
                detail: None,
            });
        }
        // Neither of them comes in an order of its own.
        events.sort_unstable();
        events
    }

    /// Takes in the settings that a look around tells.
    pub fn settings(&mut self, told: &[Setting]) -> Vec<Event> {
        let is_first = self.settings.is_empty();
        let mut events = Vec::new();
        for setting in told {
            let before = self
                .settings
                .insert(Arc::clone(&setting.name), setting.clone());
            if is_first {
                continue;
            }
            let waited = before.as_ref().is_some_and(|it| it.pending_restart);
            let before = before.and_then(|it| it.value);
            let [value, was] = [&setting.value, &before]
                .map(|value| value.as_deref().unwrap_or("built in").to_owned());
            let detail = if setting.value != before {
                format!("{value}, was {was}")
            } else if setting.pending_restart && !waited {
                format!("{value}, and another value from the next restart on")
            } else {
                continue;
            };
            events.push(Event {
                at: setting.at,
                kind: Event::SETTING.into(),
                label: Arc::clone(&setting.name),
                detail: Some(detail.into()),
            });
        }
        events
    }

    /// Takes in what the server counts, as far as it changed: whether counters began anew.
    pub fn counted(&mut self, told: &[ServerCounter]) -> Vec<Event> {
        let told = told.iter().filter(|it| &*it.name == "statements_since_us");
        let moved = told.filter(|it| {
            let before = self.counts_since.replace(it.value);
            before.is_some_and(|before| before < it.value)
        });
        let event = |it: &ServerCounter| Event {
            at: Timestamp::from_micros(it.value),
            kind: Event::STATISTICS_RESET.into(),
            label: "pg_stat_statements".into(),
            detail: None,
        };
        moved.map(event).collect()
    }

    /// Takes in a minute's sums: who works much more, or much less, than before.
    pub fn minute(&mut self, rolled: &RolledUp) -> Vec<Event> {
        let longest = std::mem::take(&mut self.longest);
        let minute = &rolled.minute;
        let unwatched = minute.until.since(minute.at).less(minute.watched_us);
        if unwatched > LONGEST_GAP {
            // What came before it is no measure for what comes after it.
            self.known
                .values_mut()
                .for_each(|work| work.minutes.clear());
            return Vec::new();
        }
        let watched = minute.span_us.as_secs_f64();
        if watched < 30.0 {
            return Vec::new();
        }
        let mut spent: HashMap<&Arc<str>, f64> = HashMap::new();
        for cell in &rolled.cells {
            let works = [Class::OwnWork, Class::Io, Class::Wal, Class::Client]
                .contains(&Class::from_name(&cell.account.class));
            if let Some(system) = cell.account.system.as_ref().filter(|_| works) {
                *spent.entry(system).or_default() += cell.spent_us.as_secs_f64();
            }
        }
        // What one sighting in a tick stands for, of a second: at most so much, where the pace
        // changed.
        let grain = longest.as_secs_f64() / watched;
        let grain = grain.max(1.0 / f64::from(minute.ticks.max(1)));
        let mut events = Vec::new();
        for (system, work) in &mut self.known {
            let load = spent.get(system).copied().unwrap_or_default() / watched;
            if let Some((before, after)) = work.step(load, grain) {
                events.push(Event {
                    at: rolled.minute.until,
                    kind: Event::RATE.into(),
                    label: Arc::clone(system),
                    detail: Some(
                        format!("{after:.2} sessions at work on average, was {before:.2}").into(),
                    ),
                });
            }
        }
        events
    }
}

impl Work {
    /// Takes in a minute; gives the loads before and after a step, if there was one.
    fn step(&mut self, load: f64, grain: f64) -> Option<(f64, f64)> {
        if self.minutes.is_empty() {
            // As many as there may be and no more: thousands of systems have these.
            self.minutes.reserve_exact(BEFORE + AFTER + 1);
        }
        self.minutes.push_back((load, grain));
        if self.minutes.len() > BEFORE + AFTER {
            self.minutes.pop_front();
        }
        let count = self.minutes.len().checked_sub(AFTER)?;
        if count < FEWEST {
            return None;
        }
        let grain = self.minutes.iter().map(|(_, grain)| *grain);
        let grain = grain.fold(0.0, f64::max);
        let loads: Vec<f64> = self.minutes.iter().map(|(load, _)| *load).collect();
        let (before, after) = loads.split_at(count);
        let mut before = before.to_vec();
        before.sort_unstable_by(f64::total_cmp);
        let usual = before[count / 2];
        let differs = |load: f64| {
            let noise = (grain * (load + usual)).sqrt();
            let apart = (load - usual).abs();
            let by_factor = load >= FACTOR * usual || load * FACTOR <= usual;
            by_factor && apart > DEVIATIONS * noise && apart >= LEAST
        };
        let same_side =
            after.iter().all(|load| *load > usual) || after.iter().all(|load| *load < usual);
        if !same_side || !after.iter().all(|load| differs(*load)) {
            return None;
        }
        // From here on this is what it usually does.
        self.minutes.drain(..count);
        Some((usual, after.iter().sum::<f64>() / AFTER as f64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds minutes at ten ticks a second and gives the minutes that ended in a step.
    fn steps(loads: impl IntoIterator<Item = f64>) -> Vec<usize> {
        let mut work = Work::default();
        let steps = loads.into_iter().enumerate();
        let steps = steps.filter_map(|(n, load)| work.step(load, 1.0 / 600.0).map(|_| n));
        steps.collect()
    }

    fn level(load: f64, minutes: usize) -> impl Iterator<Item = f64> {
        // A little noise of its own, without a generator.
        (0..minutes).map(move |n| load * (1.0 + 0.1 * (n as f64 * 2.4).sin()))
    }

    /// Feeds looks at settings, each with its value and whether it waits for a restart, to one
    /// detector; gives what it tells.
    fn told(looks: &[&[(&str, Option<&str>, bool)]]) -> Vec<String> {
        let mut detector = Detector::default();
        let mut told = Vec::new();
        for look in looks {
            let settings = look.iter().map(|(name, value, pending_restart)| Setting {
                at: Timestamp::default(),
                name: (*name).into(),
                value: value.map(Into::into),
                source: "configuration file".into(),
                pending_restart: *pending_restart,
            });
            let events = detector.settings(&settings.collect::<Vec<_>>());
            told.extend(events.iter().map(|event| {
                let detail = event.detail.as_deref().unwrap_or_default();
                format!("{}: {detail}", event.label)
            }));
        }
        told
    }

    #[test]
    fn a_setting_is_told_once_when_it_changes_and_not_when_it_is_first_seen() {
        let first: &[_] = &[
            ("work_mem", Some("4096 kB"), false),
            ("fsync", Some("on"), false),
        ];
        let changed: &[_] = &[
            ("work_mem", Some("8192 kB"), false),
            ("jit", Some("off"), false),
        ];
        // Over a new connection all are told again.
        let again: &[_] = &[
            ("work_mem", Some("8192 kB"), false),
            ("fsync", Some("on"), false),
        ];
        let gone: &[_] = &[("work_mem", None, false)];
        assert_eq!(
            told(&[first, &[], changed, again, gone]),
            [
                "work_mem: 8192 kB, was 4096 kB",
                "jit: off, was built in",
                "work_mem: built in, was 8192 kB",
            ]
        );
    }

    #[test]
    fn a_setting_that_waits_for_a_restart_is_told_then_and_when_it_has_come() {
        let look = |value, pending| [("max_connections", Some(value), pending)];
        assert_eq!(
            told(&[
                &look("100", false),
                &look("100", true),
                &look("100", true),
                &look("200", false),
            ]),
            [
                "max_connections: 100, and another value from the next restart on",
                "max_connections: 200, was 100",
            ]
        );
    }

    #[test]
    fn a_steady_load_has_no_steps() {
        assert!(steps(level(0.5, 200)).is_empty());
        assert!(steps(level(0.0, 200)).is_empty());
    }

    #[test]
    fn one_that_doubles_has_one_step_three_minutes_in() {
        assert_eq!(steps(level(0.3, 30).chain(level(0.9, 30))), [32]);
        assert_eq!(steps(level(0.9, 30).chain(level(0.3, 30))), [32]);
    }

    #[test]
    fn a_burst_of_two_minutes_is_no_step() {
        let burst = level(0.3, 30).chain(level(3.0, 2)).chain(level(0.3, 30));
        assert!(steps(burst).is_empty());
    }

    #[test]
    fn little_work_that_becomes_a_little_more_is_noise() {
        assert!(steps(level(0.002, 30).chain(level(0.01, 30))).is_empty());
    }
}

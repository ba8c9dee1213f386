//! Whose arrival made whose latency grow, through what, by how much, how surely.
//!
//! ```text
//!  snapshots ─▶ graph ─▶ charges ─▶ cells per piece of time ─▶ growth ─▶ findings
//!                        (charge)   (growth, window)      events ┘      (verdict)
//! ```
//!
//! - The unit is seconds of DB time. Every sampled second of every victim is in
//!   exactly one cell (or divided over several without remainder), so a victim's
//!   mean, and its growth, is the sum of its cells.
//! - Growth is attributed to an event *through the charges*, by whose transactions
//!   the victims waited for, and not through coincidence in time.
//! - A share never comes without its interval, and "not enough data yet" is a verdict.
//!
//! Nothing here does I/O or reads a clock, and nothing can fail.

mod account;
mod apportion;
mod arrival;
mod cause;
mod charge;
mod detect;
mod event;
mod execution;
pub mod finding;
mod growth;
mod history;
mod horizon;
mod interned;
mod load;
mod logged;
mod moments;
mod pool;
mod quantile;
mod rollup;
mod series;
mod statistics;
mod step;
mod tail;
mod timed;
mod usage;
mod verdict;
mod what_if;
mod window;

use std::collections::{BTreeMap, BTreeSet};

pub(crate) use charge::is_victim;

use crate::attribution::account::{event_id, split};
use crate::attribution::apportion::Added;
use crate::attribution::cause::InTheWay;
use crate::attribution::charge::{Charge, Charger, Charges, Look, SystemId, tally};
use crate::attribution::event::EventGroup;
use crate::attribution::execution::Executions;
use crate::attribution::finding::{Cost, Diagnosis, Group, Now, ServerFacts, Window};
use crate::attribution::growth::{Comparison, GrowthPart, Ledger};
use crate::attribution::history::History;
use crate::attribution::horizon::Horizons;
use crate::attribution::usage::Usage;
use crate::attribution::verdict::Compared;
use crate::attribution::window::Cuts;
use crate::graph::WaitGraph;
use crate::graph::view::{GraphView, Vocabulary};
use crate::names::{Names, Statements};
use crate::recording::Recording;
use crate::sample::{Session, Snapshot};
use crate::statement::Statement;
use crate::system::Naming;
use crate::time::{Rfc3339, Span};

pub use crate::attribution::detect::Detector;
pub use crate::attribution::logged::lay_log_beside;
pub use crate::attribution::moments::{Moment, moments};
pub use crate::attribution::rollup::{Charged, Rollup};

/// So many victims are drawn over time.
const DRAWN: usize = 6;
/// So many episodes are told, those that cost most.
const EPISODES: usize = 50;
/// What numbers mean, in one place.
struct Book<'a> {
    names: &'a Names,
    statements: &'a Statements,
    charges: &'a Charges,
    executions: &'a Executions,
    /// The places of each victim's charges.
    by_victim: Vec<Vec<usize>>,
}

impl Book<'_> {
    /// Gives a system's name.
    fn system(&self, system: Option<SystemId>) -> Option<String> {
        system.map(|system| self.charges.systems.get(system).to_string())
    }

    /// Lists the charges behind a part, in the window after.
    fn charges_of(&self, comparison: &Comparison, part: &GrowthPart) -> Vec<&Charge> {
        let window = &comparison.after.0;
        let behind = |charge: &&Charge| part.cells.iter().any(|(cell, _)| *cell == charge.cell);
        self.by_victim
            .get(comparison.victim as usize)
            .into_iter()
            .flatten()
            .map(|&place| &self.charges.all[place])
            .filter(behind)
            .filter(|charge| window.contains(self.charges.looks[charge.tick].at))
            .collect()
    }
}

/// Concludes what a recording supports.
#[must_use]
pub fn diagnose(recording: &Recording, naming: &Naming) -> Diagnosis {
    diagnose_in_words(recording, naming, &Statements::of(&recording.statements))
}

/// Concludes what a recording supports, for readers who may see no more of its statements than this.
#[must_use]
pub fn diagnose_in_words(
    recording: &Recording,
    naming: &Naming,
    statements: &Statements,
) -> Diagnosis {
    let names = Names::of(&recording.names);
    let history = History::of(&recording.snapshots, naming, &names);
    let charger = Charger {
        naming,
        names: &names,
        statements,
        history: &history,
    };
    let (charges, mut episodes) = charger.charge(recording);
    let more_episodes = episodes.len().saturating_sub(EPISODES);
    episodes.truncate(EPISODES);
    let cuts = Cuts::of(recording, &charges.looks);
    let system_of = |session: &Session| charges.systems.find(&naming.name(session, &names)?);
    let usage = Usage::of(recording);
    let counted = (&usage, statements);
    let mut ledger = Ledger::of(recording, &charges, &cuts, counted, system_of);
    let events = event::happenings(recording, naming, &names, statements);
    let events = step::with_steps(events, &ledger);
    let groups = match (charges.looks.first(), charges.looks.last()) {
        (Some(first), Some(last)) => event::groups(&events, &cuts, first.at, last.until),
        _ => Vec::new(),
    };
    let around = (&cuts, &groups[..]);
    ledger.tell_apart(pool::residents(
        recording, &charges, around, statements, system_of,
    ));
    let ledger = ledger;
    let book = Book {
        names: &names,
        statements,
        charges: &charges,
        executions: &Executions::of(&recording.snapshots, recording.minutes.len(), system_of),
        by_victim: ledger.places(),
    };
    let horizons = Horizons {
        recording,
        naming,
        names: &names,
        statements,
    };
    let compared = compare(&book, &ledger, &groups, &usage, horizons);
    let findings = verdict::findings(&book, &ledger, &compared, &events, &groups);
    let mut splits: Vec<_> = compared
        .iter()
        .filter(|compared| compared.comparison.total.value > 0.0)
        .filter_map(|compared| split(&book, compared, &events, &groups))
        .collect();
    let lost = |split: &finding::Split| split.growth.delta_ms * split.growth.calls_after;
    // The split behind the first finding comes first.
    let first = findings
        .first()
        .and_then(|finding| Some((&finding.victim, finding.growth.as_ref()?)));
    let is_first = |split: &finding::Split| {
        first.is_some_and(|(victim, growth)| {
            *victim == split.victim && growth.window_after == split.growth.window_after
        })
    };
    splits.sort_by(|a, b| {
        is_first(b)
            .cmp(&is_first(a))
            .then(lost(b).total_cmp(&lost(a)))
    });
    let words = Vocabulary {
        naming,
        names: &names,
        statements,
    };
    let view = |snapshot: &Snapshot| WaitGraph::of(snapshot).view(words);
    // Of a minute whose samples are gone there is no picture.
    let rolled_up = recording.minutes.len();
    let window = watched(recording);
    let load = load::over_time(&charges, statements);
    let worst = worst(&charges.looks[rolled_up..]).map(|tick| &recording.snapshots[tick]);
    Diagnosis {
        server: ServerFacts {
            version_num: recording.server.version_num,
            system_identifier: recording.server.system_identifier.clone(),
            in_recovery: recording.server.in_recovery,
            address: recording.server.address.clone(),
        },
        cost: cost(recording, &window),
        window,
        now: now(recording, naming, &names),
        events: arrival::events(&book, &events, &groups, &findings),
        groups: group_views(&groups),
        findings,
        episodes,
        more_episodes,
        splits,
        unattributed_share: unattributed(&charges),
        named_share: named(&charges),
        losses: losses(recording),
        log: None,
        latency: series::latency(&ledger, &drawn(&book, &ledger)),
        load: load.by_cause(),
        load_over_time: load.bounded(),
        worst: worst.map(view),
        last: recording
            .snapshots
            .last()
            .map_or_else(GraphView::default, view),
    }
}

/// Compares every victim around every group of events, and what is lost at the end.
fn compare(
    book: &Book<'_>,
    ledger: &Ledger<'_>,
    groups: &[EventGroup],
    usage: &Usage,
    horizons: Horizons<'_>,
) -> Vec<Compared> {
    let added = |group: &EventGroup| match (&group.before, &group.after) {
        (Some(before), Some(after)) => {
            Added::between(ledger, usage, book.statements, [before, after])
        }
        _ => Added::default(),
    };
    let added: Vec<Added> = groups.iter().map(added).collect();
    let mut compared = Vec::new();
    let with_tail = |comparison: Comparison, group| {
        let slowest = |window: &window::Window| {
            book.slowest(
                ledger,
                comparison.victim,
                window,
                comparison.calls.is_some(),
            )
        };
        Compared {
            before: comparison
                .before
                .as_ref()
                .map(|(window, _)| slowest(window)),
            after: slowest(&comparison.after.0),
            comparison,
            group,
        }
    };
    for victim in ledger.victims() {
        for (n, group) in groups.iter().enumerate() {
            let (Some(before), Some(after)) = (&group.before, &group.after) else {
                continue;
            };
            let victim = ledger.around(victim, n);
            if let Some(mut comparison) = ledger.compare(victim, Some(before), after, true) {
                added[n].lay(&mut comparison, ledger, usage, book.statements);
                let key = book.charges.victims.get(comparison.pool);
                horizons.lay(&mut comparison, key);
                compared.push(with_tail(comparison, Some(n)));
            }
        }
        // With or without a baseline there is what is lost now, and to whom.
        let last = groups.iter().rev().find_map(|group| group.after.clone());
        if let Some(window) = last.or_else(|| ledger.cuts.whole()) {
            let per_call = ledger.compare(victim, None, &window, true);
            let mut comparison = per_call.or_else(|| ledger.compare(victim, None, &window, false));
            if let Some(comparison) = &mut comparison {
                let key = book.charges.victims.get(victim);
                comparison.history = usage.history(key, book.statements, &window);
            }
            compared.extend(comparison.map(|comparison| with_tail(comparison, None)));
        }
    }
    compared
}

/// Chooses the victims to draw over time: those whose latency the most time went into.
fn drawn(book: &Book<'_>, ledger: &Ledger<'_>) -> Vec<(u32, String)> {
    let counted =
        |victim: &u32| (0..ledger.cuts.pieces()).any(|n| ledger.calls(*victim, n).is_some());
    let by_time = tally(ledger.victims().filter(counted).map(|victim| {
        let pieces = 0..ledger.cuts.pieces();
        (
            victim,
            pieces.map(|piece| ledger.seconds(victim, piece)).sum(),
        )
    }));
    let label = |victim: u32| {
        let statement = book.charges.victims.get(victim).statement;
        let short = statement
            .and_then(|id| book.statements.get(id))
            .map(Statement::short);
        let short = short.unwrap_or_else(|| "(text unknown)".to_owned());
        let runners: Vec<String> = ledger
            .runners(victim)
            .iter()
            .filter_map(|system| book.system(*system))
            .collect();
        format!("{}: {short}", finding::pool(&runners))
    };
    by_time
        .into_iter()
        .take(DRAWN)
        .map(|(victim, _)| (victim, label(victim)))
        .collect()
}

/// Finds the tick with the most sessions blocked, if any ever was.
fn worst(looks: &[Look]) -> Option<usize> {
    let blocked = looks
        .iter()
        .enumerate()
        .filter(|(_, look)| look.blocked > 0);
    blocked
        .max_by_key(|(tick, look)| (look.blocked, usize::MAX - tick))
        .map(|(tick, _)| tick)
}

fn watched(recording: &Recording) -> Window {
    let minutes = || recording.minutes.iter().map(|rolled| rolled.minute);
    let ticks = || recording.snapshots.iter().map(|snapshot| snapshot.tick);
    // Each look's time, and until when nothing else was to be seen.
    let looks = || {
        let minutes = minutes().map(|minute| (minute.at, minute.until));
        minutes.chain(ticks().map(|tick| (tick.at, tick.at)))
    };
    let from = looks().next().map(|(at, _)| at).unwrap_or_default();
    let to = looks().next_back().map(|(_, to)| to).unwrap_or_default();
    let gaps = looks().zip(looks().skip(1)).map(|(a, b)| b.0.since(a.1));
    let seconds = to.since(from).as_secs_f64();
    let count = recording.snapshots.len();
    let count = count + minutes().map(|minute| minute.ticks as usize).sum::<usize>();
    let missed = minutes().map(|minute| u64::from(minute.missed));
    Window {
        from: Rfc3339(from),
        to: Rfc3339(to),
        ticks: count,
        missed_ticks: missed.sum::<u64>() + ticks().map(|tick| u64::from(tick.missed)).sum::<u64>(),
        hz: if seconds > 0.0 {
            (count - 1) as f64 / seconds
        } else {
            0.0
        },
        largest_gap_ms: gaps.max().unwrap_or_default().as_millis_f64(),
        watched_ms: (minutes().map(|minute| minute.span_us))
            .chain(ticks().map(|tick| tick.span))
            .sum::<Span>()
            .as_millis_f64(),
    }
}

fn cost(recording: &Recording, window: &Window) -> Cost {
    let minutes = || recording.minutes.iter().map(|rolled| rolled.minute);
    let ticks = || recording.snapshots.iter().map(|snapshot| snapshot.tick);
    let rolled_up = minutes().map(|minute| minute.server_us);
    let server: Span = rolled_up.chain(ticks().map(|tick| tick.server)).sum();
    let per = |whole: f64| {
        if whole > 0.0 {
            server.as_millis_f64() / whole
        } else {
            0.0
        }
    };
    Cost {
        server_ms_per_tick: per(window.ticks as f64),
        server_busy_share: per(window.watched_ms),
        backed_off: recording
            .losses
            .iter()
            .any(|loss| &*loss.kind == "lowered_pace"),
    }
}

/// Tells how things stood at the last tick.
fn now(recording: &Recording, naming: &Naming, names: &Names) -> Now {
    let Some(last) = recording.snapshots.last() else {
        return Now {
            blocked_sessions: 0,
            blocked_systems: 0,
            longest_wait_ms: None,
        };
    };
    of_snapshot(last, naming, names)
}

/// Tells how things stand in one snapshot.
fn of_snapshot(snapshot: &Snapshot, naming: &Naming, names: &Names) -> Now {
    let graph = WaitGraph::of(snapshot);
    let blocked = || {
        let sessions = snapshot.sessions.iter();
        sessions.filter(|session| charge::is_blocked(session))
    };
    let systems: BTreeSet<_> = blocked()
        .map(|session| naming.name(session, names))
        .collect();
    let waited = blocked()
        .filter_map(|session| graph.find(session.pid))
        .flat_map(|node| graph.waits(node))
        .filter_map(|wait| graph.waited(wait))
        .max();
    Now {
        blocked_sessions: blocked().count(),
        blocked_systems: systems.len(),
        longest_wait_ms: waited.map(crate::time::Span::as_millis_f64),
    }
}

fn group_views(groups: &[EventGroup]) -> Vec<Group> {
    let window = |window: &window::Window| [Rfc3339(window.from), Rfc3339(window.to)];
    let view = |(n, group): (usize, &EventGroup)| Group {
        id: format!("g{}", n + 1),
        events: group
            .members
            .iter()
            .map(|&member| event_id(member))
            .collect(),
        from: Rfc3339(group.from),
        to: Rfc3339(group.to),
        window_before: group.before.as_ref().map(window),
        window_after: group.after.as_ref().map(window),
    };
    groups.iter().enumerate().map(view).collect()
}

/// Gives the share of lock-wait time whose holder was not seen.
fn unattributed(charges: &Charges) -> f64 {
    let waits = |charge: &&Charge| charges.cells.get(charge.cell).class.has_holder();
    let unseen = |charge: &&Charge| charges.cells.get(charge.cell).blocker == InTheWay::Unseen;
    share(charges.all.iter().filter(waits), unseen)
}

/// Gives the share of DB time whose system has a name.
fn named(charges: &Charges) -> f64 {
    if charges.all.is_empty() {
        return 1.0;
    }
    share(charges.all.iter(), |charge| charge.system.is_some())
}

fn share<'a>(
    charges: impl Iterator<Item = &'a Charge> + Clone,
    counts: impl Fn(&&'a Charge) -> bool,
) -> f64 {
    // A sum of nothing is -0.0, which reads as a loss.
    let sum = |seconds: f64, charge: &Charge| seconds + charge.seconds;
    let all = charges.clone().fold(0.0, sum);
    let some = charges.filter(counts).fold(0.0, sum);
    if all > 0.0 { some / all } else { 0.0 }
}

fn losses(recording: &Recording) -> BTreeMap<String, u64> {
    let mut losses = BTreeMap::new();
    for loss in &recording.losses {
        *losses.entry(loss.kind.to_string()).or_default() += loss.count;
    }
    losses
}

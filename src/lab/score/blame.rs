//! How pgjam divides a victim's waiting over those who were in the way, beside what the clients know.
//!
//! ```text
//!  holder  ──[ update ]───────────[ commit ]       has the lock from when it asked, or the one before
//!  victim        ──[ update ▒▒▒▒▒▒▒▒▒▒▒▒▒▒ ]──     let go, until its end was answered: ▒ is its doing
//! ```
//!
//! - Both are of the last phase: what the victim's own clients waited, by the system that had the lock
//!   at the time; and what pgjam charges to each, lost in the lock waits of the same statement.
//! - The clients' edges are off by the way to the server and back, and what a lock passes on in between
//!   is nobody's. pgjam's part that it lays to nobody in particular counts as wrong.
//! - The distance is the total variation: half the sum of the differences of the shares, 0 where they
//!   are the same, 1 where they have nobody in common. Samples make it larger than it is: of *n*
//!   independent ones over *k* systems by about `sqrt(k / n) / 2`.

use std::collections::BTreeMap;

use serde::Serialize;

use super::super::scenario::{Held, Scenario};
use super::super::truth::{COMMIT, TRANSACTION, Timed, Truth};
use super::timing::statement_of;
use super::{Errors, Run, Watched};
use crate::attribution::Rollup;
use crate::graph::view::Vocabulary;
use crate::time::{Span, Timestamp};

/// Less waiting than this says nothing of who was in the way.
const LEAST: Span = Span::from_millis(500);

/// Where a transaction that took an advisory lock for its session gives it back.
const UNLOCK: &str = "unlock";
/// Where a transaction begins.
const BEGIN: &str = "begin";

/// A victim's waiting by who was in the way.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Blame {
    /// Seconds by the clients, each system's.
    pub clients_s: BTreeMap<String, f64>,
    /// Seconds by pgjam; those that it lays to nobody it can name stand under an empty name.
    pub pgjam_s: BTreeMap<String, f64>,
    /// So many looks saw the victim wait.
    pub looks: usize,
    /// How far the shares are apart, 0 to 1.
    pub distance: f64,
}

/// How far pgjam's shares are from the clients', over all runs in which these know theirs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct BlameTotal {
    /// Runs of scenarios whose clients know who held the lock.
    pub derivable: usize,
    /// Of those the ones in which there was enough waiting, and what they kept tells it.
    pub distance: Errors,
}

/// Somebody who has a lock for a while.
#[derive(Clone, Debug)]
struct Hold<'a> {
    system: &'a str,
    transaction: usize,
    /// When it asked, when it was told that it has it, when that it has it no more.
    asked: Timestamp,
    got: Timestamp,
    released: Timestamp,
    alone: bool,
}

impl Blame {
    /// Divides the waiting of a scenario's victim; none where the clients do not know, or hardly any.
    #[must_use]
    pub fn of(scenario: &Scenario, watched: &Watched<'_>, clients: &Truth) -> Option<Self> {
        let held = scenario.held()?;
        let last = clients.phases.last()?;
        let stretch = [last.from, last.to];
        let clients_s = waited(clients, held, scenario.truth.victim, stretch)?;
        let (pgjam_s, looks) = charged(watched, clients, scenario.truth.victim, stretch)?;
        Some(Self {
            distance: distance(&clients_s, &pgjam_s)?,
            clients_s,
            pgjam_s,
            looks,
        })
    }
}

impl BlameTotal {
    pub(super) fn of<'a>(runs: impl Iterator<Item = &'a Run> + Clone) -> Self {
        let distances = runs.clone().filter_map(|run| run.blame.as_ref());
        let distances: Vec<f64> = distances.map(|blame| blame.distance).collect();
        let derivable = runs.filter(|run| {
            let scenario = Scenario::find(run.scenario);
            scenario.is_some_and(|scenario| scenario.held().is_some())
        });
        Self {
            derivable: derivable.count(),
            distance: Errors::of(&distances),
        }
    }
}

/// Sums what the victim's clients waited while somebody else had what they asked for, by system.
fn waited(
    clients: &Truth,
    held: Held,
    (system, label): (&str, &str),
    [from, to]: [Timestamp; 2],
) -> Option<BTreeMap<String, f64>> {
    let holds = holds(clients, held)?;
    let mut waited: BTreeMap<String, Span> = BTreeMap::new();
    for (transaction, timed) in numbered(clients) {
        if timed.system != system || timed.label != label {
            continue;
        }
        let Some(alone) = holds.get(key(held, timed)?) else {
            continue;
        };
        let [began, ended] = [timed.at.max(from), (timed.at + timed.latency).min(to)];
        let first = alone.partition_point(|hold| hold.released <= began);
        let during = alone[first..].iter().take_while(|hold| hold.asked < ended);
        for hold in during.filter(|hold| hold.transaction != transaction) {
            let overlap = hold.released.min(ended).since(hold.asked.max(began));
            *waited.entry(hold.system.to_owned()).or_default() += overlap;
        }
    }
    let all: Span = waited.values().copied().sum();
    let seconds = |(system, span): (String, Span)| (system, span.as_secs_f64());
    (all >= LEAST).then(|| waited.into_iter().map(seconds).collect())
}

/// Lists who had each lock alone, one after the other, from when they had it; none where the kept
/// timings do not tell one lock from another.
fn holds(clients: &Truth, held: Held) -> Option<BTreeMap<&[i32], Vec<Hold<'_>>>> {
    let mut holds: BTreeMap<&[i32], Vec<Hold<'_>>> = BTreeMap::new();
    let mut open: Vec<(&[i32], Hold<'_>)> = Vec::new();
    // Within a transaction that was not begun each statement ends with itself.
    let mut begun = false;
    for (transaction, timed) in numbered(clients) {
        let ended = timed.at + timed.latency;
        let end = match timed.label.as_str() {
            COMMIT | UNLOCK | TRANSACTION => Some(ended),
            // What was begun before was given up.
            BEGIN => Some(timed.at),
            _ => None,
        };
        if let Some(end) = end {
            for (key, hold) in open.drain(..) {
                let released = if begun || timed.label == UNLOCK {
                    end
                } else {
                    hold.got
                };
                holds
                    .entry(key)
                    .or_default()
                    .push(Hold { released, ..hold });
            }
            begun = timed.label == BEGIN;
        }
        let alone = held.alone.contains(&&*timed.label);
        if timed.ok && (alone || held.together.contains(&&*timed.label)) {
            let hold = Hold {
                system: &timed.system,
                transaction,
                asked: timed.at,
                got: ended,
                released: ended,
                alone,
            };
            open.push((key(held, timed)?, hold));
        }
    }
    for holds in holds.values_mut() {
        *holds = one_after_the_other(std::mem::take(holds));
    }
    Some(holds)
}

/// Keeps those who had a lock alone, and puts when they asked to when all who had it before let go.
fn one_after_the_other(mut holds: Vec<Hold<'_>>) -> Vec<Hold<'_>> {
    holds.sort_by_key(|hold| hold.got);
    let mut free = Timestamp::default();
    let mut alone = Vec::new();
    for mut hold in holds {
        if hold.alone {
            hold.asked = hold.asked.max(free).min(hold.got);
            hold.released = hold.released.max(hold.got);
            free = free.max(hold.released);
            alone.push(hold);
        } else {
            free = free.max(hold.released);
        }
    }
    alone
}

/// Tells which lock a statement asks for; none where that was not kept.
fn key(held: Held, timed: &Timed) -> Option<&[i32]> {
    if held.by_values {
        (!timed.values.is_empty()).then_some(&timed.values)
    } else {
        Some(&[])
    }
}

/// Lists what was timed, with the number of its transaction.
fn numbered(clients: &Truth) -> impl Iterator<Item = (usize, &Timed)> {
    clients.timed.iter().scan(0, |transaction, timed| {
        let number = *transaction;
        *transaction += usize::from(timed.label == TRANSACTION);
        Some((number, timed))
    })
}

/// Sums what pgjam charges of the victim's waiting to each system, and counts the looks that saw it.
fn charged(
    watched: &Watched<'_>,
    clients: &Truth,
    (system, label): (&str, &str),
    [from, to]: [Timestamp; 2],
) -> Option<(BTreeMap<String, f64>, usize)> {
    let id = statement_of(clients, system, label)?;
    let words = Vocabulary {
        naming: watched.naming,
        names: &watched.names,
        statements: &watched.statements,
    };
    let mut rollup = Rollup::default();
    let (mut seconds, mut looks) = (BTreeMap::new(), 0);
    for snapshot in &watched.recording.snapshots {
        let charges = rollup.look(snapshot, words).charges;
        if !(from..to).contains(&snapshot.tick.at) {
            continue;
        }
        let waits = charges.iter().filter(|charge| {
            let account = &charge.account;
            let victim = account.system.as_deref() == Some(system);
            victim && account.statement == Some(id) && &*account.blocker != "nobody"
        });
        let mut seen = false;
        for charge in waits {
            seen = true;
            let blocker = charge.account.blocker_system.as_deref();
            let sum: &mut f64 = seconds.entry(blocker.unwrap_or("").to_owned()).or_default();
            *sum += charge.spent_us.as_secs_f64();
        }
        looks += usize::from(seen);
    }
    Some((seconds, looks))
}

/// Gives the total variation between two divisions; none where one of them is of nothing.
fn distance(a: &BTreeMap<String, f64>, b: &BTreeMap<String, f64>) -> Option<f64> {
    let [all_a, all_b] = [a, b].map(|division| division.values().sum::<f64>());
    if all_a <= 0.0 || all_b <= 0.0 {
        return None;
    }
    let share = |division: &BTreeMap<String, f64>, system: &String, all: f64| {
        division.get(system).copied().unwrap_or(0.0) / all
    };
    let systems: std::collections::BTreeSet<&String> = a.keys().chain(b.keys()).collect();
    let apart = systems
        .into_iter()
        .map(|system| (share(a, system, all_a) - share(b, system, all_b)).abs());
    Some(apart.sum::<f64>() / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The timings of one transaction: label, parameter, begin and end in milliseconds.
    fn transaction(system: &str, steps: &[(&str, i32, i64, i64)]) -> Vec<Timed> {
        let timed = |&(label, value, from, to): &(&str, i32, i64, i64)| Timed {
            system: system.to_owned(),
            label: label.to_owned(),
            at: Timestamp::from_micros(from * 1_000),
            latency: Span::from_millis(to - from),
            ok: true,
            values: if value == 0 { vec![] } else { vec![value] },
        };
        steps.iter().map(timed).collect()
    }

    const COUNTER: Held = Held {
        alone: &["counter"],
        together: &[],
        by_values: true,
    };

    fn check(
        transactions: &[Vec<Timed>],
        held: Held,
        victim: (&str, &str),
        expected: &[(&str, f64)],
    ) {
        let clients = Truth {
            timed: transactions.concat(),
            ..Truth::default()
        };
        let stretch = [0, 100_000_000].map(Timestamp::from_micros);
        let waited = waited(&clients, held, victim, stretch).unwrap_or_default();
        let told: Vec<(&str, f64)> = waited.iter().map(|(who, s)| (&**who, *s)).collect();
        assert_eq!(told, expected);
    }

    /// Takes a row, keeps it and commits; `own` is its number.
    fn keeps(system: &str, row: i32, [asked, got, done]: [i64; 3]) -> Vec<Timed> {
        let steps = [
            ("begin", 0, asked, asked),
            ("counter", row, asked, got),
            ("commit", 0, done, done),
            ("transaction", 0, asked, done),
        ];
        transaction(system, &steps)
    }

    #[test]
    fn a_queue_is_charged_to_each_who_had_the_row_while_it_waited() {
        let queue = [
            keeps("sync", 1, [0, 0, 2_000]),
            keeps("intake", 1, [500, 2_000, 3_000]),
            keeps("decision", 1, [1_000, 3_000, 3_000]),
            // Another row is nothing to it.
            keeps("loud", 2, [0, 0, 9_000]),
        ];
        let expected = [("intake", 1.0), ("sync", 1.0)];
        check(&queue, COUNTER, ("decision", "counter"), &expected);
    }

    #[test]
    fn who_only_shares_a_lock_is_in_nobody_s_way_and_makes_the_other_wait() {
        let table = Held {
            alone: &["close"],
            together: &["booking"],
            by_values: false,
        };
        let shares = |asked, got, done| {
            let steps = [
                ("begin", 0, asked, asked),
                ("booking", 0, asked, got),
                ("commit", 0, done, done),
                ("transaction", 0, asked, done),
            ];
            transaction("booking", &steps)
        };
        let closing = [
            ("begin", 0, 500, 500),
            ("close", 0, 500, 1_000),
            ("commit", 0, 3_000, 3_000),
            ("transaction", 0, 500, 3_000),
        ];
        let all = [
            shares(0, 0, 1_000),
            transaction("closing", &closing),
            shares(600, 3_000, 3_000),
        ];
        check(&all, table, ("booking", "booking"), &[("closing", 2.0)]);
    }

    #[test]
    fn a_lock_of_a_session_lasts_until_it_is_given_back_and_a_statement_alone_as_long_as_itself() {
        let lock = Held {
            alone: &["lock", "vacuum"],
            together: &[],
            by_values: false,
        };
        let session = [
            ("lock", 0, 0, 0),
            ("ran", 0, 10, 20),
            ("unlock", 0, 1_000, 1_000),
            ("transaction", 0, 0, 1_000),
        ];
        let alone = [
            ("vacuum", 0, 1_000, 2_000),
            ("transaction", 0, 1_000, 5_000),
        ];
        let waits = [("lock", 0, 500, 2_000), ("transaction", 0, 500, 2_000)];
        let all = [
            transaction("scheduler", &session),
            transaction("maintenance", &alone),
            transaction("victim", &waits),
        ];
        let expected = [("maintenance", 1.0), ("scheduler", 0.5)];
        check(&all, lock, ("victim", "lock"), &expected);
    }

    #[test]
    fn of_timings_without_parameters_nobody_knows_which_row_it_was() {
        let mut kept = keeps("sync", 1, [0, 0, 2_000]);
        for timed in &mut kept {
            timed.values.clear();
        }
        check(&[kept], COUNTER, ("sync", "counter"), &[]);
    }

    #[test]
    fn a_distance_is_nothing_between_equals_and_one_between_strangers() {
        let of = |shares: &[(&str, f64)]| {
            let pairs = shares.iter().map(|(who, s)| ((*who).to_owned(), *s));
            pairs.collect::<BTreeMap<_, _>>()
        };
        let a = of(&[("x", 1.0), ("y", 3.0)]);
        let told = |b: &[(&str, f64)]| distance(&a, &of(b)).map(|it| (it * 1e6).round() / 1e6);
        assert_eq!(told(&[("x", 10.0), ("y", 30.0)]), Some(0.0));
        assert_eq!(told(&[("z", 1.0)]), Some(1.0));
        assert_eq!(told(&[("x", 1.0), ("y", 1.0)]), Some(0.25));
        assert_eq!(told(&[]), None);
    }
}

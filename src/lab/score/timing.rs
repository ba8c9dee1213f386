//! What the clients timed: whether a truth came about, and how far off a growth is.

use std::collections::BTreeSet;

use serde::Serialize;

use super::super::scenario::Scenario;
use super::super::truth::{COMMIT, Truth};
use crate::attribution::finding::{Diagnosis, Finding, Growth as Grown, NotTold, Quantiles, Split};
use crate::statement::{self, StatementId};
use crate::time::{Span, Timestamp};

/// A victim got slower if its mean grew to so many times what it was …
const FACTOR: f64 = 1.3;
/// … and by so many milliseconds.
const AT_LEAST_MS: f64 = 0.3;
/// A growth in milliseconds below which a percentage says nothing.
pub(super) const LEAST_GROWTH_MS: f64 = 0.5;

/// A victim's mean latency by its own clients, before the last phase and in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Timing {
    /// In milliseconds; null where nothing ran to its end.
    pub before_ms: Option<f64>,
    /// The same in the last phase.
    pub after_ms: Option<f64>,
}

impl Timing {
    /// Reads it off the timings.
    #[must_use]
    pub fn of(scenario: &Scenario, clients: &Truth) -> Self {
        let (system, label) = scenario.truth.victim;
        let [Some(first), Some(last)] = [clients.phases.first(), clients.phases.last()] else {
            return Self::default();
        };
        let mean = |from, to| clients.mean_ms(system, label, from, to).map(|mean| mean.ms);
        Self {
            before_ms: mean(first.from, last.from),
            after_ms: mean(last.from, last.to),
        }
    }

    /// Tells whether the victim got slower, or, where it should not, did not.
    #[must_use]
    pub fn came_about(&self, is_null: bool) -> bool {
        let (Some(before), Some(after)) = (self.before_ms, self.after_ms) else {
            return false;
        };
        let slower = after >= FACTOR * before && after - before >= AT_LEAST_MS;
        // Processors that others use make anything a little slower.
        is_null || slower
    }
}

/// How a victim's latency grew, by pgjam and by the clients, over the same two stretches.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Growth {
    /// The mean by pgjam: milliseconds before and after.
    pub pgjam_ms: [f64; 2],
    /// By the clients.
    pub clients_ms: [f64; 2],
    /// Calls after, by pgjam and by the clients.
    pub calls: [f64; 2],
    /// The 95 % interval of how much the mean grew, by pgjam; null where it gives none.
    pub ci95_ms: Option<[f64; 2]>,
    /// Blocks of time behind it, before and after; null where no finding tells them.
    pub blocks: Option<[usize; 2]>,
    /// The slowest calls, before and after; null where pgjam has nothing of them.
    pub tails: [Option<Tail>; 2],
}

/// How slow the slowest calls of one stretch are, by pgjam and by the clients.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Tail {
    /// The p99 by pgjam in milliseconds; null where it tells none.
    pub pgjam_ms: Option<f64>,
    /// Why it tells none.
    pub why_not: Option<NotTold>,
    /// Between these it says the p99 lies, in milliseconds.
    pub bracket_ms: Option<[f64; 2]>,
    /// Sampled sessions that it rests on.
    pub rows: usize,
    /// The p99 by the clients in milliseconds.
    pub clients_ms: f64,
}

/// What the clients timed of a statement in one stretch.
pub(super) struct Timed {
    pub(super) mean_ms: f64,
    pub(super) p99_ms: f64,
    calls: usize,
}

impl Growth {
    /// Finds the victim's growth around the last event; none where pgjam has none.
    ///
    /// Of a statement that several systems share both means are of those that pgjam speaks of.
    #[must_use]
    pub fn of(scenario: &Scenario, diagnosis: &Diagnosis, clients: &Truth) -> Option<Self> {
        let (system, label) = scenario.truth.victim;
        let id = statement_of(clients, system, label)?;
        let split = diagnosis
            .splits
            .iter()
            .filter(|split| split.victim.fingerprint == id.to_string())
            .filter(|split| split.victim.systems.iter().any(|runner| runner == system))
            .max_by_key(|split| split.growth.window_after[0])?;
        let growth: &Grown = &split.growth;
        let [before, after] = [growth.window_before, growth.window_after]
            .map(|[from, to]| Timed::of(clients, id, &split.victim.systems, [from.0, to.0]));
        let (before, after) = (before?, after?);
        let tail = |told: &Quantiles, clients: &Timed| Tail {
            pgjam_ms: told.p99_ms,
            why_not: told.why_not.filter(|_| told.p99_ms.is_none()),
            bracket_ms: told.p99_bracket_ms,
            rows: told.rows,
            clients_ms: clients.p99_ms,
        };
        Some(Self {
            pgjam_ms: [growth.before_ms, growth.after_ms],
            clients_ms: [before.mean_ms, after.mean_ms],
            calls: [growth.calls_after, after.calls as f64],
            ci95_ms: growth.ci95_ms,
            blocks: blocks(diagnosis, split),
            tails: [
                split.tail.before.as_ref().map(|told| tail(told, &before)),
                Some(tail(&split.tail.after, &after)),
            ],
        })
    }

    /// Gives by how much the mean grew by the clients' timings, in milliseconds.
    #[must_use]
    pub fn timed_ms(&self) -> f64 {
        self.clients_ms[1] - self.clients_ms[0]
    }

    /// Gives how far off pgjam's growth is, as a share of the clients'; none where too little grew.
    #[must_use]
    pub fn error(&self) -> Option<f64> {
        let timed = self.timed_ms();
        let told = self.pgjam_ms[1] - self.pgjam_ms[0];
        (timed.abs() >= LEAST_GROWTH_MS).then(|| (told - timed) / timed)
    }
}

impl Tail {
    /// Gives how far off the p99 is, as a share of the clients'; none where none is told.
    #[must_use]
    pub fn error(&self) -> Option<f64> {
        let told = self.pgjam_ms.filter(|_| self.clients_ms > 0.0)?;
        Some((told - self.clients_ms) / self.clients_ms)
    }

    /// Tells whether the clients' p99 lies in the bracket; none without one.
    #[must_use]
    pub fn is_in_bracket(&self) -> Option<bool> {
        let [low, high] = self.bracket_ms?;
        Some(low <= self.clients_ms && self.clients_ms <= high)
    }
}

/// Finds how many blocks a growth is compared over, in what is found of the same growth.
fn blocks(diagnosis: &Diagnosis, split: &Split) -> Option<[usize; 2]> {
    let same = |finding: &&Finding| {
        let growth = finding.growth.as_ref();
        finding.victim == split.victim
            && growth.is_some_and(|it| it.window_after == split.growth.window_after)
    };
    let found = diagnosis.findings.iter().find(same)?;
    Some(found.evidence.blocks)
}

/// Finds the statement that a system means by a label.
pub(super) fn statement_of(clients: &Truth, system: &str, label: &str) -> Option<StatementId> {
    let key = (system.to_owned(), label.to_owned());
    let text = clients.statements.get(&key).map(String::as_str);
    let text = text.or_else(|| (label == COMMIT).then_some("COMMIT"))?;
    Some(statement::read(text.as_bytes()).id)
}

impl Timed {
    /// Reads off what those systems that run a statement timed of it and sent in `from..to`, failures
    /// left out; none if that is nothing.
    pub(super) fn of(
        clients: &Truth,
        id: StatementId,
        runners: &[String],
        [from, to]: [Timestamp; 2],
    ) -> Option<Self> {
        let systems = clients.onboardings.iter().map(|it| &*it.system);
        let commits = systems.map(|system| (system, COMMIT));
        let told = clients.statements.keys();
        let all = told
            .map(|(system, label)| (&**system, &**label))
            .chain(commits);
        let labels: BTreeSet<(&str, &str)> = all
            .filter(|(system, _)| runners.iter().any(|runner| runner == system))
            .filter(|(system, label)| statement_of(clients, system, label) == Some(id))
            .collect();
        let timed = clients.timed.iter().filter(|timed| {
            let within = timed.ok && (from..to).contains(&timed.at);
            within && labels.contains(&(&timed.system, &timed.label))
        });
        let mut latencies: Vec<Span> = timed.map(|timed| timed.latency).collect();
        latencies.sort_unstable();
        let calls = latencies.len();
        // The shortest that at most one call in a hundred exceeds.
        let p99 = latencies[calls.checked_sub(calls / 100 + 1)?].as_millis_f64();
        let sum: Span = latencies.into_iter().sum();
        Some(Self {
            mean_ms: sum.as_millis_f64() / calls as f64,
            p99_ms: p99,
            calls,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::truth;

    #[test]
    fn a_p99_of_the_clients_is_exceeded_by_one_call_in_a_hundred() {
        let timed = |n: i64| truth::Timed {
            system: "decision".to_owned(),
            label: "counter".to_owned(),
            at: Timestamp::from_micros(n),
            latency: Span::from_millis(n),
            ok: true,
            values: Vec::new(),
        };
        let sql = "UPDATE counter SET n = 1";
        let key = ("decision".to_owned(), "counter".to_owned());
        let clients = Truth {
            statements: [(key, sql.to_owned())].into(),
            timed: (1..=300).map(timed).collect(),
            ..Truth::default()
        };
        let id = statement::read(sql.as_bytes()).id;
        let runners = ["decision".to_owned()];
        let within = |to| {
            let stretch = [0, to].map(Timestamp::from_micros);
            Timed::of(&clients, id, &runners, stretch)
        };
        let p99 = |to| within(to).map(|timed| (timed.calls, timed.p99_ms));
        assert_eq!(p99(301), Some((300, 297.0)));
        assert_eq!(p99(51), Some((50, 50.0)));
        assert_eq!(p99(1), None);
    }
}

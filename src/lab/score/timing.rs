//! What the clients timed: whether a truth came about, and how far off a growth is.

use serde::Serialize;

use super::super::scenario::Scenario;
use super::super::truth::{COMMIT, Mean, Truth};
use crate::attribution::finding::{Diagnosis, Growth as Grown};
use crate::statement::{self, StatementId};
use crate::time::Timestamp;

/// A victim got slower if its mean grew to so many times what it was …
const FACTOR: f64 = 1.3;
/// … and by so many milliseconds.
const AT_LEAST_MS: f64 = 0.3;
/// A growth in milliseconds below which a percentage says nothing.
const LEAST_GROWTH_MS: f64 = 0.5;

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

/// How a victim's mean grew, by pgjam and by the clients, over the same two stretches.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Growth {
    /// By pgjam: milliseconds before and after.
    pub pgjam_ms: [f64; 2],
    /// By the clients.
    pub clients_ms: [f64; 2],
    /// Calls after, by pgjam and by the clients.
    pub calls: [f64; 2],
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
            .map(|[from, to]| pooled(clients, id, &split.victim.systems, [from.0, to.0]));
        let (before, after) = (before?, after?);
        Some(Self {
            pgjam_ms: [growth.before_ms, growth.after_ms],
            clients_ms: [before.ms, after.ms],
            calls: [growth.calls_after, after.calls as f64],
        })
    }

    /// Gives how far off pgjam's growth is, as a share of the clients'; none where too little grew.
    #[must_use]
    pub fn error(&self) -> Option<f64> {
        let grown = |[before, after]: [f64; 2]| after - before;
        let timed = grown(self.clients_ms);
        (timed.abs() >= LEAST_GROWTH_MS).then(|| (grown(self.pgjam_ms) - timed) / timed)
    }
}

/// Finds the statement that a system means by a label.
fn statement_of(clients: &Truth, system: &str, label: &str) -> Option<StatementId> {
    let key = (system.to_owned(), label.to_owned());
    let text = clients.statements.get(&key).map(String::as_str);
    let text = text.or_else(|| (label == COMMIT).then_some("COMMIT"))?;
    Some(statement::read(text.as_bytes()).id)
}

/// Averages over those systems that run a statement.
fn pooled(
    clients: &Truth,
    id: StatementId,
    runners: &[String],
    [from, to]: [Timestamp; 2],
) -> Option<Mean> {
    let systems = clients.onboardings.iter().map(|it| &*it.system);
    let commits = systems.map(|system| (system, COMMIT));
    let told = clients.statements.keys();
    let all = told
        .map(|(system, label)| (&**system, &**label))
        .chain(commits);
    let mut labels: Vec<(&str, &str)> = all
        .filter(|(system, _)| runners.iter().any(|runner| runner == system))
        .filter(|(system, label)| statement_of(clients, system, label) == Some(id))
        .collect();
    labels.sort_unstable();
    labels.dedup();
    let means = labels
        .into_iter()
        .filter_map(|(system, label)| clients.mean_ms(system, label, from, to));
    let (sum, calls) = means.fold((0.0, 0), |(sum, calls), mean| {
        (sum + mean.ms * mean.calls as f64, calls + mean.calls)
    });
    (calls > 0).then(|| Mean {
        ms: sum / calls as f64,
        calls,
    })
}

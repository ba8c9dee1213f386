//! What pgjam says would be without a cause, beside the same scenario played without it.
//!
//! Everybody else does the same in both, so what the victim's clients time in the second is what
//! would have been. It is compared with the first finding that is right about the victim; where none
//! is, there is nothing to compare.

use std::collections::BTreeMap;

use serde::Serialize;

use super::super::scenario::{Family, Group, Scenario, Without};
use super::super::truth::Truth;
use super::figures::Errors;
use super::judge::Hits;
use super::timing::{Timed, statement_of};
use super::{Run, Share, answers};
use crate::attribution::finding::Diagnosis;

/// A what-if is near if it is off by no more than this share of what was timed.
const NEAR: f64 = 0.2;

/// What would be without the cause of one run.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct WhatIf {
    /// What pgjam takes away; null where no right finding says what would be.
    pub removed: Option<String>,
    /// The victim's mean without it, by pgjam, in milliseconds.
    pub mean_ms: Option<f64>,
    /// What it takes of each call, by pgjam: the mean as it was less the mean without it.
    pub taken_ms: Option<f64>,
    /// The victim's p99 without it at the most, by pgjam; null where it tells none.
    pub p99_ms: Option<f64>,
    /// What the clients timed before the last phase beyond what pgjam says of that time, per call: the
    /// round trip, which no server sees. In milliseconds, null without a baseline.
    pub round_trip_ms: Option<f64>,
    /// What was played.
    pub played: Vec<Played>,
}

/// What the victim's clients timed where a part of the scenario was left out.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Played {
    /// Which.
    pub without: Without,
    /// Their mean before the last phase, in the run itself and without it: how alike the two are
    /// where they ought to be. In milliseconds, null where nothing ran.
    pub before_ms: [Option<f64>; 2],
    /// Their mean in the last phase of the run itself.
    pub with_ms: f64,
    /// The same without it.
    pub mean_ms: f64,
    /// Their p99 without it.
    pub p99_ms: f64,
}

/// How near pgjam's what-ifs are to what was played.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct WhatIfTotal {
    /// What was left out.
    pub without: Without,
    /// The mean beside the clients', where a lock is the cause.
    pub mean: Near,
    /// The same with the round trip of the time before added to what pgjam says.
    pub mean_with_round_trip: Near,
    /// How often the latter is within a fifth, of all causes by what they go through.
    pub groups: BTreeMap<Group, Share>,
    /// What the cause takes of each call, as pgjam says, beside what the clients lost to it.
    pub taken: Near,
    /// The clients' mean before the last phase in the one run beside that in the other, which only
    /// chance and the machine make differ: nothing can be nearer than that.
    pub control: Near,
    /// The p99 beside the clients', where a lock is the cause and there is one.
    pub p99: Near,
    /// How often that p99 is at most what pgjam says.
    pub p99_at_most: Share,
    /// So many runs have no right finding that says what would be.
    pub untold: usize,
}

/// How near figures are to what they tell.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Near {
    /// How often they are off by a fifth at most.
    pub within: Share,
    /// How far off they are, as a share of what was timed.
    pub errors: Errors,
}

impl WhatIf {
    /// Holds what a diagnosis says against what was played; none where nothing was.
    #[must_use]
    pub fn of(
        scenario: &Scenario,
        diagnosis: &Diagnosis,
        clients: &Truth,
        played: &[(Without, Truth)],
    ) -> Option<Self> {
        let (system, label) = scenario.truth.victim;
        let id = statement_of(clients, system, label)?;
        let cause = scenario.truth.causes.first()?;
        let mut findings = answers(diagnosis).into_iter().zip(&diagnosis.findings);
        let right = findings.find(|(answer, finding)| {
            let hits = Hits::of(answer, cause);
            let victim = &finding.victim;
            let of_victim = victim.fingerprint == id.to_string()
                && victim.systems.iter().any(|runner| runner == system);
            of_victim && answer.accuses && hits.class && hits.table && hits.system
        });
        let right = right.map(|(_, finding)| finding);
        let told = right.and_then(|finding| finding.what_if.as_ref());
        let runners = right.map_or_else(
            || vec![system.to_owned()],
            |finding| finding.victim.systems.clone(),
        );
        let timed = |clients: &Truth| {
            let (first, last) = (clients.phases.first()?, clients.phases.last()?);
            let of = |from, to| Timed::of(clients, id, &runners, [from, to]);
            let before = of(first.from, last.from).map(|timed| timed.mean_ms);
            Some((before, of(last.from, last.to)?))
        };
        let (before, with) = timed(clients)?;
        let played: Vec<Played> = (played.iter())
            .filter_map(|(without, clients)| {
                let (before_without, last) = timed(clients)?;
                Some(Played {
                    without: *without,
                    before_ms: [before, before_without],
                    with_ms: with.mean_ms,
                    mean_ms: last.mean_ms,
                    p99_ms: last.p99_ms,
                })
            })
            .collect();
        let growth = right.and_then(|finding| finding.growth.as_ref());
        let round_trip = growth.and_then(|growth| Some(before? - growth.before_ms));
        (!played.is_empty()).then(|| Self {
            removed: told.map(|told| told.removed.clone()),
            mean_ms: told.and_then(|told| told.mean_ms),
            taken_ms: growth.and_then(|growth| Some(growth.after_ms - told?.mean_ms?)),
            p99_ms: told.and_then(|told| told.p99_ms),
            round_trip_ms: round_trip.map(|more| more.max(0.0)),
            played,
        })
    }

    /// Gives what was played without a part, if it was.
    #[must_use]
    pub fn played(&self, without: Without) -> Option<&Played> {
        self.played.iter().find(|played| played.without == without)
    }

    /// Gives the mean as a client would time it, by pgjam and the round trip.
    #[must_use]
    pub fn with_round_trip_ms(&self) -> Option<f64> {
        Some(self.mean_ms? + self.round_trip_ms.unwrap_or(0.0))
    }
}

impl WhatIfTotal {
    /// Adds up the runs that were played once more without a part; none where there is none.
    pub(super) fn of<'a>(without: Without, runs: impl Iterator<Item = &'a Run>) -> Option<Self> {
        let played: Vec<(&Run, &WhatIf, &Played)> = runs
            .filter_map(|run| Some((run, run.what_if.as_ref()?)))
            .filter_map(|(run, what_if)| Some((run, what_if, what_if.played(without)?)))
            .collect();
        let (mut means, mut trips, mut taken) = (Vec::new(), Vec::new(), Vec::new());
        let mut control = Vec::new();
        let (mut p99s, mut p99_at_most) = (Vec::new(), Vec::new());
        let mut groups: BTreeMap<Group, Vec<bool>> = BTreeMap::new();
        let mut untold = 0;
        for &(run, what_if, played) in &played {
            let Some((mean, trip)) = what_if.mean_ms.zip(what_if.with_round_trip_ms()) else {
                untold += 1;
                continue;
            };
            let off = |told: f64| (told - played.mean_ms) / played.mean_ms;
            if let Some(group) = run.group {
                groups.entry(group).or_default().push(is_near(off(trip)));
            }
            if run.family != Family::Lock {
                continue;
            }
            means.push(off(mean));
            trips.push(off(trip));
            let lost = played.with_ms - played.mean_ms;
            taken.extend(what_if.taken_ms.map(|taken| (taken - lost) / lost));
            if let [Some(itself), Some(again)] = played.before_ms {
                control.push((itself - again) / again);
            }
            if let Some(p99) = what_if.p99_ms {
                p99s.push((p99 - played.p99_ms) / played.p99_ms);
                p99_at_most.push(played.p99_ms <= p99);
            }
        }
        let share = |(group, near)| (group, Share::of(near));
        (!played.is_empty()).then(|| Self {
            without,
            mean: Near::of(&means),
            mean_with_round_trip: Near::of(&trips),
            groups: groups.into_iter().map(share).collect(),
            taken: Near::of(&taken),
            control: Near::of(&control),
            p99: Near::of(&p99s),
            p99_at_most: Share::of(p99_at_most),
            untold,
        })
    }
}

impl Near {
    fn of(errors: &[f64]) -> Self {
        Self {
            within: Share::of(errors.iter().copied().map(is_near)),
            errors: Errors::of(errors),
        }
    }
}

fn is_near(error: f64) -> bool {
    error.abs() <= NEAR
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use crate::lab::score::Timing;

    /// A run whose victim takes 10 ms, and 0.5 ms where it was played without the cause.
    fn run(family: Family, mean_ms: Option<f64>) -> Run {
        let played = Played {
            without: Without::Cause,
            before_ms: [Some(0.4), Some(0.5)],
            with_ms: 10.0,
            mean_ms: 0.5,
            p99_ms: 2.0,
        };
        Run {
            scenario: "made-up",
            family,
            group: Some(Group::Rows),
            seed: 1,
            timing: Timing::default(),
            came_about: true,
            growth: None,
            blame: None,
            placebo: None,
            what_if: Some(WhatIf {
                removed: None,
                mean_ms,
                taken_ms: mean_ms.map(|mean| 9.8 - mean),
                p99_ms: None,
                round_trip_ms: Some(0.2),
                played: vec![played],
            }),
            methods: Vec::new(),
        }
    }

    #[test]
    fn a_mean_is_near_with_its_round_trip_and_a_run_without_one_is_counted_apart() {
        let runs = [
            run(Family::Lock, Some(0.3)),
            run(Family::Lock, Some(2.8)),
            run(Family::Lock, None),
            run(Family::Resource, Some(0.3)),
        ];
        let total = WhatIfTotal::of(Without::Cause, runs.iter()).unwrap();
        let counted = |share: Share| (share.hits, share.of);
        assert_eq!(counted(total.mean_with_round_trip.within), (1, 2));
        assert_eq!(counted(total.mean.within), (0, 2));
        // 9.5 ms of 9.5, and 7.0.
        assert_eq!(counted(total.taken.within), (1, 2));
        // Whether 0.4 is within a fifth of 0.5 is for floats to say.
        assert_eq!(total.control.errors.of, 2);
        assert_eq!(counted(total.groups[&Group::Rows]), (2, 3));
        assert_eq!((counted(total.p99.within), total.untold), ((0, 0), 1));
        assert_eq!(WhatIfTotal::of(Without::Call, runs.iter()), None);
    }
}

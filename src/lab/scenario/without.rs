//! A scenario once more without a part of it: what an analysis says would be, played.
//!
//! - Whoever arrives and is blamed for the victim's waiting does not come, and whoever comes more often
//!   does not; whoever is blamed, there before or not, commits first. The truth blames, or where that names nobody a mark on the system.
//! - All others come when they would, with the same draws.

use serde::{Deserialize, Serialize};

use super::super::workload::{Part, System};
use super::{Scenario, Who};

/// What is left out of a scenario.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Without {
    /// Nothing.
    #[default]
    Nothing,
    /// Who makes the victim slower: it never arrives, or never comes more often.
    Cause,
    /// The time that it is away inside a transaction: it commits first.
    Call,
}

impl Without {
    /// What is left out, as a folder of such a run is named after.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Cause => "cause",
            Self::Call => "call",
        }
    }
}

impl Scenario {
    /// Tells whether there is such a part in it.
    #[must_use]
    pub fn has(&self, without: Without) -> bool {
        let mut systems = self.plan(0, 1.0, false).systems;
        self.take_out(without, &mut systems);
        systems.iter().any(|system| system.part != Part::Whole)
    }

    /// Leaves a part of it out of what is played.
    pub(super) fn take_out(&self, without: Without, systems: &mut [System]) {
        for system in systems.iter_mut().filter(|it| self.blames(it)) {
            system.part = match without {
                Without::Cause if system.phase > 0 => Part::Absent,
                Without::Cause if system.speeds_up > 1.0 => Part::AtFirstRate,
                Without::Call if system.is_away_inside() => Part::CommitsFirst,
                Without::Nothing | Without::Cause | Without::Call => Part::Whole,
            };
        }
    }

    /// Tells whether a system is what makes the victim slower.
    fn blames(&self, system: &System) -> bool {
        match self.truth.causes.first().map(|cause| cause.who) {
            Some(Who::System(one)) => system.name == one,
            Some(Who::Either(one, other)) => system.name == one || system.name == other,
            Some(Who::InTurn | Who::Nobody) => system.is_to_blame,
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn left_out(name: &str, without: Without) -> Vec<String> {
        let scenario = Scenario::find(name).into_iter();
        let systems = scenario.flat_map(|scenario| {
            let mut systems = scenario.plan(1, 1.0, false).systems;
            scenario.take_out(without, &mut systems);
            systems
        });
        let changed = systems.filter(|system| system.part != Part::Whole);
        changed.map(|system| system.name).collect()
    }

    #[test]
    fn whatever_has_a_cause_can_be_played_without_it_and_the_victim_stays() {
        for scenario in Scenario::all() {
            let has = [Without::Cause, Without::Call].map(|without| scenario.has(without));
            if scenario.is_null() {
                assert_eq!(has, [false; 2], "{}", scenario.name);
                continue;
            }
            assert!(has[0], "{}", scenario.name);
            let mut systems = scenario.plan(1, 1.0, false).systems;
            scenario.take_out(Without::Cause, &mut systems);
            let (victim, _) = scenario.truth.victim;
            let mut stay = systems.iter().filter(|system| system.part == Part::Whole);
            assert!(stay.any(|it| it.name == victim), "{}", scenario.name);
        }
    }

    #[test]
    fn only_who_makes_the_victim_wait_does_not_come() {
        assert_eq!(left_out("two-causes", Without::Cause), ["sync"]);
        assert_eq!(left_out("ddl-queue", Without::Cause), ["migrator"]);
        assert_eq!(left_out("county-rollout", Without::Cause), ["sync-12"]);
        // The one that was there before stays.
        assert_eq!(left_out("self-contention", Without::Cause), ["batch"]);
        assert_eq!(left_out("hot-object", Without::Cause).len(), 8);
        assert_eq!(left_out("own-plan", Without::Cause), ["admin"]);
        assert_eq!(left_out("rate-step", Without::Cause), ["sync"]);
    }

    #[test]
    fn who_is_away_inside_its_transaction_can_commit_first() {
        assert_eq!(left_out("fk-parent", Without::Call), ["registry"]);
        assert_eq!(left_out("ddl-queue", Without::Call), ["reporting"]);
        // Here the lock is the session's, there nobody is away.
        assert!(left_out("advisory-lock", Without::Call).is_empty());
        assert!(left_out("vacuum-full", Without::Call).is_empty());
    }
}

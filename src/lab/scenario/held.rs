//! Locks of which the clients themselves know who held them when.
//!
//! That is so where all who matter ask for one lock by statements that the lab times, one after the
//! other: the row that a parameter names, one table, one advisory lock. It is not so where a lock
//! passes through several queues (deadlocks, DDL behind a reader), where rows are chosen by the server
//! (a job queue, a batch, keys made of the time) or where no statement takes it (snapshots, commits,
//! prepared transactions).

use super::Scenario;

/// The lock that a scenario is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    /// The labels of the statements after which nobody else has it.
    pub alone: &'static [&'static str],
    /// The labels of those which others may run beside, but not beside the former.
    pub together: &'static [&'static str],
    /// Whether their parameters tell which of several it is.
    pub by_values: bool,
}

impl Scenario {
    /// Tells which lock it is about; none where its clients do not know who held it when.
    #[must_use]
    pub fn held(&self) -> Option<Held> {
        let one = |alone: &'static [&'static str], together: &'static [&'static str]| Held {
            alone,
            together,
            by_values: false,
        };
        let row = |alone, together| Held {
            by_values: true,
            ..one(alone, together)
        };
        Some(match self.name {
            "county-rollout"
            | "idle-in-transaction"
            | "loud-and-quiet"
            | "one-role-tags"
            | "two-causes" => row(&["counter"], &[]),
            "retry-storm" => row(&["counter", "received"], &[]),
            "fk-parent" => row(&["lock"], &["case"]),
            "hot-tenant" => one(&["total"], &[]),
            "hot-object" => one(&["scope"], &[]),
            "self-contention" => one(&["state"], &[]),
            "audit-counter" => one(&["number"], &[]),
            "advisory-lock" => one(&["lock"], &[]),
            "lock-table" => one(&["close"], &["booking"]),
            "create-index" => one(&["index"], &["booking"]),
            "vacuum-full" => one(&["vacuum"], &["booking"]),
            "truncate" => one(&["empty"], &["feed"]),
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::workload::System;

    #[test]
    fn what_is_held_is_held_by_statements_that_take_part() {
        let mut known = 0;
        for scenario in Scenario::all() {
            let Some(held) = scenario.held() else {
                continue;
            };
            known += 1;
            let systems = super::super::tests::systems(&scenario);
            let labels: Vec<&str> = systems
                .iter()
                .flat_map(System::statements)
                .map(|(label, _)| label)
                .collect();
            for label in held.alone.iter().chain(held.together) {
                assert!(labels.contains(label), "{}: {label}", scenario.name);
            }
            let (_, victim) = scenario.truth.victim;
            let asks = held.alone.contains(&victim) || held.together.contains(&victim);
            assert!(asks, "{}: {victim}", scenario.name);
        }
        assert_eq!(known, 16);
    }
}

//! The scenario `county-rollout`: agencies onboard in waves, and the last wave jams.
//!
//! ```text
//! settle          wave 1        wave 2        wave 3
//! decision alone  + agency 01   + 02 and 03   + 04 to 12, and sync-12 calls out
//! ```
//!
//! - Each kind of system has a statement of its own on the counters, so that the
//!   server tells their executions apart.
//! - A transaction writes one counter at most, so no two can deadlock.

use std::path::Path;
use std::time::Duration;

use postgres::Config;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::LabError;
use super::play::{Plan, Running};
use super::workload::{Draw, System};

/// Counters that everybody shares in the story.
const SHARED_COUNTERS: u32 = 5;

/// How long the one careless system is away inside its transaction, in the story.
const CALL: Duration = Duration::from_millis(50);

/// How long the systems of one wave take to arrive, in seconds.
const STAGGER: f64 = 0.8;

/// What the counties share.
const TABLES: &str = include_str!("county_rollout.sql");

/// Which of the two labs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Variant {
    /// All write the same counters, and `sync-12` makes a call inside its transaction.
    #[default]
    Story,
    /// Nobody calls out, and every connection has a counter of its own.
    Quiet,
}

/// How long each part of the schedule lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Phases {
    /// The decision alone.
    pub settle: Duration,
    /// With agency 01.
    pub wave_1: Duration,
    /// With agencies 02 and 03.
    pub wave_2: Duration,
    /// With all twelve.
    pub wave_3: Duration,
}

impl Default for Phases {
    fn default() -> Self {
        Self {
            settle: Duration::from_secs(16),
            wave_1: Duration::from_secs(16),
            wave_2: Duration::from_secs(20),
            wave_3: Duration::from_secs(80),
        }
    }
}

impl Phases {
    /// Stretches every part by `factor`.
    #[must_use]
    pub fn scaled(self, factor: f64) -> Self {
        Self {
            settle: self.settle.mul_f64(factor),
            wave_1: self.wave_1.mul_f64(factor),
            wave_2: self.wave_2.mul_f64(factor),
            wave_3: self.wave_3.mul_f64(factor),
        }
    }

    fn list(self) -> Vec<(&'static str, Duration)> {
        vec![
            ("settle", self.settle),
            ("wave 1", self.wave_1),
            ("wave 2", self.wave_2),
            ("wave 3", self.wave_3),
        ]
    }
}

/// What to run.
#[derive(Clone, Debug)]
pub struct Rollout {
    /// Equal seeds, equal arrivals.
    pub seed: u64,
    /// Which lab.
    pub variant: Variant,
    /// For how long.
    pub phases: Phases,
    /// How long the careless system is away inside its transaction.
    pub call: Duration,
    /// Leave the schema `pgjam_lab` in place at the end.
    pub keep_schema: bool,
}

impl Default for Rollout {
    fn default() -> Self {
        Self {
            seed: 0,
            variant: Variant::default(),
            phases: Phases::default(),
            call: CALL,
            keep_schema: false,
        }
    }
}

impl Rollout {
    /// Makes the schema in the database that `target` names and starts the systems.
    ///
    /// The role needs CREATE on the database and 85 connections; they are made without
    /// TLS. A schema that an earlier lab left is replaced.
    ///
    /// # Errors
    /// When the database cannot be reached or refuses, has a schema `pgjam_lab` that no
    /// lab made, or the truth cannot be written.
    pub fn start(&self, target: &Config, truth: &Path) -> Result<Running, LabError> {
        self.plan().start(target, truth)
    }

    /// Lays it out.
    pub(super) fn plan(&self) -> Plan {
        let systems = self.systems();
        let counters = match self.variant {
            Variant::Story => SHARED_COUNTERS,
            Variant::Quiet => systems.iter().map(|system| system.connections).sum(),
        };
        Plan {
            seed: self.seed,
            phases: self.phases.list(),
            systems,
            other_database: None,
            tables: format!(
                "{TABLES} INSERT INTO pgjam_lab.state_counter (counter_id) \
                 SELECT generate_series(1, {counters});"
            ),
            keep_schema: self.keep_schema,
        }
    }

    /// Lists who takes part, in order of arrival.
    fn systems(&self) -> Vec<System> {
        let mut rng = StdRng::seed_from_u64(self.seed);
        let counter = match self.variant {
            Variant::Story => Draw::Between(1, SHARED_COUNTERS.cast_signed()),
            Variant::Quiet => Draw::Own,
        };
        let of_agency = |name: String, agency: i32| {
            System::new(name)
                .draws(Draw::Fixed(agency))
                .draws(Draw::Between(1, 100))
                .draws(counter)
        };
        let mut systems = vec![decision(of_agency("decision".to_owned(), 1))];
        for agency in 1..=12 {
            let wave = match agency {
                1 => 1,
                2..=3 => 2,
                _ => 3,
            };
            // The last wave is loud, and all of it but one system is harmless.
            let kinds: [(&str, Kind, f64, f64, u32); 3] = [
                ("intake", intake, 10.0, 28.0, 3),
                ("sync", sync, 8.0, 26.0, 3),
                ("reporting", reporting, 6.0, 24.0, 4),
            ];
            for (kind, works, calm, loud, counts_every) in kinds {
                let delay = Duration::from_secs_f64(rng.random::<f64>() * STAGGER);
                let system = of_agency(format!("{kind}-{agency:02}"), agency).arrives(wave, delay);
                systems.push(if (kind, agency) == ("sync", 12) {
                    self.careless(system)
                } else {
                    works(system, counts_every).rate(if wave == 3 { loud } else { calm }, 2)
                });
            }
        }
        systems.sort_by_key(|system| (system.phase, system.delay));
        systems
    }

    /// The quietest of its wave, which writes a counter in each transaction.
    fn careless(&self, system: System) -> System {
        let system = sync(system, 1).rate(23.0, 4);
        match self.variant {
            Variant::Story => system.stays_away(self.call),
            Variant::Quiet => system,
        }
    }
}

/// What a kind of system does, writing its counter in one of so many transactions.
type Kind = fn(System, u32) -> System;

fn decision(system: System) -> System {
    system
        .rate(90.0, 8)
        .runs(
            "permission",
            "SELECT may_decide FROM pgjam_lab.permission WHERE agency_id = $1 AND clerk_id = $2",
            &[0, 1],
        )
        .runs(
            "counter",
            "UPDATE pgjam_lab.state_counter SET decided = decided + 1 WHERE counter_id = $1",
            &[2],
        )
        .runs(
            "audit",
            "INSERT INTO pgjam_lab.audit_entry (counter_id, clerk_id) VALUES ($1, $2)",
            &[2, 1],
        )
}

fn intake(system: System, counts_every: u32) -> System {
    system
        .runs(
            "case",
            "INSERT INTO pgjam_lab.intake_case (agency_id, clerk_id) VALUES ($1, $2)",
            &[0, 1],
        )
        .runs_every(
            counts_every,
            "counter",
            "UPDATE pgjam_lab.state_counter SET received = received + 1 WHERE counter_id = $1",
            &[2],
        )
}

fn sync(system: System, counts_every: u32) -> System {
    system
        .runs(
            "newest",
            "SELECT max(case_id) FROM pgjam_lab.intake_case WHERE agency_id = $1",
            &[0],
        )
        .runs_every(
            counts_every,
            "counter",
            "UPDATE pgjam_lab.state_counter SET synced = synced + 1 WHERE counter_id = $1",
            &[2],
        )
}

fn reporting(system: System, counts_every: u32) -> System {
    system
        .runs(
            "cases",
            "SELECT case_id, clerk_id FROM pgjam_lab.intake_case \
             WHERE agency_id = $1 ORDER BY case_id DESC LIMIT 20",
            &[0],
        )
        .runs(
            "totals",
            "SELECT decided, received, synced FROM pgjam_lab.state_counter WHERE counter_id = $1",
            &[2],
        )
        .runs_every(
            counts_every,
            "counter",
            "UPDATE pgjam_lab.state_counter SET last_reported = now() WHERE counter_id = $1",
            &[2],
        )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::workload::{Pace, Step};

    fn systems(variant: Variant) -> Vec<System> {
        let rollout = Rollout {
            variant,
            ..Rollout::default()
        };
        rollout.systems()
    }

    fn rate(system: &System) -> f64 {
        match system.pace {
            Pace::Open(rate) => rate,
            Pace::Closed(_) | Pace::Once => 0.0,
        }
    }

    fn is_away(system: &System) -> bool {
        let mut steps = system.steps.iter();
        steps.any(|step| matches!(step, Step::Away(_)))
    }

    #[test]
    fn the_careless_system_is_the_quietest_of_its_wave() {
        let systems = systems(Variant::Story);
        let careless: Vec<_> = systems.iter().filter(|system| is_away(system)).collect();
        assert_eq!(careless.len(), 1);
        let others = systems
            .iter()
            .filter(|system| system.phase == 3 && !is_away(system));
        for other in others {
            assert!(rate(other) > rate(careless[0]), "{}", other.name);
        }
    }

    #[test]
    fn a_transaction_writes_one_counter_at_most() {
        for system in systems(Variant::Story) {
            let writes = system
                .statements()
                .filter(|(_, sql)| sql.starts_with("UPDATE"));
            assert_eq!(writes.count(), 1, "{}", system.name);
        }
    }

    #[test]
    fn nobody_shares_a_counter_in_the_quiet_variant() {
        let systems = systems(Variant::Quiet);
        let own = |system: &System| matches!(system.draws[2], Draw::Own) && !is_away(system);
        assert!(systems.iter().all(own));
    }
}

//! The systems of `county-rollout`: who they are, how often they come, what they do.
//!
//! - Each kind of system has a statement of its own on the counters, so that the
//!   server tells their executions apart.
//! - A transaction writes one counter at most, so no two can deadlock.
//! - Arrivals are a Poisson stream a system, drawn from the seed alone: who is slow
//!   does not slow the stream down.

use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::rollout::Variant;

/// Counters that everybody shares in the story.
const SHARED_COUNTERS: u32 = 5;

/// How long the one careless system is away inside its transaction, in the story.
pub(super) const CALL: Duration = Duration::from_millis(50);

/// How long the systems of one wave take to arrive, in seconds.
const STAGGER: f64 = 0.8;

/// One application.
#[derive(Clone, Debug)]
pub(super) struct System {
    pub(super) name: String,
    pub(super) agency: u32,
    /// 0 is there from the start.
    pub(super) wave: usize,
    /// After its wave began.
    pub(super) delay: Duration,
    /// Transactions per second.
    pub(super) rate: f64,
    pub(super) connections: u32,
    /// Writes its counter in one of so many transactions.
    pub(super) counts_every: u32,
    pub(super) steps: &'static [Step],
    /// How long it is away between its last statement and its commit.
    pub(super) call: Option<Duration>,
}

/// One statement of a transaction.
#[derive(Debug)]
pub(super) struct Step {
    pub(super) label: &'static str,
    pub(super) sql: &'static str,
    pub(super) takes: &'static [Takes],
}

/// What a parameter stands for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Takes {
    Agency,
    Clerk,
    Counter,
}

/// The label of the one statement that writes a shared row.
const COUNTER: &str = "counter";

const DECISION: &[Step] = &[
    Step {
        label: "permission",
        sql: "SELECT may_decide FROM pgjam_lab.permission WHERE agency_id = $1 AND clerk_id = $2",
        takes: &[Takes::Agency, Takes::Clerk],
    },
    Step {
        label: COUNTER,
        sql: "UPDATE pgjam_lab.state_counter SET decided = decided + 1 WHERE counter_id = $1",
        takes: &[Takes::Counter],
    },
    Step {
        label: "audit",
        sql: "INSERT INTO pgjam_lab.audit_entry (counter_id, clerk_id) VALUES ($1, $2)",
        takes: &[Takes::Counter, Takes::Clerk],
    },
];

const INTAKE: &[Step] = &[
    Step {
        label: "case",
        sql: "INSERT INTO pgjam_lab.intake_case (agency_id, clerk_id) VALUES ($1, $2)",
        takes: &[Takes::Agency, Takes::Clerk],
    },
    Step {
        label: COUNTER,
        sql: "UPDATE pgjam_lab.state_counter SET received = received + 1 WHERE counter_id = $1",
        takes: &[Takes::Counter],
    },
];

const SYNC: &[Step] = &[
    Step {
        label: "newest",
        sql: "SELECT max(case_id) FROM pgjam_lab.intake_case WHERE agency_id = $1",
        takes: &[Takes::Agency],
    },
    Step {
        label: COUNTER,
        sql: "UPDATE pgjam_lab.state_counter SET synced = synced + 1 WHERE counter_id = $1",
        takes: &[Takes::Counter],
    },
];

const REPORTING: &[Step] = &[
    Step {
        label: "cases",
        sql: "SELECT case_id, clerk_id FROM pgjam_lab.intake_case \
              WHERE agency_id = $1 ORDER BY case_id DESC LIMIT 20",
        takes: &[Takes::Agency],
    },
    Step {
        label: "totals",
        sql: "SELECT decided, received, synced FROM pgjam_lab.state_counter WHERE counter_id = $1",
        takes: &[Takes::Counter],
    },
    Step {
        label: COUNTER,
        sql: "UPDATE pgjam_lab.state_counter SET last_reported = now() WHERE counter_id = $1",
        takes: &[Takes::Counter],
    },
];

/// Lists who takes part, in order of arrival.
pub(super) fn systems(variant: Variant, seed: u64, call: Duration) -> Vec<System> {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut systems = vec![System {
        name: "decision".to_owned(),
        agency: 1,
        wave: 0,
        delay: Duration::ZERO,
        rate: 90.0,
        connections: 8,
        counts_every: 1,
        steps: DECISION,
        call: None,
    }];
    for agency in 1..=12 {
        let wave = match agency {
            1 => 1,
            2..=3 => 2,
            _ => 3,
        };
        // The last wave is loud, and all of it but one system is harmless.
        let kinds = [
            ("intake", INTAKE, 10.0, 28.0, 3),
            ("sync", SYNC, 8.0, 26.0, 3),
            ("reporting", REPORTING, 6.0, 24.0, 4),
        ];
        for (kind, steps, calm, loud, counts_every) in kinds {
            systems.push(System {
                name: format!("{kind}-{agency:02}"),
                agency,
                wave,
                delay: Duration::from_secs_f64(rng.random::<f64>() * STAGGER),
                rate: if wave == 3 { loud } else { calm },
                connections: 2,
                counts_every,
                steps,
                call: None,
            });
        }
    }
    for careless in systems.iter_mut().filter(|system| system.name == "sync-12") {
        careless.rate = 23.0;
        careless.connections = 4;
        careless.counts_every = 1;
        careless.call = (variant == Variant::Story).then_some(call);
    }
    systems.sort_by_key(|system| (system.wave, system.delay));
    systems
}

/// Tells how many counters the systems need.
pub(super) fn counters(variant: Variant, systems: &[System]) -> u32 {
    match variant {
        Variant::Story => SHARED_COUNTERS,
        Variant::Quiet => systems.iter().map(|system| system.connections).sum(),
    }
}

/// One transaction that is due.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arrival {
    pub(super) due: Instant,
    nth: u32,
    clerk: i32,
    counter: i32,
}

/// A system's stream of transactions.
#[derive(Debug)]
pub(super) struct Arrivals {
    rng: StdRng,
    rate: f64,
    next: Option<Instant>,
    nth: u32,
}

impl Arrivals {
    pub(super) fn new(seed: u64, rate: f64) -> Self {
        Self {
            rng: StdRng::seed_from_u64(seed),
            rate,
            next: None,
            nth: 0,
        }
    }

    /// Gives the next transaction, in order of its due time. The stream begins when it
    /// is first asked.
    pub(super) fn next(&mut self) -> Arrival {
        let gap = -(1.0 - self.rng.random::<f64>()).ln() / self.rate;
        let due = self.next.unwrap_or_else(Instant::now) + Duration::from_secs_f64(gap);
        self.next = Some(due);
        self.nth = self.nth.wrapping_add(1);
        Arrival {
            due,
            nth: self.nth,
            clerk: self.rng.random_range(1..=100),
            counter: self.rng.random_range(1..=SHARED_COUNTERS).cast_signed(),
        }
    }
}

impl Arrival {
    /// Tells whether `system` makes this step in this transaction.
    pub(super) fn includes(&self, step: &Step, system: &System) -> bool {
        step.label != COUNTER || self.nth.is_multiple_of(system.counts_every)
    }

    /// Gives a step's parameters; `own_counter` replaces the one that was drawn.
    pub(super) fn values(&self, step: &Step, agency: u32, own_counter: Option<i32>) -> Vec<i32> {
        let value = |takes: &Takes| match takes {
            Takes::Agency => agency.cast_signed(),
            Takes::Clerk => self.clerk,
            Takes::Counter => own_counter.unwrap_or(self.counter),
        };
        step.takes.iter().map(value).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_careless_system_is_the_quietest_of_its_wave() {
        let systems = systems(Variant::Story, 1, CALL);
        let careless: Vec<_> = systems
            .iter()
            .filter(|system| system.call.is_some())
            .collect();
        assert_eq!(careless.len(), 1);
        let others = systems
            .iter()
            .filter(|system| system.wave == 3 && system.call.is_none());
        for other in others {
            assert!(other.rate > careless[0].rate, "{}", other.name);
        }
    }

    #[test]
    fn a_transaction_writes_one_counter_at_most() {
        for system in systems(Variant::Story, 1, CALL) {
            let writes = system
                .steps
                .iter()
                .filter(|step| step.sql.starts_with("UPDATE"));
            assert_eq!(writes.count(), 1, "{}", system.name);
        }
    }

    #[test]
    fn equal_seeds_give_equal_streams_at_the_rate_asked_for() {
        let mut streams = [Arrivals::new(7, 50.0), Arrivals::new(7, 50.0)];
        let drawn: Vec<Vec<(Duration, i32)>> = streams
            .iter_mut()
            .map(|stream| {
                let first = stream.next().due;
                (0..2_000)
                    .map(|_| stream.next())
                    .map(|a| (a.due - first, a.counter))
                    .collect()
            })
            .collect();
        assert_eq!(drawn[0], drawn[1]);
        let lasted = drawn[0]
            .last()
            .map_or(0.0, |(after, _)| after.as_secs_f64());
        assert!(
            (lasted - 40.0).abs() < 4.0,
            "2,000 arrivals at 50 a second took {lasted} s"
        );
    }

    #[test]
    fn nobody_shares_a_counter_in_the_quiet_variant() {
        let systems = systems(Variant::Quiet, 1, CALL);
        let connections: u32 = systems.iter().map(|system| system.connections).sum();
        assert_eq!(counters(Variant::Quiet, &systems), connections);
        assert!(systems.iter().all(|system| system.call.is_none()));
    }
}

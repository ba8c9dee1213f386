//! The catalogue of scenarios: who shares a server, and what is true of it by construction.
//!
//! ```text
//! settle                     event
//! those who are there   ──▶  + those who arrive, one of which may be the cause
//! ```
//!
//! - The truth follows from how a scenario is made, and from nothing that pgjam says. What the
//!   clients timed shows whether it came about ([`Truth::victim`]).
//! - A scenario without causes is one in which nobody may be accused.

mod elsewhere;
mod group;
mod held;
mod locks;
mod queues;
mod quiet;
mod resources;
mod rows;
mod several;
mod tables;
mod without;

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use postgres::Config;

pub use self::group::Group;
pub use self::held::Held;
pub use self::without::Without;

use super::LabError;
use super::play::{Plan, Running};
use super::rollout::{Phases, Rollout, Variant};
use super::workload::{Draw, System};

/// How long those who are there are alone.
const SETTLE: Duration = Duration::from_secs(20);
/// How long it goes on after the others arrived.
const EVENT: Duration = Duration::from_secs(40);

/// A situation with its truth.
#[derive(Clone, Copy, Debug)]
pub struct Scenario {
    /// As it is asked for.
    pub name: &'static str,
    /// What happens, in a line.
    pub about: &'static str,
    /// What it is one of.
    pub family: Family,
    /// What is true of it.
    pub truth: Truth,
    /// How systems are named in it, as `--system-by` takes it; empty for the default.
    pub system_by: &'static str,
    /// Settings that the server needs: name and value.
    pub settings: &'static [(&'static str, &'static str)],
    /// Roles that log in.
    roles: &'static [&'static str],
    /// Another database, which has the same tables.
    other_database: Option<&'static str>,
    /// What is made in the schema.
    tables: &'static str,
    /// Who takes part.
    plays: Plays,
}

/// Who takes part in a scenario.
#[derive(Clone, Copy, Debug)]
enum Plays {
    /// The rollout in waves.
    Rollout(Variant),
    /// Some are there and some arrive.
    Event(fn() -> Vec<System>),
}

/// Kinds of scenario.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Family {
    /// Somebody waits for a lock that somebody holds.
    Lock,
    /// Something is scarce, and nobody holds it.
    Resource,
    /// Nothing is in anybody's way.
    Null,
}

/// What is true of a scenario.
#[derive(Clone, Copy, Debug)]
pub struct Truth {
    /// A system that gets slower, and the label of its statement; in a null scenario one that
    /// does not.
    pub victim: (&'static str, &'static str),
    /// Why, the victim's own cause first; empty in a null scenario.
    pub causes: &'static [Cause],
}

/// What makes somebody slower.
#[derive(Clone, Copy, Debug)]
pub struct Cause {
    /// The class, as the JSON contract names it.
    pub class: &'static str,
    /// Another that is as right.
    pub or_class: Option<&'static str>,
    /// The table.
    pub table: Table,
    /// Who is in the way.
    pub who: Who,
    /// What it began with.
    pub event: Event,
}

/// Through which table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Table {
    /// This one, `schema.table`.
    Is(&'static str),
    /// There is none.
    None,
    /// It may be told or not.
    Any,
}

/// Who is in the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// This system.
    System(&'static str),
    /// Either of two, each of which is a right answer.
    Either(&'static str, &'static str),
    /// Many in turn: no single culprit, the object is the answer.
    InTurn,
    /// Nobody but the victim itself.
    Nobody,
}

/// What a trouble began with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The arrival of this system.
    Arrival(&'static str),
    /// No arrival, but that this system, which was there, comes more often.
    RateStep(&'static str),
    /// No arrival: whoever came at the time has nothing to do with it.
    NoArrival,
    /// Several that are not told apart; any answer is right.
    Any,
}

impl Scenario {
    /// Lists all, in the order in which they are described.
    #[must_use]
    pub fn all() -> Vec<Self> {
        let mut all = vec![COUNTY_ROLLOUT, COUNTY_ROLLOUT_HARMLESS];
        all.extend_from_slice(rows::ALL);
        all.extend_from_slice(queues::ALL);
        all.extend_from_slice(tables::ALL);
        all.extend_from_slice(locks::ALL);
        all.extend_from_slice(several::ALL);
        all.extend_from_slice(elsewhere::ALL);
        all.extend_from_slice(resources::ALL);
        all.extend_from_slice(quiet::ALL);
        all
    }

    /// Finds one by its name.
    #[must_use]
    pub fn find(name: &str) -> Option<Self> {
        Self::all().into_iter().find(|known| known.name == name)
    }

    /// Tells whether nobody may be accused in it.
    #[must_use]
    pub const fn is_null(&self) -> bool {
        self.truth.causes.is_empty()
    }

    /// Tells whether it needs a server that is made for it.
    #[must_use]
    pub const fn needs_own_server(&self) -> bool {
        !self.settings.is_empty() || !self.roles.is_empty() || self.other_database.is_some()
    }

    /// Makes the schema in the database that `target` names and starts the systems, as they are or
    /// `without` a part of it; `scale` stretches the schedule.
    ///
    /// # Errors
    /// As [`Rollout::start`].
    pub fn start(
        &self,
        target: &Config,
        truth: &Path,
        seed: u64,
        scale: f64,
        without: Without,
        keep_schema: bool,
    ) -> Result<Running, LabError> {
        let mut plan = self.plan(seed, scale, keep_schema);
        self.take_out(without, &mut plan.systems);
        plan.start(target, truth)
    }

    /// Lays it out.
    fn plan(&self, seed: u64, scale: f64, keep_schema: bool) -> Plan {
        match self.plays {
            Plays::Rollout(variant) => Rollout {
                seed,
                variant,
                phases: Phases::default().scaled(scale),
                keep_schema,
                ..Rollout::default()
            }
            .plan(),
            Plays::Event(systems) => Plan {
                seed,
                phases: vec![
                    ("settle", SETTLE.mul_f64(scale)),
                    ("event", EVENT.mul_f64(scale)),
                ],
                systems: self.in_order(systems()),
                tables: self.all_tables(),
                other_database: self.other_database,
                keep_schema,
            },
        }
    }

    fn in_order(&self, mut systems: Vec<System>) -> Vec<System> {
        debug_assert!(!systems.is_empty(), "{} has nobody", self.name);
        systems.sort_by_key(|system| (system.phase, system.delay));
        systems
    }

    /// Gives all that is made: the tables, and the roles that may use them.
    fn all_tables(&self) -> String {
        let mut sql = self.tables.to_owned();
        for role in self.roles {
            let _ = write!(
                sql,
                "CREATE ROLE {role} LOGIN; GRANT USAGE ON SCHEMA pgjam_lab TO {role}; \
                 GRANT ALL ON ALL TABLES IN SCHEMA pgjam_lab TO {role};"
            );
        }
        sql
    }
}

const COUNTY_ROLLOUT: Scenario = Scenario {
    name: "county-rollout",
    about: "twelve agencies onboard in waves beside a decision component; sync-12 makes a call \
            inside its transaction",
    truth: Truth {
        victim: ("decision", "counter"),
        causes: &[row_lock("pgjam_lab.state_counter", "sync-12")],
    },
    plays: Plays::Rollout(Variant::Story),
    ..Scenario::LOCK
};

const COUNTY_ROLLOUT_HARMLESS: Scenario = Scenario {
    name: "county-rollout-harmless",
    about: "the same without the call, and with rows that never collide",
    family: Family::Null,
    truth: Truth {
        victim: ("decision", "counter"),
        causes: &[],
    },
    plays: Plays::Rollout(Variant::Quiet),
    ..Scenario::LOCK
};

impl Scenario {
    /// A scenario about a lock, to be filled in.
    const LOCK: Self = Self {
        name: "",
        about: "",
        family: Family::Lock,
        truth: Truth {
            victim: ("", ""),
            causes: &[],
        },
        system_by: "",
        settings: &[],
        roles: &[],
        other_database: None,
        tables: "",
        plays: Plays::Event(Vec::new),
    };
}

/// A row of `table` that the one who arrived holds.
const fn row_lock(table: &'static str, arrived: &'static str) -> Cause {
    held("row-lock", Table::Is(table), arrived)
}

/// What the one who arrived holds.
const fn held(class: &'static str, table: Table, arrived: &'static str) -> Cause {
    Cause {
        class,
        or_class: None,
        table,
        who: Who::System(arrived),
        event: Event::Arrival(arrived),
    }
}

/// The truth where one cause makes one victim slower.
const fn one(victim: (&'static str, &'static str), causes: &'static [Cause]) -> Truth {
    Truth { victim, causes }
}

/// Milliseconds, as they are written in scenarios.
const fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// Five counters that a decision component writes.
const COUNTERS: &str = "CREATE TABLE pgjam_lab.counter (
    id integer PRIMARY KEY, decided bigint NOT NULL DEFAULT 0, synced bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 10);
INSERT INTO pgjam_lab.counter SELECT generate_series(1, 5);
CREATE TABLE pgjam_lab.own_row (id integer PRIMARY KEY, n bigint NOT NULL DEFAULT 0)
    WITH (fillfactor = 10);
INSERT INTO pgjam_lab.own_row SELECT generate_series(1, 200);
ANALYZE pgjam_lab.counter, pgjam_lab.own_row;";

/// Entries that are booked on, and agencies that are looked up.
const LEDGER: &str = "CREATE TABLE pgjam_lab.ledger (
    id integer PRIMARY KEY, amount bigint NOT NULL DEFAULT 0, note text
) WITH (fillfactor = 50);
INSERT INTO pgjam_lab.ledger SELECT n, n, repeat('x', 60) FROM generate_series(1, 5000) AS n;
CREATE TABLE pgjam_lab.agency (
    id integer PRIMARY KEY, name text NOT NULL, note text, seen bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 10);
INSERT INTO pgjam_lab.agency SELECT n, 'agency ' || n FROM generate_series(1, 5) AS n;
ANALYZE pgjam_lab.ledger, pgjam_lab.agency;";

/// The victim of most scenarios: writes one of five counters, forty times a second.
fn decision() -> System {
    System::new("decision")
        .rate(40.0, 8)
        .draws(Draw::Between(1, 5))
        .runs(
            "counter",
            "UPDATE pgjam_lab.counter SET decided = decided + 1 WHERE id = $1",
            &[0],
        )
}

/// Books on entries of the ledger, forty times a second.
fn booking() -> System {
    System::new("booking")
        .rate(40.0, 8)
        .draws(Draw::Between(1, 5000))
        .runs(
            "booking",
            "UPDATE pgjam_lab.ledger SET amount = amount + 1 WHERE id = $1",
            &[0],
        )
}

/// Writes a row that nobody else writes.
fn minds_its_own(name: impl Into<String>, rate: f64, connections: u32) -> System {
    System::new(name)
        .rate(rate, connections)
        .draws(Draw::Own)
        .runs(
            "own",
            "UPDATE pgjam_lab.own_row SET n = n + 1 WHERE id = $1",
            &[0],
        )
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::lab::truth::COMMIT;

    pub(super) fn systems(scenario: &Scenario) -> Vec<System> {
        match scenario.plays {
            Plays::Event(systems) => systems(),
            Plays::Rollout(_) => scenario.plan(0, 1.0, false).systems,
        }
    }

    #[test]
    fn there_are_many_scenarios_and_each_has_a_name_of_its_own() {
        let all = Scenario::all();
        let names: BTreeSet<&str> = all.iter().map(|it| it.name).collect();
        assert_eq!(names.len(), all.len());
        assert!(all.len() >= 28, "{}", all.len());
        for scenario in &all {
            assert_eq!(scenario.is_null(), scenario.family == Family::Null);
            assert!(
                scenario.system_by.is_empty()
                    || scenario.system_by.parse::<crate::system::Naming>().is_ok()
            );
        }
    }

    #[test]
    fn a_truth_speaks_of_who_takes_part() {
        for scenario in Scenario::all() {
            let systems = systems(&scenario);
            let named = |name: &'static str| systems.iter().filter(move |it| it.name == name);
            let (victim, label) = scenario.truth.victim;
            let mut labels = named(victim).flat_map(System::statements);
            let times = label == COMMIT || labels.any(|(known, _)| known == label);
            assert!(times, "{}: {victim} times no {label}", scenario.name);
            for cause in scenario.truth.causes {
                let blamed = match cause.who {
                    Who::System(one) => vec![one],
                    Who::Either(one, other) => vec![one, other],
                    Who::InTurn | Who::Nobody => Vec::new(),
                };
                for system in blamed {
                    assert!(named(system).count() > 0, "{}: {system}", scenario.name);
                }
                if let Event::Arrival(system) = cause.event {
                    let arrives = named(system).all(|it| it.phase > 0);
                    assert!(arrives, "{}: {system} was there", scenario.name);
                }
                if let Event::RateStep(system) = cause.event {
                    let mut steps = named(system).filter(|it| it.phase == 0 && it.speeds_up > 1.0);
                    assert!(steps.next().is_some(), "{}: {system}", scenario.name);
                }
                if let Table::Is(table) = cause.table {
                    let (_, name) = table.split_once('.').unwrap_or_default();
                    let made = format!("CREATE TABLE {table}");
                    let is_made = scenario.tables.contains(&made);
                    let of_rollout = matches!(scenario.plays, Plays::Rollout(_));
                    assert!(is_made || of_rollout, "{}: {name}", scenario.name);
                }
            }
        }
    }
}

//! Systems in another database of the same server: what they share with the others, and what not.

use super::super::workload::{Draw, System};
use super::{COUNTERS, Family, Plays, Scenario, Table, decision, held, ms, one};

const BRANCH: &str = "branch";

pub(super) const ALL: &[Scenario] = &[
    Scenario {
        name: "elsewhere-notify",
        about: "bulk-publisher arrives in another database, and its slow commits keep the lock under \
                which all NOTIFY of the whole server commit",
        truth: one(
            ("publisher", "commit"),
            &[held("object-lock", Table::None, "bulk-publisher")],
        ),
        settings: &[("fsync", "on")],
        other_database: Some(BRANCH),
        tables: "CREATE TABLE pgjam_lab.published (n integer NOT NULL, bulk boolean);",
        plays: Plays::Event(|| {
            let publisher = System::new("publisher")
                .rate(30.0, 6)
                .runs(
                    "published",
                    "INSERT INTO pgjam_lab.published (n) VALUES (1)",
                    &[],
                )
                .runs("notify", "SELECT pg_notify('events', 'published')", &[]);
            let bulk = System::new("bulk-publisher")
                .works_in(BRANCH)
                .says_first("SET commit_delay = 50000; SET commit_siblings = 0")
                .rate(6.0, 2)
                .runs(
                    "published",
                    "INSERT INTO pgjam_lab.published (n, bulk) VALUES (2, true)",
                    &[],
                )
                .runs("notify", "SELECT pg_notify('events', 'many')", &[]);
            vec![publisher, bulk.at_event()]
        }),
        ..Scenario::LOCK
    },
    Scenario {
        name: "elsewhere-harmless",
        about: "a system arrives in another database and is idle in transactions that hold rows of \
                tables that have the same names there",
        family: Family::Null,
        truth: one(("decision", "counter"), &[]),
        other_database: Some(BRANCH),
        tables: COUNTERS,
        plays: Plays::Event(|| {
            // With one connection it waits for nobody there either.
            let branch = System::new("branch-sync")
                .works_in(BRANCH)
                .again_after(ms(20), 1)
                .draws(Draw::Between(1, 5))
                .runs(
                    "counter",
                    "UPDATE pgjam_lab.counter SET synced = synced + 1 WHERE id = $1",
                    &[0],
                );
            vec![decision(), branch.stays_away(ms(200)).at_event()]
        }),
        ..Scenario::LOCK
    },
];

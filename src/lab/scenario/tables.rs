//! Whole tables: who changes, rewrites or locks one, and who queues behind.

use super::super::workload::{Draw, System};
use super::{Cause, Event, LEDGER, Plays, Scenario, Table, Who, booking, held, ms, one};

const OF_LEDGER: Table = Table::Is("pgjam_lab.ledger");

pub(super) const ALL: &[Scenario] = &[
    Scenario {
        name: "ddl-queue",
        about: "migrator arrives with an ALTER TABLE that waits for a long reader, and everybody \
                queues behind it",
        truth: one(
            ("decision", "agency"),
            &[Cause {
                who: Who::Either("reporting", "migrator"),
                ..held("ddl-queue", Table::Is("pgjam_lab.agency"), "migrator")
            }],
        ),
        tables: LEDGER,
        plays: Plays::Event(|| {
            let decision = System::new("decision")
                .rate(30.0, 8)
                .draws(Draw::Between(1, 5))
                .runs(
                    "agency",
                    "SELECT name FROM pgjam_lab.agency WHERE id = $1",
                    &[0],
                );
            let reporting = System::new("reporting")
                .again_after(ms(300), 1)
                .runs("count", "SELECT count(*) FROM pgjam_lab.agency", &[])
                .stays_away(ms(1200));
            let migrator = System::new("migrator").again_after(ms(2000), 1).runs(
                "alter",
                "ALTER TABLE pgjam_lab.agency ALTER COLUMN note SET DEFAULT 'none'",
                &[],
            );
            vec![decision, reporting, migrator.at_event()]
        }),
        ..Scenario::LOCK
    },
    Scenario {
        name: "create-index",
        about: "migrator arrives and creates an index in a transaction with more steps, not \
                concurrently",
        truth: one(
            ("booking", "booking"),
            &[held("relation-lock", OF_LEDGER, "migrator")],
        ),
        tables: LEDGER,
        plays: Plays::Event(|| {
            let migrator = System::new("migrator")
                .again_after(ms(900), 1)
                .runs(
                    "index",
                    "CREATE INDEX ledger_amount ON pgjam_lab.ledger (amount)",
                    &[],
                )
                .stays_away(ms(300))
                .runs("drop", "DROP INDEX pgjam_lab.ledger_amount", &[]);
            vec![booking(), migrator.at_event()]
        }),
        ..Scenario::LOCK
    },
    Scenario {
        name: "vacuum-full",
        about: "maintenance arrives and rewrites the ledger with VACUUM FULL again and again",
        truth: one(
            ("booking", "booking"),
            &[held("relation-lock", OF_LEDGER, "maintenance")],
        ),
        tables: "CREATE TABLE pgjam_lab.ledger (
                id integer PRIMARY KEY, amount bigint NOT NULL DEFAULT 0, note text
            ) WITH (fillfactor = 90, autovacuum_enabled = off);
            INSERT INTO pgjam_lab.ledger
                SELECT n, n, repeat('x', 100) FROM generate_series(1, 120000) AS n;
            ANALYZE pgjam_lab.ledger;",
        plays: Plays::Event(|| {
            let maintenance = System::new("maintenance")
                .one_by_one()
                .again_after(ms(900), 1)
                .runs("vacuum", "VACUUM FULL pgjam_lab.ledger", &[]);
            vec![booking(), maintenance.at_event()]
        }),
        ..Scenario::LOCK
    },
    Scenario {
        name: "lock-table",
        about: "closing arrives and locks the ledger against writers for 250 ms at a time",
        truth: one(
            ("booking", "booking"),
            &[held("relation-lock", OF_LEDGER, "closing")],
        ),
        tables: LEDGER,
        plays: Plays::Event(|| {
            let closing = System::new("closing").again_after(ms(900), 1).runs(
                "close",
                "LOCK TABLE pgjam_lab.ledger IN SHARE ROW EXCLUSIVE MODE",
                &[],
            );
            vec![booking(), closing.stays_away(ms(250)).at_event()]
        }),
        ..Scenario::LOCK
    },
    Scenario {
        name: "truncate",
        about: "loader arrives, empties the staging table with TRUNCATE and fills it again in one \
                transaction",
        truth: one(
            ("feeder", "feed"),
            &[held(
                "relation-lock",
                Table::Is("pgjam_lab.staging"),
                "loader",
            )],
        ),
        tables: "CREATE TABLE pgjam_lab.staging (n integer NOT NULL, loaded integer);",
        plays: Plays::Event(|| {
            let feeder = System::new("feeder")
                .rate(40.0, 8)
                .draws(Draw::Between(1, 1000))
                .runs(
                    "feed",
                    "INSERT INTO pgjam_lab.staging (n) VALUES ($1)",
                    &[0],
                );
            let loader = System::new("loader")
                .again_after(ms(900), 1)
                .runs("empty", "TRUNCATE pgjam_lab.staging", &[])
                .runs(
                    "load",
                    "INSERT INTO pgjam_lab.staging (n, loaded) SELECT n, 1 \
                     FROM generate_series(1, 500) AS n",
                    &[],
                );
            vec![feeder, loader.stays_away(ms(200)).at_event()]
        }),
        ..Scenario::LOCK
    },
    Scenario {
        name: "index-concurrently",
        about: "analyst arrives with long snapshots, for each of which CREATE INDEX CONCURRENTLY \
                waits",
        truth: one(
            ("migrator", "index"),
            &[Cause {
                event: Event::Arrival("analyst"),
                ..held("virtualxid", Table::Any, "analyst")
            }],
        ),
        tables: LEDGER,
        plays: Plays::Event(|| {
            let migrator = System::new("migrator")
                .one_by_one()
                .again_after(ms(100), 1)
                .runs(
                    "index",
                    "CREATE INDEX CONCURRENTLY ledger_amount ON pgjam_lab.ledger (amount)",
                    &[],
                )
                .runs(
                    "drop",
                    "DROP INDEX CONCURRENTLY pgjam_lab.ledger_amount",
                    &[],
                );
            let analyst = System::new("analyst")
                .says_first("SET default_transaction_isolation = 'repeatable read'")
                .again_after(ms(200), 1)
                .runs("count", "SELECT count(*) FROM pgjam_lab.agency", &[])
                .runs(
                    "seen",
                    "UPDATE pgjam_lab.agency SET seen = seen + 1 WHERE id = 1",
                    &[],
                )
                .stays_away(ms(700));
            vec![migrator, analyst.at_event()]
        }),
        ..Scenario::LOCK
    },
];

//! Rows that several systems want in turn: queues, deadlocks, what a transaction left behind.

use super::super::workload::{Draw, System};
use super::{Cause, Event, Plays, Scenario, Table, Who, held, minds_its_own, ms, one, row_lock};

const ACCOUNTS: &str = "CREATE TABLE pgjam_lab.account (
    id integer PRIMARY KEY, amount bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 10);
INSERT INTO pgjam_lab.account SELECT generate_series(1, 5);
ANALYZE pgjam_lab.account;";

pub(super) const ALL: &[Scenario] = &[
    Scenario {
        name: "job-queue",
        about: "worker-b arrives with jobs of 60 ms; all take the first job that is new, and none \
                skips what another has locked",
        truth: one(
            ("worker-a", "take"),
            &[row_lock("pgjam_lab.job", "worker-b")],
        ),
        tables: "CREATE TABLE pgjam_lab.job (
                id integer PRIMARY KEY, state text NOT NULL DEFAULT 'new', note text
            ) WITH (fillfactor = 70);
            INSERT INTO pgjam_lab.job SELECT generate_series(1, 20000);
            CREATE INDEX ON pgjam_lab.job (id) WHERE state = 'new';
            ANALYZE pgjam_lab.job;",
        plays: Plays::Event(|| {
            let a = System::new("worker-a").rate(20.0, 5).runs(
                "take",
                "UPDATE pgjam_lab.job SET state = 'done' WHERE id = (SELECT id FROM pgjam_lab.job \
                 WHERE state = 'new' ORDER BY id LIMIT 1 FOR UPDATE)",
                &[],
            );
            let b = System::new("worker-b").rate(5.0, 2).runs(
                "take",
                "UPDATE pgjam_lab.job SET state = 'done', note = 'b' WHERE id = \
                 (SELECT id FROM pgjam_lab.job WHERE state = 'new' ORDER BY id LIMIT 1 FOR UPDATE)",
                &[],
            );
            vec![a.stays_away(ms(3)), b.stays_away(ms(60)).at_event()]
        }),
        ..Scenario::LOCK
    },
    Scenario {
        name: "hot-object",
        about: "eight counties arrive and hold the same row in turn, each as briefly as the others",
        truth: one(
            ("decision", "scope"),
            &[Cause {
                class: "row-lock",
                or_class: None,
                table: Table::Is("pgjam_lab.scope"),
                who: Who::InTurn,
                event: Event::Any,
            }],
        ),
        tables: "CREATE TABLE pgjam_lab.scope (
                id integer PRIMARY KEY, decided bigint NOT NULL DEFAULT 0, n bigint NOT NULL DEFAULT 0
            ) WITH (fillfactor = 10);
            INSERT INTO pgjam_lab.scope VALUES (1);
            ANALYZE pgjam_lab.scope;",
        plays: Plays::Event(|| {
            let county = |n: u32| {
                System::new(format!("county-{n}"))
                    .rate(5.0, 2)
                    .runs(
                        "scope",
                        "UPDATE pgjam_lab.scope SET n = n + 1 WHERE id = 1",
                        &[],
                    )
                    .stays_away(ms(12))
                    .takes_the_blame()
                    .at_event()
            };
            let mut systems: Vec<System> = (1..=8).map(county).collect();
            systems.push(System::new("decision").rate(25.0, 8).runs(
                "scope",
                "UPDATE pgjam_lab.scope SET decided = decided + 1 WHERE id = 1",
                &[],
            ));
            systems
        }),
        ..Scenario::LOCK
    },
    Scenario {
        name: "self-contention",
        about: "batch gets more connections for a row that it alone writes, while an innocent \
                system arrives",
        truth: one(
            ("batch", "state"),
            &[Cause {
                event: Event::NoArrival,
                ..row_lock("pgjam_lab.batch_state", "batch")
            }],
        ),
        tables: "CREATE TABLE pgjam_lab.batch_state (id integer PRIMARY KEY, n bigint NOT NULL)
                WITH (fillfactor = 10);
            INSERT INTO pgjam_lab.batch_state VALUES (1, 0);
            CREATE TABLE pgjam_lab.own_row (id integer PRIMARY KEY, n bigint NOT NULL DEFAULT 0)
                WITH (fillfactor = 10);
            INSERT INTO pgjam_lab.own_row SELECT generate_series(1, 50);
            ANALYZE pgjam_lab.batch_state, pgjam_lab.own_row;",
        plays: Plays::Event(|| {
            let batch = |connections| {
                System::new("batch")
                    .again_after(ms(20), connections)
                    .runs(
                        "state",
                        "UPDATE pgjam_lab.batch_state SET n = n + 1 WHERE id = 1",
                        &[],
                    )
                    .stays_away(ms(10))
            };
            let innocent = minds_its_own("innocent", 30.0, 3);
            vec![batch(2), batch(5).at_event(), innocent.at_event()]
        }),
        ..Scenario::LOCK
    },
    Scenario {
        name: "deadlocks",
        about: "transfer-b arrives and locks accounts in the other order than transfer-a; both try \
                again after a deadlock",
        truth: one(
            ("transfer-a", "credit"),
            &[Cause {
                or_class: Some("deadlock"),
                ..row_lock("pgjam_lab.account", "transfer-b")
            }],
        ),
        tables: ACCOUNTS,
        plays: Plays::Event(|| {
            let transfer = |name: &str, rate, connections| {
                System::new(name)
                    .rate(rate, connections)
                    .retries(20)
                    .draws(Draw::Between(1, 2))
                    .draws(Draw::Between(3, 4))
            };
            let a = transfer("transfer-a", 12.0, 4)
                .runs(
                    "debit",
                    "UPDATE pgjam_lab.account SET amount = amount - 1 WHERE id = $1",
                    &[0],
                )
                .stays_away(ms(5))
                .runs(
                    "credit",
                    "UPDATE pgjam_lab.account SET amount = amount + 1 WHERE id = $1",
                    &[1],
                );
            let b = transfer("transfer-b", 4.0, 2)
                .runs(
                    "debit",
                    "UPDATE pgjam_lab.account SET amount = amount - 2 WHERE id = $1",
                    &[1],
                )
                .stays_away(ms(40))
                .runs(
                    "credit",
                    "UPDATE pgjam_lab.account SET amount = amount + 2 WHERE id = $1",
                    &[0],
                );
            vec![a, b.at_event()]
        }),
        ..Scenario::LOCK
    },
    Scenario {
        name: "prepared-transaction",
        about: "settlement arrives, prepares its transactions and leaves each for 0.6 s before it \
                commits it",
        truth: one(
            ("decision", "account"),
            &[held(
                "prepared-transaction",
                Table::Is("pgjam_lab.account"),
                "settlement",
            )],
        ),
        settings: &[("max_prepared_transactions", "10")],
        roles: &["settlement"],
        tables: ACCOUNTS,
        plays: Plays::Event(|| {
            let decision = System::new("decision")
                .rate(30.0, 8)
                .draws(Draw::Between(1, 5))
                .runs(
                    "account",
                    "UPDATE pgjam_lab.account SET amount = amount + 1 WHERE id = $1",
                    &[0],
                );
            let settlement = System::new("settlement")
                .under_role("settlement")
                .one_by_one()
                .again_after(ms(500), 1)
                .runs("open", "BEGIN", &[])
                .runs(
                    "settle",
                    "UPDATE pgjam_lab.account SET amount = 0 WHERE id = 1",
                    &[],
                )
                .runs("prepare", "PREPARE TRANSACTION 'settlement'", &[])
                .stays_away(ms(600))
                .runs("close", "COMMIT PREPARED 'settlement'", &[]);
            vec![decision, settlement.at_event()]
        }),
        ..Scenario::LOCK
    },
];

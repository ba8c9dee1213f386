//! Locks that are on neither rows nor tables.

use super::super::workload::System;
use super::{LEDGER, Plays, Scenario, Table, held, ms, one};

pub(super) const ALL: &[Scenario] = &[
    Scenario {
        name: "advisory-lock",
        about: "scheduler-2 arrives and keeps an advisory lock while it is idle, outside any \
                transaction",
        truth: one(
            ("scheduler-1", "lock"),
            &[held("advisory-lock", Table::None, "scheduler-2")],
        ),
        tables: "CREATE TABLE pgjam_lab.schedule (id integer PRIMARY KEY, ran bigint NOT NULL);
            INSERT INTO pgjam_lab.schedule VALUES (1, 0), (2, 0);",
        plays: Plays::Event(|| {
            let first = System::new("scheduler-1").rate(15.0, 6).runs(
                "lock",
                "SELECT pg_advisory_xact_lock(42)",
                &[],
            );
            let second = System::new("scheduler-2")
                .one_by_one()
                .again_after(ms(500), 1)
                .runs("lock", "SELECT pg_advisory_lock(42)", &[])
                .runs(
                    "ran",
                    "UPDATE pgjam_lab.schedule SET ran = ran + 1 WHERE id = 2",
                    &[],
                )
                .stays_away(ms(400))
                .runs("unlock", "SELECT pg_advisory_unlock(42)", &[]);
            vec![first, second.at_event()]
        }),
        ..Scenario::LOCK
    },
    Scenario {
        name: "notify-commit",
        about: "bulk-publisher arrives, and its slow commits keep the lock under which all NOTIFY \
                commit",
        truth: one(
            ("publisher", "commit"),
            &[held("object-lock", Table::None, "bulk-publisher")],
        ),
        settings: &[("fsync", "on")],
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
        name: "safe-snapshot",
        about: "poster arrives with serializable transactions, which deferrable readers wait for",
        truth: one(
            ("auditor", "read"),
            &[held("safe-snapshot", Table::None, "poster")],
        ),
        tables: LEDGER,
        plays: Plays::Event(|| {
            let auditor = System::new("auditor")
                .says_first(
                    "SET default_transaction_isolation = 'serializable'; \
                     SET default_transaction_read_only = on; \
                     SET default_transaction_deferrable = on",
                )
                .rate(10.0, 4)
                .runs("read", "SELECT count(*) FROM pgjam_lab.agency", &[]);
            let poster = System::new("poster")
                .says_first("SET default_transaction_isolation = 'serializable'")
                .rate(3.0, 2)
                .retries(5)
                .runs(
                    "post",
                    "UPDATE pgjam_lab.agency SET seen = seen + 1 WHERE id = 1",
                    &[],
                );
            vec![auditor, poster.stays_away(ms(150)).at_event()]
        }),
        ..Scenario::LOCK
    },
];

//! Two causes at once, of which each is a right first answer, and both have to be found.

use super::super::workload::{Draw, System};
use super::rows::{COUNTER, holds};
use super::{Cause, Plays, Scenario, Table, booking, decision, held, ms, one, row_lock};

const CLOSING: Cause = held("relation-lock", Table::Is("pgjam_lab.ledger"), "closing");

pub(super) const ALL: &[Scenario] = &[
    Scenario {
        name: "two-causes",
        about: "sync arrives and holds counters, closing arrives and locks the ledger: each slows \
                somebody else down",
        truth: one(
            ("decision", "counter"),
            &[row_lock(COUNTER, "sync"), CLOSING],
        ),
        tables: TWO,
        plays: Plays::Event(|| {
            let sync = holds("sync", 16.0, ms(40)).at_event();
            vec![decision(), booking(), sync, closing().arrives(1, ms(500))]
        }),
        ..Scenario::LOCK
    },
    Scenario {
        name: "two-tables",
        about: "sync and billing arrive together and hold counters and quotas, both of which one \
                statement of the decision component writes",
        truth: one(
            ("decision", "decided"),
            &[
                row_lock(COUNTER, "sync"),
                row_lock("pgjam_lab.quota", "billing"),
            ],
        ),
        tables: "CREATE TABLE pgjam_lab.counter (
                id integer PRIMARY KEY, decided bigint NOT NULL DEFAULT 0,
                synced bigint NOT NULL DEFAULT 0
            ) WITH (fillfactor = 10);
            INSERT INTO pgjam_lab.counter SELECT generate_series(1, 5);
            CREATE TABLE pgjam_lab.quota (
                id integer PRIMARY KEY, used bigint NOT NULL DEFAULT 0,
                billed bigint NOT NULL DEFAULT 0
            ) WITH (fillfactor = 10);
            INSERT INTO pgjam_lab.quota SELECT generate_series(1, 5);
            ANALYZE pgjam_lab.counter, pgjam_lab.quota;",
        plays: Plays::Event(|| {
            let decision = System::new("decision")
                .rate(30.0, 8)
                .draws(Draw::Between(1, 5))
                .runs(
                    "decided",
                    "WITH decided AS (UPDATE pgjam_lab.counter SET decided = decided + 1 \
                     WHERE id = $1 RETURNING id) UPDATE pgjam_lab.quota SET used = used + 1 \
                     FROM decided WHERE quota.id = decided.id",
                    &[0],
                );
            let billing = System::new("billing")
                .rate(10.0, 4)
                .draws(Draw::Between(1, 5))
                .runs(
                    "quota",
                    "UPDATE pgjam_lab.quota SET billed = billed + 1 WHERE id = $1",
                    &[0],
                );
            let sync = holds("sync", 12.0, ms(40)).at_event();
            vec![decision, sync, billing.stays_away(ms(50)).at_event()]
        }),
        ..Scenario::LOCK
    },
    Scenario {
        name: "staggered-causes",
        about: "sync arrives and holds counters, and twelve seconds later closing arrives and locks \
                the ledger: each slows somebody else down",
        truth: one(
            ("booking", "booking"),
            &[CLOSING, row_lock(COUNTER, "sync")],
        ),
        tables: TWO,
        plays: Plays::Event(|| {
            let sync = holds("sync", 16.0, ms(40)).at_event();
            let closing = closing().arrives(1, ms(12_000));
            vec![decision(), booking(), sync, closing]
        }),
        ..Scenario::LOCK
    },
];

/// Two tables that have nothing to do with each other.
const TWO: &str = "CREATE TABLE pgjam_lab.counter (
    id integer PRIMARY KEY, decided bigint NOT NULL DEFAULT 0, synced bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 10);
INSERT INTO pgjam_lab.counter SELECT generate_series(1, 5);
CREATE TABLE pgjam_lab.ledger (id integer PRIMARY KEY, amount bigint NOT NULL DEFAULT 0)
    WITH (fillfactor = 50);
INSERT INTO pgjam_lab.ledger SELECT generate_series(1, 5000);
ANALYZE pgjam_lab.counter, pgjam_lab.ledger;";

/// Locks the ledger against writers for 250 ms at a time.
fn closing() -> System {
    System::new("closing")
        .again_after(ms(900), 1)
        .runs(
            "close",
            "LOCK TABLE pgjam_lab.ledger IN SHARE ROW EXCLUSIVE MODE",
            &[],
        )
        .stays_away(ms(250))
}

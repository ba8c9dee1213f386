//! Rows that one who arrives holds for long, for one reason or another.

use super::super::workload::{Draw, System};
use super::{
    COUNTERS, Cause, Event, LEDGER, Plays, Scenario, booking, decision, minds_its_own, ms, one,
    row_lock,
};

pub(super) const COUNTER: &str = "pgjam_lab.counter";
const UPDATE_COUNTER: &str = "UPDATE pgjam_lab.counter SET synced = synced + 1 WHERE id = $1";

pub(super) const ALL: &[Scenario] = &[
    Scenario {
        name: "idle-in-transaction",
        about: "sync arrives and makes a synchronous call of 40 ms while it holds a hot counter",
        truth: one(("decision", "counter"), &[row_lock(COUNTER, "sync")]),
        tables: COUNTERS,
        plays: Plays::Event(|| vec![decision(), holds("sync", 16.0, ms(40)).at_event()]),
        ..Scenario::LOCK
    },
    Scenario {
        name: "rate-step",
        about: "sync, which was there all the time and holds a hot counter for 40 ms, comes three times \
                as often over the connections that it has; nobody arrives",
        truth: one(
            ("decision", "counter"),
            &[Cause {
                event: Event::RateStep("sync"),
                ..row_lock(COUNTER, "sync")
            }],
        ),
        tables: COUNTERS,
        plays: Plays::Event(|| {
            let sync = holds("sync", 6.0, ms(40)).speeds_up(3.0);
            vec![decision(), sync]
        }),
        ..Scenario::LOCK
    },
    Scenario {
        name: "batch-update",
        about: "nightly-batch arrives, updates thousands of rows at once and holds them for 0.8 s",
        truth: one(
            ("booking", "booking"),
            &[row_lock("pgjam_lab.ledger", "nightly-batch")],
        ),
        tables: LEDGER,
        plays: Plays::Event(|| {
            let batch = System::new("nightly-batch").again_after(ms(1500), 1).runs(
                "batch",
                "UPDATE pgjam_lab.ledger SET amount = amount - 1 WHERE id <= 2000",
                &[],
            );
            vec![booking(), batch.stays_away(ms(800)).at_event()]
        }),
        ..Scenario::LOCK
    },
    Scenario {
        name: "hot-tenant",
        about: "tenant-big arrives with ten times the data of the others and sums it up while it \
                holds their common row",
        truth: one(
            ("decision", "total"),
            &[row_lock("pgjam_lab.total", "tenant-big")],
        ),
        tables: "CREATE TABLE pgjam_lab.total (
                id integer PRIMARY KEY, decided bigint NOT NULL DEFAULT 0, n bigint NOT NULL DEFAULT 0
            ) WITH (fillfactor = 10);
            INSERT INTO pgjam_lab.total VALUES (1);
            CREATE TABLE pgjam_lab.line (tenant integer NOT NULL, id integer NOT NULL);
            INSERT INTO pgjam_lab.line SELECT 9, n FROM generate_series(1, 50000) AS n;
            INSERT INTO pgjam_lab.line
                SELECT t, n FROM generate_series(1, 3) AS t, generate_series(1, 5000) AS n;
            CREATE INDEX ON pgjam_lab.line (tenant);
            ANALYZE pgjam_lab.total, pgjam_lab.line;",
        plays: Plays::Event(|| {
            let mut systems: Vec<System> =
                (1..=3).map(|n| tenant(format!("tenant-{n}"), n)).collect();
            systems.push(tenant("tenant-big".to_owned(), 9).at_event());
            systems.push(System::new("decision").rate(30.0, 8).runs(
                "total",
                "UPDATE pgjam_lab.total SET decided = decided + 1 WHERE id = 1",
                &[],
            ));
            systems
        }),
        ..Scenario::LOCK
    },
    Scenario {
        name: "retry-storm",
        about: "sync arrives and holds counters for 150 ms; intake gives up after 60 ms and tries \
                again at once",
        truth: one(("decision", "counter"), &[row_lock(COUNTER, "sync")]),
        tables: COUNTERS,
        plays: Plays::Event(|| {
            let intake = System::new("intake")
                .rate(15.0, 6)
                .says_first("SET lock_timeout = '60ms'")
                .retries(20)
                .draws(Draw::Between(1, 5))
                .runs(
                    "received",
                    "UPDATE pgjam_lab.counter SET synced = synced - 1 WHERE id = $1 RETURNING id",
                    &[0],
                );
            vec![decision(), intake, holds("sync", 6.0, ms(150)).at_event()]
        }),
        ..Scenario::LOCK
    },
    Scenario {
        name: "duplicate-events",
        about: "consumer-b arrives and stores the same events as consumer-a, 60 ms before it commits",
        truth: one(
            ("consumer-a", "event"),
            &[row_lock("pgjam_lab.event", "consumer-b")],
        ),
        tables: "CREATE TABLE pgjam_lab.event (key bigint PRIMARY KEY, payload text);",
        plays: Plays::Event(|| {
            let a = System::new("consumer-a").rate(25.0, 8).runs(
                "event",
                "INSERT INTO pgjam_lab.event (key) \
                 VALUES (floor(extract(epoch FROM clock_timestamp()) * 10)::bigint) \
                 ON CONFLICT DO NOTHING",
                &[],
            );
            let b = System::new("consumer-b").rate(25.0, 8).runs(
                "event",
                "INSERT INTO pgjam_lab.event (key, payload) \
                 VALUES (floor(extract(epoch FROM clock_timestamp()) * 10)::bigint, 'b') \
                 ON CONFLICT DO NOTHING",
                &[],
            );
            vec![a, b.stays_away(ms(60)).at_event()]
        }),
        ..Scenario::LOCK
    },
    Scenario {
        name: "fk-parent",
        about: "registry arrives and locks agencies for update, which every new case refers to",
        truth: one(
            ("intake", "case"),
            &[row_lock("pgjam_lab.agency", "registry")],
        ),
        tables: "CREATE TABLE pgjam_lab.agency (
                id integer PRIMARY KEY, seen bigint NOT NULL DEFAULT 0
            ) WITH (fillfactor = 10);
            INSERT INTO pgjam_lab.agency SELECT generate_series(1, 5);
            CREATE TABLE pgjam_lab.intake_case (
                id bigint GENERATED ALWAYS AS IDENTITY,
                agency_id integer NOT NULL REFERENCES pgjam_lab.agency
            );
            ANALYZE pgjam_lab.agency;",
        plays: Plays::Event(|| {
            let intake = System::new("intake")
                .rate(40.0, 8)
                .draws(Draw::Between(1, 5))
                .runs(
                    "case",
                    "INSERT INTO pgjam_lab.intake_case (agency_id) VALUES ($1)",
                    &[0],
                );
            let registry = System::new("registry")
                .rate(8.0, 3)
                .draws(Draw::Between(1, 5))
                .runs(
                    "lock",
                    "SELECT seen FROM pgjam_lab.agency WHERE id = $1 FOR UPDATE",
                    &[0],
                )
                .stays_away(ms(50))
                .runs(
                    "seen",
                    "UPDATE pgjam_lab.agency SET seen = seen + 1 WHERE id = $1",
                    &[0],
                );
            vec![intake, registry.at_event()]
        }),
        ..Scenario::LOCK
    },
    Scenario {
        name: "multixact-members",
        about: "import arrives with transactions of 150 ms that file cases, several at once for one \
                agency, and whoever locks the agency for update waits for each of them in turn",
        truth: one(
            ("registry", "lock"),
            &[row_lock("pgjam_lab.agency", "import")],
        ),
        tables: "CREATE TABLE pgjam_lab.agency (
                id integer PRIMARY KEY, seen bigint NOT NULL DEFAULT 0
            ) WITH (fillfactor = 10);
            INSERT INTO pgjam_lab.agency SELECT generate_series(1, 3);
            CREATE TABLE pgjam_lab.intake_case (
                id bigint GENERATED ALWAYS AS IDENTITY,
                agency_id integer NOT NULL REFERENCES pgjam_lab.agency,
                source text
            );
            ANALYZE pgjam_lab.agency;",
        plays: Plays::Event(|| {
            let intake = System::new("intake")
                .rate(30.0, 6)
                .draws(Draw::Between(1, 3))
                .runs(
                    "case",
                    "INSERT INTO pgjam_lab.intake_case (agency_id) VALUES ($1)",
                    &[0],
                );
            let registry = System::new("registry")
                .rate(8.0, 6)
                .draws(Draw::Between(1, 3))
                .runs(
                    "lock",
                    "SELECT seen FROM pgjam_lab.agency WHERE id = $1 FOR UPDATE",
                    &[0],
                )
                .runs(
                    "seen",
                    "UPDATE pgjam_lab.agency SET seen = seen + 1 WHERE id = $1",
                    &[0],
                );
            let import = System::new("import")
                .again_after(ms(150), 4)
                .draws(Draw::Between(1, 3))
                .runs(
                    "cases",
                    "INSERT INTO pgjam_lab.intake_case (agency_id, source) \
                     SELECT $1, 'import' FROM generate_series(1, 20)",
                    &[0],
                );
            vec![intake, registry, import.stays_away(ms(150)).at_event()]
        }),
        ..Scenario::LOCK
    },
    Scenario {
        name: "permission-fan-out",
        about: "admin arrives and rewrites the permissions of whole groups, which decisions lock \
                as they look them up",
        truth: one(
            ("decision", "permission"),
            &[row_lock("pgjam_lab.permission", "admin")],
        ),
        tables: "CREATE TABLE pgjam_lab.permission (
                clerk_id integer PRIMARY KEY, group_id integer NOT NULL, level integer NOT NULL
            ) WITH (fillfactor = 20);
            INSERT INTO pgjam_lab.permission
                SELECT n, 1 + n % 4, 0 FROM generate_series(1, 1000) AS n;
            ANALYZE pgjam_lab.permission;",
        plays: Plays::Event(|| {
            let decision = System::new("decision")
                .rate(40.0, 8)
                .draws(Draw::Between(1, 1000))
                .runs(
                    "permission",
                    "SELECT level FROM pgjam_lab.permission WHERE clerk_id = $1 FOR SHARE",
                    &[0],
                );
            let admin = System::new("admin")
                .rate(5.0, 3)
                .draws(Draw::Between(1, 4))
                .runs(
                    "rewrite",
                    "UPDATE pgjam_lab.permission SET level = level + 1 WHERE group_id = $1",
                    &[0],
                );
            vec![decision, admin.stays_away(ms(100)).at_event()]
        }),
        ..Scenario::LOCK
    },
    Scenario {
        name: "audit-counter",
        about: "archiver arrives and writes hundreds of audit entries between taking the next \
                number and its commit",
        truth: one(
            ("decision", "number"),
            &[row_lock("pgjam_lab.audit_number", "archiver")],
        ),
        tables: "CREATE TABLE pgjam_lab.audit_number (
                id integer PRIMARY KEY, n bigint NOT NULL, archived bigint NOT NULL
            ) WITH (fillfactor = 10);
            INSERT INTO pgjam_lab.audit_number VALUES (1, 0, 0);
            CREATE TABLE pgjam_lab.audit_entry (n bigint NOT NULL, at timestamptz DEFAULT now());
            ANALYZE pgjam_lab.audit_number;",
        plays: Plays::Event(|| {
            let decision = System::new("decision")
                .rate(40.0, 8)
                .runs(
                    "number",
                    "UPDATE pgjam_lab.audit_number SET n = n + 1 WHERE id = 1",
                    &[],
                )
                .runs(
                    "entry",
                    "INSERT INTO pgjam_lab.audit_entry (n) VALUES (1)",
                    &[],
                );
            let archiver = System::new("archiver")
                .rate(6.0, 2)
                .runs(
                    "number",
                    "UPDATE pgjam_lab.audit_number SET archived = archived + 300 WHERE id = 1",
                    &[],
                )
                .runs(
                    "entries",
                    "INSERT INTO pgjam_lab.audit_entry (n) SELECT generate_series(1, 300)",
                    &[],
                );
            vec![decision, archiver.stays_away(ms(30)).at_event()]
        }),
        ..Scenario::LOCK
    },
    Scenario {
        name: "loud-and-quiet",
        about: "four loud systems that are in nobody's way and a quiet one that is arrive in the \
                same second",
        truth: one(("decision", "counter"), &[row_lock(COUNTER, "quiet")]),
        tables: COUNTERS,
        plays: Plays::Event(|| {
            let mut systems = vec![decision(), holds("quiet", 4.0, ms(100)).at_event()];
            let loud = |n| minds_its_own(format!("loud-{n}"), 40.0, 3).at_event();
            systems.extend((1..=4).map(loud));
            systems
        }),
        ..Scenario::LOCK
    },
    Scenario {
        name: "one-role-tags",
        about: "tenants share a role and a name and are told apart by a tag; north arrives and \
                holds a counter for 60 ms",
        truth: one(("south", "counter"), &[row_lock(COUNTER, "north")]),
        system_by: "tag:tenant,application_name",
        tables: COUNTERS,
        plays: Plays::Event(|| {
            let north = tagged("north", 8.0, "synced").stays_away(ms(60));
            let [south, west] = [("south", 25.0), ("west", 15.0)]
                .map(|(name, rate)| tagged(name, rate, "decided"));
            vec![south, west, north.at_event()]
        }),
        ..Scenario::LOCK
    },
];

/// Writes a counter and is then away.
pub(super) fn holds(name: &str, rate: f64, call: std::time::Duration) -> System {
    System::new(name)
        .rate(rate, 4)
        .draws(Draw::Between(1, 5))
        .runs("counter", UPDATE_COUNTER, &[0])
        .stays_away(call)
}

/// Books on the common row and then sums up its own lines.
fn tenant(name: String, tenant: i32) -> System {
    System::new(name)
        .rate(5.0, 2)
        .draws(Draw::Fixed(tenant))
        .runs(
            "total",
            "UPDATE pgjam_lab.total SET n = n + 1 WHERE id = 1",
            &[],
        )
        .runs(
            "lines",
            "SELECT sum(length(md5(id::text))) FROM pgjam_lab.line WHERE tenant = $1",
            &[0],
        )
}

/// One of several tenants behind one name.
fn tagged(tenant: &'static str, rate: f64, column: &str) -> System {
    System::new(tenant)
        .calls_itself("platform")
        .rate(rate, 5)
        .draws(Draw::Between(1, 5))
        .runs(
            "counter",
            format!(
                "UPDATE pgjam_lab.counter SET {column} = {column} + 1 WHERE id = $1 \
                 /*tenant='{tenant}'*/"
            ),
            &[0],
        )
}

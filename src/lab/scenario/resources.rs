//! What is scarce and held by nobody, and a victim that is slow all by itself.

use super::super::workload::{Draw, System};
use super::{Cause, Event, Family, Plays, Scenario, Table, Who, held, minds_its_own, ms, one};

pub(super) const ALL: &[Scenario] = &[
    Scenario {
        name: "cpu-neighbour",
        about: "analytics arrives with eight sessions that keep the processors busy",
        family: Family::Resource,
        truth: one(
            ("decision", "score"),
            &[held("cpu", Table::None, "analytics")],
        ),
        tables: "CREATE TABLE pgjam_lab.result (n bigint NOT NULL);",
        plays: Plays::Event(|| {
            let decision = System::new("decision").rate(10.0, 4).runs(
                "score",
                "SELECT sum(length(md5(i::text))) FROM generate_series(1, 20000) AS i",
                &[],
            );
            let analytics = System::new("analytics").again_after(ms(1), 8).runs(
                "result",
                "INSERT INTO pgjam_lab.result \
                 SELECT sum(length(md5((i + 1)::text))) FROM generate_series(1, 200000) AS i",
                &[],
            );
            vec![decision, analytics.at_event()]
        }),
        ..Scenario::LOCK
    },
    Scenario {
        name: "wal-neighbour",
        about: "import arrives and writes so much WAL that the commits of others wait for the disk",
        family: Family::Resource,
        truth: one(
            ("decision", "commit"),
            &[Cause {
                or_class: Some("io"),
                ..held("wal", Table::None, "import")
            }],
        ),
        settings: &[("fsync", "on")],
        tables: "CREATE TABLE pgjam_lab.decided (n integer NOT NULL);
            CREATE TABLE pgjam_lab.imported (n integer NOT NULL, text text NOT NULL);",
        plays: Plays::Event(|| {
            let decision = System::new("decision")
                .rate(30.0, 6)
                .draws(Draw::Between(1, 100))
                .runs(
                    "decided",
                    "INSERT INTO pgjam_lab.decided (n) VALUES ($1)",
                    &[0],
                );
            let import = System::new("import").again_after(ms(20), 3).runs(
                "import",
                "INSERT INTO pgjam_lab.imported \
                 SELECT n, repeat('x', 1000) FROM generate_series(1, 1000) AS n",
                &[],
            );
            vec![decision, import.at_event()]
        }),
        ..Scenario::LOCK
    },
    Scenario {
        name: "old-snapshot",
        about: "reporting arrives, reads once and leaves its transaction open: dead rows of a table that \
                is always written stay, and who reads it whole reads past them",
        family: Family::Resource,
        truth: one(
            ("decision", "waiting"),
            &[held(
                "horizon",
                Table::Is("pgjam_lab.job_state"),
                "reporting",
            )],
        ),
        tables: "CREATE TABLE pgjam_lab.job_state (
                id integer PRIMARY KEY, state integer NOT NULL DEFAULT 0
            ) WITH (fillfactor = 50);
            INSERT INTO pgjam_lab.job_state SELECT generate_series(1, 500);
            CREATE TABLE pgjam_lab.report_run (n integer NOT NULL);
            ANALYZE pgjam_lab.job_state;",
        plays: Plays::Event(|| {
            let decision = System::new("decision").rate(120.0, 8).runs(
                "waiting",
                "SELECT count(*) FROM pgjam_lab.job_state WHERE state < 1",
                &[],
            );
            let intake = System::new("intake")
                .again_after(ms(1), 2)
                .draws(Draw::Between(1, 500))
                .runs(
                    "state",
                    "UPDATE pgjam_lab.job_state SET state = state + 1 WHERE id = $1",
                    &[0],
                );
            let reporting = System::new("reporting")
                .says_first("SET default_transaction_isolation = 'repeatable read'")
                .once()
                .runs("run", "INSERT INTO pgjam_lab.report_run VALUES (1)", &[])
                .stays_away(ms(600_000));
            vec![decision, intake, reporting.at_event()]
        }),
        ..Scenario::LOCK
    },
    Scenario {
        name: "own-plan",
        about: "an index is dropped in the moment in which a harmless system arrives: lookups \
                become slow all by themselves",
        family: Family::Resource,
        truth: one(
            ("decision", "lookup"),
            &[Cause {
                class: "own-work",
                or_class: Some("cpu"),
                table: Table::Any,
                who: Who::Nobody,
                event: Event::NoArrival,
            }],
        ),
        tables: "CREATE TABLE pgjam_lab.lookup (code integer NOT NULL, text text NOT NULL);
            INSERT INTO pgjam_lab.lookup
                SELECT n, repeat('x', 40) FROM generate_series(1, 60000) AS n;
            CREATE INDEX lookup_code ON pgjam_lab.lookup (code);
            CREATE TABLE pgjam_lab.own_row (id integer PRIMARY KEY, n bigint NOT NULL DEFAULT 0)
                WITH (fillfactor = 10);
            INSERT INTO pgjam_lab.own_row SELECT generate_series(1, 50);
            ANALYZE pgjam_lab.lookup, pgjam_lab.own_row;",
        plays: Plays::Event(|| {
            let decision = System::new("decision")
                .rate(25.0, 6)
                .draws(Draw::Between(1, 60000))
                .runs(
                    "lookup",
                    "SELECT text FROM pgjam_lab.lookup WHERE code = $1",
                    &[0],
                );
            let drop = System::new("admin")
                .once()
                .runs("drop", "DROP INDEX pgjam_lab.lookup_code", &[])
                .takes_the_blame();
            let newcomer = minds_its_own("newcomer", 30.0, 3);
            vec![decision, drop.at_event(), newcomer.at_event()]
        }),
        ..Scenario::LOCK
    },
];

//! Nobody is in anybody's way: who is accused here is accused falsely.

use super::super::workload::{Draw, System};
use super::{COUNTERS, Family, LEDGER, Plays, Scenario, decision, minds_its_own, ms, one};

const DECISION: (&str, &str) = ("decision", "counter");

pub(super) const ALL: &[Scenario] = &[
    Scenario {
        name: "harmless-onboarding",
        about: "a system arrives and writes rows that nobody else writes",
        truth: one(DECISION, &[]),
        tables: COUNTERS,
        plays: Plays::Event(|| vec![decision(), minds_its_own("newcomer", 30.0, 3).at_event()]),
        ..NULL
    },
    Scenario {
        name: "more-traffic",
        about: "a system that was there doubles its traffic and its connections, on rows of its own",
        truth: one(("intake", "own"), &[]),
        tables: COUNTERS,
        plays: Plays::Event(|| {
            let intake = || minds_its_own("intake", 25.0, 4);
            vec![decision(), intake(), intake().at_event()]
        }),
        ..NULL
    },
    Scenario {
        name: "harmless-twins",
        about: "two systems that do the same arrive in the same moment, each on its own rows",
        truth: one(DECISION, &[]),
        tables: COUNTERS,
        plays: Plays::Event(|| {
            let twins = ["twin-a", "twin-b"].map(|name| minds_its_own(name, 20.0, 3).at_event());
            [vec![decision()], twins.into()].concat()
        }),
        ..NULL
    },
    Scenario {
        name: "loud-and-harmless",
        about: "six loud systems arrive at once, all on rows of their own",
        truth: one(DECISION, &[]),
        tables: COUNTERS,
        plays: Plays::Event(|| {
            let loud = (1..=6).map(|n| minds_its_own(format!("loud-{n}"), 25.0, 3).at_event());
            std::iter::once(decision()).chain(loud).collect()
        }),
        ..NULL
    },
    Scenario {
        name: "long-reader",
        about: "a reader arrives whose transactions last four seconds, and blocks nobody",
        truth: one(DECISION, &[]),
        tables: COUNTERS,
        plays: Plays::Event(|| {
            let reader = System::new("reader")
                .says_first("SET default_transaction_isolation = 'repeatable read'")
                .again_after(ms(500), 2)
                .runs("sum", "SELECT sum(decided) FROM pgjam_lab.counter", &[])
                .stays_away(ms(4000));
            vec![decision(), reader.at_event()]
        }),
        ..NULL
    },
    Scenario {
        name: "idle-but-alone",
        about: "a system arrives that is idle in its transactions, with rows that nobody else wants",
        truth: one(DECISION, &[]),
        tables: COUNTERS,
        plays: Plays::Event(|| {
            let alone = minds_its_own("alone", 8.0, 4).stays_away(ms(200));
            vec![decision(), alone.at_event()]
        }),
        ..NULL
    },
    Scenario {
        name: "autovacuum",
        about: "updates keep autovacuum at work, and a harmless system arrives",
        truth: one(DECISION, &[]),
        settings: &[
            ("autovacuum_naptime", "1s"),
            ("autovacuum_vacuum_threshold", "20"),
            ("autovacuum_vacuum_scale_factor", "0"),
            ("autovacuum_analyze_threshold", "20"),
            ("autovacuum_analyze_scale_factor", "0"),
        ],
        tables: COUNTERS,
        plays: Plays::Event(|| vec![decision(), minds_its_own("newcomer", 30.0, 3).at_event()]),
        ..NULL
    },
    Scenario {
        name: "checkpoints",
        about: "operator arrives and asks for a checkpoint every few seconds",
        truth: one(("booking", "booking"), &[]),
        tables: LEDGER,
        plays: Plays::Event(|| {
            let booking = System::new("booking")
                .rate(30.0, 6)
                .draws(Draw::Between(1, 5000))
                .runs(
                    "booking",
                    "UPDATE pgjam_lab.ledger SET amount = amount + 1 WHERE id = $1",
                    &[0],
                );
            let operator = System::new("operator")
                .one_by_one()
                .again_after(ms(4000), 1)
                .runs("checkpoint", "CHECKPOINT", &[]);
            vec![booking, operator.at_event()]
        }),
        ..NULL
    },
];

/// A scenario in which nobody may be accused, to be filled in.
const NULL: Scenario = Scenario {
    family: Family::Null,
    ..Scenario::LOCK
};

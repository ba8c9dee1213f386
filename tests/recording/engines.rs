//! Engines that are not ours come to the figures that a report prints.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use pgjam::lab::server::{Options, ThrowAway};
use postgres::{Client, NoTls};
use serde_json::{Value, json};

use crate::engine::{python, said};

/// What each of them is asked, and prints as JSON: ticks, missed ones, the time that they stand
/// for, what they took, losses by kind, and whose fault the time was.
///
/// As in a report, the time between two looks at the counters is what the ticks in it saw, for the
/// little that they do not cover as well; where they cover less than half of it nothing is said.
const FIGURES: &str = r#"
import json
import sys
from bisect import bisect_right
from collections import defaultdict
from itertools import pairwise

folder = sys.argv[1]


def tell(sums, looks, ticks, losses, charges):
    looks = sorted(looks)
    pieces = list(pairwise(looks))
    watched = [
        sum(max(0, min(at - place + span, end) - max(at - place, begin)) for at, place, span in ticks)
        for begin, end in pieces
    ]
    seconds = defaultdict(float)
    for at, *names, spent in charges:
        piece = bisect_right(looks, at) - 1
        if 0 <= piece < len(pieces):
            begin, end = pieces[piece]
            if watched[piece] <= (end - begin) / 2:
                continue
            seconds[tuple(names)] += spent * (end - begin) / watched[piece] / 1e6
    [missed, span_us, server_us] = map(int, sums)
    print(json.dumps({
        "ticks": len(ticks), "missed": missed, "watched_us": span_us, "server_us": server_us,
        "losses": {kind: int(count) for kind, count in losses},
        "charges": [[*names, spent] for names, spent in seconds.items()],
    }))
"#;

const IN_SQL: &str = r#"
whole = lambda rows: [[int(value) for value in row] for row in rows]
tell(
    ask(f"SELECT sum(missed), sum(span_us), sum(server_us) FROM {rows('ticks')}")[0],
    [look for [look] in whole(ask(f"SELECT {at_us} FROM {rows('looks')}"))],
    whole(ask(f"SELECT {at_us}, place_us, span_us FROM {rows('ticks')}")),
    ask(f"SELECT kind, sum(count) FROM {rows('losses')} GROUP BY kind"),
    [[int(at), *names, int(spent)] for at, *names, spent in ask(
        f"""SELECT {at_us}, class, table_name, blocker_system, sum(spent_us)
        FROM {rows('charges')} GROUP BY "at", class, table_name, blocker_system"""
    )],
)
"#;

const DUCKDB: &str = r#"
import duckdb

ask = lambda question: duckdb.sql(question).fetchall()
rows = lambda table: f"read_parquet('{folder}/{table}/*/*/*/*.parquet', hive_partitioning = true)"
at_us = 'epoch_us("at")'
"#;

const CHDB: &str = r#"
import chdb

ask = lambda question: json.loads(str(chdb.query(question, "JSONCompact")))["data"]
rows = lambda table: f"file('{folder}/{table}/*/*/*/*.parquet', Parquet)"
at_us = 'toUnixTimestamp64Micro("at")'
"#;

const PANDAS: &str = r#"
import pandas

looks, ticks, losses, charges = [
    pandas.read_parquet(f"{folder}/{table}") for table in ["looks", "ticks", "losses", "charges"]
]
for rows in [looks, ticks, charges]:
    rows["at"] = rows["at"].astype("int64")
by = ["at", "class", "table_name", "blocker_system"]
spent = charges.groupby(by, dropna=False)["spent_us"].sum().reset_index()
spent = spent.astype(object).where(spent.notna(), None)
tell(
    [ticks[column].sum() for column in ["missed", "span_us", "server_us"]],
    looks["at"].tolist(),
    ticks[["at", "place_us", "span_us"]].values.tolist(),
    losses.groupby("kind")["count"].sum().items(),
    spent.values.tolist(),
)
"#;

/// A jam of some seconds, recorded, and the report of it.
fn jam(to: &Path) -> Value {
    let server = ThrowAway::start(&Options {
        fsync: false,
        ..Options::default()
    })
    .unwrap();
    let session = |system: &str| -> Client {
        let mut config: postgres::Config = server.dsn("postgres", "postgres").parse().unwrap();
        config.application_name(system).connect(NoTls).unwrap()
    };
    let mut holder = session("sync");
    let hold = "CREATE TABLE hot (id int PRIMARY KEY, n int); INSERT INTO hot VALUES (1, 0), (2, 0);
                CREATE TABLE cold (id int); BEGIN; UPDATE hot SET n = 1 WHERE id = 1; LOCK TABLE cold";
    let split = hold.find("BEGIN").unwrap();
    holder.batch_execute(&hold[..split]).unwrap();
    holder.batch_execute(&hold[split..]).unwrap();
    // What does not fit is a loss, so that there are some.
    let too_long = format!("SELECT * FROM cold /* {} */", "why ".repeat(500));
    let waits = [
        ("decision", "UPDATE hot SET n = 2 WHERE id = 1"),
        ("decision", "UPDATE hot SET n = 3 WHERE id = 1"),
        ("intake", "UPDATE hot SET n = 4 WHERE id = 1"),
        ("audit", too_long.as_str()),
    ];
    let waits = waits.map(|(system, sql)| {
        let (mut waiter, sql) = (session(system), sql.to_owned());
        std::thread::spawn(move || waiter.batch_execute(&sql).unwrap())
    });
    let (dsn, to) = (server.dsn("postgres", "postgres"), to.to_str().unwrap());
    let pgjam = || Command::new(env!("CARGO_BIN_EXE_pgjam"));
    let watch = [
        "diagnose",
        "--duration",
        "4s",
        "--hz",
        "20",
        "--dsn",
        &dsn,
        "--record",
        to,
    ];
    said(pgjam().args(watch));
    drop(holder);
    for waits in waits {
        waits.join().unwrap();
    }
    let report = said(pgjam().args(["report", to, "--format", "json"]));
    serde_json::from_str(&report).unwrap()
}

/// Holds an engine's figures against those of a report.
#[track_caller]
fn check(told: &Value, report: &Value) {
    let window = &report["window"];
    assert_eq!(told["ticks"], window["ticks"]);
    assert_eq!(told["missed"], window["missed_ticks"]);
    let close = |left: f64, right: &Value| {
        let right = right.as_f64().unwrap();
        assert!(
            (left - right).abs() < 1e-6 * right.abs(),
            "{left} is not {right}"
        );
    };
    let number = |value: &Value| value.as_f64().unwrap();
    close(number(&told["watched_us"]) / 1e3, &window["watched_ms"]);
    let a_tick = number(&told["server_us"]) / 1e3 / number(&told["ticks"]);
    close(a_tick, &report["cost"]["server_ms_per_tick"]);
    assert_eq!(told["losses"], report["losses"]);

    // Of several systems that one makes wait for a table there may be one finding, or one each.
    let mut seconds: BTreeMap<String, f64> = BTreeMap::new();
    for finding in report["findings"].as_array().unwrap() {
        let cause = &finding["cause"];
        let key = [
            &cause["class"],
            &cause["table"],
            &cause["blocker"]["system"],
        ];
        *seconds.entry(json!(key).to_string()).or_default() += number(&finding["db_seconds"]);
    }
    for key in [
        json!(["row-lock", "public.hot", "sync"]),
        json!(["relation-lock", "public.cold", "sync"]),
    ] {
        assert!(seconds.contains_key(&key.to_string()), "{seconds:?}");
    }
    let charges = told["charges"].as_array().unwrap().iter();
    let charges: BTreeMap<String, f64> = charges
        .map(|row| {
            let row = row.as_array().unwrap();
            (json!(row[..3]).to_string(), number(&row[3]))
        })
        .collect();
    for (key, seconds) in seconds {
        let of_it = charges.get(&key);
        let of_it = of_it.unwrap_or_else(|| panic!("no charge is {key}: {charges:?}"));
        close(*of_it, &json!(seconds));
    }
}

#[test]
fn other_engines_count_and_sum_what_the_report_says() {
    let folder = tempfile::tempdir().unwrap();
    let to = folder.path().join("recording");
    let report = jam(&to);
    for (packages, question) in [
        (&["duckdb==2.0.1"][..], [DUCKDB, IN_SQL].concat()),
        (&["chdb==4.4.0"], [CHDB, IN_SQL].concat()),
        (&["pandas==2.3.3", "pyarrow==26.0.1"], PANDAS.to_owned()),
    ] {
        let question = [FIGURES, &question].concat();
        let mut asked = Command::new(python(packages));
        let told = said(asked.args(["-c", &question]).arg(&to));
        check(&serde_json::from_str(&told).unwrap(), &report);
    }
}

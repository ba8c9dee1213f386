//! The table of every sampled row-lock wait, compared with what the server logs.
//!
//! With `log_lock_waits` the server writes for each wait what it was doing, and in which
//! relation: `while updating tuple (0,1) in relation "account"`. Applications wait for each
//! other in every way, the live source looks on, and each wait that it saw is looked up in
//! the log.
//!
//! A plain `cargo test --test tables` judges a fixed number of waits on each version. The long
//! form judges more, and prints what came of them:
//!
//! ```sh
//! PGJAM_TABLE_WAITS=10000 cargo test --release --test tables
//! PGJAM_TABLE_WAITS=10000 cargo test --release --test tables -- on_15
//! ```

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::print_stdout, reason = "the figures are what it is run for")]

mod load;
mod log;
#[path = "../majors/mod.rs"]
mod majors;

use std::collections::{BTreeMap, HashMap};
use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use libtest_mimic::Trial;
use pgjam::graph::{Rung, Table, WaitGraph};
use pgjam::lab::server::{Options as ServerOptions, ThrowAway};
use pgjam::names::{Names, Statements};
use pgjam::sample::live::{Options, Source};
use pgjam::sample::pace::Cadence;
use pgjam::sample::{Lock, Name, Snapshot, StatementText};
use postgres::{Config, NoTls};

use crate::load::Load;
use crate::log::{Context, Log, Logged};
use crate::majors::{binaries, on_each};

/// How many row-lock waits are judged on each version unless `PGJAM_TABLE_WAITS` says another
/// number.
const WAITS: usize = 700;

/// How long a hundred of them may take.
const PATIENCE: Duration = Duration::from_secs(10);

fn main() -> ExitCode {
    let mut trials = vec![Trial::test("a_wait_is_read_with_its_context", || {
        log::a_wait_is_read_with_its_context();
        Ok(())
    })];
    let all = Arc::new(Mutex::new(Tally::default()));
    let sum = Arc::clone(&all);
    trials.extend(on_each(
        "the_table_of_a_row_lock_wait_is_the_one_in_the_servers_log",
        move |major| {
            let judged = the_table_of_a_row_lock_wait_is_the_one_in_the_servers_log(major);
            let mut sum = sum.lock().unwrap();
            *sum = sum.and(&judged);
        },
    ));
    let conclusion = majors::run(trials);
    let all = all.lock().unwrap();
    if all.waits > 0 {
        let Tally {
            waits,
            right,
            wrong,
            ..
        } = *all;
        println!("All versions: of {waits} waits the table of {right} is right, of {wrong} wrong");
        assert!(right * 100 >= waits * 99, "less than 99 % are right");
    }
    conclusion.exit_code()
}

fn the_table_of_a_row_lock_wait_is_the_one_in_the_servers_log(major: u32) -> Tally {
    let long = std::env::var("PGJAM_TABLE_WAITS").ok();
    let wanted = long
        .as_ref()
        .map_or(WAITS, |number| number.parse().unwrap());
    let server = start(major);
    let tables = tables_of_relations(&server);
    let load = Load::start(&server, 20, 7);
    let watched = watch(&server, wanted);
    drop(load);
    let log = std::fs::read_to_string(server.log_path()).unwrap();
    server.stop().unwrap();

    let score = judge(&watched, &log::read(&log), &tables);
    if long.is_some() {
        println!("PostgreSQL {major}\n{score}");
    }
    let judged = score.total();
    assert!(judged.waits * 2 > wanted, "too few waits are in the log");
    let share = |part: usize| part as f64 / judged.waits as f64;
    // Of all versions together more is asked, of more waits.
    assert!(share(judged.right) >= 0.98, "{score}");
    assert!(share(judged.wrong) <= 0.002, "{score}");
    assert!(score.rows_right * 100 >= score.rows * 99, "{score}");
    judged
}

fn start(major: u32) -> ThrowAway {
    let settings = [
        ("log_lock_waits", "on"),
        ("deadlock_timeout", "1ms"),
        ("log_line_prefix", log::PREFIX),
        ("lc_messages", "C"),
        ("compute_query_id", "on"),
        ("synchronous_commit", "off"),
    ];
    let server = ThrowAway::start(&ServerOptions {
        pg_bin: Some(binaries(major)),
        fsync: false,
        settings: settings
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect(),
        ..ServerOptions::default()
    })
    .unwrap();
    let config: Config = server.dsn("postgres", "postgres").parse().unwrap();
    let mut client = config.connect(NoTls).unwrap();
    client.batch_execute(load::SCHEMA).unwrap();
    server
}

/// Gives the table of each relation by its name, as the log has it.
fn tables_of_relations(server: &ThrowAway) -> HashMap<String, String> {
    let config: Config = server.dsn("postgres", "postgres").parse().unwrap();
    let mut client = config.connect(NoTls).unwrap();
    let rows = client.query(
        "select c.relname::text, t.relnamespace::regnamespace || '.' || t.relname
           from pg_class c
           left join pg_index i on i.indexrelid = c.oid
           join pg_class t on t.oid = coalesce(i.indrelid, c.oid)",
        &[],
    );
    let rows = rows.unwrap();
    rows.iter().map(|row| (row.get(0), row.get(1))).collect()
}

/// What a watch saw.
struct Watched {
    snapshots: Vec<Snapshot>,
    names: Vec<Name>,
    statements: Vec<StatementText>,
}

fn watch(server: &ThrowAway, wanted: usize) -> Watched {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let mut config: tokio_postgres::Config =
            server.dsn("postgres", "postgres").parse().unwrap();
        config.application_name("pgjam");
        let (client, connection) = config.connect(tokio_postgres::NoTls).await.unwrap();
        let connection = tokio::spawn(connection);
        client
            .batch_execute("set client_encoding = 'SQL_ASCII'")
            .await
            .unwrap();
        let options = Options {
            cadence: Cadence::Fixed(40.0),
            budget: 1.0,
            ..Options::default()
        };
        let mut source = Source::new(&client, options).await.unwrap();
        let mut watched = Watched {
            snapshots: Vec::new(),
            names: Vec::new(),
            statements: Vec::new(),
        };
        let begun = Instant::now();
        let mut seen = 0;
        while seen < wanted {
            let allowed = PATIENCE.mul_f64(1.0 + wanted as f64 / 100.0);
            assert!(
                begun.elapsed() < allowed,
                "only {seen} waits in {allowed:?}"
            );
            let snapshot = source.tick().await.unwrap();
            watched.names.extend(source.names(&snapshot).await);
            watched.statements.extend(source.learned());
            seen += snapshot
                .locks
                .iter()
                .filter(|lock| is_for_a_row(lock))
                .count();
            watched.snapshots.push(snapshot);
        }
        connection.abort();
        watched
    })
}

/// Tells whether an entry is a request that a row stands behind.
fn is_for_a_row(lock: &Lock) -> bool {
    let kind = &*lock.target.locktype;
    !lock.granted && matches!(kind, "transactionid" | "tuple" | "spectoken")
}

/// How often an answer was right.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    waits: usize,
    right: usize,
    wrong: usize,
    unresolved: usize,
}

#[derive(Debug, Default)]
struct Score {
    /// By rung, and by what the server was doing; the unresolved ones have no rung.
    by: BTreeMap<(Option<Rung>, String), Tally>,
    /// Waits that the log does not have: shorter than it can tell, or without a context.
    unlogged: usize,
    /// Rows that were named, and those of them that the log has too.
    rows: usize,
    rows_right: usize,
    examples: Vec<String>,
}

impl Score {
    fn total(&self) -> Tally {
        let tallies = self.by.values();
        tallies.fold(Tally::default(), |sum, tally| sum.and(tally))
    }
}

impl Tally {
    fn and(&self, other: &Self) -> Self {
        Self {
            waits: self.waits + other.waits,
            right: self.right + other.right,
            wrong: self.wrong + other.wrong,
            unresolved: self.unresolved + other.unresolved,
        }
    }
}

impl std::fmt::Display for Score {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(
            f,
            "rung        the server was        waits  right  wrong  unresolved"
        )?;
        let all = (None, "all".to_owned());
        for ((rung, doing), tally) in self.by.iter().chain([(&all, &self.total())]) {
            let rung = rung.map_or_else(String::new, |rung| format!("{rung:?}"));
            let Tally {
                waits,
                right,
                wrong,
                unresolved,
            } = tally;
            writeln!(
                f,
                "{rung:<11} {doing:<20} {waits:>6} {right:>6} {wrong:>6} {unresolved:>11}"
            )?;
        }
        let Self {
            rows_right,
            rows,
            unlogged,
            ..
        } = self;
        writeln!(
            f,
            "rows named: {rows_right} right of {rows}; waits not in the log: {unlogged}"
        )?;
        for example in &self.examples {
            writeln!(f, "{example}")?;
        }
        Ok(())
    }
}

/// Looks up every row-lock wait in the log.
fn judge(watched: &Watched, log: &Log, tables: &HashMap<String, String>) -> Score {
    let names = Names::of(&watched.names);
    let statements = Statements::of(&watched.statements);
    let mut score = Score::default();
    for snapshot in &watched.snapshots {
        let graph = WaitGraph::of(snapshot);
        for request in snapshot.locks.iter().filter(|lock| is_for_a_row(lock)) {
            let pid = request.pid.unwrap();
            let Some(truth) = logged(log, request, snapshot) else {
                score.unlogged += 1;
                continue;
            };
            let node = graph.find(pid).unwrap();
            let mut waits = graph.waits(node).iter();
            let wait = waits
                .find(|wait| std::ptr::eq(wait.request, request))
                .unwrap();
            let table = graph.table(node, wait, &names, &statements);
            let right = match &truth.context {
                Some(context) => tables[&context.relation].clone(),
                // The log names the table of a tuple lock by its oid, and so do we.
                None if &*request.target.locktype == "tuple" => {
                    let relation = request.target.relation.unwrap();
                    names
                        .table(request.target.database.unwrap(), relation)
                        .unwrap()
                        .to_string()
                }
                None => {
                    score.unlogged += 1;
                    continue;
                }
            };
            score.count(table.as_ref(), &right, truth.context.as_ref());
            let is_right = table.as_ref().is_some_and(|table| *table.name == *right);
            if !is_right && score.examples.len() < 12 {
                let session = graph.session(node).unwrap();
                let statement = session.statement.and_then(|id| statements.get(id));
                let text = statement.map_or("?", |statement| &statement.text);
                let late = request
                    .waitstart
                    .is_none_or(|since| since > snapshot.tick.at);
                score.examples.push(format!(
                    "{right}: {:?} by {text}{}; {:?}",
                    table.map(|table| table.name),
                    if late { " (began during the look)" } else { "" },
                    truth.context,
                ));
            }
        }
    }
    score
}

impl Score {
    fn count(&mut self, table: Option<&Table>, right: &str, context: Option<&Context>) {
        let doing = context.map_or("queueing", |context| &context.doing);
        let rung = table.map(|table| table.rung);
        let tally = self.by.entry((rung, doing.to_owned())).or_default();
        tally.waits += 1;
        match table {
            None => tally.unresolved += 1,
            Some(table) if *table.name == *right => tally.right += 1,
            Some(_) => tally.wrong += 1,
        }
        if let (Some(row), Some(context)) = (table.and_then(|table| table.row), context) {
            self.rows += 1;
            self.rows_right += usize::from(row.to_string() == context.row);
        }
    }
}

/// Finds the wait that a request is, by who waits for what and when.
fn logged<'l>(log: &'l Log, request: &Lock, snapshot: &Snapshot) -> Option<&'l Logged> {
    let target = &request.target;
    let said = match &*target.locktype {
        "transactionid" => format!("transaction {}", target.transactionid?),
        "tuple" => format!(
            "tuple ({},{}) of relation {} of database {}",
            target.page?, target.tuple?, target.relation?, target.database?
        ),
        _ => format!(
            "speculative token {} of transaction {}",
            target.objid?, target.transactionid?
        ),
    };
    let waits = log.get(&(request.pid?.0, said))?;
    // The log rounds to the millisecond, and the look takes some.
    let from = snapshot.tick.at.as_micros() as f64 / 1e6 - 0.003;
    let to = from + snapshot.tick.server.as_secs_f64() + 0.006;
    waits
        .iter()
        .find(|wait| wait.began <= to && wait.ended.is_none_or(|ended| ended >= from))
}

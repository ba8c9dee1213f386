//! What a look costs the server, beside what else one would ask it.
//!
//! ```text
//! cargo bench --bench server                      about two minutes
//! cargo bench --bench server -- --quick           fewer rounds
//! cargo bench --bench server -- --pg-bin DIR …    the servers in these folders, one after the other
//! ```
//! - Real sessions wait for one row of a throw-away server. In each round every question is
//!   put once, in an order that rotates, through one connection: all meet the same server.
//! - A look is the live source's own: its statement, its parameters, its session.
//! - Figures are processor time of the observer's backend, see [`meter`]; where the system
//!   tells none they are elapsed time, and the heading says so.
//! - A figure is a median, with the 10th and 90th percentile; a ratio is the median of the
//!   ratios of the rounds.
//! - On a quiet server a look must leave the lock table alone: what was executed says so, or
//!   this fails.

#![expect(clippy::print_stdout, reason = "a benchmark is there to be read")]

mod crowd;
mod meter;
mod observer;
mod table;

use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context as _, bail, ensure};
use pgjam::connect::{Environment, Target};
use pgjam::graph::WaitGraph;
use pgjam::lab::server::{Options, ThrowAway, stop_on_signals};

use crowd::Crowd;
use observer::{Observer, Question, milliseconds};
use table::{Figures, Table};

/// How many sit idle on the quiet server.
const IDLE: [usize; 2] = [100, 500];

/// How many wait for the row.
const QUEUES: [usize; 5] = [10, 100, 300, 600, 1_000];

/// What else is locked, in the way of nobody: every reading of the lock table passes it.
const BYSTANDER: &str =
    "begin; select count(pg_advisory_xact_lock(n)) from generate_series(1, 20000) n";

/// A row to queue for; and a table of which every insert locks 18 relations, so that a thousand
/// that wait for one key bring 20,000 lock entries.
const TABLES: &str = "create table hot (id int primary key, n int);
    insert into hot values (1, 0);
    create table wide (id int unique, n int);
    do $$ begin
        for n in 1..16 loop execute 'create index on wide (n)'; end loop;
    end $$";

const UPDATE: &str = "update hot set n = n + 1 where id = 1";
const INSERT: &str = "insert into wide values (1, 0)";

/// What was asked for on the command line.
struct Plan {
    servers: Vec<Option<PathBuf>>,
    quick: bool,
}

impl Plan {
    fn from_arguments() -> anyhow::Result<Self> {
        let mut plan = Self {
            servers: Vec::new(),
            quick: false,
        };
        let mut arguments = std::env::args_os().skip(1);
        while let Some(argument) = arguments.next() {
            match argument.to_str() {
                // Cargo says so to every benchmark.
                Some("--bench") => {}
                Some("--quick") => plan.quick = true,
                Some("--pg-bin") => {
                    let folder = arguments.next().context("--pg-bin wants a folder")?;
                    plan.servers.push(Some(folder.into()));
                }
                _ => bail!("{} is neither --quick nor --pg-bin DIR", argument.display()),
            }
        }
        if plan.servers.is_empty() {
            plan.servers.push(None);
        }
        Ok(plan)
    }

    /// Says how often each question is put with so many sessions around.
    const fn rounds(&self, sessions: usize) -> usize {
        match sessions {
            _ if self.quick => 7,
            0..=300 => 41,
            301..=600 => 31,
            _ => 21,
        }
    }
}

fn main() -> anyhow::Result<()> {
    let plan = Plan::from_arguments()?;
    stop_on_signals()?;
    crowd::allow_many_sockets();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    for folder in &plan.servers {
        // Nobody else works: no vacuum, and no waiter wakes up to look for a deadlock.
        let settings = [("autovacuum", "off"), ("deadlock_timeout", "1h")];
        let server = ThrowAway::start(&Options {
            pg_bin: folder.clone(),
            max_connections: 1_100,
            fsync: false,
            settings: settings
                .map(|(name, value)| (name.into(), value.into()))
                .into(),
            ..Options::default()
        })?;
        server.connect("postgres")?.batch_execute(TABLES)?;
        runtime.block_on(measure(&server, &plan))?;
        server.stop()?;
    }
    Ok(())
}

async fn measure(server: &ThrowAway, plan: &Plan) -> anyhow::Result<()> {
    let dsn = server.dsn("postgres", "postgres");
    let target = Target::resolve(Some(&dsn), &Environment::bare())?;
    let session = target.connect().await?;
    let mut observer = Observer::new(session.client()).await?;
    println!("PostgreSQL {}", observer.version);
    println!(
        "{}",
        if observer.has_meter() {
            "Milliseconds of processor time of the observer's backend (/proc/PID/schedstat),\n\
             median (10th-90th percentile); × is how many times as much as a look."
        } else {
            "This system tells no processor time of another process (Linux does), so these are\n\
             milliseconds of ELAPSED time: they hold waits for a processor and compare badly."
        }
    );
    quiet(server, plan, &mut observer).await?;
    storm(server, plan, &mut observer).await?;
    keys(server, plan, &mut observer).await?;
    println!();
    drop(observer);
    session.close().await;
    Ok(())
}

/// Looks at a server on which nobody waits.
async fn quiet(server: &ThrowAway, plan: &Plan, observer: &mut Observer<'_>) -> anyhow::Result<()> {
    let table = Table::headed("nobody waits", ["a look", "pg_lock_status"], [18, 16]);
    let mut crowd = Crowd::of(server);
    for count in IDLE {
        while crowd.len() < count {
            crowd.join("select 1")?;
        }
        let idle = "application_name = 'crowd' and state = 'idle'";
        observer.until(idle, count).await?;
        warm_up(observer).await?;
        let mut looks = Figures::default();
        for _ in 0..plan.rounds(count) {
            looks.add(observer.look().await?.0.server);
        }
        let calls = observer.lock_table_calls().await?;
        ensure!(
            calls.iter().all(|call| call.contains("never executed")),
            "a look at a quiet server reads the lock table: {calls:#?}"
        );
        let cells = [looks.to_string(), "never executed".to_owned()];
        table.row(&format!("{count} idle sessions"), &cells);
    }
    disperse(crowd, observer).await
}

/// Looks at a queue for a row as it grows, and asks what else one would ask.
async fn storm(server: &ThrowAway, plan: &Plan, observer: &mut Observer<'_>) -> anyhow::Result<()> {
    let headings = [
        "a look",
        "µs a waiter",
        "pg_blocking_pids()",
        "×",
        "self-join",
        "×",
        "its holders alone",
        "×",
    ];
    let widths = [18, 11, 18, 5, 18, 5, 18, 5];
    let table = Table::headed("a queue for one row", headings, widths);
    let mut crowd = Crowd::of(server);
    crowd.join(&format!("begin; {UPDATE}"))?;
    observer.until("state = 'idle in transaction'", 1).await?;
    for waiters in QUEUES {
        while crowd.len() <= waiters {
            crowd.join(UPDATE)?;
        }
        observer.until("wait_event_type = 'Lock'", waiters).await?;
        let cells = compare(waiters, plan, observer).await?;
        table.row(&format!("{waiters} waiters"), &cells);
    }
    crowd.join(BYSTANDER)?;
    observer.until("state = 'idle in transaction'", 2).await?;
    let cells = compare(1_000, plan, observer).await?;
    table.row("and 20,000 other locks", &cells);
    disperse(crowd, observer).await
}

/// Puts all questions in turn, round after round.
async fn compare(
    waiters: usize,
    plan: &Plan,
    observer: &mut Observer<'_>,
) -> anyhow::Result<[String; 8]> {
    warm_up(observer).await?;
    let mut figures: [Figures; 4] = Default::default();
    for round in 0..plan.rounds(waiters) {
        for turn in 0..figures.len() {
            let which = (round + turn) % figures.len();
            let cost = match which {
                0 => observer.look().await?.0,
                1 => observer.ask(Question::Function).await?,
                2 => observer.ask(Question::SelfJoin).await?,
                _ => observer.ask(Question::Holders).await?,
            };
            figures[which].add(cost.server);
        }
    }
    let [look, function, self_join, holders] = &figures;
    Ok([
        look.to_string(),
        format!("{:.1}", look.median() * 1e3 / waiters as f64),
        function.to_string(),
        function.times(look),
        self_join.to_string(),
        self_join.times(look),
        holders.to_string(),
        holders.times(look),
    ])
}

/// Looks at those who wait for one key, with all that they have locked, from both ends of
/// the connection, and reads the graph off what came.
async fn keys(server: &ThrowAway, plan: &Plan, observer: &mut Observer<'_>) -> anyhow::Result<()> {
    let headings = ["a look", "lock rows", "to decode it", "graph, roots"];
    let table = Table::headed("a queue for one key", headings, [18, 11, 18, 18]);
    let mut crowd = Crowd::of(server);
    crowd.join(&format!("begin; {INSERT}"))?;
    observer.until("state = 'idle in transaction'", 1).await?;
    for waiters in QUEUES {
        while crowd.len() <= waiters {
            crowd.join(INSERT)?;
        }
        observer.until("wait_event_type = 'Lock'", waiters).await?;
        warm_up(observer).await?;
        let mut figures: [Figures; 3] = Default::default();
        let mut rows = 0;
        for _ in 0..plan.rounds(waiters) {
            let (cost, snapshot) = observer.look().await?;
            let begun = Instant::now();
            let graph = WaitGraph::of(&snapshot);
            ensure!(graph.roots().len() == 1, "one session holds the key");
            let [look, decode, graph] = &mut figures;
            graph.add(milliseconds(begun.elapsed()));
            look.add(cost.server);
            decode.add(cost.client.unwrap_or(f64::NAN));
            rows = snapshot.locks.len();
        }
        let [look, decode, graph] = figures.map(|figures| figures.to_string());
        let about = format!("{waiters} waiters");
        table.row(&about, &[look, rows.to_string(), decode, graph]);
    }
    disperse(crowd, observer).await
}

/// Lets the server settle on a plan, and the source learn the statements.
async fn warm_up(observer: &mut Observer<'_>) -> anyhow::Result<()> {
    for _ in 0..8 {
        observer.look().await?;
    }
    Ok(())
}

/// Ends all sessions of a crowd and waits until they are gone.
async fn disperse(crowd: Crowd<'_>, observer: &Observer<'_>) -> anyhow::Result<()> {
    // Who waits for a lock does not notice that its client is gone.
    observer.end("crowd").await?;
    drop(crowd);
    observer.until("application_name = 'crowd'", 0).await
}

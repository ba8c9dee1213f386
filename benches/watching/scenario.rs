//! The servers that are watched: one that idles, two that work, one in a storm.

use std::str::FromStr;
use std::time::{Duration, Instant};

use anyhow::{bail, ensure};
use pgjam::lab::server::{Options, ThrowAway};

use crate::Plan;
use crate::crowd::Crowd;
use crate::figures::{Mean, quantile};
use crate::pgbench::{self, Load, Told, Work};
use crate::slice::{self, Slice};
use crate::watcher::Watcher;
use crate::writes;

/// How many sit on each server and say nothing.
const IDLE: usize = 500;

/// How many fight for one row in the storm.
const FIGHTERS: u32 = 400;

/// How often a watch looks at tables, databases, settings and the server's own counters: slices are
/// shorter than that, and what it takes is told beside them.
const AROUND_EVERY: Duration = Duration::from_secs(10);

/// The share of a core that a watch may take at ten looks a second, and at the pace of a server
/// on which nobody waits.
const LIMITS: [(Option<f64>, f64); 2] = [(Some(10.0), 0.02), (None, 0.003)];

/// What the server is busy with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scenario {
    Idle,
    Saturated,
    Paced,
    Storm,
}

impl Scenario {
    pub(crate) const ALL: [Self; 4] = [Self::Idle, Self::Saturated, Self::Paced, Self::Storm];

    const fn about(self) -> &'static str {
        match self {
            Self::Idle => "500 idle sessions",
            Self::Saturated => "8 clients as fast as they can",
            Self::Paced => "300 transactions a second",
            Self::Storm => "400 clients for one row",
        }
    }

    const fn work(self) -> Option<Work> {
        match self {
            Self::Idle => None,
            Self::Saturated => Some(Work {
                clients: 8,
                rate: None,
                script: None,
            }),
            Self::Paced => Some(Work {
                clients: 16,
                rate: Some(300),
                script: None,
            }),
            Self::Storm => Some(Work {
                clients: FIGHTERS,
                rate: None,
                script: Some("update hot set n = n + 1 where id = 1;\n"),
            }),
        }
    }
}

impl FromStr for Scenario {
    type Err = anyhow::Error;

    fn from_str(name: &str) -> anyhow::Result<Self> {
        Ok(match name {
            "idle" => Self::Idle,
            "saturated" => Self::Saturated,
            "paced" => Self::Paced,
            "storm" => Self::Storm,
            _ => bail!("{name} is none of idle, saturated, paced, storm"),
        })
    }
}

/// Starts a server, lets all take turns on it, and prints what they cost.
pub(crate) fn measure(scenario: Scenario, plan: &Plan) -> anyhow::Result<()> {
    let server = start(plan)?;
    let mut control = server.connect("postgres")?;
    control.batch_execute(
        "create table hot (id int primary key, n int) with (fillfactor = 10);
         insert into hot values (1, 0)",
    )?;
    let mut crowd = Crowd::of(&server);
    while crowd.len() < IDLE {
        crowd.join("select 1")?;
    }
    until_idle(&server)?;
    let watchers = Watcher::all(&plan.pg_activity);
    if scenario == Scenario::Idle {
        let version: String = control
            .query_one("select current_setting('server_version')", &[])?
            .get(0);
        println!("PostgreSQL {version}, {IDLE} sessions that say nothing on every server");
        writes::count(&server, &watchers, plan.slice() * 3)?;
    }
    let load = match scenario.work() {
        None => None,
        Some(work) => {
            if work.script.is_none() {
                pgbench::initialize(&server, 20)?;
            }
            Some(Load::start(&server, work)?)
        }
    };
    let settles = match scenario {
        Scenario::Idle => slice::SETTLE_FOR_GOOD,
        _ => slice::SETTLE,
    };
    let slices = slice::rounds(&server, &watchers, plan.pairs, [settles, plan.slice()])?;
    let told = load.map(Load::end).transpose()?;
    print(scenario, &watchers, &slices, told.as_ref());
    if scenario == Scenario::Idle {
        let lasts = AROUND_EVERY * if plan.quick { 1 } else { 6 };
        for watcher in watchers
            .iter()
            .filter(|it| matches!(it, Watcher::Record(_)))
        {
            let slice = slice::take(&server, &mut control, watcher, [settles, lasts])?;
            println!(
                "{watcher}: {:.2} % in {} s, what it looks at every {} s included",
                slice.backends * 100.0,
                lasts.as_secs(),
                AROUND_EVERY.as_secs()
            );
        }
    }
    drop(control);
    drop(crowd);
    server.stop()?;
    Ok(())
}

fn start(plan: &Plan) -> anyhow::Result<ThrowAway> {
    // Nobody else works or writes: no vacuum, no checkpoint, no picture of transactions for standbys.
    let settings = [
        ("autovacuum", "off"),
        ("checkpoint_timeout", "1d"),
        ("max_wal_size", "20GB"),
        ("wal_level", "minimal"),
        ("max_wal_senders", "0"),
    ];
    Ok(ThrowAway::start(&Options {
        pg_bin: plan.pg_bin.clone(),
        max_connections: 1_100,
        fsync: false,
        settings: settings
            .map(|(name, value)| (name.into(), value.into()))
            .into(),
        ..Options::default()
    })?)
}

fn until_idle(server: &ThrowAway) -> anyhow::Result<()> {
    let mut control = server.connect("postgres")?;
    let begun = Instant::now();
    let sql =
        "select count(*) from pg_stat_activity where application_name = 'crowd' and state = 'idle'";
    while usize::try_from(control.query_one(sql, &[])?.get::<_, i64>(0))? < IDLE {
        ensure!(begun.elapsed() < Duration::from_mins(1), "not all connect");
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// Prints a line for each watcher.
fn print(scenario: Scenario, watchers: &[Watcher], slices: &[Vec<Slice>], told: Option<&Told>) {
    let effect = match scenario {
        Scenario::Idle => "rest of the server, %",
        Scenario::Saturated | Scenario::Storm => "throughput, times nobody's",
        Scenario::Paced => "p99 added, ms",
    };
    println!();
    println!(
        "{:<26}  {:>7}  {:>16}  {:>16}  {:>8}  {effect:>26}",
        scenario.about(),
        "looks/s",
        "its sessions, %",
        "its process, %",
        "peak MiB"
    );
    let nobodys = effects(scenario, &slices[0], told);
    for (watcher, slices) in watchers.iter().zip(slices) {
        let percent = |figures: Vec<f64>| {
            let percents: Vec<f64> = figures.iter().map(|share| share * 100.0).collect();
            shown(Mean::of(&percents))
        };
        let backends = match watcher.application() {
            Some(_) => percent(slices.iter().map(|slice| slice.backends).collect()),
            None => "-".to_owned(),
        };
        let own = percent(slices.iter().filter_map(|slice| slice.own).collect());
        let looks: Vec<f64> = slices.iter().filter_map(|slice| slice.looks).collect();
        let looks = Mean::of(&looks).map(|looks| format!("{:.1}", looks.value));
        let memory = slices.iter().filter_map(|slice| slice.memory);
        let memory = memory.reduce(f64::max).map(|memory| format!("{memory:.1}"));
        let ours = effects(scenario, slices, told);
        let effect = match (scenario, watcher) {
            (Scenario::Idle, _) => {
                let figures = ours.iter().flatten().map(|share| share * 100.0);
                shown(Mean::of(&figures.collect::<Vec<_>>()))
            }
            (_, Watcher::Nobody) => {
                let figures: Vec<f64> = ours.into_iter().flatten().collect();
                let mean = Mean::of(&figures).map(|mean| mean.value);
                mean.map_or_else(String::new, |mean| match scenario {
                    Scenario::Paced => format!("(of {mean:.2})"),
                    _ => format!("(of {mean:.0} a second)"),
                })
            }
            (Scenario::Paced, _) => shown(Mean::difference(&paired(&ours, &nobodys))),
            _ => shown(Mean::ratio(&paired(&ours, &nobodys))),
        };
        println!(
            "{:<26}  {:>7}  {:>16}  {:>16}  {:>8}  {effect:>26}",
            watcher.to_string(),
            looks.unwrap_or_else(|| "-".to_owned()),
            backends,
            own,
            memory.unwrap_or_else(|| "-".to_owned())
        );
    }
    if scenario == Scenario::Idle {
        limits(watchers, slices);
    }
}

/// Says whether the watch stays within what is promised.
fn limits(watchers: &[Watcher], slices: &[Vec<Slice>]) {
    for (hz, limit) in LIMITS {
        let ours = watchers.iter().zip(slices);
        let ours = ours.filter(|(watcher, _)| **watcher == Watcher::Record(hz));
        for (_, slices) in ours {
            let shares: Vec<f64> = slices.iter().map(|slice| slice.backends).collect();
            let Some(mean) = Mean::of(&shares) else {
                continue;
            };
            let kept = mean.value + mean.half_width <= limit;
            println!(
                "{} may spend {:.1} % of a core here: {}",
                Watcher::Record(hz),
                limit * 100.0,
                if kept { "kept" } else { "EXCEEDED" }
            );
        }
    }
}

/// Gives, slice by slice, what the scenario is about.
fn effects(scenario: Scenario, slices: &[Slice], told: Option<&Told>) -> Vec<Option<f64>> {
    let effect = |slice: &Slice| match (scenario, told) {
        (Scenario::Idle, _) => Some(slice.rest),
        (Scenario::Paced, Some(told)) => quantile(told.latencies(slice.between), 0.99),
        (_, told) => told?.throughput(slice.between),
    };
    slices.iter().map(effect).collect()
}

/// Pairs what was in the same half round.
fn paired(ours: &[Option<f64>], nobodys: &[Option<f64>]) -> Vec<(f64, f64)> {
    let pairs = ours.iter().zip(nobodys);
    pairs.filter_map(|(a, b)| Some(((*a)?, (*b)?))).collect()
}

fn shown(figure: Option<impl ToString>) -> String {
    figure.map_or_else(|| "-".to_owned(), |figure| figure.to_string())
}

//! What a watch costs the server that is watched, and those who work on it.
//!
//! ```text
//! cargo bench --bench watching                          about an hour
//! cargo bench --bench watching -- --quick               two rounds of short slices
//! cargo bench --bench watching -- --only idle --only storm
//! cargo bench --bench watching -- --pairs 40 --pg-bin DIR --pg-activity FILE
//! ```
//! - What watches is the program itself, `pgjam record`, at ten looks a second and by need; beside
//!   it a session that calls `pg_blocking_pids()` for everybody each second, as many agents do;
//!   `pg_activity`, where it is installed; and nobody, twice: what the second time differs from the
//!   first is what this machine does by itself.
//! - They take turns on one server under one load that never stops: forwards, then backwards
//!   (A B C C B A), so that drift cancels. Each slice begins when its watcher has settled; where
//!   nobody works, when it goes its steady pace, so that what connecting costs is left out there.
//! - Processor time is the operating system's, see [`processes`]; the watchers run on the same
//!   machine as the server, and what they take of it is in the figures of the load.
//! - An interval is Student's over the pairs, at 95 %.

#![expect(clippy::print_stdout, reason = "a benchmark is there to be read")]

#[path = "../server/crowd.rs"]
mod crowd;
mod figures;
mod pgbench;
mod processes;
mod scenario;
mod slice;
mod watcher;
mod writes;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, bail};
use pgjam::lab::server::stop_on_signals;

use scenario::Scenario;

/// What was asked for on the command line.
struct Plan {
    pg_bin: Option<PathBuf>,
    pg_activity: PathBuf,
    only: Vec<Scenario>,
    quick: bool,
    pairs: usize,
}

impl Plan {
    fn from_arguments() -> anyhow::Result<Self> {
        let mut plan = Self {
            pg_bin: None,
            pg_activity: "pg_activity".into(),
            only: Vec::new(),
            quick: false,
            pairs: 20,
        };
        let mut arguments = std::env::args().skip(1);
        while let Some(argument) = arguments.next() {
            let mut value = || {
                arguments
                    .next()
                    .context(format!("{argument} wants a value"))
            };
            match argument.as_str() {
                // Cargo says so to every benchmark.
                "--bench" => {}
                "--quick" => plan.quick = true,
                "--only" => plan.only.push(value()?.parse()?),
                "--pairs" => plan.pairs = value()?.parse().context("--pairs wants a number")?,
                "--pg-bin" => plan.pg_bin = Some(value()?.into()),
                "--pg-activity" => plan.pg_activity = value()?.into(),
                _ => {
                    bail!("{argument} is none of --quick, --only, --pairs, --pg-bin, --pg-activity")
                }
            }
        }
        if plan.only.is_empty() {
            plan.only = Scenario::ALL.to_vec();
        }
        if plan.quick {
            plan.pairs = 4;
        }
        Ok(plan)
    }

    /// How long a slice is measured.
    const fn slice(&self) -> Duration {
        Duration::from_secs(if self.quick { 2 } else { 4 })
    }
}

fn main() -> anyhow::Result<()> {
    let plan = Plan::from_arguments()?;
    stop_on_signals()?;
    crowd::allow_many_sockets();
    for scenario in &plan.only {
        scenario::measure(*scenario, &plan)?;
    }
    Ok(())
}

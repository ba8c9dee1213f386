//! Our graph beside the server's own answers, on every version that pgjam watches.
//!
//! - [`situations`]: each situation in which tools of the field are known to go wrong, with
//!   real locks: its edges, its roots, its tables.
//! - [`storm`]: sessions that do to each other what comes by chance, frozen again and again, and
//!   each frozen state compared with `pg_blocking_pids()`.
//! - [`queries`]: what pgjam asks a server at all, for whoever may be asking.
//!
//! ```sh
//! cargo test --test oracle                     # all of it, short
//! cargo test --test oracle -- prepared         # one situation, everywhere
//! cargo test --test oracle -- on_17            # one version
//! make oracle                                  # 5,000 frozen waits on each version
//! ```

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::print_stdout, reason = "the figures are what it is run for")]

mod comparison;
#[path = "../majors/mod.rs"]
mod majors;
mod queries;
mod seen;
mod servers;
mod situations;
mod stage;
mod storm;
mod truth;

use std::process::ExitCode;
use std::sync::{Arc, Mutex};

use crate::servers::Servers;
use crate::stage::Stage;

fn main() -> ExitCode {
    let servers = Arc::new(Servers::default());
    let on_each = |name: &str, play: fn(&mut Stage<'_>)| {
        let servers = Arc::clone(&servers);
        majors::on_each(name, move |major| {
            play(&mut Stage::new(servers.of(major), major));
        })
    };
    let mut trials = Vec::new();
    for (name, play) in situations::ALL {
        trials.extend(on_each(name, *play));
    }
    let all = Arc::new(Mutex::new(storm::Tally::default()));
    let sum = Arc::clone(&all);
    let servers_of_storms = Arc::clone(&servers);
    trials.extend(majors::on_each("storm", move |major| {
        let tally = storm::run(&Stage::new(servers_of_storms.of(major), major));
        sum.lock().unwrap().join(&tally);
    }));
    trials.extend(on_each("queries", |stage| queries::run(stage)));
    let conclusion = majors::run(trials);
    if let Ok(servers) = Arc::try_unwrap(servers) {
        servers.stop();
    }
    let all = all.lock().unwrap();
    if all.waits > 0 {
        println!("All versions: {all}");
        all.holds_in_all();
    }
    conclusion.exit_code()
}

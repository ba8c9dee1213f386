//! Our graph beside the server's own answers, on every version that pgjam watches.
//!
//! - [`situations`]: each situation in which tools of the field are known to go wrong, with
//!   real locks: its edges, its roots, its tables.
//! - [`storm`]: sessions that do to each other what comes by chance, frozen again and again, and
//!   each frozen state compared with `pg_blocking_pids()`.
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
mod seen;
mod servers;
mod situations;
mod stage;
mod storm;
mod truth;

use std::process::ExitCode;
use std::sync::{Arc, Mutex};

use libtest_mimic::{Arguments, Trial};

use crate::servers::{MAJORS, Servers};
use crate::stage::Stage;

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    // Two at once: a situation is mostly waiting, and each has a server to itself.
    arguments.test_threads.get_or_insert(2);
    let servers = Arc::new(Servers::default());
    let mut trials = Vec::new();
    for (name, play) in situations::ALL {
        for major in MAJORS {
            let servers = Arc::clone(&servers);
            trials.push(Trial::test(format!("{name}::on_{major}"), move || {
                play(&mut Stage::new(servers.of(major), major));
                Ok(())
            }));
        }
    }
    let all = Arc::new(Mutex::new(storm::Tally::default()));
    for major in MAJORS {
        let (servers, all) = (Arc::clone(&servers), Arc::clone(&all));
        trials.push(Trial::test(format!("storm::on_{major}"), move || {
            let tally = storm::run(&Stage::new(servers.of(major), major));
            all.lock().unwrap().join(&tally);
            Ok(())
        }));
    }
    let conclusion = libtest_mimic::run(&arguments, trials);
    if let Ok(servers) = Arc::try_unwrap(servers) {
        servers.stop();
    }
    let all = all.lock().unwrap();
    if all.waits > 0 {
        println!("\nAll versions: {all}");
    }
    conclusion.exit_code()
}

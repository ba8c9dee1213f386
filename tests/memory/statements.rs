//! Sessions that never say the same thing twice.

use std::sync::atomic::{AtomicUsize, Ordering};

use pgjam::lab::server::ThrowAway;
use postgres::{Client, NoTls};

/// How many there are.
const SESSIONS: usize = 200;

/// How many of the lowest bits of a number tell it apart.
const BITS: usize = 17;

/// Lets sessions run so many statements, each for so many seconds: long enough that a look sees it.
pub(crate) fn run(server: &ThrowAway, wanted: usize, seconds: f64) {
    let next = AtomicUsize::new(0);
    let dsn = server.dsn("postgres", "postgres") + " application_name=poet";
    std::thread::scope(|scope| {
        for _ in 0..SESSIONS {
            scope.spawn(|| {
                let mut client = Client::connect(&dsn, NoTls).unwrap();
                loop {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    if n >= wanted {
                        return;
                    }
                    client.batch_execute(&statement(n, seconds)).unwrap();
                }
            });
        }
    });
}

/// Writes a statement whose shape is its own, whatever its constants are replaced by.
fn statement(n: usize, seconds: f64) -> String {
    let term = |bit: usize| match n >> bit & 1 {
        0 => format!("coalesce(length('value {bit}'), {n}) + "),
        _ => format!("nullif(length('value {bit}'), {n}) - "),
    };
    let terms: String = (0..BITS).map(term).collect();
    format!("select {terms}0 as answer, pg_sleep({seconds})")
}

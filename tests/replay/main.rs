//! A day of watching in minutes: memory and files do not grow with time.
//!
//! ```sh
//! cargo test --test replay                  # four hours at a look every other second, about a minute
//! PGJAM_MEMORY=long cargo test --release --test replay -- --nocapture     # a day at ten
//! ```
//! - What is replayed was recorded: seconds of the county rollout in a jam, on a real server. Each
//!   time round it is moved on by what it lasted; sessions, systems and statements come anew, as
//!   after a deployment, so that nothing is bounded only because it has been there before.
//! - It goes the way of every tick in the daemon, in the same rhythm by the recording's own clock:
//!   into the recording, flushed twice a second and sealed every minute, and into what is known of the
//!   server now. As fast as the machine can: nothing here reads the time of day.
//! - This is a test binary of its own, since what is measured is this very process: the most memory
//!   that was resident in each hour.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![cfg(target_os = "linux")]

mod load;
mod memory;

use pgjam::daemon::live::Live;
use pgjam::recording::{Entry, Writer};
use pgjam::system::Naming;
use pgjam::time::{Span, Timestamp};

use load::Load;

/// How often the recorder flushes and seals.
const FLUSH_EVERY: Span = Span::from_millis(500);
const SEAL_EVERY: Span = Span::from_secs(60);

/// What an hour's peak may lie above that of the second hour, in MiB: pages that the allocator has
/// not given back yet.
const NOISE: f64 = 2.0;

/// How much is replayed.
struct Day {
    hours: i64,
    /// One of so many recorded ticks is replayed, and stands for all of them.
    every: usize,
}

#[test]
fn a_day_takes_no_more_memory_than_its_second_hour() {
    let is_long = std::env::var_os("PGJAM_MEMORY").is_some_and(|form| form == "long");
    let day = if is_long {
        Day {
            hours: 24,
            every: 1,
        }
    } else {
        Day {
            hours: 4,
            every: 20,
        }
    };
    let load = Load::record(day.every);

    let peaks = replay(&load, &day);

    // The first hour fills what is kept: texts, names, the last systems.
    let later = peaks[2..].iter().copied().fold(0.0, f64::max);
    assert!(later <= peaks[1] + NOISE, "MiB by the hour: {peaks:.1?}");
}

/// Replays so many hours, and gives the most memory that was resident in each.
#[expect(clippy::print_stdout, reason = "the long form is run for the figures")]
fn replay(load: &Load, day: &Day) -> Vec<f64> {
    let folder = tempfile::tempdir().unwrap();
    let to = folder.path().join("day");
    let mut writer = Writer::create(&to, load.server()).unwrap();
    let live = Live::default();
    let server = live.watch("replayed", Naming::default(), &to);
    server.connected(load.server());

    let begun = load.begins();
    let mut clock = Clock::begin(begun);
    let mut peaks = Vec::new();
    let mut ticks = 0_u64;
    memory::forget_peak();
    for round in 0.. {
        for text in load.texts(round) {
            server.learned(&text);
            writer.take(Entry::Statement(text));
        }
        for name in load.names() {
            server.named(name);
            writer.take(Entry::Name(name.clone()));
        }
        for snapshot in load.ticks(round) {
            let at = snapshot.tick.at;
            server.saw(&snapshot);
            writer.take(snapshot.into());
            ticks += 1;
            clock.at(at, &mut writer);
            let hours = i64::try_from(peaks.len()).unwrap() + 1;
            if at.since(begun) < Span::from_secs(3_600 * hours) {
                continue;
            }
            let peak = memory::peak();
            println!("hour {hours:>2}: {peak:.1} MiB at most, {ticks} ticks so far");
            peaks.push(peak);
            memory::forget_peak();
            if hours == day.hours {
                writer.finish().unwrap();
                return peaks;
            }
        }
    }
    unreachable!("a day has an end")
}

/// The rhythm of the recorder, by the recording's own clock.
struct Clock {
    flush: Timestamp,
    seal: Timestamp,
}

impl Clock {
    fn begin(at: Timestamp) -> Self {
        Self {
            flush: at + FLUSH_EVERY,
            seal: at + SEAL_EVERY,
        }
    }

    /// Does what is due.
    fn at(&mut self, now: Timestamp, writer: &mut Writer) {
        if now < self.flush {
            return;
        }
        if now < self.seal {
            writer.flush().unwrap();
        } else {
            self.seal = now + SEAL_EVERY;
            writer.seal().unwrap();
        }
        self.flush = now + FLUSH_EVERY;
    }
}

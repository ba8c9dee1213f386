//! A day of watching in minutes: memory does not grow with time.
//!
//! ```sh
//! cargo test --test replay                  # two looks a round, about three minutes
//! PGJAM_MEMORY=long cargo test --release --test replay -- --nocapture     # ten looks a second
//! ```
//! - What is replayed was recorded: seconds of the county rollout in a jam, on a real server. Each
//!   time round it is moved on by what it lasted; sessions, systems and statements come anew, as
//!   after a deployment, so that nothing is bounded only because it has been there before.
//! - It begins at ten past ten in the evening, whenever it is run: by the end of its second hour all
//!   that the recorder ever merges, full hours and a day, has been merged once.
//! - It goes the whole way of a tick in the daemon: into what is known of the server now, into the
//!   books with their charges and sums, and on a thread of its own into the recording. That flushes,
//!   seals, and merges the parts of hours that are over in the recorder's rhythm, by the recording's
//!   own clock, as fast as the machine can: nothing here reads the time of day.
//! - This is a test binary of its own, since what is measured is this very process: the most memory
//!   that was resident in each hour.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![cfg(target_os = "linux")]

mod load;
mod memory;
mod recorder;

use pgjam::daemon::books::Books;
use pgjam::daemon::live::Live;
use pgjam::recording::Entry;
use pgjam::system::Naming;
use pgjam::time::Span;

use load::{Load, Round};
use recorder::Recorder;

/// So many hours are replayed: a second midnight, at which the day's sums are merged, is among them.
const HOURS: usize = 26;

/// What the second half of the day may take beyond the first two hours, in MiB: an allocator does not
/// put the same rows into the same gaps, the more often it is tried the higher is the highest, and of
/// a debug build's code some pages come late. Three kilobytes more a minute that do not go back would
/// be seen.
const NOISE: f64 = 3.0;

/// In so many of them what is kept fills up: texts, names, systems.
const FILLING: usize = 2;

/// How the day is replayed.
struct Day {
    /// One of so many recorded ticks is replayed, and stands for all of them.
    every: usize,
    /// So many times the time passes between them that did, once what is kept is full.
    slower: i64,
}

#[test]
fn a_day_takes_no_more_memory_than_its_first_two_hours() {
    memory::allocate_as_the_daemon();
    let is_long = std::env::var_os("PGJAM_MEMORY").is_some_and(|form| form == "long");
    let day = if is_long {
        Day {
            every: 1,
            slower: 1,
        }
    } else {
        Day {
            every: 60,
            slower: 10,
        }
    };
    let load = Load::record(day.every);

    let peaks = replay(&load, day.slower);

    let most = |hours: &[f64]| hours.iter().copied().fold(0.0, f64::max);
    let (first, later) = (most(&peaks[..FILLING]), most(&peaks[HOURS / 2..]));
    assert!(later <= first + NOISE, "MiB by the hour: {peaks:.1?}");
}

/// Replays a day, and gives the most memory that was resident in each hour.
#[expect(clippy::print_stdout, reason = "the long form is run for the figures")]
fn replay(load: &Load, slower: i64) -> Vec<f64> {
    let folder = tempfile::tempdir().unwrap();
    let to = folder.path().join("day");
    let recorder = Recorder::begin(&to, load.server());
    let live = Live::default();
    let server = live.watch("replayed", Naming::default(), &to);
    let mut books = Books::new(Naming::default(), &[], None).sharing(server.words());
    server.connected(load.server());

    let mut round = Round::first(load);
    let begun = load.begins() + round.later;
    let mut peaks = Vec::new();
    let mut ticks = 0_u64;
    memory::forget_peak();
    loop {
        for text in load.texts(round.number) {
            books.learn(&text);
            recorder.take(Entry::Statement(text));
        }
        for name in load.names() {
            books.name(name);
            recorder.take(Entry::Name(name.clone()));
        }
        for counters in load.counters(round) {
            let worked_out = books.count(&counters);
            recorder.take(Entry::Counters(counters));
            for entry in worked_out {
                recorder.take(entry);
            }
        }
        for snapshot in load.ticks(round) {
            let at = snapshot.tick.at;
            recorder.take(snapshot.clone().into());
            server.saw(&snapshot);
            for entry in books.look(&snapshot) {
                if let Entry::Charges(charges) = &entry {
                    server.charged(charges);
                }
                recorder.take(entry);
            }
            ticks += 1;
            let hours = i64::try_from(peaks.len()).unwrap() + 1;
            if at.since(begun) < Span::from_secs(3_600 * hours) {
                continue;
            }
            let peak = memory::peak();
            println!("hour {hours:>2}: {peak:.1} MiB at most, {ticks} ticks so far");
            peaks.push(peak);
            memory::forget_peak();
            if peaks.len() == HOURS {
                recorder.finish();
                return peaks;
            }
        }
        let slower = if peaks.len() < FILLING { 1 } else { slower };
        round = round.next(load, slower);
    }
}

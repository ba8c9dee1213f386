//! One watcher for some seconds, and rounds of them.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use pgjam::lab::server::ThrowAway;
use postgres::Client;

use crate::processes::{Reading, family};
use crate::watcher::Watcher;

/// How long a watcher may find its feet before it is measured: connecting, the first look.
pub(crate) const SETTLE: Duration = Duration::from_millis(1_500);

/// … and until it goes its steady pace, which is what weeks of watching cost. At one look a second
/// the server plans each of the first five anew, and everything around the sessions is looked at
/// within the first ten seconds and then every ten: a slice lies between two such looks.
pub(crate) const SETTLE_FOR_GOOD: Duration = Duration::from_millis(11_500);

/// How long a session of its may take to appear.
const SOON: Duration = Duration::from_secs(20);

/// What one slice came to. Shares are of one processor.
#[derive(Debug)]
pub(crate) struct Slice {
    /// Seconds since 1970.
    pub(crate) between: (f64, f64),
    /// Of the watcher's sessions on the server.
    pub(crate) backends: f64,
    /// Of all the server's other processes.
    pub(crate) rest: f64,
    /// Of the watcher's own process.
    pub(crate) own: Option<f64>,
    /// Recorded looks a second.
    pub(crate) looks: Option<f64>,
    /// The watcher's peak, in MiB.
    pub(crate) memory: Option<f64>,
}

/// Lets `watcher` settle and watch, and measures.
pub(crate) fn take(
    server: &ThrowAway,
    control: &mut Client,
    watcher: &Watcher,
    [settles, lasts]: [Duration; 2],
) -> anyhow::Result<Slice> {
    let watching = watcher.begin(server)?;
    let backends = backends(control, watcher)?;
    std::thread::sleep(settles);
    let postmaster = server.pid().context("the server is gone")?;
    let servers = family(postmaster)?;
    let own = match watching.pid() {
        Some(pid) => family(pid)?,
        None => BTreeSet::new(),
    };
    let read = || Reading::of(servers.union(&own).copied());
    let before = read()?;
    std::thread::sleep(lasts);
    let after = read()?;
    let memory = watching.peak_memory();
    let looks = watching.end()?;
    let within = |at: &&f64| (before.epoch..after.epoch).contains(*at);
    let count = looks.iter().filter(within).count() as f64;
    gone(control, watcher)?;
    Ok(Slice {
        between: (before.epoch, after.epoch),
        backends: after.share_since(&before, &backends),
        rest: after.share_since(&before, servers.difference(&backends)),
        own: (!own.is_empty()).then(|| after.share_since(&before, &own)),
        looks: (!looks.is_empty()).then(|| count / (after.epoch - before.epoch)),
        memory,
    })
}

/// Waits until the watcher has a session, and gives their processes.
fn backends(control: &mut Client, watcher: &Watcher) -> anyhow::Result<BTreeSet<u32>> {
    let begun = Instant::now();
    loop {
        let there = sessions(control, watcher)?;
        if watcher.application().is_none() || !there.is_empty() {
            return Ok(there);
        }
        ensure!(begun.elapsed() < SOON, "{watcher} does not connect");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Waits until its sessions are gone.
fn gone(control: &mut Client, watcher: &Watcher) -> anyhow::Result<()> {
    let begun = Instant::now();
    while !sessions(control, watcher)?.is_empty() {
        ensure!(begun.elapsed() < SOON, "{watcher} does not go");
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

fn sessions(control: &mut Client, watcher: &Watcher) -> anyhow::Result<BTreeSet<u32>> {
    let Some(application) = watcher.application() else {
        return Ok(BTreeSet::new());
    };
    let sql = "select pid from pg_stat_activity where application_name = $1";
    let rows = control.query(sql, &[&application])?;
    let pids = rows.iter().map(|row| row.get::<_, i32>(0).cast_unsigned());
    Ok(pids.collect())
}

/// Lets all watchers take turns, forwards and then backwards, until each has so many slices.
///
/// Gives each watcher's slices; those with one number were in one half round.
pub(crate) fn rounds(
    server: &ThrowAway,
    watchers: &[Watcher],
    pairs: usize,
    times: [Duration; 2],
) -> anyhow::Result<Vec<Vec<Slice>>> {
    let mut control = server.connect("postgres")?;
    let mut slices: Vec<Vec<Slice>> = watchers.iter().map(|_| Vec::new()).collect();
    for half in 0..pairs {
        let mut order: Vec<usize> = (0..watchers.len()).collect();
        // Another one begins in each round, so that none is always beside the same.
        order.rotate_left(half / 2 % watchers.len());
        if half % 2 == 1 {
            order.reverse();
        }
        for which in order {
            let slice = take(server, &mut control, &watchers[which], times)?;
            slices[which].push(slice);
        }
    }
    Ok(slices)
}

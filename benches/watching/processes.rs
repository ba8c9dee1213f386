//! Processor time and memory of processes, as Linux counts them in `/proc`.
//!
//! Elapsed time will not do: it holds the waits for a processor, and grows with whatever else the
//! machine does. The time of a process is the sum over its threads of the first field of
//! `schedstat`: nanoseconds on a processor, what `utime` and `stime` tell in hundredths of a second.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context as _, ensure};

/// The processor time of every process that was there, at one instant.
#[derive(Debug)]
pub(crate) struct Reading {
    pub(crate) at: Instant,
    /// The same instant, in seconds since 1970.
    pub(crate) epoch: f64,
    spent: BTreeMap<u32, Duration>,
}

impl Reading {
    /// Reads the time of these processes.
    pub(crate) fn of(pids: impl IntoIterator<Item = u32>) -> anyhow::Result<Self> {
        let spent = pids.into_iter().filter_map(|pid| Some((pid, spent(pid)?)));
        let spent: BTreeMap<u32, Duration> = spent.collect();
        ensure!(
            spent.values().any(|spent| !spent.is_zero()),
            "this system tells no processor time in /proc/PID/schedstat"
        );
        Ok(Self {
            at: Instant::now(),
            epoch: epoch(),
            spent,
        })
    }

    /// Gives what these processes took since an earlier reading, as a share of one processor.
    pub(crate) fn share_since<'p>(
        &self,
        earlier: &Self,
        pids: impl IntoIterator<Item = &'p u32>,
    ) -> f64 {
        let spent = pids.into_iter().filter_map(|pid| {
            let before = earlier.spent.get(pid)?;
            self.spent.get(pid)?.checked_sub(*before)
        });
        let spent: Duration = spent.sum();
        spent.as_secs_f64() / (self.at - earlier.at).as_secs_f64()
    }
}

fn spent(pid: u32) -> Option<Duration> {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).ok()?;
    let of_thread = |thread: fs::DirEntry| -> Option<u64> {
        let text = fs::read_to_string(thread.path().join("schedstat")).ok()?;
        text.split_whitespace().next()?.parse().ok()
    };
    let nanoseconds = threads.flatten().filter_map(of_thread).sum();
    Some(Duration::from_nanos(nanoseconds))
}

/// Lists a process and all that descend from it.
pub(crate) fn family(eldest: u32) -> anyhow::Result<BTreeSet<u32>> {
    let mut children: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    let entries = fs::read_dir("/proc").context("cannot read /proc")?;
    for entry in entries.flatten() {
        let Some(pid) = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok())
        else {
            continue;
        };
        if let Some(parent) = parent(pid) {
            children.entry(parent).or_default().push(pid);
        }
    }
    let mut family = BTreeSet::from([eldest]);
    let mut next = vec![eldest];
    while let Some(pid) = next.pop() {
        for child in children.get(&pid).into_iter().flatten() {
            family.insert(*child);
            next.push(*child);
        }
    }
    Ok(family)
}

fn parent(pid: u32) -> Option<u32> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is the program's name, in parentheses, and may hold anything.
    let (_, after_name) = text.rsplit_once(')')?;
    after_name.split_whitespace().nth(1)?.parse().ok()
}

/// Gives the most memory that a process ever had, in MiB.
pub(crate) fn peak_memory(pid: u32) -> Option<f64> {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: f64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kib / 1024.0)
}

/// Tells the time, in seconds since 1970.
pub(crate) fn epoch() -> f64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.unwrap_or_default().as_secs_f64()
}

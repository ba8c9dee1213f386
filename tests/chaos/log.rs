//! What the server says that the program asked of it: the truth that the program cannot see.
//!
//! The role that watches has `log_statement = all`, so that each execution is a line as it begins;
//! the server's clock is on it, and the tick's own time lies between the execution before and it.

use std::fs;
use std::path::Path;

use pgjam::query::TICK;
use pgjam::time::Timestamp;

use crate::stage::WATCHER;

/// The start of each line: the time since 1970 with milliseconds, the process, the role.
pub(crate) const PREFIX: &str = "%n %p %u %a|";

/// What a server did for the role that watches.
#[derive(Debug, Default)]
pub(crate) struct Log {
    /// When each tick began, rounded up to the millisecond.
    pub(crate) ticks: Vec<Timestamp>,
    /// How many sessions it had at once, at most.
    pub(crate) most_sessions: usize,
}

impl Log {
    /// Reads the logs of servers of which one at a time is watched.
    pub(crate) fn read(paths: &[&Path]) -> Self {
        let mut log = Self::default();
        for path in paths {
            log.add(&String::from_utf8_lossy(&fs::read(path).unwrap()));
        }
        log.ticks.sort_unstable();
        log
    }

    fn add(&mut self, text: &str) {
        let tick = TICK.statement().replace('\n', "\n\t");
        let mut open: Vec<&str> = Vec::new();
        for entry in entries(text) {
            if entry.said.contains("database system was shut down")
                || entry.said.contains("database system was interrupted")
            {
                open.clear();
            }
            if entry.role != WATCHER {
                continue;
            }
            if entry.said.contains("connection authorized:") {
                open.push(entry.pid);
                self.most_sessions = self.most_sessions.max(open.len());
            } else if entry.said.contains("disconnection:") || entry.said.starts_with("FATAL:") {
                // Whoever is refused behind its password leaves without a disconnection.
                open.retain(|pid| *pid != entry.pid);
            } else if entry.said.contains("execute ") && entry.said.contains(&tick) {
                self.ticks.push(entry.at);
            }
        }
    }
}

struct Entry<'a> {
    at: Timestamp,
    pid: &'a str,
    role: &'a str,
    said: &'a str,
}

/// Parts a log into entries, each with the lines that go on with it.
fn entries(text: &str) -> impl Iterator<Item = Entry<'_>> {
    let mut starts: Vec<usize> = text
        .split_inclusive('\n')
        .scan(0, |at, line| {
            let start = *at;
            *at += line.len();
            Some((start, line))
        })
        .filter(|(_, line)| line.starts_with(|first: char| first.is_ascii_digit()))
        .map(|(start, _)| start)
        .collect();
    starts.push(text.len());
    let entries: Vec<&str> = starts
        .windows(2)
        .map(|ends| &text[ends[0]..ends[1]])
        .collect();
    entries.into_iter().filter_map(|entry| {
        let (prefix, said) = entry.split_once('|')?;
        let mut words = prefix.splitn(4, ' ');
        let (seconds, millis) = words.next()?.split_once('.')?;
        let millis: i64 = format!("{seconds}{millis}").parse().ok()?;
        Some(Entry {
            at: Timestamp::from_micros(millis * 1_000 + 999),
            pid: words.next()?,
            role: words.next()?,
            said,
        })
    })
}

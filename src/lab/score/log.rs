//! What a server with `log_lock_waits` wrote: who held what somebody waited for.

use std::collections::HashMap;
use std::sync::Arc;

use crate::pg::Oid;
use crate::time::Timestamp;

/// One wait that was logged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Logged {
    /// When.
    pub at: Timestamp,
    /// `transactionid`, `relation`, …
    pub locktype: Arc<str>,
    /// The table's name, without its schema, where the context tells it.
    pub table: Option<Arc<str>>,
    /// The relation, and the database that it is in, where the lock is on one.
    pub relation: Option<(Oid, Oid)>,
    /// The systems that held the lock, by their connections' names.
    pub holders: Vec<Arc<str>>,
}

impl Logged {
    /// What begins each line: the time, the process.
    pub const PREFIX: &'static str = "%n|%p|";

    /// The settings with which a server writes what is read here.
    pub const SETTINGS: [(&'static str, &'static str); 4] = [
        ("log_line_prefix", Self::PREFIX),
        ("log_connections", "on"),
        ("log_lock_waits", "on"),
        ("deadlock_timeout", "100ms"),
    ];

    /// Reads a log.
    #[must_use]
    pub fn read(text: &str) -> Vec<Self> {
        let mut systems: HashMap<&str, Arc<str>> = HashMap::new();
        let mut waits: Vec<Self> = Vec::new();
        // The wait that each process told of last, whose details follow.
        let mut last: HashMap<&str, usize> = HashMap::new();
        for line in text.lines() {
            let mut parts = line.splitn(3, '|');
            let (Some(at), Some(pid), Some(said)) = (parts.next(), parts.next(), parts.next())
            else {
                continue;
            };
            if let Some(authorized) = said.split("connection authorized: ").nth(1) {
                systems.insert(pid, system(authorized));
            } else if let Some(waited) = said.split(" still waiting for ").nth(1) {
                last.insert(pid, waits.len());
                waits.push(Self {
                    at: time(at),
                    locktype: locktype(waited).into(),
                    table: None,
                    relation: relation(waited),
                    holders: Vec::new(),
                });
            } else if let Some(&place) = last.get(pid) {
                let wait = &mut waits[place];
                if let Some(detail) = said.strip_prefix("DETAIL:  Process") {
                    let holders = detail.split_once(": ").map_or("", |(_, pids)| pids);
                    let holders = holders.split_once('.').map_or("", |(pids, _)| pids);
                    let known = |pid: &str| systems.get(pid).cloned();
                    wait.holders = holders.split(", ").filter_map(known).collect();
                } else if let Some(context) = said.strip_prefix("CONTEXT:  ") {
                    wait.table = context.split('"').nth(1).map(Into::into);
                } else {
                    last.remove(pid);
                }
            }
        }
        waits
    }
}

/// Names who connected: by the application, else the role.
fn system(authorized: &str) -> Arc<str> {
    let word = |key: &str| {
        let mut words = authorized.split(' ');
        words
            .find_map(|word| word.strip_prefix(key))
            .filter(|word| !word.is_empty())
    };
    word("application_name=")
        .or_else(|| word("user="))
        .unwrap_or_default()
        .into()
}

/// Reads what kind of lock it is off the log's words, as `ShareLock on transaction 745`.
fn locktype(waited: &str) -> &'static str {
    let kinds = [
        (" on transaction ", "transactionid"),
        (" on virtual transaction ", "virtualxid"),
        (" on tuple ", "tuple"),
        (" on advisory lock ", "advisory"),
        (" on extension of relation ", "extend"),
        (" on relation ", "relation"),
        (" on object ", "object"),
    ];
    let known = kinds.iter().find(|(words, _)| waited.contains(words));
    known.map_or("other", |(_, kind)| kind)
}

/// Reads "relation 16389 of database 5".
fn relation(waited: &str) -> Option<(Oid, Oid)> {
    let (_, told) = waited.split_once(" relation ")?;
    let mut words = told.split(' ');
    let relation = words.next()?.parse().ok()?;
    let database = words.nth(2)?.parse().ok()?;
    Some((Oid(relation), Oid(database)))
}

fn time(text: &str) -> Timestamp {
    let seconds: f64 = text.parse().unwrap_or_default();
    #[expect(clippy::cast_possible_truncation, reason = "microseconds of a clock")]
    let micros = (seconds * 1e6) as i64;
    Timestamp::from_micros(micros)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_has_its_holders_by_name_and_its_table() {
        let log = "1700000000.100|11|LOG:  connection authorized: user=app database=x application_name=sync\n\
                   1700000000.200|12|LOG:  connection authorized: user=app database=x\n\
                   1700000001.500|12|LOG:  process 12 still waiting for ShareLock on transaction 745 after 100.1 ms\n\
                   1700000001.500|12|DETAIL:  Process holding the lock: 11. Wait queue: 12.\n\
                   1700000001.500|12|CONTEXT:  while updating tuple (0,5) in relation \"counter\"\n\
                   1700000001.500|12|STATEMENT:  UPDATE counter SET n = 1\n";
        let waits = Logged::read(log);
        assert_eq!(
            waits,
            [Logged {
                at: Timestamp::from_micros(1_700_000_001_500_000),
                locktype: "transactionid".into(),
                table: Some("counter".into()),
                relation: None,
                holders: vec!["sync".into()],
            }]
        );
    }
}

//! The `jsonlog` format of PostgreSQL 15 and newer: an object a line.
//!
//! Source: "Using JSON-Format Log Output" in the manual.

use std::borrow::Cow;
use std::io::{self, BufRead};

use serde::Deserialize;

use super::clock::{Clock, NoTime};
use super::lines::Lines;
use super::record::{Client, Record, Sieve, Trouble, address, filled, is_english};
use crate::pg::Pid;

/// What is read of an object; keys that are not there are not written.
#[derive(Deserialize)]
struct Object<'a> {
    #[serde(borrow)]
    timestamp: Cow<'a, str>,
    pid: Option<i32>,
    user: Option<String>,
    dbname: Option<String>,
    remote_host: Option<String>,
    application_name: Option<String>,
    #[serde(borrow)]
    error_severity: Cow<'a, str>,
    state_code: Option<String>,
    #[serde(default)]
    message: String,
    detail: Option<String>,
    context: Option<String>,
    statement: Option<String>,
}

/// Reads a log, and tells of each entry that may be of interest.
pub(super) fn read(
    lines: &mut Lines<impl BufRead>,
    clock: &Clock,
    tell: &mut impl FnMut(Record),
) -> io::Result<Trouble> {
    let sieve = Sieve::new();
    let mut trouble = Trouble::default();
    while lines.advance()? {
        let line = lines.line();
        if line.is_empty() || !sieve.keeps(line) && lines.is_whole() {
            continue;
        }
        if !lines.is_whole() && !line.ends_with(b"}") {
            trouble.broken += 1;
            continue;
        }
        match read_one(&String::from_utf8_lossy(line), clock) {
            Ok(record) if !is_english(&record.severity) => trouble.foreign += 1,
            Ok(record) => tell(record),
            Err(NoTime::Malformed) => trouble.broken += 1,
            Err(NoTime::Unplaced) => trouble.unplaced += 1,
        }
    }
    Ok(trouble)
}

/// Gives the time of a line that is an entry.
pub(super) fn recognises(line: &[u8]) -> Option<String> {
    if !line.starts_with(b"{") {
        return None;
    }
    let line = String::from_utf8_lossy(line);
    let object: Object<'_> = serde_json::from_str(&line).ok()?;
    Some(object.timestamp.into_owned())
}

fn read_one(line: &str, clock: &Clock) -> Result<Record, NoTime> {
    let object: Object<'_> = serde_json::from_str(line).map_err(|_| NoTime::Malformed)?;
    let told = |text: Option<String>| text.as_deref().and_then(filled);
    Ok(Record {
        at: clock.read(&object.timestamp)?,
        pid: object.pid.map(Pid),
        client: Client {
            application_name: told(object.application_name),
            role: told(object.user),
            database: told(object.dbname),
            client_addr: object.remote_host.as_deref().and_then(address),
        },
        severity: object.error_severity.into_owned(),
        state: object.state_code,
        message: object.message,
        detail: object.detail,
        context: object.context,
        statement: object.statement,
    })
}

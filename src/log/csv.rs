//! The `csvlog` format.
//!
//! A record is a line, unless a quoted text in it has lines of its own; quotes within are doubled.
//! Source: "Using CSV-Format Log Output" in the manual, `src/backend/utils/error/csvlog.c`.

use std::io::{self, BufRead};

use memchr::memchr_iter;

use super::clock::{Clock, NoTime};
use super::lines::{LONGEST, Lines};
use super::record::{Record, Sieve, Trouble, address, filled, is_english};
use crate::pg::Pid;

/// Columns of the oldest server that is watched, and of a newer one than there is.
const COLUMNS: std::ops::RangeInclusive<usize> = 23..=40;

const LOG_TIME: usize = 0;
const USER: usize = 1;
const DATABASE: usize = 2;
const PID: usize = 3;
const FROM: usize = 4;
const SEVERITY: usize = 11;
const STATE: usize = 12;
const MESSAGE: usize = 13;
const DETAIL: usize = 14;
const CONTEXT: usize = 18;
const STATEMENT: usize = 19;
const APPLICATION: usize = 22;

/// Reads a log, and tells of each entry that may be of interest.
pub(super) fn read(
    lines: &mut Lines<impl BufRead>,
    clock: &Clock,
    tell: &mut impl FnMut(Record),
) -> io::Result<Trouble> {
    let sieve = Sieve::new();
    let mut trouble = Trouble::default();
    let mut record: Vec<u8> = Vec::new();
    let mut is_open = false;
    let mut is_whole = true;
    while lines.advance()? {
        let line = lines.line();
        if is_open {
            record.push(b'\n');
        } else if is_begin(line) {
            record.clear();
            is_whole = true;
        } else {
            // The rest of an entry that began in another file, or was too long.
            trouble.broken += u64::from(!line.is_empty());
            continue;
        }
        is_whole &= lines.is_whole() && record.len() + line.len() <= LONGEST;
        if is_whole {
            record.extend_from_slice(line);
        }
        if memchr_iter(b'"', line).count() % 2 == 1 {
            is_open = !is_open;
        }
        if is_open {
            if !is_whole {
                // Whether a quote opens or closes is not known any more: the next line that looks
                // like the begin of an entry is taken for one.
                is_open = false;
                trouble.broken += 1;
            }
            continue;
        }
        if !is_whole {
            trouble.broken += 1;
            continue;
        }
        if !sieve.keeps(&record) {
            continue;
        }
        match read_one(&record, clock) {
            Ok(record) if !is_english(&record.severity) => trouble.foreign += 1,
            Ok(record) => tell(record),
            Err(NoTime::Malformed) => trouble.broken += 1,
            Err(NoTime::Unplaced) => trouble.unplaced += 1,
        }
    }
    trouble.broken += u64::from(is_open);
    Ok(trouble)
}

/// Tells whether a line looks like the begin of an entry: `2026-11-23 14:03:05.120 UTC,`.
pub(super) fn is_begin(line: &[u8]) -> bool {
    let shape = b"0000-00-00 00:00:00.000 ";
    line.len() > shape.len()
        && shape.iter().zip(line).all(|(shape, byte)| match shape {
            b'0' => byte.is_ascii_digit(),
            other => other == byte,
        })
        && line[shape.len()..]
            .iter()
            .take(12)
            .any(|&byte| byte == b',')
}

/// Tells whether a line is an entry, or could be the begin of one.
pub(super) fn recognises(line: &[u8]) -> bool {
    if !is_begin(line) {
        return false;
    }
    let pid = line.split(|&byte| byte == b',').nth(PID);
    pid.is_some_and(|pid| !pid.is_empty() && pid.iter().all(u8::is_ascii_digit))
}

fn read_one(record: &[u8], clock: &Clock) -> Result<Record, NoTime> {
    let text = String::from_utf8_lossy(record);
    let fields = fields(&text).ok_or(NoTime::Malformed)?;
    if !COLUMNS.contains(&fields.len()) {
        return Err(NoTime::Malformed);
    }
    let optional = |n: usize| Some(fields[n].clone()).filter(|text| !text.is_empty());
    let mut client = super::Client {
        application_name: filled(&fields[APPLICATION]),
        role: filled(&fields[USER]),
        database: filled(&fields[DATABASE]),
        client_addr: None,
    };
    client.client_addr = address(&fields[FROM]);
    Ok(Record {
        at: clock.read(&fields[LOG_TIME])?,
        pid: fields[PID].parse().ok().map(Pid),
        client,
        severity: fields[SEVERITY].clone(),
        state: optional(STATE),
        message: fields[MESSAGE].clone(),
        detail: optional(DETAIL),
        context: optional(CONTEXT),
        statement: optional(STATEMENT),
    })
}

/// Takes a record apart; none where its quotes are not as they should be.
fn fields(text: &str) -> Option<Vec<String>> {
    let mut fields = Vec::with_capacity(32);
    let mut rest = text;
    loop {
        let field;
        if let Some(quoted) = rest.strip_prefix('"') {
            let mut own = String::new();
            let mut left = quoted;
            loop {
                let (part, after) = left.split_once('"')?;
                own.push_str(part);
                left = after;
                match left.strip_prefix('"') {
                    Some(more) => {
                        own.push('"');
                        left = more;
                    }
                    None => break,
                }
            }
            field = own;
            rest = left;
        } else {
            let end = rest.find(',').unwrap_or(rest.len());
            field = rest[..end].to_owned();
            rest = &rest[end..];
        }
        fields.push(field);
        if rest.is_empty() {
            return Some(fields);
        }
        rest = rest.strip_prefix(',')?;
    }
}

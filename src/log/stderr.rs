//! The `stderr` format: a prefix on every line that begins something, a tab on the others.
//!
//! An entry is a line that says how grave it is, and behind it `DETAIL`, `CONTEXT`, `STATEMENT`, …
//! of the same process. Line ends within a text are followed by a tab, so no statement can pass
//! off a line of its own for one of the server's.

use std::io::{self, BufRead};

use super::clock::{Clock, NoTime};
use super::lines::{LONGEST, Lines};
use super::prefix::Prefix;
use super::record::{Record, Sieve, Trouble, is_english};

/// Behind a text that is being read.
#[derive(Clone, Copy)]
enum Part {
    Message,
    Detail,
    Context,
    Statement,
    Other,
}

/// An entry that may go on.
struct Open {
    record: Record,
    part: Part,
    /// How many bytes of texts it has.
    size: usize,
}

/// Reads a log, and tells of each entry that may be of interest.
pub(super) fn read(
    lines: &mut Lines<impl BufRead>,
    clock: &Clock,
    prefix: &Prefix,
    tell: &mut impl FnMut(Record),
) -> io::Result<Trouble> {
    let sieve = Sieve::new();
    let mut trouble = Trouble::default();
    let mut open: Option<Open> = None;
    while lines.advance()? {
        let line = lines.line();
        if let Some(continued) = line.strip_prefix(b"\t") {
            if let Some(open) = &mut open {
                open.goes_on(continued);
            }
            continue;
        }
        let may_matter = sieve.keeps(line);
        if open.is_none() && !may_matter {
            continue;
        }
        let Some(labelled) = prefix.take(line) else {
            // An empty line stands where a text had one.
            if let Some(ended) = open.take() {
                tell(ended.record);
            }
            trouble.broken += u64::from(may_matter);
            continue;
        };
        let said = match labelled.said(clock) {
            Ok(said) => said,
            Err(why) => {
                open.take().into_iter().for_each(|ended| tell(ended.record));
                match why {
                    NoTime::Malformed => trouble.broken += u64::from(may_matter),
                    NoTime::Unplaced => trouble.unplaced += u64::from(may_matter),
                }
                continue;
            }
        };
        let label = String::from_utf8_lossy(labelled.label);
        let part = match &*label {
            "DETAIL" => Some(Part::Detail),
            "CONTEXT" => Some(Part::Context),
            "STATEMENT" => Some(Part::Statement),
            "HINT" | "QUERY" | "LOCATION" | "BACKTRACE" => Some(Part::Other),
            _ => None,
        };
        if let Some(part) = part {
            if let Some(open) = &mut open
                && open.record.pid == said.pid
            {
                open.begins(part, labelled.text);
            }
            continue;
        }
        if let Some(ended) = open.take() {
            tell(ended.record);
        }
        if !may_matter {
            continue;
        }
        if !is_english(&label) {
            trouble.foreign += 1;
            continue;
        }
        let mut begun = Open {
            record: Record {
                at: said.at,
                pid: said.pid,
                client: said.client,
                severity: label.into_owned(),
                state: said.state,
                ..Record::default()
            },
            part: Part::Message,
            size: 0,
        };
        begun.goes_on(labelled.text);
        open = Some(begun);
    }
    if let Some(ended) = open {
        if lines.is_whole() {
            tell(ended.record);
        } else {
            trouble.broken += 1;
        }
    }
    Ok(trouble)
}

impl Open {
    fn text(&mut self) -> Option<&mut String> {
        let record = &mut self.record;
        match self.part {
            Part::Message => Some(&mut record.message),
            Part::Detail => Some(record.detail.get_or_insert_default()),
            Part::Context => Some(record.context.get_or_insert_default()),
            Part::Statement => Some(record.statement.get_or_insert_default()),
            Part::Other => None,
        }
    }

    fn begins(&mut self, part: Part, text: &[u8]) {
        self.part = part;
        if let Some(own) = self.text() {
            own.clear();
        }
        self.goes_on(text);
    }

    fn goes_on(&mut self, text: &[u8]) {
        self.size += text.len();
        if self.size > LONGEST {
            return;
        }
        if let Some(own) = self.text() {
            if !own.is_empty() {
                own.push('\n');
            }
            own.push_str(&String::from_utf8_lossy(text));
        }
    }
}

//! Which files are read, and what came of it.

use std::fs::{self, File};
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

use super::clock::Clock;
use super::error::LogError;
use super::events::{Events, Gathering};
use super::lines::Lines;
use super::logged::LoggedFile;
use super::prefix::Prefix;
use super::record::{Record, Trouble};
use super::{csv, json, stderr};
use crate::time::{Span, Timestamp};

/// A wait that began before a stretch of time, or ended behind it, is told of outside of it. A
/// file's own times are of another clock.
const AROUND: Span = Span::from_secs(600);

/// After so many lines that are of no format, a file is something else.
const MOST_TRIED: usize = 2_000;

const BUFFER: usize = 256 << 10;

/// How a log is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// `csvlog`.
    Csv,
    /// `jsonlog`.
    Json,
    /// `stderr`, by `log_line_prefix`.
    Stderr,
}

/// What to read.
#[derive(Clone, Debug)]
pub struct Reading {
    /// Files, and folders of files.
    pub paths: Vec<PathBuf>,
    /// How lines of the `stderr` format begin.
    pub prefix: Prefix,
    /// What the times mean.
    pub clock: Clock,
    /// From when to when.
    pub window: [Timestamp; 2],
}

/// A file that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadFile {
    /// Which.
    pub path: PathBuf,
    /// How it is written.
    pub format: Format,
    /// How many lines it had.
    pub lines: u64,
}

/// What was to be read and was not.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Unread {
    /// A file, and why.
    File(PathBuf, String),
    /// Files of a folder that are no log of PostgreSQL's.
    Others(u64),
    /// Entries that break off, or are not of their format.
    Broken(u64),
    /// Entries whose time has an abbreviation of a zone that is not known.
    Unplaced(u64),
    /// Entries in another language than English.
    Foreign(u64),
    /// Entries beyond what there is room for.
    LeftOut(u64),
}

/// What a log tells.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Log {
    /// What was read.
    pub files: Vec<ReadFile>,
    /// What was not.
    pub unread: Vec<Unread>,
    /// What it says.
    pub events: Events,
    /// Whether some of its times are to the second only.
    pub is_coarse: bool,
}

impl Log {
    /// Gives what was read, as it is told.
    pub(super) fn logged_files(&self) -> Vec<LoggedFile> {
        let told = |file: &ReadFile| LoggedFile {
            path: file.path.display().to_string(),
            format: file.format,
            lines: file.lines,
        };
        self.files.iter().map(told).collect()
    }

    /// Says what was to be read and was not.
    pub(super) fn unreadable(&self) -> Vec<String> {
        let mut said: Vec<String> = self
            .unread
            .iter()
            .map(|unread| match unread {
                Unread::File(_, why) => why.clone(),
                Unread::Others(n) => format!("{n} files beside the logs are none"),
                Unread::Broken(n) => format!("{n} entries break off or are not of their format"),
                Unread::Unplaced(n) => format!(
                    "of {n} entries the time could not be told: log_timezone is not known, and its \
                     abbreviation alone is not enough; --log-timezone says it"
                ),
                Unread::Foreign(n) => format!(
                    "{n} entries are about locks in another language than English (lc_messages), and \
                     were not understood"
                ),
                Unread::LeftOut(n) => format!("{n} entries were too many to be kept"),
            })
            .collect();
        if self.is_coarse {
            said.push(
                "times are to the second, so whose wait is which look's is less sure".to_owned(),
            );
        }
        said
    }
}

/// Sees whether what was named can be read, before anybody waits for it.
///
/// # Errors
/// When a file or folder is not there, may not be read, is compressed, or is of no known format.
pub fn check(paths: &[PathBuf], prefix: &Prefix) -> Result<(), LogError> {
    for path in paths {
        if path.is_dir() {
            if of_folder(path).map_err(LogError::io(path))?.is_empty() {
                return Err(LogError::Empty { path: path.clone() });
            }
        } else {
            recognise(path, prefix, &Clock::default())?;
        }
    }
    Ok(())
}

/// Reads logs. Files of a folder that cannot be read are told of, and the others are read.
///
/// # Errors
/// When a file that was named cannot be read, or none of a folder can.
pub fn read(reading: &Reading) -> Result<Log, LogError> {
    let [from, to] = reading.window;
    let window = [from - AROUND, to + AROUND];
    let mut log = Log::default();
    let mut gathering = Gathering::within(window);
    let mut trouble = Trouble::default();
    for path in &reading.paths {
        if !path.is_dir() {
            let known = recognise(path, &reading.prefix, &reading.clock)?;
            let read = one(path, known, reading, &mut gathering, &mut trouble);
            log.files.push(read.map_err(LogError::io(path))?);
            continue;
        }
        let mut others = 0;
        for (modified, path) in of_folder(path).map_err(LogError::io(path))? {
            if modified < window[0] {
                continue;
            }
            let known = match recognise(&path, &reading.prefix, &reading.clock) {
                Ok(known) => known,
                Err(LogError::Foreign { .. }) => {
                    others += 1;
                    continue;
                }
                Err(error) => {
                    log.unread.push(Unread::File(path, error.to_string()));
                    continue;
                }
            };
            if known.first.is_some_and(|first| first > window[1]) {
                continue;
            }
            match one(&path, known, reading, &mut gathering, &mut trouble) {
                Ok(read) => log.files.push(read),
                Err(error) => log.unread.push(Unread::File(path, error.to_string())),
            }
        }
        log.unread
            .extend((others > 0).then_some(Unread::Others(others)));
    }
    let is_stderr = |read: &ReadFile| read.format == Format::Stderr;
    log.is_coarse = reading.prefix.is_coarse() && log.files.iter().any(is_stderr);
    log.events = gathering.finish(log.is_coarse);
    let counted = [
        (trouble.broken, Unread::Broken as fn(u64) -> Unread),
        (trouble.unplaced, Unread::Unplaced),
        (trouble.foreign + log.events.foreign, Unread::Foreign),
        (log.events.left_out, Unread::LeftOut),
    ];
    let counted = counted.into_iter().filter(|(count, _)| *count > 0);
    log.unread.extend(counted.map(|(count, kind)| kind(count)));
    Ok(log)
}

/// Lists the files of a folder with when they were last written to, the oldest first.
fn of_folder(folder: &Path) -> io::Result<Vec<(Timestamp, PathBuf)>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        // A link may lead nowhere, and a file be gone by now.
        let Ok(about) = fs::metadata(&path) else {
            continue;
        };
        if !about.is_file() {
            continue;
        }
        let modified = about.modified().ok();
        let modified = modified.and_then(|at| jiff::Timestamp::try_from(at).ok());
        let modified = modified.map_or(i64::MAX, jiff::Timestamp::as_microsecond);
        files.push((Timestamp::from_micros(modified), path));
    }
    files.sort();
    Ok(files)
}

/// What a file is.
#[derive(Clone, Copy, Debug)]
struct Known {
    format: Format,
    /// The time of its first entry, where it is known.
    first: Option<Timestamp>,
}

/// Looks at the begin of a file.
fn recognise(path: &Path, prefix: &Prefix, clock: &Clock) -> Result<Known, LogError> {
    let mut file = File::open(path).map_err(LogError::io(path))?;
    let mut head = [0; 6];
    let mut length = 0;
    while length < head.len() {
        match file.read(&mut head[length..]).map_err(LogError::io(path))? {
            0 => break,
            more => length += more,
        }
    }
    if let Some(with) = packed(&head[..length]) {
        let path = path.to_owned();
        return Err(LogError::Compressed { path, with });
    }
    // Nothing was written yet.
    if length == 0 {
        let (format, first) = (Format::Stderr, None);
        return Ok(Known { format, first });
    }
    let begin = head[..length].chain(file);
    let mut lines = Lines::new(BufReader::new(begin));
    for _ in 0..MOST_TRIED {
        if !lines.advance().map_err(LogError::io(path))? {
            break;
        }
        let line = lines.line();
        let known = if csv::recognises(line) {
            let time = line.split(|&byte| byte == b',').next().unwrap_or_default();
            let first = clock.read(&String::from_utf8_lossy(time)).ok();
            Some((Format::Csv, first))
        } else if let Some(time) = json::recognises(line) {
            Some((Format::Json, clock.read(&time).ok()))
        } else {
            let labelled = prefix.take(line);
            labelled.map(|it| (Format::Stderr, it.said(clock).ok().map(|said| said.at)))
        };
        if let Some((format, first)) = known {
            return Ok(Known { format, first });
        }
    }
    Err(LogError::Foreign {
        path: path.to_owned(),
        prefix: prefix.text().to_owned(),
    })
}

/// Names the program that packed what begins so.
fn packed(head: &[u8]) -> Option<&'static str> {
    let known: [(&[u8], &str); 5] = [
        (b"\x1f\x8b", "gzip"),
        (b"\x28\xb5\x2f\xfd", "zstd"),
        (b"\xfd7zXZ", "xz"),
        (b"BZh", "bzip2"),
        (b"\x04\x22\x4d\x18", "lz4"),
    ];
    let known = known.iter().find(|(magic, _)| head.starts_with(magic));
    known.map(|(_, program)| *program)
}

fn one(
    path: &Path,
    known: Known,
    reading: &Reading,
    gathering: &mut Gathering,
    trouble: &mut Trouble,
) -> io::Result<ReadFile> {
    let mut lines = Lines::new(BufReader::with_capacity(BUFFER, File::open(path)?));
    gathering.next_file();
    let mut tell = |record: Record| gathering.take(&record);
    let clock = &reading.clock;
    trouble.add(match known.format {
        Format::Csv => csv::read(&mut lines, clock, &mut tell)?,
        Format::Json => json::read(&mut lines, clock, &mut tell)?,
        Format::Stderr => stderr::read(&mut lines, clock, &reading.prefix, &mut tell)?,
    });
    Ok(ReadFile {
        path: path.to_owned(),
        format: known.format,
        lines: lines.count,
    })
}

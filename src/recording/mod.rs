//! The recording: open columnar files, one table per kind of row. Format `pgjam.recording/1`.
//!
//! ```text
//! FOLDER/recording.json                                    format, tool, server
//! FOLDER/<table>/server=<id>/dt=2026-11-23/hr=14/part-00000017.parquet
//! FOLDER/<table>/server=<id>/dt=2026-11-23/hr=14/part-00000018.arrows     what came since
//! FOLDER/recording.lock                                    held by whoever writes
//! FOLDER/.merging                                          a part that is not finished
//! ```
//!
//! - Rows go twice a second into a segment, an Arrow stream, and every minute, or when one is
//!   full, segments become parts. After a crash at most the last second is missing; the next
//!   writer makes parts of the segments that it finds.
//! - A part is written under another name, synchronised and renamed: under its
//!   own name it is whole. What a reader cannot read it passes over and counts.
//! - The parts of an hour that is over become one. Its folder and the one with the new part change
//!   places in one operation, so whoever reads sees each row once; an engine that was about to
//!   open an old part says that it is gone, and may ask again.
//! - Rows lie in the partition of the hour of the server's clock; texts and names,
//!   which have no time, in that of the last tick before them.
//! - Sums of minutes become coarser with age, in the same tables and the same rows: of a day long ago
//!   `minutes` tells of hours (`hours-00000019.parquet`), longer ago of all of it (`days-…`), in `at`
//!   and `until`, and `cells` and `minute_counters` are its sums.
//! - Columns are named as the row's fields; times are UTC with microseconds, spans are
//!   microseconds in columns that end in `_us`. A session's times are told as spans: when its
//!   statement began is `at - state_us - query_us`.
//! - It holds query texts and names: folders are 0700, files 0600.
//!
//! Any engine that reads Parquet reads it as it is:
//! `SELECT wait_event, count(*) FROM read_parquet('FOLDER/sessions/*/*/*/*.parquet',
//! hive_partitioning = true) GROUP BY 1`.
//!
//! # How it changes
//!
//! A version has a major number, in the format's name, and a minor one beside it.
//!
//! - An addition raises the minor number: a table, a column that may be null or of which is said
//!   what its absence means, a field of `recording.json`. Whoever does not know it passes over it:
//!   an older reader reads newer data of its major number, and a newer reader older data.
//! - Whatever else changes, as the meaning, unit or type of a column, raises the major number. A
//!   reader reads its own and the one before, and says of a newer one that it does not read it.
//! - A writer goes on with a recording of its own version or of an older one, which becomes one
//!   of its own. It refuses a newer one, also by its minor number alone: it would neither keep up
//!   what it does not know nor know what to keep for it, and then something would be lost.
//! - How long a row of `minutes` lasts is what it says, one minute or more. A reader of this version
//!   that does not know of hours reads them all the same, but for the moment in which a day of them
//!   is made: then it may miss cells of that day. A writer that does not know of them leaves them as
//!   they are.
//! - Version 0 had `state_change`, `query_start`, `xact_start` and `waitstart` instead of spans;
//!   the rest was the same. Its parts stay as they are until they are merged.

mod buffer;
mod cells;
mod charge;
mod coarsen;
mod columns;
mod counted;
mod declare;
mod event;
mod files;
mod format;
mod grain;
mod interner;
mod joined;
mod merge;
mod order;
mod overflow;
mod partition;
mod parts;
mod queue;
mod reader;
mod recorder;
mod retention;
mod rows;
mod seen;
mod segment;
mod tables;
mod upkeep;
mod window;
mod writer;

use std::io;
use std::path::PathBuf;

use crate::sample::{
    Counters, Declared, Loss, Name, Server, Snapshot, StatementText, Surroundings,
};
use crate::time::Span;

pub use self::cells::Cells;
pub use self::charge::{Account, Charge, Edge, Minute, RolledUp};
pub use self::declare::{LabelError, declare, label};
pub use self::event::Event;
pub use self::recorder::{Disk, Recorder};
pub use self::retention::{Retention, Size};
pub use self::window::Window;
pub use self::writer::Writer;

/// A recording, read into memory, in order of time.
#[derive(Clone, Debug, PartialEq)]
pub struct Recording {
    /// The server that was watched.
    pub server: Server,
    /// The ticks.
    pub snapshots: Vec<Snapshot>,
    /// The looks at `pg_stat_statements`.
    pub counters: Vec<Counters>,
    /// The texts.
    pub statements: Vec<StatementText>,
    /// What the oids mean.
    pub names: Vec<Name>,
    /// What was told.
    pub declared: Vec<Declared>,
    /// What was lost.
    pub losses: Vec<Loss>,
    /// What remains of the minutes before the first tick.
    pub minutes: Vec<RolledUp>,
    /// What was seen to happen.
    pub events: Vec<Event>,
    /// What went on around the sessions.
    pub surroundings: Surroundings,
}

impl Recording {
    /// Lists the accounts of the minutes, those that cells share once.
    pub fn accounts(&self) -> impl Iterator<Item = &Account> {
        charge::accounts(&self.minutes)
    }

    /// Gives the recording of a server at which nobody has looked yet.
    #[must_use]
    pub const fn empty(server: Server) -> Self {
        Self {
            server,
            snapshots: Vec::new(),
            counters: Vec::new(),
            statements: Vec::new(),
            names: Vec::new(),
            declared: Vec::new(),
            losses: Vec::new(),
            minutes: Vec::new(),
            events: Vec::new(),
            surroundings: Surroundings {
                tables: Vec::new(),
                databases: Vec::new(),
                server: Vec::new(),
                horizons: Vec::new(),
                settings: Vec::new(),
            },
        }
    }
}

/// What a recording consists of.
#[derive(Clone, Debug)]
pub enum Entry {
    /// A tick.
    Snapshot(Box<Snapshot>),
    /// A look at the counters.
    Counters(Counters),
    /// A text.
    Statement(StatementText),
    /// A name.
    Name(Name),
    /// Something told.
    Declared(Declared),
    /// Something lost.
    Loss(Loss),
    /// Whose time at a tick went where.
    Charges(Vec<Charge>),
    /// Who stood in whose way at a tick.
    Edges(Vec<Edge>),
    /// What remains of a minute.
    Minute(Box<RolledUp>),
    /// Something seen to happen.
    Event(Event),
    /// What goes on around the sessions.
    Surroundings(Box<Surroundings>),
    /// The same server, found again.
    Server(Server),
    /// How much may be kept from now on.
    Limits(Limits),
}

/// What a recording may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How much of the past stays.
    pub retention: Retention,
    /// So many bytes of rows wait in memory for a disk that refuses them, and as many for one that
    /// stalls.
    pub waiting: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            retention: Retention::default(),
            waiting: overflow::MOST_BYTES,
        }
    }
}

impl From<Snapshot> for Entry {
    fn from(snapshot: Snapshot) -> Self {
        Self::Snapshot(Box::new(snapshot))
    }
}

/// Why a recording cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum RecordingError {
    /// The folder holds other things.
    #[error("{} holds something other than a recording; name a new or an empty folder", .0.display())]
    Occupied(PathBuf),
    /// Somebody writes into it now.
    #[error("another pgjam is writing into {}; name another folder, or stop that one", .0.display())]
    Busy(PathBuf),
    /// The folder holds the recording of another server.
    #[error("{} holds a recording of {of}; name another folder", folder.display())]
    OtherServer {
        /// The folder.
        folder: PathBuf,
        /// Where that server was reached.
        of: String,
    },
    /// There is no recording in the folder.
    #[error("{} is no recording: it has no readable recording.json", .0.display())]
    NotARecording(PathBuf),
    /// A later version wrote it.
    #[error("{} has the format {format}, which this version does not know; use a newer pgjam", folder.display())]
    Newer {
        /// The folder.
        folder: PathBuf,
        /// The format it names.
        format: String,
    },
    /// More than fits in memory.
    #[error(
        "{} holds about {} MiB of rows for that time, too much to read at \
         once; name a window of at most {fits}",
        folder.display(), bytes.div_ceil(1 << 20)
    )]
    TooLarge {
        /// The folder.
        folder: PathBuf,
        /// So many bytes of rows.
        bytes: u64,
        /// So long a window fits.
        fits: Span,
    },
    /// The file system refused.
    #[error("cannot write or read {}: {source}", path.display())]
    Io {
        /// What was asked for.
        path: PathBuf,
        /// What it said.
        source: io::Error,
    },
    /// Rows could not be turned into columns.
    #[error("cannot encode rows of the table {table}: {reason}")]
    Encode {
        /// The table.
        table: &'static str,
        /// What the encoder said.
        reason: String,
    },
}

impl RecordingError {
    /// Tells whether there is no room, which may pass.
    #[must_use]
    pub fn is_no_room(&self) -> bool {
        let no_room = [io::ErrorKind::StorageFull, io::ErrorKind::QuotaExceeded];
        matches!(self, Self::Io { source, .. } if no_room.contains(&source.kind()))
    }
}

#[cfg(test)]
mod tests;

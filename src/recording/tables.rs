//! The list of tables. What is done to every table is done by walking it.
//!
//! Whoever adds a table adds a line here and its columns to `rows`; an [`Entry`](super::Entry) by
//! which its rows come, with its line in [`Writer::take`](super::Writer::take); and a field of
//! [`Recording`](super::Recording), with its line in [`Recording::open`](super::Recording::open).

use std::path::Path;

use super::RecordingError;
use super::buffer::{Buffer, Place};
use super::charge::{Charge, Edge, Minute};
use super::event::Event;
use super::merge;
use super::retention::Class;
use super::rows::{Look, PerMinute, PerTick, Row, Stamped, TickRow};
use super::seen::{LockRow, SessionRow};
use super::segment;
use crate::sample::{
    DatabaseCounters, Declared, Horizon, Loss, Name, Prepared, SafeSnapshotWait, ServerCounter,
    Setting, StatementCounters, StatementText, TableCounters,
};
use crate::time::Timestamp;

/// A table while it is written, whatever its rows are.
pub(super) trait Table {
    /// Its name.
    fn name(&self) -> &'static str;
    /// Puts the rows that were taken in beyond the reach of a crash of this process.
    fn flush(&mut self, place: &mut Place) -> Result<(), RecordingError>;
    /// Makes parts of what was flushed.
    fn seal(&mut self) -> Result<(), RecordingError>;
    /// How long its rows stay.
    fn class(&self) -> Class;
    /// Lets go of segments that somebody has removed, and tells how many rows went with them.
    fn let_go_of_removed(&mut self) -> u64;
    /// What the rows take that wait in memory.
    fn bytes(&self) -> usize;
    /// When the first of them was.
    fn oldest(&self) -> Option<Timestamp>;
    /// Drops those up to a time, and tells how many.
    fn drop_until(&mut self, cut: Timestamp) -> u64;
}

/// A table on disk, whatever its rows are.
#[derive(Debug)]
pub(super) struct Kind {
    /// Its name.
    pub(super) table: &'static str,
    /// How long its rows stay.
    pub(super) class: Class,
    /// Makes a part of a segment.
    pub(super) seal: fn(&Path) -> Result<(), RecordingError>,
    /// Begins to make one part of those of an hour.
    pub(super) merge: merge::Begin,
}

impl Kind {
    const fn of<R: Row>(class: Class) -> Self {
        Self {
            class,
            table: R::TABLE,
            seal: segment::seal::<R>,
            merge: merge::begin::<R>,
        }
    }
}

/// Tells how long the rows of a table stay.
pub(super) fn class_of<R: Row>() -> Class {
    let kind = KINDS.iter().find(|kind| kind.table == R::TABLE);
    kind.map_or(Class::Raw, |kind| kind.class)
}

macro_rules! tables {
    ($($class:ident $name:ident: $row:ty;)*) => {
        /// All tables while they are written.
        #[derive(Debug, Default)]
        pub(super) struct Tables {
            $(pub(super) $name: Buffer<$row>,)*
            /// Ticks that were dropped since the last that was not.
            pub(super) missed: u32,
            /// What was lost since that was last asked, one of a kind.
            pub(super) lost: Vec<Loss>,
        }

        impl Tables {
            /// Lists them, in the order in which they are to be written.
            pub(super) fn all(&mut self) -> Vec<&mut dyn Table> {
                vec![$(&mut self.$name),*]
            }
        }

        /// All tables on disk, in the same order.
        pub(super) const KINDS: &[Kind] = &[$(Kind::of::<$row>(Class::$class)),*];
    };
}

// Ticks go behind what they saw: rows without their tick count as lost, a tick without rows
// would lie.
tables! {
    Raw locks: LockRow;
    Raw prepared: Stamped<Prepared>;
    Raw safe_snapshots: Stamped<SafeSnapshotWait>;
    Raw sessions: SessionRow;
    Raw ticks: TickRow;
    Raw charges: PerTick<Charge>;
    Raw edges: Edge;
    Rollup cells: PerMinute<Charge>;
    Rollup minute_counters: PerMinute<StatementCounters>;
    Rollup minutes: Minute;
    Raw counters: StatementCounters;
    Raw looks: Look;
    Kept statements: StatementText;
    Kept names: Name;
    Rollup declared: Declared;
    Rollup events: Event;
    Raw tables: TableCounters;
    Raw databases: DatabaseCounters;
    Raw server: ServerCounter;
    Raw horizons: Horizon;
    Rollup settings: Setting;
    Rollup losses: Loss;
}

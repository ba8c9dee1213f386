//! The rows as they lie in the files: each table's columns, and the time that places a row.

use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::{DataType, Field, FieldRef, TimeUnit};
use parquet::basic::Encoding;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::charge::{Account, Charge, Edge, Minute};
use super::columns;
use super::event::Event;
use super::interner::Interner;
use crate::sample::{
    DatabaseCounters, Declared, Horizon, Loss, Name, PaceReason, Prepared, SafeSnapshotWait,
    ServerCounter, Setting, StatementCounters, StatementText, TableCounters, Tick,
};
use crate::time::{Span, Timestamp};

/// A row of a table.
pub(super) trait Row: Serialize + DeserializeOwned + Send + 'static {
    /// The table's name.
    const TABLE: &'static str;
    /// Columns that only version 0 had.
    const BEFORE: &[&str] = &[];
    /// The columns by which rows lie in a part: the order in which they take the least room.
    const ORDER: &[&str] = &["at"];
    /// Makes rows of columns that have the types of this version's, where there are so many that
    /// their fields' names are too slow.
    const BY_COLUMN: Option<ByColumn<Self>> = None;
    /// Its columns.
    fn columns() -> Vec<Column>;
    /// When it was, which says in which hour it lies; one that has no time lies in the hour in
    /// which it was written.
    fn at(&self) -> Option<Timestamp>;
    /// Tells what an earlier version wrote as this one does.
    #[must_use]
    fn renewed(self) -> Self {
        self
    }
    /// The memory that it takes, about.
    fn bytes(&self) -> usize {
        size_of::<Self>()
    }
}

/// What makes rows of columns; none if they are not ours.
pub(super) type ByColumn<R> = fn(&RecordBatch, &mut Interner) -> Option<Vec<R>>;

/// A column, and how it is packed.
pub(super) struct Column {
    pub(super) field: FieldRef,
    pub(super) packing: Option<Encoding>,
}

impl Column {
    pub(super) fn new(name: &str, kind: Kind, nullable: bool) -> Self {
        Self {
            field: Arc::new(Field::new(name, kind.0, nullable)),
            packing: kind.1,
        }
    }
}

/// What is in a column, and its encoding where that is better than a dictionary.
pub(super) type Kind = (DataType, Option<Encoding>);

/// The kinds of column; each says why it is packed as it is.
pub(super) mod kind {
    use super::{Arc, DataType, Encoding, Field, Kind, TimeUnit};

    /// Words and numbers of which few are different.
    pub(in super::super) const fn few(kind: DataType) -> Kind {
        (kind, None)
    }

    /// What grows from row to row.
    pub(in super::super) const fn growing(kind: DataType) -> Kind {
        (kind, Some(Encoding::DELTA_BINARY_PACKED))
    }

    /// Figures whose upper bytes are alike and whose lower bytes are noise.
    pub(in super::super) const fn noisy(kind: DataType) -> Kind {
        (kind, Some(Encoding::BYTE_STREAM_SPLIT))
    }

    /// What stays the same for some rows, or comes again in the same sequence: the compressor finds
    /// that in whole bytes, and a dictionary's bits would hide it.
    pub(in super::super) const fn again(kind: DataType) -> Kind {
        let packing = match kind {
            DataType::Utf8 => Encoding::DELTA_LENGTH_BYTE_ARRAY,
            _ => Encoding::PLAIN,
        };
        (kind, Some(packing))
    }

    /// A span in microseconds.
    pub(in super::super) const SPAN: Kind = noisy(DataType::Int64);

    /// A time that many rows share.
    pub(in super::super) fn time() -> Kind {
        few(DataType::Timestamp(
            TimeUnit::Microsecond,
            Some("UTC".into()),
        ))
    }

    /// The times of a sequence of ticks, of which there are many in a part.
    pub(in super::super) fn ticks() -> Kind {
        again(time().0)
    }

    /// A time that no two rows share.
    pub(in super::super) fn ticking() -> Kind {
        growing(time().0)
    }

    /// A list of words.
    pub(in super::super) fn words() -> Kind {
        few(DataType::List(Arc::new(Field::new(
            "item",
            DataType::Utf8,
            false,
        ))))
    }
}

/// A row with the tick that saw it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Stamped<R> {
    pub(super) at: Timestamp,
    #[serde(flatten)]
    pub(super) row: R,
}

/// A row of the samples' grain, of a kind that is summed by the minute too.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct PerTick<R>(pub(super) R);

/// A row of which there is one a minute.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct PerMinute<R>(pub(super) R);

/// A [`Tick`] with units in its names.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct TickRow {
    pub(super) at: Timestamp,
    pub(super) span_us: Span,
    /// Younger than the format: a tick stood for the time before it.
    pub(super) place_us: Option<Span>,
    pub(super) server_us: Span,
    pub(super) missed: u32,
    /// Younger than the format.
    #[serde(default = "usual_deadlock_timeout")]
    pub(super) deadlock_timeout_us: Span,
    /// Younger than the format.
    #[serde(default)]
    pub(super) period_us: Span,
    /// Younger than the format.
    #[serde(default)]
    pub(super) pace: PaceReason,
}

fn usual_deadlock_timeout() -> Span {
    Tick::DEADLOCK_TIMEOUT
}

impl From<Tick> for TickRow {
    fn from(tick: Tick) -> Self {
        let Tick {
            at,
            span,
            place,
            server,
            missed,
            deadlock_timeout,
            period,
            pace,
        } = tick;
        Self {
            at,
            span_us: span,
            place_us: Some(place),
            server_us: server,
            missed,
            deadlock_timeout_us: deadlock_timeout,
            period_us: period,
            pace,
        }
    }
}

impl From<TickRow> for Tick {
    fn from(row: TickRow) -> Self {
        let TickRow {
            at,
            span_us,
            place_us,
            server_us,
            missed,
            deadlock_timeout_us,
            period_us,
            pace,
        } = row;
        Self {
            at,
            span: span_us,
            place: place_us.unwrap_or(span_us),
            server: server_us,
            missed,
            deadlock_timeout: deadlock_timeout_us,
            period: period_us,
            pace,
        }
    }
}

/// That the counters were read, which is news also when none had changed.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Look {
    pub(super) at: Timestamp,
}

/// Tells the columns of a table, each with its kind, and `null` where it may be missing.
macro_rules! table {
    ($row:ty, $name:literal, $time:expr, [$($column:ident: $kind:expr $(, $null:ident)?;)*] $($more:item)*) => {
        impl Row for $row {
            const TABLE: &'static str = $name;
            fn columns() -> Vec<Column> {
                use arrow_schema::DataType::{Boolean, Float64, Int16, Int32, Int64, UInt32, UInt64, Utf8};
                use crate::recording::rows::kind::{self, SPAN, again, few, growing, noisy};
                // Not every table has a column of every kind.
                let _ = (Boolean, Float64, Int16, Int32, Int64, UInt32, UInt64, Utf8);
                let _ = (kind::time, SPAN, again, few, growing, noisy);
                vec![$(Column::new(stringify!($column), $kind, table!(@ $($null)?))),*]
            }
            fn at(&self) -> Option<Timestamp> {
                let time: fn(&Self) -> Option<Timestamp> = $time;
                time(self)
            }
            $($more)*
        }
    };
    (@) => { false };
    (@ null) => { true };
}
pub(super) use table;

table! { TickRow, "ticks", |row| Some(row.at), [
    at: kind::ticking(); span_us: SPAN; place_us: SPAN, null; server_us: SPAN;
    missed: few(UInt32); deadlock_timeout_us: few(Int64); period_us: few(Int64); pace: few(Utf8);
] }

table! { Stamped<Prepared>, "prepared", |row| Some(row.at), [
    at: kind::time(); transaction: few(UInt32); gid: few(Utf8); prepared: kind::time();
    owner: few(UInt32); database: few(UInt32);
] }

table! { Stamped<SafeSnapshotWait>, "safe_snapshots", |row| Some(row.at), [
    at: kind::time(); waiter: few(Int32); blocker: few(Int32);
] }

table! { Look, "looks", |row| Some(row.at), [at: kind::ticking();] }

table! { StatementCounters, "counters", |row| Some(row.at), [
    at: kind::time(); database: few(UInt32); query_id: few(Int64); calls: growing(Int64), null;
    exec_ms: noisy(Float64); rows: growing(Int64); blocks_hit: growing(Int64);
    blocks_read: growing(Int64); wal_bytes: growing(Int64);
]
    const ORDER: &[&str] = &["database", "query_id", "at"];
    const BY_COLUMN: Option<ByColumn<Self>> = Some(|batch, _| columns::counters(batch));
}

table! { PerMinute<StatementCounters>, "minute_counters", |row| Some(row.0.at), [
    at: kind::time(); database: few(UInt32); query_id: few(Int64); calls: growing(Int64), null;
    exec_ms: noisy(Float64); rows: growing(Int64); blocks_hit: growing(Int64);
    blocks_read: growing(Int64); wal_bytes: growing(Int64);
]
    const ORDER: &[&str] = &["database", "query_id", "at"];
    const BY_COLUMN: Option<ByColumn<Self>> = Some(|batch, _| {
        let rows = columns::counters(batch)?;
        Some(rows.into_iter().map(Self).collect())
    });
}

macro_rules! charges {
    ($row:ty, $name:literal, $at:expr, $spent:expr, $waited:expr, $order:expr) => {
        table! { $row, $name, |row| Some(row.0.at), [
            at: $at; database: few(UInt32), null; statement: few(UInt64), null;
            system: few(Utf8), null; class: few(Utf8); table_name: few(Utf8), null; held_table: few(Utf8), null;
            basis: few(Utf8), null; lock_type: few(Utf8), null; lock_mode: few(Utf8), null;
            blocker: few(Utf8); blocker_system: few(Utf8), null; blocker_gid: few(Utf8), null;
            blocker_state: few(Utf8), null; blocker_statement: few(UInt64), null;
            blocker_basis: few(Utf8), null; through_system: few(Utf8), null;
            through_statement: few(UInt64), null; spent_us: $spent; ticks: few(UInt32);
            waited_us: $waited, null;
        ]
            const ORDER: &[&str] = &$order;
            const BY_COLUMN: Option<ByColumn<Self>> = Some(|batch, known| {
                let rows = columns::charges(batch, known)?;
                Some(rows.into_iter().map(Self).collect())
            });
            fn bytes(&self) -> usize {
                size_of::<Self>() + size_of::<Account>()
            }
        }
    };
}

// Who waits behind the same blocker at one tick is charged alike.
charges! { PerTick<Charge>, "charges", kind::ticks(), again(Int64), few(Int64), [
    "class", "lock_type", "lock_mode", "table_name", "held_table", "blocker", "blocker_system",
    "blocker_gid", "at", "database", "statement", "system",
] }

charges! { PerMinute<Charge>, "cells", kind::time(), SPAN, SPAN, [
    "database", "statement", "system", "class", "table_name", "held_table", "basis", "lock_type",
    "lock_mode", "blocker", "blocker_system", "blocker_gid", "blocker_state", "blocker_statement",
    "blocker_basis", "through_system", "through_statement", "at",
] }

table! { Edge, "edges", |row| Some(row.at), [
    at: kind::ticks(); waiter: again(Int32); blocker: few(Int32), null; gid: few(Utf8), null;
    owner: few(Utf8), null; kind: few(Utf8); certainty: few(Utf8), null; lock_type: few(Utf8), null;
    lock_mode: few(Utf8), null; table_name: few(Utf8), null;
]
    const ORDER: &[&str] = &["kind", "lock_type", "lock_mode", "table_name", "at", "blocker", "waiter"];
}

table! { Minute, "minutes", |row| Some(row.at), [
    at: kind::ticking(); until: kind::ticking(); ticks: few(UInt32); missed: few(UInt32);
    span_us: SPAN; watched_us: SPAN; server_us: SPAN; blocked: few(UInt32); counted: kind::time(), null;
] }

table! { Event, "events", |row| Some(row.at), [
    at: kind::time(); kind: few(Utf8); label: few(Utf8); detail: few(Utf8), null;
] }

table! { StatementText, "statements", |_| None, [
    id: few(UInt64); database: few(UInt32), null; query_id: few(Int64), null; text: few(Utf8);
    parsed: few(Boolean);
]
    fn bytes(&self) -> usize {
        size_of::<Self>() + self.text.len()
    }
}

table! { Name, "names", |_| None, [
    kind: few(Utf8); database: few(UInt32), null; oid: few(UInt32); name: few(Utf8);
    table: few(UInt32), null; superuser: few(Boolean), null; usable: few(Boolean), null;
    relkind: few(Utf8), null; parent: few(UInt32), null; topmost: few(UInt32), null;
    triggers: few(Boolean), null; refers_to: few(UInt32), null; columns: kind::words(), null;
    cascades: few(Boolean), null;
]
    fn bytes(&self) -> usize {
        let columns = self.columns.iter().flatten().map(|column| column.len() + 32);
        size_of::<Self>() + self.name.len() + columns.sum::<usize>()
    }
}

table! { Declared, "declared", |row| Some(row.at), [at: kind::time(); label: few(Utf8);]
    fn bytes(&self) -> usize {
        size_of::<Self>() + self.label.len()
    }
}

table! { TableCounters, "tables", |row| Some(row.at), [
    at: kind::time(); database: few(UInt32); table: few(UInt32); inserted: growing(Int64);
    updated: growing(Int64); deleted: growing(Int64); hot_updated: growing(Int64);
    seq_scans: growing(Int64); seq_rows: growing(Int64); index_scans: growing(Int64);
    live_rows: growing(Int64); dead_rows: growing(Int64); vacuums: growing(Int64);
    autovacuums: growing(Int64); last_autovacuum: kind::time(), null;
    last_autoanalyze: kind::time(), null;
]
    const ORDER: &[&str] = &["database", "table", "at"];
}

table! { DatabaseCounters, "databases", |row| Some(row.at), [
    at: kind::time(); database: few(UInt32); commits: growing(Int64); rollbacks: growing(Int64);
    blocks_read: growing(Int64); blocks_hit: growing(Int64); rows_returned: growing(Int64);
    rows_fetched: growing(Int64); inserted: growing(Int64); updated: growing(Int64);
    deleted: growing(Int64); conflicts: growing(Int64); temp_files: growing(Int64);
    temp_bytes: growing(Int64); deadlocks: growing(Int64); stats_reset: kind::time(), null;
]
    const ORDER: &[&str] = &["database", "at"];
}

table! { ServerCounter, "server", |row| Some(row.at), [
    at: kind::time(); name: few(Utf8); value: growing(Int64);
]
    const ORDER: &[&str] = &["name", "at"];
}

table! { Horizon, "horizons", |row| Some(row.at), [
    at: kind::time(); kind: few(Utf8); pid: few(Int32), null; owner: few(Utf8), null;
    database: few(UInt32), null; xid: few(UInt32); age: growing(Int64); since: kind::time(), null;
] }

table! { Setting, "settings", |row| Some(row.at), [
    at: kind::time(); name: few(Utf8); value: few(Utf8), null; source: few(Utf8);
    pending_restart: few(Boolean);
] }

table! { Loss, "losses", |row| Some(row.at), [at: kind::time(); kind: few(Utf8); count: few(UInt64);] }

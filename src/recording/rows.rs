//! The rows as they lie in the files: each table's columns, and the time that places a row.

use std::sync::Arc;

use arrow_schema::{DataType, Field, FieldRef, TimeUnit};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::charge::{Charge, Edge, Minute};
use super::event::Event;
use crate::sample::{
    DatabaseCounters, Declared, Horizon, Lock, Loss, Name, PaceReason, Prepared, SafeSnapshotWait,
    ServerCounter, Session, Setting, StatementCounters, StatementText, TableCounters, Tick,
};
use crate::time::{Span, Timestamp};

/// A row of a table.
pub(super) trait Row: Serialize + DeserializeOwned {
    /// The table's name.
    const TABLE: &'static str;
    /// Its columns.
    fn fields() -> Vec<FieldRef>;
    /// When it was, which says in which hour it lies; one that has no time lies in the hour in
    /// which it was written.
    fn at(&self) -> Option<Timestamp>;
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

const TIME: fn() -> DataType = || DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));

const WORDS: fn() -> DataType =
    || DataType::List(Arc::new(Field::new("item", DataType::Utf8, false)));

fn columns(columns: &[(&str, DataType, bool)]) -> Vec<FieldRef> {
    let field = |(name, kind, nullable): &(&str, DataType, bool)| {
        Arc::new(Field::new(*name, kind.clone(), *nullable))
    };
    columns.iter().map(field).collect()
}

macro_rules! table {
    ($row:ty, $name:literal, $time:expr, $($column:ident: $kind:expr $(, $null:ident)?;)*) => {
        impl Row for $row {
            const TABLE: &'static str = $name;
            fn fields() -> Vec<FieldRef> {
                use DataType::{Boolean, Float64, Int16, Int32, Int64, UInt32, UInt64, Utf8};
                // Not every table has a column of every kind.
                let _ = (Boolean, Float64, Int16, Int32, Int64, UInt32, UInt64, Utf8);
                columns(&[$((stringify!($column), $kind, table!(@ $($null)?))),*])
            }
            fn at(&self) -> Option<Timestamp> {
                let time: fn(&Self) -> Option<Timestamp> = $time;
                time(self)
            }
        }
    };
    (@) => { false };
    (@ null) => { true };
}

table! { TickRow, "ticks", |row| Some(row.at), at: TIME(); span_us: Int64; place_us: Int64, null; server_us: Int64;
    missed: UInt32; deadlock_timeout_us: Int64; period_us: Int64; pace: Utf8;
}

table! { Stamped<Session>, "sessions", |row| Some(row.at),
    at: TIME(); pid: Int32; backend_start: TIME(); leader_pid: Int32, null; backend_type: Utf8;
    database: UInt32, null; role: UInt32, null; application_name: Utf8; client_addr: Utf8, null;
    state: Utf8; wait_event_type: Utf8, null; wait_event: Utf8, null; query_id: Int64, null;
    statement: UInt64, null; tags: Utf8, null; xact_start: TIME(), null;
    query_start: TIME(), null; state_change: TIME(), null; backend_xid: UInt32, null;
    backend_xmin: UInt32, null;
}

table! { Stamped<Lock>, "locks", |row| Some(row.at),
    at: TIME(); owner: Utf8; pid: Int32, null; locktype: Utf8; database: UInt32, null;
    relation: UInt32, null; page: Int32, null; tuple: Int16, null; virtualxid: Utf8, null;
    transactionid: UInt32, null; classid: UInt32, null; objid: UInt32, null;
    objsubid: Int16, null; mode: Utf8; granted: Boolean; fastpath: Boolean;
    waitstart: TIME(), null;
}

table! { Stamped<Prepared>, "prepared", |row| Some(row.at),
    at: TIME(); transaction: UInt32; gid: Utf8; prepared: TIME(); owner: UInt32; database: UInt32;
}

table! { Stamped<SafeSnapshotWait>, "safe_snapshots", |row| Some(row.at),
    at: TIME(); waiter: Int32; blocker: Int32;
}

table! { Look, "looks", |row| Some(row.at), at: TIME(); }

table! { StatementCounters, "counters", |row| Some(row.at),
    at: TIME(); database: UInt32; query_id: Int64; calls: Int64, null; exec_ms: Float64; rows: Int64;
    blocks_hit: Int64; blocks_read: Int64; wal_bytes: Int64;
}

table! { PerMinute<StatementCounters>, "minute_counters", |row| Some(row.0.at),
    at: TIME(); database: UInt32; query_id: Int64; calls: Int64, null; exec_ms: Float64; rows: Int64;
    blocks_hit: Int64; blocks_read: Int64; wal_bytes: Int64;
}

macro_rules! charges {
    ($row:ty, $name:literal) => {
        table! { $row, $name, |row| Some(row.0.at),
            at: TIME(); database: UInt32, null; statement: UInt64, null; system: Utf8, null;
            class: Utf8; table_name: Utf8, null; held_table: Utf8, null; basis: Utf8, null;
            lock_type: Utf8, null; lock_mode: Utf8, null; blocker: Utf8;
            blocker_system: Utf8, null; blocker_gid: Utf8, null; blocker_state: Utf8, null;
            blocker_statement: UInt64, null; blocker_basis: Utf8, null;
            through_system: Utf8, null; through_statement: UInt64, null;
            spent_us: Int64; ticks: UInt32; waited_us: Int64, null;
        }
    };
}

charges! { PerTick<Charge>, "charges" }

charges! { PerMinute<Charge>, "cells" }

table! { Edge, "edges", |row| Some(row.at),
    at: TIME(); waiter: Int32; blocker: Int32, null; gid: Utf8, null; owner: Utf8, null; kind: Utf8;
    certainty: Utf8, null; lock_type: Utf8, null; lock_mode: Utf8, null; table_name: Utf8, null;
}

table! { Minute, "minutes", |row| Some(row.at),
    at: TIME(); until: TIME(); ticks: UInt32; missed: UInt32; span_us: Int64; watched_us: Int64;
    server_us: Int64; blocked: UInt32; counted: TIME(), null;
}

table! { Event, "events", |row| Some(row.at), at: TIME(); kind: Utf8; label: Utf8;
    detail: Utf8, null;
}

table! { StatementText, "statements", |_| None,
    id: UInt64; database: UInt32, null; query_id: Int64, null; text: Utf8; parsed: Boolean;
}

table! { Name, "names", |_| None,
    kind: Utf8; database: UInt32, null; oid: UInt32; name: Utf8; table: UInt32, null;
    superuser: Boolean, null; usable: Boolean, null; relkind: Utf8, null; parent: UInt32, null;
    topmost: UInt32, null; triggers: Boolean, null; refers_to: UInt32, null;
    columns: WORDS(), null; cascades: Boolean, null;
}

table! { Declared, "declared", |row| Some(row.at), at: TIME(); label: Utf8; }

table! { TableCounters, "tables", |row| Some(row.at),
    at: TIME(); database: UInt32; table: UInt32; inserted: Int64; updated: Int64; deleted: Int64;
    hot_updated: Int64; seq_scans: Int64; seq_rows: Int64; index_scans: Int64; live_rows: Int64;
    dead_rows: Int64; vacuums: Int64; autovacuums: Int64; last_autovacuum: TIME(), null;
    last_autoanalyze: TIME(), null;
}

table! { DatabaseCounters, "databases", |row| Some(row.at),
    at: TIME(); database: UInt32; commits: Int64; rollbacks: Int64; blocks_read: Int64;
    blocks_hit: Int64; rows_returned: Int64; rows_fetched: Int64; inserted: Int64; updated: Int64;
    deleted: Int64; conflicts: Int64; temp_files: Int64; temp_bytes: Int64; deadlocks: Int64;
    stats_reset: TIME(), null;
}

table! { ServerCounter, "server", |row| Some(row.at), at: TIME(); name: Utf8; value: Int64; }

table! { Horizon, "horizons", |row| Some(row.at),
    at: TIME(); kind: Utf8; pid: Int32, null; owner: Utf8, null; database: UInt32, null;
    xid: UInt32; age: Int64; since: TIME(), null;
}

table! { Setting, "settings", |row| Some(row.at),
    at: TIME(); name: Utf8; value: Utf8, null; source: Utf8; pending_restart: Boolean;
}

table! { Loss, "losses", |row| Some(row.at), at: TIME(); kind: Utf8; count: UInt64; }

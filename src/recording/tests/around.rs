//! What went on around the sessions, one row of each kind.

use super::*;
use crate::sample::{
    DatabaseCounters, Horizon, ServerCounter, Setting, Surroundings, TableCounters,
};

pub(super) fn surroundings() -> Surroundings {
    Surroundings {
        tables: vec![TableCounters {
            at: at(7),
            database: Oid(5),
            table: Oid(16_384),
            inserted: 1,
            updated: 2,
            deleted: 3,
            hot_updated: 4,
            seq_scans: 5,
            seq_rows: 6,
            index_scans: 7,
            live_rows: 8,
            dead_rows: 9,
            vacuums: 10,
            autovacuums: 11,
            last_autovacuum: Some(at(-5)),
            last_autoanalyze: None,
        }],
        databases: vec![DatabaseCounters {
            at: at(7),
            database: Oid(5),
            commits: 1,
            rollbacks: 2,
            blocks_read: 3,
            blocks_hit: 4,
            rows_returned: 5,
            rows_fetched: 6,
            inserted: 7,
            updated: 8,
            deleted: 9,
            conflicts: 10,
            temp_files: 11,
            temp_bytes: 12,
            deadlocks: 13,
            stats_reset: Some(at(-9)),
        }],
        server: vec![ServerCounter {
            at: at(7),
            name: "wal_bytes".into(),
            value: i64::MAX,
        }],
        horizons: vec![Horizon {
            at: at(7),
            kind: "slot".into(),
            pid: Some(Pid(7)),
            owner: Some(HOSTILE.into()),
            database: None,
            xid: Xid(3),
            age: 1 << 31,
            since: None,
        }],
        settings: vec![Setting {
            at: at(7),
            name: "work_mem".into(),
            value: None,
            source: "default".into(),
            pending_restart: true,
        }],
    }
}

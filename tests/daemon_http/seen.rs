//! A server as it was seen: one session holds a row, others wait for it.

use pgjam::pg::{LockMode, Oid, Pid, Version, Xid};
use pgjam::sample::{
    Lock, LockTarget, Name, NameKind, PaceReason, Server, Session, Snapshot, State, StatementText,
    Tick,
};
use pgjam::statement::StatementId;
use pgjam::time::{Span, Timestamp};

/// A word that stands in a text and nowhere else.
pub(crate) const SECRET: &str = "zebra";

/// When the server began, and the first tick came a second later.
pub(crate) const BEGIN: Timestamp = Timestamp::from_micros(1_763_900_000_000_000);

const DATABASE: Oid = Oid(5);
const TABLE: Oid = Oid(16_400);

pub(crate) fn server() -> Server {
    Server {
        version_num: Version(150_018),
        system_identifier: Some("7400000000000000001".to_owned()),
        in_recovery: false,
        started_at: BEGIN,
        address: "localhost:5432/prod".to_owned(),
        has_statements: false,
    }
}

pub(crate) fn names() -> Vec<Name> {
    let table = Name {
        database: Some(DATABASE),
        table: Some(TABLE),
        ..Name::new(NameKind::Relation, TABLE, "public.hot")
    };
    vec![
        Name::new(NameKind::Database, DATABASE, "prod"),
        Name::new(NameKind::Role, Oid(10), "app"),
        table,
    ]
}

pub(crate) fn texts() -> Vec<StatementText> {
    let text = |id, text: &str| StatementText {
        id: StatementId(id),
        database: Some(DATABASE),
        query_id: None,
        text: text.into(),
        parsed: true,
    };
    vec![
        text(1, "UPDATE hot SET zebra = zebra + $1 WHERE id = $2"),
        text(2, "SELECT zebra FROM cold"),
    ]
}

/// A tick on which `waiters` sessions of these applications wait for one of `sync-12`.
pub(crate) fn jam(n: i64, waiters: &[&str]) -> Snapshot {
    let at = BEGIN + Span::from_millis(1_000 + 100 * n);
    let mut holder = session(100, "sync-12", at);
    holder.state = State::IdleInTransaction;
    holder.statement = Some(StatementId(2));
    let mut sessions = vec![holder];
    let mut locks = vec![
        lock(100, "relation", LockMode::RowExclusive, true),
        lock(100, "transactionid", LockMode::Exclusive, true),
    ];
    for (pid, application) in (101..).zip(waiters) {
        let mut waiter = session(pid, application, at);
        waiter.wait_event_type = Some("Lock".into());
        waiter.wait_event = Some("transactionid".into());
        sessions.push(waiter);
        locks.push(lock(pid, "relation", LockMode::RowExclusive, true));
        locks.push(Lock {
            waitstart: Some(at),
            ..lock(pid, "transactionid", LockMode::Share, false)
        });
    }
    Snapshot {
        tick: Tick {
            at,
            span: Span::from_millis(100),
            place: Span::from_millis(50),
            server: Span::from_millis(1),
            missed: 0,
            deadlock_timeout: Tick::DEADLOCK_TIMEOUT,
            period: Span::from_millis(100),
            pace: PaceReason::Busy,
        },
        sessions,
        locks,
        prepared: Vec::new(),
        safe_snapshots: Vec::new(),
    }
}

fn session(pid: i32, application: &str, at: Timestamp) -> Session {
    Session {
        pid: Pid(pid),
        backend_start: BEGIN,
        leader_pid: None,
        backend_type: "client backend".into(),
        database: Some(DATABASE),
        role: Some(Oid(10)),
        application_name: application.into(),
        client_addr: None,
        state: State::Active,
        wait_event_type: None,
        wait_event: None,
        query_id: None,
        statement: Some(StatementId(1)),
        tags: None,
        xact_start: Some(at),
        query_start: Some(at),
        state_change: Some(at),
        backend_xid: None,
        backend_xmin: None,
    }
}

fn lock(pid: i32, locktype: &str, mode: LockMode, granted: bool) -> Lock {
    let is_table = locktype == "relation";
    Lock {
        owner: format!("{pid}/1").into(),
        pid: Some(Pid(pid)),
        target: LockTarget {
            locktype: locktype.into(),
            database: is_table.then_some(DATABASE),
            relation: is_table.then_some(TABLE),
            page: None,
            tuple: None,
            virtualxid: None,
            transactionid: (!is_table).then_some(Xid(500)),
            classid: None,
            objid: None,
            objsubid: None,
        },
        mode,
        granted,
        fastpath: false,
        waitstart: None,
    }
}

//! Sessions and lock entries as they lie in the files, where nearly all bytes are.
//!
//! - Their times are told as spans, which are small numbers: `state_us` is how long the state
//!   has lasted at the tick, `query_us` how long before that the statement began, `xact_us` how
//!   long before the statement the transaction did, `wait_us` how long the wait has lasted. Where
//!   the time is missing that a span counts back from, it counts from the tick.
//! - Rows lie by the kind of thing they say, then by backend, then by time, so that what stays the
//!   same from row to row takes no room. A tick's own order is by pid, and by owner and target.
//! - Version 0 had `state_change`, `query_start`, `xact_start` and `waitstart` instead.

use serde::{Deserialize, Serialize};

use super::rows::{Column, Row, table};
use crate::sample::{Lock, Session, Snapshot};
use crate::time::Timestamp;

/// A [`Session`] at a tick.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct SessionRow {
    pub(super) at: Timestamp,
    /// Its times are only there if version 0 wrote it.
    #[serde(flatten)]
    session: Session,
    #[serde(default)]
    state_us: Option<i64>,
    #[serde(default)]
    query_us: Option<i64>,
    #[serde(default)]
    xact_us: Option<i64>,
}

impl SessionRow {
    /// Takes in a session as a tick saw it.
    pub(super) fn new(at: Timestamp, mut session: Session) -> Self {
        let (xact, query, state) = (
            session.xact_start.take(),
            session.query_start.take(),
            session.state_change.take(),
        );
        let query_from = state.unwrap_or(at);
        Self {
            at,
            session,
            state_us: state.map(|state| between(state, at)),
            query_us: query.map(|query| between(query, query_from)),
            xact_us: xact.map(|xact| between(xact, query.unwrap_or(at))),
        }
    }

    /// Gives the session back.
    pub(super) fn session(self) -> Session {
        let mut session = self.session;
        let before = |from: Option<Timestamp>, span: Option<i64>| {
            span.map(|span| before(from.unwrap_or(self.at), span))
        };
        let state = session.state_change.or(before(None, self.state_us));
        let query = session.query_start.or(before(state, self.query_us));
        session.state_change = state;
        session.query_start = query;
        session.xact_start = session.xact_start.or(before(query, self.xact_us));
        session
    }
}

/// A [`Lock`] at a tick.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct LockRow {
    pub(super) at: Timestamp,
    /// Its time is only there if version 0 wrote it.
    #[serde(flatten)]
    lock: Lock,
    #[serde(default)]
    wait_us: Option<i64>,
}

impl LockRow {
    /// Takes in an entry as a tick saw it.
    pub(super) fn new(at: Timestamp, mut lock: Lock) -> Self {
        let wait_us = lock.waitstart.take().map(|start| between(start, at));
        Self { at, lock, wait_us }
    }

    /// Gives the entry back.
    pub(super) fn lock(self) -> Lock {
        let mut lock = self.lock;
        let start = self.wait_us.map(|span| before(self.at, span));
        lock.waitstart = lock.waitstart.or(start);
        lock
    }
}

/// Puts what a tick saw in its order: sessions by pid, lock entries by owner and target.
pub(super) fn arrange(snapshot: &mut Snapshot) {
    snapshot.sessions.sort_by_key(|session| session.pid);
    snapshot.locks.sort_by(|a, b| {
        let key = |lock: &Lock| (lock.mode, !lock.granted, lock.fastpath);
        (&a.owner, &a.target, key(a)).cmp(&(&b.owner, &b.target, key(b)))
    });
    snapshot.safe_snapshots.sort_unstable();
}

/// Counts from one time to another, around the end of the range where need be: the server has
/// infinities, and what is written is read.
const fn between(from: Timestamp, to: Timestamp) -> i64 {
    to.as_micros().wrapping_sub(from.as_micros())
}

/// Undoes [`between`].
const fn before(to: Timestamp, span: i64) -> Timestamp {
    Timestamp::from_micros(to.as_micros().wrapping_sub(span))
}

table! { SessionRow, "sessions", |row| Some(row.at), [
    at: kind::ticks(); pid: few(Int32); backend_start: kind::time(); leader_pid: few(Int32), null;
    backend_type: few(Utf8); database: few(UInt32), null; role: few(UInt32), null;
    application_name: few(Utf8); client_addr: few(Utf8), null; state: few(Utf8);
    wait_event_type: few(Utf8), null; wait_event: few(Utf8), null; query_id: few(Int64), null;
    statement: few(UInt64), null; tags: few(Utf8), null; state_us: SPAN, null;
    query_us: SPAN, null; xact_us: again(Int64), null; backend_xid: again(UInt32), null;
    backend_xmin: again(UInt32), null;
]
    const BEFORE: &[&str] = &["state_change", "query_start", "xact_start"];
    const ORDER: &[&str] = &["backend_type", "state", "pid", "backend_start", "statement", "at"];
    fn renewed(self) -> Self {
        let (session, at) = (&self.session, self.at);
        let times = [session.state_change, session.query_start, session.xact_start];
        if times == [None; 3] {
            return self;
        }
        Self::new(at, self.session())
    }
}

table! { LockRow, "locks", |row| Some(row.at), [
    at: kind::ticks(); owner: again(Utf8); pid: again(Int32), null; locktype: few(Utf8);
    database: few(UInt32), null; relation: few(UInt32), null; page: again(Int32), null;
    tuple: again(Int16), null; virtualxid: few(Utf8), null; transactionid: again(UInt32), null;
    classid: few(UInt32), null; objid: few(UInt32), null; objsubid: few(Int16), null;
    mode: few(Utf8); granted: few(Boolean); fastpath: few(Boolean); wait_us: SPAN, null;
]
    const BEFORE: &[&str] = &["waitstart"];
    const ORDER: &[&str] = &["locktype", "mode", "granted", "pid", "relation", "at"];
    fn renewed(self) -> Self {
        if self.lock.waitstart.is_none() {
            return self;
        }
        Self::new(self.at, self.lock())
    }
}

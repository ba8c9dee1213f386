//! Rows of the driver to rows of ours, by column name.
//!
//! Text arrives as bytes and becomes UTF-8 here, with what is invalid replaced: the
//! server is asked for no conversion, since one text in another encoding would turn
//! the whole tick into an error.

use std::collections::{HashMap, HashSet};
use std::error::Error;
use std::sync::Arc;

use tokio_postgres::types::private::BytesMut;
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, to_sql_checked};
use tokio_postgres::{Column, Row};

use super::error::SampleError;
use crate::pg::{LockMode, Oid, Pid, QueryId, Xid};
use crate::sample::{Lock, LockTarget, Prepared, SafeSnapshotWait, Session, State};
use crate::time::{Span, Timestamp};

/// 2000-01-01, from which the server counts, in microseconds since the Unix epoch.
const POSTGRES_EPOCH: i64 = 946_684_800_000_000;

/// More distinct words than this are not kept for the next tick.
const WORDS: usize = 16_384;

/// A value as the bytes that the server sent.
pub(super) struct Bytes<'a>(pub(super) &'a [u8]);

impl<'a> FromSql<'a> for Bytes<'a> {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        Ok(Self(raw))
    }
    fn accepts(_: &Type) -> bool {
        true
    }
}

impl Bytes<'_> {
    pub(super) fn text(&self) -> Arc<str> {
        String::from_utf8_lossy(self.0).into()
    }
}

/// A `timestamptz`; the infinities become the ends of our own range.
#[derive(Debug)]
pub(super) struct Instant(pub(super) Timestamp);

impl Instant {
    /// Before everything.
    pub(super) const ALWAYS: Self = Self(Timestamp::from_micros(i64::MIN));
}

impl<'a> FromSql<'a> for Instant {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        let micros = i64::from_be_bytes(raw.try_into()?);
        Ok(Self(Timestamp::from_micros(
            micros.saturating_add(POSTGRES_EPOCH),
        )))
    }
    fn accepts(kind: &Type) -> bool {
        *kind == Type::TIMESTAMPTZ
    }
}

impl ToSql for Instant {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        let micros = self.0.as_micros().saturating_sub(POSTGRES_EPOCH);
        out.extend_from_slice(&micros.to_be_bytes());
        Ok(IsNull::No)
    }
    fn accepts(kind: &Type) -> bool {
        *kind == Type::TIMESTAMPTZ
    }
    to_sql_checked!();
}

/// A transaction id, which the driver knows no type for.
pub(super) struct TransactionId(pub(super) Xid);

impl<'a> FromSql<'a> for TransactionId {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        Ok(Self(Xid(u32::from_be_bytes(raw.try_into()?))))
    }
    fn accepts(kind: &Type) -> bool {
        *kind == Type::XID
    }
}

/// Where the columns of a query stand.
#[derive(Debug)]
pub(super) struct Columns {
    query: &'static str,
    places: HashMap<String, usize>,
}

impl Columns {
    pub(super) fn new(query: &'static str, columns: &[Column]) -> Self {
        let named = columns.iter().enumerate();
        Self {
            query,
            places: named.map(|(n, c)| (c.name().to_owned(), n)).collect(),
        }
    }

    /// Reads one value.
    pub(super) fn get<'r, T: FromSql<'r>>(
        &self,
        row: &'r Row,
        column: &'static str,
    ) -> Result<T, SampleError> {
        let query = self.query;
        self.places
            .get(column)
            .and_then(|place| row.try_get(*place).ok())
            .ok_or(SampleError::Column { query, column })
    }
}

/// The words that come again at every tick, kept once.
#[derive(Debug, Default)]
struct Words(HashSet<Arc<str>>);

impl Words {
    fn keep(&mut self, raw: &Bytes<'_>) -> Arc<str> {
        let word = String::from_utf8_lossy(raw.0);
        if let Some(kept) = self.0.get(&*word) {
            return Arc::clone(kept);
        }
        if self.0.len() >= WORDS {
            self.0.clear();
        }
        let word: Arc<str> = word.into();
        self.0.insert(Arc::clone(&word));
        word
    }
}

/// What one tick brought, texts still raw.
#[derive(Debug, Default)]
pub(super) struct Look<'r> {
    pub(super) at: Timestamp,
    pub(super) server: Span,
    /// Sessions of which the role may not see what they do.
    pub(super) hidden: u64,
    /// Lock entries in a mode that this version does not know.
    pub(super) unknown_modes: u64,
    /// By pid; the text where the server sent one.
    pub(super) sessions: Vec<(Session, Option<&'r [u8]>)>,
    /// By owner and target, each once.
    pub(super) locks: Vec<Lock>,
    pub(super) prepared: Vec<Prepared>,
    pub(super) safe_snapshots: Vec<SafeSnapshotWait>,
}

/// Decodes ticks.
#[derive(Debug)]
pub(super) struct Decoder {
    columns: Columns,
    words: Words,
}

impl Decoder {
    pub(super) fn new(columns: Columns) -> Self {
        Self {
            columns,
            words: Words::default(),
        }
    }

    pub(super) fn look<'r>(&mut self, rows: &'r [Row]) -> Result<Look<'r>, SampleError> {
        let mut look = Look::default();
        for row in rows {
            let kind: Bytes<'_> = self.columns.get(row, "kind")?;
            match kind.0 {
                b"session" => {
                    let text: Option<Bytes<'r>> = self.columns.get(row, "query")?;
                    let session = self.session(row)?;
                    look.sessions.push((session, text.map(|text| text.0)));
                }
                b"lock" => match self.lock(row)? {
                    Some(entry) => look.locks.push(entry),
                    None => look.unknown_modes += 1,
                },
                b"prepared" => look.prepared.push(self.prepared(row)?),
                b"safe snapshot" => look.safe_snapshots.push(SafeSnapshotWait {
                    waiter: Pid(self.columns.get(row, "pid")?),
                    blocker: Pid(self.columns.get(row, "other_pid")?),
                }),
                _ => {
                    look.at = self.instant(row, "at")?.unwrap_or_default();
                    look.server = Span::from_micros(self.columns.get(row, "server_us")?);
                    let hidden: i64 = self.columns.get(row, "hidden")?;
                    look.hidden = u64::try_from(hidden).unwrap_or(0);
                }
            }
        }
        look.sessions.sort_by_key(|(session, _)| session.pid);
        // While a lock moves from the fast path to the table it may be listed in both.
        look.locks.sort_by(|a, b| {
            let key = |l: &Lock| (l.mode, !l.granted, l.fastpath);
            (&a.owner, &a.target, key(a)).cmp(&(&b.owner, &b.target, key(b)))
        });
        look.locks.dedup_by(|b, a| {
            (&a.owner, &a.target, a.mode, a.granted) == (&b.owner, &b.target, b.mode, b.granted)
        });
        look.safe_snapshots.sort_unstable();
        look.safe_snapshots.dedup();
        Ok(look)
    }

    fn session(&mut self, row: &Row) -> Result<Session, SampleError> {
        let state: Option<Bytes<'_>> = self.columns.get(row, "state")?;
        Ok(Session {
            pid: Pid(self.columns.get(row, "pid")?),
            // Null only where the role may not see it.
            backend_start: self.instant(row, "backend_start")?.unwrap_or_default(),
            leader_pid: self.columns.get::<Option<i32>>(row, "other_pid")?.map(Pid),
            backend_type: self.word(row, "backend_type")?.unwrap_or_default(),
            database: self.oid(row, "database")?.filter(|oid| oid.0 != 0),
            role: self.oid(row, "role")?.filter(|oid| oid.0 != 0),
            application_name: self.word(row, "application_name")?.unwrap_or_default(),
            client_addr: self.word(row, "client_addr")?,
            state: state.map_or(State::Hidden, |state| State::from_name(&state.text())),
            wait_event_type: self.word(row, "wait_event_type")?,
            wait_event: self.word(row, "wait_event")?,
            query_id: self
                .columns
                .get::<Option<i64>>(row, "query_id")?
                .map(QueryId),
            statement: None,
            tags: None,
            xact_start: self.instant(row, "xact_start")?,
            query_start: self.instant(row, "query_start")?,
            state_change: self.instant(row, "state_change")?,
            backend_xid: self.xid(row, "xid")?,
            backend_xmin: self.xid(row, "backend_xmin")?,
        })
    }

    fn lock(&mut self, row: &Row) -> Result<Option<Lock>, SampleError> {
        let mode: Bytes<'_> = self.columns.get(row, "mode")?;
        let Ok(mode) = mode.text().parse::<LockMode>() else {
            return Ok(None);
        };
        Ok(Some(Lock {
            owner: self.word(row, "owner")?.unwrap_or_default(),
            pid: self.columns.get::<Option<i32>>(row, "pid")?.map(Pid),
            target: with_transaction(LockTarget {
                locktype: self.word(row, "locktype")?.unwrap_or_default(),
                database: self.oid(row, "database")?,
                relation: self.oid(row, "relation")?,
                page: self.columns.get(row, "page")?,
                tuple: self.columns.get(row, "tuple")?,
                virtualxid: self.word(row, "virtualxid")?,
                transactionid: self.xid(row, "xid")?,
                classid: self.oid(row, "classid")?,
                objid: self.oid(row, "objid")?,
                objsubid: self.columns.get(row, "objsubid")?,
            }),
            mode,
            granted: self.columns.get(row, "granted")?,
            fastpath: self.columns.get(row, "fastpath")?,
            waitstart: self.instant(row, "at")?,
        }))
    }

    fn prepared(&self, row: &Row) -> Result<Prepared, SampleError> {
        let gid: Bytes<'_> = self.columns.get(row, "owner")?;
        let transaction: TransactionId = self.columns.get(row, "xid")?;
        Ok(Prepared {
            transaction: transaction.0,
            gid: gid.text(),
            prepared: self.instant(row, "at")?.unwrap_or_default(),
            owner: Oid(self.columns.get(row, "role")?),
            database: Oid(self.columns.get(row, "database")?),
        })
    }

    fn word(&mut self, row: &Row, column: &'static str) -> Result<Option<Arc<str>>, SampleError> {
        let raw: Option<Bytes<'_>> = self.columns.get(row, column)?;
        Ok(raw.map(|raw| self.words.keep(&raw)))
    }

    fn instant(&self, row: &Row, column: &'static str) -> Result<Option<Timestamp>, SampleError> {
        let instant: Option<Instant> = self.columns.get(row, column)?;
        Ok(instant.map(|instant| instant.0))
    }

    fn oid(&self, row: &Row, column: &'static str) -> Result<Option<Oid>, SampleError> {
        Ok(self.columns.get::<Option<u32>>(row, column)?.map(Oid))
    }

    fn xid(&self, row: &Row, column: &'static str) -> Result<Option<Xid>, SampleError> {
        let xid: Option<TransactionId> = self.columns.get(row, column)?;
        Ok(xid.map(|xid| xid.0))
    }
}

/// Puts a tentative insertion as the server shows it from 16 on.
///
/// Before, the parts of a lock that `pg_lock_status()` did not know stood where those of an
/// object stand: the transaction as a database, the insertion's number as a catalogue.
fn with_transaction(target: LockTarget) -> LockTarget {
    if &*target.locktype != "spectoken" || target.transactionid.is_some() {
        return target;
    }
    LockTarget {
        database: None,
        transactionid: target.database.map(|oid| Xid(oid.0)),
        classid: None,
        objid: target.classid,
        objsubid: None,
        ..target
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tentative_insertion_reads_alike_on_every_version() {
        let of_16 = LockTarget {
            locktype: "spectoken".into(),
            database: None,
            relation: None,
            page: None,
            tuple: None,
            virtualxid: None,
            transactionid: Some(Xid(811)),
            classid: None,
            objid: Some(Oid(3)),
            objsubid: None,
        };
        let of_14 = LockTarget {
            database: Some(Oid(811)),
            transactionid: None,
            classid: Some(Oid(3)),
            objid: Some(Oid(0)),
            objsubid: Some(0),
            ..of_16.clone()
        };
        assert_eq!(with_transaction(of_14), of_16);
        assert_eq!(with_transaction(of_16.clone()), of_16);
    }
}

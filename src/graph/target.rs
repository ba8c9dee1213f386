//! What a lock is on, in words.
//!
//! Tables have names and are named elsewhere; this is for all the rest, of which the lock
//! table shows numbers only.

use crate::pg::Oid;
use crate::sample::LockTarget;

/// The catalogues whose objects are locked, by the oid that each has on every server.
/// Source: `src/include/catalog/pg_*.h`.
const CATALOGUES: [(u32, &str); 16] = [
    (826, "default privileges"),
    (1213, "tablespace"),
    (1214, "shared dependency"),
    (1247, "type"),
    (1255, "function"),
    (1259, "relation"),
    (1260, "role"),
    (1262, "database"),
    (1417, "foreign server"),
    (2328, "foreign-data wrapper"),
    (2606, "constraint"),
    (2615, "schema"),
    (3079, "extension"),
    (3381, "extended statistics"),
    (6100, "subscription"),
    (6104, "publication"),
];

/// The catalogue of databases.
const DATABASES: Oid = Oid(1262);

impl LockTarget {
    /// Says what is locked: `advisory lock 42`, `transaction 7321`, `the lock of commits that
    /// NOTIFY`; a row or a table without its name.
    #[must_use]
    pub fn words(&self) -> String {
        let number = |oid: Option<Oid>| oid.map_or_else(|| "?".to_owned(), |oid| oid.to_string());
        let xid = || match self.transactionid {
            Some(xid) => xid.to_string(),
            None => "?".to_owned(),
        };
        match &*self.locktype {
            "relation" => "table".to_owned(),
            "extend" => "the end of a table's file".to_owned(),
            "page" => "page of an index".to_owned(),
            "tuple" => "row".to_owned(),
            "transactionid" => format!("transaction {}", xid()),
            "virtualxid" => format!(
                "virtual transaction {}",
                self.virtualxid.as_deref().unwrap_or("?")
            ),
            "spectoken" => format!("tentative insertion of transaction {}", xid()),
            "applytransaction" => format!("replicated transaction {}", xid()),
            "frozenid" => "the oldest transaction id of a database".to_owned(),
            "advisory" => self.advisory(),
            // What a committing NOTIFY takes, so that its queue is in the order of commits.
            "object" if self.is_notify() => "the lock of commits that NOTIFY".to_owned(),
            "object" => {
                let class = self.classid.map_or(0, |oid| oid.0);
                let object = number(self.objid);
                CATALOGUES
                    .iter()
                    .find(|(oid, _)| *oid == class)
                    .map_or_else(
                        || format!("object {object} of catalogue {class}"),
                        |(_, kind)| format!("{kind} {object}"),
                    )
            }
            other => other.to_owned(),
        }
    }

    /// Tells whether it is the lock that makes commits which NOTIFY run one at a time.
    #[must_use]
    pub fn is_notify(&self) -> bool {
        &*self.locktype == "object"
            && self.database == Some(Oid(0))
            && self.classid == Some(DATABASES)
            && self.objid == Some(Oid(0))
    }

    /// Writes an advisory key as it was asked for: one bigint, or two integers.
    fn advisory(&self) -> String {
        let (Some(class), Some(object)) = (self.classid, self.objid) else {
            return "advisory lock".to_owned();
        };
        match self.objsubid {
            Some(1) => {
                let key = u64::from(class.0) << 32 | u64::from(object.0);
                format!("advisory lock {}", key.cast_signed())
            }
            _ => format!(
                "advisory lock ({}, {})",
                class.0.cast_signed(),
                object.0.cast_signed()
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pg::Xid;

    fn target(locktype: &str) -> LockTarget {
        LockTarget {
            locktype: locktype.into(),
            database: None,
            relation: None,
            page: None,
            tuple: None,
            virtualxid: None,
            transactionid: None,
            classid: None,
            objid: None,
            objsubid: None,
        }
    }

    fn object(locktype: &str, class: u32, object: u32, sub: i16) -> LockTarget {
        LockTarget {
            database: Some(Oid(0)),
            classid: Some(Oid(class)),
            objid: Some(Oid(object)),
            objsubid: Some(sub),
            ..target(locktype)
        }
    }

    #[test]
    fn advisory_keys_read_as_they_were_asked_for() {
        let said = [
            object("advisory", 0, 42, 1),
            object("advisory", u32::MAX, u32::MAX, 1),
            object("advisory", 1, 0, 1),
            object("advisory", 7, 3, 2),
            object("advisory", u32::MAX, 3, 2),
        ]
        .map(|target| target.words());
        assert_eq!(
            said,
            [
                "advisory lock 42",
                "advisory lock -1",
                "advisory lock 4294967296",
                "advisory lock (7, 3)",
                "advisory lock (-1, 3)",
            ]
        );
    }

    #[test]
    fn objects_are_named_by_their_catalogue() {
        let said = [
            object("object", 1262, 0, 0),
            object("object", 1262, 5, 0),
            object("object", 2615, 2200, 0),
            object("object", 99, 1, 0),
        ]
        .map(|target| target.words());
        assert_eq!(
            said,
            [
                "the lock of commits that NOTIFY",
                "database 5",
                "schema 2200",
                "object 1 of catalogue 99",
            ]
        );
    }

    #[test]
    fn transactions_are_named_by_their_number() {
        let of = |locktype| LockTarget {
            transactionid: Some(Xid(7)),
            ..target(locktype)
        };
        assert_eq!(of("transactionid").words(), "transaction 7");
        assert_eq!(of("applytransaction").words(), "replicated transaction 7");
        assert_eq!(of("brand-new").words(), "brand-new");
    }
}

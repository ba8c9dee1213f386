//! What a waiter asks for, and whether a statement can have taken what is in its way.
//!
//! What a blocker runs now is rarely what took the lock. Whether it can have been is a matter
//! of strength: a row locked `FOR KEY SHARE` is in the way of who deletes it, and not of who
//! changes its other columns.

use petgraph::graph::NodeIndex;

use crate::graph::effects::{Effect, Effects};
use crate::graph::{Wait, WaitGraph};
use crate::names::{Names, Statements};
use crate::pg::{LockMode, Oid};
use crate::statement::Statement;

/// What a waiter asks for, in which table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Wanted {
    /// The database that the waiter is in; 0 where that is not known.
    pub database: Oid,
    /// The table; none where it could not be found, or there is none.
    pub table: Option<Oid>,
    /// The lock.
    pub lock: WantedLock,
}

/// The kinds of lock that a waiter may ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum WantedLock {
    /// The table as a whole.
    Table(LockMode),
    /// A row, as a tuple lock's mode shows the strength; none where that is not known.
    Row(Option<LockMode>),
    /// The place of a new row in a unique key.
    Key,
    /// An advisory lock.
    Advisory,
    /// Anything else.
    Other,
}

impl WaitGraph<'_> {
    /// Tells what a node asks for with one of its waits.
    #[must_use]
    pub fn wanted(
        &self,
        node: NodeIndex,
        wait: &Wait<'_>,
        names: &Names,
        statements: &Statements,
    ) -> Wanted {
        let table = self.table(node, wait, names, statements);
        let table = table.map(|table| (table.database, table.oid));
        let database = table.map_or_else(|| self.database(node, wait), |(database, _)| database);
        let table = table.map(|(_, table)| table);
        let request = wait.request;
        let lock = match &*request.target.locktype {
            "relation" => WantedLock::Table(request.mode),
            "tuple" => WantedLock::Row(Some(request.mode)),
            "spectoken" => WantedLock::Key,
            "transactionid" => self.wanted_of_transaction(node, wait, table, names, statements),
            "advisory" => WantedLock::Advisory,
            _ => WantedLock::Other,
        };
        Wanted {
            database,
            table,
            lock,
        }
    }

    /// Tells what is asked for by who waits for a transaction: for a row as strongly as it has
    /// queued for it, or as its statement says.
    fn wanted_of_transaction(
        &self,
        node: NodeIndex,
        wait: &Wait<'_>,
        table: Option<Oid>,
        names: &Names,
        statements: &Statements,
    ) -> WantedLock {
        if let Some(place) = self.place_in_queue(wait) {
            return WantedLock::Row(Some(place.mode));
        }
        let effects = self.effects(node, wait, names, statements);
        let effect = effects
            .filter(|effects| !effects.open)
            .and_then(|effects| effects.on(table?));
        effect.map_or(WantedLock::Row(None), |effect| effect.waits_for())
    }
}

impl Effect {
    /// Tells what a statement waits for that stands in no queue for a row.
    fn waits_for(&self) -> WantedLock {
        match (self.writes.inserts, self.rows()) {
            (true, None) => WantedLock::Key,
            (false, rows) => WantedLock::Row(rows),
            (true, Some(_)) => WantedLock::Row(None),
        }
    }
}

impl Wanted {
    /// Nothing is known of what is asked for.
    pub const UNKNOWN: Self = Self {
        database: Oid(0),
        table: None,
        lock: WantedLock::Other,
    };

    /// Tells whether a statement can have taken what is in the way: yes, by what it says; no;
    /// or none where it may have, by what its text does not tell.
    #[must_use]
    pub fn can_be_held_by(self, statement: &Statement, names: &Names) -> Option<bool> {
        let unless = |unknown: bool| if unknown { None } else { Some(false) };
        let Some(table) = self.table else {
            let is_advisory = self.lock == WantedLock::Advisory;
            if is_advisory && statement.text.to_ascii_lowercase().contains("_advisory_") {
                return Some(true);
            }
            return unless(statement.opaque || !is_advisory && statement.writes());
        };
        let effects = Effects::of(statement, names, self.database);
        let effect = effects.on(table).unwrap_or_default();
        let rows = effect.rows();
        match self.lock {
            WantedLock::Table(mode) => {
                if effect.lock.is_some_and(|lock| lock.conflicts_with(mode)) {
                    return Some(true);
                }
                // An index has its table's locks, and another name.
                let elsewhere = statement.tables.iter().any(|used| {
                    let schema = used.schema.as_deref();
                    let mut found = names.called(self.database, schema, &used.name);
                    used.lock.conflicts_with(mode) && found.next().is_none()
                });
                unless(effects.open || elsewhere)
            }
            WantedLock::Row(Some(mode)) => {
                if rows.is_some_and(|rows| rows.conflicts_with(mode)) {
                    return Some(true);
                }
                unless(effects.open || effect.changes_key)
            }
            WantedLock::Key => {
                let writes = &effect.writes;
                if writes.inserts || writes.deletes || effect.changes_key {
                    return Some(true);
                }
                unless(effects.open)
            }
            WantedLock::Row(None) | WantedLock::Advisory | WantedLock::Other => {
                if effect.is_of_rows() {
                    return Some(true);
                }
                unless(effects.open)
            }
        }
    }
}

#[cfg(test)]
#[path = "wanted_tests.rs"]
mod tests;

//! Which table a wait is about, and which row.
//!
//! A row-lock wait at the head of its queue is for a transaction id, which names no
//! table. Three rungs, tried in order, and then it is said that nothing is known:
//!
//! 1. the target itself is a relation, a page or a tuple;
//! 2. the waiter holds a granted `tuple` entry: it queues for that row;
//! 3. of the tables that both the waiter and who is waited for have locked for their rows,
//!    the one that the waiter's statement can wait in. Two of them are no answer.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use petgraph::graph::NodeIndex;

use crate::graph::effects::Effects;
use crate::graph::{Wait, WaitGraph};
use crate::names::{Names, Statements};
use crate::pg::{LockMode, Oid};
use crate::sample::{Lock, LockTarget};
use crate::statement::{StatementId, TableUse};
use crate::time::Span;

/// From one wait to a wait of the next statement takes longer than this: a wake-up, the rest of
/// the statement, the client's turn, and the start of another.
const NEXT_STATEMENT: Span = Span::from_micros(1_000);

/// A table, and how it is known.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Table {
    /// `schema.table`, or `oid 16385` where the name could not be had.
    pub name: Arc<str>,
    /// The table at the top of which it is a partition, as `schema.table`.
    pub topmost: Option<Arc<str>>,
    /// The table's own oid, also where the lock is on an index; as it was locked where the
    /// catalogue could not be asked.
    pub oid: Oid,
    /// The database it lives in; 0 where all databases share it.
    pub database: Oid,
    /// The row, where the lock table names one.
    pub row: Option<Row>,
    /// How it was found.
    pub rung: Rung,
    /// How it is known.
    pub basis: Basis,
}

/// Where a row version stands in its table.
///
/// Every update moves the row: this names it at one instant only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Row {
    /// The page, from 0.
    pub page: u32,
    /// The place within the page, from 1.
    pub tuple: u16,
}

impl fmt::Display for Row {
    /// Writes it as `ctid` is written.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "({},{})", self.page, self.tuple)
    }
}

impl Row {
    fn of(target: &LockTarget) -> Option<Self> {
        // The lock table shows both as signed numbers.
        Some(Self {
            page: target.page?.cast_unsigned(),
            tuple: target.tuple?.cast_unsigned(),
        })
    }
}

/// The rung of the ladder on which a table was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rung {
    /// The lock asked for is one on the table, or on a page or row of it.
    Target,
    /// The waiter holds the place at the head of the queue for a row.
    Queue,
    /// What both sides have locked, and what the statement says.
    Statement,
}

impl Rung {
    /// All of them, in the order in which they are tried.
    pub const ALL: [Self; 3] = [Self::Target, Self::Queue, Self::Statement];

    /// Tells whether what is found here was read off the server or derived.
    #[must_use]
    pub const fn basis(self) -> Basis {
        match self {
            Self::Target | Self::Queue => Basis::Measured,
            Self::Statement => Basis::Inferred,
        }
    }
}

/// Whether a thing was read off the server or derived.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Basis {
    /// Read off the lock table.
    Measured,
    /// Derived from the statement and the locks held.
    Inferred,
}

impl Basis {
    /// The word in the JSON contract.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Measured => "measured",
            Self::Inferred => "inferred",
        }
    }

    /// Reads that word; what is none of them was not measured.
    #[must_use]
    pub fn from_name(name: &str) -> Self {
        if name == Self::Measured.name() {
            Self::Measured
        } else {
            Self::Inferred
        }
    }
}

impl WaitGraph<'_> {
    /// Tells which table a node's wait is about; none where no rung holds.
    #[must_use]
    pub fn table(
        &self,
        node: NodeIndex,
        wait: &Wait<'_>,
        names: &Names,
        statements: &Statements,
    ) -> Option<Table> {
        let database = self.database(node, wait);
        let found = |relation: Oid, rung: Rung, row| {
            let known = names.relation(database, relation);
            Table {
                name: known.map_or_else(
                    || format!("oid {relation}").into(),
                    |known| Arc::clone(&known.name),
                ),
                topmost: names.topmost(database, relation).cloned(),
                oid: known.map_or(relation, |known| known.table),
                database,
                row,
                rung,
                basis: rung.basis(),
            }
        };
        let target = &wait.request.target;
        if let Some(relation) = target.relation {
            return Some(found(relation, Rung::Target, Row::of(target)));
        }
        if !matches!(&*target.locktype, "transactionid" | "spectoken") {
            return None;
        }
        if let Some(place) = self.place_in_queue(wait)
            && let Some(relation) = place.target.relation
        {
            return Some(found(relation, Rung::Queue, Row::of(&place.target)));
        }
        let (both, theirs) = self.locked_by_both(wait, names, database);
        let effects = self.effects(node, wait, names, statements);
        let can_wait_in = |effects: &Effects<'_>, table: Oid, held: Held| {
            effects.open
                || effects.on(table).is_some_and(|effect| {
                    // New rows wait for nobody but who wrote rows with the same key.
                    let as_new = effect.writes.inserts && held.theirs == LockMode::RowExclusive;
                    held.to_lock && effect.locked.is_some()
                        || held.to_write && (effect.written.is_some() || as_new)
                })
        };
        let every = || both.iter().map(|(table, held)| (*table, *held));
        let by_effects = effects.as_ref().and_then(|effects| {
            only(every().filter(|(table, held)| can_wait_in(effects, *table, *held)))
        });
        // What both have locked leaves no choice, whatever the statement seems to do, unless the
        // locks were read before it had taken its own. Who is waited for has had its locks longer.
        let only = by_effects.or_else(|| {
            only(every()).filter(|table| {
                theirs == Some(*table) || self.has_its_locks(node, wait, names, statements)
            })
        });
        only.map(|table| found(table, Rung::Statement, None))
    }

    /// Gives the statement that a wait is of; none where that is in doubt.
    fn statement_that_waits(&self, node: NodeIndex, wait: &Wait<'_>) -> Option<StatementId> {
        let statement = self.session(node)?.statement;
        statement.filter(|_| self.was_seen_waiting(node, wait))
    }

    /// Tells whether what was seen of the waiter is of the statement that waits.
    ///
    /// The activity is read before the lock table: of a wait that began in between it may still
    /// tell the statement before, and a wait of that.
    fn was_seen_waiting(&self, node: NodeIndex, wait: &Wait<'_>) -> bool {
        let waited = self
            .session(node)
            .is_none_or(|session| session.wait_event_type.as_deref() == Some("Lock"));
        let at = self.snapshot.tick.at;
        match self.wait_start(wait.request) {
            Some(since) if since <= at => true,
            Some(since) => waited && since.since(at) < NEXT_STATEMENT,
            None => waited,
        }
    }

    /// Tells whether a waiter is seen to have locked each table whose rows its statement locks.
    ///
    /// A statement locks the tables it names before it waits for any row. But locks of the fast
    /// path are read before the others: of a wait that begins in between they are missing.
    fn has_its_locks(
        &self,
        node: NodeIndex,
        wait: &Wait<'_>,
        names: &Names,
        statements: &Statements,
    ) -> bool {
        if self
            .session(node)
            .is_none_or(|session| session.statement.is_none())
        {
            return true;
        }
        let Some(id) = self.statement_that_waits(node, wait) else {
            return false;
        };
        let Some(statement) = statements.get(id) else {
            return true;
        };
        let database = self.database(node, wait);
        let own = self.owned.get(&*wait.request.owner);
        let own = || own.into_iter().flatten().filter(|lock| locks_rows(lock));
        let has = |table| own().any(|lock| lock.target.relation == Some(table));
        let of_rows = |used: &&TableUse| used.rows.is_some() || used.writes.any();
        statement.tables.iter().filter(of_rows).all(|used| {
            let schema = used.schema.as_deref();
            names.called(database, schema, &used.name).any(has)
        })
    }

    /// Follows what the statement that waits does; none where it is not known.
    pub(crate) fn effects<'n>(
        &self,
        node: NodeIndex,
        wait: &Wait<'_>,
        names: &'n Names,
        statements: &Statements,
    ) -> Option<Effects<'n>> {
        let id = self.statement_that_waits(node, wait)?;
        let database = self.database(node, wait);
        Some(Effects::of(statements.get(id)?, names, database))
    }

    /// Gives the database in which a node waits; 0 where that is not known.
    pub(crate) fn database(&self, node: NodeIndex, wait: &Wait<'_>) -> Oid {
        let target = &wait.request.target;
        target
            .database
            .or_else(|| self.session(node)?.database)
            .unwrap_or(Oid(0))
    }

    /// Finds the waiter's granted `tuple` entry: it stands at the head of the queue for that row.
    pub(crate) fn place_in_queue(&self, wait: &Wait<'_>) -> Option<&Lock> {
        let mut own = self.owned.get(&*wait.request.owner)?.iter().copied();
        own.find(|lock| lock.granted && &*lock.target.locktype == "tuple")
    }

    /// Lists the tables that both sides of a wait have locked as those do who lock rows, and
    /// gives the one of who is waited for where that has but one.
    ///
    /// Where nothing of that kind is seen of who is waited for, the waiter's own tables:
    /// locks on the system catalogues do not last until the transaction's end.
    fn locked_by_both(
        &self,
        wait: &Wait<'_>,
        names: &Names,
        database: Oid,
    ) -> (BTreeMap<Oid, Held>, Option<Oid>) {
        let tables = |owner: &str| -> Vec<(Oid, LockMode)> {
            let own = self.owned.get(owner).into_iter().flatten();
            own.filter(|lock| locks_rows(lock))
                .filter_map(|lock| Some((lock.target.relation?, lock.mode)))
                .filter_map(
                    |(relation, mode)| match names.relation(database, relation) {
                        Some(known) => known.stores_rows.then_some((known.table, mode)),
                        None => Some((relation, mode)),
                    },
                )
                .collect()
        };
        let mut theirs: BTreeMap<Oid, LockMode> = BTreeMap::new();
        for lock in &self.targets[wait.target].held {
            if lock.owner != wait.request.owner {
                for (table, mode) in tables(&lock.owner) {
                    let known = theirs.entry(table).or_insert(mode);
                    *known = mode.max(*known);
                }
            }
        }
        let mut all: BTreeMap<Oid, Held> = BTreeMap::new();
        for (table, mode) in tables(&wait.request.owner) {
            let held = all.entry(table).or_insert(Held {
                to_lock: false,
                to_write: false,
                theirs: theirs
                    .get(&table)
                    .copied()
                    .unwrap_or(LockMode::RowExclusive),
            });
            held.to_lock |= mode == LockMode::RowShare;
            held.to_write |= mode == LockMode::RowExclusive;
        }
        if all.keys().any(|table| theirs.contains_key(table)) {
            all.retain(|table, _| theirs.contains_key(table));
        }
        (all, only(theirs.into_iter()))
    }
}

/// How the two sides of a wait have locked a table.
#[derive(Clone, Copy, Debug)]
struct Held {
    /// Whether the waiter has locked it to lock rows and not to write them.
    to_lock: bool,
    /// Whether the waiter has locked it to write rows.
    to_write: bool,
    /// The strongest mode of who is waited for.
    theirs: LockMode,
}

/// Gives the one that there is; none where there are several.
fn only<T>(mut tables: impl Iterator<Item = (Oid, T)>) -> Option<Oid> {
    let (first, _) = tables.next()?;
    tables.next().is_none().then_some(first)
}

/// Tells whether an entry is a table lock of the kind that statements take who lock rows.
fn locks_rows(lock: &Lock) -> bool {
    lock.granted
        && &*lock.target.locktype == "relation"
        && matches!(lock.mode, LockMode::RowShare | LockMode::RowExclusive)
}

#[cfg(test)]
#[path = "table_tests.rs"]
mod tests;

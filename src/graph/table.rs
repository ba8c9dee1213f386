//! Which table a wait is about.
//!
//! A row-lock wait at the head of its queue is for a transaction id, which names no
//! table. Three rungs, tried in order, and then it is said that nothing is known:
//!
//! 1. the target itself is a relation, a page or a tuple;
//! 2. the waiter holds a granted `tuple` entry: it queues for that row;
//! 3. the tables its statement writes to, met with those it has locked.

use std::collections::BTreeSet;
use std::sync::Arc;

use petgraph::graph::NodeIndex;

use crate::graph::{Wait, WaitGraph};
use crate::names::{Names, Statements};
use crate::pg::{LockMode, Oid};
use crate::sample::Lock;

/// A table, and how it is known.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Table {
    /// `schema.table`, or `oid 16385` where the name could not be had.
    pub name: Arc<str>,
    /// How it is known.
    pub basis: Basis,
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
        let session = self.session(node);
        let database = wait
            .request
            .target
            .database
            .or_else(|| session?.database)
            .unwrap_or(Oid(0));
        let resolved = |relation: Oid, basis| Table {
            name: names
                .table(database, relation)
                .cloned()
                .unwrap_or_else(|| format!("oid {relation}").into()),
            basis,
        };
        if let Some(relation) = wait.request.target.relation {
            return Some(resolved(relation, Basis::Measured));
        }
        if !matches!(
            &*wait.request.target.locktype,
            "transactionid" | "spectoken"
        ) {
            return None;
        }
        let own = || self.owned.get(&*wait.request.owner).into_iter().flatten();
        let queued_for = own().find(|lock| lock.granted && &*lock.target.locktype == "tuple");
        if let Some(relation) = queued_for.and_then(|lock| lock.target.relation) {
            return Some(resolved(relation, Basis::Measured));
        }
        let locked: BTreeSet<Arc<str>> = own()
            .filter(|lock| lock.granted && locks_rows(lock))
            .filter_map(|lock| lock.target.relation)
            .filter_map(|relation| names.table(database, relation).cloned())
            .collect();
        let statement = session.and_then(|session| statements.get(session.statement?));
        let written: Vec<_> = statement
            .map(|statement| &statement.tables[..])
            .unwrap_or_default()
            .iter()
            .filter(|table| table.lock >= LockMode::RowShare)
            .collect();
        let mut met = locked.iter().filter(|name| {
            written.iter().any(|table| match &table.schema {
                Some(schema) => ***name == *format!("{schema}.{}", table.name),
                None => name
                    .rsplit_once('.')
                    .is_some_and(|(_, bare)| *bare == *table.name),
            })
        });
        let name = match (met.next(), met.next()) {
            (Some(only), None) => Some(only),
            // Nothing known of the statement: one locked table leaves no choice.
            (None, _) if written.is_empty() && locked.len() == 1 => locked.first(),
            _ => None,
        };
        name.map(|name| Table {
            name: Arc::clone(name),
            basis: Basis::Inferred,
        })
    }
}

/// Tells whether an entry is a table lock of the kind that statements take who lock rows.
fn locks_rows(lock: &Lock) -> bool {
    &*lock.target.locktype == "relation"
        && matches!(lock.mode, LockMode::RowShare | LockMode::RowExclusive)
}

//! Which statement took the lock that others wait for.
//!
//! What a root runs now is rarely what took the lock. Two memories help: the
//! statements seen in each open transaction, and each system's repertoire over the
//! whole recording. Only a statement that can lock rows of, or lock, the table in
//! question is an answer.

use std::collections::HashMap;
use std::sync::Arc;

use crate::graph::Basis;
use crate::names::{Names, Statements};
use crate::pg::{Backend, LockMode};
use crate::sample::{Lock, Session, Snapshot};
use crate::statement::{Statement, StatementId};
use crate::system::Naming;
use crate::time::Timestamp;

/// The statements seen in each transaction and of each system.
#[derive(Debug, Default)]
pub(super) struct History {
    transactions: HashMap<(Backend, Timestamp), Vec<StatementId>>,
    repertoire: HashMap<Arc<str>, HashMap<StatementId, usize>>,
}

impl History {
    /// Reads all sessions of a recording.
    pub(super) fn of(snapshots: &[Snapshot], naming: &Naming, names: &Names) -> Self {
        let mut history = Self::default();
        for session in snapshots.iter().flat_map(|snapshot| &snapshot.sessions) {
            let Some(statement) = session.statement else {
                continue;
            };
            if let Some(xact_start) = session.xact_start {
                let seen = history
                    .transactions
                    .entry((session.backend(), xact_start))
                    .or_default();
                if !seen.contains(&statement) {
                    seen.push(statement);
                }
            }
            if let Some(system) = naming.name(session, names) {
                *history
                    .repertoire
                    .entry(system)
                    .or_default()
                    .entry(statement)
                    .or_default() += 1;
            }
        }
        history
    }

    /// Names the statement with which `root` took the lock that others wait for.
    ///
    /// *Measured* only where a table is known and the one statement that was seen in the
    /// root's transaction can have locked it; *inferred* where one of several can, or
    /// where this is what the system does to that table. Where nothing fits, what the
    /// root was last seen running, which is inferred too.
    pub(super) fn took(
        &self,
        root: &Session,
        taken: Taken<'_>,
        naming: &Naming,
        names: &Names,
        statements: &Statements,
    ) -> Option<(StatementId, Basis)> {
        let fits = |id: &StatementId| {
            statements
                .get(*id)
                .is_some_and(|statement| taken.by(statement))
        };
        let transaction = root.xact_start.map(|start| (root.backend(), start));
        let seen = transaction.and_then(|transaction| self.transactions.get(&transaction));
        let seen = seen.map_or(&[][..], Vec::as_slice);
        if let ([only], Some(_)) = (seen, taken.table)
            && fits(only)
        {
            return Some((*only, Basis::Measured));
        }
        let current = root.statement.filter(fits);
        let earlier = || seen.iter().rev().copied().find(fits);
        let usual = || {
            let repertoire = self.repertoire.get(&naming.name(root, names)?)?;
            let fitting = repertoire.iter().filter(|(id, _)| fits(id));
            fitting
                .max_by_key(|&(id, seen)| (*seen, *id))
                .map(|(id, _)| *id)
        };
        let inferred = current.or_else(earlier).or_else(usual).or(root.statement)?;
        Some((inferred, Basis::Inferred))
    }
}

/// A lock that a root holds: on what, and against which request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Taken<'a> {
    pub(super) table: Option<&'a str>,
    pub(super) request: Option<&'a Lock>,
}

impl Taken<'_> {
    /// Tells whether a statement can have taken it.
    ///
    /// A table lock must conflict with what is asked for; a row lock is taken by who
    /// locks rows or writes them. Without a table whoever writes may have been it.
    fn by(&self, statement: &Statement) -> bool {
        let Some(table) = self.table else {
            return statement.writes();
        };
        let whole_table = self
            .request
            .filter(|request| &*request.target.locktype == "relation")
            .map(|request| request.mode);
        statement.tables.iter().any(|used| {
            let same = match &used.schema {
                Some(schema) => *table == *format!("{schema}.{}", used.name),
                None => table
                    .rsplit_once('.')
                    .is_some_and(|(_, bare)| *bare == *used.name),
            };
            same && match whole_table {
                Some(mode) => used.lock.conflicts_with(mode),
                None => used.rows.is_some() || used.lock >= LockMode::RowExclusive,
            }
        })
    }
}

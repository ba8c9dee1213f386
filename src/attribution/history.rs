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
use crate::pg::Backend;
use crate::sample::{Session, Snapshot};
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

    /// Names the statement with which `root` took its lock on `table`.
    ///
    /// *Measured* where the root's statement at this very tick can have taken it;
    /// *inferred* where it was seen earlier in the transaction, or is what this system
    /// does to that table. Where nothing fits, what the root was last seen running.
    pub(super) fn took(
        &self,
        root: &Session,
        table: Option<&str>,
        naming: &Naming,
        names: &Names,
        statements: &Statements,
    ) -> Option<(StatementId, Basis)> {
        let fits = |id: &StatementId| {
            statements
                .get(*id)
                .is_some_and(|statement| can_have_locked(statement, table))
        };
        if let Some(current) = root.statement.filter(fits) {
            return Some((current, Basis::Measured));
        }
        let transaction = root.xact_start.map(|start| (root.backend(), start));
        let earlier = transaction
            .and_then(|transaction| self.transactions.get(&transaction))
            .and_then(|seen| seen.iter().rev().copied().find(fits));
        let usual = || {
            let repertoire = self.repertoire.get(&naming.name(root, names)?)?;
            let fitting = repertoire.iter().filter(|(id, _)| fits(id));
            fitting
                .max_by_key(|&(id, seen)| (*seen, *id))
                .map(|(id, _)| *id)
        };
        let inferred = earlier.or_else(usual).or(root.statement)?;
        Some((inferred, Basis::Inferred))
    }
}

/// Tells whether a statement locks rows of a table, or the table more strongly than a reader.
fn can_have_locked(statement: &Statement, table: Option<&str>) -> bool {
    let Some(table) = table else {
        return statement.writes();
    };
    statement.tables.iter().any(|used| {
        let same = match &used.schema {
            Some(schema) => *table == *format!("{schema}.{}", used.name),
            None => table
                .rsplit_once('.')
                .is_some_and(|(_, bare)| *bare == *used.name),
        };
        same && (used.rows.is_some() || used.lock > crate::pg::LockMode::AccessShare)
    })
}

//! Which statement took the lock that others wait for.
//!
//! What a root runs now is rarely what took the lock. Two memories help: the
//! statements seen in each open transaction, and each system's repertoire over the
//! whole recording. Only a statement whose lock is in the way of what the waiter asks
//! for is an answer.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::graph::{Basis, Wanted};
use crate::names::{Names, Statements};
use crate::pg::Backend;
use crate::sample::{Session, Snapshot};
use crate::statement::StatementId;
use crate::system::Naming;
use crate::time::Timestamp;

/// So much is remembered of what systems do while a watch has no end.
const MOST_KNOWN: usize = 10_000;

/// So many statements are told apart in one transaction: it may go on for days.
const MOST_IN_TRANSACTION: usize = 256;

/// The statements seen in each transaction and of each system.
#[derive(Debug, Default)]
pub(super) struct History {
    transactions: HashMap<(Backend, Timestamp), Vec<StatementId>>,
    repertoire: HashMap<Arc<str>, HashMap<StatementId, usize>>,
    /// Whether a statement can have taken what somebody wants, as far as that was asked.
    answers: RefCell<HashMap<(Wanted, StatementId), Option<bool>>>,
}

impl History {
    /// Reads all sessions of a recording.
    pub(super) fn of(snapshots: &[Snapshot], naming: &Naming, names: &Names) -> Self {
        let mut history = Self::default();
        for snapshot in snapshots {
            history.see(snapshot, naming, names);
        }
        history
    }

    /// Reads the sessions of one tick.
    pub(super) fn see(&mut self, snapshot: &Snapshot, naming: &Naming, names: &Names) {
        for session in &snapshot.sessions {
            let Some(statement) = session.statement else {
                continue;
            };
            if let Some(xact_start) = session.xact_start {
                let seen = self
                    .transactions
                    .entry((session.backend(), xact_start))
                    .or_default();
                remember(seen, statement);
            }
            if let Some(system) = naming.name(session, names) {
                *self
                    .repertoire
                    .entry(system)
                    .or_default()
                    .entry(statement)
                    .or_default() += 1;
            }
        }
    }

    /// Forgets the transactions that are not open any more, and what systems rarely do where
    /// they do very much.
    pub(super) fn forget(&mut self, snapshot: &Snapshot) {
        let open: HashSet<(Backend, Timestamp)> = snapshot
            .sessions
            .iter()
            .filter_map(|session| Some((session.backend(), session.xact_start?)))
            .collect();
        self.transactions.retain(|key, _| open.contains(key));
        let known: usize = self.repertoire.values().map(HashMap::len).sum();
        if known > MOST_KNOWN {
            for statements in self.repertoire.values_mut() {
                statements.retain(|_, seen| {
                    *seen /= 2;
                    *seen > 0
                });
            }
            self.repertoire
                .retain(|_, statements| !statements.is_empty());
        }
        let mut answers = self.answers.borrow_mut();
        if answers.len() > MOST_KNOWN {
            answers.clear();
        }
    }

    /// Names the statement with which `root` took what `wanted` waits for.
    ///
    /// *Measured* only where a table is known and the one statement that was seen in the
    /// root's transaction can have locked it so strongly; *inferred* where one of several can,
    /// or where this is what the system does to that table. Where nothing fits, what may have
    /// done it by a function or a trigger, or what the root was last seen running; inferred too.
    pub(super) fn took(
        &self,
        root: &Session,
        wanted: Wanted,
        naming: &Naming,
        names: &Names,
        statements: &Statements,
    ) -> Option<(StatementId, Basis)> {
        let answer = |id: StatementId| {
            let mut known = self.answers.borrow_mut();
            *known.entry((wanted, id)).or_insert_with(|| {
                let statement = statements.get(id);
                statement.map_or(Some(false), |it| wanted.can_be_held_by(it, names))
            })
        };
        let can = |id: &StatementId| answer(*id) == Some(true);
        let may = |id: &StatementId| answer(*id).is_none();
        let transaction = root.xact_start.map(|start| (root.backend(), start));
        let seen = transaction.and_then(|transaction| self.transactions.get(&transaction));
        let seen = seen.map_or(&[][..], Vec::as_slice);
        if let ([only], Some(_)) = (seen, wanted.table)
            && can(only)
        {
            return Some((*only, Basis::Measured));
        }
        let lately = |fits: &dyn Fn(&StatementId) -> bool| {
            let current = root.statement.iter();
            current
                .chain(seen.iter().rev())
                .copied()
                .find(|id| fits(id))
        };
        let usual = || {
            let repertoire = self.repertoire.get(&naming.name(root, names)?)?;
            let fitting = repertoire.iter().filter(|(id, _)| can(id));
            fitting
                .max_by_key(|&(id, seen)| (*seen, *id))
                .map(|(id, _)| *id)
        };
        let inferred = lately(&can)
            .or_else(usual)
            .or_else(|| lately(&may))
            .or(root.statement)?;
        Some((inferred, Basis::Inferred))
    }
}

/// Takes note of a statement of a transaction; of very many the first are forgotten.
fn remember(seen: &mut Vec<StatementId>, statement: StatementId) {
    if seen.contains(&statement) {
        return;
    }
    if seen.len() >= MOST_IN_TRANSACTION {
        seen.remove(0);
    }
    seen.push(statement);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transaction_that_goes_on_for_days_takes_a_bounded_room() {
        let mut seen = Vec::new();
        (0..100_000).for_each(|id| remember(&mut seen, StatementId(id)));
        assert!(seen.capacity() <= 2 * MOST_IN_TRANSACTION);
        assert_eq!(seen.last(), Some(&StatementId(99_999)));
    }
}

//! Whose time goes where, statement by statement: lately, and since the beginning.

use std::collections::HashMap;
use std::sync::Arc;

use crate::names::Names;
use crate::sample::{Session, Snapshot};
use crate::statement::StatementId;
use crate::system::Naming;
use crate::time::Span;

/// So many statements of systems are told apart; those that come later are not counted apart.
const MOST: usize = 4_000;

/// A statement of a system; none where it has no name, or no text.
pub(super) type Victim = (Option<Arc<str>>, Option<StatementId>);

/// Seconds of sessions.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Spent {
    pub(super) active: f64,
    /// In waits for heavyweight locks.
    pub(super) locked: f64,
}

/// Sums over looks.
#[derive(Debug, Default)]
pub(super) struct Totals {
    by_victim: HashMap<Victim, Spent>,
    watched: Span,
}

impl Totals {
    /// Sums some looks.
    pub(super) fn of<'a>(
        looks: impl Iterator<Item = &'a Snapshot>,
        naming: &Naming,
        names: &Names,
    ) -> Self {
        let mut totals = Self::default();
        for look in looks {
            totals.add(look, naming, names);
        }
        totals
    }

    /// Adds a look.
    pub(super) fn add(&mut self, look: &Snapshot, naming: &Naming, names: &Names) {
        self.watched += look.tick.span;
        let seconds = look.tick.span.as_secs_f64();
        for session in look.sessions.iter().filter(|session| is_at_work(session)) {
            let victim = (naming.name(session, names), session.statement);
            if self.by_victim.len() >= MOST && !self.by_victim.contains_key(&victim) {
                continue;
            }
            let spent = self.by_victim.entry(victim).or_default();
            spent.active += seconds;
            if is_locked(session) {
                spent.locked += seconds;
            }
        }
    }

    /// Gives the average of sessions active in a statement.
    pub(super) fn sessions(&self, victim: &Victim) -> f64 {
        let spent = self.by_victim.get(victim).copied().unwrap_or_default();
        self.per_second(spent.active)
    }

    /// Lists the statements, those with the most sessions waiting for locks first, then the busiest.
    pub(super) fn heaviest(&self) -> Vec<(&Victim, Spent)> {
        let mut all: Vec<_> = self
            .by_victim
            .iter()
            .map(|(victim, spent)| (victim, *spent))
            .collect();
        all.sort_by(|a, b| {
            (b.1.locked.total_cmp(&a.1.locked))
                .then(b.1.active.total_cmp(&a.1.active))
                .then_with(|| a.0.cmp(b.0))
        });
        all
    }

    /// Turns seconds of sessions into sessions.
    pub(super) fn per_second(&self, seconds: f64) -> f64 {
        let watched = self.watched.as_secs_f64();
        if watched > 0.0 {
            seconds / watched
        } else {
            0.0
        }
    }
}

/// Tells whether a session of an application is in the middle of a statement.
pub(super) fn is_at_work(session: &Session) -> bool {
    crate::attribution::is_victim(session)
}

/// Tells whether it waits for a heavyweight lock.
pub(super) fn is_locked(session: &Session) -> bool {
    session.wait_event_type.as_deref() == Some("Lock")
}

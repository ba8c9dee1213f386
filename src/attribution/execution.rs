//! Which sightings are of one execution of a statement, and how long each took.
//!
//! ```text
//!  looks      ●            ●            ●
//!  session  ──┼──[ update ─┼──────]─────┼──   idle at the third look: ended when its state changed
//!           ──┼──[ update ─┼────][ ins ]┼──   not after the insert began
//!           ──┼──[ update ─┼────────────┼──   still under way
//! ```
//!
//! - An execution is a backend, the start of its statement, and the statement. With the extended
//!   protocol each message starts one: what a call waited for while it was planned and what it
//!   did then are two.
//! - A length is never guessed: it is at least the age at the last look that saw the execution
//!   under way, and at most what the next look of that session allows. A session that is idle
//!   tells exactly when its last statement ended.
//!
//! Pure: no clock, and nothing can fail.

use std::collections::HashMap;

use crate::attribution::charge::{SystemId, VictimKey, is_victim};
use crate::attribution::quantile::Length;
use crate::pg::Backend;
use crate::sample::{Session, Snapshot, State};
use crate::statement::StatementId;
use crate::time::{Span, Timestamp};

/// A row that is no execution's.
const NONE: u32 = u32::MAX;

/// One execution of a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Execution {
    pub(super) backend: Backend,
    pub(super) system: Option<SystemId>,
    pub(super) start: Timestamp,
    /// The last look that saw it under way, or the last before it was seen to have ended.
    pub(super) last: usize,
    pub(super) length: Length,
}

/// All executions of which a recording shows anything.
#[derive(Debug, Default)]
pub(super) struct Executions {
    all: Vec<Execution>,
    /// For each look the executions of its rows.
    rows: Vec<Vec<u32>>,
    by_victim: HashMap<VictimKey, Vec<u32>>,
}

/// What a session was last seen to do.
struct Seen {
    number: u32,
    start: Timestamp,
    statement: Option<StatementId>,
    under_way: bool,
}

impl Executions {
    /// Follows every session over the ticks of a recording, of which the first is look `first`.
    pub(super) fn of(
        snapshots: &[Snapshot],
        first: usize,
        system_of: impl Fn(&Session) -> Option<SystemId>,
    ) -> Self {
        let mut executions = Self {
            rows: vec![Vec::new(); first],
            ..Self::default()
        };
        // When each look had been taken.
        let ends: Vec<Timestamp> = snapshots
            .iter()
            .map(|snapshot| snapshot.tick.at + snapshot.tick.server)
            .collect();
        let mut sessions: HashMap<Backend, Seen> = HashMap::new();
        for (look, snapshot) in (first..).zip(snapshots) {
            let follow = |session: &Session| {
                let by_then = |last: usize| ends.get(last + 1 - first).copied();
                let of = (session, system_of(session));
                executions.follow(&mut sessions, of, look, snapshot.tick.at, by_then)
            };
            let rows = snapshot.sessions.iter().map(follow).collect();
            executions.rows.push(rows);
        }
        for seen in sessions.values().filter(|seen| seen.under_way) {
            let next = executions.all[seen.number as usize].last + 1 - first;
            executions.bound(seen.number, ends.get(next).copied());
        }
        executions
    }

    /// Gives the execution that a row of a look belongs to; none where its start is not known.
    pub(super) fn of_row(&self, look: usize, row: u32) -> Option<u32> {
        let number = *self.rows.get(look)?.get(row as usize)?;
        (number != NONE).then_some(number)
    }

    /// Gives an execution by its number.
    pub(super) fn get(&self, number: u32) -> &Execution {
        &self.all[number as usize]
    }

    /// Lists the executions of a victim.
    pub(super) fn of_victim(&self, victim: &VictimKey) -> impl Iterator<Item = &Execution> {
        let numbers = self.by_victim.get(victim).into_iter().flatten();
        numbers.map(|&number| self.get(number))
    }

    /// Takes in one row; gives the execution that it shows under way.
    fn follow(
        &mut self,
        sessions: &mut HashMap<Backend, Seen>,
        (session, system): (&Session, Option<SystemId>),
        look: usize,
        at: Timestamp,
        by_then: impl Fn(usize) -> Option<Timestamp>,
    ) -> u32 {
        let under_way = is_victim(session);
        let told = under_way || (session.is_client() && session.state != State::Hidden);
        let (Some(start), true) = (session.query_start, told) else {
            return NONE;
        };
        let end = session.state_change.filter(|_| !under_way);
        let backend = session.backend();
        if let Some(seen) = sessions.get_mut(&backend) {
            if (seen.start, seen.statement) == (start, session.statement) {
                if !seen.under_way {
                    return NONE;
                }
                seen.under_way = under_way;
                let execution = &mut self.all[seen.number as usize];
                if under_way {
                    execution.last = look;
                    execution.length.at_least = at.since(start);
                    return seen.number;
                }
                execution.ended(end);
                return NONE;
            }
            if seen.under_way {
                // What began later in that session began after its end.
                let then = self.all[seen.number as usize];
                let later = [Some(start), session.xact_start];
                let later = later.into_iter().flatten().filter(|&at| at > then.start);
                let first = later.chain(by_then(then.last)).min();
                self.bound(seen.number, first);
            }
        }
        let number = u32::try_from(self.all.len()).unwrap_or(NONE);
        let mut execution = Execution {
            backend,
            system,
            start,
            last: if under_way {
                look
            } else {
                look.saturating_sub(1)
            },
            length: Length {
                at_least: if under_way {
                    at.since(start)
                } else {
                    Span::ZERO
                },
                at_most: None,
            },
        };
        if !under_way {
            execution.ended(end);
        }
        self.all.push(execution);
        let key = VictimKey {
            database: session.database,
            statement: session.statement,
        };
        self.by_victim.entry(key).or_default().push(number);
        sessions.insert(
            backend,
            Seen {
                number,
                start,
                statement: session.statement,
                under_way,
            },
        );
        if under_way { number } else { NONE }
    }

    /// Takes note that an execution had ended by an instant.
    fn bound(&mut self, number: u32, by: Option<Timestamp>) {
        let execution = &mut self.all[number as usize];
        let at_most = by.map(|by| by.since(execution.start));
        execution.length.at_most = at_most.map(|at_most| at_most.max(execution.length.at_least));
    }
}

impl Execution {
    /// Takes note of when it ended.
    fn ended(&mut self, at: Option<Timestamp>) {
        let Some(at) = at else { return };
        let length = at.since(self.start);
        self.length = Length {
            at_least: length,
            at_most: Some(length),
        };
    }

    /// Tells whether its length is known to the microsecond.
    pub(super) fn is_exact(&self) -> bool {
        self.length.at_most == Some(self.length.at_least)
    }
}

#[cfg(test)]
#[path = "execution_tests.rs"]
mod tests;

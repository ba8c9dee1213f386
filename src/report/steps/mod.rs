//! What to do about a jam, gentlest first: offered, never done.
//!
//! - Every statement that hits a session is fenced by its `backend_start`, so that a pid that
//!   was reused is not hit.
//! - Every step says whom it frees, what it costs whom, and whether the role in use may do it.
//! - Nothing is offered that does no good: a session that runs nothing has nothing to cancel, the
//!   replay of a standby takes no signal, and a vacuum against wraparound comes back.

mod root;

use std::collections::HashSet;

use super::figures::{duration, plural};
use super::forest::Forest;
use super::naming::statement_name;
use super::rights::{Permission, Rights};
use super::who::{named, system};
use crate::graph::view::{Autovacuum, Node};

/// What a step costs others, least first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Price {
    /// Nothing but a question, or patience.
    Question,
    /// The statement and transaction of who only waits.
    Queue,
    /// The statement and transaction of who is at work.
    Work,
    /// A session, or a transaction that was promised to be kept.
    Session,
}

/// Something to do, with the statement that does it.
#[derive(Clone, Debug)]
pub(super) struct Step {
    /// What it costs, for the order of the steps.
    pub(super) price: Price,
    /// What to do, as a whole sentence.
    pub(super) what: String,
    /// Whom it frees and what it costs whom, as whole sentences.
    pub(super) effect: String,
    /// The statement, line by line; none where it takes none.
    pub(super) statement: Vec<String>,
    /// Whether the role in use may; none where it takes no right.
    pub(super) permission: Option<Permission>,
}

/// Gives what to do about some roots, gentlest first; of steps that cost alike those of the worst
/// root come first.
pub(super) fn steps(forest: &Forest<'_>, rights: Option<&Rights>, tops: &[usize]) -> Vec<Step> {
    let adviser = Adviser { forest, rights };
    let mut steps: Vec<Step> = tops.iter().flat_map(|&top| adviser.about(top)).collect();
    steps.sort_by_key(|step| step.price);
    // A gate may wait for several roots, and is cancelled once.
    let mut offered = HashSet::new();
    steps.retain(|step| offered.insert((step.what.clone(), step.statement.clone())));
    steps
}

struct Adviser<'a> {
    forest: &'a Forest<'a>,
    rights: Option<&'a Rights>,
}

impl Adviser<'_> {
    fn node(&self, n: usize) -> &Node {
        &self.forest.view.nodes[n]
    }

    /// Gives what to do about one root: the gate below it first, where there is one.
    fn about(&self, top: usize) -> Vec<Step> {
        let gate = self.forest.gate(top).and_then(|gate| self.gate(gate));
        let mut steps: Vec<Step> = gate.into_iter().collect();
        steps.extend(self.patience_of_waiters(top));
        steps.extend(self.root(top));
        steps
    }

    /// Cancels who only waits and makes others queue.
    fn gate(&self, gate: usize) -> Option<Step> {
        let node = self.node(gate);
        match (node.autovacuum, node.backend_type.as_str()) {
            (Some(Autovacuum::AgainstWraparound), _) | (None, "startup") => return None,
            _ => {}
        }
        let statement = match &node.query {
            Some(query) if node.autovacuum.is_none() => statement_name(query),
            _ => "work".to_owned(),
        };
        let waited = node.waiting_ms.map_or_else(String::new, |ms| {
            format!(" ({} in the queue)", duration(ms))
        });
        let effect = format!(
            "{} Costs {} its {statement}{waited} and the transaction that it is in; run it again with a lock_timeout.",
            self.gain(gate),
            system(node),
        );
        self.signal(
            node,
            Price::Queue,
            "pg_cancel_backend",
            format!("Cancel the gate, {}: it only waits.", named(node)),
            effect,
        )
    }

    /// Says what the waiters themselves can do without, or what ends their wait by itself.
    fn patience_of_waiters(&self, top: usize) -> Vec<Step> {
        let mut steps = Vec::new();
        let below = &self.forest.children[top];
        let kinds = below.iter().filter_map(|&n| self.forest.wait[n]);
        if kinds.clone().any(|edge| edge.lock.kind == "safe-snapshot") {
            steps.push(question(
                "Start the waiting reader again without DEFERRABLE.".to_owned(),
                "It then reads at once, and may fail with a serialization error.".to_owned(),
            ));
        }
        if below
            .iter()
            .any(|&n| self.node(n).backend_type == "startup")
        {
            steps.push(question(
                "Let the replay wait: max_standby_streaming_delay ends the queries in its way by \
                 itself, unless it is -1."
                    .to_owned(),
                "Until then this standby falls behind.".to_owned(),
            ));
        }
        steps
    }

    /// Says whom it frees if a node is out of the way.
    fn gain(&self, n: usize) -> String {
        let node = self.node(n);
        let later = node.behind.saturating_sub(node.frees);
        let gate = self.forest.gate(n);
        let gate = gate.filter(|&gate| self.forest.waits_only_for(gate, n));
        let gate = gate.map(|gate| named(self.node(gate)));
        match (node.frees, later, gate) {
            (0, _, _) => match self.forest.next_in_the_way(n) {
                Some(next) if self.forest.is_waiter(next) => format!(
                    "Nobody goes on by that alone: the next gate is {}.",
                    named(self.node(next))
                ),
                Some(next) => format!(
                    "Nobody goes on by that alone: {} is in the way as well.",
                    named(self.node(next))
                ),
                None => "Nobody goes on by that alone.".to_owned(),
            },
            (1, 0, _) => "Frees the 1 session behind it at once.".to_owned(),
            (2, 0, _) => "Frees both sessions behind it at once.".to_owned(),
            (all, 0, _) => format!("Frees all {} behind it at once.", plural(all, "session")),
            (1, more, Some(gate)) => {
                format!("Frees the gate, {gate}, at once; {more} more move up.")
            }
            (some, more, _) => format!(
                "Frees {} at once; {more} more {} up.",
                plural(some, "session"),
                if more == 1 { "moves" } else { "move" }
            ),
        }
    }

    /// Gives a signal to one backend, fenced by its start; none where its start is not known.
    fn signal(
        &self,
        node: &Node,
        price: Price,
        function: &str,
        what: String,
        effect: String,
    ) -> Option<Step> {
        let (pid, start) = (node.party.pid?, node.backend_start?);
        Some(Step {
            price,
            what,
            effect,
            statement: vec![
                format!("SELECT {function}(pid) FROM pg_stat_activity"),
                format!(
                    "WHERE pid = {pid} AND backend_start = '{}';",
                    start.0.to_rfc3339_whole()
                ),
            ],
            permission: Some(
                self.rights
                    .map_or(Permission::Unknown, |rights| rights.to_signal(node)),
            ),
        })
    }
}

impl Step {
    fn with(mut self, statement: &str) -> Self {
        self.statement.push(statement.to_owned());
        self
    }
}

/// Gives a step that takes neither a statement nor a right.
fn question(what: String, effect: String) -> Step {
    Step {
        price: Price::Question,
        what,
        effect,
        statement: Vec::new(),
        permission: None,
    }
}

#[cfg(test)]
mod tests;

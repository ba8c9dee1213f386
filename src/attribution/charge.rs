//! Where every sampled second of every victim went.
//!
//! At each tick every active session stands for the tick's span. A session that
//! waits for a heavyweight lock is charged to the roots of its chain at that
//! instant, with why the root was not finished; any other wait is charged to its
//! class, and has no holder. Each span lands in exactly one victim and its parts
//! sum to it, so charges may be added up without counting a microsecond twice.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

use crate::attribution::cause::{Cell, Class, InTheWay, Why};
use crate::attribution::history::History;
use crate::attribution::interned::Interned;
use crate::connect::APPLICATION_NAME;
use crate::graph::{Basis, Party, Wait, WaitGraph};
use crate::names::{Names, Statements};
use crate::pg::{LockMode, Oid};
use crate::recording::Recording;
use crate::sample::{Session, Snapshot};
use crate::statement::StatementId;
use crate::system::Naming;
use crate::time::{Span, Timestamp};

/// A system by its number in [`Charges::systems`].
pub(super) type SystemId = u32;

/// Whose latency: a statement in a database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct VictimKey {
    pub(super) database: Option<Oid>,
    pub(super) statement: Option<StatementId>,
}

/// A part of one session's span at one tick.
#[derive(Clone, Debug)]
pub(super) struct Charge {
    /// The tick's number in the recording.
    pub(super) tick: usize,
    pub(super) victim: u32,
    pub(super) system: Option<SystemId>,
    pub(super) cell: u32,
    /// Seconds; the parts of one span sum to it.
    pub(super) seconds: f64,
    /// For lock waits: what the root was doing, and what it ran.
    pub(super) why: Option<Why>,
    /// For lock waits: the lock asked for.
    pub(super) lock: Option<(Arc<str>, LockMode)>,
    /// For lock waits with a table: how the table is known.
    pub(super) basis: Option<Basis>,
    /// How long the wait had lasted.
    pub(super) waited: Option<Span>,
}

/// One tick, as far as later steps need it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Look {
    pub(super) at: Timestamp,
    pub(super) span: Span,
    /// Sessions waiting for a heavyweight lock.
    pub(super) blocked: usize,
}

/// All charges of a recording, and what their numbers mean.
#[derive(Debug, Default)]
pub(super) struct Charges {
    pub(super) looks: Vec<Look>,
    pub(super) systems: Interned<Arc<str>>,
    pub(super) victims: Interned<VictimKey>,
    pub(super) cells: Interned<Cell>,
    pub(super) all: Vec<Charge>,
}

/// What turns rows into charges.
pub(super) struct Charger<'a> {
    pub(super) naming: &'a Naming,
    pub(super) names: &'a Names,
    pub(super) statements: &'a Statements,
    pub(super) history: &'a History,
}

impl Charger<'_> {
    /// Charges every span of a recording.
    pub(super) fn charge(&self, recording: &Recording) -> Charges {
        let mut charges = Charges::default();
        for (tick, snapshot) in recording.snapshots.iter().enumerate() {
            self.tick(&mut charges, tick, snapshot);
        }
        charges
    }

    fn tick(&self, charges: &mut Charges, tick: usize, snapshot: &Snapshot) {
        let graph = WaitGraph::of(snapshot);
        let mut blocked = 0;
        for session in snapshot
            .sessions
            .iter()
            .filter(|session| is_victim(session))
        {
            let victim = VictimKey {
                database: session.database,
                statement: session.statement,
            };
            let system = self.system(charges, session);
            let victim = charges.victims.number(victim);
            let seconds = snapshot.tick.span.as_secs_f64();
            let charge = |cell, share: f64| Charge {
                tick,
                victim,
                system,
                cell,
                seconds: seconds * share,
                why: None,
                lock: None,
                basis: None,
                waited: None,
            };
            if session.wait_event_type.as_deref() != Some("Lock") {
                let cell = Cell::without_holder(Class::of_activity(session));
                let cell = charges.cells.number(cell);
                charges.all.push(charge(cell, 1.0));
                continue;
            }
            blocked += 1;
            let node = graph.find(session.pid);
            let waiting = node.and_then(|node| Some((node, graph.waits(node).first()?)));
            let Some((node, wait)) = waiting else {
                let event = session.wait_event.as_deref().unwrap_or_default();
                let cell = Cell::unseen(Class::of_lock(event, false));
                let cell = charges.cells.number(cell);
                charges.all.push(charge(cell, 1.0));
                continue;
            };
            let table = graph.table(node, wait, self.names, self.statements);
            for &(root, share) in graph.blame(node).iter() {
                let name = table.as_ref().map(|table| Arc::clone(&table.name));
                let cell = self.cell(charges, &graph, wait, root, name.clone());
                let cell = charges.cells.number(cell);
                charges.all.push(Charge {
                    why: self.why(&graph, node, root, name.as_deref()),
                    lock: Some((Arc::clone(&wait.request.target.locktype), wait.request.mode)),
                    basis: table.as_ref().map(|table| table.basis),
                    waited: graph.waited(wait),
                    ..charge(cell, share)
                });
            }
        }
        let Snapshot { tick, .. } = snapshot;
        charges.looks.push(Look {
            at: tick.at,
            span: tick.span,
            blocked,
        });
    }

    /// Gives the cell that a wait's share on one root belongs in.
    fn cell(
        &self,
        charges: &mut Charges,
        graph: &WaitGraph<'_>,
        wait: &Wait<'_>,
        root: petgraph::graph::NodeIndex,
        table: Option<Arc<str>>,
    ) -> Cell {
        let queued = wait.hard.is_empty();
        let class = Class::of_lock(&wait.request.target.locktype, queued);
        let (class, blocker) = match graph.party(root) {
            // Who waits and has nobody in the way waits for somebody who is gone.
            _ if !graph.waits(root).is_empty() && graph.amplifiers(root).is_empty() => {
                (class, InTheWay::Unseen)
            }
            // Other blame that ends in somebody who waits has entered a cycle.
            _ if !graph.waits(root).is_empty() => {
                (Class::Deadlock, self.root_of(charges, graph, root))
            }
            Party::Prepared(gid) => (
                Class::PreparedTransaction,
                InTheWay::Prepared(Arc::clone(gid)),
            ),
            Party::Backend(_) => (class, self.root_of(charges, graph, root)),
            Party::Unlisted(_) => (class, InTheWay::Unseen),
        };
        Cell {
            class,
            table,
            blocker,
        }
    }

    fn root_of(
        &self,
        charges: &mut Charges,
        graph: &WaitGraph<'_>,
        root: petgraph::graph::NodeIndex,
    ) -> InTheWay {
        match graph.session(root) {
            Some(session) => InTheWay::System(self.system(charges, session)),
            None => InTheWay::Unseen,
        }
    }

    fn system(&self, charges: &mut Charges, session: &Session) -> Option<SystemId> {
        let name = self.naming.name(session, self.names)?;
        Some(charges.systems.number(name))
    }

    /// Tells what the root was doing, what it ran, and who stood between.
    fn why(
        &self,
        graph: &WaitGraph<'_>,
        node: petgraph::graph::NodeIndex,
        root: petgraph::graph::NodeIndex,
        table: Option<&str>,
    ) -> Option<Why> {
        let through = graph
            .amplifiers(node)
            .into_iter()
            .find(|&between| between != root && is_gate(graph, between))
            .and_then(|between| graph.session(between))
            .map(|session| (self.naming.name(session, self.names), session.statement));
        if let Party::Prepared(_) = graph.party(root) {
            return Some(Why {
                state: "prepared",
                statement: None,
                through,
            });
        }
        let session = graph.session(root)?;
        let statement = self
            .history
            .took(session, table, self.naming, self.names, self.statements);
        Some(Why {
            state: why_unfinished(session),
            statement,
            through,
        })
    }
}

/// Tells whether a waiter asks for a whole table so strongly that others queue behind it.
fn is_gate(graph: &WaitGraph<'_>, node: petgraph::graph::NodeIndex) -> bool {
    graph.waits(node).iter().any(|wait| {
        &*wait.request.target.locktype == "relation" && wait.request.mode > LockMode::RowExclusive
    })
}

/// Tells whether a session's time is somebody's latency.
pub(super) fn is_victim(session: &Session) -> bool {
    session.is_client()
        && session.state.is_active()
        && &*session.application_name != APPLICATION_NAME
}

/// Says why a root has not let go: the words of `state` in the JSON contract.
fn why_unfinished(session: &Session) -> &'static str {
    if !session.state.is_active() {
        return session.state.name();
    }
    match session.wait_event_type.as_deref() {
        None => "active",
        Some("IO") => "active (I/O)",
        Some("LWLock") => "active (lightweight lock)",
        Some("Client") => "active (client)",
        Some(_) => "active (other wait)",
    }
}

/// Sums of seconds by a key.
pub(super) fn tally<K: Ord + Hash>(pairs: impl Iterator<Item = (K, f64)>) -> Vec<(K, f64)> {
    let mut sums: HashMap<K, f64> = HashMap::new();
    for (key, seconds) in pairs {
        *sums.entry(key).or_default() += seconds;
    }
    let mut sums: Vec<_> = sums.into_iter().collect();
    sums.sort_by(|a, b| b.1.total_cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    sums
}

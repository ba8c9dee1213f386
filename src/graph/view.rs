//! A wait-for graph as it is handed to readers: the JSON `pgjam.graph/1`.

use std::collections::{BTreeMap, HashMap, HashSet};

use petgraph::algo::tarjan_scc;
use petgraph::graph::{DiGraph, NodeIndex};
use petgraph::visit::{Dfs, Reversed};
use serde::Serialize;

use crate::graph::{self, WaitGraph};
use crate::names::{Names, Statements};
use crate::sample::Session;
use crate::system::Naming;
use crate::time::Rfc3339;

/// Who waits for whom at one instant, with names in place of oids.
///
/// Nodes are ordered by pid, prepared transactions last, by gid; edges by waiter,
/// then blocker. Parallel workers appear as their leader.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct GraphView {
    /// Always [`GraphView::SCHEMA`].
    pub schema: &'static str,
    /// The server's clock.
    pub taken_at: Rfc3339,
    /// Everyone who waits or is waited for.
    pub nodes: Vec<Node>,
    /// One per waiter and direct blocker.
    pub edges: Vec<Edge>,
    /// Those who are waited for and wait for no lock themselves.
    pub roots: Vec<Party>,
    /// Deadlocks that the server has not broken yet, each as the pids in it.
    pub cycles: Vec<Vec<i32>>,
    /// Waits of which no blocker could be seen, by wait event.
    pub unseen: BTreeMap<String, usize>,
}

/// Nobody waits, at no time in particular.
impl Default for GraphView {
    fn default() -> Self {
        Self {
            schema: Self::SCHEMA,
            taken_at: Rfc3339(crate::time::Timestamp::default()),
            nodes: Vec::new(),
            edges: Vec::new(),
            roots: Vec::new(),
            cycles: Vec::new(),
            unseen: BTreeMap::new(),
        }
    }
}

impl GraphView {
    /// The name and version of the shape.
    pub const SCHEMA: &'static str = "pgjam.graph/1";
}

/// Who: a backend by its pid, or a prepared transaction by its gid.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Party {
    /// The process id; null for a prepared transaction.
    pub pid: Option<i32>,
    /// The name of the prepared transaction; null for a backend.
    pub gid: Option<String>,
}

/// One backend or prepared transaction.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Node {
    /// Who.
    #[serde(flatten)]
    pub party: Party,
    /// When the backend began; null for a prepared transaction.
    pub backend_start: Option<Rfc3339>,
    /// Whose it is, by the naming rules; null where no rule gave a name.
    pub system: Option<String>,
    /// The role's name.
    pub role: Option<String>,
    /// The database's name.
    pub database: Option<String>,
    /// `client backend`, `autovacuum worker`, `prepared transaction`, …
    pub backend_type: String,
    /// `active`, `idle in transaction`, …; `prepared` for a prepared transaction.
    pub state: String,
    /// `Lock: transactionid`; null while it runs.
    pub wait_event: Option<String>,
    /// Its current or last statement, normalised.
    pub query: Option<String>,
    /// How long its transaction is open; since PREPARE for a prepared one.
    pub xact_age_ms: Option<f64>,
    /// How long it has waited for its lock; null if it waits for none.
    pub waiting_ms: Option<f64>,
    /// How many sessions wait behind it, directly or through others.
    pub behind: usize,
}

/// One wait of one session for one other.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Edge {
    /// Who waits.
    pub waiter: i32,
    /// For which backend; null for a prepared transaction.
    pub blocker: Option<i32>,
    /// For which prepared transaction; null for a backend.
    pub blocker_gid: Option<String>,
    /// Held, or asked for earlier.
    pub kind: EdgeKind,
    /// Which lock the waiter asks for.
    pub lock: EdgeLock,
    /// How long the waiter has waited; null where the server does not say.
    pub waiting_ms: Option<f64>,
}

/// Why the blocker is in the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum EdgeKind {
    /// It holds a conflicting lock.
    Hard,
    /// It waits for a conflicting lock, ahead in the queue.
    Soft,
}

/// The lock that a waiter asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct EdgeLock {
    /// `transactionid`, `tuple`, `relation`, `advisory`, …
    #[serde(rename = "type")]
    pub kind: String,
    /// `ShareLock`, …
    pub mode: String,
    /// `schema.table`; null where it is not known.
    pub table: Option<String>,
    /// Whether the table was read off the lock table or derived from the statement; null without one.
    pub table_basis: Option<&'static str>,
}

/// What it takes to turn pids and oids into words.
#[derive(Clone, Copy, Debug)]
pub struct Vocabulary<'a> {
    /// How systems are named.
    pub naming: &'a Naming,
    /// Roles, databases, relations.
    pub names: &'a Names,
    /// Texts.
    pub statements: &'a Statements,
}

impl WaitGraph<'_> {
    /// Puts the graph into words.
    #[must_use]
    pub fn view(&self, words: Vocabulary<'_>) -> GraphView {
        let whole = self.whole();
        let mut order: Vec<NodeIndex> = whole
            .node_indices()
            .filter(|&node| whole.neighbors_undirected(node).next().is_some())
            .collect();
        order.sort_by_key(|&node| self.party(node).clone());
        let behind = behind(&whole, &order);
        let nodes = order
            .iter()
            .map(|node| self.node_view(*node, behind[node], words))
            .collect();
        let mut cycles: Vec<Vec<i32>> = tarjan_scc(&whole)
            .into_iter()
            .filter(|component| component.len() > 1)
            .map(|component| {
                component
                    .into_iter()
                    .filter_map(|node| self.pid(node))
                    .collect()
            })
            .collect();
        for cycle in &mut cycles {
            cycle.sort_unstable();
        }
        cycles.sort();
        GraphView {
            schema: GraphView::SCHEMA,
            taken_at: Rfc3339(self.snapshot.tick.at),
            nodes,
            edges: order
                .iter()
                .flat_map(|&node| self.edge_views(node, words))
                .collect(),
            roots: self
                .roots()
                .into_iter()
                .map(|node| self.party_view(node))
                .collect(),
            cycles,
            unseen: self.unseen(),
        }
    }

    /// Draws every edge, the soft ones of waiters with hard ones too.
    fn whole(&self) -> DiGraph<(), ()> {
        let mut whole = DiGraph::new();
        for _ in self.graph.node_indices() {
            whole.add_node(());
        }
        for node in self.graph.node_indices() {
            for wait in self.waits(node) {
                for blocker in wait.hard.iter().copied().chain(self.soft(wait)) {
                    whole.update_edge(node, blocker, ());
                }
            }
        }
        whole
    }

    fn pid(&self, node: NodeIndex) -> Option<i32> {
        match self.party(node) {
            graph::Party::Backend(pid) => Some(pid.0),
            graph::Party::Prepared(_) | graph::Party::Unlisted(_) => None,
        }
    }

    fn party_view(&self, node: NodeIndex) -> Party {
        let gid = match self.party(node) {
            graph::Party::Backend(_) => None,
            graph::Party::Prepared(gid) => Some(gid.to_string()),
            graph::Party::Unlisted(owner) => Some(format!("owner {owner}")),
        };
        Party {
            pid: self.pid(node),
            gid,
        }
    }

    fn node_view(&self, node: NodeIndex, behind: usize, words: Vocabulary<'_>) -> Node {
        let now = self.snapshot.tick.at;
        let session = self.session(node);
        let prepared = self.prepared(node);
        let role = session
            .and_then(|s| s.role)
            .or_else(|| prepared.map(|p| p.owner));
        let database = session
            .and_then(|s| s.database)
            .or_else(|| prepared.map(|p| p.database));
        let role = role
            .and_then(|oid| words.names.role(oid))
            .map(ToString::to_string);
        let since = session
            .and_then(|s| s.xact_start)
            .or_else(|| prepared.map(|p| p.prepared));
        let statement = session.and_then(|s| words.statements.get(s.statement?));
        let waited = self
            .waits(node)
            .iter()
            .filter_map(|wait| self.waited(wait))
            .max();
        let unexplained = if prepared.is_some() {
            "prepared transaction"
        } else {
            "unknown"
        };
        Node {
            party: self.party_view(node),
            backend_start: session.map(|s| Rfc3339(s.backend_start)),
            system: match session {
                Some(session) => words
                    .naming
                    .name(session, words.names)
                    .map(|s| s.to_string()),
                // A prepared transaction has no session any more; its owner is what is left.
                None => role.clone(),
            },
            role,
            database: database
                .and_then(|oid| words.names.database(oid))
                .map(ToString::to_string),
            backend_type: session.map_or(unexplained, |s| &s.backend_type).to_owned(),
            state: match (session, prepared) {
                (Some(session), _) => session.state.name().to_owned(),
                (None, Some(_)) => "prepared".to_owned(),
                (None, None) => "unknown".to_owned(),
            },
            wait_event: session.and_then(wait_event),
            query: statement.map(|statement| statement.text.to_string()),
            xact_age_ms: since.map(|since| now.since(since).as_millis_f64()),
            waiting_ms: waited.map(crate::time::Span::as_millis_f64),
            behind,
        }
    }

    fn edge_views(&self, node: NodeIndex, words: Vocabulary<'_>) -> Vec<Edge> {
        let Some(waiter) = self.pid(node) else {
            return Vec::new();
        };
        let mut edges = Vec::new();
        for wait in self.waits(node) {
            let table = self.table(node, wait, words.names, words.statements);
            let lock = EdgeLock {
                kind: wait.request.target.locktype.to_string(),
                mode: wait.request.mode.name().to_owned(),
                table: table.as_ref().map(|table| table.name.to_string()),
                table_basis: table.map(|table| table.basis.name()),
            };
            let hard = wait.hard.iter().map(|&blocker| (blocker, EdgeKind::Hard));
            let soft = self
                .soft(wait)
                .into_iter()
                .map(|blocker| (blocker, EdgeKind::Soft));
            for (blocker, kind) in hard.chain(soft) {
                let Party { pid, gid } = self.party_view(blocker);
                edges.push(Edge {
                    waiter,
                    blocker: pid,
                    blocker_gid: gid,
                    kind,
                    lock: lock.clone(),
                    waiting_ms: self.waited(wait).map(crate::time::Span::as_millis_f64),
                });
            }
        }
        edges.sort_by(|a, b| (a.blocker, &a.blocker_gid).cmp(&(b.blocker, &b.blocker_gid)));
        edges
    }

    /// Counts the sessions whose activity says `Lock` and whose request is not in the lock table.
    ///
    /// Activity and locks are two looks within one statement: some waits end in between.
    fn unseen(&self) -> BTreeMap<String, usize> {
        let mut unseen = BTreeMap::new();
        for session in &self.snapshot.sessions {
            let waits = session.wait_event_type.as_deref() == Some("Lock");
            let seen = self
                .find(session.pid)
                .is_some_and(|node| !self.waits(node).is_empty());
            if waits && !seen {
                let event = session.wait_event.as_deref().unwrap_or("unknown");
                *unseen.entry(event.to_owned()).or_default() += 1;
            }
        }
        unseen
    }
}

/// Writes a wait event as the manual does, `Lock: transactionid`.
fn wait_event(session: &Session) -> Option<String> {
    let kind = session.wait_event_type.as_deref()?;
    Some(format!(
        "{kind}: {}",
        session.wait_event.as_deref().unwrap_or("unknown")
    ))
}

/// Counts who stands behind each node, directly or through others.
fn behind(whole: &DiGraph<(), ()>, nodes: &[NodeIndex]) -> HashMap<NodeIndex, usize> {
    let reversed = Reversed(whole);
    let count = |node: NodeIndex| {
        let mut walk = Dfs::new(reversed, node);
        let mut seen = HashSet::new();
        while let Some(next) = walk.next(reversed) {
            seen.insert(next);
        }
        seen.len() - 1
    };
    nodes.iter().map(|&node| (node, count(node))).collect()
}

//! Who waits for whom, at one instant.
//!
//! A [`WaitGraph`] is a reading of one [`Snapshot`]: it is built in one pass over the lock entries,
//! then queues are put in the order that the server's deadlock detector has given them.
//!
//! ```text
//!   reader ──soft──▶ ALTER TABLE ──hard──▶ long reader        root: the long reader
//!   (queued behind)  (the gate)            (holds AccessShare)  blame ends there
//! ```
//!
//! - A *hard* edge runs to an owner that holds a conflicting mode on the target, a
//!   *soft* edge to one that asked for a conflicting mode earlier. Fast-path entries
//!   never make an edge: whatever can block has left the fast path.
//! - Hard edges are exact. A soft edge rests on the order of a queue, which the server
//!   does not show, and says how sure it is.
//! - A node is a backend, or a prepared transaction; parallel workers are their leader.
//! - A node with no outgoing edge waits for nobody. These are the roots, and blame
//!   ends there. Time that enters a cycle stays with the backends in it.
//! - Soft edges number on the order of *n²* in a queue of *n*: they are computed when
//!   asked for. Blame takes the sure ones only, a bounded number, and only where a waiter has no
//!   hard edge.
//!
//! Nothing here can fail and nothing here does I/O.

mod blame;
mod build;
pub mod chain;
mod detector;
mod edges;
mod effects;
pub mod episode;
mod order;
mod queue;
mod reach;
mod table;
mod target;
pub mod view;
mod wanted;

use std::cell::OnceCell;
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::Arc;

use petgraph::Direction;
use petgraph::graph::{DiGraph, NodeIndex};

use crate::pg::{LockMode, Pid};
use crate::sample::{Lock, Prepared, Session, Snapshot};
use crate::time::Span;

pub use blame::Blame;
pub use edges::Soft;
pub use order::Certainty;
use queue::Queue;
use reach::Reach;
pub use table::{Basis, Row, Rung, Table};
pub use wanted::{Wanted, WantedLock};

/// Who waits or is waited for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Party {
    /// A backend; for a parallel worker its leader.
    Backend(Pid),
    /// A prepared transaction, by its gid.
    Prepared(Arc<str>),
    /// An owner in the lock table that no other row explains.
    Unlisted(Arc<str>),
}

impl fmt::Display for Party {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Backend(pid) => pid.fmt(f),
            Self::Prepared(name) | Self::Unlisted(name) => f.write_str(name),
        }
    }
}

/// One request that has not been granted.
#[derive(Clone, Debug)]
pub struct Wait<'a> {
    /// The entry in the lock table.
    pub request: &'a Lock,
    /// Those who hold a conflicting mode.
    pub hard: Vec<NodeIndex>,
    /// Whether a member of its own lock group is in the way: the workers of a parallel query
    /// extend a table one at a time, and conflict about nothing else.
    pub within_group: bool,
    /// Which target's queue it stands in, and where.
    target: usize,
    place: usize,
}

/// A target that somebody waits for.
#[derive(Debug)]
struct Contended<'a> {
    holders: Vec<(NodeIndex, LockMode)>,
    /// The entries of the holders.
    held: Vec<&'a Lock>,
    queue: Queue<'a>,
}

/// Who waits for whom at one instant.
#[derive(Debug)]
pub struct WaitGraph<'a> {
    snapshot: &'a Snapshot,
    sessions: HashMap<Pid, &'a Session>,
    owned: HashMap<&'a str, Vec<&'a Lock>>,
    nodes: HashMap<Party, NodeIndex>,
    /// Edges that carry blame: the hard ones, or the soft ones of who has no hard one.
    graph: DiGraph<Party, ()>,
    waits: HashMap<NodeIndex, Vec<Wait<'a>>>,
    /// Whom a node waits for to take a safe snapshot, which takes no lock.
    snapshot_waits: HashMap<NodeIndex, Vec<NodeIndex>>,
    targets: Vec<Contended<'a>>,
    blame: Vec<Blame>,
    /// Those whose wait leads back to themselves.
    circles: blame::Circles,
    /// Every edge there is, drawn when first asked for.
    reach: OnceCell<Reach>,
}

impl<'a> WaitGraph<'a> {
    /// Gives whom a node waits for to take a safe snapshot: a deferrable transaction reads only
    /// when no writer can make what it sees inconsistent any more.
    #[must_use]
    pub fn snapshot_waits(&self, node: NodeIndex) -> &[NodeIndex] {
        self.snapshot_waits.get(&node).map_or(&[], Vec::as_slice)
    }

    /// Lists all nodes, by party.
    #[must_use]
    pub fn parties(&self) -> Vec<NodeIndex> {
        let mut nodes: Vec<NodeIndex> = self.graph.node_indices().collect();
        nodes.sort_by(|&a, &b| self.party(a).cmp(self.party(b)));
        nodes
    }

    /// Finds a backend's node, if it waits or is waited for; a worker's is its leader's.
    #[must_use]
    pub fn find(&self, pid: Pid) -> Option<NodeIndex> {
        self.nodes.get(&Party::Backend(self.leader(pid))).copied()
    }

    /// Tells who a node is.
    #[must_use]
    pub fn party(&self, node: NodeIndex) -> &Party {
        &self.graph[node]
    }

    /// Gives a node's session; none for a prepared transaction or one that was not listed.
    #[must_use]
    pub fn session(&self, node: NodeIndex) -> Option<&'a Session> {
        match self.party(node) {
            Party::Backend(pid) => self.sessions.get(pid).copied(),
            Party::Prepared(_) | Party::Unlisted(_) => None,
        }
    }

    /// Gives a node's prepared transaction, if it is one.
    #[must_use]
    pub fn prepared(&self, node: NodeIndex) -> Option<&'a Prepared> {
        match self.party(node) {
            Party::Prepared(gid) => self.snapshot.prepared.iter().find(|p| p.gid == *gid),
            Party::Backend(_) | Party::Unlisted(_) => None,
        }
    }

    /// Gives what a node waits for: nothing for a root, several for a parallel query.
    #[must_use]
    pub fn waits(&self, node: NodeIndex) -> &[Wait<'a>] {
        self.waits.get(&node).map_or(&[], Vec::as_slice)
    }

    /// Tells how long a wait has lasted; none where the server does not say.
    #[must_use]
    pub fn waited(&self, wait: &Wait<'_>) -> Option<Span> {
        self.wait_start(wait.request)
            .map(|since| self.snapshot.tick.at.since(since))
    }

    /// Tells how long a node has waited; of several waits the longest counts.
    ///
    /// A wait for a safe snapshot has no start of its own: it is the first thing that its
    /// statement does.
    #[must_use]
    pub fn waiting(&self, node: NodeIndex) -> Option<Span> {
        let locks = self.waits(node).iter().filter_map(|wait| self.waited(wait));
        let session = || self.session(node)?.query_start;
        let snapshot = (!self.snapshot_waits(node).is_empty())
            .then(session)
            .flatten()
            .map(|since| self.snapshot.tick.at.since(since));
        locks.chain(snapshot).max()
    }

    /// Tells whether somebody is seen in a node's way.
    #[must_use]
    pub fn is_blocked(&self, node: NodeIndex) -> bool {
        self.graph
            .neighbors_directed(node, Direction::Outgoing)
            .next()
            .is_some()
            || self.waits(node).iter().any(|wait| wait.within_group)
    }

    /// Divides the blame for a node's wait over the roots of its chains.
    ///
    /// Where a wait has several blockers it divides evenly, since the server does not
    /// say which of them will be the last to let go. What enters a cycle stays with
    /// the backends in it, and the wait of one of them with the others. A root carries all of
    /// its own. The shares sum to 1.
    #[must_use]
    pub fn blame(&self, node: NodeIndex) -> &Blame {
        &self.blame[node.index()]
    }

    /// Lists those who are waited for and wait for no lock, by party.
    #[must_use]
    pub fn roots(&self) -> Vec<NodeIndex> {
        let mut roots: Vec<_> = self.graph.externals(Direction::Outgoing).collect();
        roots.retain(|&node| {
            self.waits(node).is_empty()
                && self
                    .graph
                    .neighbors_directed(node, Direction::Incoming)
                    .next()
                    .is_some()
        });
        roots.sort_by(|&a, &b| self.party(a).cmp(self.party(b)));
        roots
    }

    /// Tells whether the blame for a node's wait stays in a circle: a deadlock not broken yet.
    /// [`cycles`](Self::cycles) has those too that lead through unsure places in queues.
    #[must_use]
    pub fn is_in_cycle(&self, node: NodeIndex) -> bool {
        self.circles.contains_key(&node)
    }

    /// Lists those of the circle that a node is in, itself among them, in one order for all of them.
    fn circle(&self, node: NodeIndex) -> &[NodeIndex] {
        self.circles.get(&node).map_or(&[], |members| members)
    }

    /// Finds the last waiter on the way from a node to one of its roots: the node itself
    /// where it waits for the root directly, none where no way leads there.
    #[must_use]
    pub fn last_hop(&self, node: NodeIndex, root: NodeIndex) -> Option<NodeIndex> {
        self.way(node, root).pop()
    }

    /// Lists the waiters on a way from a node to one of its roots, the node first and the root
    /// left out; none where no way leads there.
    #[must_use]
    pub fn way(&self, node: NodeIndex, root: NodeIndex) -> Vec<NodeIndex> {
        let mut passed = HashSet::new();
        let mut way = Vec::new();
        let mut at = node;
        while passed.insert(at) {
            way.push(at);
            let next = || self.graph.neighbors_directed(at, Direction::Outgoing);
            if next().any(|blocker| blocker == root) {
                return way;
            }
            let leads =
                |blocker: &NodeIndex| self.blame(*blocker).iter().any(|(end, _)| *end == root);
            match next().filter(leads).min() {
                Some(blocker) => at = blocker,
                None => break,
            }
        }
        Vec::new()
    }

    /// Finds the gate before a wait for a whole table: the first in the queue whose request
    /// conflicts, where nobody *holds* anything against this one.
    #[must_use]
    pub fn gate(&self, wait: &Wait<'_>) -> Option<NodeIndex> {
        let queues = wait.hard.is_empty() && &*wait.request.target.locktype == "relation";
        let queue = &self.targets[wait.target].queue;
        let own = queue.entries()[wait.place].node;
        let mut ahead = queue.conflicting(wait.place).map(|entry| entry.node);
        queues.then(|| ahead.find(|&node| node != own)).flatten()
    }
}

#[cfg(test)]
mod tests;

//! Who waits for whom, at one instant.
//!
//! A [`WaitGraph`] is a reading of one [`Snapshot`]: it is built in one pass over
//! the lock entries and never changed.
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
//!   asked for, and blame takes them only where a waiter has no hard edge.
//!
//! Nothing here can fail and nothing here does I/O.

mod blame;
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
use petgraph::algo::kosaraju_scc;
use petgraph::graph::{DiGraph, NodeIndex};

use crate::pg::{LockMode, Pid};
use crate::sample::{Lock, LockTarget, Prepared, Session, Snapshot, Tick};
use crate::time::{Span, Timestamp};

pub use blame::Blame;
use detector::{Detector, Order};
pub use edges::Soft;
pub use order::Certainty;
use queue::{Queue, Queued};
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

impl Contended<'_> {
    /// Tells whether in this order everybody in the queue has somebody in its way.
    fn gives_reasons(&self, order: &Order) -> bool {
        let entries = self.queue.entries();
        order.iter().enumerate().all(|(nth, &place)| {
            let Queued { node, request, .. } = entries[place];
            let ahead = order[..nth]
                .iter()
                .map(|&place| entries[place].request.mode);
            let held = self.holders.iter().filter(|&&(holder, _)| holder != node);
            ahead
                .chain(held.map(|&(_, mode)| mode))
                .any(|mode| mode.conflicts_with(request.mode))
        })
    }
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
    cyclic: HashSet<NodeIndex>,
    /// Every edge there is, drawn when first asked for.
    reach: OnceCell<Reach>,
}

impl<'a> WaitGraph<'a> {
    /// Reads a snapshot.
    #[must_use]
    pub fn of(snapshot: &'a Snapshot) -> Self {
        let mut graph = Self {
            snapshot,
            sessions: snapshot
                .sessions
                .iter()
                .map(|session| (session.pid, session))
                .collect(),
            owned: HashMap::new(),
            nodes: HashMap::new(),
            graph: DiGraph::new(),
            waits: HashMap::new(),
            snapshot_waits: HashMap::new(),
            targets: Vec::new(),
            blame: Vec::new(),
            cyclic: HashSet::new(),
            reach: OnceCell::new(),
        };
        for lock in &snapshot.locks {
            graph.owned.entry(&lock.owner).or_default().push(lock);
        }
        let gids = graph.gids();
        for entries in contended(&snapshot.locks) {
            graph.add_target(&entries, &gids);
        }
        graph.add_snapshot_waits();
        graph.rearrange();
        graph.connect();
        let mut order = kosaraju_scc(&graph.graph);
        if order.iter().any(|members| members.len() > 1) {
            graph.leave_queues(&order);
            order = kosaraju_scc(&graph.graph);
        }
        graph.blame = blame::divide(&graph.graph, &order);
        graph.cyclic = order
            .into_iter()
            .filter(|members| members.len() > 1)
            .flatten()
            .collect();
        graph
    }

    /// Finds the gid of each prepared transaction by its owner in the lock table.
    ///
    /// The owner's granted `transactionid` entry names the transaction, and that the gid.
    fn gids(&self) -> HashMap<&'a str, Arc<str>> {
        let by_xid: HashMap<_, _> = self
            .snapshot
            .prepared
            .iter()
            .map(|p| (p.transaction, &p.gid))
            .collect();
        let entries = self
            .snapshot
            .locks
            .iter()
            .filter(|lock| lock.pid.is_none() && lock.granted);
        entries
            .filter_map(|lock| {
                let gid = by_xid.get(&lock.target.transactionid?)?;
                Some((&*lock.owner, Arc::clone(gid)))
            })
            .collect()
    }

    /// Gives the node of an entry's owner, making it if it is new.
    fn node(&mut self, lock: &Lock, gids: &HashMap<&str, Arc<str>>) -> NodeIndex {
        self.node_of(match lock.pid {
            Some(pid) => Party::Backend(self.leader(pid)),
            None => match gids.get(&*lock.owner) {
                Some(gid) => Party::Prepared(Arc::clone(gid)),
                None => Party::Unlisted(Arc::clone(&lock.owner)),
            },
        })
    }

    fn node_of(&mut self, party: Party) -> NodeIndex {
        let graph = &mut self.graph;
        *self
            .nodes
            .entry(party)
            .or_insert_with_key(|party| graph.add_node(party.clone()))
    }

    /// Gives the leader of a parallel worker, and anyone else as they are.
    fn leader(&self, pid: Pid) -> Pid {
        self.sessions
            .get(&pid)
            .and_then(|session| session.leader_pid)
            .unwrap_or(pid)
    }

    /// Takes up one contended target: its holders, its queue, and the hard edges between.
    fn add_target(&mut self, entries: &[&'a Lock], gids: &HashMap<&str, Arc<str>>) {
        let mut holders = Vec::new();
        let mut requests = Vec::new();
        for &lock in entries {
            let node = self.node(lock, gids);
            if lock.granted {
                holders.push((node, lock.mode));
            } else {
                requests.push((node, lock, self.wait_start(lock)));
            }
        }
        let queue = Queue::of(requests, &holders);
        for (place, entry) in queue.entries().iter().enumerate() {
            let (node, request) = (entry.node, entry.request);
            let conflicting = holders
                .iter()
                .filter(|(_, mode)| mode.conflicts_with(request.mode));
            // The same node is itself, or another member of its lock group.
            let mut hard: Vec<NodeIndex> = conflicting
                .clone()
                .map(|&(holder, _)| holder)
                .filter(|&holder| holder != node)
                .collect();
            hard.sort_unstable();
            hard.dedup();
            let wait = Wait {
                request,
                hard,
                within_group: &*request.target.locktype == "extend"
                    && conflicting.clone().any(|&(holder, _)| holder == node),
                target: self.targets.len(),
                place,
            };
            self.waits.entry(node).or_default().push(wait);
        }
        let held = entries.iter().copied().filter(|lock| lock.granted);
        self.targets.push(Contended {
            holders,
            held: held.collect(),
            queue,
        });
    }

    /// Puts queues in the order that the server's deadlock detector has given them.
    fn rearrange(&mut self) {
        let Tick {
            at,
            deadlock_timeout,
            ..
        } = self.snapshot.tick;
        let is_old = |wait: &&Wait<'_>| {
            let since = self.targets[wait.target].queue.entries()[wait.place].since();
            since.is_some_and(|since| at.since(since) > deadlock_timeout)
        };
        let mut old = self.waits.values().flatten().filter(is_old);
        // A circle takes two targets.
        let Some(one) = old.next() else { return };
        if old.all(|wait| wait.target == one.target) {
            return;
        }
        let circles = self.reach().cycles();
        let orders = Detector::new(&self.targets, &self.waits).run(circles, at, deadlock_timeout);
        if orders.is_empty() {
            return;
        }
        for (target, order) in orders {
            let queue = &mut self.targets[target].queue;
            *queue = queue.put(&order);
            for (place, entry) in queue.entries().iter().enumerate() {
                let waits = self.waits.entry(entry.node).or_default();
                for wait in waits {
                    if wait.target == target && std::ptr::eq(wait.request, entry.request) {
                        wait.place = place;
                    }
                }
            }
        }
        self.reach = OnceCell::new();
    }

    /// Takes up those who wait for others without any lock, to read what never has to be undone.
    fn add_snapshot_waits(&mut self) {
        for wait in &self.snapshot.safe_snapshots {
            let waiter = self.node_of(Party::Backend(self.leader(wait.waiter)));
            let blocker = self.node_of(match wait.blocker {
                Pid(0) => Party::Unlisted("a prepared transaction".into()),
                pid => Party::Backend(self.leader(pid)),
            });
            if waiter != blocker {
                self.snapshot_waits.entry(waiter).or_default().push(blocker);
            }
        }
    }

    /// Gives the start of a wait; none where the server does not say or says it wrongly.
    ///
    /// `waitstart` may hold the value of an earlier wait: one from before the statement or the
    /// transaction began is no answer.
    fn wait_start(&self, request: &Lock) -> Option<Timestamp> {
        let since = request.waitstart?;
        let session = self.sessions.get(&request.pid?);
        let began = session.and_then(|session| session.query_start.max(session.xact_start));
        began.is_none_or(|began| since >= began).then_some(since)
    }

    /// Draws the edges that carry blame.
    fn connect(&mut self) {
        let mut edges = Vec::new();
        for (&node, waits) in &self.waits {
            for wait in waits {
                if wait.hard.is_empty() {
                    let blamed = self.blamed(wait);
                    edges.extend(blamed.into_iter().map(|blocker| (node, blocker)));
                } else {
                    edges.extend(wait.hard.iter().map(|&blocker| (node, blocker)));
                }
            }
        }
        for (&node, blockers) in &self.snapshot_waits {
            edges.extend(blockers.iter().map(|&blocker| (node, blocker)));
        }
        edges.sort_unstable();
        edges.dedup();
        for (waiter, blocker) in edges {
            self.graph.add_edge(waiter, blocker, ());
        }
    }

    /// Takes the places in queues that lead in a circle out of the blame, where a wait has others:
    /// the server puts such a queue in another order, and what is left is what it waits for then.
    ///
    /// `components` are those of the graph as it is drawn.
    fn leave_queues(&mut self, components: &[Vec<NodeIndex>]) {
        let mut kept: HashMap<NodeIndex, HashSet<NodeIndex>> = HashMap::new();
        for members in components.iter().filter(|members| members.len() > 1) {
            let members: HashSet<NodeIndex> = members.iter().copied().collect();
            for &node in &members {
                let blockers = kept.entry(node).or_default();
                blockers.extend(self.snapshot_waits(node));
                for wait in self.waits(node) {
                    let mut apart = self.ahead(wait).filter(|other| !members.contains(other));
                    match apart.next() {
                        _ if !wait.hard.is_empty() => blockers.extend(&wait.hard),
                        Some(first) => blockers.extend(std::iter::once(first).chain(apart)),
                        None => blockers.extend(self.blamed(wait)),
                    }
                }
            }
        }
        self.graph.retain_edges(|graph, edge| {
            let ends = graph.edge_endpoints(edge);
            ends.is_none_or(|(waiter, _)| !kept.contains_key(&waiter))
        });
        for (waiter, blockers) in kept {
            for blocker in blockers {
                self.graph.add_edge(waiter, blocker, ());
            }
        }
    }

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
    /// the backends in it. A root carries all of its own. The shares sum to 1.
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

    /// Tells whether a node's wait leads back to itself: a deadlock not broken yet.
    #[must_use]
    pub fn is_in_cycle(&self, node: NodeIndex) -> bool {
        self.cyclic.contains(&node)
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

/// Groups the entries of each target that somebody waits for, in a stable order.
fn contended(locks: &[Lock]) -> Vec<Vec<&Lock>> {
    let wanted: HashSet<&LockTarget> = locks
        .iter()
        .filter(|lock| !lock.granted)
        .map(|lock| &lock.target)
        .collect();
    let mut targets: HashMap<&LockTarget, Vec<&Lock>> = HashMap::new();
    for lock in locks {
        if !lock.fastpath && wanted.contains(&lock.target) {
            targets.entry(&lock.target).or_default().push(lock);
        }
    }
    let mut targets: Vec<_> = targets.into_iter().collect();
    targets.sort_unstable_by_key(|&(target, _)| target);
    targets.into_iter().map(|(_, entries)| entries).collect()
}

#[cfg(test)]
mod tests;

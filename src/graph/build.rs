//! How a graph is made of a snapshot: targets with their queues, then the edges that carry blame.

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use petgraph::algo::kosaraju_scc;
use petgraph::graph::{DiGraph, NodeIndex};

use super::detector::Detector;
use super::queue::Queue;
use super::{Contended, Party, Wait, WaitGraph, blame};
use crate::pg::Pid;
use crate::sample::{Lock, LockTarget, Snapshot, Tick};
use crate::time::Timestamp;

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
            circles: HashMap::new(),
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
        graph.circles = blame::circles(&order);
        graph.blame = blame::divide(&graph.graph, &order, &graph.circles);
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
    pub(super) fn leader(&self, pid: Pid) -> Pid {
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
        let is_old = |wait: &Wait<'_>| {
            let since = self.targets[wait.target].queue.entries()[wait.place].since();
            since.is_some_and(|since| at.since(since) > deadlock_timeout)
        };
        // A circle takes two targets, and one whose turn to look for it has come.
        if self.targets.len() < 2 || !self.waits.values().flatten().any(is_old) {
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
    pub(super) fn wait_start(&self, request: &Lock) -> Option<Timestamp> {
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
        let mut kept: BTreeMap<NodeIndex, BTreeSet<NodeIndex>> = BTreeMap::new();
        for members in components.iter().filter(|members| members.len() > 1) {
            let members: HashSet<NodeIndex> = members.iter().copied().collect();
            for &node in &members {
                let blockers = kept.entry(node).or_default();
                blockers.extend(self.snapshot_waits(node));
                for wait in self.waits(node) {
                    if !wait.hard.is_empty() {
                        blockers.extend(wait.hard.iter().copied());
                        continue;
                    }
                    let mut blamed = self.blamed(wait);
                    if blamed.iter().any(|other| !members.contains(other)) {
                        blamed.retain(|other| !members.contains(other));
                    }
                    blockers.extend(blamed);
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

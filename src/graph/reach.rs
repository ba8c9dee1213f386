//! The whole wait-for relation, soft edges included, in linear size.
//!
//! A queue of *n* has on the order of *n²* soft edges. Here a waiter points to *all who
//! hold mode m* and to *all ahead who ask for mode m*, each of which is one auxiliary node,
//! so reachability costs what the lock table has entries.
//!
//! ```text
//!   waiter 4 ─▶ (ahead, mode m) ─▶ waiter 3
//!                      │
//!                      ▼
//!               (ahead, mode m) ─▶ waiter 2
//! ```
//!
//! An auxiliary node may lead a waiter back to itself alone; that is no cycle.

use fixedbitset::FixedBitSet;
use petgraph::Direction;
use petgraph::algo::kosaraju_scc;
use petgraph::graph::{DiGraph, NodeIndex};

use super::queue::Queue;
use crate::pg::LockMode;

/// Who can reach whom.
#[derive(Debug)]
pub(super) struct Reach {
    /// The first `parties` nodes are those of the wait-for graph, under the same index.
    parties: usize,
    graph: DiGraph<(), ()>,
    /// Blockers before waiters; each with the parties in it alone.
    components: Vec<Vec<NodeIndex>>,
    /// For each node, of the auxiliary ones too, which of the components it is in.
    component_of: Vec<usize>,
}

impl Reach {
    /// Draws the relation: the queues of all targets with their holders, and some edges more.
    pub(super) fn of<'a, 'q>(
        parties: usize,
        targets: impl Iterator<Item = (&'q Queue<'a>, &'q [(NodeIndex, LockMode)])>,
        more: impl Iterator<Item = (NodeIndex, NodeIndex)>,
    ) -> Self
    where
        'a: 'q,
    {
        let mut graph = DiGraph::new();
        for _ in 0..parties {
            graph.add_node(());
        }
        for (waiter, blocker) in more {
            graph.add_edge(waiter, blocker, ());
        }
        for (queue, holders) in targets {
            draw(&mut graph, queue, holders);
        }
        let mut component_of = vec![0; graph.node_count()];
        let mut components = kosaraju_scc(&graph);
        for (number, members) in components.iter_mut().enumerate() {
            for member in &*members {
                component_of[member.index()] = number;
            }
            members.retain(|member| member.index() < parties);
            members.sort_unstable();
        }
        Self {
            parties,
            graph,
            components,
            component_of,
        }
    }

    /// Lists the parties that wait for each other, cycle by cycle.
    pub(super) fn cycles(&self) -> impl Iterator<Item = &[NodeIndex]> {
        self.components
            .iter()
            .map(Vec::as_slice)
            .filter(|members| members.len() > 1)
    }

    /// Tells whether two parties wait for each other, directly or through others.
    pub(super) fn are_in_one_cycle(&self, a: NodeIndex, b: NodeIndex) -> bool {
        a != b && self.component_of[a.index()] == self.component_of[b.index()]
    }

    /// Counts for each party who stands behind it, directly or through others.
    pub(super) fn behind(&self) -> Vec<usize> {
        let mut waiters: Vec<Option<FixedBitSet>> = vec![None; self.components.len()];
        let mut members: Vec<Vec<NodeIndex>> = vec![Vec::new(); self.components.len()];
        for node in self.graph.node_indices() {
            members[self.component_of[node.index()]].push(node);
        }
        let mut behind = vec![0; self.parties];
        // Waiters before blockers: when a component's turn comes, its waiters are complete.
        for component in (0..self.components.len()).rev() {
            let mut all = waiters[component]
                .take()
                .unwrap_or_else(|| FixedBitSet::with_capacity(self.parties));
            for party in &self.components[component] {
                all.insert(party.index());
            }
            let count = all.count_ones(..);
            for party in &self.components[component] {
                behind[party.index()] = count - 1;
            }
            for &member in &members[component] {
                for blocker in self.graph.neighbors_directed(member, Direction::Outgoing) {
                    let other = self.component_of[blocker.index()];
                    if other != component {
                        match &mut waiters[other] {
                            Some(known) => known.union_with(&all),
                            none => *none = Some(all.clone()),
                        }
                    }
                }
            }
        }
        behind
    }
}

/// Draws one target.
fn draw(graph: &mut DiGraph<(), ()>, queue: &Queue<'_>, holders: &[(NodeIndex, LockMode)]) {
    let mut held: [Option<NodeIndex>; LockMode::ALL.len()] = [None; LockMode::ALL.len()];
    for &(holder, mode) in holders {
        let all = *held[mode as usize].get_or_insert_with(|| graph.add_node(()));
        graph.add_edge(all, holder, ());
    }
    let mut asked: [Option<NodeIndex>; LockMode::ALL.len()] = [None; LockMode::ALL.len()];
    for entry in queue.entries() {
        for mode in LockMode::ALL {
            if mode.conflicts_with(entry.request.mode) {
                for all in [held[mode as usize], asked[mode as usize]]
                    .into_iter()
                    .flatten()
                {
                    graph.add_edge(entry.node, all, ());
                }
            }
        }
        let mode = entry.request.mode as usize;
        let all = graph.add_node(());
        graph.add_edge(all, entry.node, ());
        if let Some(earlier) = asked[mode] {
            graph.add_edge(all, earlier, ());
        }
        asked[mode] = Some(all);
    }
}

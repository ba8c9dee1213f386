//! A wait-for graph with one place for each node, so that it can be read as trees.
//!
//! - A waiter stands under the blocker that holds its lock, or, where it only
//!   queues, under the one with the most sessions behind it.
//! - A session in a deadlock stands under nobody.
//! - Every node has exactly one place, also in a graph that contradicts itself.
//!   Nodes are walked, never paths.

use std::cmp::Reverse;
use std::collections::HashMap;

use crate::graph::view::{Edge, EdgeKind, GraphView, Node};

/// One graph, laid out as trees. Indices are those of [`GraphView::nodes`].
pub(super) struct Forest<'a> {
    /// The graph.
    pub(super) view: &'a GraphView,
    /// Nodes under nobody, the worst first.
    pub(super) tops: Vec<usize>,
    /// The nodes below each node, the worst first.
    pub(super) children: Vec<Vec<usize>>,
    /// Nodes that wait for each node too and stand elsewhere.
    pub(super) elsewhere: Vec<Vec<usize>>,
    /// The wait by which each node stands where it does; none for a root.
    pub(super) wait: Vec<Option<&'a Edge>>,
    /// Whether each node is part of a deadlock.
    pub(super) in_cycle: Vec<bool>,
    /// The longest wait of each node and those below it.
    pub(super) longest_ms: Vec<f64>,
}

impl<'a> Forest<'a> {
    /// Lays a graph out.
    pub(super) fn new(view: &'a GraphView) -> Self {
        let backends: HashMap<i32, usize> = view
            .nodes
            .iter()
            .enumerate()
            .filter_map(|(n, node)| Some((node.party.pid?, n)))
            .collect();
        let prepared: HashMap<&str, usize> = view
            .nodes
            .iter()
            .enumerate()
            .filter_map(|(n, node)| Some((node.party.gid.as_deref()?, n)))
            .collect();
        let ends = |edge: &Edge| {
            let waiter = *backends.get(&edge.waiter)?;
            let blocker = match (&edge.blocker, &edge.blocker_gid) {
                (Some(pid), _) => *backends.get(pid)?,
                (None, Some(gid)) => *prepared.get(gid.as_str())?,
                (None, None) => return None,
            };
            (waiter != blocker).then_some((waiter, blocker))
        };
        let size = view.nodes.len();
        let mut in_cycle = vec![false; size];
        for pid in view.cycles.iter().flatten() {
            if let Some(&n) = backends.get(pid) {
                in_cycle[n] = true;
            }
        }
        let mut wait: Vec<Option<&Edge>> = vec![None; size];
        let mut above: Vec<Option<usize>> = vec![None; size];
        let mut hard: Vec<(usize, usize)> = Vec::new();
        for edge in &view.edges {
            let Some((waiter, blocker)) = ends(edge) else {
                continue;
            };
            if edge.kind == EdgeKind::Hard {
                hard.push((waiter, blocker));
            }
            let weight =
                |edge: &Edge, n: usize| (edge.kind == EdgeKind::Hard, view.nodes[n].behind);
            let is_better = match (wait[waiter], above[waiter]) {
                (Some(now), Some(n)) => weight(edge, blocker) > weight(now, n),
                _ => true,
            };
            if is_better {
                wait[waiter] = Some(edge);
                above[waiter] = Some(blocker);
            }
        }
        for (n, above) in above.iter_mut().enumerate() {
            if in_cycle[n] {
                *above = None;
            }
        }
        let mut forest = Self {
            view,
            tops: Vec::new(),
            children: vec![Vec::new(); size],
            elsewhere: vec![Vec::new(); size],
            wait,
            in_cycle,
            longest_ms: view
                .nodes
                .iter()
                .map(|node| node.waiting_ms.unwrap_or(0.0))
                .collect(),
        };
        forest.plant(&mut above);
        for (waiter, blocker) in hard {
            if above[waiter] != Some(blocker) && !forest.in_cycle[waiter] {
                forest.elsewhere[blocker].push(waiter);
            }
        }
        forest
    }

    /// Hangs every node below `above` it, breaks loops that the graph does not admit, and sorts.
    fn plant(&mut self, above: &mut [Option<usize>]) {
        break_loops(above);
        for (n, above) in above.iter().enumerate() {
            match above {
                Some(above) => self.children[*above].push(n),
                None => self.tops.push(n),
            }
        }
        let mut order = self.tops.clone();
        let mut next = 0;
        while let Some(&n) = order.get(next) {
            order.extend(&self.children[n]);
            next += 1;
        }
        for &n in order.iter().rev() {
            if let Some(above) = above[n] {
                self.longest_ms[above] = self.longest_ms[above].max(self.longest_ms[n]);
            }
        }
        let nodes = &self.view.nodes;
        let longest = &self.longest_ms;
        let worst_first = |&a: &usize, &b: &usize| {
            Reverse(nodes[a].behind)
                .cmp(&Reverse(nodes[b].behind))
                .then(longest[b].total_cmp(&longest[a]))
                .then(a.cmp(&b))
        };
        self.tops.sort_by(worst_first);
        for children in &mut self.children {
            children.sort_by(worst_first);
        }
    }

    /// Tells whether somebody waits for this node, shown below it or elsewhere.
    pub(super) fn is_in_the_way(&self, n: usize) -> bool {
        !self.children[n].is_empty() || !self.elsewhere[n].is_empty()
    }

    /// Tells whether somebody waits here for a lock.
    pub(super) fn is_waiter(&self, n: usize) -> bool {
        self.wait[n].is_some() || self.view.nodes[n].waiting_ms.is_some()
    }

    /// Gives the sessions that wait, in the graph's order.
    pub(super) fn waiters(&self) -> impl Iterator<Item = &'a Node> {
        (0..self.view.nodes.len())
            .filter(|&n| self.is_waiter(n))
            .map(|n| &self.view.nodes[n])
    }

    /// Finds the gate below a root: the waiting one that makes others queue for a table they could
    /// otherwise have had.
    pub(super) fn gate(&self, root: usize) -> Option<usize> {
        self.children[root].iter().copied().find(|&n| {
            let queued = self.children[n]
                .iter()
                .filter_map(|&child| self.wait[child])
                .filter(|edge| edge.kind == EdgeKind::Soft && edge.lock.kind == "relation");
            queued.count() > 0
        })
    }
}

/// Cuts each loop of `above` at one node, in one pass over the nodes.
fn break_loops(above: &mut [Option<usize>]) {
    // 0: not seen; else the number of the walk that saw it.
    let mut seen = vec![0_usize; above.len()];
    for start in 0..above.len() {
        let walk = start + 1;
        let mut at = start;
        while seen[at] == 0 {
            seen[at] = walk;
            match above[at] {
                Some(next) => at = next,
                None => break,
            }
        }
        if seen[at] == walk && above[at].is_some() {
            above[at] = None;
        }
    }
}

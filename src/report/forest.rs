//! A wait-for graph with one place for each node, so that it can be read as trees.
//!
//! - A waiter stands under the blocker that holds its lock, or, where it only
//!   queues, under the one with the most sessions behind it.
//! - A session in a deadlock stands under nobody. A cycle is one only where the locks held
//!   make it one: the order of a queue may have been rearranged since.
//! - A parallel query whose workers wait for each other stands under nobody because of that.
//! - Every node has exactly one place, also in a graph that contradicts itself.
//!   Nodes are walked, never paths.

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap};

use crate::graph::chain::Chain;
use crate::graph::view::{Edge, EdgeKind, GraphView, Node, Party};

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
    /// The wait of each node for members of its own lock group; none for nearly everybody.
    pub(super) within: Vec<Option<&'a Edge>>,
    /// Whether each node is part of a deadlock.
    pub(super) in_cycle: Vec<bool>,
    /// Cycles that the locks held make deadlocks.
    pub(super) deadlocks: Vec<&'a [i32]>,
    /// Cycles that rest on the order of a queue.
    pub(super) doubtful: Vec<&'a [i32]>,
    /// The longest wait of each node and those below it; none where the server told of none.
    pub(super) longest_ms: Vec<Option<f64>>,
    /// Who is directly in the way of each node, holding or ahead in the queue; one is there
    /// twice that is in the way by two locks.
    blockers: Vec<Vec<usize>>,
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
            Some((waiter, blocker))
        };
        let size = view.nodes.len();
        let mut in_cycle = vec![false; size];
        let (deadlocks, doubtful): (Vec<&[i32]>, Vec<&[i32]>) = view
            .cycles
            .iter()
            .map(Vec::as_slice)
            .partition(|cycle| is_held(cycle, &view.edges));
        for pid in deadlocks.iter().copied().flatten() {
            if let Some(&n) = backends.get(pid) {
                in_cycle[n] = true;
            }
        }
        let mut wait: Vec<Option<&Edge>> = vec![None; size];
        let mut above: Vec<Option<usize>> = vec![None; size];
        let mut hard: Vec<(usize, usize)> = Vec::new();
        let mut blockers = vec![Vec::new(); size];
        let mut within: Vec<Option<&Edge>> = vec![None; size];
        for edge in &view.edges {
            let Some((waiter, blocker)) = ends(edge) else {
                continue;
            };
            if waiter == blocker {
                within[waiter] = Some(edge);
                continue;
            }
            blockers[waiter].push(blocker);
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
            within,
            in_cycle,
            deadlocks,
            doubtful,
            longest_ms: view.nodes.iter().map(|node| node.waiting_ms).collect(),
            blockers,
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
                self.longest_ms[above] = longer(self.longest_ms[above], self.longest_ms[n]);
            }
        }
        let nodes = &self.view.nodes;
        let longest = &self.longest_ms;
        let worst_first = |&a: &usize, &b: &usize| {
            Reverse(nodes[a].behind)
                .cmp(&Reverse(nodes[b].behind))
                .then(
                    longest[b]
                        .unwrap_or(0.0)
                        .total_cmp(&longest[a].unwrap_or(0.0)),
                )
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

    /// Tells whether the statement shown for a node took none of what others wait for.
    pub(super) fn took_lock_before(&self, n: usize) -> bool {
        let node = &self.view.nodes[n];
        let mut answers = self
            .view
            .edges
            .iter()
            .filter(|edge| edge.kind == EdgeKind::Hard)
            .filter(|edge| edge.blocker == node.party.pid && edge.blocker_gid == node.party.gid)
            .map(|edge| edge.taken_by_query)
            .peekable();
        answers.peek().is_some() && answers.all(|answer| answer == Some(false))
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
        let mut below = self.children[root].iter().copied();
        below.find(|&n| self.makes_queue(n)).or_else(|| {
            self.chains(root)
                .find_map(|chain| self.find(chain.gate.as_ref()?))
        })
    }

    /// Gives what a root holds and who waits because of it, the worst first.
    pub(super) fn chains(&self, root: usize) -> impl Iterator<Item = &'a Chain> + use<'a, '_> {
        let party = &self.view.nodes[root].party;
        let chains = self.view.chains.iter();
        chains.filter(move |chain| chain.root.as_ref() == Some(party))
    }

    fn find(&self, party: &Party) -> Option<usize> {
        let nodes = &self.view.nodes;
        nodes.iter().position(|node| node.party == *party)
    }

    /// Tells whether others queue behind a waiter for a table that they could otherwise have had.
    pub(super) fn makes_queue(&self, n: usize) -> bool {
        let mut queued = self.children[n]
            .iter()
            .filter_map(|&child| self.wait[child]);
        queued.any(|edge| edge.kind == EdgeKind::Soft && edge.lock.kind == "relation")
    }

    /// Tells whether nobody but `blocker` is directly in the way of a node.
    pub(super) fn waits_only_for(&self, n: usize, blocker: usize) -> bool {
        let blockers = &self.blockers[n];
        !blockers.is_empty() && blockers.iter().all(|&other| other == blocker)
    }

    /// Tells whether a node is part of a cycle that rests on the order of a queue.
    pub(super) fn in_doubtful_cycle(&self, n: usize) -> bool {
        let pid = self.view.nodes[n].party.pid;
        let mut cycles = self.doubtful.iter();
        pid.is_some_and(|pid| cycles.any(|cycle| cycle.contains(&pid)))
    }

    /// Gives the nodes below a root, in no order that means anything.
    pub(super) fn below(&self, root: usize) -> Vec<usize> {
        let mut below = self.children[root].clone();
        let mut next = 0;
        while let Some(&n) = below.get(next) {
            below.extend(&self.children[n]);
            next += 1;
        }
        below
    }

    /// Finds who else is in the way of most of those that queue behind a gate; of several, who
    /// waits too, and then who has most behind it.
    pub(super) fn next_in_the_way(&self, gate: usize) -> Option<usize> {
        let mut others: HashMap<usize, usize> = HashMap::new();
        for blockers in self.blockers.iter().filter(|b| b.contains(&gate)) {
            let besides: BTreeSet<usize> = blockers.iter().copied().collect();
            for other in besides.into_iter().filter(|&other| other != gate) {
                *others.entry(other).or_default() += 1;
            }
        }
        others
            .into_iter()
            .max_by_key(|&(n, held_up)| {
                let waits = self.is_waiter(n);
                (held_up, waits, self.view.nodes[n].behind, Reverse(n))
            })
            .map(|(n, _)| n)
    }
}

/// Tells whether a cycle is one by locks held alone.
///
/// Who waits for no held lock of another member is taken out until nobody is left or
/// everybody stays.
fn is_held(cycle: &[i32], edges: &[Edge]) -> bool {
    let mut members: BTreeSet<i32> = cycle.iter().copied().collect();
    let held: Vec<(i32, i32)> = edges
        .iter()
        .filter(|edge| edge.kind == EdgeKind::Hard)
        .filter_map(|edge| Some((edge.waiter, edge.blocker?)))
        .filter(|(waiter, blocker)| {
            waiter != blocker && members.contains(waiter) && members.contains(blocker)
        })
        .collect();
    loop {
        let stuck: BTreeSet<i32> = held
            .iter()
            .filter(|(waiter, blocker)| members.contains(waiter) && members.contains(blocker))
            .map(|&(waiter, _)| waiter)
            .collect();
        if stuck.len() == members.len() {
            return !members.is_empty();
        }
        members = stuck;
    }
}

/// Gives the longer of two waits, as far as they are known.
fn longer(a: Option<f64>, b: Option<f64>) -> Option<f64> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.max(b)),
        (a, b) => a.or(b),
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

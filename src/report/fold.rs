//! A wait-for graph made small enough to read: one queue is one node.
//!
//! A queue of *n* waiters has on the order of *n²* edges. Two rules make it a
//! picture, and neither hides a blocker:
//!
//! 1. A soft edge whose two ends already wait for the same party says only who
//!    comes first in one queue; it is left out (edges within a cycle stay).
//! 2. More than [`LIKE`] waiters that do the same, wait for the same and have
//!    nobody waiting for them become one node with a count.
//!
//! What is still too much is cut to the heaviest, and the cut is counted.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use crate::graph::view::{Edge, EdgeKind, GraphView, Node};

/// So many like waiters are still drawn one by one.
const LIKE: usize = 6;

/// No more nodes than this are drawn.
const MOST: usize = 60;

/// What is drawn as one box: one party, or several that are alike.
#[derive(Clone, Debug)]
pub(in crate::report) struct Folded<'a> {
    /// Who is in it, in the view's order; never empty.
    pub(in crate::report) members: Vec<&'a Node>,
    /// Whether it is waited for and waits for nobody.
    pub(in crate::report) root: bool,
    /// Whether it is part of a deadlock.
    pub(in crate::report) in_cycle: bool,
}

impl Folded<'_> {
    /// The longest wait among the members.
    pub(in crate::report) fn longest_wait_ms(&self) -> Option<f64> {
        self.members
            .iter()
            .filter_map(|node| node.waiting_ms)
            .max_by(f64::total_cmp)
    }

    /// Sessions that wait, here or behind it.
    fn weight(&self) -> usize {
        let behind = self.members.iter().map(|node| node.behind).sum::<usize>();
        behind + self.members.len()
    }
}

/// One arrow between boxes, from the waiter to who is in its way.
#[derive(Clone, Debug)]
pub(in crate::report) struct Arrow<'a> {
    /// Index of the waiter's box.
    pub(in crate::report) from: usize,
    /// Index of the blocker's box.
    pub(in crate::report) to: usize,
    /// The edge it stands for, hard if any of several is.
    pub(in crate::report) edge: &'a Edge,
}

/// The graph as it is drawn.
#[derive(Clone, Debug)]
pub(in crate::report) struct FoldedGraph<'a> {
    /// The boxes, heaviest first among equals of the view's order.
    pub(in crate::report) boxes: Vec<Folded<'a>>,
    /// The arrows between them.
    pub(in crate::report) arrows: Vec<Arrow<'a>>,
    /// Sessions for which there was no room.
    pub(in crate::report) left_out: usize,
}

/// Puts a star in place of each run of digits: `intake-07` and `intake-11` are alike.
pub(in crate::report) fn pattern(system: &str) -> String {
    let mut pattern = String::new();
    for c in system.chars() {
        if !c.is_ascii_digit() {
            pattern.push(c);
        } else if !pattern.ends_with('*') {
            pattern.push('*');
        }
    }
    pattern
}

/// Folds a graph by the rules above.
pub(in crate::report) fn fold(view: &GraphView) -> FoldedGraph<'_> {
    let edges = resolve(view);
    let kept = without_queue_order(view, &edges);
    let cycles: BTreeSet<i32> = view.cycles.iter().flatten().copied().collect();
    let in_cycle = |node: &Node| node.party.pid.is_some_and(|pid| cycles.contains(&pid));

    let mut blockers: Vec<BTreeSet<usize>> = vec![BTreeSet::new(); view.nodes.len()];
    let mut waited_for = vec![false; view.nodes.len()];
    for &(from, to, _) in &kept {
        blockers[from].insert(to);
        waited_for[to] = true;
    }
    let alone = |index: usize| {
        waited_for[index] || blockers[index].is_empty() || in_cycle(&view.nodes[index])
    };

    // First by what they run; if that leaves too many, by what they wait for alone.
    let mut groups = BTreeMap::new();
    for coarse in [false, true] {
        groups = group(view, &blockers, alone, coarse);
        if groups.len() <= MOST {
            break;
        }
    }
    let mut members: Vec<Vec<usize>> = groups.into_values().collect();
    members.sort_by_key(|members| members.first().copied());

    let mut boxes: Vec<(Vec<usize>, Folded<'_>)> = members
        .into_iter()
        .map(|members| {
            let first = members.first().copied().unwrap_or_default();
            let folded = Folded {
                members: members.iter().map(|&index| &view.nodes[index]).collect(),
                root: blockers[first].is_empty() && waited_for[first],
                in_cycle: in_cycle(&view.nodes[first]),
            };
            (members, folded)
        })
        .collect();
    let mut left_out = 0;
    if boxes.len() > MOST {
        boxes.sort_by_key(|(_, folded)| std::cmp::Reverse(folded.weight()));
        left_out = boxes.drain(MOST..).map(|(members, _)| members.len()).sum();
    }

    let mut box_of = HashMap::new();
    for (index, (members, _)) in boxes.iter().enumerate() {
        box_of.extend(members.iter().map(|&member| (member, index)));
    }
    let mut arrows: BTreeMap<(usize, usize), &Edge> = BTreeMap::new();
    for &(from, to, edge) in &kept {
        if let (Some(&from), Some(&to)) = (box_of.get(&from), box_of.get(&to)) {
            let arrow = arrows.entry((from, to)).or_insert(edge);
            if edge.kind == EdgeKind::Hard && arrow.kind == EdgeKind::Soft {
                *arrow = edge;
            }
        }
    }
    FoldedGraph {
        boxes: boxes.into_iter().map(|(_, folded)| folded).collect(),
        arrows: arrows
            .into_iter()
            .map(|((from, to), edge)| Arrow { from, to, edge })
            .collect(),
        left_out,
    }
}

type Resolved<'a> = (usize, usize, &'a Edge);

/// Turns pids and gids into indexes; an edge to nobody in the view is dropped.
fn resolve(view: &GraphView) -> Vec<Resolved<'_>> {
    let mut backends = HashMap::new();
    let mut prepared = HashMap::new();
    for (index, node) in view.nodes.iter().enumerate() {
        if let Some(pid) = node.party.pid {
            backends.insert(pid, index);
        } else if let Some(gid) = &node.party.gid {
            prepared.insert(gid.as_str(), index);
        }
    }
    let ends = |edge: &Edge| {
        let from = *backends.get(&edge.waiter)?;
        let to = match (edge.blocker, edge.blocker_gid.as_deref()) {
            (Some(pid), _) => *backends.get(&pid)?,
            (None, Some(gid)) => *prepared.get(gid)?,
            (None, None) => return None,
        };
        Some((from, to))
    };
    view.edges
        .iter()
        .filter_map(|edge| ends(edge).map(|(from, to)| (from, to, edge)))
        .filter(|(from, to, _)| from != to)
        .collect()
}

/// Leaves out the soft edges that only tell the order within one queue.
fn without_queue_order<'a>(view: &GraphView, edges: &[Resolved<'a>]) -> Vec<Resolved<'a>> {
    let mut ahead: Vec<Vec<usize>> = vec![Vec::new(); view.nodes.len()];
    let mut pairs = HashSet::new();
    for &(from, to, _) in edges {
        ahead[from].push(to);
        pairs.insert((from, to));
    }
    let pids: Vec<HashSet<i32>> = view
        .cycles
        .iter()
        .map(|cycle| cycle.iter().copied().collect())
        .collect();
    let one_cycle = |a: usize, b: usize| {
        let both = (view.nodes[a].party.pid, view.nodes[b].party.pid);
        matches!(both, (Some(a), Some(b)) if pids.iter().any(|c| c.contains(&a) && c.contains(&b)))
    };
    edges
        .iter()
        .copied()
        .filter(|&(from, to, edge)| {
            edge.kind == EdgeKind::Hard
                || one_cycle(from, to)
                || !ahead[to]
                    .iter()
                    .any(|&common| common != from && pairs.contains(&(from, common)))
        })
        .collect()
}

/// What waiters have in common.
type Likeness<'a> = (
    String,
    Option<&'a str>,
    Option<&'a str>,
    &'a BTreeSet<usize>,
);

/// Groups like waiters; the keys only have to differ, `Err` being a party of its own.
fn group<'a>(
    view: &'a GraphView,
    blockers: &'a [BTreeSet<usize>],
    alone: impl Fn(usize) -> bool,
    coarse: bool,
) -> BTreeMap<Result<Likeness<'a>, usize>, Vec<usize>> {
    let most = if coarse { 1 } else { LIKE };
    let mut groups: BTreeMap<_, Vec<usize>> = BTreeMap::new();
    let mut singles = Vec::new();
    for (index, node) in view.nodes.iter().enumerate() {
        if alone(index) {
            singles.push(index);
            continue;
        }
        let (system, query) = if coarse {
            (String::new(), None)
        } else {
            (
                pattern(node.system.as_deref().unwrap_or_default()),
                node.query.as_deref(),
            )
        };
        let likeness = (system, query, node.wait_event.as_deref(), &blockers[index]);
        groups.entry(Ok(likeness)).or_default().push(index);
    }
    groups.retain(|_, members| {
        let like = members.len() > most;
        if !like {
            singles.append(members);
        }
        like
    });
    groups.extend(singles.into_iter().map(|index| (Err(index), vec![index])));
    groups
}

//! Our graph beside the server's answers, edge by edge and root by root.

use std::collections::BTreeSet;
use std::fmt::{self, Write as _};

use petgraph::graph::NodeIndex;
use pgjam::graph::{Certainty, Party, WaitGraph};
use pgjam::sample::Snapshot;

use crate::truth::Truth;

/// How a difference in a queue's order is excused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Doubt {
    /// It is not: we called the order sure.
    None,
    /// They began to wait within a millisecond, and we said so.
    NearTie,
    /// We said that the order is not known.
    Unknown,
}

/// What came out of one frozen state.
#[derive(Clone, Debug, Default)]
pub(crate) struct Comparison {
    /// Sessions that wait for somebody, by the server's word.
    pub(crate) waits: usize,
    /// Sessions that wait in our eyes alone.
    pub(crate) ours_alone: usize,
    /// Edges to holders.
    pub(crate) hard: usize,
    /// Those that the server does not have, or we do not.
    pub(crate) hard_wrong: usize,
    /// Edges to those ahead in a queue: all that either of us has.
    pub(crate) soft: usize,
    /// Those that only one of us has, with what we said of the order.
    pub(crate) soft_wrong: Vec<Doubt>,
    /// How many of ours we called sure.
    pub(crate) soft_sure: usize,
    /// Waits whose blame ends where no way leads, or nowhere.
    pub(crate) roots_wrong: usize,
    /// Sessions that only one of us has in a deadlock.
    pub(crate) cycles_wrong: usize,
    /// Each difference in words.
    pub(crate) faults: Vec<String>,
}

impl Comparison {
    /// Compares a look with what the server said of the same state.
    pub(crate) fn of(snapshot: &Snapshot, truth: &Truth) -> Self {
        let graph = WaitGraph::of(snapshot);
        let mut result = Self::default();
        let waiting: BTreeSet<i32> = graph
            .parties()
            .into_iter()
            .filter(|&node| !graph.waits(node).is_empty())
            .map(|node| pid_of(&graph, node))
            .collect();
        for &pid in &waiting {
            if !truth.blockers.contains_key(&pid) {
                result.ours_alone += 1;
                result.fault(&graph, pid, "waits only in our eyes");
            }
        }
        for (&pid, blockers) in &truth.blockers {
            result.waits += 1;
            let Some(node) = graph.find(pgjam::pg::Pid(pid)) else {
                result.hard_wrong += 1;
                result.fault(&graph, pid, "is not in our graph");
                continue;
            };
            result.edges(&graph, node, blockers);
            result.roots(&graph, node, truth);
            let is_in_cycle = graph.cycles().any(|members| members.contains(&node));
            if is_in_cycle != truth.is_in_cycle(pid) {
                result.cycles_wrong += 1;
                let whose = if is_in_cycle { "only ours" } else { "not ours" };
                result.fault(&graph, pid, &format!("is in a deadlock, {whose}"));
            }
        }
        result
    }

    fn edges(&mut self, graph: &WaitGraph<'_>, node: NodeIndex, blockers: &BTreeSet<i32>) {
        let pid = pid_of(graph, node);
        let hard: BTreeSet<i32> = graph
            .waits(node)
            .iter()
            .flat_map(|wait| &wait.hard)
            .map(|&node| pid_of(graph, node))
            .collect();
        let soft = soft(graph, node);
        self.hard += hard.len();
        for blocker in hard.difference(blockers) {
            self.hard_wrong += 1;
            self.fault(graph, pid, &format!("is not blocked by holder {blocker}"));
        }
        for &(blocker, certainty) in &soft {
            if hard.contains(&blocker) {
                continue;
            }
            self.soft += 1;
            self.soft_sure += usize::from(certainty == Certainty::Sure);
            if !blockers.contains(&blocker) {
                self.soft_wrong.push(doubt(certainty));
                let what = format!("is not behind {blocker} ({certainty:?})");
                self.fault(graph, pid, &what);
            }
        }
        for &blocker in blockers {
            // A parallel query's worker that waits for another of its own says so.
            if blocker == pid
                || hard.contains(&blocker)
                || soft.iter().any(|&(known, _)| known == blocker)
            {
                continue;
            }
            // Whoever is in no queue with it can only hold something.
            let other = graph.find(pgjam::pg::Pid(blocker));
            let reverse = other.and_then(|other| {
                let ahead = soft_of(graph, other);
                ahead.into_iter().find(|&(known, _)| known == pid)
            });
            if let Some((_, certainty)) = reverse {
                self.soft += 1;
                self.soft_wrong.push(doubt(certainty));
                let what = format!("is behind {blocker} ({certainty:?})");
                self.fault(graph, pid, &what);
            } else {
                self.hard_wrong += 1;
                self.fault(graph, pid, &format!("is blocked by {blocker}"));
            }
        }
    }

    fn roots(&mut self, graph: &WaitGraph<'_>, node: NodeIndex, truth: &Truth) {
        let pid = pid_of(graph, node);
        let ends = truth.ends(pid);
        let blamed: BTreeSet<i32> = graph
            .blame(node)
            .iter()
            .map(|&(root, _)| pid_of(graph, root))
            .collect();
        let nobody = !graph.is_blocked(node) && !truth.blockers[&pid].is_empty();
        if nobody || !blamed.is_subset(&ends) {
            self.roots_wrong += 1;
            let what = format!("is blamed on {blamed:?}, ends at {ends:?}");
            self.fault(graph, pid, &what);
        }
    }

    fn fault(&mut self, graph: &WaitGraph<'_>, pid: i32, what: &str) {
        let mut text = format!("{pid} {what}");
        let node = graph.find(pgjam::pg::Pid(pid));
        for wait in node.into_iter().flat_map(|node| graph.waits(node)) {
            let request = wait.request;
            let (mode, kind) = (request.mode, &request.target.locktype);
            let _ = write!(text, "; waits in {mode:?} for a {kind}");
        }
        self.faults.push(text);
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.faults
            .iter()
            .try_for_each(|fault| writeln!(f, "{fault}"))
    }
}

/// Gives who is ahead of a node in its queues, by pid, the surest order first.
fn soft(graph: &WaitGraph<'_>, node: NodeIndex) -> Vec<(i32, Certainty)> {
    let mut soft = soft_of(graph, node);
    soft.sort_unstable();
    soft.dedup_by_key(|&mut (pid, _)| pid);
    soft
}

fn soft_of(graph: &WaitGraph<'_>, node: NodeIndex) -> Vec<(i32, Certainty)> {
    graph
        .waits(node)
        .iter()
        .flat_map(|wait| graph.soft(wait))
        .map(|soft| (pid_of(graph, soft.node), soft.certainty))
        .collect()
}

fn doubt(certainty: Certainty) -> Doubt {
    match certainty {
        Certainty::Sure => Doubt::None,
        Certainty::NearTie => Doubt::NearTie,
        Certainty::Unknown => Doubt::Unknown,
    }
}

/// Gives a node's pid, 0 where it has none, as `pg_blocking_pids()` does.
pub(crate) fn pid_of(graph: &WaitGraph<'_>, node: NodeIndex) -> i32 {
    match graph.party(node) {
        Party::Backend(pid) => pid.0,
        Party::Prepared(_) | Party::Unlisted(_) => 0,
    }
}

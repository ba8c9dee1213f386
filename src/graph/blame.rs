//! Whose the time is that waiters lose: the roots', in shares that sum to one.

use std::collections::HashMap;
use std::sync::Arc;

use petgraph::Direction;
use petgraph::graph::{DiGraph, NodeIndex};

use super::Party;

/// A node's share in the blame for a wait; the shares of one waiter sum to 1.
pub type Blame = Arc<[(NodeIndex, f64)]>;

/// Those who wait for each other, by member.
pub(super) type Circles = HashMap<NodeIndex, Arc<[NodeIndex]>>;

/// Finds the circles among the strongly connected components of a graph.
pub(super) fn circles(components: &[Vec<NodeIndex>]) -> Circles {
    let mut circles = Circles::new();
    for component in components.iter().filter(|members| members.len() > 1) {
        let mut members = component.clone();
        members.sort_unstable();
        let members: Arc<[NodeIndex]> = members.into();
        circles.extend(component.iter().map(|&node| (node, Arc::clone(&members))));
    }
    circles
}

/// Divides every node's wait over the roots of its chains, blockers first.
///
/// Where a wait has several blockers it divides evenly. What enters a circle stays with its members;
/// the wait of one of them is the others', since nobody is in the way of themselves. `order` has the
/// strongly connected components in reverse topological order.
pub(super) fn divide(
    graph: &DiGraph<Party, ()>,
    order: &[Vec<NodeIndex>],
    circles: &Circles,
) -> Vec<Blame> {
    let mut blame: Vec<Blame> = vec![Arc::from([]); graph.node_count()];
    for &node in order.iter().flatten() {
        if let Some(members) = circles.get(&node) {
            let others = members.iter().filter(|&&member| member != node);
            let share = 1.0 / (members.len() - 1) as f64;
            blame[node.index()] = others.map(|&member| (member, share)).collect();
            continue;
        }
        let blockers: Vec<NodeIndex> = graph
            .neighbors_directed(node, Direction::Outgoing)
            .collect();
        blame[node.index()] = match blockers[..] {
            [] => Arc::from([(node, 1.0)]),
            [only] if !circles.contains_key(&only) => Arc::clone(&blame[only.index()]),
            _ => {
                let mut shares: HashMap<NodeIndex, f64> = HashMap::new();
                let each = 1.0 / blockers.len() as f64;
                for blocker in &blockers {
                    if let Some(members) = circles.get(blocker) {
                        for &member in members.iter() {
                            *shares.entry(member).or_default() += each / members.len() as f64;
                        }
                        continue;
                    }
                    for &(root, share) in blame[blocker.index()].iter() {
                        *shares.entry(root).or_default() += share * each;
                    }
                }
                let mut shares: Vec<_> = shares.into_iter().collect();
                shares.sort_unstable_by_key(|&(root, _)| root);
                shares.into()
            }
        };
    }
    blame
}

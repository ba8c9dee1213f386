//! Whose the time is that waiters lose: the roots', in shares that sum to one.

use std::collections::HashMap;
use std::sync::Arc;

use petgraph::Direction;
use petgraph::graph::{DiGraph, NodeIndex};

use super::Party;

/// A node's share in the blame for a wait; the shares of one waiter sum to 1.
pub type Blame = Arc<[(NodeIndex, f64)]>;

/// Divides every node's wait over the roots of its chains, blockers first.
///
/// Where a wait has several blockers it divides evenly; what enters a cycle stays with its
/// members. `order` has the strongly connected components in reverse topological order.
pub(super) fn divide(graph: &DiGraph<Party, ()>, order: &[Vec<NodeIndex>]) -> Vec<Blame> {
    let mut blame: Vec<Blame> = vec![Arc::from([]); graph.node_count()];
    for component in order {
        let [node] = component[..] else {
            let share = 1.0 / component.len() as f64;
            let mut members = component.clone();
            members.sort_unstable();
            let shared: Blame = members.iter().map(|&node| (node, share)).collect();
            for &node in component {
                blame[node.index()] = Arc::clone(&shared);
            }
            continue;
        };
        let blockers: Vec<NodeIndex> = graph
            .neighbors_directed(node, Direction::Outgoing)
            .collect();
        blame[node.index()] = match blockers[..] {
            [] => Arc::from([(node, 1.0)]),
            [only] => Arc::clone(&blame[only.index()]),
            _ => {
                let mut shares: HashMap<NodeIndex, f64> = HashMap::new();
                for blocker in &blockers {
                    for &(root, share) in blame[blocker.index()].iter() {
                        *shares.entry(root).or_default() += share / blockers.len() as f64;
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

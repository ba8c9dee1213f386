//! A graph cut to the jams that somebody asks about.

use std::collections::{HashMap, HashSet};

use crate::graph::view::{Edge, GraphView, Node, Party};

/// Keeps whoever a word names, by pid, system or table, and with them all who wait with them.
///
/// An empty word keeps everybody.
pub(super) fn cut(mut view: GraphView, word: &str) -> GraphView {
    if word.is_empty() {
        return view;
    }
    let word = word.to_lowercase();
    let kept = kept(&view, &word);
    view.nodes.retain(|node| kept.contains(&node.party));
    view.edges.retain(|edge| kept.contains(&waiter(edge)));
    view.roots.retain(|root| kept.contains(root));
    view.cycles
        .retain(|cycle| cycle.iter().any(|pid| kept.contains(&backend(*pid))));
    view.chains.retain(|chain| {
        let root = chain.root.as_ref();
        root.is_none_or(|root| kept.contains(root))
    });
    view.unseen.clear();
    view.without_holder.clear();
    view
}

const fn backend(pid: i32) -> Party {
    Party {
        pid: Some(pid),
        gid: None,
    }
}

const fn waiter(edge: &Edge) -> Party {
    backend(edge.waiter)
}

fn blocker(edge: &Edge) -> Party {
    Party {
        pid: edge.blocker,
        gid: edge.blocker_gid.clone(),
    }
}

/// Finds all who stand in one jam with somebody named.
fn kept(view: &GraphView, word: &str) -> HashSet<Party> {
    let is_named = |node: &&Node| {
        let pid = node.party.pid.map(|pid| pid.to_string());
        let system = node.system.as_deref().map(str::to_lowercase);
        pid.as_deref() == Some(word) || system.is_some_and(|system| system.contains(word))
    };
    let about = |edge: &&Edge| {
        let table = edge.lock.table.as_deref();
        table.is_some_and(|table| table.to_lowercase().contains(word))
    };
    let mut open: Vec<Party> = view
        .nodes
        .iter()
        .filter(is_named)
        .map(|node| node.party.clone())
        .collect();
    open.extend(view.edges.iter().filter(about).map(waiter));
    let mut beside: HashMap<Party, Vec<Party>> = HashMap::new();
    for edge in &view.edges {
        let (waiter, blocker) = (waiter(edge), blocker(edge));
        beside
            .entry(waiter.clone())
            .or_default()
            .push(blocker.clone());
        beside.entry(blocker).or_default().push(waiter);
    }
    let mut kept = HashSet::new();
    while let Some(party) = open.pop() {
        if kept.insert(party.clone()) {
            open.extend(beside.remove(&party).unwrap_or_default());
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture_graph::worst;

    #[test]
    fn a_table_keeps_the_jams_about_it_and_nothing_else() {
        let (whole, about) = (worst(), cut(worst(), "State_Counter"));
        assert!(!about.nodes.is_empty() && about.nodes.len() < whole.nodes.len());
        let pids: HashSet<Party> = about.nodes.iter().map(|node| node.party.clone()).collect();
        for edge in &about.edges {
            assert!(pids.contains(&waiter(edge)) && pids.contains(&blocker(edge)));
        }
        assert!(about.roots.iter().all(|root| pids.contains(root)));
        assert_eq!(cut(worst(), ""), whole);
        assert!(cut(worst(), "no such thing").nodes.is_empty());
    }
}

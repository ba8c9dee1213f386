//! Who somebody in a wait-for graph is, in a few words.

use super::line::{escape, fit};
use crate::graph::view::{Autovacuum, Node};

/// Names a party: its pid, or its gid in quotes; an owner that nothing explains in brackets.
pub(super) fn party(node: &Node) -> String {
    match (&node.party.pid, &node.party.gid) {
        (Some(pid), _) => pid.to_string(),
        (None, Some(gid)) if is_unlisted(node) => format!("({})", fit(&escape(gid), 40)),
        (None, Some(gid)) => format!("'{}'", fit(&escape(gid), 40)),
        (None, None) => "?".to_owned(),
    }
}

/// Names the system of a node, or says that it has none.
///
/// What the server runs for itself goes by what it does: its application name is nobody's.
pub(super) fn system(node: &Node) -> String {
    match (node.backend_type.as_str(), &node.system) {
        ("autovacuum worker", _) => "autovacuum".to_owned(),
        ("startup", _) => "replay".to_owned(),
        ("unknown", _) => "nobody listed".to_owned(),
        (_, Some(system)) => fit(&escape(system), 40),
        ("client backend", None) => "(no name)".to_owned(),
        (kind, None) => format!("({})", fit(&escape(kind), 38)),
    }
}

/// Names a node by both: `sync-12 (4000)`.
pub(super) fn named(node: &Node) -> String {
    match node.party.pid {
        None if is_unlisted(node) => party(node),
        _ => format!("{} ({})", system(node), party(node)),
    }
}

/// Says what state a node is in; nothing for a process that has none.
pub(super) fn state(node: &Node) -> Option<&str> {
    match (node.state.as_str(), node.backend_type.as_str()) {
        ("hidden" | "unknown", "client backend") => Some("state hidden"),
        ("hidden" | "unknown", _) => None,
        (_, "autovacuum worker") => node.autovacuum.map(autovacuum_kind),
        (state, _) => Some(state),
    }
}

/// Names what an autovacuum worker is at.
pub(super) const fn autovacuum_kind(kind: Autovacuum) -> &'static str {
    match kind {
        Autovacuum::Ordinary => "routine",
        Autovacuum::AgainstWraparound => "against wraparound",
        Autovacuum::Truncating => "truncating",
    }
}

/// Tells whether a node was found in the lock table only.
pub(super) fn is_unlisted(node: &Node) -> bool {
    node.backend_type == "unknown"
}

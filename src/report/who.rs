//! Who somebody in a wait-for graph is, in a few words.

use super::line::{escape, fit};
use crate::graph::view::{Autovacuum, Node};

/// Names a party: its pid, or its gid in quotes; an owner that nothing explains in brackets.
pub(super) fn party(node: &Node) -> String {
    match (&node.party.pid, &node.party.gid) {
        (Some(pid), _) => pid.to_string(),
        (None, Some(_)) if is_nameless_prepared(node) => "(a prepared transaction)".to_owned(),
        (None, Some(gid)) if is_unlisted(node) => format!("({})", fit(&escape(gid), 40)),
        (None, Some(gid)) => format!("'{}'", fit(&escape(gid), 40)),
        (None, None) => "?".to_owned(),
    }
}

/// Names the system of a node, or says that it has none.
pub(super) fn system(node: &Node) -> String {
    match (&node.system, node.backend_type.as_str()) {
        (Some(system), _) => fit(&escape(system), 40),
        (None, _) if is_unlisted(node) => "(unknown)".to_owned(),
        (None, "client backend") => "(no name)".to_owned(),
        (None, kind) => format!("({})", fit(&escape(kind), 38)),
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
        (_, "startup") => Some("replays the primary"),
        ("hidden" | "unknown", _) => None,
        (_, "autovacuum worker") => node.autovacuum.map(autovacuum_kind),
        (state, _) => Some(state),
    }
}

/// Names what an autovacuum worker is at.
const fn autovacuum_kind(kind: Autovacuum) -> &'static str {
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

/// Tells whether a node is a prepared transaction whose name the server does not tell: who waits
/// for a safe snapshot learns no more. Every other owner of locks has a number with a slash.
pub(super) fn is_nameless_prepared(node: &Node) -> bool {
    let gid = node.party.gid.as_deref();
    is_unlisted(node) && gid.is_some_and(|gid| !gid.contains('/'))
}

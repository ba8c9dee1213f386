//! The wait-for graph in Graphviz' language, for those who want another layout.

use std::fmt::Write as _;

use crate::graph::Certainty;
use crate::graph::view::{EdgeKind, GraphView, Node, Party};

use super::markup::{clean, line};
use super::who::state;

/// Writes the graph as DOT: one node per party, one edge per waiter and direct blocker.
///
/// Nothing is folded or left out. Every name is a quoted string in which a quote
/// and a backslash are escaped, so no name can end its string or begin an escape.
#[must_use]
pub fn render(view: &GraphView) -> String {
    let mut dot = String::from(
        "digraph waits {\n  rankdir=RL;\n  node [shape=box, style=rounded, fontname=\"sans-serif\"];\n  \
         edge [fontname=\"sans-serif\", fontsize=10];\n",
    );
    let _ = writeln!(dot, "  label={};", quoted(&[&view.taken_at.0.to_rfc3339()]));
    for node in &view.nodes {
        let lines = label(node);
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        let root = if view.roots.contains(&node.party) {
            ", penwidth=2"
        } else {
            ""
        };
        let _ = writeln!(
            dot,
            "  {} [label={}{root}];",
            id(&node.party),
            quoted(&lines)
        );
    }
    for edge in &view.edges {
        let waiter = id(&Party {
            pid: Some(edge.waiter),
            gid: None,
        });
        let blocker = id(&Party {
            pid: edge.blocker,
            gid: edge.blocker_gid.clone(),
        });
        let target = edge.lock.table.as_deref().unwrap_or(&edge.lock.target);
        let style = match (edge.kind, edge.certainty) {
            (EdgeKind::Hard, _) => "solid",
            (EdgeKind::Soft, Certainty::Sure) => "dashed",
            // The order of the queue is not sure.
            (EdgeKind::Soft, _) => "dashed, color=gray60",
        };
        let lines: Vec<&str> = [Some(target), edge.lock.mode.as_deref()]
            .into_iter()
            .flatten()
            .collect();
        let label = quoted(&lines);
        let _ = writeln!(
            dot,
            "  {waiter} -> {blocker} [style={style}, label={label}];"
        );
    }
    dot.push_str("}\n");
    dot
}

/// Names a party; the kinds have different first words, so no gid can pass for a pid.
fn id(party: &Party) -> String {
    match (party.pid, party.gid.as_deref()) {
        (Some(pid), _) => quoted(&[&format!("pid {pid}")]),
        (None, gid) => quoted(&[&format!("gid {}", gid.unwrap_or_default())]),
    }
}

fn label(node: &Node) -> Vec<String> {
    let system = node.system.as_deref().unwrap_or("no name");
    let who = match (node.party.pid, node.party.gid.as_deref()) {
        (Some(pid), _) => format!("{system} (pid {pid})"),
        (None, gid) => format!("{system} (gid {})", gid.unwrap_or_default()),
    };
    let state = state(node).map(ToOwned::to_owned);
    let doing: Vec<String> = state.into_iter().chain(node.wait_event.clone()).collect();
    let mut lines = vec![who, doing.join(", ")];
    lines.extend(node.query.as_deref().map(|query| line(query, 60)));
    lines
}

/// Quotes lines as one DOT string.
fn quoted(lines: &[&str]) -> String {
    let mut quoted = String::from("\"");
    for (index, text) in lines.iter().enumerate() {
        if index > 0 {
            quoted.push_str("\\n");
        }
        for c in clean(text).chars() {
            match c {
                '"' => quoted.push_str("\\\""),
                '\\' => quoted.push_str("\\\\"),
                // Graphviz reads entities in labels, as `&lt;`.
                '&' => quoted.push_str("&amp;"),
                c if c.is_whitespace() => quoted.push(' '),
                c => quoted.push(c),
            }
        }
    }
    quoted.push('"');
    quoted
}

//! What a wait is for, in the words of a picture.

use crate::graph::view::{Edge, EdgeKind};
use crate::report::markup::line;

/// Says what an edge is about in two short lines: on what, and how strongly.
pub(super) fn lock_words(edge: &Edge) -> (String, String) {
    let lock = &edge.lock;
    let table = lock.table.as_deref().unwrap_or(&lock.target);
    let target = line(table.strip_prefix("public.").unwrap_or(table), 26);
    let ahead = if edge.kind == EdgeKind::Soft {
        "queued, "
    } else {
        ""
    };
    let mode = lock.mode.as_deref().unwrap_or_default();
    let mode = mode.strip_suffix("Lock").unwrap_or(mode);
    let kind = if lock.table.is_some() {
        line(&lock.kind, 16)
    } else {
        String::new()
    };
    (
        target,
        format!("{ahead}{kind} {}", line(mode, 22))
            .trim()
            .to_owned(),
    )
}

//! The wait-for graph as a picture: roots on the left, those who wait for them to the right.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::graph::view::GraphView;
use crate::report::markup::{escape, line};
use crate::report::palette::{self, BLAME, Colour, INK, MARK, MUTED, NODE};
use crate::report::who::state;
use crate::time::Span;

use super::canvas::{fit, frame, px, text_width};
use super::layout::{BOX, DASHED, FAINT, HEAD, Layout, MARGIN, strokes, words};
use crate::report::fold::{Folded, FoldedGraph, fold, pattern};
use crate::report::lock_words::lock_words;

/// Below the drawing: the legend.
const FOOT: f64 = 34.0;

/// Draws who waits for whom at one instant, layered, roots on the left.
///
/// An arrow runs from a waiter to who is in its way: solid where the lock is
/// held, dashed where it is only asked for ahead in the queue. Like waiters are
/// folded into one box with their number, so 600 of them stay readable.
#[must_use]
pub fn graph(view: &GraphView) -> String {
    let folded = fold(view);
    let title = format!("Who waits for whom at {} UTC", view.taken_at.0.to_clock());
    let description = describe(view, &folded);
    if folded.boxes.is_empty() {
        let body = words(
            MARGIN,
            60.0,
            "Nobody waits for a lock.",
            13.0,
            MUTED,
            "start",
            false,
        );
        return frame(&title, &description, (480, 90), &(head(&title) + &body));
    }

    let layout = Layout::of(&folded);
    let families = families(&folded);
    let mut body = head(&title);
    for (arrow, route) in folded.arrows.iter().zip(&layout.routes) {
        route.draw_line(&mut body, arrow);
    }
    for (node, &centre) in folded.boxes.iter().zip(&layout.centres) {
        draw_box(&mut body, node, centre, &families, folded.longest_wait());
    }
    // Labels last: they must not lie under a line that belongs to another arrow.
    for (arrow, route) in folded.arrows.iter().zip(&layout.routes) {
        route.draw_label(&mut body, arrow.edge);
    }
    let legend_end = legend(&mut body, &folded, layout.height + HEAD + 14.0);
    let width = layout
        .width
        .max(legend_end)
        .max(text_width(&title, 14.0) + 2.0 * MARGIN);
    let size = (
        px(width).unsigned_abs(),
        px(HEAD + layout.height + FOOT).unsigned_abs(),
    );
    frame(&title, &description, size, &body)
}

impl FoldedGraph<'_> {
    fn longest_wait(&self) -> f64 {
        let waits = self.boxes.iter().filter_map(Folded::longest_wait_ms);
        waits.filter(|wait| wait.is_finite()).fold(0.0, f64::max)
    }
}

/// Gives each family of systems (`sync-*`) a colour.
fn families(folded: &FoldedGraph<'_>) -> BTreeMap<String, Colour> {
    let names = folded.boxes.iter().flat_map(|node| &node.members);
    let mut families: BTreeMap<String, Colour> = names
        .filter_map(|member| member.system.as_deref())
        .map(|system| (pattern(system), MUTED))
        .collect();
    for (index, colour) in families.values_mut().enumerate() {
        *colour = palette::series(index);
    }
    families
}

fn draw_box(
    body: &mut String,
    node: &Folded<'_>,
    (x, y): (f64, f64),
    families: &BTreeMap<String, Colour>,
    longest: f64,
) {
    let (left, top) = (x - BOX.0 / 2.0, y - BOX.1 / 2.0);
    let (who, doing, wait) = node_words(node);
    let first = node
        .members
        .first()
        .and_then(|member| member.system.as_deref());
    let family = first
        .and_then(|system| families.get(&pattern(system)))
        .copied()
        .unwrap_or(MUTED);
    let share = match node.longest_wait_ms() {
        Some(wait) if longest > 0.0 && wait.is_finite() => (wait / longest).clamp(0.0, 1.0),
        _ => 0.0,
    };
    let accent = node.root || node.in_cycle;
    let (stroke, weight) = if accent { (BLAME, 2.5) } else { (MARK, 1.0) };
    let tooltip = node
        .members
        .first()
        .and_then(|member| member.query.as_deref());
    let _ = write!(body, "<g>");
    if let Some(query) = tooltip {
        let _ = write!(body, "<title>{}</title>", escape(&line(query, 300)));
    }
    if node.members.len() > 1 {
        let _ = write!(
            body,
            "<rect x=\"{:.1}\" y=\"{:.1}\" width=\"{}\" height=\"{}\" rx=\"6\" fill=\"{}\" stroke=\"{}\"/>",
            left + 5.0,
            top + 5.0,
            BOX.0,
            BOX.1,
            NODE.light,
            MARK.light
        );
    }
    let _ = write!(
        body,
        "<rect x=\"{left:.1}\" y=\"{top:.1}\" width=\"{}\" height=\"{}\" rx=\"6\" fill=\"{}\" \
         stroke=\"{}\" stroke-width=\"{weight}\"/>\
         <rect x=\"{:.1}\" y=\"{:.1}\" width=\"5\" height=\"{}\" rx=\"2.5\" fill=\"{}\"/>",
        BOX.0,
        BOX.1,
        NODE.light,
        stroke.light,
        left + 6.0,
        top + 8.0,
        BOX.1 - 16.0,
        family.light
    );
    if share > 0.0 {
        // The bar at the foot is as long as the wait, against the longest one in the picture.
        let _ = write!(
            body,
            "<rect x=\"{:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"3\" rx=\"1.5\" fill=\"{}\"/>",
            left + 19.0,
            top + BOX.1 - 8.0,
            (share * (BOX.0 - 30.0)).max(2.0),
            BLAME.light
        );
    }
    let room = BOX.0 - 30.0;
    let line_at = |n: f64| top + 19.0 + 17.0 * n;
    body.push_str(&words(
        left + 19.0,
        line_at(0.0),
        &fit(&who, 13.5, room),
        13.0,
        INK,
        "start",
        true,
    ));
    body.push_str(&words(
        left + 19.0,
        line_at(1.0),
        &fit(&doing, 11.5, room),
        11.5,
        INK,
        "start",
        false,
    ));
    body.push_str(&words(
        left + 19.0,
        line_at(2.0) - 1.0,
        &fit(&wait, 11.5, room),
        11.5,
        MUTED,
        "start",
        false,
    ));
    body.push_str("</g>\n");
}

/// Writes milliseconds as a person says them.
fn span(ms: f64) -> String {
    #[expect(clippy::cast_possible_truncation, reason = "float casts saturate")]
    let micros = (ms * 1_000.0) as i64;
    Span::from_micros(micros).to_string()
}

/// Says who a box is, what it does, and how long it waits.
fn node_words(node: &Folded<'_>) -> (String, String, String) {
    let Some(first) = node.members.first() else {
        return <(String, String, String)>::default();
    };
    let waits = |from: &str| {
        node.longest_wait_ms()
            .map(|wait| format!("{from} {}", span(wait)))
    };
    if node.members.len() == 1 {
        let system = first.system.as_deref().unwrap_or("no name");
        let id = match (&first.party.pid, &first.party.gid) {
            (Some(pid), _) => format!("pid {pid}"),
            (None, Some(gid)) => format!("gid {gid}"),
            (None, None) => "unknown".to_owned(),
        };
        let age = first
            .xact_age_ms
            .map_or_else(String::new, |age| format!(", {}", span(age)));
        let behind = match first.behind {
            0 => String::new(),
            many => format!("{many} behind it"),
        };
        let mut last: Vec<String> = waits("waits").into_iter().collect();
        let event = first.wait_event.clone().filter(|_| last.is_empty());
        if !behind.is_empty() {
            last.push(behind);
        }
        last.extend(event);
        return (
            format!("{system} · {id}"),
            format!("{}{age}", state(first).unwrap_or(&first.backend_type)),
            last.join(", "),
        );
    }
    let mut systems: Vec<&str> = node
        .members
        .iter()
        .filter_map(|m| m.system.as_deref())
        .collect();
    systems.sort_unstable();
    systems.dedup();
    let mut patterns: Vec<String> = systems.iter().map(|system| pattern(system)).collect();
    patterns.dedup();
    let name = match (systems.as_slice(), patterns.as_slice()) {
        ([], _) => "sessions without a name".to_owned(),
        ([only], _) => (*only).to_owned(),
        (many, [pattern]) => format!("{pattern} ({} systems)", many.len()),
        (many, _) => format!("{} systems", many.len()),
    };
    let event = first.wait_event.as_deref().unwrap_or("waiting");
    (
        format!("{} × {name}", node.members.len()),
        event.to_owned(),
        waits("up to").unwrap_or_default(),
    )
}

fn head(title: &str) -> String {
    words(MARGIN, 21.0, title, 14.0, INK, "start", false)
}

/// Explains the strokes, and counts what was left out; gives where it ends.
fn legend(body: &mut String, folded: &FoldedGraph<'_>, y: f64) -> f64 {
    let mut x = MARGIN;
    let drawn = |like: &str| {
        let mut arrows = folded.arrows.iter();
        arrows.any(|arrow| strokes(arrow.edge) == like)
    };
    let kinds = [
        ("waits for a held lock", "", true),
        ("queued behind", DASHED, drawn(DASHED)),
        ("queued behind, order not sure", FAINT, drawn(FAINT)),
    ];
    for (label, dashes, shown) in kinds {
        if !shown {
            continue;
        }
        let _ = write!(
            body,
            "<path d=\"M{x:.1} {y:.1} h26\" stroke=\"{}\" stroke-width=\"1.6\"{dashes}/>",
            MARK.light
        );
        body.push_str(&words(
            x + 32.0,
            y + 4.0,
            label,
            11.5,
            MUTED,
            "start",
            false,
        ));
        x += 32.0 + text_width(label, 11.5) + 16.0;
    }
    let _ = write!(
        body,
        "<rect x=\"{x:.1}\" y=\"{:.1}\" width=\"18\" height=\"12\" rx=\"3\" fill=\"{}\" stroke=\"{}\" \
         stroke-width=\"2\"/>",
        y - 6.0,
        NODE.light,
        BLAME.light
    );
    let root = if folded.boxes.iter().any(|node| node.in_cycle) {
        "root, or in a deadlock"
    } else {
        "root"
    };
    body.push_str(&words(x + 24.0, y + 4.0, root, 11.5, MUTED, "start", false));
    x += 24.0 + text_width(root, 11.5) + 16.0;
    if folded.left_out > 0 {
        let note = format!("{} further sessions are not drawn", folded.left_out);
        body.push_str(&words(x, y + 4.0, &note, 11.5, INK, "start", false));
        x += text_width(&note, 11.5) + 16.0;
    }
    x
}

fn describe(view: &GraphView, folded: &FoldedGraph<'_>) -> String {
    let waiting = view
        .nodes
        .iter()
        .filter(|node| node.waiting_ms.is_some())
        .count();
    let mut said = vec![format!(
        "{waiting} of {} sessions wait for a lock; {} roots, {} cycles.",
        view.nodes.len(),
        view.roots.len(),
        view.cycles.len()
    )];
    let name = |index: usize| {
        folded
            .boxes
            .get(index)
            .map_or_else(String::new, |node| node_words(node).0)
    };
    for arrow in folded.arrows.iter().take(40) {
        let (target, mode) = lock_words(arrow.edge);
        said.push(format!(
            "{} waits for {} ({target}, {mode}).",
            line(&name(arrow.from), 120),
            line(&name(arrow.to), 120)
        ));
    }
    if folded.left_out > 0 {
        said.push(format!(
            "{} further sessions are not drawn.",
            folded.left_out
        ));
    }
    said.join(" ")
}

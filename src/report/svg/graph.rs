//! The wait-for graph as a picture: roots on the left, those who wait for them to the right.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use dagre::graph::{Graph, GraphOptions};
use dagre::{EdgeLabel, LayoutOptions, NodeLabel, RankDir};

use crate::graph::view::{Edge, EdgeKind, GraphView};
use crate::report::markup::{escape, line};
use crate::report::palette::{self, BLAME, Colour, INK, MARK, MUTED, NODE, PAPER};
use crate::time::Span;

use super::canvas::{fit, frame, px, text_width};
use super::fold::{Arrow, Folded, FoldedGraph, fold, pattern};

/// A box's size, and the room around the picture, in pixels.
const BOX: (f64, f64) = (232.0, 66.0);
const MARGIN: f64 = 16.0;
/// Above the drawing: the title. Below: the legend.
const HEAD: f64 = 34.0;
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

/// Where everything goes, in pixels.
struct Layout {
    width: f64,
    height: f64,
    centres: Vec<(f64, f64)>,
    routes: Vec<Route>,
}

/// An arrow's bends from the waiter to its blocker, and the middle of its label.
struct Route {
    points: Vec<(f64, f64)>,
    label: Option<(f64, f64)>,
}

impl Layout {
    fn of(folded: &FoldedGraph<'_>) -> Self {
        let mut graph: Graph<NodeLabel, EdgeLabel> = Graph::with_options(GraphOptions {
            directed: true,
            multigraph: false,
            compound: false,
        });
        for index in 0..folded.boxes.len() {
            let label = NodeLabel {
                width: BOX.0,
                height: BOX.1,
                ..NodeLabel::default()
            };
            graph.set_node(index.to_string(), Some(label));
        }
        for arrow in &folded.arrows {
            let (target, mode) = lock_words(arrow.edge);
            let label = EdgeLabel {
                width: text_width(&target, 11.0).max(text_width(&mode, 11.0)) + 12.0,
                height: 30.0,
                ..EdgeLabel::default()
            };
            // Laid out from the blocker, so that roots come first; drawn the other way round.
            graph.set_edge(
                arrow.to.to_string(),
                arrow.from.to_string(),
                Some(label),
                None,
            );
        }
        dagre::layout(
            &mut graph,
            Some(LayoutOptions {
                rankdir: RankDir::LR,
                nodesep: 18.0,
                edgesep: 14.0,
                ranksep: 44.0,
                marginx: MARGIN,
                marginy: 4.0,
                ..LayoutOptions::default()
            }),
        );

        let centre = |index: usize| {
            let node = graph.node(&index.to_string());
            let at = node.and_then(|node| Some((node.x?, node.y? + HEAD)));
            at.unwrap_or((BOX.0, HEAD + BOX.1))
        };
        let centres: Vec<(f64, f64)> = (0..folded.boxes.len()).map(centre).collect();
        let routes: Vec<Route> = folded
            .arrows
            .iter()
            .map(|arrow| {
                let edge = graph.edge(&arrow.to.to_string(), &arrow.from.to_string(), None);
                let mut points: Vec<(f64, f64)> = edge
                    .map(|edge| edge.points.iter().map(|p| (p.x, p.y + HEAD)).collect())
                    .unwrap_or_default();
                points.reverse();
                let label = edge.and_then(|edge| Some((edge.x?, edge.y? + HEAD)));
                Route { points, label }
            })
            .collect();
        let right = |x: f64, half: f64| x + half + MARGIN;
        let ends = centres
            .iter()
            .map(|c| (right(c.0, BOX.0 / 2.0), c.1 + BOX.1 / 2.0))
            .chain(
                routes
                    .iter()
                    .flat_map(|r| r.points.iter().map(|p| (right(p.0, 0.0), p.1 + 8.0))),
            )
            .chain(
                routes
                    .iter()
                    .filter_map(|r| r.label.map(|l| (right(l.0, 60.0), l.1 + 16.0))),
            );
        let (width, height) = ends.fold((0.0, 0.0), |(w, h): (f64, f64), (x, y)| {
            (w.max(x), h.max(y))
        });
        Self {
            width,
            height: height - HEAD,
            centres,
            routes,
        }
    }
}

impl Route {
    fn draw_line(&self, body: &mut String, arrow: &Arrow<'_>) {
        let (Some(&first), Some(&tip)) = (self.points.first(), self.points.last()) else {
            return;
        };
        let mut path = format!("M{:.1} {:.1}", first.0, first.1);
        // A curve through the middles of the bends: no corner, and no overshoot.
        for pair in self.points.windows(2).skip(1) {
            let (bend, next) = (pair[0], pair[1]);
            let middle = (f64::midpoint(bend.0, next.0), f64::midpoint(bend.1, next.1));
            let _ = write!(
                path,
                " Q{:.1} {:.1} {:.1} {:.1}",
                bend.0, bend.1, middle.0, middle.1
            );
        }
        let _ = write!(path, " L{:.1} {:.1}", tip.0, tip.1);
        let dashes = match arrow.edge.kind {
            EdgeKind::Hard => "",
            EdgeKind::Soft => " stroke-dasharray=\"5 4\"",
        };
        let _ = writeln!(
            body,
            "<path d=\"{path}\" fill=\"none\" stroke=\"{}\" stroke-width=\"1.6\"{dashes}/>",
            MARK.light
        );
        let before = self.points[self.points.len().saturating_sub(2)];
        let (dx, dy) = (tip.0 - before.0, tip.1 - before.1);
        let length = dx.hypot(dy).max(1e-6);
        let (ux, uy) = (dx / length, dy / length);
        let base = (tip.0 - 9.0 * ux, tip.1 - 9.0 * uy);
        let _ = writeln!(
            body,
            "<polygon points=\"{:.1},{:.1} {:.1},{:.1} {:.1},{:.1}\" fill=\"{}\"/>",
            tip.0,
            tip.1,
            base.0 - 4.0 * uy,
            base.1 + 4.0 * ux,
            base.0 + 4.0 * uy,
            base.1 - 4.0 * ux,
            MARK.light
        );
    }

    fn draw_label(&self, body: &mut String, edge: &Edge) {
        let Some((x, y)) = self.label else { return };
        let (target, mode) = lock_words(edge);
        let width = text_width(&target, 11.0).max(text_width(&mode, 11.0)) + 4.0;
        let _ = writeln!(
            body,
            "<rect x=\"{:.1}\" y=\"{:.1}\" width=\"{width:.1}\" height=\"30\" rx=\"3\" fill=\"{}\" \
             fill-opacity=\"0.9\"/>",
            x - width / 2.0,
            y - 15.0,
            PAPER.light
        );
        body.push_str(&words(x, y - 3.0, &target, 11.0, INK, "middle", false));
        body.push_str(&words(x, y + 11.0, &mode, 11.0, MUTED, "middle", false));
    }
}

/// Says what an edge is about in two short lines: on what, and how strongly.
fn lock_words(edge: &Edge) -> (String, String) {
    let lock = &edge.lock;
    let table = lock.table.as_deref().unwrap_or(&lock.kind);
    let target = line(table.strip_prefix("public.").unwrap_or(table), 26);
    let ahead = if edge.kind == EdgeKind::Soft {
        "queued, "
    } else {
        ""
    };
    let mode = lock.mode.strip_suffix("Lock").unwrap_or(&lock.mode);
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
            .map_or_else(String::new, |age| format!(", open {}", span(age)));
        let behind = match first.behind {
            0 => String::new(),
            1 => "1 waits behind it".to_owned(),
            many => format!("{many} wait behind it"),
        };
        let mut last: Vec<String> = waits("waits").into_iter().collect();
        if last.is_empty() {
            last.extend(first.wait_event.clone());
        }
        if !behind.is_empty() {
            last.push(behind);
        }
        return (
            format!("{system} · {id}"),
            format!("{}{age}", first.state),
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

/// Writes one text element; `anchor` is SVG's.
fn words(
    x: f64,
    y: f64,
    text: &str,
    size: f64,
    colour: Colour,
    anchor: &str,
    bold: bool,
) -> String {
    let weight = if bold { " font-weight=\"600\"" } else { "" };
    format!(
        "<text x=\"{x:.1}\" y=\"{y:.1}\" font-size=\"{size}\" text-anchor=\"{anchor}\"{weight} \
         fill=\"{}\">{}</text>\n",
        colour.light,
        escape(text)
    )
}

fn head(title: &str) -> String {
    words(MARGIN, 21.0, title, 14.0, INK, "start", false)
}

/// Explains the strokes, and counts what was left out; gives where it ends.
fn legend(body: &mut String, folded: &FoldedGraph<'_>, y: f64) -> f64 {
    let mut x = MARGIN;
    let soft = folded
        .arrows
        .iter()
        .any(|arrow| arrow.edge.kind == EdgeKind::Soft);
    let kinds = [
        ("waits for a held lock", "", true),
        ("queued behind", " stroke-dasharray=\"5 4\"", soft),
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

//! Where the boxes and arrows of a graph's picture go, and how an arrow is drawn.

use std::fmt::Write as _;

use dagre::graph::{Graph, GraphOptions};
use dagre::layout::types::LabelPos;
use dagre::{EdgeLabel, LayoutOptions, NodeLabel, RankDir};

use crate::graph::Certainty;
use crate::graph::view::{Edge, EdgeKind};
use crate::report::lock_words::lock_words;
use crate::report::markup::escape;
use crate::report::palette::{Colour, INK, MARK, MUTED, PAPER};

use super::canvas::text_width;
use crate::report::fold::{Arrow, FoldedGraph};

/// A box's size in pixels.
pub(super) const BOX: (f64, f64) = (216.0, 66.0);
/// How a line is stroked that stands for a request ahead in the queue.
pub(super) const DASHED: &str = " stroke-dasharray=\"5 4\"";
/// The same where the order of the queue is not sure.
pub(super) const FAINT: &str = " stroke-dasharray=\"5 4\" stroke-opacity=\"0.45\"";
/// The room around the picture.
pub(super) const MARGIN: f64 = 16.0;
/// Above the drawing: the title.
pub(super) const HEAD: f64 = 34.0;

/// Where everything goes, in pixels.
pub(super) struct Layout {
    /// With the margins.
    pub(super) width: f64,
    /// Below the title.
    pub(super) height: f64,
    /// Of each box.
    pub(super) centres: Vec<(f64, f64)>,
    /// Of each arrow.
    pub(super) routes: Vec<Route>,
}

/// An arrow's bends from the waiter to its blocker, and the middle of its label.
pub(super) struct Route {
    points: Vec<(f64, f64)>,
    label: Option<(f64, f64)>,
}

impl Layout {
    /// Lays the boxes out in layers, roots first.
    pub(super) fn of(folded: &FoldedGraph<'_>) -> Self {
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
                labelpos: LabelPos::Center,
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
                ranksep: 26.0,
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
    /// Draws the line with its head at the blocker.
    pub(super) fn draw_line(&self, body: &mut String, arrow: &Arrow<'_>) {
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
        let dashes = strokes(arrow.edge);
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

    /// Draws what the wait is for, on paper of its own.
    pub(super) fn draw_label(&self, body: &mut String, edge: &Edge) {
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

/// Gives what sets an arrow's line apart: dashes where the lock is only asked for ahead in the
/// queue, faint ones where that order is not sure.
pub(super) fn strokes(edge: &Edge) -> &'static str {
    match (edge.kind, edge.certainty) {
        (EdgeKind::Hard, _) => "",
        (EdgeKind::Soft, Certainty::Sure) => DASHED,
        (EdgeKind::Soft, _) => FAINT,
    }
}

/// Writes one text element; `anchor` is SVG's.
pub(super) fn words(
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

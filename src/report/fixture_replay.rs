//! A hand-made window to step through, for the renderers' tests.

use super::fixture::at;
use super::fixture_graph::{row_queue, worst};
use super::{Replay, fixture_graph};
use crate::attribution::Moment;
use crate::attribution::finding::{LoadCell, LoadOverTime};
use crate::graph::view::GraphView;
use crate::time::Span;

fn cell(
    whose: [&str; 2],
    class: &'static str,
    through: [Option<&str>; 2],
    bins: impl Iterator<Item = (u32, f64)>,
) -> LoadCell {
    let [system, statement] = whose.map(|name| Some(name.to_owned()));
    let [table, blocker] = through.map(|name| name.map(str::to_owned));
    LoadCell {
        statement,
        system,
        class,
        table,
        blocker,
        bins: bins.collect(),
    }
}

/// Five minutes in bins of two seconds, six of which nobody watched.
pub(crate) fn load_over_time() -> LoadOverTime {
    let update = "UPDATE state_counter";
    let counter = Some("public.state_counter");
    LoadOverTime {
        from: at(0.0),
        bin: Span::from_secs(2),
        watched: (0..150).map(|bin| !(40..46).contains(&bin)).collect(),
        cells: vec![
            cell(
                ["decision", update],
                "row-lock",
                [counter, Some("sync-12")],
                (90..150).map(|bin| (bin, 2.3)),
            ),
            cell(
                ["intake-02", update],
                "row-lock",
                [counter, Some("sync-12")],
                (90..150).map(|bin| (bin, 0.9)),
            ),
            cell(
                ["decision", "SELECT permission"],
                "own-work",
                [None, None],
                (0..150).map(|bin| (bin, 0.3)),
            ),
        ],
    }
}

/// Gives a moment of a second, so many seconds after the beginning.
pub(crate) fn moment(seconds: f64, view: GraphView) -> Moment {
    let at = at(seconds);
    Moment {
        blocked: view
            .nodes
            .iter()
            .filter(|node| node.waiting_ms.is_some())
            .count(),
        view: GraphView {
            taken_at: at,
            ..view
        },
        stretch: [at.0, at.0 + Span::from_secs(1)],
    }
}

/// A row's queue that grows, a time without waits, then the worst moment.
pub(crate) fn replay() -> Replay {
    let nobody = || fixture_graph::graph(Vec::new(), Vec::new());
    let moments = (0..300).map(|second| {
        let view = match second {
            0..100 | 170..200 => nobody(),
            100..170 => row_queue(),
            _ => worst(),
        };
        moment(f64::from(second), view)
    });
    // Nobody looked for a while, as in the load.
    let nobody_looked = at(80.0).0..at(92.0).0;
    Replay::of(moments.filter(|moment| !nobody_looked.contains(&moment.stretch[0])))
}

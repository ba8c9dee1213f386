//! A report's pictures as SVG: latency, load, the growth's waterfall, the graph.
//!
//! Every picture stands alone: it brings its colours for light and dark pages,
//! its paper, and its content in words (`<title>`, `<desc>`) for those who
//! cannot see it. It has no ids, no scripts and no references, so any number of
//! them can share one page. Values in, text out; equal input gives equal bytes.

mod canvas;
mod graph;
mod layout;
mod marks;
mod time_chart;
mod waterfall;

pub use graph::graph;
pub(crate) use marks::{marks, says as event_words};
pub use time_chart::{latency, latency_at, load, load_at};
pub use waterfall::{waterfall, waterfall_at};

/// The width at which pictures are drawn unless told otherwise, in pixels.
pub const WIDE: u32 = 1080;

/// The width for a telephone held upright.
pub const NARROW: u32 = 400;

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests;

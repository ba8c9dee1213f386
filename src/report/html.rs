//! The report as one HTML file: no network, complete by itself, and to be read without its script.
//!
//! The template escapes every text; only our own style sheet, script and SVGs go in as they are,
//! and those escape for themselves. The page's policy allows no request, and no other script than
//! the one whose hash it names, so that even a mistake here would stay inert.

mod assets;
mod payload;
mod view;

use askama::Template;

use super::{Replay, Report};

/// Writes the report as one HTML file, with the graphs of its window to step through.
#[must_use]
pub fn render(report: &Report, replay: Replay) -> String {
    // Writing into memory cannot fail, and no filter of the template can either.
    view::Page::of(report, replay).render().unwrap_or_default()
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests;

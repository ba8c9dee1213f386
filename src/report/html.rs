//! The report as one HTML file: no network, complete by itself, and to be read without its script.
//!
//! The template escapes every text; only our own style sheet, script and SVGs go in as they are,
//! and those escape for themselves. The page's policy allows no request, and no other script than
//! the one whose hash it names, so that even a mistake here would stay inert.

mod assets;
mod finding;
mod glossary;
mod payload;
mod sql;
mod view;

use askama::Template;

use super::{Replay, Report};

/// Writes the report as one HTML file, with the graphs of its window to step through.
#[must_use]
pub fn render(report: &Report, replay: Replay) -> String {
    // Writing into memory cannot fail, and no filter of the template can either.
    view::Page::of(report, replay, None)
        .render()
        .unwrap_or_default()
}

/// What a page needs to know of the daemon that serves it.
#[derive(Clone, Debug)]
pub struct Live {
    /// The name of the server that it tells of.
    pub server: String,
    /// All that are watched.
    pub servers: Vec<String>,
}

/// Writes the same for a daemon to serve: with what is going on now, which follows by itself.
#[must_use]
pub fn render_live(report: &Report, replay: Replay, live: Live) -> String {
    view::Page::of(report, replay, Some(live))
        .render()
        .unwrap_or_default()
}

/// Gives the Content-Security-Policy that such a page is served under.
#[must_use]
pub fn live_policy() -> &'static str {
    assets::policies().1
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests;

//! The report as one HTML file: no network, no script, complete by itself.
//!
//! The template escapes every text; only our own style sheet and our own SVGs
//! go in as they are, and those escape for themselves. The page's policy allows
//! neither scripts nor requests, so that even a mistake here would stay inert.

mod view;

use askama::Template;

use super::Report;

/// Writes the report as one HTML file.
#[must_use]
pub fn render(report: &Report) -> String {
    // Writing into memory cannot fail, and no filter of the template can either.
    view::Page::of(report).render().unwrap_or_default()
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests;

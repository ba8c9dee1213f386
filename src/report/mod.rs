//! One worded report; text, JSON, SVG and HTML are pure renderers of it.

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod browser_tests;
#[cfg(test)]
pub(crate) mod fixture;
#[cfg(test)]
pub(crate) mod fixture_graph;
#[cfg(test)]
pub(crate) mod fixture_replay;
#[cfg(test)]
pub(crate) mod fixture_tail;

pub mod dot;
pub mod html;
pub mod svg;

mod advice;
mod episodes;
pub mod figures;
pub mod first_screen;
mod fold;
mod forest;
pub mod json;
pub mod line;
mod lock_words;
mod logged;
mod manual;
mod markup;
pub mod naming;
mod palette;
mod replay;
pub mod rights;
mod slowest;
mod spent;
mod steps;
pub mod text;
pub mod tree;
mod unfinished;
mod wait_words;
mod who;
mod words;

pub use line::Style;
pub(crate) use line::plain_line;
pub(crate) use palette::colour_index;
pub use replay::Replay;
pub use rights::Rights;
pub use words::so_far;

use crate::attribution::finding::{Cause, Diagnosis, Finding, Part, Split, Verdict};

/// A diagnosis with its words.
#[derive(Clone, Debug)]
pub struct Report {
    /// The figures.
    pub diagnosis: Diagnosis,
    /// The answer in one sentence, also where the answer is that nothing is wrong.
    pub headline: String,
    /// The findings, worded, in the diagnosis' order.
    pub findings: Vec<Worded>,
}

/// A finding with its words.
#[derive(Clone, Debug)]
pub struct Worded {
    /// The figures.
    pub finding: Finding,
    /// One sentence that a person can paste into an incident.
    pub sentence: String,
    /// What to do about it, gentlest first.
    pub advice: Vec<String>,
    /// Where PostgreSQL's manual explains it.
    pub manual: Option<String>,
}

impl Report {
    /// Words a diagnosis.
    #[must_use]
    pub fn new(diagnosis: Diagnosis) -> Self {
        let findings: Vec<Worded> = diagnosis
            .findings
            .iter()
            .map(|finding| Worded {
                finding: finding.clone(),
                sentence: words::sentence(finding, &diagnosis),
                advice: advice::advice(finding),
                manual: manual::section(finding, diagnosis.server.version_num),
            })
            .collect();
        let headline = words::headline(&diagnosis, &findings);
        Self {
            diagnosis,
            headline,
            findings,
        }
    }

    /// Gives the verdict on one part of a victim's growth; a part alone is none.
    ///
    /// It is that of the finding about the same victim, window, class, table and blocker:
    /// what is proved elsewhere, or of another window, proves nothing here.
    pub(crate) fn verdict_on(&self, split: &Split, part: &Part) -> Verdict {
        let who = |cause: &Cause| {
            let blocker = cause.blocker.as_ref();
            blocker.map(|blocker| (blocker.system.clone(), blocker.gid.clone()))
        };
        let is_same = |finding: &&Finding| {
            let growth = finding.growth.as_ref();
            finding.victim == split.victim
                && growth.is_some_and(|growth| growth.window_after == split.growth.window_after)
                && finding.cause.class == part.cause.class
                && finding.cause.table == part.cause.table
                && who(&finding.cause) == who(&part.cause)
        };
        let findings = self.diagnosis.findings.iter().filter(is_same);
        findings
            .map(|finding| finding.verdict)
            .min()
            .unwrap_or(Verdict::Inconclusive)
    }
}

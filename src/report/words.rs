//! Findings as sentences.

use super::Worded;
use crate::attribution::finding::{Diagnosis, Finding};

/// Gives the one sentence that a person can paste into an incident.
pub(super) fn sentence(finding: &Finding, _diagnosis: &Diagnosis) -> String {
    format!("{} lost time.", finding.victim.query)
}

/// Gives the answer in one sentence.
pub(super) fn headline(_diagnosis: &Diagnosis, findings: &[Worded]) -> String {
    findings
        .first()
        .map_or_else(String::new, |first| first.sentence.clone())
}

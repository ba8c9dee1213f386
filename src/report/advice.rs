//! What to do about a finding, gentlest first.

use crate::attribution::finding::Finding;

/// Gives one to three concrete lines.
pub(super) fn advice(finding: &Finding) -> Vec<String> {
    vec![format!("Look at {}.", finding.cause.class)]
}

//! DB load over time, fine enough to be cut and turned by a reader.

use crate::time::{Rfc3339, Span};

/// Average active sessions over time, by who they were and what their time went into.
///
/// The cells add up to the load of each bin. Those for which there was no room are summed by
/// class, with neither statement nor system.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LoadOverTime {
    /// The start of the first bin.
    pub from: Rfc3339,
    /// How long each bin is.
    pub bin: Span,
    /// For each bin, whether enough of it was watched to say anything of it: a gap is not a zero.
    pub watched: Vec<bool>,
    /// Heaviest first.
    pub cells: Vec<LoadCell>,
}

/// What the sessions of one system spent on one cause while they ran one statement.
#[derive(Clone, Debug, PartialEq)]
pub struct LoadCell {
    /// What they ran, in a few words; none where the text is not known, or in a sum.
    pub statement: Option<String>,
    /// Whose sessions they were; none where no rule names it, or in a sum.
    pub system: Option<String>,
    /// What kind of cause.
    pub class: &'static str,
    /// Through which table.
    pub table: Option<String>,
    /// Who was in the way; none where nobody holds it, or nobody was seen.
    pub blocker: Option<String>,
    /// Average active sessions by the bin's number, in order; bins without any are left out.
    pub bins: Vec<(u32, f64)>,
}

impl LoadCell {
    /// Says in a legend's words what the cause is: `row-lock public.counter by sync`.
    #[must_use]
    pub fn cause(&self) -> String {
        let class = match self.class {
            "own-work" => "running",
            other => other,
        };
        let at = self.table.as_deref();
        let at = at.map(|table| format!(" {table}")).unwrap_or_default();
        let by = self.blocker.as_deref();
        let by = by.map(|blocker| format!(" by {blocker}"));
        format!("{class}{at}{}", by.unwrap_or_default())
    }

    /// Sums the cell over time, in sessions times bins.
    #[must_use]
    pub fn sum(&self) -> f64 {
        self.bins.iter().map(|(_, sessions)| sessions).sum()
    }
}

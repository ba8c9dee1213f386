//! A watch and what was recorded before it, as one recording.

use super::Recording;
use super::counted::{counters_of, leave_first_growth_open};
use crate::time::{Span, Timestamp};

impl Recording {
    /// Puts what an earlier recording of the same server knows of the last `span` before this one
    /// in front of it; false where it knows nothing of that time, or is of another server.
    ///
    /// The stretch between the two is one in which nobody looked. Of counters that changed for
    /// the first time in a stretch that begins in the middle nobody knows by how much.
    pub fn precede(&mut self, earlier: Self, span: Span) -> bool {
        let is_same = self.server.system_identifier == earlier.server.system_identifier
            && self.server.system_identifier.is_some();
        let Some(begun) = self.begun().filter(|_| is_same) else {
            return false;
        };
        let within = |at: Timestamp| begun - span <= at && at < begun;
        let mut snapshots = earlier.snapshots;
        snapshots.retain(|snapshot| within(snapshot.tick.at));
        if snapshots.is_empty() {
            return false;
        }
        let counted = self
            .counters
            .first()
            .map_or(begun, |look| look.at.min(begun));
        let mut counters = earlier.counters;
        counters.retain(|look| within(look.at) && look.at < counted);
        snapshots.append(&mut self.snapshots);
        self.snapshots = snapshots;
        counters.append(&mut self.counters);
        self.counters = counters;
        leave_first_growth_open(counters_of(&mut [], &mut self.counters));
        self.statements.splice(..0, earlier.statements);
        self.names.splice(..0, earlier.names);
        // What was declared while this watch went on stands in the other one too.
        let end = self.snapshots.last().map_or(begun, |last| last.tick.at);
        let mut declared = earlier.declared;
        declared.retain(|told| begun - span <= told.at && told.at <= end);
        self.declared.retain(|told| !declared.contains(told));
        self.declared.splice(..0, declared);
        self.declared.sort_by_key(|told| told.at);
        let losses = earlier.losses.into_iter().filter(|loss| within(loss.at));
        self.losses.splice(..0, losses);
        let minutes = earlier.minutes.into_iter();
        let minutes = minutes.filter(|rolled| within(rolled.minute.at));
        self.minutes.splice(..0, minutes);
        let events = earlier.events.into_iter().filter(|event| within(event.at));
        self.events.splice(..0, events);
        true
    }

    /// Gives the first instant that it looked at.
    fn begun(&self) -> Option<Timestamp> {
        self.snapshots.first().map(|snapshot| snapshot.tick.at)
    }
}

//! What is worked out while a watch goes on, and recorded beside the samples.
//!
//! ```text
//!  tick ──▶ charges, edges ──▶ recording
//!    │         └─ a minute's cells ──▶ recording
//!    └────▶ who is new, who changes the schema ──▶ recording
//! ```
//! The books outlive a connection, as the recording does.

use std::fmt;

use super::live::words::Words;
use crate::attribution::{Charged, Detector, Rollup};
use crate::graph::view::Vocabulary;
use crate::recording::{Entry, Event, RolledUp};
use crate::sample::{Counters, Name, Snapshot, StatementText, Surroundings};
use crate::system::Naming;
use crate::time::Timestamp;

/// The books of one server.
pub struct Books {
    words: Words,
    rollup: Rollup,
    detector: Detector,
    last: Timestamp,
}

impl fmt::Debug for Books {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Books").finish_non_exhaustive()
    }
}

impl Books {
    /// Opens them: systems are named by these rules, and those are no newcomers of whom an
    /// earlier watch into the same recording told, which ended with a tick at `until`.
    #[must_use]
    pub fn new(naming: Naming, told: &[Event], until: Option<Timestamp>) -> Self {
        Self {
            words: Words::new(naming),
            rollup: Rollup::default(),
            detector: Detector::knowing(told, until),
            last: Timestamp::default(),
        }
    }

    /// Learns a text, before the look that mentions it.
    pub fn learn(&mut self, text: &StatementText) {
        self.words.learn(text);
    }

    /// Learns a name, before the look that mentions it.
    pub fn name(&mut self, name: &Name) {
        self.words.name(name);
    }

    /// Works out what a look adds.
    #[must_use]
    pub fn look(&mut self, snapshot: &Snapshot) -> Vec<Entry> {
        self.last = snapshot.tick.at;
        let (naming, names, statements) = self.words.for_books(snapshot);
        let words = Vocabulary {
            naming: &naming,
            names: &names,
            statements: &statements,
        };
        let events = self.detector.look(snapshot, words);
        let mut entries: Vec<Entry> = events.into_iter().map(Entry::Event).collect();
        let Charged {
            charges,
            edges,
            over,
        } = self.rollup.look(snapshot, words);
        if !charges.is_empty() {
            entries.push(Entry::Charges(charges));
        }
        if !edges.is_empty() {
            entries.push(Entry::Edges(edges));
        }
        self.close(over, &mut entries);
        entries
    }

    /// Works out what a look at the counters adds.
    #[must_use]
    pub fn count(&mut self, counters: &Counters) -> Vec<Entry> {
        let mut entries = Vec::new();
        self.last = counters.at;
        let over = self.rollup.count(counters);
        self.close(over, &mut entries);
        entries
    }

    /// Works out what a look around adds.
    #[must_use]
    pub fn look_around(&mut self, surroundings: &Surroundings) -> Vec<Entry> {
        let mut events = self.detector.settings(&surroundings.settings);
        events.extend(self.detector.counted(&surroundings.server));
        events.into_iter().map(Entry::Event).collect()
    }

    /// Gives what is left, at the end of the watch.
    #[must_use]
    pub fn finish(&mut self) -> Vec<Entry> {
        let mut entries = Vec::new();
        let over = self.rollup.finish(self.last);
        self.close(over, &mut entries);
        entries
    }

    fn close(&mut self, over: impl IntoIterator<Item = RolledUp>, entries: &mut Vec<Entry>) {
        for rolled in over {
            entries.extend(self.detector.minute(&rolled).into_iter().map(Entry::Event));
            entries.push(Entry::Minute(Box::new(rolled)));
        }
    }
}

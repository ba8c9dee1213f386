//! What is worked out while a watch goes on, and recorded beside the samples.
//!
//! ```text
//!  tick ──▶ charges, edges ──▶ recording
//!    │         └─ a minute's cells ──▶ recording
//!    └────▶ who is new, who changes the schema ──▶ recording
//! ```
//! The books outlive a connection, as the recording does.

use std::collections::HashSet;
use std::fmt;

use super::words::{Words, mentioned};
use crate::attribution::{Charged, Detector, Rollup};
use crate::graph::view::Vocabulary;
use crate::names::Statements;
use crate::recording::{Entry, Event, RolledUp};
use crate::sample::{Counters, Name, Snapshot, StatementText, Surroundings};
use crate::statement::StatementId;
use crate::system::Naming;
use crate::time::Timestamp;

/// So many readings of texts are held.
const READINGS: usize = 2_048;
/// So many texts are read at one look beside those of who waits.
const READ_AT_ONCE: usize = 32;

/// The books of one server.
pub struct Books {
    naming: Naming,
    words: Words,
    readings: Readings,
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
            naming,
            words: Words::default(),
            readings: Readings::default(),
            rollup: Rollup::default(),
            detector: Detector::knowing(told, until),
            last: Timestamp::default(),
        }
    }

    /// Lets them share their words with whoever else has a hold on these.
    #[must_use]
    pub fn sharing(self, words: Words) -> Self {
        Self { words, ..self }
    }

    /// Learns a text, before the look that mentions it.
    pub fn learn(&self, text: &StatementText) {
        self.words.learn(text);
    }

    /// Learns a name, before the look that mentions it.
    pub fn name(&self, name: &Name) {
        self.words.name(name);
    }

    /// Works out what a look adds.
    #[must_use]
    pub fn look(&mut self, snapshot: &Snapshot) -> Vec<Entry> {
        self.last = snapshot.tick.at;
        self.words.seen(snapshot);
        self.readings.prepare(snapshot, &self.words);
        let names = self.words.names();
        let words = Vocabulary {
            naming: &self.naming,
            names: &names,
            statements: &self.readings.statements,
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

/// What texts mean, as far as charges need it: most are never part of a wait, and every tick is
/// charged.
#[derive(Default)]
struct Readings {
    statements: Statements,
    known: HashSet<StatementId>,
}

impl Readings {
    /// Reads the texts of those involved in waits, and of what others run as far as one look allows.
    fn prepare(&mut self, snapshot: &Snapshot, words: &Words) {
        self.read(mentioned(snapshot), READ_AT_ONCE, words);
        let pids: HashSet<_> = snapshot.locks.iter().filter_map(|lock| lock.pid).collect();
        let involved = snapshot.sessions.iter().filter(|s| pids.contains(&s.pid));
        let theirs = involved.filter_map(|session| session.statement);
        self.read(theirs, usize::MAX, words);
    }

    /// Reads the texts that are not read yet, so many at most.
    fn read(&mut self, ids: impl Iterator<Item = StatementId>, most: usize, words: &Words) {
        if self.known.len() > READINGS {
            *self = Self::default();
        }
        let unread = words.texts(ids.filter(|id| !self.known.contains(id)));
        for text in unread.iter().take(most) {
            self.statements.learn(text);
            self.known.insert(text.id);
        }
    }
}

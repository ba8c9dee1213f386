//! Names and texts of one server, as many as the last ticks need.
//!
//! Texts are kept as they came, the least lately seen go first; what a text means is read when it
//! is asked for, since most are never part of a wait. For charges, which every tick needs, a few
//! hundred readings are held.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::names::{Names, Statements};
use crate::sample::{Name, Snapshot, StatementText};
use crate::statement::StatementId;
use crate::system::Naming;

/// So many bytes of texts are kept.
const BYTES: usize = 4 << 20;
/// So many texts are kept: each costs some bytes beside its own. More than a watch remembers to
/// have told, or one that it does not tell again would be missing.
const TEXTS: usize = 12_288;
/// So many readings of texts are held for charges.
const READINGS: usize = 2_048;
/// So many texts are read at one look beside those of who waits.
const READ_AT_ONCE: usize = 32;
/// So many names are kept: an incident concerns few tables, and a catalogue may have millions.
const NAMES: usize = 50_000;

/// Names and texts.
#[derive(Debug)]
pub(in crate::daemon) struct Words {
    pub(super) naming: Arc<Naming>,
    names: Arc<Names>,
    texts: HashMap<StatementId, Kept>,
    bytes: usize,
    looks: u64,
    /// Readings, and whose they are.
    read: (Arc<Statements>, HashSet<StatementId>),
    dropped_texts: u64,
    dropped_names: u64,
}

#[derive(Debug)]
struct Kept {
    text: StatementText,
    seen: u64,
}

/// The texts that one snapshot needs.
#[derive(Debug)]
pub(super) struct Texts(Vec<StatementText>);

impl Texts {
    /// Reads them; without texts only what they do remains, and their ids.
    pub(super) fn read(&self, with_texts: bool) -> Statements {
        let statements = Statements::of(&self.0);
        if with_texts {
            statements
        } else {
            statements.without_texts()
        }
    }
}

impl Words {
    pub(in crate::daemon) fn new(naming: Naming) -> Self {
        Self {
            naming: Arc::new(naming),
            names: Arc::default(),
            texts: HashMap::new(),
            bytes: 0,
            looks: 0,
            read: (Arc::default(), HashSet::new()),
            dropped_texts: 0,
            dropped_names: 0,
        }
    }

    pub(in crate::daemon) fn learn(&mut self, text: &StatementText) {
        let seen = self.looks;
        let kept = Kept {
            text: text.clone(),
            seen,
        };
        self.bytes += text.text.len();
        if let Some(before) = self.texts.insert(text.id, kept) {
            self.bytes -= before.text.text.len();
        }
        if self.bytes > BYTES || self.texts.len() > TEXTS {
            self.forget_some();
        }
    }

    /// Forgets a quarter of the texts, those not seen for longest.
    fn forget_some(&mut self) {
        let mut seen: Vec<(u64, StatementId)> = self
            .texts
            .iter()
            .map(|(id, kept)| (kept.seen, *id))
            .collect();
        seen.sort_unstable();
        for (_, id) in &seen[..seen.len().div_ceil(4)] {
            if let Some(kept) = self.texts.remove(id) {
                self.bytes -= kept.text.text.len();
                self.dropped_texts += 1;
            }
        }
        // Places of what was removed count as taken, and would let the table double.
        self.texts = std::mem::take(&mut self.texts).into_iter().collect();
    }

    pub(in crate::daemon) fn name(&mut self, name: &Name) {
        if self.names.len() >= NAMES {
            self.dropped_names += 1;
            return;
        }
        // A reader may still hold the names as they were; then this copies them once.
        Arc::make_mut(&mut self.names).learn(name);
    }

    /// Takes note of what a snapshot mentions.
    pub(in crate::daemon) fn seen(&mut self, snapshot: &Snapshot) {
        self.looks += 1;
        for id in ids(snapshot) {
            if let Some(kept) = self.texts.get_mut(&id) {
                kept.seen = self.looks;
            }
        }
    }

    /// Gives what it takes to charge a snapshot: readings of those involved in waits, and of what
    /// others run, as far as one look allows.
    pub(in crate::daemon) fn for_books(
        &mut self,
        snapshot: &Snapshot,
    ) -> (Arc<Naming>, Arc<Names>, Arc<Statements>) {
        self.seen(snapshot);
        self.read(ids(snapshot), READ_AT_ONCE);
        let pids: HashSet<_> = snapshot.locks.iter().filter_map(|lock| lock.pid).collect();
        let involved = snapshot.sessions.iter().filter(|s| pids.contains(&s.pid));
        self.read(involved.filter_map(|session| session.statement), usize::MAX);
        let (naming, names) = (Arc::clone(&self.naming), Arc::clone(&self.names));
        (naming, names, Arc::clone(&self.read.0))
    }

    /// Reads the texts that are not read yet, so many at most.
    fn read(&mut self, ids: impl Iterator<Item = StatementId>, most: usize) {
        if self.read.1.len() > READINGS {
            self.read = (Arc::default(), HashSet::new());
        }
        let (statements, known) = &mut self.read;
        let mut news = 0;
        for id in ids {
            if news < most
                && let Some(kept) = self.texts.get(&id)
                && known.insert(id)
            {
                Arc::make_mut(statements).learn(&kept.text);
                news += 1;
            }
        }
    }

    /// Gives what it takes to put a snapshot into words.
    pub(super) fn for_words(&self, snapshot: &Snapshot) -> (Arc<Naming>, Arc<Names>, Texts) {
        let needed: HashSet<StatementId> = ids(snapshot).collect();
        let texts = needed.iter().filter_map(|id| self.texts.get(id));
        let texts = texts.map(|kept| kept.text.clone()).collect();
        let (naming, names) = (Arc::clone(&self.naming), Arc::clone(&self.names));
        (naming, names, Texts(texts))
    }

    /// Tells what the bounds cost, as kinds of loss.
    pub(super) const fn dropped(&self) -> [(&'static str, u64); 2] {
        [
            ("dropped_live_texts", self.dropped_texts),
            ("dropped_live_names", self.dropped_names),
        ]
    }
}

fn ids(snapshot: &Snapshot) -> impl Iterator<Item = StatementId> {
    snapshot
        .sessions
        .iter()
        .filter_map(|session| session.statement)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(id: u64, length: usize) -> StatementText {
        StatementText {
            id: StatementId(id),
            database: None,
            query_id: None,
            text: "x".repeat(length).into(),
            parsed: false,
        }
    }

    #[test]
    fn a_hundred_thousand_texts_stay_within_the_bound_and_are_counted() {
        let mut words = Words::new(Naming::default());
        for id in 0..100_000 {
            words.learn(&text(id, 300));
        }
        assert!(words.bytes <= BYTES && words.texts.len() <= TEXTS);
        let kept = u64::try_from(words.texts.len()).unwrap_or(0);
        assert_eq!(words.dropped_texts + kept, 100_000);
        let bytes: usize = words.texts.values().map(|kept| kept.text.text.len()).sum();
        assert_eq!(words.bytes, bytes);
    }

    #[test]
    fn a_text_that_is_learned_again_counts_once() {
        let mut words = Words::new(Naming::default());
        words.learn(&text(1, 10));
        words.learn(&text(1, 30));
        assert_eq!((words.bytes, words.texts.len()), (30, 1));
    }
}

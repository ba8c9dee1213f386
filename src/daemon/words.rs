//! Names and texts of one server, as many as the last ticks need.
//!
//! - They are shared: the books charge ticks with them, and whoever asks puts a tick into words.
//! - Texts are kept as they came, the least lately seen go first; what a text means is read where it
//!   is needed, and never while others wait for the lock.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::names::Names;
use crate::sample::{Name, Snapshot, StatementText};
use crate::statement::StatementId;

/// So many bytes of texts are kept.
const BYTES: usize = 4 << 20;
/// So many texts are kept: each costs some bytes beside its own. More than a watch remembers to
/// have told, or one that it does not tell again would be missing.
const TEXTS: usize = 12_288;
/// So many names are kept: an incident concerns few tables, and a catalogue may have millions.
const NAMES: usize = 50_000;

/// Names and texts; a clone is another hold on the same.
#[derive(Clone, Debug, Default)]
pub struct Words(Arc<Mutex<Known>>);

#[derive(Debug, Default)]
struct Known {
    names: Arc<Names>,
    texts: HashMap<StatementId, Kept>,
    bytes: usize,
    looks: u64,
    dropped_texts: u64,
    dropped_names: u64,
}

#[derive(Debug)]
struct Kept {
    text: StatementText,
    seen: u64,
}

impl Words {
    /// Locks for a moment; whoever panicked with the lock left a copy undone at most.
    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a text that rows will name.
    pub fn learn(&self, text: &StatementText) {
        self.known().learn(text);
    }

    /// Takes a name.
    pub fn name(&self, name: &Name) {
        let mut known = self.known();
        if known.names.len() >= NAMES {
            known.dropped_names += 1;
            return;
        }
        // A reader may still hold the names as they were; then this copies them once.
        Arc::make_mut(&mut known.names).learn(name);
    }

    /// Takes note of what a snapshot mentions.
    pub(super) fn seen(&self, snapshot: &Snapshot) {
        let mut known = self.known();
        known.looks += 1;
        let looks = known.looks;
        for id in mentioned(snapshot) {
            if let Some(kept) = known.texts.get_mut(&id) {
                kept.seen = looks;
            }
        }
    }

    /// Gives the names as they are now.
    pub(super) fn names(&self) -> Arc<Names> {
        Arc::clone(&self.known().names)
    }

    /// Gives the texts of some statements, as far as they are known, each once and in their order.
    pub(super) fn texts(&self, ids: impl Iterator<Item = StatementId>) -> Vec<StatementText> {
        let known = self.known();
        let mut told = HashSet::new();
        let kept = ids.filter(|id| told.insert(*id));
        let kept = kept.filter_map(|id| known.texts.get(&id));
        kept.map(|kept| kept.text.clone()).collect()
    }

    /// Tells what the bounds cost, as kinds of loss.
    pub(super) fn dropped(&self) -> [(&'static str, u64); 2] {
        let known = self.known();
        [
            ("dropped_live_texts", known.dropped_texts),
            ("dropped_live_names", known.dropped_names),
        ]
    }
}

/// Lists the statements that a snapshot mentions, one as often as it does.
pub(super) fn mentioned(snapshot: &Snapshot) -> impl Iterator<Item = StatementId> {
    let sessions = snapshot.sessions.iter();
    sessions.filter_map(|session| session.statement)
}

impl Known {
    fn learn(&mut self, text: &StatementText) {
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
        let words = Words::default();
        for id in 0..100_000 {
            words.learn(&text(id, 300));
        }
        let words = words.known();
        assert!(words.bytes <= BYTES && words.texts.len() <= TEXTS);
        let kept = u64::try_from(words.texts.len()).unwrap_or(0);
        assert_eq!(words.dropped_texts + kept, 100_000);
        let bytes: usize = words.texts.values().map(|kept| kept.text.text.len()).sum();
        assert_eq!(words.bytes, bytes);
    }

    #[test]
    fn a_text_that_is_learned_again_counts_once() {
        let words = Words::default();
        words.learn(&text(1, 10));
        words.learn(&text(1, 30));
        let words = words.known();
        assert_eq!((words.bytes, words.texts.len()), (30, 1));
    }
}

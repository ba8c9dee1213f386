//! Chains over time: one situation from its start over its peak to its end.
//!
//! An [`Episode`] is a run of looks that saw chains of one [`Signature`]. Roots may change
//! within it: a convoy in which many hold one row in turn is one story, not a hundred.
//!
//! - It begins when the longest wait of the first look began, which may be before anybody
//!   looked, and ends with the time that the last look stands for.
//! - It is over when looks that stand for more than two seconds have not seen it. Where nobody
//!   looked nothing is over, but for longer than ten nothing is said to go on either.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use serde::Serialize;

use super::chain::{Chain, Signature};
use super::view::Party;
use crate::sample::Tick;
use crate::time::{Rfc3339, Span, Timestamp};

/// A situation not seen for longer is over; what comes back is another episode.
const PAUSE: Span = Span::from_secs(2);

/// Nobody knows what went on while nobody looked for longer.
const GAP: Span = Span::from_secs(10);

/// One situation from its start to its end.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Episode {
    /// What it is called; others with the same name are the same situation at another time.
    pub signature: Signature,
    /// The table; null where it is none, or not known.
    pub table: Option<Arc<str>>,
    /// When the first wait in it began.
    pub start: Rfc3339,
    /// When the most sessions waited.
    pub peak: Rfc3339,
    /// When it was last seen to go on.
    pub end: Rfc3339,
    /// Whether nobody saw its end: it went on at the last look, of all or before a gap.
    pub open: bool,
    /// How many looks saw it.
    pub looks: usize,
    /// How many sessions waited at the peak.
    pub peak_behind: usize,
    /// The longest wait seen in it; null where the server did not say.
    pub longest_ms: Option<f64>,
    /// Seconds of sessions that waited because of it.
    pub waited_s: f64,
    /// How many roots it had; zero for a deadlock.
    pub roots: usize,
    /// The root at the peak; null for a deadlock.
    pub root: Option<Party>,
    /// The systems that waited, with the most sessions of each at a time.
    pub systems: BTreeMap<String, usize>,
}

/// Gathers chains into episodes, look by look.
#[derive(Debug, Default)]
pub struct Episodes {
    open: HashMap<Signature, Open>,
    closed: Vec<Episode>,
    last: Option<Timestamp>,
}

#[derive(Debug)]
struct Open {
    episode: Episode,
    roots: BTreeSet<Party>,
    /// The time of looks since, that did not see it.
    missing: Span,
}

impl Episodes {
    /// Takes in the chains of one look; looks come in order of time.
    pub fn look(&mut self, tick: Tick, chains: &[Chain]) {
        if self.last.is_some_and(|last| tick.at.since(last) > GAP) {
            self.close(|_| true);
        }
        self.last = Some(tick.at);
        let mut sums: BTreeMap<&Signature, Vec<&Chain>> = BTreeMap::new();
        for chain in chains {
            sums.entry(&chain.signature).or_default().push(chain);
        }
        for open in self.open.values_mut() {
            open.missing += tick.span;
        }
        for (signature, chains) in sums {
            self.take(tick, signature, &chains);
        }
        self.close(|open| open.missing > PAUSE);
    }

    /// Takes in one situation, which several roots may make up together.
    fn take(&mut self, tick: Tick, signature: &Signature, chains: &[&Chain]) {
        let behind = chains.iter().map(|chain| chain.behind).sum();
        let longest = chains
            .iter()
            .filter_map(|chain| chain.longest_ms)
            .reduce(f64::max);
        let worst = chains.iter().max_by_key(|chain| chain.behind);
        let end = Rfc3339(tick.at + tick.span);
        let open = self.open.entry(signature.clone()).or_insert_with(|| Open {
            episode: Episode {
                signature: signature.clone(),
                table: None,
                start: Rfc3339(tick.at - longest.map_or(Span::ZERO, span)),
                peak: Rfc3339(tick.at),
                end,
                open: true,
                looks: 0,
                peak_behind: 0,
                longest_ms: None,
                waited_s: 0.0,
                roots: 0,
                root: None,
                systems: BTreeMap::new(),
            },
            roots: BTreeSet::new(),
            missing: Span::ZERO,
        });
        open.missing = Span::ZERO;
        open.roots
            .extend(chains.iter().filter_map(|chain| chain.root.clone()));
        let episode = &mut open.episode;
        episode.end = end;
        episode.looks += 1;
        episode.longest_ms = episode
            .longest_ms
            .into_iter()
            .chain(longest)
            .reduce(f64::max);
        episode.waited_s += behind as f64 * tick.span.as_secs_f64();
        if behind > episode.peak_behind {
            episode.peak_behind = behind;
            episode.peak = Rfc3339(tick.at);
            episode.root = worst.and_then(|chain| chain.root.clone());
        }
        let mut systems: BTreeMap<&str, usize> = BTreeMap::new();
        for chain in chains {
            episode.table = episode.table.take().or_else(|| chain.table.clone());
            for (system, count) in &chain.systems {
                *systems.entry(system).or_default() += count;
            }
        }
        for (system, count) in systems {
            let most = episode.systems.entry(system.to_owned()).or_default();
            *most = count.max(*most);
        }
    }

    /// Ends the gathering and lists the episodes, those that cost most first.
    #[must_use]
    pub fn finish(mut self) -> Vec<Episode> {
        self.close(|_| true);
        let mut episodes = self.closed;
        episodes.sort_by(|a, b| {
            (b.waited_s.total_cmp(&a.waited_s))
                .then_with(|| (a.start.0, &a.signature).cmp(&(b.start.0, &b.signature)))
        });
        episodes
    }

    fn close(&mut self, over: impl Fn(&Open) -> bool) {
        let closed = self.open.extract_if(|_, open| over(open));
        self.closed.extend(closed.map(|(_, open)| Episode {
            open: open.missing == Span::ZERO,
            roots: open.roots.len(),
            ..open.episode
        }));
    }
}

fn span(ms: f64) -> Span {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the cast saturates, and so does what is done with it"
    )]
    let micros = (ms * 1e3) as i64;
    Span::from_micros(micros)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::PaceReason;

    fn tick(ms: i64) -> Tick {
        Tick {
            at: Timestamp::from_micros(ms * 1_000),
            span: Span::from_millis(500),
            place: Span::from_millis(500),
            server: Span::ZERO,
            missed: 0,
            deadlock_timeout: Tick::DEADLOCK_TIMEOUT,
            period: Span::from_millis(100),
            pace: PaceReason::Fixed,
        }
    }

    fn chain(text: &str, root: i32, behind: usize, longest_ms: f64) -> Chain {
        Chain {
            signature: Signature {
                id: text.to_owned(),
                text: text.to_owned(),
            },
            root: Some(Party {
                pid: Some(root),
                gid: None,
            }),
            cycle: Vec::new(),
            object: String::new(),
            table: None,
            table_basis: None,
            gate: None,
            amplifiers: Vec::new(),
            depth: 1,
            behind,
            systems: [("intake".to_owned(), behind)].into(),
            longest_ms: Some(longest_ms),
            waited_ms: 0.0,
        }
    }

    /// Tells what came of some looks: `name start-end peak behind×looks/roots`, `…` if open.
    fn story(looks: &[(i64, &[Chain])]) -> Vec<String> {
        let mut episodes = Episodes::default();
        for (at, chains) in looks {
            episodes.look(tick(*at), chains);
        }
        let ms = |at: Rfc3339| at.0.as_micros() / 1_000;
        let told = |e: Episode| {
            format!(
                "{} {}-{}{} peak {} {}x{}/{}",
                e.signature.text,
                ms(e.start),
                ms(e.end),
                if e.open { "…" } else { "" },
                ms(e.peak),
                e.peak_behind,
                e.looks,
                e.roots
            )
        };
        episodes.finish().into_iter().map(told).collect()
    }

    #[test]
    fn a_convoy_is_one_story_whoever_holds_the_row() {
        let looks = [
            (1_000, &[chain("hot", 1, 3, 200.0)][..]),
            (1_500, &[chain("hot", 2, 9, 700.0)]),
            (2_000, &[]),
            (2_500, &[chain("hot", 3, 1, 100.0)]),
            (3_000, &[]),
            (3_500, &[]),
            (4_000, &[]),
            (4_500, &[]),
            (5_000, &[]),
        ];
        assert_eq!(story(&looks), ["hot 800-3000 peak 1500 9x3/3"]);
    }

    #[test]
    fn what_comes_back_after_a_pause_is_another_story() {
        let seen = [chain("hot", 1, 1, 0.0)];
        let mut looks: Vec<(i64, &[Chain])> = (1..=8).map(|n| (n * 500, &[][..])).collect();
        looks[0].1 = &seen;
        looks[7].1 = &seen;
        assert_eq!(
            story(&looks),
            [
                "hot 500-1000 peak 500 1x1/1",
                "hot 4000-4500… peak 4000 1x1/1"
            ]
        );
    }

    #[test]
    fn where_nobody_looked_nothing_is_over_and_nothing_goes_on_for_ever() {
        let seen = [chain("hot", 1, 1, 0.0)];
        assert_eq!(
            story(&[(1_000, &seen), (9_000, &seen)]),
            ["hot 1000-9500… peak 1000 1x2/1"]
        );
        assert_eq!(
            story(&[(1_000, &seen), (60_000, &seen)]),
            [
                "hot 1000-1500… peak 1000 1x1/1",
                "hot 60000-60500… peak 60000 1x1/1"
            ]
        );
    }

    #[test]
    fn situations_are_told_apart_and_the_dearest_comes_first() {
        let looks = [
            (
                1_000,
                &[
                    chain("hot", 1, 1, 0.0),
                    chain("ddl", 2, 5, 0.0),
                    chain("hot", 3, 1, 0.0),
                ][..],
            ),
            (1_500, &[chain("ddl", 2, 5, 0.0)]),
        ];
        assert_eq!(
            story(&looks),
            [
                "ddl 1000-2000… peak 1000 5x2/1",
                "hot 1000-1500 peak 1000 2x1/2"
            ]
        );
    }
}

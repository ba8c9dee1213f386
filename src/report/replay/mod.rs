//! The wait-for graph moment by moment, small enough to travel within a page.
//!
//! ```text
//!  graph of a look ─▶ folded (a queue is one box) ─▶ placed (a box stays where it was) ─▶ scene
//! ```
//!
//! Words are kept once and referred to by number. A scene that shows the same as the one before
//! is not repeated: a wait's age is told as the instant at which the wait began.

mod places;

use std::collections::HashMap;
use std::hash::Hash;

use serde::Serialize;

use crate::attribution::Moment;
use crate::graph::Certainty;
use crate::graph::view::{EdgeKind, Node};
use crate::report::fold::{Folded, FoldedGraph, fold, pattern};
use crate::report::lock_words::lock_words;
use crate::report::markup::{clean, line};
use crate::report::who;
use crate::time::{Span, Timestamp};

use self::places::{Place, Places};

/// So many members of one box are told one by one, those that have waited longest.
const MEMBERS: usize = 24;
/// So many characters of a statement.
const QUERY: usize = 240;
/// So many characters of a name.
const NAME: usize = 60;

/// All scenes of a window.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Replay {
    /// Microseconds since 1970 of the instant that all others are told from.
    from: i64,
    /// Systems by number, each with the number of its colour.
    systems: Table<(String, usize)>,
    /// What a session is called (`pid 4711`), with the number of its system.
    parties: Table<(String, Option<usize>)>,
    /// What sessions do: `idle in transaction`.
    states: Table<String>,
    /// What they run.
    queries: Table<String>,
    /// What they wait for: on what, and how strongly.
    locks: Table<(String, String)>,
    /// In order of time.
    scenes: Vec<Scene>,
}

/// One moment.
#[derive(Clone, Debug, PartialEq, Serialize)]
struct Scene {
    /// Milliseconds since the beginning at which somebody looked.
    at: i64,
    /// From when to when it is shown, likewise; between one and the next that begins later nobody
    /// looked.
    stretch: (i64, i64),
    /// Sessions that waited for a heavyweight lock.
    blocked: usize,
    /// Sessions for which there was no room.
    left_out: usize,
    boxes: Vec<Boxed>,
    /// From the waiter's box to that of who is in its way: both by number, then the lock, then 0
    /// where it is held, 1 where it is asked for ahead in the queue, 2 where that is not sure.
    arrows: Vec<(usize, usize, usize, u8)>,
}

/// One box: a session, or a queue of sessions that are alike.
#[derive(Clone, Debug, PartialEq, Serialize)]
struct Boxed {
    /// Layer from the roots, then row.
    place: (usize, usize),
    /// 1 for a root, 2 for a member of a deadlock, 4 for who waits and makes others wait.
    role: u8,
    /// How many sessions it stands for.
    count: usize,
    /// How many wait behind it.
    behind: usize,
    /// Those that have waited longest.
    members: Vec<Member>,
}

/// Party, state and statement by number, then milliseconds since the beginning at which its
/// transaction and its wait began.
type Member = (usize, usize, Option<usize>, Option<i64>, Option<i64>);

/// Values by number, written as a list.
#[derive(Clone, Debug)]
struct Table<T> {
    values: Vec<T>,
    numbers: HashMap<T, usize>,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self {
            values: Vec::new(),
            numbers: HashMap::new(),
        }
    }
}

impl<T: Clone + Eq + Hash> Table<T> {
    fn number(&mut self, value: T) -> usize {
        let next = self.values.len();
        *self.numbers.entry(value).or_insert_with_key(|value| {
            self.values.push(value.clone());
            next
        })
    }
}

impl<T: Serialize> Serialize for Table<T> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.values.serialize(serializer)
    }
}

impl Replay {
    /// Folds and places the graphs of a window, which come in order of time.
    pub fn of(moments: impl Iterator<Item = Moment>) -> Self {
        let mut replay = Self::default();
        let mut places = Places::default();
        for moment in moments {
            replay.take(&moment, &mut places);
        }
        replay.in_order();
        replay
    }

    /// Puts the scenes in order of time, and lets none reach into the next: the server's clock may
    /// have been set back between them.
    fn in_order(&mut self) {
        self.scenes.sort_by_key(|scene| scene.stretch.0);
        let begins: Vec<i64> = self.scenes.iter().map(|scene| scene.stretch.0).collect();
        for (scene, next) in self.scenes.iter_mut().zip(begins.into_iter().skip(1)) {
            scene.stretch.1 = scene.stretch.1.min(next);
        }
    }

    /// Gives the same with half as many scenes: of each two the one with more sessions blocked.
    pub(crate) fn halved(mut self) -> Self {
        let mut scenes = std::mem::take(&mut self.scenes).into_iter();
        while let Some(first) = scenes.next() {
            let Some(second) = scenes.next() else {
                self.scenes.push(first);
                break;
            };
            let stretch = (first.stretch.0, second.stretch.1);
            let fuller = if second.blocked > first.blocked {
                second
            } else {
                first
            };
            self.scenes.push(Scene { stretch, ..fuller });
        }
        self
    }

    /// Tells how many scenes there are.
    pub(crate) fn len(&self) -> usize {
        self.scenes.len()
    }

    fn take(&mut self, moment: &Moment, places: &mut Places) {
        let at = moment.view.taken_at.0;
        let [from, to] = moment.stretch;
        if self.scenes.is_empty() {
            self.from = from.as_micros();
        }
        let folded = fold(&moment.view);
        let placed = places.place(&folded);
        let boxes: Vec<Boxed> = folded
            .boxes
            .iter()
            .zip(placed)
            .map(|(folded, place)| self.boxed(folded, place, at))
            .collect();
        let arrows = self.arrows(&folded);
        let scene = Scene {
            at: self.since(at),
            stretch: (self.since(from), self.since(to)),
            blocked: moment.blocked,
            left_out: folded.left_out,
            boxes,
            arrows,
        };
        // Milliseconds are cut, not rounded.
        let is_next = |last: &&mut Scene| scene.stretch.0 <= last.stretch.1 + 1;
        match self.scenes.last_mut().filter(is_next) {
            Some(last) if last.shows_same(&scene) => last.stretch.1 = scene.stretch.1,
            _ => self.scenes.push(scene),
        }
    }

    /// Milliseconds since the beginning.
    fn since(&self, at: Timestamp) -> i64 {
        (at.as_micros() - self.from).div_euclid(1_000)
    }

    fn boxed(&mut self, folded: &Folded<'_>, place: Place, at: Timestamp) -> Boxed {
        let behind: usize = folded.members.iter().map(|node| node.behind).sum();
        let waits = folded.members.iter().any(|node| node.waiting_ms.is_some());
        let amplifies = !folded.root && waits && behind > 0;
        let mut members = folded.members.clone();
        let waited = |node: &Node| node.waiting_ms.unwrap_or(0.0);
        members.sort_by(|a, b| waited(b).total_cmp(&waited(a)));
        members.truncate(MEMBERS);
        Boxed {
            place: (place.layer, place.row),
            role: u8::from(folded.root) | u8::from(folded.in_cycle) << 1 | u8::from(amplifies) << 2,
            count: folded.members.len(),
            behind,
            members: members
                .into_iter()
                .map(|node| self.member(node, at))
                .collect(),
        }
    }

    fn member(&mut self, node: &Node, at: Timestamp) -> Member {
        let system = node.system.as_deref().map(|system| {
            let name = line(system, NAME);
            let family = pattern(&name);
            let known = self
                .systems
                .values
                .iter()
                .find(|(name, _)| pattern(name) == family);
            let families = || {
                self.systems
                    .values
                    .iter()
                    .map(|(_, colour)| colour + 1)
                    .max()
            };
            let colour = known.map_or_else(|| families().unwrap_or(0), |(_, colour)| *colour);
            self.systems.number((name, colour))
        });
        let name = match (&node.party.pid, &node.party.gid) {
            (Some(pid), _) => format!("pid {pid}"),
            (None, Some(gid)) => format!("gid {}", line(gid, NAME)),
            (None, None) => "unknown".to_owned(),
        };
        let state = match (who::state(node), &node.wait_event) {
            (Some(state), Some(event)) if node.waiting_ms.is_none() => format!("{state}, {event}"),
            (Some(state), _) => state.to_owned(),
            (None, _) => node.backend_type.clone(),
        };
        let query = node.query.as_deref().map(|query| line(query, QUERY));
        // To the tenth of a second: what differs by less is drawn alike.
        let begun = |age_ms: Option<f64>| {
            let age = age_ms.filter(|age| age.is_finite())?;
            #[expect(clippy::cast_possible_truncation, reason = "float casts saturate")]
            let age = Span::from_micros((age * 1e3) as i64);
            Some(self.since(at - age).div_euclid(100) * 100)
        };
        let (xact, wait) = (begun(node.xact_age_ms), begun(node.waiting_ms));
        (
            self.parties.number((clean(&name).into_owned(), system)),
            self.states.number(clean(&state).into_owned()),
            query.map(|query| self.queries.number(query)),
            xact,
            wait,
        )
    }

    fn arrows(&mut self, folded: &FoldedGraph<'_>) -> Vec<(usize, usize, usize, u8)> {
        let arrows = folded.arrows.iter();
        arrows
            .map(|arrow| {
                let (target, mode) = lock_words(arrow.edge);
                let sure = match (arrow.edge.kind, arrow.edge.certainty) {
                    (EdgeKind::Hard, _) => 0,
                    (EdgeKind::Soft, Certainty::Sure) => 1,
                    (EdgeKind::Soft, _) => 2,
                };
                (
                    arrow.from,
                    arrow.to,
                    self.locks.number((target, mode)),
                    sure,
                )
            })
            .collect()
    }
}

impl Scene {
    fn shows_same(&self, next: &Self) -> bool {
        (self.blocked, self.left_out) == (next.blocked, next.left_out)
            && self.boxes == next.boxes
            && self.arrows == next.arrows
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests;

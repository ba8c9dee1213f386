//! In which order those who wait for one target are granted it, and how sure that order is.
//!
//! The server does not show its queues. Three things tell of them:
//!
//! - when each began to wait;
//! - the rule by which one joins (`JoinWaitQueue` in `src/backend/storage/lmgr/proc.c`): at the
//!   end, but who already holds something that conflicts with an earlier request goes before it;
//! - that nobody waits without a reason: each has somebody before it in the queue, or a holder,
//!   that conflicts with its own request.
//!
//! The last one finds what the first two cannot: who went ahead of somebody that has left since
//! stands before those who came in between, and so does whom the deadlock detector moved.

use std::collections::HashMap;

use petgraph::graph::NodeIndex;
use serde::Serialize;

use crate::pg::LockMode;
use crate::sample::Lock;
use crate::time::{Span, Timestamp};

/// Two waits that began closer together may stand in either order: the server writes the
/// start of a wait down after it has let go of the queue.
const NEAR: Span = Span::from_millis(1);

/// How sure it is that one request stands ahead of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Certainty {
    /// By the times at which they began to wait, or by the server's rule for holders.
    Sure,
    /// They began to wait within a millisecond.
    NearTie,
    /// A start is missing or stale, a holder may have gone ahead of somebody who has left,
    /// or the server may have rearranged the queue.
    Unknown,
}

impl Certainty {
    /// The word for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sure => "sure",
            Self::NearTie => "near tie",
            Self::Unknown => "unknown",
        }
    }
}

/// A waiting entry in its place.
#[derive(Clone, Copy, Debug)]
pub(super) struct Placed<'a> {
    pub(super) node: NodeIndex,
    pub(super) request: &'a Lock,
    /// When its wait began; none where the server does not say.
    pub(super) since: Option<Timestamp>,
    came: Came<'a>,
}

/// How an entry came to its place.
#[derive(Clone, Copy, Debug)]
enum Came<'a> {
    /// It joined at the end.
    Last,
    /// It holds something on the target: it may stand further ahead than it seems, before those
    /// who came after somebody it went ahead of and who has left since.
    LastHolding,
    /// It went ahead of this one, which had begun to wait then.
    Ahead(&'a Lock, Option<Timestamp>),
    /// It can only stand here: somebody behind it would have no reason to wait.
    Deduced,
}

/// Puts the requests for one target in order; each comes with the start of its wait.
pub(super) fn arrange<'a>(
    mut requests: Vec<(NodeIndex, &'a Lock, Option<Timestamp>)>,
    holders: &[(NodeIndex, LockMode)],
) -> Vec<Placed<'a>> {
    // Who shows no start yet has only just begun to wait.
    requests.sort_by_key(|&(_, request, since)| (since.is_none(), since, request.pid));
    let mut holding: HashMap<NodeIndex, Vec<LockMode>> = HashMap::new();
    for &(node, mode) in holders {
        holding.entry(node).or_default().push(mode);
    }
    let mut queue: Vec<Placed<'a>> = Vec::with_capacity(requests.len());
    for (node, request, since) in requests {
        let placed = |came| Placed {
            node,
            request,
            since,
            came,
        };
        let Some(held) = holding.get(&node) else {
            queue.push(placed(Came::Last));
            continue;
        };
        // A colleague of its lock group is in nobody's way.
        let first = queue.iter().position(|earlier| {
            let conflicts = |mode: &LockMode| mode.conflicts_with(earlier.request.mode);
            earlier.node != node && held.iter().any(conflicts)
        });
        match first {
            Some(place) => {
                let passed = queue[place];
                queue.insert(place, placed(Came::Ahead(passed.request, passed.since)));
            }
            None => queue.push(placed(Came::LastHolding)),
        }
    }
    give_reasons(&mut queue, holders);
    queue
}

/// Moves somebody ahead of each one that would have no reason to wait otherwise.
fn give_reasons(queue: &mut Vec<Placed<'_>>, holders: &[(NodeIndex, LockMode)]) {
    let held = Held::by(holders);
    let mut ahead = Modes::default();
    let mut place = 0;
    // Each is moved at most once, and only forward.
    while let Some(entry) = queue.get(place) {
        let has_reason = |other: &Placed<'_>| {
            ahead.conflict_with(other.request.mode) || held.is_in_the_way_of(other)
        };
        if !has_reason(entry)
            && let Some(from) = likeliest(queue, place, has_reason)
        {
            let moved = queue.remove(from).moved();
            queue.insert(place, moved);
        } else {
            ahead.add(entry.request.mode);
            place += 1;
        }
    }
}

/// Finds who stands ahead of the one at `place`, of those that seem to stand behind it.
fn likeliest(
    queue: &[Placed<'_>],
    place: usize,
    has_reason: impl Fn(&Placed<'_>) -> bool,
) -> Option<usize> {
    let entry = &queue[place];
    let behind = (place + 1..queue.len()).filter(|&at| {
        let other = &queue[at];
        other.node != entry.node
            && other.request.mode.conflicts_with(entry.request.mode)
            && !matches!(other.came, Came::Deduced)
    });
    // The least sure order is the one that is wrong; of several, whoever came first.
    behind.min_by_key(|&at| {
        let unlikely = match entry.is_ahead_of(&queue[at]) {
            Certainty::NearTie => 0,
            Certainty::Unknown => 1,
            Certainty::Sure => 2,
        };
        (!has_reason(&queue[at]), unlikely, at)
    })
}

/// Which modes there are, as bits.
#[derive(Clone, Copy, Debug, Default)]
struct Modes(u16);

impl Modes {
    fn add(&mut self, mode: LockMode) {
        self.0 |= 1 << mode as u16;
    }

    fn conflict_with(self, mode: LockMode) -> bool {
        let mut modes = LockMode::ALL.into_iter();
        modes.any(|other| self.0 & (1 << other as u16) != 0 && other.conflicts_with(mode))
    }
}

/// Which modes are held, and by how many of whom.
#[derive(Debug, Default)]
struct Held {
    by: HashMap<NodeIndex, Modes>,
    /// By anybody, by more than one.
    once: Modes,
    twice: Modes,
}

impl Held {
    fn by(holders: &[(NodeIndex, LockMode)]) -> Self {
        let mut held = Self::default();
        for &(node, mode) in holders {
            let own = held.by.entry(node).or_default();
            let bit = 1 << mode as u16;
            if own.0 & bit == 0 {
                held.twice.0 |= held.once.0 & bit;
                held.once.0 |= bit;
                own.0 |= bit;
            }
        }
        held
    }

    /// Tells whether anybody else holds what conflicts with a request. In extending a table the
    /// members of one lock group are in each other's way too.
    fn is_in_the_way_of(&self, entry: &Placed<'_>) -> bool {
        let mut others = self.once;
        if &*entry.request.target.locktype != "extend"
            && let Some(own) = self.by.get(&entry.node)
        {
            others.0 &= !own.0 | self.twice.0;
        }
        others.conflict_with(entry.request.mode)
    }
}

impl Placed<'_> {
    /// Marks it as not standing where it came.
    pub(super) fn moved(self) -> Self {
        Self {
            came: Came::Deduced,
            ..self
        }
    }

    /// Tells how sure it is that this entry stands ahead of one further back in its queue.
    pub(super) fn is_ahead_of(&self, later: &Self) -> Certainty {
        let (Some(own), Some(other)) = (self.since, later.since) else {
            return Certainty::Unknown;
        };
        match (self.came, later.came) {
            (Came::Deduced, _) | (_, Came::Deduced) => Certainty::Unknown,
            // Whoever holds something and came later may have gone ahead.
            (_, Came::LastHolding | Came::Ahead(..)) if own < other => Certainty::Unknown,
            _ if own < other => apart(own, other),
            (Came::Ahead(passed, Some(since)), _) => {
                if std::ptr::eq(passed, later.request) {
                    apart(since, own)
                } else if since <= other {
                    apart(since, own).max(apart(since, other))
                } else {
                    // It went ahead of one that itself had gone ahead of the later one.
                    Certainty::Unknown
                }
            }
            (Came::Ahead(_, None), _) => Certainty::Unknown,
            (Came::Last | Came::LastHolding, _) => apart(other, own),
        }
    }
}

fn apart(first: Timestamp, then: Timestamp) -> Certainty {
    if then.since(first) < NEAR {
        Certainty::NearTie
    } else {
        Certainty::Sure
    }
}

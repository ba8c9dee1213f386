//! In which order a lock is granted, and how sure that order is.
//!
//! The server does not show its queues. The order is rebuilt from the start of each
//! wait and from one rule: who already holds something that conflicts with an earlier
//! request goes before it (`JoinWaitQueue` in `src/backend/storage/lmgr/proc.c`).
//!
//! - What rests on two starts of waits further apart than [`NEAR`] is *sure*, unless a
//!   deadlock through the queue would follow: that one the server has dissolved by
//!   another order, or is about to.
//! - Nothing here reads more than one queue.

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

/// A waiting entry in its place.
#[derive(Clone, Copy, Debug)]
pub(super) struct Queued<'a> {
    pub(super) node: NodeIndex,
    pub(super) request: &'a Lock,
    /// When its wait began; none where the server does not say.
    pub(super) since: Option<Timestamp>,
    came: Came,
    /// For each mode, the last entry ahead that asks for it.
    nearest: [Option<u32>; LockMode::ALL.len()],
    /// For each mode, how many entries ahead ask for it.
    ahead: [u32; LockMode::ALL.len()],
}

/// How an entry came to its place.
#[derive(Clone, Copy, Debug)]
enum Came {
    /// It joined at the end.
    Last,
    /// It joined at the end though it holds something on the target: had it held that
    /// against somebody who has left since, it would have gone ahead.
    LastHolding,
    /// It went ahead of one that had begun to wait then.
    Ahead(Option<Timestamp>),
}

/// Those who wait for one target, in the order in which they are granted it.
#[derive(Debug)]
pub(super) struct Queue<'a>(Vec<Queued<'a>>);

impl<'a> Queue<'a> {
    /// Puts requests in order; each comes with the start of its wait.
    pub(super) fn of(
        mut requests: Vec<(NodeIndex, &'a Lock, Option<Timestamp>)>,
        holders: &[(NodeIndex, LockMode)],
    ) -> Self {
        // Who shows no start yet has only just begun to wait.
        requests.sort_by_key(|&(_, request, since)| (since.is_none(), since, request.pid));
        let mut holding: HashMap<NodeIndex, Vec<LockMode>> = HashMap::new();
        for &(node, mode) in holders {
            holding.entry(node).or_default().push(mode);
        }
        let mut queue: Vec<Queued<'a>> = Vec::with_capacity(requests.len());
        for (node, request, since) in requests {
            let entry = |came| Queued {
                node,
                request,
                since,
                came,
                nearest: [None; LockMode::ALL.len()],
                ahead: [0; LockMode::ALL.len()],
            };
            let Some(held) = holding.get(&node) else {
                queue.push(entry(Came::Last));
                continue;
            };
            let first = queue.iter().position(|earlier| {
                held.iter()
                    .any(|mode| mode.conflicts_with(earlier.request.mode))
            });
            match first {
                Some(place) => queue.insert(place, entry(Came::Ahead(queue[place].since))),
                None => queue.push(entry(Came::LastHolding)),
            }
        }
        let mut nearest = [None; LockMode::ALL.len()];
        let mut ahead = [0; LockMode::ALL.len()];
        for (place, entry) in (0_u32..).zip(&mut queue) {
            (entry.nearest, entry.ahead) = (nearest, ahead);
            let mode = entry.request.mode as usize;
            nearest[mode] = Some(place);
            ahead[mode] += 1;
        }
        Self(queue)
    }

    /// Gives the entries, first come first.
    pub(super) fn entries(&self) -> &[Queued<'a>] {
        &self.0
    }

    /// Gives the entries ahead of `place` whose request conflicts with the one there, in order.
    pub(super) fn conflicting(&self, place: usize) -> impl Iterator<Item = &Queued<'a>> {
        let mode = self.0[place].request.mode;
        self.0[..place]
            .iter()
            .filter(move |earlier| earlier.request.mode.conflicts_with(mode))
    }

    /// Gives, for each mode that conflicts with the request at `place`, the entries ahead that
    /// ask for it, the last one first.
    pub(super) fn backwards(
        &self,
        place: usize,
    ) -> impl Iterator<Item = impl Iterator<Item = &Queued<'a>>> {
        let own = &self.0[place];
        LockMode::ALL
            .into_iter()
            .filter(|mode| mode.conflicts_with(own.request.mode))
            .map(move |mode| {
                let next = move |entry: &&Queued<'a>| self.nearest(entry, mode);
                std::iter::successors(self.nearest(own, mode), next)
            })
    }

    fn nearest(&self, entry: &Queued<'a>, mode: LockMode) -> Option<&Queued<'a>> {
        self.0.get(entry.nearest[mode as usize]? as usize)
    }

    /// Counts the entries ahead of `place` whose request conflicts with the one there.
    pub(super) fn ahead(&self, place: usize) -> usize {
        let own = &self.0[place];
        LockMode::ALL
            .into_iter()
            .filter(|mode| mode.conflicts_with(own.request.mode))
            .map(|mode| own.ahead[mode as usize] as usize)
            .sum()
    }
}

impl Queued<'_> {
    /// Tells how sure it is that this entry stands ahead of one further back in its queue.
    pub(super) fn is_ahead_of(&self, later: &Self) -> Certainty {
        let (Some(own), Some(other)) = (self.since, later.since) else {
            return Certainty::Unknown;
        };
        if matches!(later.came, Came::LastHolding) {
            return Certainty::Unknown;
        }
        if own < other {
            return apart(own, other);
        }
        match self.came {
            Came::Ahead(Some(of)) => apart(of, own),
            Came::Ahead(None) => Certainty::Unknown,
            Came::Last | Came::LastHolding => apart(other, own),
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

//! Those who wait for one target, in order, so that who stands ahead of whom is found quickly.
//!
//! Nothing here reads more than one queue.

use petgraph::graph::NodeIndex;

use super::order::{Certainty, Placed, arrange};
use crate::pg::LockMode;
use crate::sample::Lock;
use crate::time::Timestamp;

/// An entry with what stands ahead of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Queued<'a> {
    pub(super) node: NodeIndex,
    pub(super) request: &'a Lock,
    placed: Placed<'a>,
    /// For each mode, the last entry ahead that asks for it.
    nearest: [Option<u32>; LockMode::ALL.len()],
    /// For each mode, how many entries ahead ask for it.
    ahead: [u32; LockMode::ALL.len()],
}

/// Those who wait for one target, in the order in which they are granted it.
#[derive(Debug)]
pub(super) struct Queue<'a>(Vec<Queued<'a>>);

impl<'a> Queue<'a> {
    /// Puts requests in order; each comes with the start of its wait.
    pub(super) fn of(
        requests: Vec<(NodeIndex, &'a Lock, Option<Timestamp>)>,
        holders: &[(NodeIndex, LockMode)],
    ) -> Self {
        Self::counted(arrange(requests, holders).into_iter())
    }

    /// Puts the entries in another order, given as the places that they have now.
    pub(super) fn put(&self, order: &[usize]) -> Self {
        let mut lowest_behind = usize::MAX;
        let mut placed: Vec<Placed<'a>> = Vec::with_capacity(order.len());
        for &place in order.iter().rev() {
            let entry = self.0[place].placed;
            let has_passed_somebody = lowest_behind < place;
            placed.push(if has_passed_somebody {
                entry.moved()
            } else {
                entry
            });
            lowest_behind = lowest_behind.min(place);
        }
        Self::counted(placed.into_iter().rev())
    }

    fn counted(order: impl Iterator<Item = Placed<'a>>) -> Self {
        let mut nearest = [None; LockMode::ALL.len()];
        let mut ahead = [0; LockMode::ALL.len()];
        let count = |(place, placed): (u32, Placed<'a>)| {
            let queued = Queued {
                node: placed.node,
                request: placed.request,
                placed,
                nearest,
                ahead,
            };
            let mode = placed.request.mode as usize;
            nearest[mode] = Some(place);
            ahead[mode] += 1;
            queued
        };
        Self((0..).zip(order).map(count).collect())
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
    /// Gives when its wait began; none where the server does not say.
    pub(super) fn since(&self) -> Option<Timestamp> {
        self.placed.since
    }

    /// Tells how sure it is that this entry stands ahead of one further back in its queue.
    pub(super) fn is_ahead_of(&self, later: &Self) -> Certainty {
        self.placed.is_ahead_of(&later.placed)
    }
}

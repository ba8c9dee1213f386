//! The order that the server's deadlock detector gives to queues.
//!
//! A wait that leads in a circle through somebody's place in a queue is no deadlock: after
//! `deadlock_timeout` the server puts that queue in another order, says so in its log and nowhere
//! else. What is done here is what it does (`DeadLockCheck` in
//! `src/backend/storage/lmgr/deadlock.c`), for each waiter at the time at which the server did:
//!
//! ```text
//!   3 ──behind──▶ 2 ──▶ 1 ──▶ 3        the queue 2, 3 becomes 3, 2
//! ```
//!
//! Who was there then and has left is not seen any more, so what is found is called unknown. Nor is
//! a timeout that a superuser has set for one session.

use std::cell::Cell;
use std::collections::{HashMap, HashSet};

use petgraph::graph::NodeIndex;

use super::queue::Queued;
use super::{Contended, Wait};
use crate::time::{Span, Timestamp};

/// Circles through more parties are left as they are: a search goes as deep as they are long.
const MOST_MEMBERS: usize = 300;

/// After so many entries looked at it is enough, for all circles together.
const MOST_STEPS: usize = 200_000;

/// Longer queues are left as they are too.
const MOST_IN_QUEUE: usize = 1_000;

/// So many places in queues may be exchanged to dissolve one circle.
const MOST_CONSTRAINTS: usize = 8;

/// An order, as the places that its entries had before.
pub(super) type Order = Vec<usize>;

/// That one party has to stand before another in a queue.
#[derive(Clone, Copy, Debug)]
struct Constraint {
    target: usize,
    before: NodeIndex,
    after: NodeIndex,
}

/// What is known of a configuration of queues.
enum Verdict {
    /// Nobody waits for itself.
    Free,
    /// Somebody does, through these places.
    Soft(Vec<Constraint>),
    /// Somebody does, through what is held, or the queues cannot be put so.
    Hard,
}

/// The waits of one instant, and the queues as far as they have been put in another order.
pub(super) struct Detector<'g, 'a> {
    targets: &'g [Contended<'a>],
    waits: &'g HashMap<NodeIndex, Vec<Wait<'a>>>,
    orders: HashMap<usize, Order>,
    /// Which circle each member is in; no way that leaves it leads back.
    circle_of: HashMap<NodeIndex, usize>,
    steps_left: Cell<usize>,
}

impl<'g, 'a> Detector<'g, 'a> {
    pub(super) fn new(
        targets: &'g [Contended<'a>],
        waits: &'g HashMap<NodeIndex, Vec<Wait<'a>>>,
    ) -> Self {
        Self {
            targets,
            waits,
            orders: HashMap::new(),
            circle_of: HashMap::new(),
            steps_left: Cell::new(MOST_STEPS),
        }
    }

    /// Does for each member of a circle what the server did after `timeout`, if it is over, and
    /// gives the queues that are in another order then, by target.
    pub(super) fn run<'m>(
        mut self,
        circles: impl Iterator<Item = &'m [NodeIndex]>,
        now: Timestamp,
        timeout: Span,
    ) -> HashMap<usize, Order> {
        let circles = circles.filter(|members| members.len() <= MOST_MEMBERS);
        self.circle_of = circles
            .enumerate()
            .flat_map(|(circle, members)| members.iter().map(move |&node| (node, circle)))
            .collect();
        let members = self.circle_of.keys();
        // Each worker of a parallel query looks for itself.
        let mut checks: Vec<(Timestamp, NodeIndex)> = members
            .flat_map(|&node| {
                let waits = self.waits.get(&node).into_iter().flatten();
                waits.map(move |wait| (wait, node))
            })
            .filter_map(|(wait, node)| Some((self.entry_since(wait.target, wait.place)?, node)))
            .filter(|&(since, _)| now.since(since) > timeout)
            .collect();
        checks.sort_unstable();
        for (since, node) in checks {
            self.check(node, since + timeout);
        }
        self.orders
    }

    fn entry_since(&self, target: usize, place: usize) -> Option<Timestamp> {
        self.targets[target].queue.entries()[place].since()
    }

    fn count_steps(&self, steps: usize) {
        let left = self.steps_left.get();
        self.steps_left.set(left.saturating_sub(steps));
    }

    fn check(&mut self, start: NodeIndex, at: Timestamp) {
        let mut constraints = Vec::new();
        if let Some(orders) = self.dissolve(start, at, &mut constraints)
            && orders
                .iter()
                .all(|(&target, order)| self.targets[target].gives_reasons(order))
        {
            self.orders.extend(orders);
        }
    }

    /// Looks for an order in which nobody waits for itself, place by place.
    fn dissolve(
        &self,
        start: NodeIndex,
        at: Timestamp,
        constraints: &mut Vec<Constraint>,
    ) -> Option<HashMap<usize, Order>> {
        let orders = self.with(constraints)?;
        match self.verdict(start, at, &orders, constraints) {
            _ if self.steps_left.get() == 0 => None,
            Verdict::Free => Some(orders),
            Verdict::Hard => None,
            Verdict::Soft(_) if constraints.len() == MOST_CONSTRAINTS => None,
            Verdict::Soft(places) => places.into_iter().find_map(|place| {
                constraints.push(place);
                let found = self.dissolve(start, at, constraints);
                constraints.pop();
                found
            }),
        }
    }

    /// Puts the queues in an order that keeps the constraints; none where there is no such order.
    fn with(&self, constraints: &[Constraint]) -> Option<HashMap<usize, Order>> {
        let targets: HashSet<usize> = constraints.iter().map(|c| c.target).collect();
        let mut orders = HashMap::new();
        for target in targets {
            let length = self.targets[target].queue.entries().len();
            if length > MOST_IN_QUEUE {
                return None;
            }
            // Sorting compares each with each.
            self.count_steps(length * length / 8);
            let usual = || (0..length).collect();
            let order = self.orders.get(&target).cloned().unwrap_or_else(usual);
            let of_target: Vec<Constraint> = constraints
                .iter()
                .copied()
                .filter(|constraint| constraint.target == target)
                .collect();
            let entries = self.targets[target].queue.entries();
            let party = |place: usize| entries[place].node;
            orders.insert(target, sorted(order, &of_target, party)?);
        }
        Some(orders)
    }

    fn verdict(
        &self,
        start: NodeIndex,
        at: Timestamp,
        orders: &HashMap<usize, Order>,
        constraints: &[Constraint],
    ) -> Verdict {
        let moved = constraints.iter().flat_map(|c| [c.before, c.after]);
        let mut verdict = Verdict::Free;
        for from in moved.chain([start]) {
            let mut search = Search {
                detector: self,
                orders,
                at,
                start: from,
                passed: HashSet::new(),
                places: Vec::new(),
            };
            if search.leads_back(from) {
                if search.places.is_empty() {
                    return Verdict::Hard;
                }
                verdict = Verdict::Soft(search.places);
            }
        }
        verdict
    }
}

/// A walk from one party along everybody in its way.
struct Search<'s, 'g, 'a> {
    detector: &'s Detector<'g, 'a>,
    orders: &'s HashMap<usize, Order>,
    /// Who began to wait later is not there yet.
    at: Timestamp,
    start: NodeIndex,
    passed: HashSet<NodeIndex>,
    /// The places in queues by which the way led back, as what would have to change.
    places: Vec<Constraint>,
}

impl Search<'_, '_, '_> {
    fn leads_back(&mut self, node: NodeIndex) -> bool {
        let circle_of = &self.detector.circle_of;
        if self.detector.steps_left.get() == 0 || circle_of.get(&node) != circle_of.get(&self.start)
        {
            return false;
        }
        if !self.passed.insert(node) {
            return node == self.start;
        }
        let detector = self.detector;
        for wait in detector.waits.get(&node).into_iter().flatten() {
            let target = wait.target;
            if !self.is_there(target, wait.place) {
                continue;
            }
            detector.count_steps(1 + wait.hard.len());
            if wait.hard.iter().any(|&holder| self.leads_back(holder)) {
                return true;
            }
            let entries = detector.targets[target].queue.entries();
            let order = self
                .orders
                .get(&target)
                .or_else(|| detector.orders.get(&target));
            for nth in 0..entries.len() {
                let place = order.map_or(nth, |order| order[nth]);
                if place == wait.place {
                    break;
                }
                self.detector.count_steps(1);
                let other = &entries[place];
                if other.node != node
                    && other.request.mode.conflicts_with(wait.request.mode)
                    && self.is_there(target, place)
                    && self.leads_back(other.node)
                {
                    self.places.push(Constraint {
                        target,
                        before: node,
                        after: other.node,
                    });
                    return true;
                }
            }
        }
        false
    }

    fn is_there(&self, target: usize, place: usize) -> bool {
        let since = self.detector.entry_since(target, place);
        since.is_some_and(|since| since <= self.at)
    }
}

impl Contended<'_> {
    /// Tells whether in this order everybody in the queue has somebody in its way.
    fn gives_reasons(&self, order: &Order) -> bool {
        let entries = self.queue.entries();
        order.iter().enumerate().all(|(nth, &place)| {
            let Queued { node, request, .. } = entries[place];
            let ahead = order[..nth]
                .iter()
                .map(|&place| entries[place].request.mode);
            let held = self.holders.iter().filter(|&&(holder, _)| holder != node);
            ahead
                .chain(held.map(|&(_, mode)| mode))
                .any(|mode| mode.conflicts_with(request.mode))
        })
    }
}

/// Puts an order so that the constraints hold, moving as few as possible, the last place first;
/// the members of a lock group come to stand side by side.
fn sorted(
    mut order: Order,
    constraints: &[Constraint],
    party: impl Fn(usize) -> NodeIndex,
) -> Option<Order> {
    let mut sorted = Vec::with_capacity(order.len());
    while !order.is_empty() {
        let is_left = |node: NodeIndex| order.iter().any(|&place| party(place) == node);
        let may_come_last = |&place: &usize| {
            let mut own = constraints.iter().filter(|c| c.before == party(place));
            !own.any(|c| is_left(c.after))
        };
        let last = party(order[order.iter().rposition(may_come_last)?]);
        sorted.extend(order.extract_if(.., |place| party(*place) == last));
    }
    sorted.reverse();
    Some(sorted)
}

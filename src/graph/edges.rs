//! Every edge of the graph, one waiter at a time or all at once.
//!
//! The graph itself keeps the edges that carry blame. The rest, soft edges of those who have
//! hard ones too, is of the size of the queues squared and is made when asked for.

use petgraph::graph::NodeIndex;

use super::order::Certainty;
use super::queue::Queued;
use super::reach::Reach;
use super::{Wait, WaitGraph};

/// Somebody ahead in the queue with a conflicting request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Soft {
    /// Who.
    pub node: NodeIndex,
    /// How sure it is that it stands ahead.
    pub certainty: Certainty,
}

/// So many requests ahead share the blame for a wait.
const MOST_BLAMED: usize = 32;

impl<'a> WaitGraph<'a> {
    /// Gives those on whom a wait without a holder in its way is blamed: who is surely ahead with
    /// a conflicting request; of more than [`MOST_BLAMED`] the nearest of each mode.
    ///
    /// Where nobody is sure to be, whoever stands first is: for somebody it has to wait.
    pub(super) fn blamed(&self, wait: &Wait<'_>) -> Vec<NodeIndex> {
        self.blamed_softly(wait)
            .into_iter()
            .map(|soft| soft.node)
            .collect()
    }

    /// Gives the same, each with how sure it is that it stands ahead.
    #[must_use]
    pub fn blamed_softly(&self, wait: &Wait<'_>) -> Vec<Soft> {
        let queue = &self.targets[wait.target].queue;
        let own = &queue.entries()[wait.place];
        let most = if queue.ahead(wait.place) <= MOST_BLAMED {
            usize::MAX
        } else {
            1
        };
        let is_sure = |entry: &&Queued<'_>| {
            entry.node != own.node && entry.is_ahead_of(own) == Certainty::Sure
        };
        let modes = queue.backwards(wait.place);
        let soft = |entry: &Queued<'_>| Soft {
            node: entry.node,
            certainty: entry.is_ahead_of(own),
        };
        let sure: Vec<Soft> = modes
            .flat_map(|back| back.filter(is_sure).take(most))
            .map(soft)
            .collect();
        if sure.is_empty() {
            let ahead = queue.conflicting(wait.place);
            ahead
                .filter(|entry| entry.node != own.node)
                .take(1)
                .map(soft)
                .collect()
        } else {
            sure
        }
    }

    /// Gives who is ahead in a wait's queue with a conflicting request, holders among them.
    pub(super) fn ahead<'s>(
        &'s self,
        wait: &Wait<'_>,
    ) -> impl Iterator<Item = NodeIndex> + use<'s, 'a> {
        let queue = &self.targets[wait.target].queue;
        let waiter = queue.entries()[wait.place].node;
        queue
            .conflicting(wait.place)
            .map(|entry| entry.node)
            .filter(move |&node| node != waiter)
    }

    /// Lists those who are ahead in the queue with a conflicting request and hold nothing
    /// that conflicts, each once, by node.
    #[must_use]
    pub fn soft(&self, wait: &Wait<'_>) -> Vec<Soft> {
        let queue = &self.targets[wait.target].queue;
        self.softly(wait, queue.conflicting(wait.place))
    }

    /// Lists what [`soft`](Self::soft) lists where that is no more than `most`; else, for each
    /// mode in the way, the last who asks for it.
    #[must_use]
    pub fn nearest_soft(&self, wait: &Wait<'_>, most: usize) -> Vec<Soft> {
        let queue = &self.targets[wait.target].queue;
        if queue.ahead(wait.place) <= most {
            return self.soft(wait);
        }
        let own = queue.entries()[wait.place].node;
        let is_soft = |node: NodeIndex| node != own && wait.hard.binary_search(&node).is_err();
        let nearest = queue
            .backwards(wait.place)
            .filter_map(|mut back| back.find(|entry| is_soft(entry.node)));
        self.softly(wait, nearest)
    }

    /// Counts the requests ahead in the queue that conflict with a wait's.
    #[must_use]
    pub fn requests_ahead(&self, wait: &Wait<'_>) -> usize {
        self.targets[wait.target].queue.ahead(wait.place)
    }

    fn softly<'q>(&self, wait: &Wait<'_>, ahead: impl Iterator<Item = &'q Queued<'a>>) -> Vec<Soft>
    where
        'a: 'q,
    {
        let own = &self.targets[wait.target].queue.entries()[wait.place];
        let mut soft: Vec<Soft> = ahead
            .filter(|entry| entry.node != own.node)
            .filter(|entry| wait.hard.binary_search(&entry.node).is_err())
            .map(|entry| Soft {
                node: entry.node,
                // A deadlock through a queue is one that the server dissolves by another order.
                certainty: if self.reach().are_in_one_cycle(own.node, entry.node) {
                    Certainty::Unknown
                } else {
                    entry.is_ahead_of(own)
                },
            })
            .collect();
        // Of several requests of one lock group the surest counts.
        soft.sort_unstable();
        soft.dedup_by_key(|soft| soft.node);
        soft
    }

    /// Draws every edge there is, once.
    pub(super) fn reach(&self) -> &Reach {
        self.reach.get_or_init(|| {
            let targets = self
                .targets
                .iter()
                .map(|target| (&target.queue, &target.holders[..]));
            let snapshot_waits = self.snapshot_waits.iter().flat_map(|(&waiter, blockers)| {
                blockers.iter().map(move |&blocker| (waiter, blocker))
            });
            Reach::of(self.graph.node_count(), targets, snapshot_waits)
        })
    }

    /// Lists those who wait for each other, soft edges included, cycle by cycle.
    pub fn cycles(&self) -> impl Iterator<Item = &[NodeIndex]> {
        self.reach().cycles()
    }

    /// Counts for each node, by its index, who stands behind it, directly or through others.
    #[must_use]
    pub fn behind(&self) -> Vec<usize> {
        self.reach().behind()
    }

    /// Counts for each node, by its index, who would go on at once if it were gone: those who
    /// wait for nobody else.
    #[must_use]
    pub fn freed(&self) -> Vec<usize> {
        let mut freed = vec![0; self.graph.node_count()];
        for node in self.graph.node_indices() {
            let locks = self.waits(node).iter().flat_map(|wait| {
                let hard = wait.hard.iter().copied();
                hard.chain(self.ahead(wait))
            });
            let mut blockers = locks.chain(self.snapshot_waits(node).iter().copied());
            if let Some(first) = blockers.next()
                && blockers.all(|blocker| blocker == first)
            {
                freed[first.index()] += 1;
            }
        }
        freed
    }
}

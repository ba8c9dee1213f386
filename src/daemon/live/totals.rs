//! Where the time of every tick went, summed since the daemon began.
//!
//! At each tick every active session stands for the tick's span, as in a diagnosis: a wait for a
//! lock goes to the roots of its chain, in shares that sum to it, everything else to its class.

use std::collections::BTreeMap;
use std::sync::Arc;

use petgraph::graph::NodeIndex;

use crate::attribution::{Class, is_victim};
use crate::graph::view::Vocabulary;
use crate::graph::{Party, WaitGraph};
use crate::sample::{Session, Snapshot};
use crate::time::Span;

use super::series::Series;

/// So many series of waits a server has at most.
const WAITS: usize = 200;
/// A label is at most so long, in characters; a table's name can have 127.
const LABEL: usize = 128;

/// Who was in the way of a wait.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Blocker {
    /// A session of this system.
    System(Arc<str>),
    /// A session that no rule names.
    Unnamed,
    /// A prepared transaction, by the role that owns it.
    Prepared(Option<Arc<str>>),
    /// Nobody who was seen.
    Unseen,
}

/// What waits are summed by.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct WaitKey {
    /// `row-lock`, `relation-lock`, … as in a diagnosis.
    pub class: &'static str,
    /// `schema.table`; none where it is not known, or there is none.
    pub table: Option<Arc<str>>,
    /// Who was in the way.
    pub blocker: Blocker,
}

/// How things stand at the last tick.
#[derive(Clone, Copy, Debug, Default)]
pub struct Now {
    /// Sessions with a statement under way.
    pub active: usize,
    /// Those of them that wait for a lock.
    pub blocked: usize,
    /// The longest of those waits.
    pub longest: Option<Span>,
}

/// Sums since the daemon began.
#[derive(Clone, Debug)]
pub struct Totals {
    /// Ticks taken.
    pub ticks: u64,
    /// Ticks that were due and not taken.
    pub missed: u64,
    /// Elapsed on the server while it looked for us.
    pub looking: Span,
    /// The time that the ticks stand for.
    pub watched: Span,
    /// DB time by class.
    pub db_time: BTreeMap<&'static str, Span>,
    /// Seconds waited for locks.
    pub waits: Series<WaitKey>,
    /// The last tick.
    pub now: Now,
}

impl Default for Totals {
    fn default() -> Self {
        Self {
            ticks: 0,
            missed: 0,
            looking: Span::ZERO,
            watched: Span::ZERO,
            db_time: BTreeMap::new(),
            waits: Series::new(WAITS),
            now: Now::default(),
        }
    }
}

impl Totals {
    /// Adds a tick.
    pub(super) fn take(&mut self, snapshot: &Snapshot, charges: Charges) {
        let tick = snapshot.tick;
        self.ticks += 1;
        self.missed += u64::from(tick.missed);
        self.looking += tick.server;
        self.watched += tick.span;
        self.now = charges.now;
        if tick.span == Span::ZERO {
            // It only looked closer, and stands for no time.
            return;
        }
        for class in charges.sessions {
            *self.db_time.entry(class).or_default() += tick.span;
        }
        for (key, share) in charges.waits {
            let seconds = tick.span.as_secs_f64() * share;
            self.waits.add(key, seconds, tick.at);
        }
    }
}

/// What one tick brings.
#[derive(Debug, Default)]
pub(super) struct Charges {
    /// The class of every active session.
    sessions: Vec<&'static str>,
    /// Shares of blocked sessions.
    waits: Vec<(WaitKey, f64)>,
    now: Now,
}

/// Charges a tick's sessions.
pub(super) fn charges(snapshot: &Snapshot, words: Vocabulary<'_>) -> Charges {
    let mut charges = Charges::default();
    let graph = std::cell::OnceCell::new();
    for session in snapshot.sessions.iter().filter(|s| is_victim(s)) {
        charges.now.active += 1;
        let activity = Class::of_activity(session);
        let awaits_lock = session.wait_event_type.as_deref() == Some("Lock");
        if !awaits_lock && activity != Class::SafeSnapshot {
            charges.sessions.push(activity.name());
            continue;
        }
        charges.now.blocked += 1;
        // Most ticks of most servers see no wait, and need no graph.
        let graph = graph.get_or_init(|| WaitGraph::of(snapshot));
        let class = blocked(session, graph, awaits_lock, words, &mut charges);
        charges.sessions.push(class.name());
    }
    charges
}

/// Charges one blocked session to the roots of its wait, and gives the wait's own class.
fn blocked(
    session: &Session,
    graph: &WaitGraph<'_>,
    awaits_lock: bool,
    words: Vocabulary<'_>,
    charges: &mut Charges,
) -> Class {
    let waits = |node: &NodeIndex| {
        if awaits_lock {
            !graph.waits(*node).is_empty()
        } else {
            !graph.snapshot_waits(*node).is_empty()
        }
    };
    let Some(node) = graph.find(session.pid).filter(waits) else {
        let event = session.wait_event.as_deref().unwrap_or_default();
        let class = if awaits_lock {
            Class::of_lock(event, false)
        } else {
            Class::SafeSnapshot
        };
        let key = WaitKey {
            class: class.name(),
            table: None,
            blocker: Blocker::Unseen,
        };
        charges.waits.push((key, 1.0));
        return class;
    };
    charges.now.longest = charges.now.longest.max(graph.waiting(node));
    let wait = graph.waits(node).first().filter(|_| awaits_lock);
    let class = wait.map_or(Class::SafeSnapshot, |wait| {
        Class::of_lock(&wait.request.target.locktype, wait.hard.is_empty())
    });
    let table = wait
        .and_then(|wait| graph.table(node, wait, words.names, words.statements))
        .map(|table| label(&table.topmost.unwrap_or(table.name)));
    for &(root, share) in graph.blame(node).iter() {
        let (class, blocker) = in_the_way(graph, root, class, words);
        let key = WaitKey {
            class: class.name(),
            table: table.clone(),
            blocker,
        };
        charges.waits.push((key, share));
    }
    class
}

/// Tells who a root is, and what that makes of the wait's class.
fn in_the_way(
    graph: &WaitGraph<'_>,
    root: NodeIndex,
    class: Class,
    words: Vocabulary<'_>,
) -> (Class, Blocker) {
    let system = || match graph.session(root) {
        None => Blocker::Unseen,
        Some(session) => match words.naming.name(session, words.names) {
            Some(name) => Blocker::System(label(&name)),
            None => Blocker::Unnamed,
        },
    };
    match graph.party(root) {
        _ if graph.is_in_cycle(root) => (Class::Deadlock, system()),
        // It waits, and what for was not seen.
        _ if !graph.waits(root).is_empty() => (class, Blocker::Unseen),
        Party::Prepared(_) => {
            let owner = graph.prepared(root).map(|prepared| prepared.owner);
            let owner = owner.and_then(|owner| words.names.role(owner));
            (
                Class::PreparedTransaction,
                Blocker::Prepared(owner.map(label)),
            )
        }
        Party::Backend(_) => (class, system()),
        Party::Unlisted(_) => (class, Blocker::Unseen),
    }
}

/// Bounds a name that will be a label, and takes out of it what is not to be seen.
fn label(name: &Arc<str>) -> Arc<str> {
    let is_plain = |c: char| !c.is_control();
    if name.len() <= LABEL && name.chars().all(is_plain) {
        return Arc::clone(name);
    }
    let cut = name.chars().take(LABEL);
    cut.map(|c| if is_plain(c) { c } else { '\u{fffd}' })
        .collect::<String>()
        .into()
}

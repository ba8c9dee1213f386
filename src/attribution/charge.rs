//! Where every sampled second of every victim went.
//!
//! At each tick every active session stands for the tick's span. A session that
//! waits for a heavyweight lock is charged to the roots of its chain at that
//! instant, with why the root was not finished; any other wait is charged to its
//! class, and has no holder. Each span lands in exactly one victim and its parts
//! sum to it, so charges may be added up without counting a microsecond twice.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

use petgraph::graph::NodeIndex;

use crate::attribution::cause::{Cell, Class, InTheWay, Why};
use crate::attribution::history::History;
use crate::attribution::interned::Interned;
use crate::connect::APPLICATION_NAME;
use crate::graph::episode::{Episode, Episodes};
use crate::graph::view::Vocabulary;
use crate::graph::{Basis, Party, Table, WaitGraph, Wanted};
use crate::names::{Names, Statements};
use crate::pg::{LockMode, Oid};
use crate::recording::Recording;
use crate::sample::{Session, Snapshot, State};
use crate::statement::StatementId;
use crate::system::Naming;
use crate::time::{Span, Timestamp};

/// A system by its number in [`Charges::systems`].
pub(super) type SystemId = u32;

/// Whose latency: a statement in a database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct VictimKey {
    pub(super) database: Option<Oid>,
    pub(super) statement: Option<StatementId>,
}

/// A part of one session's span at one tick.
#[derive(Clone, Debug)]
pub(super) struct Charge {
    /// The place of the tick, or of the minute, among the looks.
    pub(super) tick: usize,
    /// The place of the session among those of the tick; none in a minute.
    pub(super) row: Option<u32>,
    pub(super) victim: u32,
    pub(super) system: Option<SystemId>,
    pub(super) cell: u32,
    /// Seconds; the parts of one span sum to it.
    pub(super) seconds: f64,
    /// For lock waits: what the root was doing, and what it ran.
    pub(super) why: Option<Arc<Why>>,
    /// For lock waits: the lock asked for.
    pub(super) lock: Option<(Arc<str>, LockMode)>,
    /// For lock waits with a table: how the table is known.
    pub(super) basis: Option<Basis>,
    /// How long the wait had lasted, in whole milliseconds.
    pub(super) waited: Option<Span>,
    /// In how many ticks it was seen: one, where it is not what remains of a minute.
    pub(super) ticks: u32,
}

/// One tick, or a minute of ticks that are gone, as far as later steps need it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Look {
    pub(super) at: Timestamp,
    /// The end of a minute; a tick's own time.
    pub(super) until: Timestamp,
    pub(super) ticks: u32,
    pub(super) span: Span,
    /// From when to when that is.
    pub(super) stretch: [Timestamp; 2],
    /// How long the server took.
    pub(super) server: Span,
    /// Sessions waiting for a heavyweight lock.
    pub(super) blocked: usize,
}

/// What a prepared transaction does, all the time.
const PREPARED: &str = "prepared";

/// All charges of a recording, and what their numbers mean.
#[derive(Debug, Default)]
pub(super) struct Charges {
    pub(super) looks: Vec<Look>,
    pub(super) systems: Interned<Arc<str>>,
    pub(super) victims: Interned<VictimKey>,
    pub(super) cells: Interned<Cell>,
    pub(super) all: Vec<Charge>,
}

/// What turns rows into charges.
pub(super) struct Charger<'a> {
    pub(super) naming: &'a Naming,
    pub(super) names: &'a Names,
    pub(super) statements: &'a Statements,
    pub(super) history: &'a History,
}

impl Charger<'_> {
    /// Charges every span of a recording, what remains of minutes without samples first, and tells
    /// what went on as episodes.
    pub(super) fn charge(&self, recording: &Recording) -> (Charges, Vec<Episode>) {
        let mut charges = Charges::of_minutes(recording);
        let mut episodes = Episodes::default();
        for snapshot in &recording.snapshots {
            let graph = self.tick(&mut charges, snapshot);
            episodes.look(snapshot.tick, &graph.chains(self.words()));
        }
        (charges, episodes.finish())
    }

    /// Gives the words for what it charges.
    pub(super) fn words(&self) -> Vocabulary<'_> {
        Vocabulary {
            naming: self.naming,
            names: self.names,
            statements: self.statements,
        }
    }

    /// Charges the spans of one tick.
    pub(super) fn tick<'s>(&self, charges: &mut Charges, snapshot: &'s Snapshot) -> WaitGraph<'s> {
        let graph = WaitGraph::of(snapshot);
        let tick = charges.looks.len();
        let mut blocked = 0;
        let rows = (0_u32..).zip(&snapshot.sessions);
        for (row, session) in rows.filter(|(_, session)| is_victim(session)) {
            let victim = VictimKey {
                database: session.database,
                statement: session.statement,
            };
            let system = self.system(charges, session);
            let victim = charges.victims.number(victim);
            let seconds = snapshot.tick.span.as_secs_f64();
            let charge = |cell, share: f64| Charge {
                tick,
                row: Some(row),
                victim,
                system,
                cell,
                seconds: seconds * share,
                why: None,
                lock: None,
                basis: None,
                waited: None,
                ticks: 1,
            };
            let awaits_lock = session.wait_event_type.as_deref() == Some("Lock");
            let activity = Class::of_activity(session);
            if !awaits_lock && activity != Class::SafeSnapshot {
                let cell = charges.cells.number(Cell::without_holder(activity));
                charges.all.push(charge(cell, 1.0));
                continue;
            }
            blocked += 1;
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
                    activity
                };
                let cell = charges.cells.number(Cell::unseen(class));
                charges.all.push(charge(cell, 1.0));
                continue;
            };
            // A wait for a safe snapshot is for no lock.
            let wait = graph.waits(node).first().filter(|_| awaits_lock);
            let class = wait.map_or(activity, |wait| {
                Class::of_lock(&wait.request.target.locktype, wait.hard.is_empty())
            });
            let table = wait.and_then(|wait| graph.table(node, wait, self.names, self.statements));
            let lost = charge(0, 1.0);
            for &(root, share) in graph.blame(node).iter() {
                let chain = Chain::of(self, &graph, node, root, table.as_ref());
                let cell = self.cell(charges, &graph, class, root, &chain);
                charges.all.push(Charge {
                    cell: charges.cells.number(cell),
                    seconds: lost.seconds * share,
                    why: self.why(&graph, root, &chain).map(Arc::new),
                    lock: wait.map(|wait| {
                        let target = &wait.request.target;
                        (Arc::clone(&target.locktype), wait.request.mode)
                    }),
                    basis: table.as_ref().map(|table| table.basis),
                    waited: graph.waiting(node).map(whole_milliseconds),
                    ..lost.clone()
                });
            }
        }
        let Snapshot { tick, .. } = snapshot;
        charges.looks.push(Look {
            at: tick.at,
            until: tick.at,
            ticks: 1,
            span: tick.span,
            stretch: tick.stretch(),
            server: tick.server,
            blocked,
        });
        graph
    }

    /// Gives the cell that a wait's share on one root belongs in.
    fn cell(
        &self,
        charges: &mut Charges,
        graph: &WaitGraph<'_>,
        class: Class,
        root: NodeIndex,
        chain: &Chain<'_>,
    ) -> Cell {
        let mut system = || match graph.session(root) {
            Some(session) => InTheWay::System(self.system(charges, session)),
            None => InTheWay::Unseen,
        };
        let (class, blocker) = match graph.party(root) {
            _ if graph.is_in_cycle(root) => (Class::Deadlock, system()),
            // It waits, and what for was not seen.
            _ if !graph.waits(root).is_empty() => (class, InTheWay::Unseen),
            Party::Prepared(gid) => {
                let owner = graph
                    .prepared(root)
                    .and_then(|prepared| self.names.role(prepared.owner));
                let (gid, owner) = (Arc::clone(gid), owner.cloned());
                (
                    Class::PreparedTransaction,
                    InTheWay::Prepared { gid, owner },
                )
            }
            Party::Backend(_) => (class, system()),
            Party::Unlisted(_) => (class, InTheWay::Unseen),
        };
        Cell {
            class,
            table: chain.table.clone(),
            blocker,
            held: chain.held.clone(),
        }
    }

    fn system(&self, charges: &mut Charges, session: &Session) -> Option<SystemId> {
        let name = self.naming.name(session, self.names)?;
        Some(charges.systems.number(name))
    }

    /// Tells what the root was doing, what it ran, and who stood between.
    fn why(&self, graph: &WaitGraph<'_>, root: NodeIndex, chain: &Chain<'_>) -> Option<Why> {
        let through = chain
            .between
            .map(|session| (self.naming.name(session, self.names), session.statement));
        if let Party::Prepared(_) = graph.party(root) {
            return Some(Why {
                state: PREPARED,
                statement: None,
                through,
            });
        }
        let session = graph.session(root)?;
        let wanted = chain.wanted;
        let statement =
            self.history
                .took(session, wanted, self.naming, self.names, self.statements);
        Some(Why {
            state: why_unfinished(session),
            statement,
            through,
        })
    }
}

/// How a wait leads to one of its roots.
struct Chain<'a> {
    /// What the waiter waits for.
    table: Option<Arc<str>>,
    /// What the root holds, where that is another table.
    held: Option<Arc<str>>,
    /// Who stands in between and makes a difference: a gate, or who waits for another table.
    between: Option<&'a Session>,
    /// What the root itself stands in the way of.
    wanted: Wanted,
}

impl<'a> Chain<'a> {
    fn of(
        charger: &Charger<'_>,
        graph: &WaitGraph<'a>,
        node: NodeIndex,
        root: NodeIndex,
        table: Option<&Table>,
    ) -> Self {
        let table = table.map(|table| Arc::clone(&table.name));
        let last = graph.last_hop(node, root).unwrap_or(node);
        let wait = graph.waits(last).first();
        let held = wait
            .filter(|_| last != node)
            .and_then(|wait| graph.table(last, wait, charger.names, charger.statements))
            .map(|table| table.name)
            .filter(|held| Some(held) != table.as_ref());
        let differs = last != node && (held.is_some() || is_gate(graph, last));
        Self {
            table,
            held,
            between: graph.session(last).filter(|_| differs),
            wanted: wait.map_or(Wanted::UNKNOWN, |wait| {
                graph.wanted(last, wait, charger.names, charger.statements)
            }),
        }
    }
}

/// Tells whether a waiter asks for a whole table so strongly that others queue behind it.
fn is_gate(graph: &WaitGraph<'_>, node: petgraph::graph::NodeIndex) -> bool {
    graph.waits(node).iter().any(|wait| {
        &*wait.request.target.locktype == "relation" && wait.request.mode > LockMode::RowExclusive
    })
}

/// Rounds up to what anybody wants to know of the longest wait; what is below it is noise, and most of
/// what a charge takes on disk.
const fn whole_milliseconds(span: Span) -> Span {
    let begun = span.as_micros().rem_euclid(1_000);
    let more = if begun == 0 { 0 } else { 1_000 - begun };
    Span::from_micros(span.as_micros().saturating_add(more))
}

/// Tells whether a session's time is somebody's latency.
pub(crate) fn is_victim(session: &Session) -> bool {
    session.is_client()
        && session.state.is_active()
        && &*session.application_name != APPLICATION_NAME
}

/// Tells whether a session's time is being lost to a heavyweight lock.
pub(crate) fn is_blocked(session: &Session) -> bool {
    is_victim(session) && session.wait_event_type.as_deref() == Some("Lock")
}

/// Says why a root has not let go: the words of `state` in the JSON contract.
fn why_unfinished(session: &Session) -> &'static str {
    if !session.state.is_active() {
        return session.state.name();
    }
    // In a circle, where nobody is a root.
    if session.wait_event_type.as_deref() == Some("Lock") {
        return "active (lock)";
    }
    match Class::of_activity(session) {
        Class::OwnWork => "active",
        Class::Wal => "active (wal)",
        Class::Io => "active (io)",
        Class::LwLock => "active (lwlock)",
        Class::SyncReplication => "active (sync-replication)",
        Class::Client => "active (client)",
        _ => OTHERWISE_ACTIVE,
    }
}

const OTHERWISE_ACTIVE: &str = "active (other)";

/// Reads a word that [`why_unfinished`] gave.
pub(super) fn known_state(name: &str) -> &'static str {
    let active = [
        "active",
        "active (wal)",
        "active (io)",
        "active (lock)",
        "active (lwlock)",
        "active (sync-replication)",
        "active (client)",
        PREPARED,
    ];
    let known = active.into_iter().find(|known| *known == name);
    known.unwrap_or_else(|| match State::from_name(name) {
        State::Hidden if name != State::Hidden.name() => OTHERWISE_ACTIVE,
        state => state.name(),
    })
}

/// Sums of seconds by a key.
pub(super) fn tally<K: Ord + Hash>(pairs: impl Iterator<Item = (K, f64)>) -> Vec<(K, f64)> {
    let mut sums: HashMap<K, f64> = HashMap::new();
    for (key, seconds) in pairs {
        *sums.entry(key).or_default() += seconds;
    }
    let mut sums: Vec<_> = sums.into_iter().collect();
    sums.sort_by(|a, b| b.1.total_cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    sums
}

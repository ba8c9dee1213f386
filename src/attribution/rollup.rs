//! Charges as the ticks come in, and their sums by the minute.
//!
//! ```text
//!  tick ─▶ graph ─▶ charges, edges ─▶ recording
//!                      └─ summed by account ─▶ a minute's cells ─▶ recording
//! ```
//! What is charged to whom is what [`diagnose`](super::diagnose) charges; only the statement
//! with which a blocker took its lock is judged by what was seen until then. What is remembered
//! has bounds, however long it goes on.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use petgraph::graph::NodeIndex;

use crate::attribution::cause::{Class, InTheWay, Why};
use crate::attribution::charge::{self, Charger, Charges, Look, VictimKey, known_state};
use crate::attribution::history::History;
use crate::graph::view::Vocabulary;
use crate::graph::{Basis, Party, WaitGraph};
use crate::pg::{Oid, QueryId};
use crate::recording::{Account, Cells, Charge, Edge, Minute, Recording, RolledUp};
use crate::sample::{Counters, Snapshot, StatementCounters};
use crate::time::{Span, Timestamp};

/// What one tick adds to the samples.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Charged {
    /// Whose time went where, in order of the accounts.
    pub charges: Vec<Charge>,
    /// Who stood in whose way.
    pub edges: Vec<Edge>,
    /// The minutes before, if this is the first tick of another.
    pub over: Vec<RolledUp>,
}

/// So many cells of a minute tell statements apart, and as many again systems and tables.
const MOST_CELLS: usize = 4_000;

/// A minute ends without a look at the counters where none came for so many minutes.
const LATE: i64 = 2;

/// Charges ticks as they come in.
#[derive(Debug, Default)]
pub struct Rollup {
    history: History,
    summed: Option<Summed>,
    /// A minute that is over; the next tick still tells how much of its end was watched.
    ended: Option<Summed>,
    /// Whether the counters were looked at, so that minutes end with such looks.
    counts: bool,
}

/// The sums of a minute.
#[derive(Debug)]
struct Summed {
    minute: Minute,
    /// Whether its end is known.
    ended: bool,
    /// Until when it is covered.
    covered_to: Timestamp,
    cells: Cells,
    counters: BTreeMap<(Oid, QueryId), StatementCounters>,
}

impl Rollup {
    /// Charges a tick's time; ticks come in order of time.
    pub fn look(&mut self, snapshot: &Snapshot, words: Vocabulary<'_>) -> Charged {
        let Vocabulary {
            naming,
            names,
            statements,
        } = words;
        let tick = &snapshot.tick;
        self.history.see(snapshot, naming, names);
        let charger = Charger {
            naming,
            names,
            statements,
            history: &self.history,
        };
        let mut charges = Charges::default();
        let graph = charger.tick(&mut charges, snapshot);
        let edges = edges(&graph, tick.at, words);
        let rows = rows(&charges, tick.at);
        self.history.forget(snapshot);
        let late = if self.counts { LATE } else { 1 };
        let before = self.turn(tick.at, late);
        let mut over: Vec<RolledUp> = before.map(Summed::roll).into_iter().collect();
        let stretch = tick.stretch();
        if let Some(mut ended) = self.ended.take() {
            ended.cover(stretch);
            over.push(ended.roll());
        }
        let summed = self.summed(tick.at);
        summed.cover(stretch);
        let blocked = charges.looks.first().map_or(0, |look| look.blocked);
        summed.minute.count(tick, blocked);
        for row in &rows {
            summed.cells.add(row);
        }
        Charged {
            charges: rows,
            edges,
            over,
        }
    }

    /// Takes note of a look at the counters, with which a minute may end; gives the minute before
    /// that, if no tick has come since.
    pub fn count(&mut self, counters: &Counters) -> Option<RolledUp> {
        self.counts = true;
        let summed = self.summed(counters.at);
        summed.minute.counted = Some(counters.at);
        for row in &counters.rows {
            // Its fractions would take more room than all the rest; that it fell is seen without.
            let row = StatementCounters {
                at: counters.at,
                exec_ms: row.exec_ms.floor(),
                ..*row
            };
            summed.counters.insert((row.database, row.query_id), row);
        }
        self.turn(counters.at, 1).map(Summed::roll)
    }

    /// Gives what was summed of the minute that is not over, of which `at` is the end.
    pub fn finish(&mut self, at: Timestamp) -> Vec<RolledUp> {
        let before = self.ended.take();
        let last = self.summed.take().map(|mut summed| {
            summed.end(at);
            summed
        });
        before.into_iter().chain(last).map(Summed::roll).collect()
    }

    /// Ends the minute if so many have turned since it began, or the clock was put back; gives
    /// the one that had ended before.
    fn turn(&mut self, at: Timestamp, turns: i64) -> Option<Summed> {
        let is_over =
            |summed: &mut Summed| summed.minute.turns(at) >= turns || at < summed.minute.at;
        let mut over = self.summed.take_if(is_over)?;
        let beyond = over.end(at);
        self.summed(at).minute.watched_us = beyond;
        self.ended.replace(over)
    }

    fn summed(&mut self, at: Timestamp) -> &mut Summed {
        self.summed.get_or_insert_with(|| Summed {
            minute: Minute::starting(at),
            ended: false,
            covered_to: at,
            cells: Cells::of_at_most(MOST_CELLS),
            counters: BTreeMap::new(),
        })
    }
}

impl Summed {
    /// Takes note that a stretch of time was watched.
    fn cover(&mut self, [from, to]: [Timestamp; 2]) {
        let from = from.max(self.minute.at);
        let to = if self.ended {
            to.min(self.minute.until)
        } else {
            to
        };
        if to > from {
            self.minute.watched_us += to.since(from);
            self.covered_to = to;
        }
    }

    /// Ends it; gives how much beyond its end was watched already.
    fn end(&mut self, until: Timestamp) -> Span {
        self.ended = true;
        self.minute.until = until.max(self.minute.at);
        let beyond = self.covered_to.since(self.minute.until).max(Span::ZERO);
        let watched = self.minute.watched_us.as_micros() - beyond.as_micros();
        self.minute.watched_us = Span::from_micros(watched.max(0));
        beyond
    }

    fn roll(self) -> RolledUp {
        RolledUp {
            minute: self.minute,
            cells: self.cells.at(self.minute.at),
            counters: self.counters.into_values().collect(),
        }
    }
}

/// Sums the charges of a tick by account.
///
/// Shares of a span are fractions of microseconds; each sum is rounded so that all of them
/// together come to what was charged.
///
/// A look that stands for no time spends none.
fn rows(charges: &Charges, at: Timestamp) -> Vec<Charge> {
    if charges.looks.iter().all(|look| look.span == Span::ZERO) {
        return Vec::new();
    }
    let mut sums: BTreeMap<Account, (f64, Option<Span>)> = BTreeMap::new();
    for charge in &charges.all {
        let (seconds, waited) = sums.entry(account(charges, charge)).or_default();
        *seconds += charge.seconds;
        *waited = (*waited).max(charge.waited);
    }
    let (mut exact, mut told) = (0.0, 0);
    let row = |(account, (seconds, waited_us)): (Account, (f64, Option<Span>))| {
        exact += seconds * 1e6;
        #[expect(
            clippy::cast_possible_truncation,
            reason = "sessions times a tick's span"
        )]
        let spent = exact.round() as i64 - told;
        told += spent;
        Charge {
            at,
            account: Arc::new(account),
            spent_us: Span::from_micros(spent),
            ticks: 1,
            waited_us,
        }
    };
    sums.into_iter().map(row).collect()
}

/// Words what a charge is summed by.
fn account(charges: &Charges, charge: &charge::Charge) -> Account {
    let victim = charges.victims.get(charge.victim);
    let cell = charges.cells.get(charge.cell);
    let system = |number: Option<u32>| number.map(|n| Arc::clone(charges.systems.get(n)));
    let (blocker, blocker_system, blocker_gid) = match &cell.blocker {
        InTheWay::Nobody => ("nobody", None, None),
        InTheWay::Unseen | InTheWay::Many => ("unseen", None, None),
        InTheWay::System(number) => ("system", system(*number), None),
        InTheWay::Prepared { gid, owner } => ("prepared", owner.clone(), Some(Arc::clone(gid))),
    };
    let why = charge.why.as_ref();
    let took = why.and_then(|why| why.statement);
    let through = why.and_then(|why| why.through.clone());
    let (lock_type, lock_mode) = charge.lock.clone().unzip();
    let (through_system, through_statement) = through.unwrap_or_default();
    Account {
        database: victim.database,
        statement: victim.statement,
        system: system(charge.system),
        class: cell.class.name().into(),
        table_name: cell.table.clone(),
        held_table: cell.held.clone(),
        basis: charge.basis.map(|basis| basis.name().into()),
        lock_type,
        lock_mode,
        blocker: blocker.into(),
        blocker_system,
        blocker_gid,
        blocker_state: why.map(|why| why.state.into()),
        blocker_statement: took.map(|(statement, _)| statement),
        blocker_basis: took.map(|(_, basis)| basis.name().into()),
        through_system,
        through_statement,
    }
}

/// Lists the edges of a graph that carry blame.
fn edges(graph: &WaitGraph<'_>, at: Timestamp, words: Vocabulary<'_>) -> Vec<Edge> {
    let mut edges = Vec::new();
    for waiter in graph.parties() {
        let Party::Backend(pid) = graph.party(waiter) else {
            continue;
        };
        let edge = |blocker: NodeIndex, kind: &str| {
            let (pid_in_way, gid, owner) = match graph.party(blocker) {
                Party::Backend(pid) => (Some(*pid), None, None),
                Party::Prepared(gid) => (None, Some(Arc::clone(gid)), None),
                Party::Unlisted(owner) => (None, None, Some(Arc::clone(owner))),
            };
            Edge {
                at,
                waiter: *pid,
                blocker: pid_in_way,
                gid,
                owner,
                kind: kind.into(),
                certainty: None,
                lock_type: None,
                lock_mode: None,
                table_name: None,
            }
        };
        for wait in graph.waits(waiter) {
            let table = graph.table(waiter, wait, words.names, words.statements);
            let told = |edge: Edge| Edge {
                lock_type: Some(Arc::clone(&wait.request.target.locktype)),
                lock_mode: Some(wait.request.mode),
                table_name: table.as_ref().map(|table| Arc::clone(&table.name)),
                ..edge
            };
            edges.extend(wait.hard.iter().map(|&node| told(edge(node, "hard"))));
            if wait.hard.is_empty() {
                edges.extend(graph.blamed_softly(wait).into_iter().map(|soft| Edge {
                    certainty: Some(soft.certainty.name().into()),
                    ..told(edge(soft.node, "soft"))
                }));
            }
        }
        let snapshot_waits = graph.snapshot_waits(waiter).iter();
        edges.extend(snapshot_waits.map(|&node| edge(node, "snapshot")));
    }
    edges.sort_unstable();
    edges
}

impl Charges {
    /// Takes in the minutes of a recording whose samples are gone.
    pub(super) fn of_minutes(recording: &Recording) -> Self {
        let mut charges = Self::default();
        let cells = recording.minutes.iter().map(|rolled| rolled.cells.len());
        charges.all.reserve_exact(cells.sum());
        // Cells share their accounts: each is read once.
        let mut known: HashMap<*const Account, charge::Charge> = HashMap::new();
        for RolledUp { minute, cells, .. } in &recording.minutes {
            let tick = charges.looks.len();
            charges.looks.push(Look {
                at: minute.at,
                until: minute.until,
                ticks: minute.ticks,
                span: minute.span_us,
                stretch: [minute.at, minute.at + minute.watched_us],
                server: minute.server_us,
                blocked: minute.blocked as usize,
            });
            for cell in cells {
                let place = Arc::as_ptr(&cell.account);
                let alike = known.entry(place);
                let alike = alike.or_insert_with(|| charges.of_account(&cell.account));
                charges.all.push(charge::Charge {
                    tick,
                    seconds: cell.spent_us.as_secs_f64(),
                    waited: cell.waited_us,
                    ticks: cell.ticks,
                    ..alike.clone()
                });
            }
        }
        charges
    }

    /// Gives what all charges of an account have in common.
    fn of_account(&mut self, account: &Account) -> charge::Charge {
        let system = |charges: &mut Self, name: &Option<Arc<str>>| {
            Some(charges.systems.number(name.clone()?))
        };
        let blocker = match &*account.blocker {
            "nobody" => InTheWay::Nobody,
            "system" => InTheWay::System(system(self, &account.blocker_system)),
            "prepared" => InTheWay::Prepared {
                gid: account.blocker_gid.clone().unwrap_or_default(),
                owner: account.blocker_system.clone(),
            },
            _ => InTheWay::Unseen,
        };
        let basis = |name: &Option<Arc<str>>| name.as_deref().map(Basis::from_name);
        let through = (account.through_system.clone(), account.through_statement);
        let why = account.blocker_state.as_ref().map(|state| Why {
            state: known_state(state),
            statement: account.blocker_statement.zip(basis(&account.blocker_basis)),
            through: (through != (None, None)).then_some(through),
        });
        charge::Charge {
            tick: 0,
            row: None,
            victim: self.victims.number(VictimKey {
                database: account.database,
                statement: account.statement,
            }),
            system: system(self, &account.system),
            cell: self.cells.number(super::cause::Cell {
                class: Class::from_name(&account.class),
                table: account.table_name.clone(),
                blocker,
                held: account.held_table.clone(),
            }),
            seconds: 0.0,
            why: why.map(Arc::new),
            lock: account.lock_type.clone().zip(account.lock_mode),
            basis: basis(&account.basis),
            waited: None,
            ticks: 0,
        }
    }
}

//! Where the time of every tick went, summed since the daemon began.
//!
//! The charges are those that go into the recording, and the sums are theirs to the microsecond.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::attribution::is_victim;
use crate::pg::Pid;
use crate::recording::{Account, Charge};
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
    pub class: Arc<str>,
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
    pub db_time: BTreeMap<Arc<str>, Span>,
    /// Time waited for locks.
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
    /// Counts a tick.
    pub(super) fn look(&mut self, snapshot: &Snapshot) {
        let tick = snapshot.tick;
        self.ticks += 1;
        self.missed += u64::from(tick.missed);
        self.looking += tick.server;
        self.watched += tick.span;
        self.now = Now::of(snapshot);
    }

    /// Adds what a tick's time was spent on.
    pub(super) fn charged(&mut self, charges: &[Charge]) {
        for Charge {
            at,
            account,
            spent_us,
            ..
        } in charges
        {
            let class = Arc::clone(&account.class);
            *self.db_time.entry(class).or_default() += *spent_us;
            if let Some(key) = WaitKey::of(account) {
                self.waits.add(key, *spent_us, *at);
            }
        }
    }
}

impl Now {
    fn of(snapshot: &Snapshot) -> Self {
        let mut now = Self::default();
        let mut waits: HashMap<Pid, &Session> = HashMap::new();
        let at = snapshot.tick.at;
        for session in snapshot.sessions.iter().filter(|s| is_victim(s)) {
            now.active += 1;
            if session.wait_event_type.as_deref() == Some("Lock") {
                waits.insert(session.pid, session);
            } else if session.wait_event.as_deref() == Some("SafeSnapshot") {
                // The first thing that its statement does.
                let waited = session.query_start.map(|since| at.since(since));
                now.longest = now.longest.max(waited);
                now.blocked += 1;
            }
        }
        now.blocked += waits.len();
        for lock in snapshot.locks.iter().filter(|lock| !lock.granted) {
            let session = lock.pid.and_then(|pid| waits.get(&pid));
            let began = session.map(|session| session.query_start.max(session.xact_start));
            // It may hold the value of an earlier wait.
            let since = lock
                .waitstart
                .filter(|since| began.is_some_and(|b| b <= Some(*since)));
            now.longest = now.longest.max(since.map(|since| at.since(since)));
        }
        now
    }
}

impl WaitKey {
    /// Tells what a charge counts under; none where it is for no lock.
    fn of(account: &Account) -> Option<Self> {
        let system = account.blocker_system.as_ref().map(label);
        let blocker = match (&*account.blocker, system) {
            ("nobody", _) => return None,
            ("system", Some(system)) => Blocker::System(system),
            ("system", None) => Blocker::Unnamed,
            ("prepared", owner) => Blocker::Prepared(owner),
            _ => Blocker::Unseen,
        };
        Some(Self {
            class: Arc::clone(&account.class),
            table: account.table_name.as_ref().map(label),
            blocker,
        })
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

//! Old snapshots that keep dead rows alive, and make others read more.
//!
//! ```text
//!  reporting  ──[ select ]────────── idle in transaction ──────────────▶
//!                   └ row versions that it may need are not removed …
//!  intake     ──[update][update][update][update][update][update]──────▶
//!  decision   ──[select]────[ select ]─────[    select    ]───────────▶
//!                                └ … so that others touch more blocks for the same rows
//! ```
//! No lock says so, and nobody waits. What is held against each other is what a call of the victim
//! touches, how many dead rows a table of its holds, and who holds the oldest horizon. All three have
//! to fit, so it is *inferred*, and never more than *supported*.
//!
//! Nothing here does I/O or reads a clock, and nothing can fail.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::attribution::cause::Class;
use crate::attribution::charge::VictimKey;
use crate::attribution::growth::{Comparison, GrowthPart};
use crate::attribution::usage::Work;
use crate::attribution::window::Window;
use crate::names::{Names, Statements};
use crate::pg::{Oid, Pid};
use crate::recording::Recording;
use crate::sample::{Horizon, Session, TableCounters};
use crate::statement::TableUse;
use crate::system::Naming;
use crate::time::{Span, Timestamp};

/// A call touches more where its blocks grew by so much, and by so many, …
const MORE: f64 = 1.5;
const MORE_BLOCKS: f64 = 2.0;
/// … and does the same where its rows did not grow by so much.
const SAME_ROWS: f64 = 1.2;
/// Dead rows are many from so many on, if they were half as many before at the most.
const MANY: i64 = 1_000;
/// A horizon is old that is held for so long, …
const HELD: Span = Span::from_secs(5);
/// … while so many transactions began, …
const AGE: i64 = 100;
/// … and that is so much older than the next one.
const OLDER: i64 = 2;

/// Whose old snapshot keeps the dead rows of which table.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Kept {
    pub(super) table: Arc<str>,
    pub(super) system: Option<Arc<str>>,
    /// Of a prepared transaction its name.
    pub(super) gid: Option<Arc<str>>,
    /// What it is, or does meanwhile.
    pub(super) state: &'static str,
}

/// What was seen of horizons and of dead rows.
#[derive(Clone, Copy)]
pub(super) struct Horizons<'a> {
    pub(super) recording: &'a Recording,
    pub(super) naming: &'a Naming,
    pub(super) names: &'a Names,
    pub(super) statements: &'a Statements,
}

/// What makes a horizon the same one at the next look.
type Holder<'a> = (&'a str, Option<Pid>, Option<&'a str>);

impl<'a> Horizons<'a> {
    /// Lays what a victim's own work grew by to whose old snapshot makes for it.
    pub(super) fn lay(&self, comparison: &mut Comparison, victim: &VictimKey) {
        let windows = comparison.before.as_ref().zip(comparison.work);
        let kept = windows.and_then(|((before, _), work)| {
            self.keeps(victim, work, [before, &comparison.after.0])
        });
        let own = |part: &&mut GrowthPart| {
            let is_own = matches!(part.cell.class, Class::OwnWork | Class::Io);
            is_own && part.apportioned.is_none() && part.estimate.value > 0.0
        };
        for part in comparison.parts.iter_mut().filter(own) {
            part.kept.clone_from(&kept);
        }
    }

    /// Finds who makes a victim read dead rows, from what its calls did in two windows; none where
    /// that is not what grew, or nobody stands out.
    pub(super) fn keeps(
        &self,
        victim: &VictimKey,
        (before, after): (Work, Work),
        windows: [&Window; 2],
    ) -> Option<Kept> {
        if before.calls <= 0.0 || after.calls <= 0.0 {
            return None;
        }
        let (before, after) = (before.per(before.calls), after.per(after.calls));
        let reads_more =
            after.blocks >= MORE * before.blocks && after.blocks - before.blocks >= MORE_BLOCKS;
        let same_rows = after.rows <= SAME_ROWS * before.rows.max(1.0);
        if !reads_more || !same_rows {
            return None;
        }
        let (database, statement) = (victim.database?, victim.statement?);
        let tables = &self.statements.get(statement)?.tables;
        let tables = tables.iter().filter_map(|used| self.table(database, used));
        let grown = tables.filter_map(|table| {
            let dead = windows.map(|window| self.dead_rows(database, table, window.to));
            let (was, is) = (dead[0]?, dead[1]?);
            (is >= MANY && is >= 2 * was).then_some((is, table))
        });
        let (_, table) = grown.max()?;
        let holder = self.oldest(database, windows[1])?;
        let name = self.names.table(database, table)?;
        Some(self.kept(Arc::clone(name), holder))
    }

    /// Finds the table that a statement means; none where several are called so.
    fn table(&self, database: Oid, used: &TableUse) -> Option<Oid> {
        let mut called = self
            .names
            .called(database, used.schema.as_deref(), &used.name);
        called.next().filter(|_| called.next().is_none())
    }

    /// Tells how many dead rows a table had last, as far as was seen until then.
    fn dead_rows(&self, database: Oid, table: Oid, until: Timestamp) -> Option<i64> {
        let is_it = |row: &&TableCounters| {
            (row.database, row.table) == (database, table) && row.at <= until
        };
        let rows = self.recording.surroundings.tables.iter().filter(is_it);
        rows.max_by_key(|row| row.at).map(|row| row.dead_rows)
    }

    /// Finds who held the oldest horizon at most looks in a window, and at the last one was far older
    /// than anybody else.
    fn oldest(&self, database: Oid, window: &Window) -> Option<&'a Horizon> {
        let mut looks: BTreeMap<Timestamp, Vec<&Horizon>> = BTreeMap::new();
        let counts = |row: &&Horizon| {
            // Who has no database holds back all of them.
            let here = row.database.is_none_or(|at| at == database);
            // Whose snapshot was taken while an old transaction runs is as old as that for a moment.
            let held = row.since.is_none_or(|since| row.at.since(since) >= HELD);
            here && held && window.contains(row.at) && self.is_somebodys(row)
        };
        for row in self.recording.surroundings.horizons.iter().filter(counts) {
            looks.entry(row.at).or_default().push(row);
        }
        let oldest = |rows: &Vec<&'a Horizon>| rows.iter().copied().max_by_key(|row| row.age);
        let last = looks.values().next_back()?;
        let holder = oldest(last)?;
        let same = looks
            .values()
            .filter(|rows| oldest(rows).is_some_and(|row| identity(row) == identity(holder)));
        let others = last.iter().filter(|row| identity(row) != identity(holder));
        let next = others.map(|row| row.age).max().unwrap_or(0);
        let mostly = 2 * same.count() > looks.len();
        (mostly && holder.age >= AGE && holder.age >= OLDER * next).then_some(holder)
    }

    /// Tells whether a horizon has an owner: a vacuum's own holds back nobody.
    fn is_somebodys(&self, horizon: &Horizon) -> bool {
        &*horizon.kind != "backend" || self.session(horizon).is_some()
    }

    /// Finds the session that holds a horizon, as it was seen about then.
    fn session(&self, horizon: &Horizon) -> Option<&'a Session> {
        let snapshots = &self.recording.snapshots;
        let then = snapshots.partition_point(|snapshot| snapshot.tick.at <= horizon.at);
        let is_it = |session: &&Session| Some(session.pid) == horizon.pid && session.is_client();
        let near = snapshots[..then].iter().rev().take(NEAR);
        let near = near.chain(snapshots[then..].iter().take(NEAR));
        near.flat_map(|snapshot| &snapshot.sessions).find(is_it)
    }

    fn kept(&self, table: Arc<str>, holder: &Horizon) -> Kept {
        let owner = holder.owner.clone().filter(|owner| !owner.is_empty());
        let (system, gid, state) = match &*holder.kind {
            "prepared" => (None, owner, "prepared"),
            "slot" => (owner, None, "replication slot"),
            "standby" => (owner, None, "standby"),
            _ => {
                let session = self.session(holder);
                let system = session.and_then(|session| self.naming.name(session, self.names));
                let state = session.map_or("active", |session| session.state.name());
                (system.or(owner), None, state)
            }
        };
        Kept {
            table,
            system,
            gid,
            state,
        }
    }
}

/// A session that holds a horizon is seen at each look; so many about the time are enough.
const NEAR: usize = 20;

fn identity(horizon: &Horizon) -> Holder<'_> {
    (&horizon.kind, horizon.pid, horizon.owner.as_deref())
}

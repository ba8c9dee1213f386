//! Names of relations in other databases, asked for beside the watch.
//!
//! - A database is asked through a short connection of its own, in a task of its own:
//!   no look waits for it. The answer is picked up at a later look.
//! - There is one such connection at a time, and one attempt per [`PACE`] over all
//!   databases together, less after refusals: a storm does not come from us.
//! - Nor do we add to one: nothing begins before a look finds the server calm, and what is
//!   under way when a look does not is given up until then. What is still owed when the watch
//!   ends is asked for after its own connection is closed.
//! - A database that refuses a few times is left alone for good.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Bound::{Excluded, Unbounded};
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use super::naming::{Naming, Relation};
use super::pause::Pause;
use crate::connect::Target;
use crate::pg::Oid;
use crate::query;
use crate::sample::Name;

/// From the end of one attempt to the next.
const PACE: Duration = Duration::from_secs(5);

/// How long an attempt may take, connection included.
const PATIENCE: Duration = Duration::from_secs(5);

/// So many refusals are enough.
const REFUSALS: u32 = 3;

/// So many relations of a database may wait to be asked for.
const MOST_WANTED: usize = 1_000;

/// … in so many databases; those with the highest oids are left out, and asked when seen again.
const MOST_DATABASES: usize = 100;

/// What is asked of other databases, and what is yet to be.
#[derive(Debug)]
pub(super) struct Elsewhere {
    target: Option<Target>,
    /// Whether the last look found nobody waiting for a lock and did not take long itself.
    is_calm: bool,
    pause: Pause,
    wanted: BTreeMap<Oid, BTreeSet<Relation>>,
    refusals: HashMap<Oid, u32>,
    /// The database that was asked last: the next one after it comes next.
    last: Oid,
    asking: Option<Asking>,
}

/// An attempt under way; it ends with the value.
#[derive(Debug)]
struct Asking {
    at: Oid,
    relations: BTreeSet<Relation>,
    task: JoinHandle<Option<Vec<Row>>>,
}

impl Drop for Asking {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What came of an attempt.
#[derive(Debug)]
pub(super) struct Answer {
    relations: BTreeSet<Relation>,
    /// None where the database let nobody in, or gave no answer.
    rows: Option<Vec<Row>>,
}

impl Answer {
    /// Gives the names that another database told; `None` where it told none.
    pub(super) fn names(&self, naming: &mut Naming) -> Option<Vec<Name>> {
        let nothing = BTreeSet::new();
        let asked = (&nothing, &nothing, &self.relations);
        naming.take(self.rows.as_deref()?, asked).ok()
    }
}

impl Elsewhere {
    /// Gets into other databases as `target` says; without it nothing is ever asked.
    pub(super) fn new(target: Option<Target>) -> Self {
        Self {
            target,
            is_calm: false,
            pause: Pause::new(PACE),
            wanted: BTreeMap::new(),
            refusals: HashMap::new(),
            last: Oid(0),
            asking: None,
        }
    }

    /// Takes note of relations whose names are wanted, by database.
    pub(super) fn want(&mut self, missing: BTreeMap<Oid, BTreeSet<Relation>>) {
        if self.target.is_none() {
            return;
        }
        for (at, relations) in missing {
            if self.refusals.get(&at).is_some_and(|n| *n >= REFUSALS) {
                continue;
            }
            let asked = self.asking.as_ref().map(|asking| &asking.relations);
            let wanted = self.wanted.entry(at).or_default();
            let new = |relation: &Relation| !asked.is_some_and(|asked| asked.contains(relation));
            wanted.extend(relations.into_iter().filter(new).take(MOST_WANTED));
            while wanted.len() > MOST_WANTED {
                wanted.pop_last();
            }
            while self.wanted.len() > MOST_DATABASES {
                self.wanted.pop_last();
            }
        }
    }

    /// Takes note of how a look found the server; in a storm an attempt under way is given up.
    pub(super) fn found(&mut self, is_calm: bool) {
        self.is_calm = is_calm;
        let given_up = self.asking.take_if(|it| !is_calm && !it.task.is_finished());
        if let Some(mut asking) = given_up {
            let relations = std::mem::take(&mut asking.relations);
            self.want(BTreeMap::from([(asking.at, relations)]));
        }
    }

    /// Begins the next attempt, if the server is calm, it is time and there is anything to ask.
    pub(super) fn begin(&mut self, naming: &Naming) {
        if self.is_calm {
            self.begin_anyway(naming);
        }
    }

    fn begin_anyway(&mut self, naming: &Naming) {
        if self.asking.is_some() || !self.pause.is_over(Instant::now()) {
            return;
        }
        let Some(target) = &self.target else { return };
        let nameable = |at: &&Oid| naming.database(**at).is_some();
        let after = self.wanted.range((Excluded(self.last), Unbounded));
        let next = after.chain(&self.wanted).map(|(at, _)| at).find(nameable);
        let Some((at, name)) = next.and_then(|at| Some((*at, naming.database(*at)?))) else {
            return;
        };
        let relations = self.wanted.remove(&at).unwrap_or_default();
        if relations.is_empty() {
            return;
        }
        let oids = relations.iter().map(|(_, oid)| oid.0).collect();
        let attempt = ask(target.for_database(&name), oids);
        let task = async { tokio::time::timeout(PATIENCE, attempt).await.ok().flatten() };
        self.last = at;
        self.asking = Some(Asking {
            at,
            relations,
            task: tokio::spawn(task),
        });
    }

    /// Picks up what has come, without waiting.
    pub(super) async fn arrived(&mut self) -> Option<Answer> {
        if self.asking.as_ref()?.task.is_finished() {
            self.answer(Duration::MAX).await
        } else {
            None
        }
    }

    /// Waits for the attempt under way, `patience` at most; what takes longer is given up.
    pub(super) async fn answer(&mut self, patience: Duration) -> Option<Answer> {
        let mut asking = self.asking.take()?;
        let answer = tokio::time::timeout(patience, &mut asking.task).await;
        let rows = answer.ok().and_then(Result::ok).flatten();
        let relations = std::mem::take(&mut asking.relations);
        if rows.is_some() {
            self.pause.answered(Instant::now());
        } else {
            self.pause.refused(Instant::now());
            let refusals = self.refusals.entry(asking.at).or_default();
            *refusals += 1;
            if *refusals < REFUSALS {
                // Whoever was seen once may not be seen again.
                let wanted = self.wanted.entry(asking.at).or_default();
                wanted.extend(relations.iter().copied());
            } else {
                self.wanted.remove(&asking.at);
            }
        }
        Some(Answer { relations, rows })
    }
}

/// The names that other databases still owe when a watch ends.
#[derive(Debug)]
pub struct Owed {
    pub(super) elsewhere: Elsewhere,
    pub(super) naming: Naming,
}

impl Owed {
    /// Asks for them, those of one database, `patience` at most. `None` where it did not tell.
    ///
    /// To be called when the connection of the watch is closed: this one takes its place, so that
    /// a server in a storm has no more of them.
    pub async fn names(mut self, patience: Duration) -> Option<Vec<Name>> {
        self.elsewhere.begin_anyway(&self.naming);
        match self.elsewhere.answer(patience).await {
            Some(answer) => answer.names(&mut self.naming),
            None => Some(Vec::new()),
        }
    }
}

/// Asks a database for the names of its relations; `None` where that does not work.
async fn ask(target: Target, relations: Vec<u32>) -> Option<Vec<Row>> {
    let session = target.connect().await.ok()?;
    let nothing: Vec<u32> = Vec::new();
    let parameters: [&(dyn ToSql + Sync); 3] = [&nothing, &nothing, &relations];
    let names = query::NAMES.statement();
    let rows = session.client().query(names, &parameters).await;
    session.close().await;
    rows.ok()
}

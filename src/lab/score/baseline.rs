//! What else one could ask: simple methods that every tool has, over the same run.
//!
//! They are told what a person at the screen would know: who the victim is, and when the last
//! arrival began. They see the same samples, counters and names as pgjam, and none says that
//! it does not know.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::Serialize;

use super::judge::{Answer, Said};
use super::log::Logged;
use crate::graph::WaitGraph;
use crate::names::{Names, Statements};
use crate::recording::Recording;
use crate::sample::{Session, Snapshot, StatementCounters};
use crate::statement::StatementId;
use crate::system::Naming;
use crate::time::{Span, Timestamp};

/// Who says something of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Method {
    /// The diagnosis.
    Pgjam,
    /// Whoever was at work, or in a transaction, for most of the time in which the victim was.
    Overlap,
    /// Whose statement goes up and down with the number of active sessions: `PinSQL`'s score of
    /// impact and of calls (Liu et al., ICDE 2022), without its history of other days.
    Correlation,
    /// Whose statement's total time grew most in `pg_stat_statements`.
    TopStatement,
    /// Whom `pg_blocking_pids()` names for the victim's waits: the first hop.
    FirstHop,
    /// Whom the server's log names as holders, with `log_lock_waits`.
    LogHolders,
}

impl Method {
    /// All, pgjam first.
    pub const ALL: [Self; 6] = [
        Self::Pgjam,
        Self::Overlap,
        Self::Correlation,
        Self::TopStatement,
        Self::FirstHop,
        Self::LogHolders,
    ];

    /// Tells whether it says what kind of cause it is.
    #[must_use]
    pub const fn tells_classes(self) -> bool {
        matches!(self, Self::Pgjam | Self::FirstHop | Self::LogHolders)
    }

    /// Tells whether it says through which table.
    #[must_use]
    pub const fn tells_tables(self) -> bool {
        !matches!(self, Self::Overlap)
    }

    /// What it is called in a table.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pgjam => "pgjam",
            Self::Overlap => "overlap in time",
            Self::Correlation => "correlation (PinSQL-like)",
            Self::TopStatement => "top statement by growth",
            Self::FirstHop => "first of pg_blocking_pids",
            Self::LogHolders => "holders in the log",
        }
    }

    /// The same in a word or two.
    #[must_use]
    pub const fn short(self) -> &'static str {
        match self {
            Self::Pgjam => "pgjam",
            Self::Overlap => "overlap",
            Self::Correlation => "correlated",
            Self::TopStatement => "top growth",
            Self::FirstHop => "first hop",
            Self::LogHolders => "log",
        }
    }
}

/// What there is to see of a run.
#[derive(Debug)]
pub struct Watched<'a> {
    pub(super) recording: &'a Recording,
    pub(super) naming: &'a Naming,
    pub(super) names: Names,
    pub(super) statements: Statements,
    log: &'a [Logged],
    /// When the last arrival began.
    event: Timestamp,
    newcomers: BTreeSet<Arc<str>>,
}

/// What a baseline blames: a system, with what else it knows.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Suspect {
    pub(super) system: Arc<str>,
    pub(super) class: Option<&'static str>,
    pub(super) table: Option<Arc<str>>,
}

impl Suspect {
    const fn bare(system: Arc<str>) -> Self {
        Self {
            system,
            class: None,
            table: None,
        }
    }
}

/// Weights, and what they stand for.
type Ranking<K> = BTreeMap<K, f64>;

impl<'a> Watched<'a> {
    /// Takes what was recorded and logged of a run whose last phase began at `event`.
    #[must_use]
    pub fn new(
        recording: &'a Recording,
        naming: &'a Naming,
        log: &'a [Logged],
        event: Timestamp,
    ) -> Self {
        let names = Names::of(&recording.names);
        let mut first: BTreeMap<Arc<str>, Timestamp> = BTreeMap::new();
        for session in recording.snapshots.iter().flat_map(|it| &it.sessions) {
            if let Some(system) = naming.name(session, &names) {
                let began = first.entry(system).or_insert(session.backend_start);
                *began = session.backend_start.min(*began);
            }
        }
        // The clients' clock, by which the phase began, is the server's; a connection takes a while.
        let arrived = first.into_iter().filter(|(_, began)| *began >= event);
        Self {
            newcomers: arrived.map(|(system, _)| system).collect(),
            statements: Statements::of(&recording.statements),
            recording,
            naming,
            names,
            log,
            event,
        }
    }

    /// Gives a baseline's answers, best first.
    pub(super) fn answers(&self, method: Method, victim: &str) -> Vec<Answer> {
        match method {
            Method::Pgjam => Vec::new(),
            Method::Overlap => self.ranked(self.overlap(victim)),
            Method::Correlation => self.ranked(self.correlation(victim)),
            Method::TopStatement => self.ranked(self.top_statement(victim)),
            Method::FirstHop => self.ranked(self.first_hop(victim)),
            Method::LogHolders => self.ranked(self.log_holders()),
        }
    }

    fn ranked(&self, ranking: Ranking<Suspect>) -> Vec<Answer> {
        let mut ranked: Vec<(Suspect, f64)> = ranking
            .into_iter()
            .filter(|(_, weight)| *weight > 0.0)
            .collect();
        ranked.sort_by(|a, b| b.1.total_cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        let answer = |(suspect, _): (Suspect, f64)| Answer {
            class: suspect.class.map(ToOwned::to_owned),
            table: suspect.table.map(|table| table.to_string()),
            event: (self.newcomers.contains(&suspect.system)).then(|| suspect.system.to_string()),
            who: Said::System(suspect.system.to_string()),
            accuses: true,
        };
        ranked.into_iter().map(answer).collect()
    }

    fn system(&self, session: &Session) -> Option<Arc<str>> {
        let known = session
            .is_client()
            .then(|| self.naming.name(session, &self.names));
        known
            .flatten()
            .filter(|name| &**name != crate::connect::APPLICATION_NAME)
    }

    /// Sums what each snapshot says, a second, and gives by how much that grew with the event.
    fn growth<K: Ord>(&self, of: impl Fn(&Snapshot, &mut dyn FnMut(K, f64))) -> Ranking<K> {
        let mut sums: BTreeMap<K, [f64; 2]> = BTreeMap::new();
        let mut seconds = [0.0; 2];
        for snapshot in &self.recording.snapshots {
            let side = usize::from(snapshot.tick.at >= self.event);
            let span = snapshot.tick.span.as_secs_f64();
            seconds[side] += span;
            of(snapshot, &mut |key, weight| {
                sums.entry(key).or_default()[side] += weight * span;
            });
        }
        let per_second = |[before, after]: [f64; 2]| {
            after / seconds[1].max(f64::EPSILON) - before / seconds[0].max(1.0)
        };
        let grown = sums.into_iter().map(|(key, sums)| (key, per_second(sums)));
        grown.collect()
    }

    fn overlap(&self, victim: &str) -> Ranking<Suspect> {
        self.growth(|snapshot, add| {
            let mut there = BTreeSet::new();
            let mut active = 0.0;
            for session in &snapshot.sessions {
                let Some(system) = self.system(session) else {
                    continue;
                };
                if &*system != victim && (session.state.is_active() || session.xact_start.is_some())
                {
                    there.insert(system);
                } else if &*system == victim && session.state.is_active() {
                    active += 1.0;
                }
            }
            for system in there {
                add(Suspect::bare(system), active);
            }
        })
    }

    fn first_hop(&self, victim: &str) -> Ranking<Suspect> {
        self.growth(|snapshot, add| {
            let graph = WaitGraph::of(snapshot);
            for session in &snapshot.sessions {
                if self.system(session).as_deref() != Some(victim) {
                    continue;
                }
                let Some(node) = graph.find(session.pid) else {
                    continue;
                };
                for wait in graph.waits(node) {
                    let soft = graph.soft(wait).into_iter().map(|soft| soft.node);
                    let ahead: Vec<_> = wait.hard.iter().copied().chain(soft).collect();
                    let target = &wait.request.target;
                    // As the view says it: the table only where the lock itself names one.
                    let table = target
                        .relation
                        .and_then(|relation| self.names.table(target.database?, relation).cloned());
                    for blocker in &ahead {
                        let Some(system) = graph.session(*blocker).and_then(|it| self.system(it))
                        else {
                            continue;
                        };
                        let suspect = Suspect {
                            system,
                            class: class_of(&target.locktype),
                            table: table.clone(),
                        };
                        add(suspect, 1.0 / ahead.len() as f64);
                    }
                }
            }
        })
    }

    fn log_holders(&self) -> Ranking<Suspect> {
        let mut ranking = Ranking::new();
        for logged in self.log.iter().filter(|logged| logged.at >= self.event) {
            // The log leaves out the schema, of which the lab has one.
            let told = logged
                .table
                .as_ref()
                .map(|table| format!("pgjam_lab.{table}").into());
            let known = |(relation, database)| self.names.table(database, relation).cloned();
            let table: Option<Arc<str>> = told.or_else(|| logged.relation.and_then(known));
            for holder in &logged.holders {
                let suspect = Suspect {
                    system: Arc::clone(holder),
                    class: class_of(&logged.locktype),
                    table: table.clone(),
                };
                *ranking.entry(suspect).or_default() += 1.0 / logged.holders.len() as f64;
            }
        }
        ranking
    }

    /// Gives by how much each statement's total time grew, a second.
    fn top_statement(&self, victim: &str) -> Ranking<Suspect> {
        let mut grown = Ranking::new();
        for (id, looks) in self.counted() {
            let rate = |from: Timestamp, to: Timestamp| {
                let mut within = looks.iter().filter(|it| from <= it.at && it.at <= to);
                let (first, last) = (within.clone().next()?, within.next_back()?);
                let seconds = last.at.since(first.at).as_secs_f64();
                (seconds > 0.0).then(|| (last.exec_ms - first.exec_ms) / seconds)
            };
            let [start, end] = self.edges();
            let after = rate(self.event, end).unwrap_or_default();
            let before = rate(start, self.event).unwrap_or_default();
            *grown.entry(id).or_default() += after - before;
        }
        self.suspects(&grown, victim)
    }

    /// Ranks statements as `PinSQL` does: by impact, and by how the calls go with the sessions.
    fn correlation(&self, victim: &str) -> Ranking<Suspect> {
        let [start, end] = self.edges();
        let seconds = usize::try_from(end.since(start).as_micros() / 1_000_000).unwrap_or(0) + 1;
        let place = |at: Timestamp| {
            let second = usize::try_from(at.since(start).as_micros() / 1_000_000);
            second.unwrap_or(0).min(seconds - 1)
        };
        let mut all = vec![0.0; seconds];
        let mut sessions: BTreeMap<StatementId, Vec<f64>> = BTreeMap::new();
        for snapshot in &self.recording.snapshots {
            let (second, span) = (place(snapshot.tick.at), snapshot.tick.span.as_secs_f64());
            let clients = snapshot
                .sessions
                .iter()
                .filter(|it| self.system(it).is_some());
            for session in clients.filter(|session| session.state.is_active()) {
                all[second] += span;
                if let Some(id) = session.statement {
                    sessions.entry(id).or_insert_with(|| vec![0.0; seconds])[second] += span;
                }
            }
        }
        let mut calls: BTreeMap<StatementId, Vec<f64>> = BTreeMap::new();
        for (id, looks) in self.counted() {
            let row = calls.entry(id).or_insert_with(|| vec![0.0; seconds]);
            for pair in looks.windows(2) {
                let [from, to] = [place(pair[0].at), place(pair[1].at)];
                let made = pair[1].calls_since(&pair[0]).unwrap_or(0) as f64;
                let over = (to - from).max(1) as f64;
                (from..to.max(from + 1)).for_each(|second| row[second] += made / over);
            }
        }
        let total: f64 = all.iter().sum();
        let mut scores = Ranking::new();
        for (id, active) in &sessions {
            let share: Vec<f64> = (active.iter().zip(&all))
                .map(|(active, all)| if *all > 0.0 { active / all } else { 0.0 })
                .collect();
            let scale = active.iter().sum::<f64>() / total.max(f64::EPSILON);
            let impact = pearson(active, &all) + pearson(&share, &all) + scale;
            let surge = calls.get(id).map_or(0.0, |calls| pearson(calls, &all));
            scores.insert(*id, impact + surge);
        }
        self.suspects(&scores, victim)
    }

    /// Gives who runs each statement most, other than the victim, whom nobody would suspect.
    fn suspects(&self, statements: &Ranking<StatementId>, victim: &str) -> Ranking<Suspect> {
        let mut runs: BTreeMap<StatementId, BTreeMap<Arc<str>, usize>> = BTreeMap::new();
        for session in self.recording.snapshots.iter().flat_map(|it| &it.sessions) {
            if let (Some(id), Some(system)) = (session.statement, self.system(session)) {
                *runs.entry(id).or_default().entry(system).or_default() += 1;
            }
        }
        let mut ranking: Ranking<Suspect> = Ranking::new();
        for (id, weight) in statements {
            let most = runs
                .get(id)
                .and_then(|by| by.iter().max_by_key(|(_, runs)| **runs));
            let Some((system, _)) = most.filter(|(system, _)| &***system != victim) else {
                continue;
            };
            let used = self.statements.get(*id).and_then(|statement| {
                let written = statement.tables.iter().find(|it| it.writes.any());
                written.or(statement.tables.first())
            });
            let table = used.map(|used| match &used.schema {
                Some(schema) => format!("{schema}.{}", used.name).into(),
                None => Arc::clone(&used.name),
            });
            let suspect = Suspect {
                table,
                ..Suspect::bare(Arc::clone(system))
            };
            let known = ranking.entry(suspect).or_insert(f64::MIN);
            *known = known.max(*weight);
        }
        ranking
    }

    /// Lists the looks at each statement's counters.
    fn counted(&self) -> BTreeMap<StatementId, Vec<StatementCounters>> {
        let mut by_query = BTreeMap::new();
        for text in &self.recording.statements {
            if let Some(query_id) = text.query_id {
                by_query.insert(query_id, text.id);
            }
        }
        let mut looks: BTreeMap<StatementId, Vec<StatementCounters>> = BTreeMap::new();
        for row in self.recording.counters.iter().flat_map(|look| &look.rows) {
            if let Some(id) = by_query.get(&row.query_id) {
                looks.entry(*id).or_default().push(*row);
            }
        }
        looks
    }

    fn edges(&self) -> [Timestamp; 2] {
        let ticks = || self.recording.snapshots.iter().map(|it| it.tick.at);
        let [first, last] = [ticks().min(), ticks().max()].map(Option::unwrap_or_default);
        // The counters are looked at once more after the last tick.
        [first - Span::from_secs(3), last + Span::from_secs(3)]
    }
}

/// Names a class by the kind of lock, as far as that tells.
fn class_of(locktype: &str) -> Option<&'static str> {
    match locktype {
        "transactionid" | "tuple" => Some("row-lock"),
        "relation" => Some("relation-lock"),
        "advisory" => Some("advisory-lock"),
        "object" => Some("object-lock"),
        "virtualxid" => Some("virtualxid"),
        "extend" => Some("extend-lock"),
        _ => None,
    }
}

/// Gives Pearson's correlation; zero where one of the two does not move.
fn pearson(a: &[f64], b: &[f64]) -> f64 {
    let n = a.len().min(b.len()) as f64;
    let mean = |row: &[f64]| row.iter().sum::<f64>() / n.max(1.0);
    let (mean_a, mean_b) = (mean(a), mean(b));
    let (mut both, mut of_a, mut of_b) = (0.0, 0.0, 0.0);
    for (a, b) in a.iter().zip(b) {
        both += (a - mean_a) * (b - mean_b);
        of_a += (a - mean_a).powi(2);
        of_b += (b - mean_b).powi(2);
    }
    let scale = (of_a * of_b).sqrt();
    if scale > 0.0 { both / scale } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_together_correlates_and_what_stands_still_does_not() {
        let rises = [1.0, 2.0, 3.0, 4.0];
        assert!((pearson(&rises, &[2.0, 4.0, 6.0, 8.0]) - 1.0).abs() < 1e-9);
        assert!((pearson(&rises, &[4.0, 3.0, 2.0, 1.0]) + 1.0).abs() < 1e-9);
        assert!(pearson(&rises, &[5.0; 4]).abs() < 1e-9);
    }
}

//! What an entry states about locks, in the server's English words.
//!
//! Source: `ProcSleep` in `src/backend/storage/lmgr/proc.c`, `DeadLockReport` in `deadlock.c`,
//! `DescribeLockTag` in `lmgr.c`, `ProcessInterrupts` in `tcop/postgres.c`.

use std::sync::Arc;

use super::record::Record;
use crate::pg::{LockMode, Oid, Pid};
use crate::time::Span;

/// What is locked, as a log line describes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Target {
    /// The word of `pg_locks.locktype`.
    pub locktype: &'static str,
    /// The relation and its database, where it is one, or belongs to one.
    pub relation: Option<(Oid, Oid)>,
    /// A hash of the whole description.
    pub identity: u64,
}

/// Why a statement was cancelled, in the server's words.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reason(pub Arc<str>);

/// How a wait stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// It goes on.
    Still,
    /// It goes on, and the queue is in another order.
    Rearranged,
    /// It has what it waited for.
    Acquired,
    /// It will never have it.
    Failed,
}

/// One statement of the server's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Report {
    Waits {
        stage: Stage,
        mode: LockMode,
        target: Target,
        after: Span,
    },
    Deadlock(Vec<Edge>),
    Cancelled(Reason),
    /// The session was ended.
    Gone,
}

/// Who waits for whom in a deadlock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Edge {
    pub(super) pid: Pid,
    pub(super) mode: LockMode,
    pub(super) target: Target,
    pub(super) blocked_by: Pid,
    /// What it ran, as it stands; cut at `track_activity_query_size`.
    pub(super) statement: Option<String>,
}

/// What came of reading an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reading {
    Report(Report),
    /// It says something of locks, in another language.
    Foreign,
    /// It is about something else.
    Nothing,
}

/// Reads what an entry states.
///
/// A line about a process is believed from that process alone. What a statement had written by
/// `RAISE` is none of the server's.
pub(super) fn read(record: &Record) -> Reading {
    let context = record.context.as_deref().unwrap_or_default();
    if first_line(context).ends_with(" at RAISE") {
        return Reading::Nothing;
    }
    let message = record.message.as_str();
    if let Some((pid, report)) = waits(message) {
        return match record.pid {
            Some(writer) if writer != pid => Reading::Nothing,
            _ => Reading::Report(report),
        };
    }
    let is_state = |state: &str| record.state.as_deref().is_none_or(|told| told == state);
    if message == "deadlock detected" && is_state("40P01") {
        let edges = record.detail.as_deref().map_or_else(Vec::new, edges);
        return Reading::Report(Report::Deadlock(edges));
    }
    if let Some(reason) = message.strip_prefix("canceling statement due to ") {
        // A reason is a few words of the server's own.
        let reason = first_line(reason);
        let is_plain =
            reason.len() <= 80 && reason.bytes().all(|b| b.is_ascii_graphic() || b == b' ');
        return if is_plain {
            Reading::Report(Report::Cancelled(Reason(reason.into())))
        } else {
            Reading::Nothing
        };
    }
    if message.starts_with("terminating connection due to ") {
        return Reading::Report(Report::Gone);
    }
    if message == "canceling autovacuum task" {
        let reason = Reason("autovacuum in somebody's way".into());
        return Reading::Report(Report::Cancelled(reason));
    }
    if is_foreign(record) {
        Reading::Foreign
    } else {
        Reading::Nothing
    }
}

/// Tells whether an entry is about locks in another language: the names of modes, the process's own
/// number and the codes of errors stay as they are.
fn is_foreign(record: &Record) -> bool {
    if matches!(record.state.as_deref(), Some("40P01")) {
        return true;
    }
    let is_statement = ["statement: ", "execute ", "duration: "]
        .iter()
        .any(|begin| record.message.starts_with(begin));
    if is_statement || record.message.starts_with("process ") {
        return false;
    }
    let numbers = || {
        let is_part = |c: char| c.is_ascii_digit() || c == '.' || c == ',';
        record.message.split(move |c| !is_part(c))
    };
    let own = record.pid.map(|pid| pid.to_string());
    let is_own = |word: &str| own.as_ref().is_none_or(|own| own == word);
    let is_duration = |word: &str| {
        let parts = word.split_once(['.', ',']);
        parts.is_some_and(|(ms, us)| !ms.is_empty() && us.len() == 3)
    };
    let names_mode = LockMode::ALL
        .iter()
        .any(|mode| record.message.contains(mode.name()));
    names_mode && numbers().any(is_own) && numbers().any(is_duration)
}

/// Reads `process 7 still waiting for ShareLock on transaction 764 after 1000.069 ms`.
fn waits(message: &str) -> Option<(Pid, Report)> {
    let (pid, said) = message.strip_prefix("process ")?.split_once(' ')?;
    let (stage, said) = [
        (Stage::Still, "still waiting for "),
        (Stage::Acquired, "acquired "),
        (Stage::Rearranged, "avoided deadlock for "),
        (Stage::Failed, "detected deadlock while waiting for "),
        (Stage::Failed, "failed to acquire "),
    ]
    .into_iter()
    .find_map(|(stage, words)| Some((stage, said.strip_prefix(words)?)))?;
    let (what, after) = said.rsplit_once(" after ")?;
    let what = match stage {
        Stage::Rearranged => what.strip_suffix(" by rearranging queue order")?,
        _ => what,
    };
    let (mode, target) = what.split_once(" on ")?;
    let report = Report::Waits {
        stage,
        mode: mode.parse().ok()?,
        target: Target::read(target)?,
        after: milliseconds(after.strip_suffix(" ms")?)?,
    };
    Some((Pid(pid.parse().ok()?), report))
}

/// Reads `1000.069`.
fn milliseconds(text: &str) -> Option<Span> {
    let (ms, us) = text.split_once('.')?;
    let is_whole = us.len() == 3 && us.bytes().all(|b| b.is_ascii_digit());
    let (ms, us): (i64, i64) = (ms.parse().ok()?, us.parse().ok()?);
    let micros = ms.checked_mul(1_000)?.checked_add(us)?;
    (is_whole && micros >= 0).then_some(Span::from_micros(micros))
}

impl Target {
    fn read(text: &str) -> Option<Self> {
        let kinds = [
            ("transaction ", "transactionid"),
            ("tuple ", "tuple"),
            ("relation ", "relation"),
            ("extension of relation ", "extend"),
            ("page ", "page"),
            ("virtual transaction ", "virtualxid"),
            ("speculative token ", "spectoken"),
            ("advisory lock ", "advisory"),
            ("object ", "object"),
            ("pg_database.datfrozenxid ", "frozenid"),
            ("user lock ", "userlock"),
            ("remote transaction ", "applytransaction"),
        ];
        let known = kinds.iter().find(|(words, _)| text.starts_with(words));
        Some(Self {
            locktype: known?.1,
            relation: relation(text),
            identity: crate::statement::fnv1a(text.as_bytes()),
        })
    }
}

/// Reads `relation 16389 of database 5`.
fn relation(text: &str) -> Option<(Oid, Oid)> {
    let begin = text.find("relation ")? + "relation ".len();
    let (relation, rest) = text[begin..].split_once(' ')?;
    let database = rest.strip_prefix("of database ")?;
    Some((Oid(database.parse().ok()?), Oid(relation.parse().ok()?)))
}

/// Reads `Process holding the lock: 20912. Wait queue: 20913, 20915.`: everybody who does not wait,
/// and everybody who does, in the order of the queue.
pub(super) fn owners_and_queue(detail: &str) -> (Vec<Pid>, Vec<Pid>) {
    let pids = |after: &str| -> Vec<Pid> {
        let listed = detail.split_once(after).map_or("", |(_, listed)| listed);
        let listed = listed.split('.').next().unwrap_or_default();
        let pids = listed.split(", ");
        pids.filter_map(|pid| pid.trim().parse().ok().map(Pid))
            .collect()
    };
    let is_told = detail.starts_with("Process");
    if is_told {
        (pids("the lock: "), pids("Wait queue: "))
    } else {
        (Vec::new(), Vec::new())
    }
}

/// Reads what a deadlock report details: first who waits for whom, then what each of them ran.
fn edges(detail: &str) -> Vec<Edge> {
    let mut edges = Vec::new();
    let mut rest = detail;
    while let Some(edge) = edge(first_line(rest)) {
        edges.push(edge);
        rest = rest.split_once('\n').map_or("", |(_, rest)| rest);
    }
    // Statements have lines of their own, so each goes on until the next process has its turn.
    for n in 0..edges.len() {
        let own = format!("Process {}: ", edges[n].pid);
        let Some(text) = rest.strip_prefix(&own) else {
            break;
        };
        let next = edges
            .get(n + 1)
            .map(|next| format!("\nProcess {}: ", next.pid));
        let end = next.as_ref().and_then(|next| text.find(next.as_str()));
        let (own, others) = text.split_at(end.unwrap_or(text.len()));
        edges[n].statement = Some(own.to_owned());
        rest = others.strip_prefix('\n').unwrap_or_default();
    }
    edges
}

/// Reads `Process 7 waits for ShareLock on transaction 764; blocked by process 8.`
fn edge(line: &str) -> Option<Edge> {
    let (pid, said) = line.strip_prefix("Process ")?.split_once(" waits for ")?;
    let (what, blocked_by) = said.rsplit_once("; blocked by process ")?;
    let (mode, target) = what.split_once(" on ")?;
    Some(Edge {
        pid: Pid(pid.parse().ok()?),
        mode: mode.parse().ok()?,
        target: Target::read(target)?,
        blocked_by: Pid(blocked_by.strip_suffix('.')?.parse().ok()?),
        statement: None,
    })
}

/// The relation that a context names, and whether that is an index.
///
/// Reads `while updating tuple (0,1) in relation "account"`. The innermost context comes first.
pub(super) fn relation_in(context: &str) -> Option<(&str, bool)> {
    let said = first_line(context).strip_prefix("while ")?;
    let (doing, rest) = said.split_once(" tuple (")?;
    let (_, name) = rest.split_once(") in relation \"")?;
    Some((name.strip_suffix('"')?, doing == "inserting index"))
}

fn first_line(text: &str) -> &str {
    text.split('\n').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(message: &str) -> Record {
        Record {
            pid: Some(Pid(7)),
            severity: "LOG".to_owned(),
            message: message.to_owned(),
            ..Record::default()
        }
    }

    #[track_caller]
    fn target(text: &str, locktype: &str, relation: Option<(u32, u32)>) {
        let read = Target::read(text);
        let read = read.map(|read| (read.locktype, read.relation));
        let relation = relation.map(|(database, oid)| (Oid(database), Oid(oid)));
        assert_eq!(read, Some((locktype, relation)).map(|(a, b)| (leak(a), b)));
    }

    fn leak(text: &str) -> &'static str {
        Box::leak(text.to_owned().into_boxed_str())
    }

    #[test]
    fn every_kind_of_lock_is_told_apart() {
        target("transaction 745", "transactionid", None);
        target("virtual transaction 3/745", "virtualxid", None);
        target("relation 16389 of database 5", "relation", Some((5, 16389)));
        target(
            "extension of relation 16389 of database 5",
            "extend",
            Some((5, 16389)),
        );
        target(
            "tuple (0,5) of relation 16389 of database 5",
            "tuple",
            Some((5, 16389)),
        );
        target(
            "page 9 of relation 16389 of database 5",
            "page",
            Some((5, 16389)),
        );
        target("advisory lock [5,0,42,1]", "advisory", None);
        target("object 0 of class 1262 of database 0", "object", None);
        target("speculative token 1 of transaction 7", "spectoken", None);
        assert_eq!(Target::read("unrecognized locktag type 99"), None);
    }

    #[test]
    fn a_wait_says_how_long_it_was_to_the_microsecond() {
        let said = "process 7 acquired ShareLock on transaction 764 after 1234.056 ms";
        let Reading::Report(Report::Waits {
            stage, mode, after, ..
        }) = read(&record(said))
        else {
            panic!("not understood")
        };
        assert_eq!((stage, mode), (Stage::Acquired, LockMode::Share));
        assert_eq!(after, Span::from_micros(1_234_056));
    }

    #[test]
    fn a_process_speaks_for_itself_alone() {
        let of_another = "process 8 acquired ShareLock on transaction 764 after 1234.056 ms";
        assert_eq!(read(&record(of_another)), Reading::Nothing);
        let raised = Record {
            context: Some("PL/pgSQL function inline_code_block line 1 at RAISE".to_owned()),
            ..record("process 7 acquired ShareLock on transaction 764 after 1234.056 ms")
        };
        assert_eq!(read(&raised), Reading::Nothing);
    }

    #[test]
    fn what_is_said_in_another_language_is_noticed() {
        let german =
            "Prozess 7 wartet immer noch auf ShareLock auf Transaktion 764 nach 1000,069 ms";
        assert_eq!(read(&record(german)), Reading::Foreign);
        let japanese =
            "プロセス7は1000.069ミリ秒後もトランザクション764のShareLockを待機しています";
        assert_eq!(read(&record(japanese)), Reading::Foreign);
        let statement = "statement: select 'ShareLock', 7, 1.234";
        assert_eq!(read(&record(statement)), Reading::Nothing);
        let verklemmung = Record {
            state: Some("40P01".to_owned()),
            ..record("Verklemmung entdeckt")
        };
        assert_eq!(read(&verklemmung), Reading::Foreign);
    }

    #[test]
    fn a_deadlock_names_everybody_in_it_and_what_they_ran() {
        let detail = "Process 7 waits for ShareLock on transaction 764; blocked by process 8.\n\
                      Process 8 waits for ShareLock on transaction 763; blocked by process 7.\n\
                      Process 7: UPDATE a\n  SET x = 'Process 9: no'\n\
                      Process 8: UPDATE b";
        let edges = edges(detail);
        let told: Vec<_> = edges
            .iter()
            .map(|edge| (edge.pid.0, edge.blocked_by.0, edge.statement.as_deref()))
            .collect();
        assert_eq!(
            told,
            [
                (7, 8, Some("UPDATE a\n  SET x = 'Process 9: no'")),
                (8, 7, Some("UPDATE b")),
            ]
        );
    }

    #[test]
    fn a_context_names_the_relation_whatever_it_is_called() {
        let named = |context| relation_in(context);
        assert_eq!(
            named("while updating tuple (0,1) in relation \"account\"\nSQL statement \"x\""),
            Some(("account", false))
        );
        assert_eq!(
            named("while inserting index tuple (0,1) in relation \"a \"\" b\""),
            Some(("a \"\" b", true))
        );
        assert_eq!(named("SQL statement \"in relation \"account\"\""), None);
        assert_eq!(named(""), None);
    }

    #[test]
    fn owners_and_queue_are_read_apart() {
        let detail = "Processes holding the lock: 20911, 20912. Wait queue: 20913, 20915.";
        let (owners, queue) = owners_and_queue(detail);
        assert_eq!(owners, [Pid(20911), Pid(20912)]);
        assert_eq!(queue, [Pid(20913), Pid(20915)]);
        assert_eq!(owners_and_queue("Key (id)=(1. 2)"), (vec![], vec![]));
    }
}

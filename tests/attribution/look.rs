//! The simulated database as a live source sees it: rows of sessions and of locks.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use pgjam::pg::{LockMode, Oid, Pid, Version, Xid};
use pgjam::recording::Recording;
use pgjam::sample::pace::Next;
use pgjam::sample::{
    Counters, Lock, LockTarget, Name, NameKind, Server, Session, Snapshot, State,
    StatementCounters, StatementText, Tick,
};
use pgjam::statement;
use pgjam::time::{Span, Timestamp};

use crate::simulator::{
    Doing, Kind, Micros, Resource, START, Step, Worker, World, at, micros, query_id,
};

const DATABASE: Oid = Oid(5);

/// Gives a worker's process id.
fn pid(worker: usize) -> Pid {
    Pid(1_000 + i32::try_from(worker).unwrap())
}

/// Gives the oid of the table that a resource is or lies in.
fn relation(resource: usize) -> Oid {
    Oid(16_384 + u32::try_from(resource).unwrap())
}

/// A recording of a world in which nothing was looked at yet: server, names, texts.
pub(crate) fn nothing_yet(world: &World) -> Recording {
    let mut texts: BTreeSet<&str> = BTreeSet::new();
    for system in &world.systems {
        let later = system.changes.iter().flat_map(|(_, steps)| steps);
        for step in system.steps.iter().chain(later) {
            if let Step::Run { text, .. } = step {
                texts.insert(text);
            }
        }
    }
    let text = |text: &&str| {
        let statement = statement::read(text.as_bytes());
        StatementText {
            id: statement.id,
            database: Some(DATABASE),
            query_id: Some(query_id(text)),
            text: statement.text,
            parsed: statement.parsed,
        }
    };
    let table = |(number, (_, table)): (usize, &(Kind, &str))| Name {
        database: Some(DATABASE),
        table: Some(relation(number)),
        ..Name::new(NameKind::Relation, relation(number), *table)
    };
    let mut names: Vec<Name> = world.resources.iter().enumerate().map(table).collect();
    names.push(Name::new(NameKind::Database, DATABASE, "shared"));
    let server = Server {
        version_num: Version(150_018),
        system_identifier: Some("7300000000000000001".to_owned()),
        in_recovery: false,
        started_at: START,
        address: "db:5432/shared".to_owned(),
        has_statements: true,
    };
    Recording {
        statements: texts.iter().map(text).collect(),
        names,
        ..Recording::empty(server)
    }
}

/// Looks at the counters.
pub(crate) fn counters(now: Micros, calls: &HashMap<&'static str, (i64, Micros)>) -> Counters {
    let mut rows: Vec<StatementCounters> = calls
        .iter()
        .map(|(text, (calls, took))| StatementCounters {
            at: at(now),
            database: DATABASE,
            query_id: query_id(text),
            calls: Some(*calls),
            exec_ms: (took / 1_000) as f64,
            rows: *calls,
            blocks_hit: 0,
            blocks_read: 0,
            wal_bytes: 0,
        })
        .collect();
    rows.sort_by_key(|row| row.query_id);
    Counters { at: at(now), rows }
}

/// Looks at who does what, and who is in whose way.
pub(crate) fn snapshot(
    world: &World,
    now: Micros,
    next: Next,
    last: Micros,
    workers: &[Worker],
    resources: &[Resource],
) -> Snapshot {
    let mut locks = Vec::new();
    let mut involved = BTreeSet::new();
    for (number, resource) in resources.iter().enumerate() {
        if resource.queue.is_empty() {
            continue;
        }
        let holders = resource.holders.iter().map(|(worker, _)| *worker);
        let queued = resource.queue.iter().map(|(worker, ..)| *worker);
        involved.extend(holders.chain(queued));
        entries(world, number, resource, workers, &mut locks);
    }
    let session = |(number, worker): (usize, &Worker)| {
        let connected = micros(world.systems[worker.system].from);
        let open = connected <= now && worker.text.is_some();
        let just_finished = worker.state_change > last;
        let shown = worker.doing != Doing::Thinking || just_finished || involved.contains(&number);
        (open && shown).then(|| row(world, number, worker, resources))
    };
    Snapshot {
        tick: Tick {
            at: at(now),
            span: next.span,
            place: Span::from_micros(now - next.from.as_micros()),
            server: Span::from_micros(900),
            missed: 0,
            deadlock_timeout: Tick::DEADLOCK_TIMEOUT,
            period: next.period,
            pace: next.reason,
        },
        sessions: workers.iter().enumerate().filter_map(session).collect(),
        locks,
        prepared: Vec::new(),
        safe_snapshots: Vec::new(),
    }
}

fn row(world: &World, number: usize, worker: &Worker, resources: &[Resource]) -> Session {
    let system = &world.systems[worker.system];
    let statement = worker.text.map(statement_id);
    let (state, kind, event): (_, Option<&str>, Option<&str>) = match worker.doing {
        Doing::Thinking => (State::Idle, Some("Client"), Some("ClientRead")),
        Doing::Away => (State::IdleInTransaction, Some("Client"), Some("ClientRead")),
        Doing::Running => (State::Active, None, None),
        Doing::Waiting { resource } => {
            let first = resources[resource].queue.front();
            let head = first.is_some_and(|(waiter, ..)| *waiter == number);
            let event = match world.resources[resource].0 {
                Kind::Row if head => "transactionid",
                Kind::Row => "tuple",
                Kind::Advisory => "advisory",
                Kind::Table => "relation",
            };
            (State::Active, Some("Lock"), Some(event))
        }
    };
    Session {
        pid: pid(number),
        backend_start: at(micros(system.from)),
        leader_pid: None,
        backend_type: "client backend".into(),
        database: Some(DATABASE),
        role: None,
        application_name: system.name.into(),
        client_addr: None,
        state,
        wait_event_type: kind.map(Arc::from),
        wait_event: event.map(Arc::from),
        query_id: worker.text.map(query_id),
        statement,
        tags: None,
        xact_start: worker.xact_start.map(at),
        query_start: Some(at(worker.query_start)),
        state_change: Some(at(worker.state_change)),
        backend_xid: worker.xid.map(Xid),
        backend_xmin: None,
    }
}

/// Reads each text once: there are few, and ticks are many.
fn statement_id(text: &'static str) -> statement::StatementId {
    thread_local! {
        static KNOWN: std::cell::RefCell<HashMap<&'static str, statement::StatementId>> = std::cell::RefCell::default();
    }
    KNOWN.with_borrow_mut(|known| {
        *known
            .entry(text)
            .or_insert_with(|| statement::read(text.as_bytes()).id)
    })
}

/// A lock target of a type, with nothing in it.
pub(crate) fn target(locktype: &str) -> LockTarget {
    LockTarget {
        locktype: locktype.into(),
        database: None,
        relation: None,
        page: None,
        tuple: None,
        virtualxid: None,
        transactionid: None,
        classid: None,
        objid: None,
        objsubid: None,
    }
}

fn of_table(resource: usize) -> LockTarget {
    LockTarget {
        database: Some(DATABASE),
        relation: Some(relation(resource)),
        ..target("relation")
    }
}

fn of_transaction(xid: u32) -> LockTarget {
    LockTarget {
        transactionid: Some(Xid(xid)),
        ..target("transactionid")
    }
}

/// An entry of the lock table; it waits if it has a start of waiting.
fn entry(worker: usize, target: LockTarget, mode: LockMode, since: Option<Micros>) -> Lock {
    let waitstart: Option<Timestamp> = since.map(at);
    Lock {
        owner: format!("3/{worker}").into(),
        pid: Some(pid(worker)),
        target,
        mode,
        granted: since.is_none(),
        fastpath: false,
        waitstart,
    }
}

/// Writes the entries of one contended resource.
fn entries(
    world: &World,
    number: usize,
    resource: &Resource,
    workers: &[Worker],
    locks: &mut Vec<Lock>,
) {
    let whole = match world.resources[number].0 {
        Kind::Row => return row_entries(number, resource, workers, locks),
        Kind::Table => of_table(number),
        Kind::Advisory => LockTarget {
            database: Some(DATABASE),
            classid: Some(Oid(0)),
            objid: Some(Oid(42)),
            objsubid: Some(1),
            ..target("advisory")
        },
    };
    for &(worker, mode) in &resource.holders {
        locks.push(entry(worker, whole.clone(), mode, None));
    }
    for &(worker, mode, since) in &resource.queue {
        locks.push(entry(worker, whole.clone(), mode, Some(since)));
    }
}

/// A row: its holder's transaction, the head of the queue waiting for that, the rest for the head.
fn row_entries(number: usize, resource: &Resource, workers: &[Worker], locks: &mut Vec<Lock>) {
    let tuple = LockTarget {
        page: Some(0),
        tuple: Some(1),
        ..of_table(number)
    };
    let tuple = LockTarget {
        locktype: "tuple".into(),
        ..tuple
    };
    let holder = resource.holders.first().map(|(worker, _)| *worker);
    for worker in holder
        .into_iter()
        .chain(resource.queue.iter().map(|(worker, ..)| *worker))
    {
        if let Some(xid) = workers[worker].xid {
            locks.push(entry(
                worker,
                of_transaction(xid),
                LockMode::Exclusive,
                None,
            ));
        }
    }
    let awaited = holder.and_then(|worker| workers[worker].xid).unwrap_or(1);
    for (place, &(worker, _, since)) in resource.queue.iter().enumerate() {
        if place == 0 {
            locks.push(entry(worker, tuple.clone(), LockMode::Exclusive, None));
            locks.push(entry(
                worker,
                of_table(number),
                LockMode::RowExclusive,
                None,
            ));
            let wait = of_transaction(awaited);
            locks.push(entry(worker, wait, LockMode::Share, Some(since)));
        } else {
            locks.push(entry(
                worker,
                tuple.clone(),
                LockMode::Exclusive,
                Some(since),
            ));
        }
    }
}

//! Hand-made wait-for graphs for the renderers' tests.

use std::collections::{BTreeMap, BTreeSet};

use super::fixture::{SYNC_UPDATE, UPDATE_COUNTER, at};
use super::rights::Rights;
use crate::graph::Certainty;
use crate::graph::chain::{Chain, Signature};
use crate::graph::view::{Autovacuum, Edge, EdgeKind, EdgeLock, GraphView, Node, Party};
use crate::pg::Version;

/// Gives a running client backend.
pub(crate) fn node(pid: i32, system: &str, state: &str, query: &str) -> Node {
    Node {
        party: Party {
            pid: Some(pid),
            gid: None,
        },
        backend_start: Some(at(f64::from(pid % 60))),
        system: Some(system.to_owned()),
        role: Some(system.replace('-', "_")),
        role_is_superuser: Some(false),
        has_privileges: Some(false),
        database: Some("state".to_owned()),
        backend_type: "client backend".to_owned(),
        state: state.to_owned(),
        state_age_ms: Some(170.0),
        wait_event: None,
        query: Some(query.to_owned()),
        xact_age_ms: Some(180.0),
        waiting_ms: None,
        behind: 0,
        frees: 0,
        ahead: 0,
        autovacuum: None,
    }
}

/// Gives one that has waited so long.
pub(crate) fn waiter(pid: i32, system: &str, query: &str, waiting_ms: f64) -> Node {
    Node {
        wait_event: Some("Lock: transactionid".to_owned()),
        waiting_ms: Some(waiting_ms),
        ..node(pid, system, "active", query)
    }
}

/// Gives a role that sees everything and may do nothing.
pub(crate) fn on_call() -> Rights {
    Rights {
        version: Version(150_018),
        role: "on call".to_owned(),
        is_superuser: false,
        signals_sessions: false,
        signals_autovacuum: None,
    }
}

/// Gives an autovacuum worker at work.
pub(crate) fn autovacuum(pid: i32, kind: Autovacuum) -> Node {
    Node {
        backend_type: "autovacuum worker".to_owned(),
        role: None,
        role_is_superuser: None,
        has_privileges: None,
        autovacuum: Some(kind),
        ..node(
            pid,
            "autovacuum worker",
            "active",
            "autovacuum: VACUUM public.state_counter",
        )
    }
}

/// Gives a prepared transaction.
pub(crate) fn prepared(gid: &str) -> Node {
    Node {
        party: Party {
            pid: None,
            gid: Some(gid.to_owned()),
        },
        backend_start: None,
        system: Some("ledger".to_owned()),
        backend_type: "prepared transaction".to_owned(),
        query: None,
        state_age_ms: None,
        xact_age_ms: Some(11_520_000.0),
        ..node(0, "ledger", "prepared", "")
    }
}

/// Gives a wait for a row of a table.
pub(crate) fn row_edge(waiter: i32, blocker: i32, kind: &str, waiting_ms: f64) -> Edge {
    Edge {
        waiter,
        blocker: Some(blocker),
        blocker_gid: None,
        kind: EdgeKind::Hard,
        certainty: Certainty::Sure,
        lock: EdgeLock {
            kind: kind.to_owned(),
            mode: Some(
                if kind == "tuple" {
                    "ExclusiveLock"
                } else {
                    "ShareLock"
                }
                .to_owned(),
            ),
            target: "row".to_owned(),
            table: Some("public.state_counter".to_owned()),
            table_basis: Some("measured"),
            topmost: None,
            row: None,
        },
        taken_by_query: None,
        waiting_ms: Some(waiting_ms),
    }
}

/// Gives a wait for a table as a whole.
pub(crate) fn table_edge(waiter: i32, blocker: i32, mode: &str, kind: EdgeKind) -> Edge {
    let row = row_edge(waiter, blocker, "relation", 9_000.0);
    Edge {
        kind,
        lock: EdgeLock {
            mode: Some(mode.to_owned()),
            target: "table".to_owned(),
            table: Some("public.agency".to_owned()),
            ..row.lock
        },
        ..row
    }
}

/// Completes a graph: order, roots and how many are behind each.
pub(crate) fn graph(mut nodes: Vec<Node>, mut edges: Vec<Edge>) -> GraphView {
    nodes.sort_by_key(|node| (node.party.pid.is_none(), node.party.clone()));
    edges.sort_by_key(|edge| (edge.waiter, edge.blocker, edge.blocker_gid.clone()));
    let mut behind: BTreeMap<Party, BTreeSet<i32>> = BTreeMap::new();
    for edge in &edges {
        let blocker = Party {
            pid: edge.blocker,
            gid: edge.blocker_gid.clone(),
        };
        if blocker.pid != Some(edge.waiter) {
            behind.entry(blocker).or_default().insert(edge.waiter);
        }
    }
    let direct = behind.clone();
    for all in behind.values_mut() {
        let mut todo: Vec<i32> = all.iter().copied().collect();
        while let Some(pid) = todo.pop() {
            let party = Party {
                pid: Some(pid),
                gid: None,
            };
            for &next in direct.get(&party).into_iter().flatten() {
                if all.insert(next) {
                    todo.push(next);
                }
            }
        }
    }
    let mut blockers: BTreeMap<i32, BTreeSet<Party>> = BTreeMap::new();
    for edge in &edges {
        let blocker = Party {
            pid: edge.blocker,
            gid: edge.blocker_gid.clone(),
        };
        blockers.entry(edge.waiter).or_default().insert(blocker);
    }
    for node in &mut nodes {
        let alone = |blockers: &&BTreeSet<Party>| **blockers == [node.party.clone()].into();
        node.frees = blockers.values().filter(alone).count();
    }
    let waiters: BTreeSet<i32> = edges.iter().map(|edge| edge.waiter).collect();
    for node in &mut nodes {
        node.behind = behind.get(&node.party).map_or(0, BTreeSet::len);
    }
    let roots: Vec<Party> = nodes
        .iter()
        .filter(|node| node.party.pid.is_none_or(|pid| !waiters.contains(&pid)))
        .map(|node| node.party.clone())
        .collect();
    let mut chains: Vec<Chain> = roots
        .iter()
        .filter_map(|root| chain(root, behind.get(root)?, direct.get(root)?, &nodes, &edges))
        .collect();
    chains.sort_by_key(|chain| std::cmp::Reverse(chain.behind));
    GraphView {
        schema: GraphView::SCHEMA,
        taken_at: at(214.7),
        nodes,
        edges,
        roots,
        cycles: Vec::new(),
        chains,
        unseen: BTreeMap::new(),
        without_holder: BTreeMap::new(),
    }
}

/// Gives the chain of a root that holds one thing.
fn chain(
    root: &Party,
    behind: &BTreeSet<i32>,
    direct: &BTreeSet<i32>,
    nodes: &[Node],
    edges: &[Edge],
) -> Option<Chain> {
    let wait = edges
        .iter()
        .find(|edge| edge.blocker == root.pid && edge.blocker_gid == root.gid)?;
    let table = wait.lock.table.clone();
    let object = match (wait.lock.kind.as_str(), &table) {
        ("transactionid" | "tuple", Some(table)) => format!("rows of {table}"),
        (_, Some(table)) => format!("table {table}"),
        (_, None) => wait.lock.target.clone(),
    };
    let is_behind = |node: &&Node| node.party.pid.is_some_and(|pid| behind.contains(&pid));
    let mut systems = BTreeMap::new();
    for node in nodes.iter().filter(is_behind) {
        let system = node.system.clone().unwrap_or_default();
        *systems.entry(system).or_default() += 1;
    }
    Some(Chain {
        signature: Signature {
            id: "0123456789abcdef".to_owned(),
            text: format!("somebody holds {object}"),
        },
        root: Some(root.clone()),
        cycle: Vec::new(),
        object,
        table: table.map(Into::into),
        table_basis: wait.lock.table_basis,
        gate: None,
        amplifiers: Vec::new(),
        depth: if behind == direct { 1 } else { 2 },
        behind: behind.len(),
        systems,
        longest_ms: None,
        waited_ms: 0.0,
    })
}

/// So many sessions that queue for one row held by sync-12, which is away.
pub(crate) fn convoy(waiters: i32) -> GraphView {
    let mut nodes = vec![node(4000, "sync-12", "idle in transaction", SYNC_UPDATE)];
    let (mut edges, mut queued) = (Vec::new(), Vec::new());
    for n in 1..=waiters {
        let system = if n % 3 == 1 {
            "decision".to_owned()
        } else {
            format!("intake-{:02}", 1 + n % 4)
        };
        let waited = 160.0 - 100.0 * f64::from(n) / f64::from(waiters);
        nodes.push(waiter(4000 + n, &system, UPDATE_COUNTER, waited));
        if n == 1 {
            edges.push(row_edge(4001, 4000, "transactionid", waited));
        } else {
            edges.push(row_edge(4000 + n, 4001, "tuple", waited));
        }
        queued.extend((2..n).map(|ahead| Edge {
            kind: EdgeKind::Soft,
            ..row_edge(4000 + n, 4000 + ahead, "tuple", waited)
        }));
    }
    // Everybody waits for the head; the queue's own order, n² edges, adds nobody behind it.
    let mut view = graph(nodes, edges);
    view.edges.extend(queued);
    view.edges.sort_by_key(|edge| (edge.waiter, edge.blocker));
    for (node, behind) in view.nodes.iter_mut().skip(1).rev().zip(0..) {
        node.behind = behind;
    }
    view
}

/// Fourteen sessions behind sync-12.
pub(crate) fn row_queue() -> GraphView {
    convoy(14)
}

/// The same beside an ALTER TABLE that waits for a report, with readers queued behind it.
pub(crate) fn worst() -> GraphView {
    let mut queue = row_queue();
    queue.nodes.extend([
        node(
            4700,
            "reporting-07",
            "active",
            "SELECT agency, count(*) FROM public.agency GROUP BY 1",
        ),
        waiter(
            4710,
            "migrator",
            "ALTER TABLE public.agency ADD COLUMN region text",
            9_000.0,
        ),
        waiter(
            4720,
            "intake-02",
            "SELECT name FROM public.agency WHERE id = $1",
            7_400.0,
        ),
        waiter(
            4721,
            "decision",
            "SELECT name FROM public.agency WHERE id = $1",
            6_100.0,
        ),
    ]);
    queue.edges.extend([
        table_edge(4710, 4700, "AccessExclusiveLock", EdgeKind::Hard),
        table_edge(4720, 4710, "AccessShareLock", EdgeKind::Soft),
        table_edge(4721, 4710, "AccessShareLock", EdgeKind::Soft),
    ]);
    graph(queue.nodes, queue.edges)
}

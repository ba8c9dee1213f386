//! How a graph is put into words.

use std::collections::BTreeMap;

use petgraph::graph::NodeIndex;

use super::{Autovacuum, Edge, EdgeKind, EdgeLock, GraphView, Node, Party, Vocabulary};
use crate::graph::{self, Certainty, WaitGraph};
use crate::pg::LockMode;
use crate::sample::Session;
use crate::time::Rfc3339;

impl WaitGraph<'_> {
    /// Puts the graph into words.
    #[must_use]
    pub fn view(&self, words: Vocabulary<'_>) -> GraphView {
        let (behind, freed) = (self.behind(), self.freed());
        let mut order = self.parties();
        order.retain(|&node| behind[node.index()] > 0 || self.is_blocked(node));
        let nodes = order
            .iter()
            .map(|&node| Node {
                behind: behind[node.index()],
                frees: freed[node.index()],
                ..self.node_view(node, words)
            })
            .collect();
        let mut cycles: Vec<Vec<i32>> = self
            .cycles()
            .map(|members| members.iter().filter_map(|&node| self.pid(node)).collect())
            .collect();
        for cycle in &mut cycles {
            cycle.sort_unstable();
        }
        cycles.sort();
        GraphView {
            schema: GraphView::SCHEMA,
            taken_at: Rfc3339(self.snapshot.tick.at),
            nodes,
            edges: order
                .iter()
                .flat_map(|&node| self.edge_views(node, words))
                .collect(),
            roots: self
                .roots()
                .into_iter()
                .map(|node| self.party_view(node))
                .collect(),
            cycles,
            chains: self.chains(words),
            unseen: self.unseen(),
            without_holder: self.without_holder(),
        }
    }

    fn pid(&self, node: NodeIndex) -> Option<i32> {
        match self.party(node) {
            graph::Party::Backend(pid) => Some(pid.0),
            graph::Party::Prepared(_) | graph::Party::Unlisted(_) => None,
        }
    }

    pub(in crate::graph) fn party_view(&self, node: NodeIndex) -> Party {
        let gid = match self.party(node) {
            graph::Party::Backend(_) => None,
            graph::Party::Prepared(gid) => Some(gid.to_string()),
            graph::Party::Unlisted(owner) => Some(format!("owner {owner}")),
        };
        Party {
            pid: self.pid(node),
            gid,
        }
    }

    fn node_view(&self, node: NodeIndex, words: Vocabulary<'_>) -> Node {
        let now = self.snapshot.tick.at;
        let session = self.session(node);
        let prepared = self.prepared(node);
        let login = session
            .and_then(|s| s.role)
            .or_else(|| prepared.map(|p| p.owner));
        let database = session
            .and_then(|s| s.database)
            .or_else(|| prepared.map(|p| p.database));
        let role = login
            .and_then(|oid| words.names.role(oid))
            .map(ToString::to_string);
        let since = session
            .and_then(|s| s.xact_start)
            .or_else(|| prepared.map(|p| p.prepared));
        let statement = session.and_then(|s| words.statements.get(s.statement?));
        let waited = self.waiting(node);
        let unexplained = if prepared.is_some() {
            "prepared transaction"
        } else {
            "unknown"
        };
        Node {
            party: self.party_view(node),
            backend_start: session.map(|s| Rfc3339(s.backend_start)),
            system: self.named(node, words),
            role,
            role_is_superuser: login.and_then(|oid| words.names.is_superuser(oid)),
            has_privileges: login.and_then(|oid| words.names.has_privileges_of(oid)),
            database: database
                .and_then(|oid| words.names.database(oid))
                .map(ToString::to_string),
            backend_type: session.map_or(unexplained, |s| &s.backend_type).to_owned(),
            state: match (session, prepared) {
                (Some(session), _) => session.state.name().to_owned(),
                (None, Some(_)) => "prepared".to_owned(),
                (None, None) => "unknown".to_owned(),
            },
            state_age_ms: session
                .and_then(|s| s.state_change)
                .map(|since| now.since(since).as_millis_f64()),
            wait_event: session.and_then(wait_event),
            query: statement.map(|statement| statement.text.to_string()),
            xact_age_ms: since.map(|since| now.since(since).as_millis_f64()),
            waiting_ms: waited.map(crate::time::Span::as_millis_f64),
            behind: 0,
            frees: 0,
            ahead: self
                .waits(node)
                .iter()
                .map(|wait| self.requests_ahead(wait))
                .max()
                .unwrap_or(0),
            autovacuum: session.and_then(|session| self.autovacuum(session, words)),
        }
    }

    /// Names the system of a node; a prepared transaction has no session any more, and its owner
    /// is what is left.
    pub(in crate::graph) fn named(&self, node: NodeIndex, words: Vocabulary<'_>) -> Option<String> {
        let name = match self.session(node) {
            Some(session) => words.naming.name(session, words.names),
            None => self
                .prepared(node)
                .and_then(|prepared| words.names.role(prepared.owner).cloned()),
        };
        name.map(|name| name.to_string())
    }

    /// Tells what an autovacuum worker is at, by its text and by what it holds.
    fn autovacuum(&self, session: &Session, words: Vocabulary<'_>) -> Option<Autovacuum> {
        if &*session.backend_type != "autovacuum worker" {
            return None;
        }
        let text = session.statement.and_then(|id| words.statements.get(id));
        // VACUUM takes the whole table for nothing but its end.
        let truncates = self.snapshot.locks.iter().any(|lock| {
            lock.pid == Some(session.pid)
                && lock.granted
                && lock.mode == LockMode::AccessExclusive
                && &*lock.target.locktype == "relation"
        });
        Some(match text {
            _ if truncates => Autovacuum::Truncating,
            Some(text) if text.text.ends_with("(to prevent wraparound)") => {
                Autovacuum::AgainstWraparound
            }
            _ => Autovacuum::Ordinary,
        })
    }

    fn edge_views(&self, node: NodeIndex, words: Vocabulary<'_>) -> Vec<Edge> {
        let Some(waiter) = self.pid(node) else {
            return Vec::new();
        };
        let mut edges = Vec::new();
        for wait in self.waits(node) {
            let table = self.table(node, wait, words.names, words.statements);
            let lock = EdgeLock {
                kind: wait.request.target.locktype.to_string(),
                mode: Some(wait.request.mode.name().to_owned()),
                target: wait.request.target.words(),
                table: table.as_ref().map(|table| table.name.to_string()),
                table_basis: table.as_ref().map(|table| table.basis.name()),
                topmost: table
                    .as_ref()
                    .and_then(|table| table.topmost.as_ref())
                    .map(ToString::to_string),
                row: table.and_then(|table| table.row).map(|row| row.to_string()),
            };
            let wanted = self.wanted(node, wait, words.names, words.statements);
            let took = |blocker: NodeIndex| {
                let statement = words.statements.get(self.session(blocker)?.statement?)?;
                wanted.can_be_held_by(statement, words.names)
            };
            let within = wait.within_group.then_some(node);
            let hard = wait.hard.iter().copied().chain(within);
            let hard = hard.map(|blocker| (blocker, EdgeKind::Hard, Certainty::Sure));
            let soft = self.nearest_soft(wait, GraphView::MOST_SOFT);
            let soft = soft
                .into_iter()
                .map(|soft| (soft.node, EdgeKind::Soft, soft.certainty));
            for (blocker, kind, certainty) in hard.chain(soft) {
                let Party { pid, gid } = self.party_view(blocker);
                edges.push(Edge {
                    waiter,
                    blocker: pid,
                    blocker_gid: gid,
                    kind,
                    certainty,
                    lock: lock.clone(),
                    taken_by_query: (kind == EdgeKind::Hard).then(|| took(blocker)).flatten(),
                    waiting_ms: self.waited(wait).map(crate::time::Span::as_millis_f64),
                });
            }
        }
        for &blocker in self.snapshot_waits(node) {
            let Party { pid, gid } = self.party_view(blocker);
            edges.push(Edge {
                waiter,
                blocker: pid,
                blocker_gid: gid,
                kind: EdgeKind::Hard,
                certainty: Certainty::Sure,
                lock: EdgeLock {
                    kind: "safe-snapshot".to_owned(),
                    mode: None,
                    target: "safe snapshot".to_owned(),
                    table: None,
                    table_basis: None,
                    topmost: None,
                    row: None,
                },
                taken_by_query: None,
                waiting_ms: self.waiting(node).map(crate::time::Span::as_millis_f64),
            });
        }
        edges.sort_by(|a, b| (a.blocker, &a.blocker_gid).cmp(&(b.blocker, &b.blocker_gid)));
        edges
    }

    /// Counts the sessions whose activity says `Lock` and of whom nobody is seen in the way.
    ///
    /// Activity and locks are two looks within one statement: some waits end in between.
    fn unseen(&self) -> BTreeMap<String, usize> {
        let mut unseen = BTreeMap::new();
        for session in &self.snapshot.sessions {
            let waits = session.wait_event_type.as_deref() == Some("Lock");
            let seen = self
                .find(session.pid)
                .is_some_and(|node| self.is_blocked(node));
            if waits && !seen {
                let event = session.wait_event.as_deref().unwrap_or("unknown");
                *unseen.entry(event.to_owned()).or_default() += 1;
            }
        }
        unseen
    }

    /// Counts the sessions that wait for what has no holder, by wait event.
    fn without_holder(&self) -> BTreeMap<String, usize> {
        let mut waits = BTreeMap::new();
        for session in &self.snapshot.sessions {
            let seen = self
                .find(session.pid)
                .is_some_and(|node| self.is_blocked(node));
            if let Some(event) = wait_event(session)
                && session.waits_without_holder()
                && !seen
            {
                *waits.entry(event).or_default() += 1;
            }
        }
        waits
    }
}

/// Writes a wait event as the manual does, `Lock: transactionid`.
fn wait_event(session: &Session) -> Option<String> {
    let kind = session.wait_event_type.as_deref()?;
    Some(format!(
        "{kind}: {}",
        session.wait_event.as_deref().unwrap_or("unknown")
    ))
}

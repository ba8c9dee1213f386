//! What one look showed, beside what the server said at that time.

use pgjam::graph::view::{Edge, EdgeKind, GraphView, Node, Party, Vocabulary};
use pgjam::graph::{Certainty, WaitGraph};
use pgjam::names::{Names, Statements};
use pgjam::sample::{Name, Snapshot, StatementText};
use pgjam::system::Naming;

use crate::comparison::Comparison;
use crate::truth::Truth;

/// A look and the truth beside it.
pub(crate) struct Seen {
    pub(crate) snapshot: Snapshot,
    pub(crate) names: Vec<Name>,
    pub(crate) statements: Vec<StatementText>,
    pub(crate) truth: Truth,
}

impl Seen {
    /// Puts the graph into words.
    pub(crate) fn view(&self) -> GraphView {
        let words = Vocabulary {
            naming: &Naming::default(),
            names: &Names::of(&self.names),
            statements: &Statements::of(&self.statements),
        };
        WaitGraph::of(&self.snapshot).view(words)
    }

    /// Expects these edges, in any order, and the server to agree.
    ///
    /// An edge reads `second -> first: public.hot`: who waits, how, for whom, for which table
    /// (or for what, where it is no table). The arrow is `=>` for who holds, `->` for who is
    /// ahead, `?>` where that is not sure.
    #[track_caller]
    pub(crate) fn has_edges(&self, expected: &[&str]) {
        self.agrees();
        let view = self.view();
        let mut edges: Vec<String> = view.edges.iter().map(|edge| drawn(&view, edge)).collect();
        edges.sort_unstable();
        let mut expected = expected.to_vec();
        expected.sort_unstable();
        assert_eq!(edges, expected, "{view:#?}");
    }

    /// Expects these roots, by name, in any order.
    #[track_caller]
    pub(crate) fn has_roots(&self, expected: &[&str]) {
        let view = self.view();
        let mut roots: Vec<&str> = view.roots.iter().map(|root| name(&view, root)).collect();
        roots.sort_unstable();
        let mut expected = expected.to_vec();
        expected.sort_unstable();
        assert_eq!(roots, expected, "{view:#?}");
    }

    /// Expects these situations, by what their signatures say, the worst first.
    #[track_caller]
    pub(crate) fn has_chains(&self, expected: &[&str]) {
        let view = self.view();
        let chains = view.chains.iter();
        let chains: Vec<&str> = chains.map(|chain| &*chain.signature.text).collect();
        assert_eq!(chains, expected, "{view:#?}");
    }

    /// Expects these to pass waiting on in the worst chain, by name, in any order.
    #[track_caller]
    pub(crate) fn has_amplifiers(&self, expected: &[&str]) {
        let view = self.view();
        let amplifiers = view.chains[0].amplifiers.iter();
        let mut amplifiers: Vec<&str> = amplifiers.map(|party| name(&view, party)).collect();
        amplifiers.sort_unstable();
        let mut expected = expected.to_vec();
        expected.sort_unstable();
        assert_eq!(amplifiers, expected, "{view:#?}");
    }

    /// Expects the server to say the same, edge by edge and root by root.
    #[track_caller]
    pub(crate) fn agrees(&self) {
        let comparison = Comparison::of(&self.snapshot, &self.truth);
        assert!(
            comparison.faults.is_empty(),
            "{comparison}{:#?}{:#?}",
            self.truth,
            self.snapshot.locks
        );
    }

    /// Finds a session of a name.
    #[track_caller]
    pub(crate) fn node(&self, wanted: &str) -> Node {
        let view = self.view();
        let found = view.nodes.iter().find(|node| called(node) == wanted);
        found
            .unwrap_or_else(|| panic!("no {wanted}: {view:#?}"))
            .clone()
    }

    /// Finds the first edge of a waiter of a name.
    #[track_caller]
    pub(crate) fn edge(&self, waiter: &str) -> Edge {
        let view = self.view();
        let pid = self.node(waiter).party.pid;
        let found = view.edges.iter().find(|edge| Some(edge.waiter) == pid);
        found
            .unwrap_or_else(|| panic!("{waiter} waits for nobody: {view:#?}"))
            .clone()
    }
}

fn drawn(view: &GraphView, edge: &Edge) -> String {
    let waiter = Party {
        pid: Some(edge.waiter),
        gid: None,
    };
    let blocker = Party {
        pid: edge.blocker,
        gid: edge.blocker_gid.clone(),
    };
    let arrow = match (edge.kind, edge.certainty) {
        (EdgeKind::Hard, _) => "=>",
        (EdgeKind::Soft, Certainty::Sure) => "->",
        (EdgeKind::Soft, _) => "?>",
    };
    // Transactions have other numbers every time.
    let what = match (&edge.lock.table, &*edge.lock.kind) {
        (Some(table), _) => table,
        (None, "transactionid") => "a transaction",
        (None, "virtualxid") => "a virtual transaction",
        (None, _) => &*edge.lock.target,
    };
    let (waiter, blocker) = (name(view, &waiter), name(view, &blocker));
    format!("{waiter} {arrow} {blocker}: {what}")
}

fn name<'v>(view: &'v GraphView, party: &Party) -> &'v str {
    let node = view.nodes.iter().find(|node| node.party == *party);
    node.map_or("nobody", called)
}

/// Gives the gid, the application's name, or the kind of process.
fn called(node: &Node) -> &str {
    let gid = node.party.gid.as_deref();
    gid.or(node.system.as_deref()).unwrap_or(&node.backend_type)
}

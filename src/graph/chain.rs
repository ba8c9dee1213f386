//! Root by root: what stands in the way of whom, over what, through whom.
//!
//! A [`Chain`] is one root (or one deadlock) with one thing it holds, and everybody who waits
//! because of that. Time stands on the nodes: each waiter counts once, by its share of blame.
//!
//! A [`Signature`] names the situation, not the instance: systems, tables and the gate's
//! statement are in it; pids, transaction ids, counts, times and what the root is at this
//! moment are not. The same jam has the same signature tomorrow.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use petgraph::graph::NodeIndex;
use serde::Serialize;

use super::view::{Party, Vocabulary};
use super::{Table, Wait, WaitGraph};
use crate::graph;
use crate::sample::Session;
use crate::statement::{Statement, fnv1a};
use crate::time::Span;

/// One root, one thing it holds, and who waits because of it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Chain {
    /// The situation's name.
    pub signature: Signature,
    /// Who is waited for and waits for nobody; null for a deadlock.
    pub root: Option<Party>,
    /// Those who wait for each other; empty but for a deadlock.
    pub cycle: Vec<Party>,
    /// What the root holds, in words: `rows of public.hot`, `table public.hot`, `advisory lock 42`.
    pub object: String,
    /// `schema.table`; null where it is no table, or not known.
    pub table: Option<Arc<str>>,
    /// Whether the table was read off the lock table or derived; null without one.
    pub table_basis: Option<&'static str>,
    /// Who waits for the whole table and makes others queue who could have had it; null without one.
    pub gate: Option<Party>,
    /// Who passes waiting on from one thing to another: the gate, and those who hold what
    /// others wait for while they wait for something else.
    pub amplifiers: Vec<Party>,
    /// How many hops the longest way to the root has.
    pub depth: usize,
    /// How many sessions wait because of it.
    pub behind: usize,
    /// How many of them belong to each system; those without a name under an empty one.
    pub systems: BTreeMap<String, usize>,
    /// How long the longest of them has waited; null where the server does not say.
    pub longest_ms: Option<f64>,
    /// How long all of them have waited together, each by the root's share of its blame.
    pub waited_ms: f64,
}

/// The name of a situation.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Signature {
    /// Sixteen hexadecimal digits, equal for equal texts on every machine and in every release.
    pub id: String,
    /// `sync-12 holds rows of public.state_counter`.
    pub text: String,
}

impl Signature {
    fn of(text: String) -> Self {
        Self {
            id: format!("{:016x}", fnv1a(text.as_bytes())),
            text,
        }
    }
}

/// What is waited for, in words that are the same tomorrow, and the table in it.
type Object = (Arc<str>, Option<Table>);

/// A chain while it is gathered.
#[derive(Default)]
struct Gathered {
    table: Option<Table>,
    waiters: BTreeSet<NodeIndex>,
    gates: BTreeMap<NodeIndex, usize>,
    amplifiers: BTreeSet<NodeIndex>,
    depth: usize,
    waited_ms: f64,
}

impl WaitGraph<'_> {
    /// Lists the chains, the worst first: most sessions behind, then longest together.
    ///
    /// Who waits for somebody who was not seen is in none of them.
    #[must_use]
    pub fn chains(&self, words: Vocabulary<'_>) -> Vec<Chain> {
        let mut objects: HashMap<NodeIndex, Object> = HashMap::new();
        let mut object = |node: NodeIndex| -> Object {
            let make = || self.object(node, words);
            objects.entry(node).or_insert_with(make).clone()
        };
        let mut chains: BTreeMap<(NodeIndex, Arc<str>), Gathered> = BTreeMap::new();
        for node in self.graph.node_indices().filter(|&n| self.is_blocked(n)) {
            for &(end, share) in self.blame(node).iter() {
                let dead = self.is_in_cycle(end);
                // It waits itself, and for whom was not seen; or a query waits for itself.
                if !dead && (end == node || !self.waits(end).is_empty()) {
                    continue;
                }
                let way = self.way(node, end);
                let (root, (held, table)) = if dead {
                    (self.circle(end)[0], self.held_in_cycle(end, &mut object))
                } else {
                    (end, object(way.last().copied().unwrap_or(node)))
                };
                let chain = chains.entry((root, held)).or_default();
                // Of two ways in which a table is known the better one counts.
                let known = chain.table.take().into_iter().chain(table);
                chain.table = known.min_by_key(|table| table.basis);
                chain.waiters.insert(node);
                chain.depth = chain.depth.max(way.len());
                if let Some(waited) = self.waiting(node) {
                    chain.waited_ms += waited.as_millis_f64() * share;
                }
                if let Some(gate) = self.waits(node).iter().find_map(|wait| self.gate(wait))
                    && !dead
                {
                    *chain.gates.entry(gate).or_default() += 1;
                    chain.amplifiers.insert(gate);
                }
                for hop in way.windows(2) {
                    if object(hop[0]).0 != object(hop[1]).0 {
                        chain.amplifiers.insert(hop[1]);
                    }
                }
            }
        }
        let mut chains: Vec<Chain> = chains
            .into_iter()
            .map(|((root, held), gathered)| self.told(root, &held, &gathered, words))
            .collect();
        chains.sort_by(|a, b| {
            (b.behind.cmp(&a.behind))
                .then(b.waited_ms.total_cmp(&a.waited_ms))
                .then_with(|| (&a.root, &a.object).cmp(&(&b.root, &b.object)))
        });
        chains
    }

    fn told(
        &self,
        root: NodeIndex,
        held: &str,
        gathered: &Gathered,
        words: Vocabulary<'_>,
    ) -> Chain {
        let table = gathered.table.as_ref();
        let party = |&node: &NodeIndex| self.party_view(node);
        let cycle = self.circle(root);
        let most = |(node, count): &(&NodeIndex, &usize)| (**count, std::cmp::Reverse(**node));
        let gate = gathered
            .gates
            .iter()
            .max_by_key(most)
            .map(|(gate, _)| *gate);
        let mut systems: BTreeMap<String, usize> = BTreeMap::new();
        for &node in &gathered.waiters {
            let system = self.named(node, words).unwrap_or_default();
            *systems.entry(system).or_default() += 1;
        }
        let waiting = |&node: &NodeIndex| self.waiting(node);
        let mut members: Vec<Party> = cycle.iter().map(party).collect();
        members.sort();
        let mut amplifiers: Vec<Party> = gathered.amplifiers.iter().map(party).collect();
        amplifiers.sort();
        Chain {
            signature: self.signature(root, cycle, held, gate, words),
            root: cycle.is_empty().then(|| self.party_view(root)),
            cycle: members,
            object: held.to_owned(),
            table: table.map(|table| Arc::clone(&table.name)),
            table_basis: table.map(|table| table.basis.name()),
            gate: gate.as_ref().map(party),
            amplifiers,
            depth: gathered.depth,
            behind: gathered.waiters.len(),
            systems,
            longest_ms: gathered
                .waiters
                .iter()
                .filter_map(waiting)
                .max()
                .map(Span::as_millis_f64),
            waited_ms: gathered.waited_ms,
        }
    }

    fn signature(
        &self,
        root: NodeIndex,
        cycle: &[NodeIndex],
        held: &str,
        gate: Option<NodeIndex>,
        words: Vocabulary<'_>,
    ) -> Signature {
        if !cycle.is_empty() {
            let names: BTreeSet<String> = cycle.iter().map(|&n| self.who(n, words)).collect();
            let names: Vec<String> = names.into_iter().collect();
            return Signature::of(format!("deadlock among {} over {held}", names.join(", ")));
        }
        let root = self.who(root, words);
        let Some(gate) = gate else {
            return Signature::of(format!("{root} holds {held}"));
        };
        let statement = self
            .session(gate)
            .and_then(|session| words.statements.get(session.statement?))
            .map_or_else(|| "a request".to_owned(), Statement::short);
        let gate = self.who(gate, words);
        Signature::of(format!("{root} holds {held}, {statement} of {gate} queues"))
    }

    /// Names a node in a signature: its system, or what kind of process it is.
    fn who(&self, node: NodeIndex, words: Vocabulary<'_>) -> String {
        let kind = || match (self.session(node), self.party(node)) {
            (Some(session), _) if session.is_client() => "a session without a name".to_owned(),
            (Some(session), _) if &*session.backend_type == "startup" => {
                "the standby's replay".to_owned()
            }
            (Some(session), _) => session.backend_type.to_string(),
            (None, graph::Party::Unlisted(_) | graph::Party::Backend(_)) => {
                "an unknown owner".to_owned()
            }
            (None, graph::Party::Prepared(_)) => "a prepared transaction".to_owned(),
        };
        match (self.named(node, words), self.party(node)) {
            (Some(name), graph::Party::Prepared(_)) => format!("a prepared transaction of {name}"),
            (Some(name), _) if self.session(node).is_some_and(Session::is_client) => name,
            _ => kind(),
        }
    }

    /// Names what a node waits for, as it will be called tomorrow.
    fn object(&self, node: NodeIndex, words: Vocabulary<'_>) -> Object {
        let Some(wait) = self.waits(node).first() else {
            return ("back a safe snapshot".into(), None);
        };
        let table = self.table(node, wait, words.names, words.statements);
        (object_words(wait, table.as_ref()).into(), table)
    }

    /// Names all that the members of a cycle wait for.
    fn held_in_cycle(
        &self,
        member: NodeIndex,
        object: &mut impl FnMut(NodeIndex) -> Object,
    ) -> Object {
        let mut held: BTreeMap<Arc<str>, Option<Table>> = BTreeMap::new();
        for &node in self.circle(member) {
            let (words, table) = object(node);
            held.entry(words).or_insert(table);
        }
        let words: Vec<&str> = held.keys().map(|words| &**words).collect();
        let words = words.join(", ").into();
        match held.len() {
            1 => (words, held.into_values().next().flatten()),
            _ => (words, None),
        }
    }
}

fn object_words(wait: &Wait<'_>, table: Option<&Table>) -> String {
    let target = &wait.request.target;
    let named = |of_table: &str, without: &str| {
        table.map_or_else(
            || without.to_owned(),
            |table| format!("{of_table} {}", table.name),
        )
    };
    match &*target.locktype {
        "transactionid" | "tuple" | "spectoken" => named("rows of", "rows"),
        "relation" => named("table", "a table"),
        "extend" => named("the end of", "the end of a table"),
        "page" => named("an index page of", "an index page"),
        "virtualxid" => "its transaction open".to_owned(),
        "applytransaction" => "a replicated transaction".to_owned(),
        _ => target.words(),
    }
}

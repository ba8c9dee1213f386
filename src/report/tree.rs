//! The wait-for graph as trees: who stands in the way on top, who waits below.
//!
//! The page is bounded in width, in depth and in length, however large the graph;
//! what is left out is counted on the page. Every session appears once in full,
//! folded into a line with others like it, or as part of a count.

use std::cmp::Reverse;
use std::collections::HashMap;

use super::Style;
use super::figures::{duration, plural};
use super::forest::Forest;
use super::line::{Ink, Line, column, fit};
use super::naming::statement_name;
use super::unfinished::why_not_finished;
use super::who::{party, state, system};
use crate::graph::Certainty;
use crate::graph::chain::Chain;
use crate::graph::view::{Edge, EdgeKind, GraphView};

/// Levels below a root that are drawn.
const DEPTH: usize = 8;
/// Lines below one node.
const BREADTH: usize = 12;
/// Roots that are drawn.
const ROOTS: usize = 10;
/// Things that a root holds.
const HELD: usize = 3;
/// Systems that are named as hit by one of them.
const HIT: usize = 2;
/// Sessions alike under one blocker, beyond which they fold into one line.
const ALIKE: usize = 5;

/// Draws a graph; one calm line where nobody waits.
#[must_use]
pub fn render(view: &GraphView, style: &Style) -> String {
    let mut page = Page {
        forest: Forest::new(view),
        style: *style,
        text: String::new(),
        least_sure: Certainty::Sure,
    };
    page.draw();
    page.text
}

/// Names what a waiter asks for: `ShareLock on a row of public.state_counter (inferred)`.
///
/// A table that the statement before it names already is not named again.
fn asked(edge: &Edge, statement: &str) -> String {
    let is_row = matches!(edge.lock.kind.as_str(), "tuple" | "transactionid");
    let table = edge.lock.table.as_deref();
    let is_said = table.is_some_and(|table| {
        let name = table.strip_prefix("public.").unwrap_or(table);
        statement.split(' ').any(|word| word == name)
    });
    let Some(mode) = &edge.lock.mode else {
        return edge.lock.target.clone();
    };
    let inferred = if edge.lock.table_basis == Some("inferred") {
        " (inferred)"
    } else {
        ""
    };
    // Where the row stands at this instant, for who wants to look at it.
    let row = edge
        .lock
        .row
        .as_deref()
        .map_or_else(|| "a row".to_owned(), |row| format!("row {row}"));
    match table {
        Some(_) if is_said && is_row => format!("{mode} on {row}{inferred}"),
        Some(_) if is_said => format!("{mode}{inferred}"),
        Some(table) if is_row => format!("{mode} on {row} of {table}{inferred}"),
        Some(table) if edge.lock.kind == "relation" => format!("{mode} on {table}{inferred}"),
        Some(table) => format!("{mode} on {} ({table}{inferred})", edge.lock.target),
        None if is_row => format!("{mode} on a row"),
        None if edge.lock.kind == "relation" => format!("{mode} on a table"),
        None => format!("{mode} on {}", edge.lock.target),
    }
}

struct Page<'a> {
    forest: Forest<'a>,
    style: Style,
    text: String,
    /// The least sure order of a queue that was drawn.
    least_sure: Certainty,
}

impl Page<'_> {
    fn write(&mut self, line: Line) {
        line.write(&mut self.text, self.style);
    }

    fn draw(&mut self) {
        let view = self.forest.view;
        if view.edges.is_empty() && view.unseen.is_empty() && view.cycles.is_empty() {
            let calm = format!(
                "Nobody waits for a lock at {} UTC.",
                view.taken_at.0.to_clock()
            );
            self.write(Line::default().plus(Ink::Calm, &calm));
            return;
        }
        let dead = self.forest.deadlocks.iter().map(|&cycle| (cycle, true));
        let doubtful = self.forest.doubtful.iter().map(|&cycle| (cycle, false));
        let cycles: Vec<(&[i32], bool)> = dead.chain(doubtful).take(ROOTS).collect();
        for (cycle, held) in cycles {
            self.cycle(cycle, held);
        }
        // Who only waits and was not seen to be blocked is told below, by its wait event.
        let tops: Vec<usize> = self
            .forest
            .tops
            .iter()
            .copied()
            .filter(|&n| {
                let forest = &self.forest;
                forest.is_in_the_way(n) || forest.in_cycle[n] || forest.within[n].is_some()
            })
            .collect();
        for &top in tops.iter().take(ROOTS) {
            self.top(top);
        }
        if let Some(rest) = tops.get(ROOTS..).filter(|rest| !rest.is_empty()) {
            let behind: usize = rest.iter().map(|&n| view.nodes[n].behind).sum();
            let more = format!(
                "… and {} more with {} behind them",
                plural(rest.len(), "root"),
                plural(behind, "wait")
            );
            self.write(Line::default().plus(Ink::Faint, &more));
        }
        for (event, &n) in view.unseen.iter().take(BREADTH) {
            let line = format!(
                "{} {} for {event}, and nobody was seen in the way",
                plural(n, "session"),
                if n == 1 { "waits" } else { "wait" }
            );
            self.write(Line::new("? ").plus(Ink::Wait, &line));
        }
        self.legend();
    }

    /// Explains what a row says in a word about a queue's order.
    fn legend(&mut self) {
        let meant = match self.least_sure {
            Certainty::Sure => return,
            Certainty::NearTie => {
                "order unsure: they began to wait within a millisecond of each other"
            }
            Certainty::Unknown => {
                "order unknown: since when they wait is not told, or the server moved the queue"
            }
        };
        self.write(Line::default().plus(Ink::Faint, meant));
    }

    fn cycle(&mut self, cycle: &[i32], held: bool) {
        let shown: Vec<String> = cycle.iter().take(BREADTH).map(i32::to_string).collect();
        let chain = match (shown.first(), cycle.len() > BREADTH) {
            (Some(first), false) => format!("{} → {first}", shown.join(" → ")),
            _ => format!("{} → …", shown.join(" → ")),
        };
        let line = Line::default()
            .plus(Ink::Blame, if held { "deadlock " } else { "? deadlock " })
            .plus(Ink::Plain, &chain)
            .plus(
                Ink::Faint,
                if held {
                    "  the server breaks it after deadlock_timeout"
                } else {
                    "  only if the queue's order still holds"
                },
            );
        self.write(line);
    }

    fn top(&mut self, n: usize) {
        let node = &self.forest.view.nodes[n];
        let depth = self.forest.chains(n).map(|chain| chain.depth).max();
        let deep = match depth {
            Some(depth) if depth > 1 => format!(", {depth} deep"),
            _ => String::new(),
        };
        let line = Line::new("● ")
            .plus(Ink::Faint, &format!("{} ", party(node)))
            .plus(Ink::Blame, &system(node))
            .plus(
                Ink::Plain,
                &state(node).map_or_else(String::new, |state| format!("  {state}")),
            )
            .plus(
                Ink::Wait,
                &match node.behind {
                    0 => "  nobody behind it".to_owned(),
                    behind => format!("  {} behind it{deep}", plural(behind, "session")),
                },
            );
        self.write(line);
        let why = match self.forest.within[n] {
            _ if self.forest.in_cycle[n] => "part of a deadlock".to_owned(),
            Some(edge) => format!(
                "its parallel workers take turns to extend {}",
                edge.lock.table.as_deref().unwrap_or("a table")
            ),
            None if self.forest.in_doubtful_cycle(n) => {
                "waits itself, for one of those below it: a circle, if the order still holds"
                    .to_owned()
            }
            None => why_not_finished(node),
        };
        self.write(
            Line::default()
                .plus(Ink::Faint, "│    ")
                .plus(Ink::Plain, &why),
        );
        if let Some(query) = node.query.as_ref().filter(|query| !query.is_empty()) {
            // Who is idle runs nothing: what is told is what it ran last.
            let last = if node.state.starts_with("idle") {
                "last ran "
            } else {
                ""
            };
            let line = Line::default()
                .plus(Ink::Faint, &format!("│    {last}"))
                .plus(Ink::Faint, &fit(&statement_start(query), self.style.width));
            self.write(line);
            if self.forest.took_lock_before(n) {
                let line = "│    an earlier statement took the lock";
                self.write(Line::default().plus(Ink::Faint, line));
            }
        }
        let held: Vec<&Chain> = self.forest.chains(n).collect();
        for chain in held.iter().take(HELD) {
            let line = Line::default()
                .plus(Ink::Faint, "│    holds ")
                .plus(Ink::Plain, &chain.object)
                .plus(Ink::Faint, ", hits ")
                .plus(Ink::Wait, &hits(chain));
            self.write(line);
        }
        if held.len() > HELD {
            let more = plural(held.len() - HELD, "more thing");
            let line = format!("│    holds {more} that others wait for");
            self.write(Line::default().plus(Ink::Faint, &line));
        }
        self.below(n, "", 1);
    }

    /// Draws what waits behind a node, one line for each or for many alike.
    fn below(&mut self, n: usize, margin: &str, depth: usize) {
        let children = self.forest.children[n].clone();
        let again = self.forest.elsewhere[n].len();
        let rows = fold(&self.forest, &children);
        // A line that says "one more" is no shorter than the one it stands for.
        let last = if rows.len() <= BREADTH + 1 {
            rows.len()
        } else {
            BREADTH
        };
        let hidden = rows.len() - last;
        for (at, row) in rows.iter().take(last).enumerate() {
            let is_end = at + 1 == last && hidden == 0 && again == 0;
            let branch = format!("{margin}{}", if is_end { "└─ " } else { "├─ " });
            self.row(row, &branch);
            if let [child] = row.as_slice() {
                let inner = format!("{margin}{}", if is_end { "   " } else { "│  " });
                if depth < DEPTH {
                    self.below(*child, &inner, depth + 1);
                } else if !self.forest.children[*child].is_empty() {
                    let behind = self.forest.view.nodes[*child].behind;
                    let line = Line::default().plus(Ink::Faint, &inner).plus(
                        Ink::Faint,
                        &format!("└─ … {} deeper", plural(behind, "session")),
                    );
                    self.write(line);
                }
            }
        }
        if hidden > 0 {
            let rest: Vec<usize> = rows[last..].iter().flatten().copied().collect();
            let longest = rest
                .iter()
                .filter_map(|&n| self.forest.longest_ms[n])
                .reduce(f64::max)
                .map_or_else(String::new, |ms| format!(", up to {}", duration(ms)));
            let branch = if again == 0 { "└─ " } else { "├─ " };
            let line = Line::default()
                .plus(Ink::Faint, &format!("{margin}{branch}… "))
                .plus(
                    Ink::Wait,
                    &format!("{} more{longest}", plural(rest.len(), "session")),
                );
            self.write(line);
        }
        if again > 0 {
            let line = Line::default()
                .plus(Ink::Faint, &format!("{margin}└─ "))
                .plus(
                    Ink::Faint,
                    &match self.forest.elsewhere[n].as_slice() {
                        [one] => format!(
                            "{} waits for it too, shown elsewhere",
                            party(&self.forest.view.nodes[*one])
                        ),
                        many => format!(
                            "{} wait for it too, shown elsewhere",
                            plural(many.len(), "session")
                        ),
                    },
                );
            self.write(line);
        }
    }

    fn row(&mut self, row: &[usize], branch: &str) {
        let Some(&first) = row.first() else {
            return;
        };
        let node = &self.forest.view.nodes[first];
        let longest = row
            .iter()
            .filter_map(|&n| self.forest.view.nodes[n].waiting_ms)
            .reduce(f64::max);
        let who = if row.len() == 1 {
            format!("{} {}", party(node), system(node))
        } else {
            format!("{} × {}", row.len(), system(node))
        };
        let passed_on = match node.behind {
            _ if row.len() > 1 || self.forest.children[first].is_empty() => String::new(),
            behind if self.forest.makes_queue(first) => format!("  gate, {behind} behind"),
            behind => format!("  {behind} behind"),
        };
        let waited = match longest {
            Some(ms) if row.len() == 1 => duration(ms),
            Some(ms) => format!("up to {}", duration(ms)),
            None => "time unknown".to_owned(),
        };
        let place = 26_usize.saturating_sub(branch.chars().count());
        let mut line = Line::default()
            .plus(Ink::Faint, branch)
            .plus(Ink::Plain, &format!("{} ", column(&who, place.max(16))))
            .plus(Ink::Wait, &format!("{waited:<7}"))
            .plus(Ink::Blame, &passed_on)
            .plus(Ink::Faint, self.order(row));
        let statement = match &node.query {
            Some(query) => statement_name(query),
            None if node.backend_type == "startup" => "replay".to_owned(),
            None => String::new(),
        };
        if !statement.is_empty() {
            line = line.plus(Ink::Plain, &format!("  {statement}"));
        }
        if let Some(edge) = self.forest.wait[first] {
            let ahead = match (row, node.ahead) {
                ([_], ahead) if ahead > 0 => format!(", {ahead} ahead"),
                _ => String::new(),
            };
            line = line.plus(Ink::Faint, &format!("  {}{ahead}", asked(edge, &statement)));
        }
        self.write(line);
    }

    /// Says that the order of the queue is not sure in which a row stands.
    fn order(&mut self, row: &[usize]) -> &'static str {
        let edges = row.iter().filter_map(|&n| self.forest.wait[n]);
        let soft = edges.filter(|edge| edge.kind == EdgeKind::Soft);
        let certainty = soft.map(|edge| edge.certainty).max();
        let certainty = certainty.unwrap_or(Certainty::Sure);
        self.least_sure = self.least_sure.max(certainty);
        match certainty {
            Certainty::Sure => "",
            Certainty::NearTie => "  order unsure",
            Certainty::Unknown => "  order unknown",
        }
    }
}

/// Puts leaves that are alike into one row, where they are many; every other node into its own.
fn fold(forest: &Forest<'_>, nodes: &[usize]) -> Vec<Vec<usize>> {
    let key = |n: usize| {
        let node = &forest.view.nodes[n];
        let is_leaf = forest.children[n].is_empty() && forest.elsewhere[n].is_empty();
        let table = forest.wait[n].and_then(|edge| edge.lock.table.as_deref());
        is_leaf.then_some((node.system.as_deref(), node.query.as_deref(), table))
    };
    let mut alike: HashMap<_, usize> = HashMap::new();
    for key in nodes.iter().filter_map(|&n| key(n)) {
        *alike.entry(key).or_default() += 1;
    }
    let mut rows: Vec<Vec<usize>> = Vec::new();
    let mut row_of: HashMap<_, usize> = HashMap::new();
    for &n in nodes {
        match key(n).filter(|key| alike[key] > ALIKE) {
            None => rows.push(vec![n]),
            Some(key) => {
                let row = *row_of.entry(key).or_insert(rows.len());
                if row == rows.len() {
                    rows.push(Vec::new());
                }
                rows[row].push(n);
            }
        }
    }
    rows
}

/// Names the systems that wait because of one thing held, those with most sessions first.
fn hits(chain: &Chain) -> String {
    let mut systems: Vec<(&String, &usize)> = chain.systems.iter().collect();
    systems.sort_by_key(|&(name, n)| (Reverse(*n), name));
    // One more is no longer than the count that it would be part of.
    let named = if systems.len() == HIT + 1 {
        HIT + 1
    } else {
        HIT
    };
    let mut said: Vec<String> = systems
        .iter()
        .take(named)
        .map(|&(name, n)| match name.as_str() {
            "" => format!("(no name) {n}"),
            name => format!("{} {n}", fit(name, 40)),
        })
        .collect();
    if systems.len() > named {
        said.push(format!("{} others", systems.len() - named));
    }
    said.join(", ")
}

/// Gives as much of a text as a line could show.
fn statement_start(query: &str) -> String {
    query.chars().take(400).collect()
}

#[cfg(test)]
#[path = "tree_tests.rs"]
mod tests;

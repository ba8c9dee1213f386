//! The first screen in an incident: what is certain now, what to do first, what is unknown.
//!
//! It rests on one look, before any statistics. Every statement it offers is fenced
//! by `backend_start`, so that a pid that was reused is not hit.

use std::collections::BTreeMap;

use super::Style;
use super::figures::{duration, plural};
use super::forest::Forest;
use super::line::{Ink, Line, heading, is_invisible, paragraph};
use super::naming::statement_name;
use super::tree::{party, system, why_not_finished};
use super::words::list;
use crate::graph::view::{GraphView, Node};
use crate::time::{Span, Timestamp};

/// Roots that the screen deals with.
const ROOTS: usize = 3;

/// Draws the screen; one calm line where nobody is blocked.
///
/// `role_may_signal` says whether the role in use may cancel others' statements, where that is known.
#[must_use]
pub fn render(view: &GraphView, role_may_signal: Option<bool>, style: &Style) -> String {
    let forest = Forest::new(view);
    let mut page = String::new();
    let waiters: Vec<&Node> = forest.waiters().collect();
    let unseen: usize = view.unseen.values().sum();
    if waiters.is_empty() && unseen == 0 {
        let calm = format!(
            "Nobody waits for a lock at {} UTC.",
            view.taken_at.0.to_clock()
        );
        Line::default()
            .plus(Ink::Calm, &calm)
            .write(&mut page, *style);
        return page;
    }
    blocked(&mut page, *style, &waiters, unseen);
    let tops: Vec<usize> = forest
        .tops
        .iter()
        .copied()
        .filter(|&n| forest.is_in_the_way(n) && !forest.in_cycle[n])
        .take(ROOTS)
        .collect();
    if !tops.is_empty() || !forest.deadlocks.is_empty() {
        heading(&mut page, *style, "Certain");
        for cycle in forest.deadlocks.iter().take(ROOTS) {
            let text = format!(
                "{} wait for each other: a deadlock, which the server breaks by itself after deadlock_timeout.",
                plural(cycle.len(), "session")
            );
            paragraph(&mut page, *style, Ink::Plain, "  ", &text);
        }
        for &top in &tops {
            paragraph(&mut page, *style, Ink::Plain, "  ", &certain(&forest, top));
        }
    }
    let mut steps: Vec<Step> = tops.iter().flat_map(|&top| steps(&forest, top)).collect();
    steps.sort_by_key(|step| step.cost);
    if !steps.is_empty() {
        heading(&mut page, *style, "Do first, gentlest first");
        for (n, step) in steps.iter().enumerate() {
            let number = format!("  {}. ", n + 1);
            paragraph(&mut page, *style, Ink::Plain, &number, &step.what);
            for line in &step.statement {
                // A statement is copied: it is never cut, only broken where SQL allows it.
                let whole = Style {
                    width: usize::MAX,
                    ..*style
                };
                Line::new("     ")
                    .plus(Ink::Calm, line)
                    .write(&mut page, whole);
            }
        }
        paragraph(
            &mut page,
            *style,
            Ink::Faint,
            "  ",
            may_run(&steps, role_may_signal),
        );
    }
    heading(&mut page, *style, "Unknown");
    for line in unknown(&forest, &waiters) {
        paragraph(&mut page, *style, Ink::Plain, "  ", &line);
    }
    page
}

/// Says how many sessions of which systems are blocked, and for how long.
fn blocked(page: &mut String, style: Style, waiters: &[&Node], unseen: usize) {
    let mut systems: BTreeMap<String, usize> = BTreeMap::new();
    for node in waiters {
        *systems.entry(system(node)).or_default() += 1;
    }
    let longest = waiters
        .iter()
        .filter_map(|node| node.waiting_ms)
        .reduce(f64::max)
        .map_or_else(
            || "for a time that the server does not tell".to_owned(),
            |ms| format!("the longest for {}", duration(ms)),
        );
    // Who was seen to be blocked by somebody is not among those of whom that was not seen.
    let count = waiters.len() + unseen;
    let of_systems = match (systems.len(), unseen) {
        (0, _) => String::new(),
        (n, 0) => format!(" of {}", plural(n, "system")),
        (n, _) => format!(" of {} or more", plural(n, "system")),
    };
    let text = format!(
        "{}{of_systems} {} blocked, {longest}.",
        plural(count, "session"),
        if count == 1 { "is" } else { "are" }
    );
    paragraph(page, style, Ink::Blame, "", &text);
    let mut by_count: Vec<(&String, &usize)> = systems.iter().collect();
    by_count.sort_by_key(|(name, n)| (std::cmp::Reverse(**n), (*name).clone()));
    let mut said: Vec<String> = by_count
        .iter()
        .take(6)
        .map(|(name, n)| format!("{name} {n}"))
        .collect();
    if by_count.len() > 6 {
        said.push(format!("{} more systems", by_count.len() - 6));
    }
    if unseen > 0 {
        said.push(format!("not known whose {unseen}"));
    }
    paragraph(page, style, Ink::Wait, "  ", &said.join(" · "));
}

/// Says what is certain about one root: who, why unfinished, whom it hits, where, since when.
fn certain(forest: &Forest<'_>, top: usize) -> String {
    let node = &forest.view.nodes[top];
    let since = forest.longest_ms[top].map_or_else(
        || "since when the server does not tell".to_owned(),
        |ms| {
            let since = instant_before(forest.view.taken_at.0, ms);
            format!("since {}", since.to_clock())
        },
    );
    let root = format!(
        "{} ({}, {}) stands in the way of {}{}, {since}: {}.",
        system(node),
        party(node),
        node.state,
        plural(node.behind, "session"),
        over(forest, top),
        why_not_finished(node)
    );
    match forest.gate(top) {
        None => root,
        Some(gate) => {
            let gate = &forest.view.nodes[gate];
            format!(
                "The gate is {} of {} ({}): it waits, and {} queue behind it. {root}",
                gate.query
                    .as_deref()
                    .map_or_else(|| "a statement".to_owned(), statement_name),
                system(gate),
                party(gate),
                plural(gate.behind, "session"),
            )
        }
    }
}

/// Names the tables that those behind a root wait for; nothing where none is known.
fn over(forest: &Forest<'_>, top: usize) -> String {
    let mut tables: BTreeMap<&str, bool> = BTreeMap::new();
    let mut is_whole = true;
    for edge in forest.below(top).iter().filter_map(|&n| forest.wait[n]) {
        match &edge.lock.table {
            Some(table) => {
                let measured = edge.lock.table_basis != Some("inferred");
                *tables.entry(table).or_default() |= measured;
            }
            None => is_whole = false,
        }
    }
    let names: Vec<String> = tables
        .iter()
        .map(|(table, measured)| {
            let mark = if *measured { "" } else { " (inferred)" };
            format!("{table}{mark}")
        })
        .collect();
    match (names.is_empty(), is_whole) {
        (true, _) => String::new(),
        (false, true) => format!(", over {}", list(&names)),
        (false, false) => format!(", over {}, among others", list(&names)),
    }
}

fn instant_before(now: Timestamp, ms: f64) -> Timestamp {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the cast saturates, and so does the subtraction"
    )]
    let micros = (ms * 1e3) as i64;
    now - Span::from_micros(micros)
}

/// What a step costs others, least first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Price {
    /// Nothing but a question.
    Question,
    /// The statement and transaction of who only waits.
    Queue,
    /// The statement and transaction of who is at work.
    Work,
    /// A session, or a transaction that was promised to be kept.
    Session,
}

/// Something to do, with the statement that does it.
struct Step {
    cost: Price,
    what: String,
    statement: Vec<String>,
    needs_signal: bool,
}

/// Gives what to do about one root, gentlest first.
fn steps(forest: &Forest<'_>, top: usize) -> Vec<Step> {
    let root = &forest.view.nodes[top];
    let who = format!("{} ({})", system(root), party(root));
    let mut steps = Vec::new();
    if let Some(gate) = forest.gate(top) {
        steps.extend(cancel_gate(forest, gate));
    }
    match root.state.as_str() {
        "prepared" => steps.extend(prepared(root)),
        _ if root.backend_type == "autovacuum worker" => steps.extend(signal(
            root,
            Price::Queue,
            "pg_cancel_backend",
            format!("Cancel {who}: autovacuum starts over later; if it runs against wraparound it comes back at once and should be left alone."),
        )),
        _ if root.backend_type != "client backend" => {}
        "idle in transaction" | "idle in transaction (aborted)" | "idle" => {
            steps.push(Step {
                cost: Price::Question,
                what: format!(
                    "Ask the owner of {} whether it can finish by itself; that costs nobody anything.",
                    system(root)
                ),
                statement: Vec::new(),
                needs_signal: false,
            });
            steps.extend(signal(
                root,
                Price::Session,
                "pg_terminate_backend",
                format!("End the session of {who}: its transaction rolls back and it must reconnect; a cancel would not do, for it runs nothing."),
            ));
        }
        _ => {
            steps.extend(signal(
                root,
                Price::Work,
                "pg_cancel_backend",
                format!("Cancel the statement of {who}: its transaction fails and must be run again."),
            ));
            steps.extend(signal(
                root,
                Price::Session,
                "pg_terminate_backend",
                format!("If cancelling does not help, end the session of {who}: it must reconnect as well."),
            ));
        }
    }
    steps
}

/// Cancels who waits itself and makes others queue, and says who gains by it.
fn cancel_gate(forest: &Forest<'_>, gate: usize) -> Option<Step> {
    let nodes = &forest.view.nodes;
    let named = |n: usize| format!("{} ({})", system(&nodes[n]), party(&nodes[n]));
    let freed = match nodes[gate].frees {
        0 => None,
        1 => Some("the 1 session that waits for nobody else goes on at once".to_owned()),
        n => Some(format!(
            "the {n} sessions that wait for nobody else go on at once"
        )),
    };
    let next = forest.next_in_the_way(gate).map(|next| {
        if forest.is_waiter(next) {
            format!("the next gate is {}", named(next))
        } else {
            format!("others wait for {} as well", named(next))
        }
    });
    let gain: Vec<String> = match (&freed, &next) {
        (None, Some(_)) => vec!["nobody goes on by that alone".to_owned()],
        _ => Vec::new(),
    };
    let gain: Vec<String> = gain.into_iter().chain(freed).chain(next).collect();
    signal(
        &nodes[gate],
        Price::Queue,
        "pg_cancel_backend",
        format!(
            "Cancel the gate, {}: {}. Its statement fails, and with it the transaction it is in; it can be run again with a lock_timeout.",
            named(gate),
            gain.join("; ")
        ),
    )
}

/// Gives a signal to one backend, fenced by its start; none where its start is not known.
fn signal(node: &Node, cost: Price, function: &str, what: String) -> Option<Step> {
    let (pid, start) = (node.party.pid?, node.backend_start?);
    Some(Step {
        cost,
        what,
        statement: vec![
            format!("SELECT {function}(pid) FROM pg_stat_activity"),
            format!(
                "WHERE pid = {pid} AND backend_start = '{}';",
                start.0.to_rfc3339_whole()
            ),
        ],
        needs_signal: true,
    })
}

/// Deals with a prepared transaction: its manager knows what is to become of it.
fn prepared(node: &Node) -> Vec<Step> {
    let Some(gid) = node.party.gid.as_deref() else {
        return Vec::new();
    };
    let database = node.database.as_deref().unwrap_or("its own");
    vec![
        Step {
            cost: Price::Question,
            what: format!(
                "Ask the transaction manager of {} whether {} is to be committed or rolled back; that costs nobody anything.",
                system(node),
                party(node)
            ),
            statement: Vec::new(),
            needs_signal: false,
        },
        Step {
            cost: Price::Session,
            what: format!(
                "To give {} up, in the database {database}, as its owner or a superuser (what it did is lost):",
                party(node)
            ),
            statement: vec![format!("ROLLBACK PREPARED {};", literal(gid))],
            needs_signal: false,
        },
    ]
}

/// Quotes a text as an SQL literal that survives being printed, whatever is in it.
fn literal(text: &str) -> String {
    let is_plain = |c: char| !c.is_control() && !is_invisible(c) && c != '\\';
    let quoted: String = text
        .chars()
        .map(|c| match c {
            '\'' => "''".to_owned(),
            '\\' => "\\\\".to_owned(),
            c if is_plain(c) => c.to_string(),
            c => format!("\\u{:04X}", u32::from(c)),
        })
        .collect();
    let escapes = if text.chars().all(is_plain) { "" } else { "E" };
    format!("{escapes}'{quoted}'")
}

/// Says whether this role may run what is offered.
fn may_run(steps: &[Step], role_may_signal: Option<bool>) -> &'static str {
    if !steps.iter().any(|step| step.needs_signal) {
        return "Nothing here needs the right to signal other sessions.";
    }
    match role_may_signal {
        Some(true) => "This role may signal these sessions; a superuser's only a superuser may.",
        Some(false) => {
            "This role may signal the sessions of its own role only: for others it takes their role, or pg_signal_backend."
        }
        None => {
            "Whether this role may do so is not known: it takes their role, or pg_signal_backend."
        }
    }
}

fn unknown(forest: &Forest<'_>, waiters: &[&Node]) -> Vec<String> {
    let mut said = vec!["Whether it grows: this is one look.".to_owned()];
    for cycle in forest.doubtful.iter().take(ROOTS) {
        said.push(format!(
            "Whether {} wait for each other, a deadlock: that rests on the order of a queue, which the server may have rearranged.",
            plural(cycle.len(), "session")
        ));
    }
    let nameless: Vec<String> = waiters
        .iter()
        .filter(|node| node.system.is_none())
        .map(|node| party(node))
        .collect();
    if !nameless.is_empty() {
        said.push(format!("Whose sessions these are: {}.", list(&nameless)));
    }
    for (event, &n) in forest.view.unseen.iter().take(4) {
        said.push(format!(
            "Who is in the way of {} that {} for {event}: no blocker could be seen.",
            plural(n, "session"),
            if n == 1 { "waits" } else { "wait" }
        ));
    }
    said
}

#[cfg(test)]
#[path = "first_screen_tests.rs"]
mod tests;

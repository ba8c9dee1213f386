//! The first screen in an incident: what is certain now, what to do first, what is unknown.
//!
//! It rests on one look, before any statistics. With [`with_tree`] the graph stands in place of
//! the sentences about each root.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use super::Style;
use super::figures::{duration, plural};
use super::forest::Forest;
use super::line::{Ink, Line, heading, paragraph};
use super::naming::statement_name;
use super::rights::Rights;
use super::steps::{Step, steps};
use super::tree;
use super::unfinished::why_not_finished;
use super::wait_words::without_holder;
use super::who::{named, party, state, system};
use super::words::list;
use crate::graph::view::{GraphView, Node};
use crate::time::{Span, Timestamp};

/// Roots that the screen deals with.
const ROOTS: usize = 3;
/// Wait events without a holder that are named where several mean the same.
const EVENTS: usize = 3;

/// Draws the screen; one calm line where nobody waits.
///
/// `rights` say what the role in use may do, where that is known.
#[must_use]
pub fn render(view: &GraphView, rights: Option<&Rights>, style: &Style) -> String {
    page(view, rights, *style, false)
}

/// Draws the same with the whole graph as trees.
#[must_use]
pub fn with_tree(view: &GraphView, rights: Option<&Rights>, style: &Style) -> String {
    page(view, rights, *style, true)
}

fn page(view: &GraphView, rights: Option<&Rights>, style: Style, with_tree: bool) -> String {
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
            .write(&mut page, style);
        holderless(&mut page, style, view);
        return page;
    }
    blocked(&mut page, style, &waiters, unseen);
    let tops: Vec<usize> = forest
        .tops
        .iter()
        .copied()
        .filter(|&n| forest.is_in_the_way(n) && !forest.in_cycle[n])
        .take(ROOTS)
        .collect();
    if with_tree {
        page.push('\n');
        page += &tree::render(view, &style);
    } else if !tops.is_empty() || !forest.deadlocks.is_empty() {
        heading(&mut page, style, "Certain");
        for cycle in forest.deadlocks.iter().take(ROOTS) {
            let text = format!(
                "{} wait for each other: a deadlock, which the server breaks by itself after deadlock_timeout.",
                plural(cycle.len(), "session")
            );
            paragraph(&mut page, style, Ink::Plain, "  ", &text);
        }
        for &top in &tops {
            paragraph(&mut page, style, Ink::Plain, "  ", &certain(&forest, top));
        }
    }
    let steps = steps(&forest, rights, &tops);
    if !steps.is_empty() {
        heading(&mut page, style, "Do first, gentlest first");
        for (n, step) in steps.iter().enumerate() {
            offer(&mut page, style, n + 1, step);
        }
        let left = forest.view.roots.len().saturating_sub(tops.len());
        let mut notes = Vec::new();
        if left > 0 {
            notes.push(format!(
                "{} {} in the way: look again when these are done.",
                plural(left, "more root"),
                if left == 1 { "is" } else { "are" }
            ));
        }
        let promise = "pgjam does none of this: it only reads.";
        notes.push(match rights {
            Some(rights) => format!("This role is {}. {promise}", rights.role),
            None => promise.to_owned(),
        });
        for note in &notes {
            paragraph(&mut page, style, Ink::Faint, "  ", note);
        }
    }
    holderless(&mut page, style, view);
    heading(&mut page, style, "Unknown");
    for line in unknown(&forest, &waiters) {
        paragraph(&mut page, style, Ink::Plain, "  ", &line);
    }
    page
}

/// Writes one step: what to do, what that does to whom, the statement, and who may run it.
fn offer(page: &mut String, style: Style, number: usize, step: &Step) {
    let number = format!("  {number}. ");
    let margin = " ".repeat(number.len());
    // What is copied is never cut, only broken where SQL allows it.
    let whole = Style {
        width: usize::MAX,
        ..style
    };
    paragraph(page, style, Ink::Title, &number, &step.what);
    paragraph(page, style, Ink::Plain, &margin, &step.effect);
    for line in &step.statement {
        Line::new(&margin).plus(Ink::Calm, line).write(page, whole);
    }
    if let Some(permission) = &step.permission {
        Line::new(&margin)
            .plus(Ink::Faint, &permission.words())
            .write(page, whole);
    }
}

/// Counts the waits for what nobody holds, and says once what each kind means.
fn holderless(page: &mut String, style: Style, view: &GraphView) {
    let mut kinds: BTreeMap<&str, Vec<(usize, &str)>> = BTreeMap::new();
    for (event, &n) in &view.without_holder {
        let alike = kinds.entry(without_holder(event)).or_default();
        alike.push((n, event));
    }
    if kinds.is_empty() {
        return;
    }
    heading(page, style, "Waits without a holder");
    let sessions = |alike: &[(usize, &str)]| alike.iter().map(|(n, _)| n).sum::<usize>();
    let mut kinds: Vec<_> = kinds.into_iter().collect();
    kinds.sort_by_key(|(meaning, alike)| (Reverse(sessions(alike)), *meaning));
    for (meaning, alike) in &mut kinds {
        alike.sort_by_key(|&(n, event)| (Reverse(n), event));
        let all = sessions(alike);
        let waits = if all == 1 { "waits" } else { "wait" };
        let events = match alike.as_slice() {
            [(_, one)] => (*one).to_owned(),
            many => {
                let named = many.iter().take(EVENTS);
                let mut said: Vec<String> =
                    named.map(|(n, event)| format!("{event} {n}")).collect();
                if many.len() > EVENTS {
                    said.push(plural(many.len() - EVENTS, "other event"));
                }
                said.join(", ")
            }
        };
        let text = format!(
            "{} {waits} for {events}: {meaning}.",
            plural(all, "session")
        );
        paragraph(page, style, Ink::Plain, "  ", &text);
    }
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
    by_count.sort_by_key(|(name, n)| (Reverse(**n), (*name).clone()));
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
        "{} ({}) stands in the way of {}{}, {since}: {}.",
        system(node),
        [Some(party(node).as_str()), state(node)]
            .into_iter()
            .flatten()
            .collect::<Vec<_>>()
            .join(", "),
        plural(node.behind, "session"),
        over(forest, top),
        why_not_finished(node)
    );
    match forest.gate(top) {
        None => root,
        Some(gate) => {
            let gate = &forest.view.nodes[gate];
            format!(
                "The gate is {} of {}: it waits, and {} queue behind it. {root}",
                gate.query
                    .as_deref()
                    .map_or_else(|| "a statement".to_owned(), statement_name),
                named(gate),
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
            "Who is in the way of {} that {} for {event}: nobody was seen, so they may have gone on by now. Look again.",
            plural(n, "session"),
            if n == 1 { "waits" } else { "wait" }
        ));
    }
    said
}

#[cfg(test)]
#[path = "first_screen_tests.rs"]
mod tests;

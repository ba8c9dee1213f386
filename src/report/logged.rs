//! What the server's own log states, in words.

use super::Style;
use super::figures::{count, duration, percent, plural};
use super::line::{Ink, escape, heading, paragraph};
use super::words::list;
use crate::attribution::finding::{Diagnosis, Finding};
use crate::log::{Logged, LoggedDeadlock, LoggedWaits};

/// Cells, kinds of deadlock and reasons that are told.
const TOLD: usize = 5;

/// Says what the log states of what a finding is about; nothing where it is silent.
pub(super) fn of_finding(finding: &Finding, diagnosis: &Diagnosis) -> Option<String> {
    let stated = finding.evidence.log.as_ref()?;
    let mut said = Vec::new();
    if stated.waits.waits > 0 {
        let log = diagnosis.log.as_ref()?;
        said.push(format!(
            "The server's log states {}, whoever was in the way: {}.",
            waits(&stated.waits, log),
            beside(&stated.waits)
        ));
    }
    if stated.deadlocks > 0 {
        let tables = &stated.deadlock_tables;
        let over = if tables.is_empty() {
            String::new()
        } else {
            format!(" over {}", escape(&list(tables)))
        };
        let among = match &stated.deadlock_systems[..] {
            [] => String::new(),
            [only] => format!(" within {}", escape(only)),
            several => format!(" between {}", escape(&list(several))),
        };
        said.push(format!(
            "The log states {} with it{among}{over}.",
            plural(stated.deadlocks, "deadlock")
        ));
    }
    (!said.is_empty()).then(|| said.join(" "))
}

/// Writes the section of a report for a terminal; nothing where no log was named.
pub(super) fn section(page: &mut String, style: Style, diagnosis: &Diagnosis) {
    let Some(log) = &diagnosis.log else { return };
    heading(page, style, "What the server's log states");
    let mut say = |ink, text: &str| paragraph(page, style, ink, "  ", text);
    let read = format!(
        "Read: {} in {}.",
        plural(
            usize::try_from(log.lines_read).unwrap_or(usize::MAX),
            "line"
        ),
        plural(log.files.len(), "file")
    );
    say(Ink::Faint, &read);
    for why in &log.unreadable {
        say(Ink::Wait, &format!("Not read: {}.", escape(why)));
    }
    if log.waits.waits > 0 {
        let (all, beside) = (waits(&log.waits, log), beside(&log.waits));
        say(Ink::Plain, &format!("{all}: {beside}."));
        for cell in log.cells.iter().take(TOLD) {
            let who = list(&cell.systems);
            let query = cell.query.as_deref().unwrap_or("(text unknown)");
            let table = cell.table.as_deref().unwrap_or("a table that is not told");
            let text = format!(
                "{} × {who} · {query} · {} for {table}, {}",
                cell.waits.waits,
                cell.lock_mode,
                duration(cell.waits.total_ms)
            );
            say(Ink::Plain, &escape(&text));
        }
        let more = log.cells.len().saturating_sub(TOLD) + log.more_cells;
        if more > 0 {
            say(Ink::Faint, &format!("… and {}", plural(more, "more kind")));
        }
    } else if log.lock_waits_logged == Some(false) {
        say(
            Ink::Plain,
            "log_lock_waits is off: the log tells of deadlocks and cancellations alone.",
        );
    } else {
        say(
            Ink::Plain,
            "No wait for a lock was long enough to be logged.",
        );
    }
    for kind in log.deadlock_kinds.iter().take(TOLD) {
        say(Ink::Blame, &escape(&deadlock(kind)));
    }
    if log.rearranged > 0 {
        let text = format!(
            "Avoided by putting a queue in another order: {}.",
            plural(log.rearranged, "deadlock")
        );
        say(Ink::Faint, &text);
    }
    for one in log.cancellations.iter().take(TOLD) {
        let who = one.system.as_deref().unwrap_or("somebody without a name");
        let text = format!(
            "{} of {who} cancelled: {}",
            plural(one.count, "statement"),
            one.reason
        );
        say(Ink::Faint, &escape(&text));
    }
}

/// Says how many waits there were, how long, and how they ended.
fn waits(waits: &LoggedWaits, log: &Logged) -> String {
    let longer = log
        .threshold_ms
        .map_or_else(String::new, |ms| format!(" over {}", duration(ms)));
    let ends = [
        (waits.cancelled, "cancelled"),
        (waits.deadlocked, "ended by a deadlock"),
        (waits.open, "without an end in it"),
    ];
    let ends: Vec<String> = ends
        .into_iter()
        .filter(|(n, _)| *n > 0)
        .map(|(n, how)| format!("{} {how}", count(n as u64)))
        .collect();
    let ends = if ends.is_empty() {
        String::new()
    } else {
        format!(" ({})", ends.join(", "))
    };
    format!(
        "{}{longer}{ends}, {} in all, the longest {}",
        plural(waits.waits, "wait"),
        duration(waits.total_ms),
        duration(waits.longest_ms)
    )
}

/// Says what the samples saw of the same waits.
fn beside(waits: &LoggedWaits) -> String {
    match waits.ratio {
        Some(ratio) => format!(
            "of the {} of them that were watched the samples say {}, {}",
            duration(waits.watched_ms),
            duration(waits.sampled_ms),
            percent(ratio)
        ),
        None => "nobody looked then".to_owned(),
    }
}

fn deadlock(kind: &LoggedDeadlock) -> String {
    let victim = kind.system.as_deref().unwrap_or("somebody without a name");
    let among: Vec<String> = kind
        .participants
        .iter()
        .map(|one| {
            let who = one.system.as_deref().unwrap_or("somebody without a name");
            let query = one.query.as_deref().unwrap_or("(text unknown)");
            format!("{who} ({query})")
        })
        .collect();
    let over = if kind.tables.is_empty() {
        String::new()
    } else {
        format!(" over {}", list(&kind.tables))
    };
    let when: Vec<String> = kind
        .episodes
        .iter()
        .take(TOLD)
        .map(|episode| match episode.count {
            1 => format!("at {}", episode.from.0.to_clock()),
            n => format!(
                "{n} from {} to {}",
                episode.from.0.to_clock(),
                episode.to.0.to_clock()
            ),
        })
        .collect();
    format!(
        "{}{over} that cost {victim} its transaction, among {}: {}",
        plural(kind.count, "deadlock"),
        list(&among),
        when.join(", ")
    )
}

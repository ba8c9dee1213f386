//! How the time went, as the part of a sentence that begins with "spent".

use super::figures::{count, percent};
use super::line::escape;
use super::naming::{blocker_name, statement_name};
use super::words::{list, name};
use crate::attribution::finding::{Cause, Finding, Scope};

/// Says how the time went: what was waited for, and why that took so long.
pub(super) fn spent(finding: &Finding) -> String {
    let cause = &finding.cause;
    let table = |otherwise: &str| {
        cause
            .table
            .as_deref()
            .map_or_else(|| otherwise.to_owned(), name)
    };
    let holder = holder(finding);
    if let (Some(elsewhere), "row-lock" | "relation-lock") = (held_elsewhere(cause), cause.class) {
        let between = cause
            .through
            .first()
            .and_then(|gate| gate.system.as_deref());
        return format!(
            "spent waiting for {} behind {}, which itself waits for a lock on {} that {holder}{}",
            table("a lock"),
            between.map_or_else(|| "somebody".to_owned(), name),
            name(elsewhere),
            states(cause)
        );
    }
    let what = match cause.class {
        "row-lock" => match &cause.table {
            Some(table) => format!("spent waiting for rows of {} that {holder}", name(table)),
            None => format!("spent waiting for rows that {holder}"),
        },
        "relation-lock" => format!(
            "spent waiting for a lock on {} that {holder}",
            table("a table")
        ),
        "ddl-queue" => match cause.through.first() {
            Some(gate) => format!(
                "spent queued for {} behind {} of {}, which itself waits for a lock that {holder}",
                table("a table"),
                gate.query
                    .as_deref()
                    .map_or_else(|| "a statement".to_owned(), statement_name),
                gate.system
                    .as_deref()
                    .map_or_else(|| "an unnamed system".to_owned(), name)
            ),
            None => format!(
                "spent queued for {} behind a schema change, for a lock that {holder}",
                table("a table")
            ),
        },
        "advisory-lock" => format!("spent waiting for an advisory lock that {holder}"),
        "prepared-transaction" => format!(
            "spent waiting for {} that {holder}",
            cause
                .table
                .as_deref()
                .map_or_else(|| "a lock".to_owned(), |t| format!("a lock on {}", name(t)))
        ),
        "extend-lock" => format!(
            "spent waiting for the right to extend {}, which {holder}",
            table("a table")
        ),
        "virtualxid" | "safe-snapshot" => {
            format!("spent waiting for the end of a transaction that {holder}")
        }
        "object-lock" => format!("spent waiting for an object lock that {holder}"),
        "deadlock" => match (&cause.blocker, finding.scope) {
            (Some(blocker), Scope::Culprit) => {
                format!("spent in deadlocks with {}", blocker_name(blocker))
            }
            _ => "spent in deadlocks".to_owned(),
        },
        "horizon" => format!(
            "spent reading past dead rows of {} that {} keeps from being removed{}",
            table("its tables"),
            snapshot(cause),
            more_work(finding)
        ),
        "own-work" => format!("spent on {}{}", class_words("own-work"), more_work(finding)),
        class => format!("spent on {}{}", class_words(class), load(cause)),
    };
    if cause.apportioned.is_some() || cause.class == "horizon" {
        return what;
    }
    format!("{what}{}{}", states(cause), amplifiers(cause))
}

/// Says whose old snapshot it is.
fn snapshot(cause: &Cause) -> String {
    let Some(blocker) = &cause.blocker else {
        return "an old snapshot".to_owned();
    };
    let name = blocker_name(blocker);
    match cause.dominant_state().map(|(state, _)| state) {
        Some("prepared") => format!("the prepared transaction {name}"),
        Some("replication slot") => format!("the replication slot {name}"),
        Some("standby") => format!("the standby {name}"),
        _ => format!("an open transaction of {name}"),
    }
}

/// Says what a call does more than before, where that is counted.
fn more_work(finding: &Finding) -> String {
    let evidence = &finding.evidence;
    let kinds = [
        (evidence.blocks_per_call, "blocks"),
        (evidence.rows_per_call, "rows"),
    ];
    let grown = |(per_call, kind): (Option<[f64; 2]>, &str)| {
        let [before, after] = per_call?;
        let is_more = after >= 1.5 * before && after - before >= 2.0;
        is_more.then(|| {
            format!(
                "{} {kind} a call, up from {}",
                amount(after),
                amount(before)
            )
        })
    };
    let grown: Vec<String> = kinds.into_iter().filter_map(grown).collect();
    if grown.is_empty() {
        return String::new();
    }
    format!(": {}", grown.join(", "))
}

/// Words an amount per call.
fn amount(value: f64) -> String {
    if value >= 10.0 {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "an amount, rounded"
        )]
        return count(value.round() as u64);
    }
    format!("{value:.1}")
}

/// Says whose load came, where nobody holds what is waited for.
fn load(cause: &Cause) -> String {
    let first = cause.apportioned.as_ref().and_then(|shares| shares.first());
    let Some((first, blocker)) = first.zip(cause.blocker.as_ref()) else {
        return String::new();
    };
    format!(
        "; of the load that came {} is {}'s",
        percent(first.share),
        blocker_name(blocker)
    )
}

/// Gives the table that the one at the end of the chain holds, where it is another than
/// the one that the victim waits for.
fn held_elsewhere(cause: &Cause) -> Option<&str> {
    let held = cause.blocker.as_ref()?.table.as_deref()?;
    (cause.table.as_deref() != Some(held)).then_some(held)
}

/// Says who holds it, as the rest of "a lock that …".
fn holder(finding: &Finding) -> String {
    match (&finding.cause.blocker, finding.scope) {
        (Some(blocker), Scope::Culprit) if blocker.gid.is_some() => {
            format!("the prepared transaction {} holds", blocker_name(blocker))
        }
        (Some(blocker), Scope::Culprit) => format!("{} holds", blocker_name(blocker)),
        (_, Scope::Object) => "many systems hold in turn, no single one to blame".to_owned(),
        _ => "somebody held who was gone before being seen".to_owned(),
    }
}

/// Says in which state the root was, where one state explains most of it.
fn states(cause: &Cause) -> String {
    match cause.dominant_state() {
        // Whoever is in a deadlock waits as well, which tells nothing.
        Some((state, share)) if !["prepared-transaction", "deadlock"].contains(&cause.class) => {
            format!(", {} of that time {}", percent(share), escape(state))
        }
        _ => String::new(),
    }
}

fn amplifiers(cause: &Cause) -> String {
    if cause.class == "ddl-queue" || cause.through.is_empty() {
        return String::new();
    }
    let mut names: Vec<String> = cause
        .through
        .iter()
        .filter_map(|amplifier| amplifier.system.clone())
        .collect();
    names.sort_unstable();
    names.dedup();
    if names.is_empty() {
        return String::new();
    }
    format!(", partly in a queue behind {}", list(&names))
}

/// Says a class of cause in words.
pub(super) fn class_words(class: &str) -> &str {
    match class {
        "row-lock" => "waits for row locks",
        "relation-lock" => "waits for table locks",
        "ddl-queue" => "a queue behind a schema change",
        "advisory-lock" => "waits for advisory locks",
        "prepared-transaction" => "waits for a prepared transaction",
        "deadlock" => "deadlocks",
        "object-lock" => "waits for object locks",
        "extend-lock" => "waits for the right to extend a table",
        "virtualxid" => "waits for transactions to end",
        "safe-snapshot" => "waits for a safe snapshot",
        "buffer-pin" => "waits for pinned buffers",
        "lwlock" => "waits for the server's internal (lightweight) locks",
        "wal" => "waits for the write-ahead log",
        "io" => "waits for reads and writes",
        "cpu" => "waits for a free processor",
        "sync-replication" => "waits for the synchronous standby",
        "horizon" => "dead rows that an old transaction keeps alive",
        "client" => "waits for its client",
        "own-work" => "its own work (plan, rows or blocks per call)",
        _ => "something that none of the known causes explains",
    }
}

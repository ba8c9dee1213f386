//! Findings as sentences that a person can paste into an incident.
//!
//! A sentence says who got slower, by how much and since when, through which
//! table, who stands in the way and in which state, and how sure that is. An
//! inconclusive finding accuses nobody.

use super::Worded;
use super::figures::{count, duration, interval, milliseconds, percent, plural};
use super::line::{escape, fit};
use super::naming::{blocker_name, statement_name};
use crate::attribution::finding::{
    CallsBasis, Cause, Diagnosis, Event, Finding, Growth, Scope, Verdict, Victim,
};

/// From this share of the lock waits on, that nobody was seen to hold the locks is the answer.
const MUCH_UNSEEN: f64 = 0.2;

/// Gives the one sentence that a person can paste into an incident.
pub(super) fn sentence(finding: &Finding, diagnosis: &Diagnosis) -> String {
    let said = match finding.verdict {
        Verdict::Inconclusive => not_enough_data(finding),
        Verdict::NoEffect => no_effect(finding),
        Verdict::Proved | Verdict::Supported => accusation(finding, diagnosis),
    };
    escape(&said)
}

/// Gives the answer in one sentence, also where it is that nothing is wrong or nobody looked.
pub(super) fn headline(diagnosis: &Diagnosis, findings: &[Worded]) -> String {
    if let Some(first) = findings.first()
        && first.finding.verdict.accuses()
    {
        return first.sentence.clone();
    }
    let window = &diagnosis.window;
    if window.ticks == 0 {
        return "Nobody looked: not one look at the server succeeded, so nothing can be said."
            .to_owned();
    }
    let now = &diagnosis.now;
    let waiting = if now.blocked_sessions == 0 {
        String::new()
    } else {
        format!(
            " {} of {} waited for locks at the last look, the longest for {}.",
            plural(now.blocked_sessions, "session"),
            plural(now.blocked_systems, "system"),
            now.longest_wait_ms.map_or_else(
                || "a time that the server does not tell".to_owned(),
                duration
            ),
        )
    };
    let undecided: Vec<&Finding> = findings
        .iter()
        .map(|worded| &worded.finding)
        .filter(|finding| finding.verdict == Verdict::Inconclusive)
        .collect();
    let watched = duration(window.watched_ms);
    let verdict = if undecided.is_empty() && diagnosis.unattributed_share > MUCH_UNSEEN {
        format!(
            "In {watched} of watching {} of the time lost to locks could be charged to nobody: whether a system slows another down is not known.",
            percent(diagnosis.unattributed_share)
        )
    } else if undecided.is_empty() {
        format!("Nothing in {watched} of watching suggests that a system slows another down.")
    } else {
        let minutes = undecided
            .iter()
            .filter_map(|finding| finding.needs_minutes)
            .reduce(f64::max);
        format!(
            "Not enough data yet to accuse anybody: {} {}.",
            if undecided.len() == 1 {
                "one suspicion needs".to_owned()
            } else {
                format!("{} suspicions need", undecided.len())
            },
            more_minutes(minutes)
        )
    };
    let blind = if window.missed_ticks == 0 {
        String::new()
    } else {
        format!(
            " {} of {} looks were missed, the longest stretch without one was {}.",
            count(window.missed_ticks),
            count(window.missed_ticks.saturating_add(window.ticks as u64)),
            duration(window.largest_gap_ms)
        )
    };
    escape(&format!("{verdict}{waiting}{blind}"))
}

/// Says in a few words what a watch has come to that goes on.
#[must_use]
pub fn so_far(diagnosis: &Diagnosis) -> String {
    let Some(first) = diagnosis.findings.first() else {
        return "nothing found yet".to_owned();
    };
    let verdict = match first.verdict {
        Verdict::Proved => "proved so far",
        Verdict::Supported => "supported so far",
        Verdict::Inconclusive | Verdict::NoEffect => return "not enough data yet".to_owned(),
    };
    let blocker = first.cause.blocker.as_ref().map(blocker_name);
    let what = blocker.or_else(|| first.cause.table.as_deref().map(escape));
    let what = what.unwrap_or_else(|| class_words(first.cause.class).to_owned());
    format!("{verdict}: {what}")
}

/// Says how long still to watch.
pub(super) fn more_minutes(minutes: Option<f64>) -> String {
    match minutes {
        Some(minutes) if minutes > 1.0 => format!("about {:.0} more minutes", minutes.ceil()),
        Some(_) => "about one more minute".to_owned(),
        None => "more watching".to_owned(),
    }
}

fn accusation(finding: &Finding, diagnosis: &Diagnosis) -> String {
    let lead = lead(&finding.victim);
    let spent = spent(finding);
    let sure = sureness(finding);
    let since = since(finding, diagnosis);
    let amount = finding.ms_per_call.map(|ms| {
        let range = finding.ci95_ms_per_call.map_or_else(String::new, |ci| {
            format!(" (95 % interval {})", interval(ms, ci))
        });
        (milliseconds(ms), range)
    });
    match (&finding.growth, amount) {
        (Some(growth), Some((ms, range))) => {
            format!(
                "{lead} {}{since}: {ms} of it{range} is {spent}; {sure}.",
                moved(growth)
            )
        }
        (Some(growth), None) => format!(
            "{lead} {}{since}: {} of its DB time went into {spent}; {sure}.",
            moved(growth),
            duration(finding.db_seconds * 1e3)
        ),
        (None, Some((ms, range))) => format!(
            "{lead} loses {ms} a call{range}{since}, {spent}; {sure}. There is no baseline, so by how much it grew is not known."
        ),
        (None, None) => format!(
            "{lead} lost {} of DB time{since}, {spent}; {sure}. No call was counted and there is no baseline, so the loss per call is not known.",
            duration(finding.db_seconds * 1e3)
        ),
    }
}

fn not_enough_data(finding: &Finding) -> String {
    let lead = lead(&finding.victim);
    let what = finding.growth.as_ref().map_or_else(
        || format!("why {lead} loses time"),
        |growth| format!("why {lead} {}", moved(growth)),
    );
    format!(
        "Not enough data yet to say {what}: it needs {} ({} so far).",
        more_minutes(finding.needs_minutes),
        plural(finding.evidence.samples, "sample")
    )
}

fn no_effect(finding: &Finding) -> String {
    let what = match finding.cause.class {
        "own-work" => "more work of its own".to_owned(),
        class => class_words(class).to_owned(),
    };
    let bound = match (finding.ms_per_call, finding.ci95_ms_per_call) {
        (Some(ms), Some(ci)) => format!(
            ": {} a call, 95 % interval {}",
            milliseconds(ms),
            interval(ms, ci)
        ),
        (Some(ms), None) => format!(": {} a call", milliseconds(ms)),
        _ => String::new(),
    };
    format!(
        "{} is not slowed down by {what}{bound}.",
        lead(&finding.victim)
    )
}

/// Names the victim as the subject of a sentence.
fn lead(victim: &Victim) -> String {
    let statement = statement_name(&victim.query);
    match &victim.system {
        Some(system) => format!("{}'s {statement}", name(system)),
        None if victim.systems.is_empty() => statement,
        None => format!("{statement}, run by {},", list(&victim.systems)),
    }
}

/// Names up to two of several, and counts the rest.
pub(super) fn list(names: &[String]) -> String {
    match names {
        [] => "nobody with a name".to_owned(),
        [one] => name(one),
        [one, two] => format!("{} and {}", name(one), name(two)),
        [one, two, rest @ ..] => {
            format!("{}, {} and {} more", name(one), name(two), rest.len())
        }
    }
}

/// Bounds a name.
fn name(text: &str) -> String {
    fit(&escape(text), 64)
}

fn moved(growth: &Growth) -> String {
    let direction = if growth.after_ms >= growth.before_ms {
        "up"
    } else {
        "down"
    };
    let pooled = match growth.calls_basis {
        CallsBasis::Counted => "",
        CallsBasis::Pooled => " over all who run it",
        CallsBasis::Estimated => " by estimate",
    };
    let before = if growth.before_ms > 0.0 {
        milliseconds(growth.before_ms)
    } else {
        "too little to be seen".to_owned()
    };
    format!(
        "takes {} a call{pooled}, {direction} from {before}",
        milliseconds(growth.after_ms)
    )
}

/// Says since when: the blamed system's arrival, a lone event, or a whole group's arrival.
fn since(finding: &Finding, diagnosis: &Diagnosis) -> String {
    let find = |id: &Option<String>| {
        let id = id.as_deref()?;
        diagnosis.events.iter().find(|event| event.id == id)
    };
    if let Some(event) = find(&finding.cause.event) {
        return format!(", since {}", happened(event));
    }
    let Some(event) = finding
        .growth
        .as_ref()
        .and_then(|growth| find(&growth.event))
    else {
        return String::new();
    };
    let group = diagnosis
        .groups
        .iter()
        .find(|group| group.events.len() > 1 && group.events.contains(&event.id));
    match group {
        Some(group) => format!(
            ", since {} began to write between {} and {} UTC",
            plural(group.events.len(), "system"),
            group.from.0.to_clock(),
            group.to.0.to_clock()
        ),
        None => format!(", since {}", happened(event)),
    }
}

/// Says what happened, as a clause.
fn happened(event: &Event) -> String {
    let at = event.at.0.to_clock();
    match event.kind {
        "system-onboarded" => format!("{} began to write at {at} UTC", name(&event.label)),
        "statistics-reset" => format!("the statistics were reset at {at} UTC"),
        "server-restarted" => format!("the server was restarted at {at} UTC"),
        _ => format!("\"{}\" at {at} UTC", name(&event.label)),
    }
}

/// Says how the time went: what was waited for, and why that took so long.
fn spent(finding: &Finding) -> String {
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
        class => format!("spent on {}", class_words(class)),
    };
    format!("{what}{}{}", states(cause), amplifiers(cause))
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
        Some((state, share)) if cause.class != "prepared-transaction" => {
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

/// Says how sure that is, without jargon.
fn sureness(finding: &Finding) -> String {
    let basis = match finding.cause.basis {
        "apportioned" => ", apportioned to its users and not measured",
        "inferred" => ", inferred and not measured",
        _ => "",
    };
    match finding.verdict {
        Verdict::Proved => format!(
            "proved by {} of who waits for whom{basis}",
            plural(finding.evidence.samples, "sample")
        ),
        _ => format!(
            "supported by statistics over {}, not proved{basis}",
            plural(finding.evidence.samples, "sample")
        ),
    }
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

#[cfg(test)]
#[path = "words_tests.rs"]
mod tests;

//! Findings as sentences that a person can paste into an incident.
//!
//! A sentence says who got slower, by how much and since when, through which
//! table, who stands in the way and in which state, and how sure that is. An
//! inconclusive finding accuses nobody.

use super::Worded;
use super::figures::{count, duration, interval, milliseconds, percent, plural, rate};
use super::line::{escape, fit};
use super::naming::{blocker_name, statement_name};
use super::spent::{class_words, spent};
use crate::attribution::finding::{CallsBasis, Diagnosis, Event, Finding, Growth, Verdict, Victim};

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
            "{lead} loses {ms} a call{range}{since}, {spent}; {sure}. {}",
            without_baseline(finding)
        ),
        (None, None) => format!(
            "{lead} lost {} of DB time{since}, {spent}; {sure}. No call was counted and there is no baseline, so the loss per call is not known.",
            duration(finding.db_seconds * 1e3)
        ),
    }
}

/// Says what is known of the time before, where nobody watched.
fn without_baseline(finding: &Finding) -> String {
    let unknown = "There is no baseline, so by how much it grew is not known.";
    let Some(history) = finding.evidence.history else {
        return unknown.to_owned();
    };
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a count"
    )]
    let calls = count(history.calls as u64);
    format!(
        "{unknown} In execution a call takes {}; before the watch it was {} on average over the {calls} calls that the server had counted.",
        milliseconds(history.execution_after_ms),
        milliseconds(history.execution_ms),
    )
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
pub(super) fn name(text: &str) -> String {
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
    if finding.cause.class == "own-work" {
        // Whoever came at the time has nothing to do with it.
        return format!(", since about {} UTC", event.at.0.to_clock());
    }
    let group = diagnosis
        .groups
        .iter()
        .find(|group| group.events.len() > 1 && group.events.contains(&event.id));
    match group {
        Some(group) => {
            let (from, to) = (group.from.0.to_clock(), group.to.0.to_clock());
            let of_group = |event: &&Event| group.events.contains(&event.id);
            let mut events = diagnosis.events.iter().filter(of_group);
            if events.all(|event| event.kind == "system-onboarded") {
                let systems = plural(group.events.len(), "system");
                format!(", since {systems} began to write between {from} and {to} UTC")
            } else {
                let events = plural(group.events.len(), "event");
                format!(", since {events} between {from} and {to} UTC")
            }
        }
        None => format!(", since {}", happened(event)),
    }
}

/// Says what happened, as a clause.
fn happened(event: &Event) -> String {
    let at = event.at.0.to_clock();
    match event.kind {
        "system-onboarded" => format!("{} began to write at {at} UTC", name(&event.label)),
        "system-rate" => format!("{} at {at} UTC", went_from(event)),
        "statistics-reset" => format!("the statistics were reset at {at} UTC"),
        "server-restarted" => format!("the server was restarted at {at} UTC"),
        _ => format!("\"{}\" at {at} UTC", name(&event.label)),
    }
}

/// Says how many calls a second a system made before and after.
pub(crate) fn went_from(event: &Event) -> String {
    let [before, after] = event.calls_per_second.unwrap_or_default().map(rate);
    let system = name(&event.label);
    format!("{system} went from {before} to {after} calls a second")
}

/// Says how sure that is, without jargon.
fn sureness(finding: &Finding) -> String {
    let basis = match finding.cause.basis {
        "apportioned" => ", apportioned by what each system added and not measured",
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

#[cfg(test)]
#[path = "words_tests.rs"]
mod tests;

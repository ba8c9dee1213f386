//! The report for a terminal.
//!
//! The answer first, then what it rests on; what was missed, what watching cost and
//! what was watched always stand at the end.

use std::fmt::Write as _;

use super::figures::{count, duration, interval, milliseconds, percent, plural};
use super::line::{Ink, Line, Style, column, heading, paragraph, right};
use super::naming::{blocker_name, statement_name};
use super::words::{list, went_from};
use super::{Report, Worded, episodes, logged, slowest, tree};
use crate::attribution::finding::{
    Cause, Diagnosis, Event, EventEffect, Scope, Split, Verdict, Victim,
};

/// Findings that are told in full.
const IN_FULL: usize = 3;
/// Findings in the table.
const IN_TABLE: usize = 15;

/// Writes a report as text.
#[must_use]
pub fn render(report: &Report, style: &Style) -> String {
    let style = *style;
    let mut page = String::new();
    paragraph(&mut page, style, Ink::Title, "", &report.headline);
    if !report.findings.is_empty() {
        table(&mut page, style, &report.findings);
        for (n, worded) in report.findings.iter().take(IN_FULL).enumerate() {
            let earlier = report.findings[..n]
                .iter()
                .find(|earlier| earlier.advice == worded.advice);
            in_full(&mut page, style, worded, earlier, report);
        }
    }
    // A growth that no finding speaks of is no news.
    let grown = report
        .findings
        .iter()
        .any(|worded| worded.finding.growth.is_some());
    if let Some(split) = report.diagnosis.splits.first().filter(|_| grown) {
        waterfall(&mut page, style, report, split);
    }
    if !report.diagnosis.events.is_empty() {
        events(&mut page, style, &report.diagnosis);
    }
    episodes::section(&mut page, style, &report.diagnosis);
    if let Some(worst) = &report.diagnosis.worst {
        let title = format!("At the worst moment, {} UTC", worst.taken_at.0.to_clock());
        heading(&mut page, style, &title);
        page.push_str(&tree::render(worst, &style));
    }
    logged::section(&mut page, style, &report.diagnosis);
    colophon(&mut page, style, &report.diagnosis);
    page
}

/// The verdict as people say it.
const fn verdict_name(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Proved => "proved",
        Verdict::Supported => "supported",
        Verdict::Inconclusive => "inconclusive",
        Verdict::NoEffect => "no effect",
    }
}

const fn verdict_ink(verdict: Verdict) -> Ink {
    match verdict {
        Verdict::Proved => Ink::Blame,
        Verdict::Supported => Ink::Wait,
        Verdict::Inconclusive => Ink::Plain,
        Verdict::NoEffect => Ink::Calm,
    }
}

fn table(page: &mut String, style: Style, findings: &[Worded]) {
    heading(page, style, "Findings");
    let wide = style.width.saturating_sub(52).max(16);
    let head = format!(
        " #  {} {} {} {} {}",
        column("verdict", 12),
        column("victim; below it, the cause", wide),
        right("ms/call", 8),
        right("95 % interval", 15),
        right("share", 9)
    );
    Line::default().plus(Ink::Faint, &head).write(page, style);
    for worded in findings.iter().take(IN_TABLE) {
        let finding = &worded.finding;
        let ms = finding.ms_per_call;
        let range = ms
            .zip(finding.ci95_ms_per_call)
            .map_or_else(|| "—".to_owned(), |(ms, ci)| interval(ms, ci));
        let figures = format!(
            " {} {} {}",
            right(&ms.map_or_else(|| "—".to_owned(), bare), 8),
            right(&range, 15),
            right(
                &finding
                    .share_of_growth
                    .map_or_else(|| "—".to_owned(), percent),
                9
            ),
        );
        Line::new(&format!("{:>2}  ", finding.rank))
            .plus(
                verdict_ink(finding.verdict),
                &column(verdict_name(finding.verdict), 13),
            )
            .plus(Ink::Plain, &column(&victim(&finding.victim), wide))
            .plus(Ink::Plain, &figures)
            .write(page, style);
        let named = cause(&finding.cause, finding.scope, finding.verdict);
        Line::new(&" ".repeat(17))
            .plus(Ink::Faint, &named)
            .write(page, style);
    }
    if findings.len() > IN_TABLE {
        let more = format!(
            "… and {}",
            plural(findings.len() - IN_TABLE, "more finding")
        );
        Line::default().plus(Ink::Faint, &more).write(page, style);
    }
}

/// Says milliseconds without their unit, unless they are seconds.
fn bare(ms: f64) -> String {
    let said = milliseconds(ms);
    said.strip_suffix(" ms").map_or(said.clone(), str::to_owned)
}

fn victim(victim: &Victim) -> String {
    format!("{} · {}", victim.who(), statement_name(&victim.query))
}

/// Names a cause: class, who, in which state, over which table.
fn cause(cause: &Cause, scope: Scope, verdict: Verdict) -> String {
    let mut parts = vec![cause.class.to_owned()];
    match (&cause.blocker, scope) {
        _ if !verdict.accuses() => {}
        (Some(blocker), Scope::Culprit) => {
            parts.push(blocker_name(blocker));
            let says_nothing = blocker.gid.is_some() || cause.class == "deadlock";
            let state = cause.dominant_state().filter(|_| !says_nothing);
            parts.extend(state.map(|(state, _)| state.to_owned()));
        }
        (_, Scope::Object) => parts.push("held by many in turn".to_owned()),
        _ => {}
    }
    parts.extend(cause.table.clone());
    if cause.basis != "measured" {
        parts.push(cause.basis.to_owned());
    }
    parts.join(" · ")
}

/// What stands before a line of advice, in blanks.
const INDENT: &str = "      ";

/// Tells one finding; advice that an earlier one gives already is not given again.
fn in_full(
    page: &mut String,
    style: Style,
    worded: &Worded,
    earlier: Option<&Worded>,
    report: &Report,
) {
    let number = format!("{:>2}. ", worded.finding.rank);
    page.push('\n');
    // What stands on top of the page is not said twice.
    let sentence = if worded.sentence == report.headline {
        "This is the sentence above."
    } else {
        &worded.sentence
    };
    paragraph(page, style, Ink::Plain, &number, sentence);
    if let Some(text) = logged::of_finding(&worded.finding, &report.diagnosis) {
        paragraph(page, style, Ink::Faint, "    ", &text);
    }
    // Who is not accused is not taken away either.
    let accused = worded.finding.verdict.accuses();
    if let Some(effect) = worded.finding.event_effect.as_ref().filter(|_| accused) {
        paragraph(page, style, Ink::Faint, "    ", &effect_words(effect));
    }
    let grown = worded.finding.growth.is_some();
    if let Some(mut text) = slowest::sentence(&worded.finding).filter(|_| grown) {
        if let Some(share) = slowest::share(&worded.finding) {
            let _ = write!(
                text,
                " This cause is {share} of the time of its slowest calls, one in twenty."
            );
        }
        paragraph(page, style, Ink::Faint, "    ", &text);
    }
    if let Some(what_if) = worded.finding.what_if.as_ref().filter(|_| accused)
        && let Some(mean) = what_if.mean_ms
    {
        let p99 = slowest::at_most_without(&worded.finding);
        let p99 = p99.map_or_else(String::new, |p99| {
            format!(", and its p99 would be {p99} at most")
        });
        let text = format!(
            "Without {} it would take {} a call{p99}.",
            what_if.removed,
            milliseconds(mean)
        );
        paragraph(page, style, Ink::Faint, "    ", &text);
    }
    if let Some(earlier) = earlier.filter(|earlier| !earlier.advice.is_empty()) {
        let text = format!("Advice as for {}.", earlier.finding.rank);
        paragraph(page, style, Ink::Calm, "    → ", &text);
        return;
    }
    for line in &worded.advice {
        paragraph(page, style, Ink::Calm, "    → ", line);
    }
    let earlier = report.findings.iter();
    let mut earlier = earlier.take_while(|earlier| earlier.finding.rank < worded.finding.rank);
    let is_told = earlier.any(|earlier| earlier.manual == worded.manual);
    if let Some(manual) = worded.manual.as_ref().filter(|_| !is_told) {
        // An address that is broken over lines leads nowhere; the whole page has the section too.
        let fits = INDENT.len() + manual.len() <= style.width;
        let page_of = manual.split_once('#').map_or(&**manual, |(page, _)| page);
        let address = if fits { manual } else { page_of };
        paragraph(page, style, Ink::Faint, INDENT, address);
    }
}

/// Says what an arrival did directly, and what it did with the others.
fn effect_words(effect: &EventEffect) -> String {
    let direct = format!(
        "Of its growth {} a call is the newcomer's directly",
        milliseconds(effect.direct_ms)
    );
    let (whole, between) = match (effect.marginal_ms, effect.group_marginal_ms) {
        (Some(marginal), _) => (Some(marginal), effect.interaction_ms),
        (None, group) => (group, effect.group_interaction_ms),
    };
    match (whole, between) {
        (Some(whole), Some(between)) => format!(
            "{direct}; all that arrived with it made {}, of which {} is interaction: the others slower for each other.",
            milliseconds(whole),
            milliseconds(between)
        ),
        _ => format!("{direct}."),
    }
}

/// One line of a waterfall: a bar from one running total to the next.
struct Row {
    label: String,
    from: f64,
    to: f64,
    range: String,
    ink: Ink,
}

fn waterfall(page: &mut String, style: Style, report: &Report, split: &Split) {
    heading(
        page,
        style,
        &format!("Where the growth of {} comes from", victim(&split.victim)),
    );
    let growth = &split.growth;
    let wide = (style.width / 2).clamp(20, 48);
    let bars = style.width.saturating_sub(wide + 24);
    let row = |label: &str, from: f64, to: f64| Row {
        label: label.to_owned(),
        from,
        to,
        range: String::new(),
        ink: Ink::Faint,
    };
    let mut rows = vec![row("before", 0.0, growth.before_ms)];
    let mut at = growth.before_ms;
    for part in &split.parts {
        let verdict = report.verdict_on(split, part);
        let label = cause(&part.cause, Scope::Culprit, verdict);
        let range = part.ci95_ms.map(|ci| interval(part.delta_ms, ci));
        rows.push(Row {
            range: range.unwrap_or_default(),
            ink: match part.delta_ms {
                d if d < 0.0 => Ink::Calm,
                _ => verdict_ink(verdict),
            },
            ..row(&label, at, at + part.delta_ms)
        });
        at += part.delta_ms;
    }
    rows.push(row("residual", at, at + split.residual_ms));
    rows.push(row("after", 0.0, growth.after_ms));
    let most = rows
        .iter()
        .flat_map(|row| [row.from.abs(), row.to.abs()])
        .fold(f64::MIN_POSITIVE, f64::max);
    let last = rows.len() - 1;
    for (n, row) in rows.into_iter().enumerate() {
        let Row {
            label,
            from,
            to,
            range,
            ink,
        } = row;
        let is_end = n == 0 || n == last;
        let delta = to - from;
        let number = if is_end {
            bare(to)
        } else if delta < 0.0 {
            format!("−{}", bare(-delta))
        } else {
            format!("+{}", bare(delta))
        };
        Line::new(&column(&label, wide))
            .plus(Ink::Title, &right(&number, 8))
            .plus(Ink::Faint, &format!(" {} ", right(&range, 14)))
            .plus(ink, &bar(from / most, to / most, bars))
            .write(page, style);
    }
}

/// Draws the stretch between two shares of `columns`, at least a mark where they differ.
fn bar(from: f64, to: f64, columns: usize) -> String {
    let place = |share: f64| {
        let at = (share.clamp(0.0, 1.0) * columns as f64).round();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "between 0 and the number of columns"
        )]
        let at = at as usize;
        at
    };
    let (low, high) = (place(from.min(to)), place(from.max(to)));
    if low == high {
        format!("{}▏", " ".repeat(low.min(columns.saturating_sub(1))))
    } else {
        format!("{}{}", " ".repeat(low), "█".repeat(high - low))
    }
}

fn events(page: &mut String, style: Style, diagnosis: &Diagnosis) {
    heading(page, style, "Events");
    let mut told = Vec::new();
    for event in &diagnosis.events {
        let Some(verdict) = accuses_nobody(event) else {
            one_event(page, style, event);
            continue;
        };
        let kind = (event.group.as_deref(), verdict);
        if told.contains(&kind) {
            continue;
        }
        told.push(kind);
        let alike: Vec<&Event> = diagnosis
            .events
            .iter()
            .filter(|other| {
                (other.group.as_deref(), accuses_nobody(other)) == (kind.0, Some(verdict))
            })
            .collect();
        if alike.len() == 1 {
            one_event(page, style, event);
        } else {
            many_events(page, style, &alike, verdict);
        }
    }
}

/// Gives the verdict on an arrival that is said of many at once; none for what stands alone.
fn accuses_nobody(event: &Event) -> Option<Verdict> {
    let verdict = event.effect.as_ref()?.verdict;
    let alike = matches!(verdict, Verdict::NoEffect | Verdict::Inconclusive);
    (event.kind == "system-onboarded" && alike).then_some(verdict)
}

fn one_event(page: &mut String, style: Style, event: &Event) {
    let what = match event.kind {
        "system-onboarded" => format!("{} began to write", event.label),
        "system-rate" => went_from(event),
        "statistics-reset" => "the statistics were reset".to_owned(),
        "server-restarted" => "the server was restarted".to_owned(),
        _ => format!("{} ({})", event.label, event.source),
    };
    let (ink, effect) = match &event.effect {
        None => (Ink::Plain, String::new()),
        Some(effect) => (
            verdict_ink(effect.verdict),
            match effect.verdict {
                Verdict::NoEffect => ": no effect on others".to_owned(),
                Verdict::Inconclusive => ": effect not known yet".to_owned(),
                verdict => format!(
                    ": {} of others' waits, {} of their DB time ({})",
                    percent(effect.share_of_waits),
                    duration(effect.db_seconds * 1e3),
                    verdict_name(verdict)
                ),
            },
        ),
    };
    let head = format!("{}  ", event.at.0.to_clock());
    paragraph(page, style, ink, &head, &format!("{what}{effect}"));
}

fn many_events(page: &mut String, style: Style, alike: &[&Event], verdict: Verdict) {
    let (Some(first), Some(last)) = (alike.first(), alike.last()) else {
        return;
    };
    let names: Vec<String> = alike.iter().map(|event| event.label.clone()).collect();
    let head = format!("{}  ", first.at.0.to_clock());
    let text = format!(
        "{} began to write, the last at {}: {} ({})",
        plural(alike.len(), "system"),
        last.at.0.to_clock(),
        if verdict == Verdict::NoEffect {
            "no effect on others"
        } else {
            "effect not known yet"
        },
        list(&names)
    );
    paragraph(page, style, Ink::Faint, &head, &text);
}

/// Writes what was watched, what it cost and what was missed: always, also when nothing was.
fn colophon(page: &mut String, style: Style, diagnosis: &Diagnosis) {
    heading(page, style, "What this rests on");
    let (window, cost) = (&diagnosis.window, &diagnosis.cost);
    let mut say = |title: &str, text: &str| {
        paragraph(page, style, Ink::Plain, &column(title, 9), text);
    };
    say(
        "watched",
        &format!(
            "{} (PostgreSQL {}{}), {} to {}: {} at {:.1} a second, {} missed, the longest stretch without one {}",
            diagnosis.server.address,
            diagnosis.server.version_num,
            if diagnosis.server.in_recovery {
                ", a standby"
            } else {
                ""
            },
            window.from.0.to_rfc3339(),
            window.to.0.to_clock(),
            plural(window.ticks, "look"),
            window.hz,
            count(window.missed_ticks),
            duration(window.largest_gap_ms),
        ),
    );
    say(
        "cost",
        &format!(
            "{} a look on the server, {:.2} % of the time watched at most; {}",
            milliseconds(cost.server_ms_per_tick),
            cost.server_busy_share * 100.0,
            if cost.backed_off {
                "the pace was lowered to stay within the budget"
            } else {
                "the pace was never lowered"
            }
        ),
    );
    say(
        "named",
        &format!(
            "{} of the DB time belongs to a system with a name; {} of the time lost to locks could be charged to nobody",
            percent(diagnosis.named_share),
            percent(diagnosis.unattributed_share)
        ),
    );
    let losses: Vec<String> = diagnosis
        .losses
        .iter()
        .filter(|&(_, &n)| n > 0)
        .map(|(kind, &n)| format!("{} {}", count(n), kind.replace('_', " ")))
        .collect();
    if losses.is_empty() {
        say("lost", "nothing that was to be seen");
    } else {
        say("lost", &losses.join(", "));
    }
}

#[cfg(test)]
#[path = "text_tests.rs"]
mod tests;

//! One finding as the page prints it: its figures, what to do, statements and evidence.

use std::fmt::Write as _;

use crate::attribution::finding::{CallsBasis, Finding, Growth, Scope, Verdict};
use crate::report::figures::{duration, interval, milliseconds, percent};
use crate::report::markup::{clean, figure, line};
use crate::report::naming::blocker_name;
use crate::report::{Worded, slowest};
use crate::statement::pretty;

use super::glossary::{self, Word};
use super::sql::marked_up;
use super::view::{Fact, LONGEST_SENTENCE, fact, stretch};

/// More characters of one statement than this are cut, with a note.
const LONGEST_SQL: usize = 4_000;

/// A finding; the template is the only reader.
pub(super) struct FindingView {
    pub(super) rank: usize,
    pub(super) verdict: &'static str,
    pub(super) verdict_word: &'static Word,
    pub(super) verdict_class: &'static str,
    pub(super) scope: &'static str,
    pub(super) sentence: String,
    pub(super) figures: Vec<Fact>,
    pub(super) advice: Vec<String>,
    pub(super) manual: Option<String>,
    pub(super) statements: Vec<Statement>,
    pub(super) evidence: String,
}

/// A statement, and whose it is.
pub(super) struct Statement {
    pub(super) caption: String,
    /// Escaped already.
    pub(super) markup: String,
    pub(super) cut: Option<String>,
}

/// Gives a verdict's word and its class in the style sheet.
pub(super) const fn verdict(verdict: Verdict) -> (&'static str, &'static str) {
    match verdict {
        Verdict::Proved => ("proved", "proved"),
        Verdict::Supported => ("supported", "supported"),
        Verdict::Inconclusive => ("inconclusive", "open"),
        Verdict::NoEffect => ("no effect", "open"),
    }
}

impl FindingView {
    pub(super) fn of(worded: &Worded) -> Self {
        let finding = &worded.finding;
        let (verdict, verdict_class) = verdict(finding.verdict);
        Self {
            rank: finding.rank,
            verdict,
            verdict_word: glossary::of_term(verdict),
            verdict_class,
            scope: match finding.scope {
                Scope::Culprit => "one system is in the way",
                Scope::Object => "a hot object, no single culprit",
                Scope::Own => "nobody is in the way",
            },
            sentence: line(&worded.sentence, LONGEST_SENTENCE),
            figures: figures(finding),
            advice: worded
                .advice
                .iter()
                .map(|advice| line(advice, LONGEST_SENTENCE))
                .collect(),
            manual: worded.manual.clone(),
            statements: statements(finding),
            evidence: evidence(finding),
        }
    }
}

fn figures(finding: &Finding) -> Vec<Fact> {
    let mut facts = Vec::new();
    if let Some(growth) = &finding.growth {
        facts.push(fact(
            "Mean latency",
            format!(
                "{} → {} per call",
                milliseconds(growth.before_ms),
                milliseconds(growth.after_ms)
            ),
        ));
    }
    let tail = &finding.tail.after;
    let quantiles = [
        ("p95", slowest::moved(finding, |tail| tail.p95_ms)),
        ("p99", slowest::moved(finding, |tail| tail.p99_ms)),
    ];
    let bracket = tail.p99_ms.and_then(|p99| slowest::bracket(tail, p99));
    if finding.growth.is_some() {
        for (name, said) in quantiles {
            facts.push(fact(name, said.unwrap_or_else(|| slowest::why_not(tail))));
        }
        facts.extend(bracket.map(|bracket| fact("The p99 lies within", bracket)));
    }
    if let Some(ms) = finding.ms_per_call {
        let ci = finding.ci95_ms_per_call.map_or_else(
            || ", too few blocks of time for an interval".to_owned(),
            |ci| format!(" (95 %: {})", interval(ms, ci)),
        );
        facts.push(fact(
            "Through this cause",
            format!("{} per call{ci}", milliseconds(ms)),
        ));
    }
    if let Some(share) = finding.share_of_growth {
        facts.push(fact("Share of the growth", percent(share)));
    }
    facts.extend(
        slowest::share(finding).map(|share| fact("Share of the slowest 5 %'s time", share)),
    );
    facts.push(fact("DB time lost", duration(finding.db_seconds * 1e3)));
    // Who is not accused is not measured in public either.
    let accused = finding.verdict.accuses();
    if let Some(effect) = finding.event_effect.as_ref().filter(|_| accused) {
        facts.push(fact(
            "Direct effect of the arrival",
            milliseconds(effect.direct_ms),
        ));
        let rows = [
            ("Marginal effect", effect.marginal_ms),
            ("Interaction", effect.interaction_ms),
            ("Marginal effect of its group", effect.group_marginal_ms),
            ("Interaction in its group", effect.group_interaction_ms),
        ];
        facts.extend(
            rows.into_iter()
                .filter_map(|(name, ms)| Some(fact(name, milliseconds(ms?)))),
        );
    }
    if let Some(what_if) = finding.what_if.as_ref().filter(|_| accused)
        && let Some(mean) = what_if.mean_ms
    {
        let p99 = slowest::at_most_without(finding);
        let p99 = p99.map_or_else(String::new, |p99| format!(", p99 {p99} at most"));
        facts.push(fact(
            format!("Without {}", clean(&what_if.removed)),
            format!("{} per call{p99}", milliseconds(mean)),
        ));
    }
    if let Some(stability) = finding.rank_stability {
        facts.push(fact(
            "Keeps its rank in",
            format!("{} of the replicates", percent(stability)),
        ));
    }
    if let Some(minutes) = finding.needs_minutes {
        facts.push(fact(
            "Needs about",
            format!("{} more minutes of watching", figure(minutes)),
        ));
    }
    facts
}

fn calls(growth: &Growth) -> &'static str {
    match growth.calls_basis {
        CallsBasis::Counted => "counted by the server",
        CallsBasis::Pooled => "counted by the server over several systems",
        CallsBasis::Estimated => "estimated from the samples",
    }
}

fn evidence(finding: &Finding) -> String {
    let evidence = &finding.evidence;
    let mut said = format!(
        "{} sampled waits in {} ticks",
        evidence.samples, evidence.ticks
    );
    if let Some(wait) = evidence.longest_wait_ms {
        let _ = write!(said, ", the longest {}", duration(wait));
    }
    let _ = write!(
        said,
        "; {} blocks of time before, {} after",
        evidence.blocks[0], evidence.blocks[1]
    );
    if let Some(growth) = &finding.growth {
        let _ = write!(
            said,
            "; {:.0} calls from {}, {:.0} from {}, {}",
            growth.calls_before,
            stretch(growth.window_before),
            growth.calls_after,
            stretch(growth.window_after),
            calls(growth)
        );
    }
    format!("{said}; the cause is {}.", finding.cause.basis)
}

fn statements(finding: &Finding) -> Vec<Statement> {
    let victim = &finding.victim;
    let whose = victim
        .system
        .clone()
        .unwrap_or_else(|| victim.systems.join(", "));
    let mut statements = vec![statement(
        &format!("Who got slower: {whose}"),
        &victim.query,
    )];
    // Who is not accused is not shown with their statement either.
    if !finding.verdict.accuses() {
        return statements;
    }
    for amplifier in &finding.cause.through {
        let name = amplifier
            .system
            .as_deref()
            .unwrap_or("a system without a name");
        let caption = format!("In between: {name}");
        statements.extend(
            amplifier
                .query
                .as_deref()
                .map(|sql| statement(&caption, sql)),
        );
    }
    if let Some(blocker) = &finding.cause.blocker {
        let name = blocker_name(blocker);
        let basis = match blocker.query_basis {
            Some("inferred") => ", inferred from what it runs",
            _ => "",
        };
        let caption = format!("Who held it: {name}{basis}");
        statements.extend(blocker.query.as_deref().map(|sql| statement(&caption, sql)));
    }
    statements
}

fn statement(caption: &str, sql: &str) -> Statement {
    let end = sql.char_indices().nth(LONGEST_SQL).map(|(end, _)| end);
    // What is cut is no statement any more, and stays as it is.
    let shown = end.map_or_else(|| pretty(sql), |end| sql[..end].into());
    Statement {
        caption: clean(caption).into_owned(),
        markup: marked_up(&shown),
        cut: end.map(|_| {
            format!(
                "Cut after {LONGEST_SQL} of {} characters; the recording has what was seen.",
                sql.chars().count()
            )
        }),
    }
}

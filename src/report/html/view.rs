//! What the template prints: plain texts and finished pictures, in the page's order.

use crate::attribution::finding::pool;
use std::fmt::Write as _;

use askama::Template;

use crate::attribution::finding::{CallsBasis, Event, Finding, Growth, Scope, Verdict};
use crate::report::episodes::{self, Told};
use crate::report::figures::{duration, interval, milliseconds, percent};
use crate::report::markup::{clean, figure, line};
use crate::report::naming::blocker_name;
use crate::report::svg::{self, NARROW, WIDE};
use crate::report::{Replay, Report, Worded, slowest};

use super::glossary::{self, WORDS, Word};
use super::sql::marked_up;
use super::{Live, assets, payload};
use crate::statement::pretty;
use crate::time::Rfc3339;

/// So many victims' growth is drawn; all of it is in the JSON.
const MOST_WATERFALLS: usize = 6;

/// More characters of one statement than this are cut, with a note.
const LONGEST_SQL: usize = 4_000;

/// A sentence longer than this quotes a statement that should not be in it whole.
const LONGEST_SENTENCE: usize = 1_000;

/// The page; the template is the only reader.
#[derive(Template)]
#[template(path = "report.html")]
pub(super) struct Page {
    policy: &'static str,
    css: &'static str,
    script: &'static str,
    figures: String,
    live: Option<Live>,
    glossary: &'static [Word],
    headline: String,
    server: String,
    watched: String,
    facts: Vec<Fact>,
    latency: Picture,
    waterfalls: Vec<Waterfall>,
    load: Picture,
    findings: Vec<FindingView>,
    events: Vec<EventView>,
    episodes: Vec<Told>,
    more_episodes: usize,
    graph: Option<String>,
    graph_note: &'static str,
    losses: Vec<Fact>,
    cost: Vec<Fact>,
}

/// A name and its value.
struct Fact {
    name: String,
    value: String,
}

impl Fact {
    fn word(&self) -> Option<&'static Word> {
        glossary::of_name(&self.name)
    }
}

/// One picture at two widths; the style sheet shows the one that fits.
struct Picture {
    wide: String,
    narrow: String,
}

struct Waterfall {
    victim: String,
    windows: String,
    picture: Picture,
}

struct FindingView {
    rank: usize,
    verdict: &'static str,
    verdict_word: &'static Word,
    verdict_class: &'static str,
    scope: &'static str,
    sentence: String,
    figures: Vec<Fact>,
    advice: Vec<String>,
    manual: Option<String>,
    statements: Vec<Statement>,
    evidence: String,
}

struct Statement {
    caption: String,
    /// Escaped already.
    markup: String,
    cut: Option<String>,
}

struct EventView {
    millis: i64,
    group: String,
    at: String,
    what: String,
    source: &'static str,
    effect: String,
    blamed: bool,
}

fn fact(name: impl Into<String>, value: impl Into<String>) -> Fact {
    Fact {
        name: name.into(),
        value: clean(&value.into()).into_owned(),
    }
}

fn stretch([from, to]: [Rfc3339; 2]) -> String {
    format!("{} to {}", from.0.to_clock(), to.0.to_clock())
}

impl Page {
    pub(super) fn of(report: &Report, replay: Replay, live: Option<Live>) -> Self {
        let diagnosis = &report.diagnosis;
        let (server, window, now) = (&diagnosis.server, &diagnosis.window, &diagnosis.now);
        let role = if server.in_recovery { ", standby" } else { "" };
        let mut facts = vec![fact(
            "Blocked at the end",
            match now.blocked_sessions {
                0 => "no session".to_owned(),
                1 => "1 session".to_owned(),
                many => format!("{many} sessions of {} systems", now.blocked_systems),
            },
        )];
        facts.extend(
            now.longest_wait_ms
                .map(|wait| fact("Longest wait then", duration(wait))),
        );
        facts.push(fact(
            "Lock waits nobody could be charged for",
            percent(diagnosis.unattributed_share),
        ));
        facts.push(fact(
            "DB time whose system has a name",
            percent(diagnosis.named_share),
        ));

        let graph = diagnosis.worst.as_ref().unwrap_or(&diagnosis.last);
        let (told, more_episodes) = episodes::told(diagnosis);
        Self {
            policy: match live {
                Some(_) => assets::policies().1,
                None => assets::policies().0,
            },
            live,
            css: assets::style_sheet(),
            script: assets::SCRIPT,
            figures: payload::pack(report, replay),
            glossary: &WORDS,
            headline: line(&report.headline, LONGEST_SENTENCE),
            server: clean(&format!(
                "{}, PostgreSQL {}{role}",
                server.address, server.version_num
            ))
            .into_owned(),
            watched: format!(
                "{} to {}, {} ticks at {} a second",
                window.from.0.to_rfc3339(),
                window.to.0.to_rfc3339(),
                window.ticks,
                figure(window.hz)
            ),
            facts,
            latency: Picture {
                wide: svg::latency(report),
                narrow: svg::latency_at(report, NARROW),
            },
            waterfalls: waterfalls(report),
            load: Picture {
                wide: svg::load(report),
                narrow: svg::load_at(report, NARROW),
            },
            findings: report.findings.iter().map(FindingView::of).collect(),
            events: event_views(report),
            episodes: told,
            more_episodes,
            graph: (!graph.nodes.is_empty()).then(|| svg::graph(graph)),
            graph_note: if diagnosis.worst.is_some() {
                "At the tick with the most sessions blocked."
            } else {
                "At the last tick."
            },
            losses: loss_facts(report),
            cost: vec![
                fact(
                    "On the server",
                    format!(
                        "{} a tick, an upper bound of its CPU",
                        milliseconds(diagnosis.cost.server_ms_per_tick)
                    ),
                ),
                fact(
                    "Share of the time watched",
                    percent(diagnosis.cost.server_busy_share),
                ),
                fact(
                    "Slowed down to stay in budget",
                    if diagnosis.cost.backed_off {
                        "yes"
                    } else {
                        "no"
                    },
                ),
            ],
        }
    }
}

fn victim_words(system: Option<&str>, systems: &[String], query: &str) -> String {
    let who = match system {
        Some(system) => system.to_owned(),
        None => pool(systems),
    };
    format!("{who}: {}", line(query, 140))
}

fn loss_facts(report: &Report) -> Vec<Fact> {
    let window = &report.diagnosis.window;
    let mut facts = vec![
        fact("Ticks due and not taken", window.missed_ticks.to_string()),
        fact(
            "Longest stretch without a look",
            duration(window.largest_gap_ms),
        ),
    ];
    let others = report
        .diagnosis
        .losses
        .iter()
        .filter(|(kind, _)| *kind != "missed_ticks");
    facts.extend(
        others.map(|(kind, count)| fact(clean(kind).replace(['_', '-'], " "), count.to_string())),
    );
    facts
}

/// Draws the growth of the victims that lost most.
fn waterfalls(report: &Report) -> Vec<Waterfall> {
    report
        .diagnosis
        .splits
        .iter()
        .take(MOST_WATERFALLS)
        .map(|split| Waterfall {
            victim: victim_words(
                split.victim.system.as_deref(),
                &split.victim.systems,
                &split.victim.query,
            ),
            windows: format!(
                "before: {}; after: {} UTC",
                stretch(split.growth.window_before),
                stretch(split.growth.window_after)
            ),
            picture: Picture {
                wide: svg::waterfall_at(report, split, WIDE),
                narrow: svg::waterfall_at(report, split, NARROW),
            },
        })
        .collect()
}

fn event_views(report: &Report) -> Vec<EventView> {
    let blamed = report
        .findings
        .first()
        .filter(|worded| worded.finding.verdict.accuses())
        .and_then(|worded| worded.finding.cause.event.as_ref());
    let view = |event: &Event| EventView {
        millis: event.at.0.as_micros() / 1_000,
        group: event.group.clone().unwrap_or_default(),
        at: event.at.0.to_clock(),
        what: clean(&svg::event_words(event)).into_owned(),
        source: event.source,
        effect: event.effect.as_ref().map_or_else(String::new, |effect| {
            format!(
                "{}: {} of others' DB time, {} of their lock waits",
                verdict(effect.verdict).0,
                duration(effect.db_seconds * 1e3),
                percent(effect.share_of_waits)
            )
        }),
        blamed: blamed == Some(&event.id),
    };
    report.diagnosis.events.iter().map(view).collect()
}

/// Gives a verdict's word and its class in the style sheet.
const fn verdict(verdict: Verdict) -> (&'static str, &'static str) {
    match verdict {
        Verdict::Proved => ("proved", "proved"),
        Verdict::Supported => ("supported", "supported"),
        Verdict::Inconclusive => ("inconclusive", "open"),
        Verdict::NoEffect => ("no effect", "open"),
    }
}

impl FindingView {
    fn of(worded: &Worded) -> Self {
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

//! What the template prints: plain texts and finished pictures, in the page's order.

use askama::Template;

use crate::attribution::finding::{Event, pool};
use crate::report::episodes::{self, Told};
use crate::report::figures::{duration, milliseconds, percent};
use crate::report::markup::{clean, figure, line};
use crate::report::svg::{self, NARROW, WIDE};
use crate::report::{Replay, Report};
use crate::time::Rfc3339;

use super::finding::{FindingView, verdict};
use super::glossary::{self, WORDS, Word};
use super::{Live, assets, payload};

/// So many victims' growth is drawn; all of it is in the JSON.
const MOST_WATERFALLS: usize = 6;

/// A sentence longer than this quotes a statement that should not be in it whole.
pub(super) const LONGEST_SENTENCE: usize = 1_000;

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
pub(super) struct Fact {
    pub(super) name: String,
    pub(super) value: String,
}

impl Fact {
    pub(super) fn word(&self) -> Option<&'static Word> {
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

struct EventView {
    millis: i64,
    group: String,
    at: String,
    what: String,
    source: &'static str,
    effect: String,
    blamed: bool,
}

pub(super) fn fact(name: impl Into<String>, value: impl Into<String>) -> Fact {
    Fact {
        name: name.into(),
        value: clean(&value.into()).into_owned(),
    }
}

pub(super) fn stretch([from, to]: [Rfc3339; 2]) -> String {
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

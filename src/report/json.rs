//! The JSON contracts: `pgjam.diagnosis/0` and `pgjam.graph/1`.
//!
//! Their schemas stand in `reports/`. What does not apply is `null`, never absent.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Serialize;

use super::Report;
use super::line::is_invisible;
use crate::attribution::finding::{Cost, Event, Finding, Group, Now, ServerFacts, Split, Window};
use crate::graph::episode::Episode;
use crate::graph::view::GraphView;
use crate::log::Logged;

/// The name and version of the diagnosis' shape.
pub const DIAGNOSIS_SCHEMA: &str = "pgjam.diagnosis/0";

#[derive(Serialize)]
struct Document<'a> {
    schema: &'static str,
    headline: &'a str,
    server: &'a ServerFacts,
    window: &'a Window,
    cost: &'a Cost,
    now: &'a Now,
    events: &'a [Event],
    groups: &'a [Group],
    findings: Vec<WordedFinding<'a>>,
    episodes: &'a [Episode],
    more_episodes: usize,
    splits: &'a [Split],
    unattributed_share: f64,
    named_share: f64,
    losses: &'a BTreeMap<String, u64>,
    log: Option<&'a Logged>,
}

#[derive(Serialize)]
struct WordedFinding<'a> {
    #[serde(flatten)]
    finding: &'a Finding,
    sentence: &'a str,
    advice: &'a [String],
    manual: Option<&'a str>,
}

/// Writes a report as `pgjam.diagnosis/0`, indented, with a line end.
#[must_use]
pub fn render(report: &Report) -> String {
    let diagnosis = &report.diagnosis;
    written(&Document {
        schema: DIAGNOSIS_SCHEMA,
        headline: &report.headline,
        server: &diagnosis.server,
        window: &diagnosis.window,
        cost: &diagnosis.cost,
        now: &diagnosis.now,
        events: &diagnosis.events,
        groups: &diagnosis.groups,
        findings: report
            .findings
            .iter()
            .map(|worded| WordedFinding {
                finding: &worded.finding,
                sentence: &worded.sentence,
                advice: &worded.advice,
                manual: worded.manual.as_deref(),
            })
            .collect(),
        episodes: &diagnosis.episodes,
        more_episodes: diagnosis.more_episodes,
        splits: &diagnosis.splits,
        unattributed_share: diagnosis.unattributed_share,
        named_share: diagnosis.named_share,
        losses: &diagnosis.losses,
        log: diagnosis.log.as_ref(),
    })
}

/// Writes a wait-for graph as `pgjam.graph/1`, indented, with a line end.
#[must_use]
pub fn render_graph(graph: &GraphView) -> String {
    written(graph)
}

/// Writes a wait-for graph as `pgjam.graph/1`, in one line without an end.
#[must_use]
pub fn render_graph_line(graph: &GraphView) -> String {
    escaped(&serde_json::to_string(graph).unwrap_or_default())
}

fn written(value: &impl Serialize) -> String {
    // Plain values under string keys, written to memory: there is nothing to refuse.
    let written = serde_json::to_string_pretty(value).unwrap_or_default();
    escaped(&written) + "\n"
}

fn escaped(written: &str) -> String {
    // JSON asks for the escape of the first 32 characters only, but a terminal acts on more of
    // them. All of these can stand in strings alone, and none is beyond U+FFFF.
    let mut text = String::with_capacity(written.len() + 1);
    for c in written.chars() {
        if c != '\n' && c.is_control() || is_invisible(c) {
            let _ = write!(text, "\\u{:04x}", u32::from(c));
        } else {
            text.push(c);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use serde_json::Value;

    use super::*;
    use crate::attribution::finding::Diagnosis;
    use crate::report::{fixture, fixture_graph};

    const DIAGNOSIS: &str = include_str!("../../reports/pgjam.diagnosis.schema.json");
    const GRAPH: &str = include_str!("../../reports/pgjam.graph.schema.json");

    /// What breaks out of quotes, tags, lines and terminals.
    const HOSTILE: &str =
        "'\";</script><script>alert(1)</script>\u{0}\u{7}\u{1b}[2J\u{202e}\u{fffd}\n\\";

    fn complaints(schema: &str, document: &str) -> Vec<String> {
        let schema: Value = serde_json::from_str(schema).unwrap();
        let document: Value = serde_json::from_str(document).unwrap();
        jsonschema::draft202012::meta::validate(&schema).unwrap();
        jsonschema::validator_for(&schema)
            .unwrap()
            .iter_errors(&document)
            .map(|error| format!("{}: {error}", error.instance_path()))
            .collect()
    }

    fn check(diagnosis: Diagnosis) -> Value {
        let text = render(&Report::new(diagnosis));
        assert_eq!(complaints(DIAGNOSIS, &text), Vec::<String>::new());
        serde_json::from_str(&text).unwrap()
    }

    #[test]
    fn the_county_rollout_keeps_the_contract() {
        let document = check(fixture::county_rollout());
        assert_eq!(document["findings"][0]["verdict"], "proved");
        assert_eq!(
            document["findings"][0]["cause"]["lock"]["type"],
            "transactionid"
        );
        assert_eq!(document["window"]["from"], "2026-11-23T14:00:00.000000Z");
    }

    #[test]
    fn a_quiet_server_keeps_the_contract() {
        assert_eq!(
            check(fixture::quiet())["now"]["longest_wait_ms"],
            Value::Null
        );
    }

    #[test]
    fn what_does_not_apply_is_null_and_never_absent() {
        let mut diagnosis = fixture::county_rollout();
        diagnosis.server.system_identifier = None;
        diagnosis.events[0].group = None;
        diagnosis.events[0].effect = None;
        for finding in &mut diagnosis.findings {
            finding.growth = None;
            finding.rank_stability = None;
            finding.victim.system = None;
            finding.victim.query_id = None;
            finding.victim.database = None;
            finding.cause.table = None;
            finding.cause.lock = None;
            finding.cause.blocker = None;
            finding.cause.event = None;
            finding.ms_per_call = None;
            finding.ci95_ms_per_call = None;
            finding.share_of_growth = None;
            finding.event_effect = None;
            finding.what_if = None;
        }
        let document = check(diagnosis);
        let finding = document["findings"][0].as_object().unwrap();
        for key in ["growth", "ms_per_call", "event_effect", "what_if"] {
            assert_eq!(finding.get(key), Some(&Value::Null), "{key}");
        }
    }

    #[test]
    fn hostile_texts_come_back_as_they_went_in() {
        let huge = format!("{HOSTILE}{}", "SELECT 1; ".repeat(100_000));
        let mut diagnosis = fixture::county_rollout();
        let finding = &mut diagnosis.findings[0];
        finding.victim.query.clone_from(&huge);
        finding.victim.system = Some(HOSTILE.to_owned());
        finding.cause.table = Some(HOSTILE.to_owned());
        let blocker = finding.cause.blocker.as_mut().unwrap();
        blocker.system = Some(HOSTILE.to_owned());
        blocker.query = Some(huge.clone());
        diagnosis.events[0].label = HOSTILE.to_owned();
        let document = check(diagnosis);
        let finding = &document["findings"][0];
        assert_eq!(finding["victim"]["query"], huge.as_str());
        assert_eq!(finding["victim"]["system"], HOSTILE);
        // What is pasted elsewhere is safe as it stands, and short.
        let sentence = finding["sentence"].as_str().unwrap();
        assert!(!sentence.chars().any(char::is_control), "{sentence:?}");
        assert!(sentence.len() < 2_000);
    }

    #[test]
    fn a_document_without_a_required_field_is_refused() {
        let text = render(&Report::new(fixture::county_rollout()));
        let whole: Value = serde_json::from_str(&text).unwrap();
        for key in [
            "schema", "server", "window", "cost", "now", "events", "findings", "losses",
        ] {
            let mut document = whole.clone();
            document.as_object_mut().unwrap().remove(key);
            assert!(
                !complaints(DIAGNOSIS, &document.to_string()).is_empty(),
                "{key}"
            );
        }
        for key in [
            "growth",
            "cause",
            "sentence",
            "advice",
            "what_if",
            "event_effect",
        ] {
            let mut document = whole.clone();
            document["findings"][0].as_object_mut().unwrap().remove(key);
            assert!(
                !complaints(DIAGNOSIS, &document.to_string()).is_empty(),
                "{key}"
            );
        }
        let mut document = whole;
        document["findings"][0]["cause"]["class"] = "gremlins".into();
        assert!(!complaints(DIAGNOSIS, &document.to_string()).is_empty());
    }

    #[test]
    fn graphs_keep_their_contract() {
        let mut hostile = fixture_graph::worst();
        hostile.nodes.push(fixture_graph::prepared(HOSTILE));
        hostile.nodes[0].query = Some(HOSTILE.to_owned());
        hostile.nodes[0].system = None;
        hostile.edges[0].blocker = None;
        hostile.edges[0].blocker_gid = Some(HOSTILE.to_owned());
        hostile.cycles.push(vec![4001, 4002]);
        hostile.unseen.insert("IPC: SafeSnapshot".to_owned(), 1);
        for graph in [fixture_graph::row_queue(), hostile] {
            assert_eq!(
                complaints(GRAPH, &render_graph(&graph)),
                Vec::<String>::new()
            );
        }
        let mut document: Value =
            serde_json::from_str(&render_graph(&fixture_graph::row_queue())).unwrap();
        document["edges"][0].as_object_mut().unwrap().remove("kind");
        assert!(!complaints(GRAPH, &document.to_string()).is_empty());
    }
}

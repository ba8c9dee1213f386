//! Reports as people read them.

use insta::assert_snapshot;
use unicode_width::UnicodeWidthStr;

use super::*;
use crate::attribution::finding::Finding;
use crate::report::fixture::{at, county_rollout, quiet};

fn written(diagnosis: Diagnosis) -> String {
    let page = render(&Report::new(diagnosis), &Style::default());
    for line in page.lines() {
        assert!(line.width() <= 80, "{line}");
    }
    page
}

#[test]
fn the_county_rollout_reads_well_in_eighty_columns() {
    assert_snapshot!("text_county_rollout", written(county_rollout()));
}

#[test]
fn a_quiet_server_makes_a_short_report_with_its_cost() {
    assert_snapshot!("text_quiet", written(quiet()));
}

#[test]
fn colour_adds_nothing_but_colour() {
    let report = Report::new(county_rollout());
    let colored = render(
        &report,
        &Style {
            width: 80,
            color: true,
        },
    );
    assert!(colored.contains("\u{1b}["));
    let stripped = anstream::adapter::strip_str(&colored).to_string();
    // A line's trailing spaces may lie inside its colour.
    let bare: Vec<&str> = stripped.lines().map(str::trim_end).collect();
    let plain = render(&report, &Style::default());
    assert_eq!(bare, plain.lines().collect::<Vec<_>>());
}

#[test]
fn a_suspicion_names_nobody_anywhere() {
    let mut diagnosis = county_rollout();
    diagnosis.events.clear();
    // Who held up whom is an observation and no verdict.
    diagnosis.worst = None;
    diagnosis.episodes.clear();
    for finding in &mut diagnosis.findings {
        finding.verdict = Verdict::Inconclusive;
        finding.event_effect = None;
        finding.what_if = None;
    }
    assert!(!written(diagnosis).contains("sync-12"));
}

#[test]
fn a_part_is_not_proved_by_what_is_proved_of_another_window() {
    let mut diagnosis = county_rollout();
    diagnosis.events.clear();
    diagnosis.worst = None;
    diagnosis.episodes.clear();
    diagnosis.splits[0].growth.window_after[0] = at(190.0);
    let page = written(diagnosis);
    let (_, waterfall) = page.split_once("Where the growth").unwrap_or_default();
    assert!(waterfall.contains("row-lock · public.state_counter"));
    assert!(!waterfall.contains("sync-12"), "{waterfall}");
}

#[test]
fn equal_advice_is_given_once() {
    let mut diagnosis = county_rollout();
    diagnosis.findings[1] = Finding {
        rank: 2,
        ..diagnosis.findings[0].clone()
    };
    let page = written(diagnosis);
    assert_eq!(
        page.matches("commit before calling out").count(),
        1,
        "{page}"
    );
    assert!(page.contains("→ Advice as for 1."), "{page}");
}

#[test]
fn hostile_texts_stay_within_the_page() {
    let hostile = "\u{1b}]0;x\u{7}\r\n\u{202e}行政<script>".repeat(3_000);
    let mut diagnosis = county_rollout();
    let finding = &mut diagnosis.findings[0];
    finding.victim.query.clone_from(&hostile);
    finding.victim.system = Some(hostile.clone());
    finding.cause.table = Some(hostile.clone());
    diagnosis.splits[0].victim.query.clone_from(&hostile);
    diagnosis.events[0].label = hostile.chars().take(500).collect();
    let page = written(diagnosis);
    assert!(!page.contains(['\u{1b}', '\u{7}', '\u{202e}', '\r']));
    assert!(page.lines().count() < 200);
}

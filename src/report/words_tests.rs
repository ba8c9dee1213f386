//! Sentences as people read them.

use insta::assert_snapshot;

use super::*;
use crate::attribution::finding::Amplifier;
use crate::report::fixture::{self, county_rollout, proved, quiet};
use crate::report::{Report, fixture_graph};

fn said(finding: Finding) -> String {
    let mut diagnosis = county_rollout();
    diagnosis.findings = vec![finding];
    Report::new(diagnosis).findings.remove(0).sentence
}

#[test]
fn a_proved_culprit_is_named_with_everything_that_is_known() {
    assert_snapshot!(said(proved()), @"");
}

#[test]
fn a_hot_row_accuses_no_single_system() {
    let sentence = said(fixture::hot_row());
    assert_snapshot!(sentence, @"");
    assert!(!sentence.contains("sync-12"));
}

#[test]
fn too_little_data_accuses_nobody() {
    let sentence = said(Finding {
        verdict: Verdict::Inconclusive,
        needs_minutes: Some(2.5),
        ..proved()
    });
    assert_snapshot!(sentence, @"");
    assert!(!sentence.contains("sync-12"));
}

#[test]
fn no_effect_says_so_with_its_bound() {
    let sentence = said(Finding {
        verdict: Verdict::NoEffect,
        ms_per_call: Some(0.01),
        ci95_ms_per_call: Some([-0.02, 0.03]),
        ..proved()
    });
    assert_snapshot!(sentence, @"");
    assert!(!sentence.contains("sync-12"));
}

#[test]
fn own_work_blames_the_statement_alone() {
    assert_snapshot!(said(Finding {
        verdict: Verdict::Supported,
        ..fixture::unsure()
    }), @"");
}

#[test]
fn without_a_baseline_the_loss_is_told_and_the_growth_is_not() {
    assert_snapshot!(said(Finding {
        growth: None,
        ..proved()
    }), @"");
    assert_snapshot!(said(Finding {
        growth: None,
        ms_per_call: None,
        ci95_ms_per_call: None,
        ..proved()
    }), @"");
}

#[test]
fn a_blocker_that_was_gone_is_called_unknown() {
    let mut finding = proved();
    finding.cause.blocker = None;
    finding.cause.event = None;
    assert_snapshot!(said(finding), @"");
}

#[test]
fn a_ddl_queue_names_the_gate_and_then_the_root() {
    let mut finding = proved();
    finding.cause.class = "ddl-queue";
    finding.cause.table = Some("public.agency".to_owned());
    finding.cause.through = vec![Amplifier {
        system: Some("migrator".to_owned()),
        query: Some("ALTER TABLE public.agency ADD COLUMN region text".to_owned()),
    }];
    assert_snapshot!(said(finding), @"");
}

#[test]
fn a_prepared_transaction_is_told_by_its_gid() {
    let mut finding = proved();
    finding.cause.class = "prepared-transaction";
    finding.cause.event = None;
    if let Some(blocker) = &mut finding.cause.blocker {
        blocker.system = Some("ledger".to_owned());
    }
    let mut diagnosis = county_rollout();
    let mut graph = fixture_graph::row_queue();
    let mut holder = fixture_graph::prepared("settle-2026-11-23");
    holder.behind = 3;
    graph.nodes.push(holder);
    diagnosis.worst = Some(graph);
    diagnosis.findings = vec![finding];
    assert_snapshot!(Report::new(diagnosis).findings[0].sentence, @"");
}

#[test]
fn the_headline_is_the_first_finding_if_it_stands() {
    let report = Report::new(county_rollout());
    assert_eq!(report.headline, report.findings[0].sentence);
}

#[test]
fn nothing_happened_and_nobody_looked_differ() {
    assert_snapshot!(Report::new(quiet()).headline, @"");

    let mut blind = quiet();
    blind.window.ticks = 0;
    assert_snapshot!(Report::new(blind).headline, @"");

    let mut gaps = quiet();
    gaps.window.missed_ticks = 1_200;
    gaps.window.largest_gap_ms = 95_000.0;
    assert_snapshot!(Report::new(gaps).headline, @"");
}

#[test]
fn a_headline_without_a_verdict_says_who_waits_and_how_long_still_to_watch() {
    let mut diagnosis = county_rollout();
    diagnosis.findings = vec![fixture::unsure()];
    let headline = Report::new(diagnosis).headline;
    assert_snapshot!(headline, @"");
    assert!(!headline.contains("sync-12"));
}

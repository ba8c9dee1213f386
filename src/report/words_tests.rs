//! Sentences as people read them.

use insta::assert_snapshot;

use super::*;
use crate::attribution::finding::Amplifier;
use crate::report::Report;
use crate::report::fixture::{self, county_rollout, proved, quiet};

fn said(finding: Finding) -> String {
    let mut diagnosis = county_rollout();
    diagnosis.findings = vec![finding];
    Report::new(diagnosis).findings.remove(0).sentence
}

#[test]
fn a_proved_culprit_is_named_with_everything_that_is_known() {
    assert_snapshot!(said(proved()), @"decision's UPDATE state_counter takes 12.3 ms a call, up from 0.46 ms, since sync-12 began to write at 14:03:05 UTC: 11.2 ms of it (95 % interval 10.1 to 12.4) is spent waiting for rows of public.state_counter that sync-12 holds, 93 % of that time idle in transaction, partly in a queue behind intake-07; proved by 327 samples of who waits for whom.");
}

#[test]
fn a_hot_row_accuses_no_single_system() {
    let sentence = said(fixture::hot_row());
    assert_snapshot!(sentence, @"UPDATE state_counter, run by intake-01, intake-02 and 12 more, takes 1.6 ms a call over all who run it, up from 0.52 ms, since 16 systems began to write between 14:03:02 and 14:03:06 UTC: 0.87 ms of it (95 % interval 0.55 to 1.19) is spent waiting for rows of public.state_counter that many systems hold in turn, no single one to blame; supported by statistics over 270 samples, not proved.");
    assert!(!sentence.contains("sync-12"));
}

#[test]
fn too_little_data_accuses_nobody() {
    let sentence = said(Finding {
        verdict: Verdict::Inconclusive,
        needs_minutes: Some(2.5),
        ..proved()
    });
    assert_snapshot!(sentence, @"Not enough data yet to say why decision's UPDATE state_counter takes 12.3 ms a call, up from 0.46 ms: it needs about 3 more minutes (327 samples so far).");
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
    assert_snapshot!(sentence, @"decision's UPDATE state_counter is not slowed down by waits for row locks: 0.01 ms a call, 95 % interval -0.02 to 0.03.");
    assert!(!sentence.contains("sync-12"));
}

#[test]
fn own_work_blames_the_statement_alone() {
    assert_snapshot!(said(Finding {
        verdict: Verdict::Supported,
        ..fixture::unsure()
    }), @"decision's SELECT from permission takes 0.19 ms a call, up from 0.11 ms, since about 14:03:05 UTC: 0.07 ms of it (95 % interval -0.03 to 0.17) is spent on its own work (plan, rows or blocks per call); supported by statistics over 6 samples, not proved, inferred and not measured.");
}

#[test]
fn without_a_baseline_the_loss_is_told_and_the_growth_is_not() {
    assert_snapshot!(said(Finding {
        growth: None,
        ..proved()
    }), @"decision's UPDATE state_counter loses 11.2 ms a call (95 % interval 10.1 to 12.4), since sync-12 began to write at 14:03:05 UTC, spent waiting for rows of public.state_counter that sync-12 holds, 93 % of that time idle in transaction, partly in a queue behind intake-07; proved by 327 samples of who waits for whom. There is no baseline, so by how much it grew is not known.");
    assert_snapshot!(said(Finding {
        growth: None,
        ms_per_call: None,
        ci95_ms_per_call: None,
        ..proved()
    }), @"decision's UPDATE state_counter lost 32.7 s of DB time, since sync-12 began to write at 14:03:05 UTC, spent waiting for rows of public.state_counter that sync-12 holds, 93 % of that time idle in transaction, partly in a queue behind intake-07; proved by 327 samples of who waits for whom. No call was counted and there is no baseline, so the loss per call is not known.");
}

#[test]
fn a_blocker_that_was_gone_is_called_unknown() {
    let mut finding = proved();
    finding.cause.blocker = None;
    finding.cause.event = None;
    assert_snapshot!(said(finding), @"decision's UPDATE state_counter takes 12.3 ms a call, up from 0.46 ms, since 16 systems began to write between 14:03:02 and 14:03:06 UTC: 11.2 ms of it (95 % interval 10.1 to 12.4) is spent waiting for rows of public.state_counter that somebody held who was gone before being seen, partly in a queue behind intake-07; proved by 327 samples of who waits for whom.");
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
    assert_snapshot!(said(finding), @"decision's UPDATE state_counter takes 12.3 ms a call, up from 0.46 ms, since sync-12 began to write at 14:03:05 UTC: 11.2 ms of it (95 % interval 10.1 to 12.4) is spent queued for public.agency behind ALTER TABLE agency of migrator, which itself waits for a lock that sync-12 holds, 93 % of that time idle in transaction; proved by 327 samples of who waits for whom.");
}

#[test]
fn a_prepared_transaction_is_told_by_its_gid() {
    let mut finding = proved();
    finding.cause.class = "prepared-transaction";
    finding.cause.event = None;
    if let Some(blocker) = &mut finding.cause.blocker {
        blocker.system = Some("ledger".to_owned());
        blocker.gid = Some("settle-2026-11-23".to_owned());
        blocker.state = [("prepared".to_owned(), 1.0)].into();
    }
    // It is told from the finding: the graphs that were kept may be of another moment.
    assert_snapshot!(said(finding), @"decision's UPDATE state_counter takes 12.3 ms a call, up from 0.46 ms, since 16 systems began to write between 14:03:02 and 14:03:06 UTC: 11.2 ms of it (95 % interval 10.1 to 12.4) is spent waiting for a lock on public.state_counter that the prepared transaction 'settle-2026-11-23' of ledger holds, partly in a queue behind intake-07; proved by 327 samples of who waits for whom.");
}

#[test]
fn the_headline_is_the_first_finding_if_it_stands() {
    let report = Report::new(county_rollout());
    assert_eq!(report.headline, report.findings[0].sentence);
}

#[test]
fn nothing_happened_and_nobody_looked_differ() {
    assert_snapshot!(Report::new(quiet()).headline, @"Nothing in 5 min 0 s of watching suggests that a system slows another down.");

    let mut blind = quiet();
    blind.window.ticks = 0;
    assert_snapshot!(Report::new(blind).headline, @"Nobody looked: not one look at the server succeeded, so nothing can be said.");

    // Twenty seconds around a gap of thirty days are twenty seconds.
    let mut gap = quiet();
    gap.window.from = fixture::at(-2_592_000.0);
    gap.window.watched_ms = 20_000.0;
    assert_snapshot!(Report::new(gap).headline, @"Nothing in 20.0 s of watching suggests that a system slows another down.");

    let mut unseen = quiet();
    unseen.unattributed_share = 1.0;
    assert_snapshot!(Report::new(unseen).headline, @"In 5 min 0 s of watching 100 % of the time lost to locks could be charged to nobody: whether a system slows another down is not known.");

    let mut gaps = quiet();
    gaps.window.missed_ticks = 1_200;
    gaps.window.largest_gap_ms = 95_000.0;
    assert_snapshot!(Report::new(gaps).headline, @"Nothing in 5 min 0 s of watching suggests that a system slows another down. 1,200 of 4,200 looks were missed, the longest stretch without one was 1 min 35 s.");
}

#[test]
fn a_headline_without_a_verdict_says_who_waits_and_how_long_still_to_watch() {
    let mut diagnosis = county_rollout();
    diagnosis.findings = vec![fixture::unsure()];
    let headline = Report::new(diagnosis).headline;
    assert_snapshot!(headline, @"Not enough data yet to accuse anybody: one suspicion needs about 5 more minutes. 14 sessions of 7 systems waited for locks at the last look, the longest for 162 ms. 102 of 3,000 looks were missed, the longest stretch without one was 10.1 s.");
    assert!(!headline.contains("sync-12"));
}

#[test]
fn at_the_end_of_a_longer_chain_the_root_holds_what_it_holds() {
    let mut finding = proved();
    if let Some(blocker) = &mut finding.cause.blocker {
        blocker.table = Some("public.agency".to_owned());
    }
    assert_snapshot!(said(finding), @"decision's UPDATE state_counter takes 12.3 ms a call, up from 0.46 ms, since sync-12 began to write at 14:03:05 UTC: 11.2 ms of it (95 % interval 10.1 to 12.4) is spent waiting for public.state_counter behind intake-07, which itself waits for a lock on public.agency that sync-12 holds, 93 % of that time idle in transaction; proved by 327 samples of who waits for whom.");
}

//! Conclusions against a simulated database whose truth is known exactly.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::print_stdout, reason = "measured shares are worth reading")]

mod apportion;
mod horizon;
mod look;
mod nonsense;
mod noticed;
mod paced;
mod pool;
mod real;
mod rollup;

mod simulator;
mod step;
mod story;
mod tails;
mod traps;
mod truth;

use pgjam::attribution::diagnose;
use pgjam::attribution::finding::{Diagnosis, Finding, Verdict};
use pgjam::recording::Recording;
use pgjam::system::Naming;

/// Concludes with the default naming, and checks what holds of every conclusion.
fn conclude(recording: &Recording) -> Diagnosis {
    let diagnosis = diagnose(recording, &Naming::default());
    for split in &diagnosis.splits {
        let parts: f64 = split.parts.iter().map(|part| part.delta_ms).sum();
        let off = parts + split.residual_ms - split.growth.delta_ms;
        assert!(off.abs() < 1e-6, "parts miss the growth by {off} ms");
    }
    for finding in &diagnosis.findings {
        let states = finding
            .cause
            .blocker
            .iter()
            .map(|b| b.state.values().sum::<f64>());
        assert!(states.into_iter().all(|sum| (sum - 1.0).abs() < 1e-9));
        assert_eq!(
            finding.needs_minutes.is_some(),
            finding.verdict == Verdict::Inconclusive
        );
    }
    diagnosis
}

/// The system that a finding says is in the way.
fn culprit(finding: &Finding) -> Option<&str> {
    let blocker = finding.cause.blocker.as_ref()?;
    blocker.gid.as_deref().or(blocker.system.as_deref())
}

/// Those who are held to have slowed others down.
fn accused(diagnosis: &Diagnosis) -> Vec<&str> {
    let holds = |finding: &&Finding| finding.verdict <= Verdict::Supported;
    let mut accused: Vec<&str> = diagnosis
        .findings
        .iter()
        .filter(holds)
        .filter_map(culprit)
        .collect();
    accused.sort_unstable();
    accused.dedup();
    accused
}

/// One line per finding, for whoever reads a failure.
fn told(diagnosis: &Diagnosis) -> String {
    let line = |finding: &Finding| {
        format!(
            "{:?} {:?} {} {:?} by {:?}: {:?} ms of {:.30}, {:.2} s, {} ticks\n",
            finding.verdict,
            finding.scope,
            finding.cause.class,
            finding.cause.table,
            culprit(finding),
            finding.ms_per_call,
            finding.victim.query,
            finding.db_seconds,
            finding.evidence.ticks,
        )
    };
    diagnosis.findings.iter().map(line).collect()
}

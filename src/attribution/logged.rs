//! What the server's own log states, laid beside the findings.
//!
//! It changes no verdict and accuses nobody: who holds a lock by the log need not be in the way. Of
//! a deadlock alone it says which table it was about, where the samples do not.

use crate::attribution::finding::{Diagnosis, Finding};
use crate::log::{Beside, Question};

/// The classes of waits that a log tells of, with the kinds of lock that they are for.
const CLASSES: [(&str, &[&str]); 7] = [
    ("row-lock", &["transactionid", "tuple", "spectoken"]),
    ("relation-lock", &["relation"]),
    ("ddl-queue", &["relation"]),
    ("advisory-lock", &["advisory", "userlock"]),
    ("extend-lock", &["extend"]),
    ("virtualxid", &["virtualxid"]),
    ("object-lock", &["object"]),
];

/// Classes that any lock may be behind.
const OF_ANY_LOCK: [&str; 2] = ["deadlock", "prepared-transaction"];

/// Lays a log beside what was concluded from the samples.
pub fn lay_log_beside(diagnosis: &mut Diagnosis, log: &Beside) {
    for finding in &mut diagnosis.findings {
        lay(finding, log);
    }
    diagnosis.log = Some(log.logged().clone());
}

fn lay(finding: &mut Finding, log: &Beside) {
    let class = finding.cause.class;
    let known = CLASSES.iter().find(|(known, _)| *known == class);
    if known.is_none() && !OF_ANY_LOCK.contains(&class) {
        return;
    }
    let window = finding.growth.as_ref();
    let window = window.map(|growth| growth.window_after.map(|at| at.0));
    let mut stated = log.of_victim(&Question {
        fingerprint: &finding.victim.fingerprint,
        database: finding.victim.database.as_deref(),
        table: finding.cause.table.as_deref(),
        locktypes: known.map(|(_, kinds)| *kinds),
        window,
    });
    if class == "deadlock"
        && finding.cause.table.is_none()
        && let Some(stated) = &mut stated
        && let [table] = &stated.deadlock_tables[..]
    {
        finding.cause.table = Some(table.clone());
    }
    finding.evidence.log = stated;
}

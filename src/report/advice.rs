//! What to do about a finding: concrete, gentlest first, three lines at most.

use super::line::{escape, fit};
use super::naming::statement_name;
use super::words::more_minutes;
use crate::attribution::finding::{Finding, Scope, Verdict};
use crate::statement::{self, Kind};

/// Gives up to three lines; none where nothing is wrong.
pub(super) fn advice(finding: &Finding) -> Vec<String> {
    let lines = match finding.verdict {
        Verdict::NoEffect => Vec::new(),
        Verdict::Inconclusive => vec![format!(
            "Watch on for {} before changing anything on the strength of this.",
            more_minutes(finding.needs_minutes)
        )],
        Verdict::Proved | Verdict::Supported => by_class(&Names::of(finding), finding),
    };
    lines.into_iter().map(|line| escape(&line)).collect()
}

/// The names that advice speaks of.
struct Names {
    blocker: String,
    victim: String,
    statement: String,
    taken_by: String,
    table: String,
}

impl Names {
    fn of(finding: &Finding) -> Self {
        let short = |name: Option<&str>, otherwise: &str| {
            name.map_or_else(|| otherwise.to_owned(), |name| fit(&escape(name), 64))
        };
        let blocker = finding.cause.blocker.as_ref();
        Self {
            blocker: short(
                blocker.and_then(|blocker| blocker.system.as_deref()),
                "the blocking system",
            ),
            victim: short(finding.victim.system.as_deref(), "the waiting systems"),
            statement: statement_name(&finding.victim.query),
            taken_by: blocker
                .and_then(|blocker| blocker.query.as_deref())
                .map_or_else(|| "the locking statement".to_owned(), statement_name),
            // What the blocker holds, which at the end of a longer chain is another table.
            table: short(
                blocker
                    .and_then(|blocker| blocker.table.as_deref())
                    .or(finding.cause.table.as_deref()),
                "the table",
            ),
        }
    }
}

fn by_class(names: &Names, finding: &Finding) -> Vec<String> {
    let Names {
        blocker,
        victim,
        statement,
        taken_by,
        table,
    } = names;
    let explain = explain(&finding.victim.query);
    match finding.cause.class {
        "row-lock" if finding.scope == Scope::Object => vec![
            format!("Touch {table} last in each transaction and commit at once, so that the hot row is held for one commit only."),
            "Spread the hot row: several rows per counter that are added up when read, or append the changes and fold them in one job.".to_owned(),
        ],
        "row-lock" => row_lock(names, finding),
        "relation-lock" => vec![
            format!("In {blocker}: take the lock on {table} late and commit at once; where it is LOCK TABLE, ask for the weakest mode that does."),
            format!("Give both sides a lock_timeout (say 2s) and retry, so that {victim} fails fast and does not queue."),
        ],
        "ddl-queue" => ddl_queue(names, finding),
        "advisory-lock" => vec![
            format!("In {blocker}: use pg_advisory_xact_lock and a short transaction, or release a session's lock in a finally block."),
            format!("In {victim}: use pg_try_advisory_lock and come back later, in place of waiting; check that both mean the same key."),
        ],
        "prepared-transaction" => vec![
            "Ask the owner's transaction manager to finish it: COMMIT PREPARED or ROLLBACK PREPARED by its name; it never ends by itself.".to_owned(),
            "Alert on the age of pg_prepared_xacts.".to_owned(),
        ],
        "deadlock" => vec![
            format!("Lock the rows of {table} in one order everywhere (SELECT … ORDER BY key FOR UPDATE, then write)."),
            format!("Retry the transaction on SQLSTATE 40P01, with a random pause, in {victim} and {blocker}."),
        ],
        "own-work" => vec![
            format!("Compare the plan of {statement} with what it was: {explain}, then ANALYZE its tables if the row estimates are off."),
            "If rows or blocks per call grew, look for a missing index, dead rows (VACUUM) or a tenant with far more data.".to_owned(),
        ],
        "extend-lock" => vec![format!(
            "Load {table} in fewer, larger statements (COPY, multi-row INSERT), or partition it so that writers extend different files."
        )],
        "virtualxid" | "safe-snapshot" | "horizon" => vec![
            format!("End the long transactions of {blocker}, or run it when they are over."),
            "Bound them: transaction_timeout (17 and later) or idle_in_transaction_session_timeout for that role.".to_owned(),
        ],
        "object-lock" => vec![
            format!("If {blocker} uses NOTIFY: commits that notify run one at a time; notify from a short transaction of its own."),
        ],
        "wal" => vec![
            "Commit less often: several rows per transaction in the systems that arrived.".to_owned(),
            "For writes that may be lost in a crash: SET synchronous_commit = off in those transactions.".to_owned(),
        ],
        "io" => vec![
            format!("See what {statement} reads: {explain}; then whether shared_buffers still holds the working set."),
        ],
        "cpu" => vec![
            "Bound the number of sessions at work at once, with a pooler in front of the systems that arrived.".to_owned(),
            "Look first at the statements with the most DB time, not at the slowest ones.".to_owned(),
        ],
        "sync-replication" => vec![
            "Look at the synchronous standby (pg_stat_replication: write_lag, flush_lag) before the database itself.".to_owned(),
        ],
        "client" => vec![format!(
            "Look at {victim} and its network: the server waits for the client to send or to read."
        )],
        "lwlock" => vec![
            format!("Look at which internal lock it is (wait_event) and bound how many sessions run {statement} at once."),
        ],
        "buffer-pin" => vec![
            format!("Close cursors early in the systems that read {table}: VACUUM waits for their pinned pages."),
        ],
        _ => vec![format!(
            "No known cause explains it: look at {taken_by} and at {statement} side by side."
        )],
    }
}

/// Says how to see a statement's plan: with ANALYZE it is executed, so that is for reads only.
fn explain(query: &str) -> &'static str {
    let statement = statement::read(query.as_bytes());
    if statement.parsed && statement.kind == Kind::Select && !statement.writes() {
        "EXPLAIN (ANALYZE, BUFFERS)"
    } else {
        "EXPLAIN (without ANALYZE, which would execute it)"
    }
}

fn row_lock(names: &Names, finding: &Finding) -> Vec<String> {
    let Names {
        blocker,
        victim,
        taken_by,
        table,
        ..
    } = names;
    let retry = format!(
        "Give {victim} a lock_timeout and a bounded retry with a random pause, so that it does not queue without end."
    );
    match finding.cause.dominant_state().map(|(state, _)| state) {
        Some(state) if state.starts_with("idle in transaction") => vec![
            format!("In {blocker}: commit before calling out, so that no row of {table} stays locked while the application is away."),
            format!("Until then: set idle_in_transaction_session_timeout for the role of {blocker} (above its normal pause); it ends the session, which must reconnect and retry."),
            retry,
        ],
        Some("active (wal)" | "active (sync-replication)") => vec![
            format!("In {blocker}: run {taken_by} last before COMMIT, so that the row is held for the commit's write only."),
            "Look at the disk under the write-ahead log and at the synchronous standby: the holder waits for them.".to_owned(),
        ],
        Some("active (io)") => vec![
            format!("In {blocker}: read what the transaction needs before {taken_by} locks the row, and run that last before COMMIT."),
            "Look at the disk under the tables and at shared_buffers: the holder waits for reads and writes.".to_owned(),
        ],
        Some("active (lwlock)") => vec![
            format!("Look at which internal lock the holder waits for (wait_event), and bound how many sessions of {blocker} work at once."),
            retry,
        ],
        Some("active (client)") => vec![
            format!("In {blocker}: fetch results and send data at once, or outside of that transaction: the server waits for its client while the row is locked."),
            retry,
        ],
        _ => vec![
            format!("In {blocker}: run {taken_by} last before COMMIT, and keep slow statements out of that transaction."),
            retry,
        ],
    }
}

fn ddl_queue(names: &Names, finding: &Finding) -> Vec<String> {
    let gate = finding.cause.through.first();
    let migrator = gate
        .and_then(|gate| gate.system.as_deref())
        .map_or_else(|| "the schema change".to_owned(), |s| fit(&escape(s), 64));
    let change = gate
        .and_then(|gate| gate.query.as_deref())
        .map_or_else(|| "the schema change".to_owned(), statement_name);
    vec![
        format!(
            "Cancel {change} of {migrator}: who waits for nobody else goes on at once, and the change, with the transaction it is in, can be run again."
        ),
        format!(
            "Run it with SET lock_timeout = '2s' and retry until it gets through, when {} has no long transaction open.",
            names.blocker
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture;

    const CLASSES: [&str; 19] = [
        "row-lock",
        "relation-lock",
        "ddl-queue",
        "advisory-lock",
        "prepared-transaction",
        "deadlock",
        "object-lock",
        "extend-lock",
        "virtualxid",
        "safe-snapshot",
        "buffer-pin",
        "lwlock",
        "wal",
        "io",
        "cpu",
        "sync-replication",
        "horizon",
        "client",
        "own-work",
    ];

    #[test]
    fn every_class_has_one_to_three_lines_of_its_own() {
        let mut seen = std::collections::BTreeSet::new();
        for class in CLASSES {
            let mut finding = fixture::proved();
            finding.cause.class = class;
            let lines = advice(&finding);
            assert!((1..=3).contains(&lines.len()), "{class}: {lines:?}");
            assert!(!lines[0].contains("No known cause"), "{class}");
            seen.insert(lines);
        }
        // An old transaction asks for the same, whichever way it shows.
        assert_eq!(seen.len(), CLASSES.len() - 2);
    }

    #[test]
    fn a_holder_that_is_away_is_asked_to_commit_before_it_calls_out() {
        let lines = advice(&fixture::proved());
        assert!(lines[0].contains("sync-12: commit before calling out"));
        assert!(lines[1].contains("idle_in_transaction_session_timeout"));
    }

    #[test]
    fn a_prepared_transaction_is_never_answered_with_a_setting_that_stops_the_server() {
        let mut finding = fixture::proved();
        finding.cause.class = "prepared-transaction";
        assert!(!advice(&finding).join(" ").contains("max_prepared"));
    }

    #[test]
    fn only_a_pure_read_is_executed_to_see_its_plan() {
        for (query, executed) in [
            (fixture::PERMISSION, true),
            (fixture::UPDATE_COUNTER, false),
            ("SELECT total FROM counter WHERE id = $1 FOR UPDATE", false),
            (
                "WITH gone AS (DELETE FROM queue RETURNING id) SELECT * FROM gone",
                false,
            ),
            ("SELECT a FROM t WHERE b IN (SELECT", false),
        ] {
            for class in ["own-work", "io"] {
                let mut finding = fixture::proved();
                finding.cause.class = class;
                finding.victim.query = query.to_owned();
                let lines = advice(&finding).join(" ");
                assert_eq!(lines.contains("(ANALYZE"), executed, "{query}: {lines}");
                assert!(lines.contains("EXPLAIN ("), "{query}: {lines}");
            }
        }
    }

    #[test]
    fn a_holder_at_work_is_advised_by_what_it_waits_for() {
        let said = |state: &str| {
            let mut finding = fixture::proved();
            if let Some(blocker) = &mut finding.cause.blocker {
                blocker.state = [(state.to_owned(), 1.0)].into();
            }
            advice(&finding).join(" ")
        };
        for (state, word) in [
            ("active (wal)", "write-ahead log"),
            ("active (sync-replication)", "synchronous standby"),
            ("active (io)", "disk under the tables"),
            ("active (lwlock)", "internal lock"),
            ("active (client)", "waits for its client"),
            ("active (other)", "keep slow statements out"),
            ("active", "keep slow statements out"),
        ] {
            assert!(said(state).contains(word), "{state}: {}", said(state));
        }
    }

    #[test]
    fn a_hot_row_is_spread_and_nobody_is_named() {
        let lines = advice(&fixture::hot_row()).join(" ");
        assert!(lines.contains("Spread the hot row"));
        assert!(!lines.contains("sync-12"));
    }

    #[test]
    fn too_little_data_advises_to_watch_and_nothing_to_do_is_silent() {
        assert_eq!(
            advice(&fixture::unsure()),
            ["Watch on for about 5 more minutes before changing anything on the strength of this."]
        );
        let mut harmless = fixture::proved();
        harmless.verdict = Verdict::NoEffect;
        assert!(advice(&harmless).is_empty());
    }
}

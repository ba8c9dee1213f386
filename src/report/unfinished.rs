//! Why somebody in the way is not finished.

use super::figures::duration;
use super::wait_words::at_work;
use super::who::{is_nameless_prepared, is_unlisted};
use crate::graph::view::{Autovacuum, Node};

/// A transaction that is older than its statement by less is no older: it is that statement.
const SAME_MS: f64 = 20.0;

/// Says why a root is not finished, as far as one look can tell.
pub(super) fn why_not_finished(node: &Node) -> String {
    if is_unlisted(node) {
        return unlisted(node).to_owned();
    }
    match (node.autovacuum, node.backend_type.as_str()) {
        (Some(kind), _) => autovacuum(kind).to_owned(),
        (None, "startup") => "the primary's transaction has this lock here until its end is \
                              replayed"
            .to_owned(),
        (None, "walsender") => format!("a replication connection, {}", by_state(node)),
        _ => by_state(node),
    }
}

fn by_state(node: &Node) -> String {
    let lasting = node
        .state_age_ms
        .map_or_else(String::new, |ms| format!(" for {}", duration(ms)));
    match node.state.as_str() {
        "prepared" => match node.xact_age_ms {
            Some(ms) => format!(
                "prepared {} ago; ends only by COMMIT or ROLLBACK PREPARED",
                duration(ms)
            ),
            None => "prepared; ends only by COMMIT or ROLLBACK PREPARED".to_owned(),
        },
        "idle in transaction" => {
            format!("the application is away{lasting}{}", transaction(node))
        }
        "idle in transaction (aborted)" => format!(
            "failed, and its application has not rolled back{lasting}{}",
            transaction(node)
        ),
        "idle" => format!("idle{lasting}, and keeps a lock that outlives its transactions"),
        "hidden" if node.backend_type == "client backend" => {
            "its state is hidden from this role".to_owned()
        }
        "hidden" => match &node.wait_event {
            Some(event) => format!("{} ({event})", at_work(event)),
            None => "at work".to_owned(),
        },
        _ => match &node.wait_event {
            Some(event) => format!(
                "at work{lasting}, {} ({event}){}",
                at_work(event),
                transaction(node)
            ),
            None => format!("at work{lasting}{}", transaction(node)),
        },
    }
}

/// Says how long the transaction is open, where that says more than the age of the state.
fn transaction(node: &Node) -> String {
    match (node.xact_age_ms, node.state_age_ms) {
        (Some(open), Some(state)) if open - state < SAME_MS && node.state == "active" => {
            String::new()
        }
        (Some(open), _) => format!(", its transaction open for {}", duration(open)),
        (None, _) => String::new(),
    }
}

const fn autovacuum(kind: Autovacuum) -> &'static str {
    match kind {
        Autovacuum::Ordinary => "gives way once somebody has waited for deadlock_timeout",
        Autovacuum::AgainstWraparound => {
            "keeps transaction ids from running out; gives way to nobody"
        }
        Autovacuum::Truncating => {
            "gives the empty end of the table back; stops when it sees that others wait"
        }
    }
}

fn unlisted(node: &Node) -> &'static str {
    match node.party.pid {
        None if is_nameless_prepared(node) => {
            "prepared as SERIALIZABLE; which one it is the server does not tell"
        }
        Some(_) => "in the lock table, but not among the sessions: just begun, or just gone",
        None => "neither a session nor a prepared transaction that could be seen",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture_graph::{autovacuum as worker, node, prepared};

    fn check(node: &Node, expected: &str) {
        assert_eq!(why_not_finished(node), expected);
    }

    fn since(state: &str, state_ms: f64, transaction_ms: f64) -> Node {
        Node {
            state_age_ms: Some(state_ms),
            xact_age_ms: Some(transaction_ms),
            ..node(10, "sync-01", state, "SELECT 1")
        }
    }

    #[test]
    fn an_application_that_is_away_is_told_by_how_long() {
        check(
            &since("idle in transaction", 61_000.0, 65_000.0),
            "the application is away for 1 min 1 s, its transaction open for 1 min 5 s",
        );
    }

    #[test]
    fn a_transaction_of_one_statement_is_told_once() {
        check(&since("active", 9_000.0, 9_000.2), "at work for 9.0 s");
        check(
            &since("active", 9_000.0, 61_000.0),
            "at work for 9.0 s, its transaction open for 1 min 1 s",
        );
    }

    #[test]
    fn what_a_running_statement_waits_for_is_told_in_words() {
        let node = Node {
            wait_event: Some("IPC: SyncRep".to_owned()),
            ..since("active", 9_000.0, 9_000.0)
        };
        check(
            &node,
            "at work for 9.0 s, its commit waits for the synchronous standby (IPC: SyncRep)",
        );
    }

    #[test]
    fn every_kind_of_holder_has_its_reason() {
        check(
            &prepared("settle-7"),
            "prepared 3 h 12 min ago; ends only by COMMIT or ROLLBACK PREPARED",
        );
        check(
            &since("idle", 61_000.0, 0.0),
            "idle for 1 min 1 s, and keeps a lock that outlives its transactions",
        );
        check(
            &worker(10, Autovacuum::AgainstWraparound),
            "keeps transaction ids from running out; gives way to nobody",
        );
        check(
            &Node {
                backend_type: "startup".to_owned(),
                ..since("hidden", 0.0, 0.0)
            },
            "the primary's transaction has this lock here until its end is replayed",
        );
        check(
            &Node {
                backend_type: "unknown".to_owned(),
                ..node(10, "", "unknown", "")
            },
            "in the lock table, but not among the sessions: just begun, or just gone",
        );
    }
}

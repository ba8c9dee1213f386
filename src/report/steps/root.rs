//! What is offered about each kind of root.

use super::{Adviser, Price, Step, question};
use crate::graph::view::{Autovacuum, Node};
use crate::report::figures::duration;
use crate::report::line::{escape, fit, is_invisible};
use crate::report::naming::statement_name;
use crate::report::rights::Permission;
use crate::report::who::{is_nameless_prepared, is_unlisted, named, party, system};

impl Adviser<'_> {
    /// Deals with a root by what it is.
    pub(super) fn root(&self, top: usize) -> Vec<Step> {
        let node = self.node(top);
        match (node.autovacuum, node.backend_type.as_str()) {
            _ if is_unlisted(node) => vec![unlisted(node)],
            (Some(kind), _) => self.autovacuum(top, kind),
            (None, "startup") => vec![self.replay(top)],
            (None, "walsender") => self.replication(top),
            (None, _) if node.state == "prepared" => self.prepared(top),
            (None, "client backend") => self.session(top),
            (None, _) => self.worker(top),
        }
    }

    /// Deals with an application's session by what it is at.
    fn session(&self, top: usize) -> Vec<Step> {
        let node = self.node(top);
        let (who, gain) = (named(node), self.gain(top));
        let lost = lost(node);
        match node.state.as_str() {
            "idle in transaction" | "idle in transaction (aborted)" | "idle" => {
                let please = match (node.state.as_str(), self.advisory(top)) {
                    ("idle", Some(lock)) => format!("to give {lock} back"),
                    ("idle", None) => "to close its session".to_owned(),
                    (_, Some(lock)) => format!("to end its transaction and give {lock} back"),
                    (_, None) => "to commit or roll back".to_owned(),
                };
                let ask = question(
                    format!("Ask the owner of {who} {please}."),
                    format!("{gain} Costs nobody anything."),
                );
                let end = self.signal(
                    node,
                    Price::Session,
                    "pg_terminate_backend",
                    format!("End the session {who}; it runs nothing that could be cancelled."),
                    format!("{gain} Costs {lost}; it must reconnect."),
                );
                [Some(ask), end].into_iter().flatten().collect()
            }
            _ => {
                let outlasts = match self.advisory(top) {
                    Some(lock) => format!(" A session's {lock} outlasts that."),
                    None => String::new(),
                };
                let cancel = self.signal(
                    node,
                    Price::Work,
                    "pg_cancel_backend",
                    format!("Cancel the statement of {who}."),
                    format!("{gain} Costs {lost}.{outlasts}"),
                );
                let end = self.signal(
                    node,
                    Price::Session,
                    "pg_terminate_backend",
                    format!("If it is still in the way then, end the session {who}."),
                    "Costs it its connection as well; it must reconnect.".to_owned(),
                );
                [cancel, end].into_iter().flatten().collect()
            }
        }
    }

    /// Names the advisory lock that is waited for directly behind a node.
    fn advisory(&self, top: usize) -> Option<String> {
        let waits = self.forest.children[top].iter();
        let mut waits = waits.filter_map(|&n| self.forest.wait[n]);
        let edge = waits.find(|edge| edge.lock.kind == "advisory")?;
        Some(fit(&escape(&edge.lock.target), 60))
    }

    fn autovacuum(&self, top: usize, kind: Autovacuum) -> Vec<Step> {
        let node = self.node(top);
        let (who, gain) = (named(node), self.gain(top));
        let cancel = |price, what: String, cost: &str| {
            let effect = format!("{gain} {cost}");
            self.signal(node, price, "pg_cancel_backend", what, effect)
        };
        match kind {
            Autovacuum::Ordinary => {
                let wait = question(
                    format!("Wait: {who} gives way by itself after deadlock_timeout."),
                    format!("{gain} Costs nobody anything."),
                );
                let cancel = cancel(
                    Price::Queue,
                    format!("If it does not, cancel {who}."),
                    "Costs no application anything: autovacuum starts over later.",
                );
                [Some(wait), cancel].into_iter().flatten().collect()
            }
            Autovacuum::Truncating => vec![question(
                format!("Wait: {who} lets go by itself when it sees that others wait."),
                "If it happens often, set vacuum_truncate = off on that table.".to_owned(),
            )],
            Autovacuum::AgainstWraparound => {
                let mut wait = question(
                    format!("Let {who} finish, and withdraw what waits for it."),
                    "It keeps the database from running out of transaction ids. How far it is:"
                        .to_owned(),
                );
                if let Some(pid) = node.party.pid {
                    wait.statement = vec![format!(
                        "SELECT * FROM pg_stat_progress_vacuum WHERE pid = {pid};"
                    )];
                }
                let cancel = cancel(
                    Price::Session,
                    format!("Only if nothing else will do, cancel {who}."),
                    "It comes back within autovacuum_naptime, starts over, and must get through soon.",
                );
                [Some(wait), cancel].into_iter().flatten().collect()
            }
        }
    }

    /// Deals with the process that replays the primary's changes on a standby.
    fn replay(&self, top: usize) -> Step {
        let below = self.forest.children[top].iter();
        let mut tables = below.filter_map(|&n| self.forest.wait[n]?.lock.table.as_deref());
        let table = tables.next().map_or_else(
            || "this lock".to_owned(),
            |table| format!("the lock on {}", fit(&escape(table), 64)),
        );
        question(
            format!("Finish the transaction on the primary that has {table}."),
            format!(
                "{} Nothing is to be signalled on this standby: replay only repeats what the \
                 primary did. If it is finished there, replay is late:",
                self.gain(top)
            ),
        )
        .with("SELECT now() - pg_last_xact_replay_timestamp();")
    }

    fn replication(&self, top: usize) -> Vec<Step> {
        let node = self.node(top);
        let gain = self.gain(top);
        let ask = question(
            format!("Ask who replicates or takes a backup by {}.", named(node)),
            format!("{gain} Costs nobody anything."),
        );
        let end = self.signal(
            node,
            Price::Session,
            "pg_terminate_backend",
            format!("End the replication connection {}.", named(node)),
            format!(
                "{gain} Its client must reconnect; a slot keeps its place, a base backup starts \
                 over."
            ),
        );
        [Some(ask), end].into_iter().flatten().collect()
    }

    /// Deals with a process that the server or an extension runs for itself.
    fn worker(&self, top: usize) -> Vec<Step> {
        let node = self.node(top);
        let gain = self.gain(top);
        let (ask, cost) = if node.backend_type.starts_with("logical replication") {
            (
                "Disable its subscription: ALTER SUBSCRIPTION … DISABLE.".to_owned(),
                "It is started again and applies the same transaction again.",
            )
        } else {
            (
                format!("Find out who runs {}: it is no application's.", named(node)),
                "Costs it its work; whoever runs it may start it again.",
            )
        };
        let end = self.signal(
            node,
            Price::Session,
            "pg_terminate_backend",
            format!("End {}.", named(node)),
            format!("{gain} {cost}"),
        );
        let ask = question(ask, gain.clone());
        [Some(ask), end].into_iter().flatten().collect()
    }

    /// Deals with a prepared transaction: its manager knows what is to become of it.
    fn prepared(&self, top: usize) -> Vec<Step> {
        let node = self.node(top);
        let Some(gid) = node.party.gid.as_deref() else {
            return Vec::new();
        };
        let gain = self.gain(top);
        let ask = question(
            format!(
                "Ask the transaction manager of {} whether to commit or roll back {}.",
                system(node),
                party(node)
            ),
            format!("{gain} Costs nobody anything."),
        );
        let database = node.database.as_deref().map_or_else(
            || "the database it was prepared in".to_owned(),
            |name| format!("the database {}", fit(&escape(name), 64)),
        );
        let give_up = Step {
            price: Price::Session,
            what: format!("Give {} up, connected to {database}.", party(node)),
            effect: format!(
                "{gain} Costs {} what it did there, for good; it was promised to be kept.",
                system(node)
            ),
            statement: vec![format!("ROLLBACK PREPARED {};", literal(gid))],
            permission: Some(
                self.rights
                    .map_or(Permission::Unknown, |rights| rights.to_finish(node)),
            ),
        };
        vec![ask, give_up]
    }
}

/// Says what a client loses with its statement or transaction.
fn lost(node: &Node) -> String {
    let who = system(node);
    let open = node
        .xact_age_ms
        .map(|ms| format!("its transaction, open for {}", duration(ms)));
    match (node.state.as_str(), open) {
        ("idle", _) => format!("{who} its connection only, for no transaction is open"),
        (state, open) if state.starts_with("idle") => {
            format!("{who} {}", open.unwrap_or_else(|| "its transaction".into()))
        }
        (_, open) => {
            let statement = node
                .query
                .as_deref()
                .map_or_else(|| "statement".to_owned(), statement_name);
            let open = open.unwrap_or_else(|| "its transaction".into());
            format!("{who} its {statement} and {open}")
        }
    }
}

/// Deals with an owner of locks of which nothing else is known.
fn unlisted(node: &Node) -> Step {
    if node.party.pid.is_some() {
        return question(
            format!("Look again: {} has just begun or just gone.", party(node)),
            "Nothing can be said of it, so nothing is offered.".to_owned(),
        );
    }
    let (what, effect) = if is_nameless_prepared(node) {
        (
            "Find the SERIALIZABLE transaction that was prepared, and ask its manager to finish it."
                .to_owned(),
            "The server does not say which one of these it is:",
        )
    } else {
        (
            format!("Find out what {} is.", party(node)),
            "No session has this lock, so nothing can be signalled. A prepared transaction that \
             was not seen may have it:",
        )
    };
    question(what, effect.to_owned())
        .with("SELECT gid, owner, database, prepared")
        .with("FROM pg_prepared_xacts ORDER BY prepared;")
}

/// Quotes a text as an SQL literal that survives being printed, whatever is in it.
pub(super) fn literal(text: &str) -> String {
    let is_plain = |c: char| !c.is_control() && !is_invisible(c) && c != '\\';
    let quoted: String = text
        .chars()
        .map(|c| match c {
            '\'' => "''".to_owned(),
            '\\' => "\\\\".to_owned(),
            c if is_plain(c) => c.to_string(),
            c => format!("\\u{:04X}", u32::from(c)),
        })
        .collect();
    let escapes = if text.chars().all(is_plain) { "" } else { "E" };
    format!("{escapes}'{quoted}'")
}

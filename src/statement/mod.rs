//! SQL texts through `pg_query`: fingerprint, normal form, tables, tags, redaction.
//!
//! A raw text enters here and nowhere else, and a [`Statement`] leaves.
//!
//! - [`read`] is total: any bytes give a statement, cut and hostile ones too.
//!   What PostgreSQL's parser refuses gets the normal form and the id of the
//!   tolerant lexer ([`Statement::parsed`] is then false).
//! - No literal survives in a normal form, and a statement that carries a secret
//!   outside of literals is replaced as a whole.
//! - Equal texts give equal statements, today and in the next release: ids are
//!   fingerprints of `pg_query` or FNV-1a, never a hash of this process.
//!
//! Names stay as they were written; what they resolve to is not known here.

mod functions;
mod normal;
mod pretty;
mod tables;
mod tags;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

pub use self::pretty::{Piece, pieces, pretty};
pub use self::tags::tags;

use serde::{Deserialize, Serialize};

use crate::pg::LockMode;

/// A statement's identity: equal for texts that differ in literals and comments only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StatementId(pub u64);

impl std::fmt::Display for StatementId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// A text as it was understood.
#[derive(Clone, Debug, PartialEq)]
pub struct Statement {
    /// What it is known by.
    pub id: StatementId,
    /// The normal form: no literals, no comments, no secrets, valid UTF-8, bounded in length.
    pub text: Arc<str>,
    /// What it does.
    pub kind: Kind,
    /// The tables it names, sorted, with how strongly it locks them.
    pub tables: Vec<TableUse>,
    /// Whether the parser took it.
    pub parsed: bool,
    /// Whether it may lock tables and rows that its text does not tell: it calls functions that
    /// are not the server's own, runs what was prepared or deferred, or was not understood.
    pub opaque: bool,
}

/// What a statement does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Reads, without locking rows.
    Select,
    /// `SELECT … FOR …`.
    SelectFor,
    /// Inserts.
    Insert,
    /// Updates.
    Update,
    /// Deletes.
    Delete,
    /// Merges.
    Merge,
    /// `BEGIN`, `COMMIT`, `ROLLBACK`, `SAVEPOINT`, `PREPARE TRANSACTION`, …
    Transaction,
    /// `LOCK TABLE`.
    Lock,
    /// Changes the schema.
    Ddl,
    /// Anything else the server runs.
    Utility,
    /// Not understood.
    Unknown,
}

/// A table in a statement.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TableUse {
    /// As written; none if it was not qualified.
    pub schema: Option<Arc<str>>,
    /// As written.
    pub name: Arc<str>,
    /// The lock on the table itself.
    pub lock: LockMode,
    /// Whether it locks rows too, as the tuple lock's mode shows it; none if it does not.
    ///
    /// Of an `UPDATE` this is the mode for columns outside of keys. Which columns are keys is
    /// not in a text.
    pub rows: Option<LockMode>,
    /// What it writes.
    pub writes: Writes,
}

/// What a statement does to the rows of a table.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Writes {
    /// Whether it may add rows.
    pub inserts: bool,
    /// Whether it may change rows.
    pub updates: bool,
    /// Whether it may delete rows.
    pub deletes: bool,
    /// The columns that it changes, sorted; none with `updates` where they are not known.
    pub columns: Vec<Arc<str>>,
}

impl Writes {
    /// Adds rows and does nothing else.
    #[must_use]
    pub(crate) fn inserting() -> Self {
        Self {
            inserts: true,
            ..Self::default()
        }
    }

    /// Tells whether it writes at all.
    #[must_use]
    pub const fn any(&self) -> bool {
        self.inserts || self.updates || self.deletes
    }

    /// Takes in what is written beside; columns that are not known make it unknown for all.
    pub(crate) fn merge(&mut self, other: &Self) {
        let unknown = |writes: &Self| writes.updates && writes.columns.is_empty();
        if unknown(self) || unknown(other) {
            self.columns.clear();
        } else {
            self.columns.extend(other.columns.iter().cloned());
            self.columns.sort_unstable();
            self.columns.dedup();
        }
        self.inserts |= other.inserts;
        self.updates |= other.updates;
        self.deletes |= other.deletes;
    }

    /// Tells whether one of `columns` may be changed.
    #[must_use]
    pub fn changes(&self, columns: &[Arc<str>]) -> bool {
        let changed = |column| self.columns.contains(column);
        self.updates && (self.columns.is_empty() || columns.iter().any(changed))
    }
}

/// The longest text that is given to the parser; longer ones get the tolerant lexer alone.
///
/// `track_activity_query_size` is 1,024 bytes unless set, and the parser takes
/// milliseconds for what this admits.
const LONGEST_PARSED: usize = 64 * 1024;

/// The deepest nesting of brackets that is given to the parser.
const DEEPEST_PARSED: usize = 500;

/// What the server writes in front of what an autovacuum worker does.
const AUTOVACUUM: &str = "autovacuum: ";

/// Understands a text, whatever it is.
///
/// Never fails and never panics: invalid UTF-8 is replaced, and what the parser
/// refuses is lexed. A text cut by `track_activity_query_size` therefore has
/// another id than its whole form; matching the two is left to the query id.
#[must_use]
pub fn read(raw: &[u8]) -> Statement {
    let raw = String::from_utf8_lossy(raw);
    let sql = raw.split('\0').next().unwrap_or_default();
    let understood = understand(sql);
    let parsed = understood.is_some();
    let normal = normal::form(sql, parsed);
    let fingerprint = understood.as_ref().map(|(_, fingerprint)| *fingerprint);
    let parts = understood.map(|(parts, _)| parts);
    let tables::Parts {
        kind,
        tables,
        runs_more,
    } = parts
        .or_else(|| autovacuum(sql))
        .unwrap_or_else(|| tables::guess(&normal.words));
    let calls = || {
        normal
            .called
            .iter()
            .any(|called| !is_harmless(called, &tables))
    };
    let opaque = runs_more || kind != Kind::Ddl && calls();
    // The fingerprint of a utility statement contains its strings, and a redacted one's the
    // secret: there the id comes from what is left.
    let has_strings =
        normal.literals && matches!(kind, Kind::Ddl | Kind::Transaction | Kind::Utility);
    let id = match fingerprint {
        Some(fingerprint) if !normal.redacted && !has_strings => fingerprint,
        _ => fnv1a(normal.text.as_bytes()),
    };
    Statement {
        id: StatementId(id),
        text: normal::bounded(&normal.text).into(),
        kind,
        tables,
        parsed,
        opaque,
    }
}

/// Tells whether a name before a bracket is nothing that could lock rows: a function of the
/// server's, or one of the statement's tables with its columns.
fn is_harmless(called: &normal::Called, tables: &[TableUse]) -> bool {
    let servers = called.schema.as_deref().is_none_or(|s| s == "pg_catalog");
    servers && functions::is_harmless(&called.name)
        || tables.iter().any(|table| {
            *table.name == *called.name && table.schema.as_deref() == called.schema.as_deref()
        })
}

/// Asks the parser; none where it refuses or must not be asked.
fn understand(sql: &str) -> Option<(tables::Parts, u64)> {
    if sql.len() > LONGEST_PARSED || normal::depth(sql) > DEEPEST_PARSED {
        return None;
    }
    // The crate casts nodes with a panic where a shape surprises it.
    catch_unwind(AssertUnwindSafe(|| {
        let options = pg_query::FingerprintOptions::RANGEVAR_PG17_COMPAT;
        let fingerprint = pg_query::fingerprint(sql, 0, options).ok()?.value;
        let parts = match pg_query::parse(sql, 0) {
            Ok(tree) if tree.protobuf.stmts.is_empty() => return None,
            Ok(tree) => tables::parts(&tree.protobuf),
            // Its decoder stops at a depth that real expressions reach.
            Err(_) => tables::guess(&normal::form(sql, true).words),
        };
        Some((parts, fingerprint))
    }))
    .ok()
    .flatten()
}

/// Understands `autovacuum: VACUUM public.t (to prevent wraparound)`.
fn autovacuum(sql: &str) -> Option<tables::Parts> {
    let command = sql.strip_prefix(AUTOVACUUM)?;
    let command = command.split(" (to prevent").next()?;
    understand(command).map(|(parts, _)| parts)
}

/// Hashes bytes as FNV-1a with 64 bits does: stable over releases and machines.
pub(crate) fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

impl Statement {
    /// Tells whether it changes or locks rows or a schema, so that others may wait for it.
    #[must_use]
    pub fn writes(&self) -> bool {
        matches!(
            self.kind,
            Kind::SelectFor
                | Kind::Insert
                | Kind::Update
                | Kind::Delete
                | Kind::Merge
                | Kind::Lock
                | Kind::Ddl
        ) || self.tables.iter().any(|table| table.rows.is_some())
    }

    /// Names it in a few words for a sentence: `UPDATE state_counter`, `COMMIT`.
    #[must_use]
    pub fn short(&self) -> String {
        let table = self.main_table();
        let first = |count: usize| -> String {
            let words: Vec<&str> = self.text.split(' ').take(count).collect();
            normal::cut(words.join(" ").trim_end_matches(';'), 60)
        };
        match (self.kind, table) {
            (Kind::Select, Some(table)) => format!("SELECT from {table}"),
            (Kind::SelectFor, Some(table)) => {
                format!("SELECT from {table} {}", self.row_clause())
            }
            (Kind::Insert, Some(table)) => format!("INSERT INTO {table}"),
            (Kind::Update, Some(table)) => format!("UPDATE {table}"),
            (Kind::Delete, Some(table)) => format!("DELETE FROM {table}"),
            (Kind::Merge, Some(table)) => format!("MERGE INTO {table}"),
            (Kind::Lock, Some(table)) => format!("LOCK TABLE {table}"),
            (Kind::Ddl, Some(table)) => {
                let is_long = first(2).to_ascii_uppercase().ends_with(" MATERIALIZED");
                let verb = first(if is_long { 3 } else { 2 });
                let upper = verb.to_ascii_uppercase();
                let names_index = upper.ends_with("INDEX") && !upper.starts_with("CREATE");
                let link = if names_index || upper.ends_with("TABLE") || upper.ends_with("VIEW") {
                    ""
                } else {
                    "… ON "
                };
                format!("{verb} {link}{table}")
            }
            (Kind::Utility, Some(table)) if !self.text.starts_with(AUTOVACUUM) => {
                format!("{} {table}", first(1))
            }
            (Kind::Transaction, _) => {
                let verb = first(1).to_ascii_uppercase();
                match verb.as_str() {
                    "PREPARE" => "PREPARE TRANSACTION".to_owned(),
                    _ => verb,
                }
            }
            _ => normal::cut(&self.text, 60),
        }
    }

    /// Gives what may stand for the text where nobody may read it: the verb, and the id.
    ///
    /// The server's own words for its workers are no application's text, and stay.
    #[must_use]
    pub fn without_text(&self) -> Arc<str> {
        if self.text.starts_with(AUTOVACUUM) {
            return Arc::clone(&self.text);
        }
        let mut words = self.text.split(' ');
        let verb = |word: &&str| self.parsed && word.bytes().all(|b| b.is_ascii_alphabetic());
        let first = words.next().filter(verb);
        // `ALTER TABLE`, but no more of what may be anybody's word.
        let second = words
            .next()
            .filter(|word| self.kind == Kind::Ddl && verb(word));
        let mut text = String::new();
        for word in first.into_iter().chain(second) {
            text.extend([word, " "]);
        }
        format!("{text}… (statement {})", self.id).into()
    }

    /// The table it is about: the one it locks hardest, rows before tables; without the schema
    /// that everybody has.
    fn main_table(&self) -> Option<String> {
        let main = self
            .tables
            .iter()
            .rev()
            .max_by_key(|table| (table.lock, table.rows))?;
        Some(match &main.schema {
            Some(schema) if &**schema != "public" => format!("{schema}.{}", main.name),
            _ => main.name.to_string(),
        })
    }

    /// The `FOR …` of a locking `SELECT`.
    fn row_clause(&self) -> &'static str {
        match self.tables.iter().filter_map(|table| table.rows).max() {
            Some(LockMode::AccessShare) => "FOR KEY SHARE",
            Some(LockMode::RowShare) => "FOR SHARE",
            Some(LockMode::Exclusive) => "FOR NO KEY UPDATE",
            _ => "FOR UPDATE",
        }
    }
}

#[cfg(test)]
mod tests;

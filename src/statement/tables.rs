//! What a statement does, and which tables it locks how.
//!
//! Source: the manual's "Explicit Locking"; which tuple lock a row lock takes was
//! read off a server. What views, triggers and foreign keys add is not in a text.

mod query;
mod schema;

use std::collections::BTreeMap;
use std::sync::Arc;

use pg_query::NodeEnum;
use pg_query::protobuf::{Node, ParseResult, RangeVar, ReindexObjectType};

use super::{Kind, TableUse, Writes};
use crate::pg::LockMode;

/// What is read off a tree.
#[derive(Debug)]
pub(super) struct Parts {
    pub(super) kind: Kind,
    pub(super) tables: Vec<TableUse>,
    /// Whether it runs what is not in the text: procedures, prepared statements, deferred checks.
    pub(super) runs_more: bool,
}

type TableName = (Option<Arc<str>>, Arc<str>);

/// Reads a tree of one or several statements; the kind is that of the first which is
/// more than transaction control.
pub(super) fn parts(tree: &ParseResult) -> Parts {
    let mut uses = Uses::default();
    let mut kinds = Vec::new();
    for statement in tree.stmts.iter().filter_map(|raw| raw.stmt.as_ref()) {
        if let Some(node) = statement.node.as_ref() {
            kinds.push(uses.statement(node));
        }
    }
    let telling = |kind: &&Kind| !matches!(kind, Kind::Transaction | Kind::Utility);
    Parts {
        kind: kinds
            .iter()
            .find(telling)
            .or(kinds.first())
            .copied()
            .unwrap_or(Kind::Unknown),
        runs_more: uses.runs_more,
        tables: uses.into_tables(),
    }
}

/// Guesses from the first words of a text that no parser takes.
pub(super) fn guess(words: &[String]) -> Parts {
    let upper: Vec<String> = words.iter().map(|word| word.to_ascii_uppercase()).collect();
    let upper: Vec<&str> = upper.iter().map(String::as_str).collect();
    let (kind, table_at) = match upper.as_slice() {
        ["INSERT", "INTO", ..] => (Kind::Insert, Some(2)),
        ["UPDATE", "ONLY", ..] => (Kind::Update, Some(2)),
        ["UPDATE", ..] => (Kind::Update, Some(1)),
        ["DELETE", "FROM", "ONLY", ..] => (Kind::Delete, Some(3)),
        ["DELETE", "FROM", ..] => (Kind::Delete, Some(2)),
        ["MERGE", "INTO", ..] => (Kind::Merge, Some(2)),
        ["SELECT" | "VALUES", ..] => (Kind::Select, None),
        ["LOCK", ..] => (Kind::Lock, None),
        ["PREPARE", "TRANSACTION", ..]
        | [
            "BEGIN" | "START" | "COMMIT" | "END" | "ROLLBACK" | "ABORT" | "SAVEPOINT" | "RELEASE",
            ..,
        ] => (Kind::Transaction, None),
        ["CREATE" | "ALTER" | "DROP" | "TRUNCATE", ..] => (Kind::Ddl, None),
        [
            "AUTOVACUUM" | "VACUUM" | "ANALYZE" | "COPY" | "SET" | "SHOW" | "EXPLAIN" | "CALL"
            | "DO",
            ..,
        ] => (Kind::Utility, None),
        _ => (Kind::Unknown, None),
    };
    let mut uses = Uses::default();
    if let Some(name) = table_at
        .and_then(|at| words.get(at..))
        .and_then(written_name)
    {
        let rows = match kind {
            Kind::Insert => None,
            Kind::Delete => Some(LockMode::AccessExclusive),
            _ => Some(LockMode::Exclusive),
        };
        // Of a MERGE no part is known, of an UPDATE not which columns.
        let writes = Writes {
            inserts: matches!(kind, Kind::Insert | Kind::Merge),
            updates: matches!(kind, Kind::Update | Kind::Merge),
            deletes: matches!(kind, Kind::Delete | Kind::Merge),
            columns: Vec::new(),
        };
        uses.add(name, LockMode::RowExclusive, rows).writes = writes;
    }
    Parts {
        kind,
        runs_more: true,
        tables: uses.into_tables(),
    }
}

/// Reads `a.b`, `"A"` or `a` off the front of some words; the last word may be cut.
fn written_name(words: &[String]) -> Option<TableName> {
    let plain = |word: &String| -> Option<Arc<str>> {
        match word.strip_prefix('"') {
            Some(quoted) => quoted
                .strip_suffix('"')
                .map(|name| name.replace("\"\"", "\"").into()),
            None if word.starts_with(|c: char| c.is_alphabetic() || c == '_') => {
                Some(word.to_lowercase().into())
            }
            None => None,
        }
    };
    match words {
        [schema, dot, table, _, ..] if dot == "." => Some((Some(plain(schema)?), plain(table)?)),
        [_, dot, ..] if dot == "." => None,
        [table, _, ..] => Some((None, plain(table)?)),
        _ => None,
    }
}

/// The tables met so far, each with the strongest of its uses.
#[derive(Debug, Default)]
struct Uses {
    tables: BTreeMap<TableName, Use>,
    runs_more: bool,
}

/// What happens to one table.
#[derive(Debug)]
struct Use {
    lock: LockMode,
    rows: Option<LockMode>,
    writes: Writes,
}

impl Uses {
    fn into_tables(self) -> Vec<TableUse> {
        self.tables
            .into_iter()
            .map(|((schema, name), used)| TableUse {
                schema,
                name,
                lock: used.lock,
                rows: used.rows,
                writes: used.writes,
            })
            .collect()
    }

    fn add(&mut self, name: TableName, lock: LockMode, rows: Option<LockMode>) -> &mut Use {
        let used = self.tables.entry(name).or_insert_with(|| Use {
            lock,
            rows,
            writes: Writes::default(),
        });
        used.lock = used.lock.max(lock);
        used.rows = used.rows.max(rows);
        used
    }

    fn lock(&mut self, table: Option<&RangeVar>, lock: LockMode) {
        if let Some(table) = table {
            self.add(name(table), lock, None);
        }
    }

    fn lock_all(&mut self, tables: &[Node], lock: LockMode) {
        for table in tables {
            if let Some(NodeEnum::RangeVar(table)) = &table.node {
                self.lock(Some(table), lock);
            }
        }
    }

    /// Takes one statement in and tells what it does.
    #[expect(
        clippy::too_many_lines,
        reason = "one arm for each statement of the grammar"
    )]
    fn statement(&mut self, node: &NodeEnum) -> Kind {
        use LockMode::{
            AccessExclusive, AccessShare, Exclusive, Share, ShareRowExclusive, ShareUpdateExclusive,
        };
        match node {
            NodeEnum::SelectStmt(_)
            | NodeEnum::InsertStmt(_)
            | NodeEnum::UpdateStmt(_)
            | NodeEnum::DeleteStmt(_)
            | NodeEnum::MergeStmt(_) => return self.query(node),
            NodeEnum::TransactionStmt(_) => {
                // A commit runs what was deferred.
                self.runs_more = true;
                return Kind::Transaction;
            }
            NodeEnum::LockStmt(s) => {
                let number = usize::try_from(s.mode).unwrap_or_default().wrapping_sub(1);
                let mode = LockMode::ALL
                    .get(number)
                    .copied()
                    .unwrap_or(AccessExclusive);
                self.lock_all(&s.relations, mode);
                return Kind::Lock;
            }
            NodeEnum::ExplainStmt(s) => {
                self.inner(s.query.as_deref());
                return Kind::Utility;
            }
            NodeEnum::PrepareStmt(s) => {
                self.inner(s.query.as_deref());
                return Kind::Utility;
            }
            NodeEnum::DeclareCursorStmt(s) => return self.inner(s.query.as_deref()),
            NodeEnum::CopyStmt(s) => {
                self.lock(s.relation.as_ref(), AccessShare);
                let inner = self.inner(s.query.as_deref());
                if s.is_from {
                    self.write(s.relation.as_ref(), None, &Writes::inserting());
                }
                return match (s.is_from, inner) {
                    (true, _) => Kind::Insert,
                    (false, Kind::Unknown) => Kind::Select,
                    (false, inner) => inner,
                };
            }
            NodeEnum::VacuumStmt(s) => {
                let full = is_set(&s.options, "full");
                for table in &s.rels {
                    if let Some(NodeEnum::VacuumRelation(table)) = &table.node {
                        let mode = if full {
                            AccessExclusive
                        } else {
                            ShareUpdateExclusive
                        };
                        self.lock(table.relation.as_ref(), mode);
                    }
                }
                return Kind::Utility;
            }
            NodeEnum::ClusterStmt(s) => self.lock(s.relation.as_ref(), AccessExclusive),
            NodeEnum::ReindexStmt(s) => {
                let concurrent = is_set(&s.params, "concurrently");
                let mode = match ReindexObjectType::try_from(s.kind) {
                    _ if concurrent => ShareUpdateExclusive,
                    Ok(ReindexObjectType::ReindexObjectIndex) => AccessExclusive,
                    _ => Share,
                };
                self.lock(s.relation.as_ref(), mode);
            }
            NodeEnum::RefreshMatViewStmt(s) => {
                self.lock(
                    s.relation.as_ref(),
                    if s.concurrent {
                        Exclusive
                    } else {
                        AccessExclusive
                    },
                );
            }
            NodeEnum::TruncateStmt(s) => self.lock_all(&s.relations, AccessExclusive),
            NodeEnum::IndexStmt(s) => {
                self.lock(
                    s.relation.as_ref(),
                    if s.concurrent {
                        ShareUpdateExclusive
                    } else {
                        Share
                    },
                );
            }
            NodeEnum::AlterTableStmt(s) => self.alter(s),
            NodeEnum::CreateStmt(s) => self.create(s),
            NodeEnum::DropStmt(s) => self.drop(s),
            NodeEnum::RenameStmt(s) => self.lock(s.relation.as_ref(), AccessExclusive),
            NodeEnum::AlterObjectSchemaStmt(s) => self.lock(s.relation.as_ref(), AccessExclusive),
            NodeEnum::RuleStmt(s) => self.lock(s.relation.as_ref(), AccessExclusive),
            NodeEnum::CreatePolicyStmt(s) => self.lock(s.table.as_ref(), AccessExclusive),
            NodeEnum::AlterPolicyStmt(s) => self.lock(s.table.as_ref(), AccessExclusive),
            NodeEnum::CreateTrigStmt(s) => {
                self.lock(s.relation.as_ref(), ShareRowExclusive);
                self.lock(s.constrrel.as_ref(), AccessShare);
            }
            NodeEnum::CreateStatsStmt(s) => self.lock_all(&s.relations, ShareUpdateExclusive),
            NodeEnum::CreateTableAsStmt(s) => {
                let into = s.into.as_ref();
                self.lock(into.and_then(|into| into.rel.as_ref()), AccessExclusive);
                self.inner(s.query.as_deref());
            }
            NodeEnum::ViewStmt(s) => {
                self.lock(s.view.as_ref(), AccessExclusive);
                self.inner(s.query.as_deref());
            }
            NodeEnum::CommentStmt(s) => self.remark(s.objtype, s.object.as_deref()),
            NodeEnum::SecLabelStmt(s) => self.remark(s.objtype, s.object.as_deref()),
            NodeEnum::ExecuteStmt(_)
            | NodeEnum::FetchStmt(_)
            | NodeEnum::CallStmt(_)
            | NodeEnum::DoStmt(_)
            | NodeEnum::ConstraintsSetStmt(_) => {
                self.runs_more = true;
                return Kind::Utility;
            }
            NodeEnum::VariableSetStmt(_)
            | NodeEnum::VariableShowStmt(_)
            | NodeEnum::DeallocateStmt(_)
            | NodeEnum::ClosePortalStmt(_)
            | NodeEnum::DiscardStmt(_)
            | NodeEnum::ListenStmt(_)
            | NodeEnum::UnlistenStmt(_)
            | NodeEnum::NotifyStmt(_)
            | NodeEnum::CheckPointStmt(_)
            | NodeEnum::LoadStmt(_)
            | NodeEnum::AlterSystemStmt(_) => return Kind::Utility,
            _ => {}
        }
        Kind::Ddl
    }

    fn inner(&mut self, node: Option<&Node>) -> Kind {
        node.and_then(|node| node.node.as_ref())
            .map_or(Kind::Unknown, |node| self.statement(node))
    }
}

/// Tells whether an option is given and not as `false`, `off` or `0`.
fn is_set(options: &[Node], name: &str) -> bool {
    options.iter().any(|option| {
        let Some(NodeEnum::DefElem(option)) = &option.node else {
            return false;
        };
        let value = option.arg.as_ref().and_then(|value| value.node.as_ref());
        let off = match value {
            Some(NodeEnum::String(word)) => {
                let off = ["false", "off"];
                off.iter().any(|off| word.sval.eq_ignore_ascii_case(off))
            }
            Some(NodeEnum::Integer(number)) => number.ival == 0,
            Some(NodeEnum::Boolean(value)) => !value.boolval,
            _ => false,
        };
        option.defname == name && !off
    })
}

fn name(table: &RangeVar) -> TableName {
    let schema = (!table.schemaname.is_empty()).then(|| table.schemaname.as_str().into());
    (schema, table.relname.as_str().into())
}

#[cfg(test)]
mod tests;

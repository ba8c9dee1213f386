//! What a statement does, and which tables it locks how.
//!
//! Source: the manual's "Explicit Locking"; which tuple lock a row lock takes was
//! read off a server. What views, triggers and foreign keys add is not in a text.

mod schema;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use pg_query::protobuf::{
    LockClauseStrength, MergeWhenClause, Node, OnConflictAction, ParseResult, RangeVar,
    ReindexObjectType, SelectStmt,
};
use pg_query::{NodeEnum, NodeRef};

use super::{Kind, TableUse};
use crate::pg::LockMode;

/// What is read off a tree.
#[derive(Debug)]
pub(super) struct Parts {
    pub(super) kind: Kind,
    pub(super) tables: Vec<TableUse>,
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
        uses.add(name, LockMode::RowExclusive, rows);
    }
    Parts {
        kind,
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
    tables: BTreeMap<TableName, (LockMode, Option<LockMode>)>,
}

impl Uses {
    fn into_tables(self) -> Vec<TableUse> {
        self.tables
            .into_iter()
            .map(|((schema, name), (lock, rows))| TableUse {
                schema,
                name,
                lock,
                rows,
            })
            .collect()
    }

    fn add(&mut self, name: TableName, lock: LockMode, rows: Option<LockMode>) {
        let used = self.tables.entry(name).or_insert((lock, rows));
        used.0 = used.0.max(lock);
        used.1 = used.1.max(rows);
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
            AccessExclusive, AccessShare, Exclusive, RowExclusive, Share, ShareRowExclusive,
            ShareUpdateExclusive,
        };
        match node {
            NodeEnum::SelectStmt(_)
            | NodeEnum::InsertStmt(_)
            | NodeEnum::UpdateStmt(_)
            | NodeEnum::DeleteStmt(_)
            | NodeEnum::MergeStmt(_) => return self.query(node),
            NodeEnum::TransactionStmt(_) => return Kind::Transaction,
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
                self.lock(
                    s.relation.as_ref(),
                    if s.is_from { RowExclusive } else { AccessShare },
                );
                let inner = self.inner(s.query.as_deref());
                return match (s.is_from, inner) {
                    (true, _) => Kind::Insert,
                    (false, Kind::Unknown) => Kind::Select,
                    (false, inner) => inner,
                };
            }
            NodeEnum::VacuumStmt(s) => {
                let full = s.options.iter().any(|option| {
                    matches!(&option.node, Some(NodeEnum::DefElem(option)) if option.defname == "full")
                });
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
                let concurrent = s.params.iter().any(|option| {
                    matches!(&option.node, Some(NodeEnum::DefElem(option)) if option.defname == "concurrently")
                });
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
                self.lock(s.constrrel.as_ref(), ShareRowExclusive);
            }
            NodeEnum::CreateStatsStmt(s) => self.lock_all(&s.relations, ShareUpdateExclusive),
            NodeEnum::CreateTableAsStmt(s) => {
                self.inner(s.query.as_deref());
            }
            NodeEnum::ViewStmt(s) => {
                self.inner(s.query.as_deref());
            }
            NodeEnum::VariableSetStmt(_)
            | NodeEnum::VariableShowStmt(_)
            | NodeEnum::ExecuteStmt(_)
            | NodeEnum::DeallocateStmt(_)
            | NodeEnum::FetchStmt(_)
            | NodeEnum::ClosePortalStmt(_)
            | NodeEnum::DiscardStmt(_)
            | NodeEnum::CallStmt(_)
            | NodeEnum::DoStmt(_)
            | NodeEnum::ListenStmt(_)
            | NodeEnum::UnlistenStmt(_)
            | NodeEnum::NotifyStmt(_)
            | NodeEnum::CheckPointStmt(_)
            | NodeEnum::ConstraintsSetStmt(_)
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

    /// Takes in what a query reads and writes, its CTEs and subqueries included.
    fn query(&mut self, node: &NodeEnum) -> Kind {
        let nodes = node.nodes();
        let ctes: BTreeSet<&str> = nodes
            .iter()
            .filter_map(|(node, ..)| match node {
                NodeRef::CommonTableExpr(cte) => Some(cte.ctename.as_str()),
                _ => None,
            })
            .collect();
        let is_table = |table: &RangeVar| {
            !table.schemaname.is_empty() || !ctes.contains(table.relname.as_str())
        };
        let mut locks_rows = false;
        for (node, ..) in &nodes {
            match node {
                NodeRef::RangeVar(table) if is_table(table) => {
                    self.lock(Some(table), LockMode::AccessShare);
                }
                NodeRef::InsertStmt(s) => {
                    let updates = s.on_conflict_clause.as_ref().is_some_and(|clause| {
                        clause.action == OnConflictAction::OnconflictUpdate as i32
                    });
                    self.write(s.relation.as_ref(), updates.then_some(LockMode::Exclusive));
                }
                NodeRef::UpdateStmt(s) => {
                    self.write(s.relation.as_ref(), Some(LockMode::Exclusive));
                }
                NodeRef::DeleteStmt(s) => {
                    self.write(s.relation.as_ref(), Some(LockMode::AccessExclusive));
                }
                NodeRef::MergeStmt(s) => {
                    self.write(s.relation.as_ref(), merge_rows(&s.merge_when_clauses));
                }
                NodeRef::SelectStmt(s) => {
                    locks_rows |= !s.locking_clause.is_empty();
                    self.lock_rows(s, &is_table);
                }
                _ => {}
            }
        }
        match node {
            NodeEnum::InsertStmt(_) => Kind::Insert,
            NodeEnum::UpdateStmt(_) => Kind::Update,
            NodeEnum::DeleteStmt(_) => Kind::Delete,
            NodeEnum::MergeStmt(_) => Kind::Merge,
            _ if locks_rows => Kind::SelectFor,
            _ => Kind::Select,
        }
    }

    fn write(&mut self, table: Option<&RangeVar>, rows: Option<LockMode>) {
        if let Some(table) = table {
            self.add(name(table), LockMode::RowExclusive, rows);
        }
    }

    /// Takes in `FOR UPDATE` and its weaker kin: all tables of the FROM, or those named by OF.
    fn lock_rows(&mut self, select: &SelectStmt, is_table: &impl Fn(&RangeVar) -> bool) {
        for clause in &select.locking_clause {
            let Some(NodeEnum::LockingClause(clause)) = &clause.node else {
                continue;
            };
            let mode = match LockClauseStrength::try_from(clause.strength) {
                Ok(LockClauseStrength::LcsForkeyshare) => LockMode::AccessShare,
                Ok(LockClauseStrength::LcsForshare) => LockMode::RowShare,
                Ok(LockClauseStrength::LcsFornokeyupdate) => LockMode::Exclusive,
                _ => LockMode::AccessExclusive,
            };
            let wanted: Vec<&str> = clause
                .locked_rels
                .iter()
                .filter_map(|table| match &table.node {
                    Some(NodeEnum::RangeVar(table)) => Some(table.relname.as_str()),
                    _ => None,
                })
                .collect();
            let mut tables = Vec::new();
            from_tables(&select.from_clause, &wanted, &mut tables);
            for table in tables.into_iter().filter(|table| is_table(table)) {
                self.add(name(table), LockMode::RowShare, Some(mode));
            }
        }
    }
}

fn name(table: &RangeVar) -> TableName {
    let schema = (!table.schemaname.is_empty()).then(|| table.schemaname.as_str().into());
    (schema, table.relname.as_str().into())
}

/// Collects the tables of a FROM, joins and subqueries included, that OF names (all if it names none).
fn from_tables<'a>(from: &'a [Node], wanted: &[&str], tables: &mut Vec<&'a RangeVar>) {
    let mut open: Vec<(&NodeEnum, bool)> = from
        .iter()
        .filter_map(|node| node.node.as_ref())
        .map(|node| (node, false))
        .collect();
    while let Some((node, chosen)) = open.pop() {
        let is_wanted = |name: &str| chosen || wanted.is_empty() || wanted.contains(&name);
        match node {
            NodeEnum::RangeVar(table) => {
                let said = table
                    .alias
                    .as_ref()
                    .map_or(&table.relname, |alias| &alias.aliasname);
                if is_wanted(said) {
                    tables.push(table);
                }
            }
            NodeEnum::JoinExpr(join) => {
                let sides = [&join.larg, &join.rarg];
                let sides = sides
                    .into_iter()
                    .flatten()
                    .filter_map(|side| side.node.as_ref());
                open.extend(sides.map(|side| (side, chosen)));
            }
            NodeEnum::RangeSubselect(subquery) => {
                let said = subquery.alias.as_ref().map_or("", |alias| &alias.aliasname);
                if let Some(NodeEnum::SelectStmt(select)) = subquery
                    .subquery
                    .as_ref()
                    .and_then(|node| node.node.as_ref())
                    && is_wanted(said)
                {
                    let inner = select
                        .from_clause
                        .iter()
                        .filter_map(|node| node.node.as_ref());
                    open.extend(inner.map(|node| (node, true)));
                }
            }
            _ => {}
        }
    }
}

/// The strongest row lock among a MERGE's actions.
fn merge_rows(clauses: &[Node]) -> Option<LockMode> {
    use pg_query::protobuf::CmdType;
    clauses
        .iter()
        .filter_map(|clause| match &clause.node {
            Some(NodeEnum::MergeWhenClause(clause)) => {
                let MergeWhenClause { command_type, .. } = &**clause;
                CmdType::try_from(*command_type).ok()
            }
            _ => None,
        })
        .filter_map(|command| match command {
            CmdType::CmdUpdate => Some(LockMode::Exclusive),
            CmdType::CmdDelete => Some(LockMode::AccessExclusive),
            _ => None,
        })
        .max()
}

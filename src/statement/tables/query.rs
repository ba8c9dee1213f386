//! What queries read, write and lock, with all that is nested in them.

use std::collections::BTreeSet;
use std::sync::Arc;

use pg_query::protobuf::{
    CmdType, LockClauseStrength, MergeWhenClause, Node, OnConflictAction, RangeVar, ResTarget,
    ReturningClause, SelectStmt,
};
use pg_query::{NodeEnum, NodeRef};

use super::{Uses, name};
use crate::pg::LockMode;
use crate::statement::{Kind, Writes};

impl Uses {
    /// Takes in what a query reads and writes, its CTEs and subqueries included.
    pub(super) fn query(&mut self, node: &NodeEnum) -> Kind {
        let nodes = all_nodes(node);
        let ctes: BTreeSet<&str> = nodes
            .iter()
            .filter_map(|node| match node {
                NodeRef::CommonTableExpr(cte) => Some(cte.ctename.as_str()),
                _ => None,
            })
            .collect();
        let is_table = |table: &RangeVar| {
            !table.schemaname.is_empty() || !ctes.contains(table.relname.as_str())
        };
        let mut locks_rows = false;
        for node in &nodes {
            match node {
                NodeRef::RangeVar(table) if is_table(table) => {
                    self.lock(Some(table), LockMode::AccessShare);
                }
                NodeRef::InsertStmt(s) => {
                    let mut writes = Writes::inserting();
                    let conflict = s.on_conflict_clause.as_ref().filter(|clause| {
                        clause.action == OnConflictAction::OnconflictUpdate as i32
                    });
                    if let Some(clause) = conflict {
                        writes.updates = true;
                        writes.columns = set_columns(&clause.target_list);
                    }
                    let rows = writes.updates.then_some(LockMode::Exclusive);
                    self.write(s.relation.as_ref(), rows, &writes);
                }
                NodeRef::UpdateStmt(s) => {
                    let writes = Writes {
                        updates: true,
                        columns: set_columns(&s.target_list),
                        ..Writes::default()
                    };
                    self.write(s.relation.as_ref(), Some(LockMode::Exclusive), &writes);
                }
                NodeRef::DeleteStmt(s) => {
                    let writes = Writes {
                        deletes: true,
                        ..Writes::default()
                    };
                    let rows = Some(LockMode::AccessExclusive);
                    self.write(s.relation.as_ref(), rows, &writes);
                }
                NodeRef::MergeStmt(s) => {
                    let (rows, writes) = merged(&s.merge_when_clauses);
                    self.write(s.relation.as_ref(), rows, &writes);
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

    pub(super) fn write(
        &mut self,
        table: Option<&RangeVar>,
        rows: Option<LockMode>,
        writes: &Writes,
    ) {
        if let Some(table) = table {
            self.add(name(table), LockMode::RowExclusive, rows)
                .writes
                .merge(writes);
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

/// Lists the columns that a `SET` writes to.
fn set_columns(targets: &[Node]) -> Vec<Arc<str>> {
    let column = |target: &Node| match &target.node {
        Some(NodeEnum::ResTarget(target)) => {
            let ResTarget { name, .. } = &**target;
            Some(Arc::from(name.as_str()))
        }
        _ => None,
    };
    let mut columns: Vec<_> = targets.iter().filter_map(column).collect();
    columns.sort_unstable();
    columns.dedup();
    columns
}

/// What the actions of a `MERGE` do, with the strongest of their row locks.
fn merged(clauses: &[Node]) -> (Option<LockMode>, Writes) {
    let (mut rows, mut writes) = (None, Writes::default());
    for clause in clauses {
        let Some(NodeEnum::MergeWhenClause(clause)) = &clause.node else {
            continue;
        };
        let MergeWhenClause {
            command_type,
            target_list,
            ..
        } = &**clause;
        match CmdType::try_from(*command_type) {
            Ok(CmdType::CmdInsert) => writes.inserts = true,
            Ok(CmdType::CmdUpdate) => {
                writes.updates = true;
                writes.columns.extend(set_columns(target_list));
                rows = rows.max(Some(LockMode::Exclusive));
            }
            Ok(CmdType::CmdDelete) => {
                writes.deletes = true;
                rows = rows.max(Some(LockMode::AccessExclusive));
            }
            _ => {}
        }
    }
    (rows, writes)
}

/// Lists a query's nodes, also those that the library's own walk passes over.
fn all_nodes(query: &NodeEnum) -> Vec<NodeRef<'_>> {
    let mut nodes = Vec::new();
    let mut open = vec![query];
    while let Some(node) = open.pop() {
        for (node, ..) in node.nodes() {
            passed_over(node, &mut |child| open.extend(child.node.as_ref()));
            nodes.push(node);
        }
    }
    nodes
}

/// Visits those children of a node that the library's own walk passes over.
fn passed_over<'a>(node: NodeRef<'a>, visit: &mut impl FnMut(&'a Node)) {
    let returned =
        |clause: &'a Option<ReturningClause>| clause.iter().flat_map(|clause| clause.exprs.iter());
    match node {
        NodeRef::SelectStmt(s) => {
            let single = [&s.limit_count, &s.limit_offset];
            s.values_lists
                .iter()
                .chain(&s.distinct_clause)
                .chain(&s.window_clause)
                .chain(single.into_iter().flatten().map(|node| &**node))
                .for_each(visit);
        }
        NodeRef::InsertStmt(s) => returned(&s.returning_clause).for_each(visit),
        NodeRef::UpdateStmt(s) => returned(&s.returning_clause).for_each(visit),
        NodeRef::DeleteStmt(s) => returned(&s.returning_clause).for_each(visit),
        NodeRef::MergeStmt(s) => returned(&s.returning_clause).for_each(visit),
        NodeRef::OnConflictClause(s) => s
            .target_list
            .iter()
            .chain(s.where_clause.as_deref())
            .for_each(visit),
        NodeRef::MergeWhenClause(s) => s
            .target_list
            .iter()
            .chain(&s.values)
            .chain(s.condition.as_deref())
            .for_each(visit),
        NodeRef::FuncCall(s) => s
            .agg_order
            .iter()
            .chain(s.agg_filter.as_deref())
            .for_each(visit),
        NodeRef::AArrayExpr(s) => s.elements.iter().for_each(visit),
        NodeRef::WindowDef(s) => s
            .partition_clause
            .iter()
            .chain(&s.order_clause)
            .for_each(visit),
        NodeRef::MultiAssignRef(s) => s.source.as_deref().into_iter().for_each(visit),
        NodeRef::AIndirection(s) => s.arg.as_deref().into_iter().for_each(visit),
        NodeRef::NamedArgExpr(s) => s.arg.as_deref().into_iter().for_each(visit),
        NodeRef::CaseExpr(s) => s.arg.as_deref().into_iter().for_each(visit),
        NodeRef::SubLink(s) => s.testexpr.as_deref().into_iter().for_each(visit),
        NodeRef::CollateClause(s) => s.arg.as_deref().into_iter().for_each(visit),
        NodeRef::RangeTableSample(s) => s.relation.as_deref().into_iter().for_each(visit),
        _ => {}
    }
}

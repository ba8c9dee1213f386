//! The locks of statements that change a schema.
//!
//! Sources: `AlterTableGetLockLevel` in `src/backend/commands/tablecmds.c`; the
//! manual's page of each command.

use std::sync::Arc;

use pg_query::NodeEnum;
use pg_query::protobuf::{
    AlterTableStmt, AlterTableType, Constraint, CreateStmt, DropStmt, Node, ObjectType,
};

use super::Uses;
use crate::pg::LockMode;

impl Uses {
    /// Takes in the strongest lock of an `ALTER TABLE`'s commands.
    pub(super) fn alter(&mut self, statement: &AlterTableStmt) {
        let mut strongest = None;
        for command in &statement.cmds {
            let Some(NodeEnum::AlterTableCmd(command)) = &command.node else {
                continue;
            };
            let definition = command.def.as_ref().and_then(|node| node.node.as_ref());
            let reference = match definition {
                Some(NodeEnum::Constraint(constraint)) => constraint.pktable.as_ref(),
                _ => None,
            };
            self.lock(reference, LockMode::ShareRowExclusive);
            if let Some(NodeEnum::ColumnDef(column)) = definition {
                self.references(&column.constraints);
            }
            let kind = AlterTableType::try_from(command.subtype);
            let concurrent = match definition {
                Some(NodeEnum::PartitionCmd(part)) => {
                    self.lock(part.name.as_ref(), LockMode::AccessExclusive);
                    part.concurrent
                }
                _ => false,
            };
            if let Some(NodeEnum::RangeVar(above)) = definition {
                let mode = match kind {
                    Ok(AlterTableType::AtAddInherit) => LockMode::ShareUpdateExclusive,
                    _ => LockMode::AccessShare,
                };
                self.lock(Some(above), mode);
            }
            let mode = match kind {
                Ok(AlterTableType::AtDetachPartition) if concurrent => {
                    LockMode::ShareUpdateExclusive
                }
                Ok(AlterTableType::AtSetRelOptions | AlterTableType::AtResetRelOptions)
                    if is_of_the_whole(definition) =>
                {
                    LockMode::AccessExclusive
                }
                Ok(
                    AlterTableType::AtValidateConstraint
                    | AlterTableType::AtSetStatistics
                    | AlterTableType::AtSetRelOptions
                    | AlterTableType::AtResetRelOptions
                    | AlterTableType::AtSetOptions
                    | AlterTableType::AtResetOptions
                    | AlterTableType::AtClusterOn
                    | AlterTableType::AtDropCluster
                    | AlterTableType::AtAttachPartition
                    | AlterTableType::AtDetachPartitionFinalize,
                ) => LockMode::ShareUpdateExclusive,
                Ok(
                    AlterTableType::AtEnableTrig
                    | AlterTableType::AtEnableAlwaysTrig
                    | AlterTableType::AtEnableReplicaTrig
                    | AlterTableType::AtDisableTrig
                    | AlterTableType::AtEnableTrigAll
                    | AlterTableType::AtDisableTrigAll
                    | AlterTableType::AtEnableTrigUser
                    | AlterTableType::AtDisableTrigUser,
                ) => LockMode::ShareRowExclusive,
                Ok(AlterTableType::AtAddConstraint) if reference.is_some() => {
                    LockMode::ShareRowExclusive
                }
                _ => LockMode::AccessExclusive,
            };
            strongest = strongest.max(Some(mode));
        }
        let mode = strongest.unwrap_or(LockMode::AccessExclusive);
        self.lock(statement.relation.as_ref(), mode);
    }

    /// Takes in the tables that a new one refers to, inherits from or becomes part of.
    pub(super) fn create(&mut self, statement: &CreateStmt) {
        self.lock(statement.relation.as_ref(), LockMode::AccessExclusive);
        let above = match statement.partbound {
            Some(_) => LockMode::AccessExclusive,
            None => LockMode::ShareUpdateExclusive,
        };
        self.lock_all(&statement.inh_relations, above);
        self.references(&statement.table_elts);
        self.references(&statement.constraints);
    }

    fn references(&mut self, elements: &[Node]) {
        for element in elements {
            match &element.node {
                Some(NodeEnum::Constraint(constraint)) => {
                    let Constraint { pktable, .. } = &**constraint;
                    self.lock(pktable.as_ref(), LockMode::ShareRowExclusive);
                }
                Some(NodeEnum::ColumnDef(column)) => self.references(&column.constraints),
                Some(NodeEnum::TableLikeClause(like)) => {
                    self.lock(like.relation.as_ref(), LockMode::AccessShare);
                }
                _ => {}
            }
        }
    }

    /// Takes in what a comment or a security label is on.
    pub(super) fn remark(&mut self, kind: i32, object: Option<&Node>) {
        self.object(kind, object, LockMode::ShareUpdateExclusive);
    }

    /// Takes in what is dropped, or the table it hangs on.
    pub(super) fn drop(&mut self, statement: &DropStmt) {
        let mode = if statement.concurrent {
            LockMode::ShareUpdateExclusive
        } else {
            LockMode::AccessExclusive
        };
        for object in &statement.objects {
            self.object(statement.remove_type, Some(object), mode);
        }
    }

    /// Takes in an object that is a table, or that hangs on one.
    fn object(&mut self, kind: i32, object: Option<&Node>, mode: LockMode) {
        let trailing = match ObjectType::try_from(kind) {
            Ok(
                ObjectType::ObjectTable
                | ObjectType::ObjectView
                | ObjectType::ObjectMatview
                | ObjectType::ObjectIndex
                | ObjectType::ObjectForeignTable
                | ObjectType::ObjectSequence,
            ) => 0,
            // The last part is the name of what hangs on the table.
            Ok(
                ObjectType::ObjectTrigger
                | ObjectType::ObjectRule
                | ObjectType::ObjectPolicy
                | ObjectType::ObjectColumn
                | ObjectType::ObjectTabconstraint,
            ) => 1,
            _ => return,
        };
        let Some(NodeEnum::List(list)) = object.and_then(|object| object.node.as_ref()) else {
            return;
        };
        let parts: Vec<&str> = list
            .items
            .iter()
            .filter_map(|part| match &part.node {
                Some(NodeEnum::String(part)) => Some(part.sval.as_str()),
                _ => None,
            })
            .collect();
        let kept = parts.len().saturating_sub(trailing);
        if let [above @ .., table] = &parts[..kept] {
            let schema = above.last().map(|schema| Arc::from(*schema));
            self.add((schema, Arc::from(*table)), mode, None);
        }
    }
}

/// Tells whether one of some storage options may change only while nobody reads.
///
/// Source: the lock levels in `src/backend/access/common/reloptions.c`.
fn is_of_the_whole(options: Option<&NodeEnum>) -> bool {
    const OF_THE_WHOLE: [&str; 9] = [
        "user_catalog_table",
        "security_barrier",
        "security_invoker",
        "check_option",
        "fastupdate",
        "gin_pending_list_limit",
        "buffering",
        "pages_per_range",
        "autosummarize",
    ];
    let Some(NodeEnum::List(options)) = options else {
        return false;
    };
    options.items.iter().any(|option| match &option.node {
        Some(NodeEnum::DefElem(option)) => OF_THE_WHOLE.contains(&option.defname.as_str()),
        _ => false,
    })
}

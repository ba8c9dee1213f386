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
            if let Some(NodeEnum::PartitionCmd(part)) = definition {
                self.lock(part.name.as_ref(), LockMode::AccessExclusive);
            }
            let mode = match AlterTableType::try_from(command.subtype) {
                Ok(
                    AlterTableType::AtValidateConstraint
                    | AlterTableType::AtSetStatistics
                    | AlterTableType::AtSetRelOptions
                    | AlterTableType::AtResetRelOptions
                    | AlterTableType::AtSetOptions
                    | AlterTableType::AtResetOptions
                    | AlterTableType::AtClusterOn
                    | AlterTableType::AtDropCluster
                    | AlterTableType::AtAttachPartition,
                ) => LockMode::ShareUpdateExclusive,
                Ok(
                    AlterTableType::AtEnableTrig
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
        self.lock_all(&statement.inh_relations, LockMode::ShareUpdateExclusive);
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
                _ => {}
            }
        }
    }

    /// Takes in what is dropped, or the table it hangs on.
    pub(super) fn drop(&mut self, statement: &DropStmt) {
        let mode = if statement.concurrent {
            LockMode::ShareUpdateExclusive
        } else {
            LockMode::AccessExclusive
        };
        let trailing = match ObjectType::try_from(statement.remove_type) {
            Ok(
                ObjectType::ObjectTable
                | ObjectType::ObjectView
                | ObjectType::ObjectMatview
                | ObjectType::ObjectIndex
                | ObjectType::ObjectForeignTable
                | ObjectType::ObjectSequence,
            ) => 0,
            // The last part is the name of what hangs on the table.
            Ok(ObjectType::ObjectTrigger | ObjectType::ObjectRule | ObjectType::ObjectPolicy) => 1,
            _ => return,
        };
        for object in &statement.objects {
            let Some(NodeEnum::List(list)) = &object.node else {
                continue;
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
}

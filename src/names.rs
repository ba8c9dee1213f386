//! What the server's oids mean, and what its statements say.
//!
//! Both directories are built once from a recording's rows and only asked
//! afterwards. An oid that nobody could resolve has no name here; callers say so
//! rather than guess.

use std::collections::HashMap;
use std::sync::Arc;

use crate::pg::{Oid, QueryId};
use crate::sample::{Name, NameKind, StatementText};
use crate::statement::{self, Statement, StatementId};

/// Names of roles, databases and relations.
#[derive(Clone, Debug, Default)]
pub struct Names {
    roles: HashMap<Oid, Arc<str>>,
    databases: HashMap<Oid, Arc<str>>,
    relations: HashMap<(Oid, Oid), Arc<str>>,
}

impl Names {
    /// Builds the directory; of two rows about one object the later one counts.
    #[must_use]
    pub fn of(rows: &[Name]) -> Self {
        let mut names = Self::default();
        for row in rows {
            names.learn(row);
        }
        names
    }

    /// Takes one more row.
    pub fn learn(&mut self, row: &Name) {
        let name = Arc::clone(&row.name);
        match row.kind {
            NameKind::Role => self.roles.insert(row.oid, name),
            NameKind::Database => self.databases.insert(row.oid, name),
            NameKind::Relation => self
                .relations
                .insert((row.database.unwrap_or(Oid(0)), row.oid), name),
        };
    }

    /// Names a role.
    #[must_use]
    pub fn role(&self, oid: Oid) -> Option<&Arc<str>> {
        self.roles.get(&oid)
    }

    /// Names a database.
    #[must_use]
    pub fn database(&self, oid: Oid) -> Option<&Arc<str>> {
        self.databases.get(&oid)
    }

    /// Names the table that a relation is, or belongs to, as `schema.table`.
    #[must_use]
    pub fn table(&self, database: Oid, relation: Oid) -> Option<&Arc<str>> {
        self.relations.get(&(database, relation))
    }
}

/// The statements of a recording, read once.
#[derive(Clone, Debug, Default)]
pub struct Statements {
    by_id: HashMap<StatementId, Statement>,
    query_ids: HashMap<StatementId, Vec<QueryId>>,
}

impl Statements {
    /// Reads every text once.
    #[must_use]
    pub fn of(rows: &[StatementText]) -> Self {
        let mut statements = Self::default();
        for row in rows {
            statements.learn(row);
        }
        statements
    }

    /// Takes one more row.
    pub fn learn(&mut self, row: &StatementText) {
        self.by_id.entry(row.id).or_insert_with(|| Statement {
            id: row.id,
            parsed: row.parsed,
            ..statement::read(row.text.as_bytes())
        });
        if let Some(query_id) = row.query_id {
            let known = self.query_ids.entry(row.id).or_default();
            if !known.contains(&query_id) {
                known.push(query_id);
            }
        }
    }

    /// Gives what a row's statement says.
    #[must_use]
    pub fn get(&self, id: StatementId) -> Option<&Statement> {
        self.by_id.get(&id)
    }

    /// Gives the server's ids for a statement: several where they differ in what
    /// the fingerprint overlooks.
    #[must_use]
    pub fn query_ids(&self, id: StatementId) -> &[QueryId] {
        self.query_ids.get(&id).map_or(&[], Vec::as_slice)
    }
}

//! What the server's oids mean, and what its statements say.
//!
//! Both directories are built once from a recording's rows and only asked
//! afterwards. An oid that nobody could resolve has no name here; callers say so
//! rather than guess.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use crate::pg::{Oid, QueryId};
use crate::sample::{Name, NameKind, StatementText};
use crate::statement::{self, Statement, StatementId};

/// Names of roles, databases and relations, and what hangs on the relations.
#[derive(Clone, Debug, Default)]
pub struct Names {
    roles: HashMap<Oid, Role>,
    databases: HashMap<Oid, Arc<str>>,
    relations: HashMap<(Oid, Oid), Relation>,
    /// The tables of a name without its schema, by database.
    called: HashMap<(Oid, Arc<str>), BTreeSet<Oid>>,
    foreign_keys: HashMap<(Oid, Oid), ForeignKey>,
    /// The foreign keys on either side of a table.
    beside: HashMap<(Oid, Oid), BTreeSet<Oid>>,
}

#[derive(Clone, Debug)]
struct Role {
    name: Arc<str>,
    superuser: Option<bool>,
    usable: Option<bool>,
}

/// A table, as it is known by its own oid or by that of an index or a TOAST table of its.
#[derive(Clone, Debug)]
pub struct Relation {
    /// `schema.table`.
    pub name: Arc<str>,
    /// The table's own oid.
    pub table: Oid,
    /// The table that it is a part of, or inherits from.
    pub parent: Option<Oid>,
    /// The table at the top, of which it is a part.
    pub topmost: Option<Oid>,
    /// Whether rows are stored in it: not in a view, and not in a table that consists of parts.
    pub stores_rows: bool,
    /// Whether it shows what others store.
    pub is_view: bool,
    /// Whether its triggers or rules may touch further tables; none where it was not asked.
    pub triggers: Option<bool>,
    /// The columns whose change takes the lock of `FOR UPDATE`; none where it was not asked.
    pub key_columns: Option<Vec<Arc<str>>>,
}

/// A constraint by which rows of one table refer to rows of another.
#[derive(Clone, Debug)]
pub struct ForeignKey {
    /// The table that refers.
    pub table: Oid,
    /// The table that is referred to.
    pub refers_to: Oid,
    /// The columns that refer.
    pub columns: Vec<Arc<str>>,
    /// Whether a change above writes the rows that refer.
    pub cascades: bool,
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
        let place = (row.database.unwrap_or(Oid(0)), row.oid);
        match row.kind {
            NameKind::Role => {
                let role = Role {
                    name,
                    superuser: row.superuser,
                    usable: row.usable,
                };
                self.roles.insert(row.oid, role);
            }
            NameKind::Database => {
                self.databases.insert(row.oid, name);
            }
            NameKind::Relation => {
                let relation = Relation {
                    name,
                    table: row.table.unwrap_or(row.oid),
                    parent: row.parent,
                    topmost: row.topmost,
                    stores_rows: !matches!(row.relkind.as_deref(), Some("p" | "v")),
                    is_view: row.relkind.as_deref() == Some("v"),
                    triggers: row.triggers,
                    key_columns: row.columns.clone(),
                };
                let bare = relation.name.rsplit_once('.');
                let bare = bare.map_or(&*relation.name, |(_, bare)| bare);
                let called = self.called.entry((place.0, bare.into())).or_default();
                called.insert(relation.table);
                self.relations.insert(place, relation);
            }
            NameKind::ForeignKey => {
                if let (Some(table), Some(refers_to)) = (row.table, row.refers_to) {
                    let foreign_key = ForeignKey {
                        table,
                        refers_to,
                        columns: row.columns.clone().unwrap_or_default(),
                        cascades: row.cascades.unwrap_or(true),
                    };
                    for side in [table, refers_to] {
                        let beside = self.beside.entry((place.0, side)).or_default();
                        beside.insert(row.oid);
                    }
                    self.foreign_keys.insert(place, foreign_key);
                }
            }
        }
    }

    /// Tells how many objects have a name here.
    #[must_use]
    pub fn len(&self) -> usize {
        let catalogues = self.roles.len() + self.databases.len();
        catalogues + self.relations.len() + self.foreign_keys.len()
    }

    /// Tells whether nothing has a name here.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Names a role.
    #[must_use]
    pub fn role(&self, oid: Oid) -> Option<&Arc<str>> {
        self.roles.get(&oid).map(|role| &role.name)
    }

    /// Tells whether a role is a superuser; none where it was not asked.
    #[must_use]
    pub fn is_superuser(&self, role: Oid) -> Option<bool> {
        self.roles.get(&role)?.superuser
    }

    /// Tells whether the role that watched has the privileges of `role`; none where it was not asked.
    #[must_use]
    pub fn has_privileges_of(&self, role: Oid) -> Option<bool> {
        self.roles.get(&role)?.usable
    }

    /// Names a database.
    #[must_use]
    pub fn database(&self, oid: Oid) -> Option<&Arc<str>> {
        self.databases.get(&oid)
    }

    /// Names the table that a relation is, or belongs to, as `schema.table`.
    #[must_use]
    pub fn table(&self, database: Oid, relation: Oid) -> Option<&Arc<str>> {
        self.relation(database, relation)
            .map(|relation| &relation.name)
    }

    /// Names the table at the top of which a relation's table is a partition.
    #[must_use]
    pub fn topmost(&self, database: Oid, relation: Oid) -> Option<&Arc<str>> {
        let topmost = self.relation(database, relation)?.topmost?;
        self.table(database, topmost)
    }

    /// Gives what is known of the table that a relation is, or belongs to.
    #[must_use]
    pub fn relation(&self, database: Oid, relation: Oid) -> Option<&Relation> {
        self.relations.get(&(database, relation))
    }

    /// Lists the tables that a statement in `database` may mean by a name: without a schema
    /// there may be several.
    pub fn called(
        &self,
        database: Oid,
        schema: Option<&str>,
        name: &Arc<str>,
    ) -> impl Iterator<Item = Oid> {
        let tables = self.called.get(&(database, Arc::clone(name)));
        tables.into_iter().flatten().copied().filter(move |table| {
            let found = self.relations.get(&(database, *table));
            schema.is_none_or(|schema| {
                let whole = found.and_then(|found| found.name.rsplit_once('.'));
                whole.is_some_and(|(above, _)| above == schema)
            })
        })
    }

    /// Lists the foreign keys of and to a table.
    pub fn foreign_keys(&self, database: Oid, table: Oid) -> impl Iterator<Item = &ForeignKey> {
        let beside = self.beside.get(&(database, table)).into_iter().flatten();
        beside.filter_map(move |oid| self.foreign_keys.get(&(database, *oid)))
    }

    /// Lists a table and those above it: of which it is a part, or from which it inherits.
    pub fn with_those_above(&self, database: Oid, table: Oid) -> impl Iterator<Item = Oid> {
        let above = move |table: &Oid| self.relation(database, *table)?.parent;
        // Nothing nests so deep, and a torn recording may hold a circle.
        std::iter::successors(Some(table), above).take(32)
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
        self.by_id.entry(row.id).or_insert_with(|| {
            let read = statement::read(row.text.as_bytes());
            let is_as_it_came = read.text == row.text;
            Statement {
                id: row.id,
                parsed: row.parsed,
                text: if is_as_it_came {
                    Arc::clone(&row.text)
                } else {
                    read.text
                },
                ..read
            }
        });
        if let Some(query_id) = row.query_id {
            let known = self.query_ids.entry(row.id).or_default();
            if !known.contains(&query_id) {
                known.push(query_id);
            }
        }
    }

    /// Takes the texts out for readers who may not see them: what the statements do remains.
    #[must_use]
    pub fn without_texts(mut self) -> Self {
        for statement in self.by_id.values_mut() {
            statement.text = statement.without_text();
        }
        self
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

//! What a statement does to tables and their rows, through foreign keys too.
//!
//! What a text says is followed through the catalogue's foreign keys: a row that refers
//! locks the one it refers to (`FOR KEY SHARE`), and a row whose key goes or changes locks
//! or writes those that refer to it. What triggers, rules, views and functions do is in no
//! catalogue: a statement with any of these is [`open`](Effects::open).

use std::collections::BTreeMap;

use crate::names::Names;
use crate::pg::{LockMode, Oid};
use crate::statement::{Statement, Writes};

/// What a statement does, table by table.
#[derive(Clone, Debug)]
pub(crate) struct Effects<'n> {
    names: &'n Names,
    database: Oid,
    on_tables: BTreeMap<Oid, Effect>,
    /// Whether it may affect further tables.
    pub(crate) open: bool,
}

/// What a statement does to a table and its rows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Effect {
    /// The strongest lock on the table.
    pub(crate) lock: Option<LockMode>,
    /// The strongest lock on rows that are not written, as a tuple lock's mode shows it.
    pub(crate) locked: Option<LockMode>,
    /// The strongest lock on rows in order to write them.
    pub(crate) written: Option<LockMode>,
    /// What it writes.
    pub(crate) writes: Writes,
    /// Whether it may change a key.
    pub(crate) changes_key: bool,
}

impl Effect {
    /// Tells whether it locks or writes rows at all.
    pub(crate) fn is_of_rows(&self) -> bool {
        self.rows().is_some() || self.writes.inserts
    }

    /// Gives the strongest lock on rows that were there before.
    pub(crate) fn rows(&self) -> Option<LockMode> {
        self.locked.max(self.written)
    }

    fn merge(&mut self, other: &Self) {
        self.lock = self.lock.max(other.lock);
        self.locked = self.locked.max(other.locked);
        self.written = self.written.max(other.written);
        self.writes.merge(&other.writes);
        self.changes_key |= other.changes_key;
    }
}

impl<'n> Effects<'n> {
    /// Follows a statement in `database`.
    pub(crate) fn of(statement: &Statement, names: &'n Names, database: Oid) -> Self {
        let mut effects = Self {
            names,
            database,
            on_tables: BTreeMap::new(),
            open: statement.opaque,
        };
        for used in &statement.tables {
            let rows = |is_written| used.rows.filter(|_| used.writes.any() == is_written);
            let effect = Effect {
                lock: Some(used.lock),
                locked: rows(false),
                written: rows(true),
                writes: used.writes.clone(),
                changes_key: false,
            };
            let mut found = false;
            for table in names.called(database, used.schema.as_deref(), &used.name) {
                found = true;
                effects.add(table, effect.clone());
            }
            // Nothing is known of its triggers, nor whether it is a table.
            effects.open |= !found && effect.is_of_rows();
        }
        effects
    }

    fn add(&mut self, table: Oid, mut effect: Effect) {
        let relation = self.names.relation(self.database, table);
        if let Some(relation) = relation {
            let may_fire = relation.triggers == Some(true) && effect.writes.any();
            self.open |= effect.is_of_rows() && relation.is_view || may_fire;
        }
        let keys = relation.and_then(|relation| relation.key_columns.as_deref());
        effect.changes_key = match keys {
            Some(keys) => effect.writes.changes(keys),
            None => effect.writes.updates,
        };
        if keys.is_some() && effect.changes_key {
            effect.written = Some(LockMode::AccessExclusive);
        }
        let known = self.on_tables.entry(table).or_default();
        let before = known.clone();
        known.merge(&effect);
        // Foreign keys may lead in a circle.
        if *known != before {
            self.follow(table, &effect);
        }
    }

    fn follow(&mut self, table: Oid, effect: &Effect) {
        let names = self.names;
        let writes = &effect.writes;
        for key in names.foreign_keys(self.database, table) {
            let sets = writes.inserts || writes.changes(&key.columns);
            if key.table == table && sets {
                self.add(key.refers_to, Effect::key_share());
            }
            if key.refers_to == table && (writes.deletes || effect.changes_key) {
                let below = if key.cascades {
                    let columns = key.columns.clone();
                    Effect::cascaded(writes.deletes, columns)
                } else {
                    Effect::key_share()
                };
                self.add(key.table, below);
            }
        }
    }

    /// Tells what the statement does to a table, or to one of which it is a part.
    pub(crate) fn on(&self, table: Oid) -> Option<Effect> {
        let above = self.names.with_those_above(self.database, table);
        above
            .filter_map(|table| self.on_tables.get(&table))
            .cloned()
            .reduce(|mut all, effect| {
                all.merge(&effect);
                all
            })
    }
}

impl Effect {
    /// What a foreign key does to a row in order that it stays there.
    fn key_share() -> Self {
        Self {
            lock: Some(LockMode::RowShare),
            locked: Some(LockMode::AccessShare),
            ..Self::default()
        }
    }

    /// What a foreign key does to the rows that refer: deletes them, or changes what refers.
    fn cascaded(deletes: bool, columns: Vec<std::sync::Arc<str>>) -> Self {
        Self {
            lock: Some(LockMode::RowExclusive),
            locked: None,
            written: Some(if deletes {
                LockMode::AccessExclusive
            } else {
                LockMode::Exclusive
            }),
            writes: Writes {
                inserts: false,
                updates: true,
                deletes,
                columns,
            },
            changes_key: false,
        }
    }
}

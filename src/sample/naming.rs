//! Which oids still need a name, and where to ask for it.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use tokio_postgres::Row;

use super::decode::{Bytes, Columns};
use super::error::SampleError;
use crate::pg::Oid;
use crate::query;
use crate::sample::{Name, NameKind, Snapshot};

/// Of so many objects of a kind it is remembered that they were asked for; then they may be
/// asked for again, which tells them as they are called by then.
const MOST: usize = 20_000;

/// Where a relation lives: its database, 0 for those that all databases share.
pub(super) type Relation = (Oid, Oid);

/// The names that were asked for.
#[derive(Debug)]
pub(super) struct Naming {
    /// The connected database.
    home: Oid,
    databases: HashMap<Oid, Option<Arc<str>>>,
    roles: HashSet<Oid>,
    relations: HashSet<Relation>,
    /// Relations at home that no snapshot mentions, and that have no name yet.
    wanted: BTreeSet<Relation>,
}

/// What to ask next.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Missing {
    pub(super) databases: BTreeSet<Oid>,
    pub(super) roles: BTreeSet<Oid>,
    /// The relations by the database to be asked.
    pub(super) relations: BTreeMap<Oid, BTreeSet<Relation>>,
}

impl Missing {
    /// Takes the relations that the database `at` is to be asked for.
    pub(super) fn take(&mut self, at: Oid) -> BTreeSet<Relation> {
        self.relations.remove(&at).unwrap_or_default()
    }
}

impl Naming {
    pub(super) fn new(home: Oid) -> Self {
        Self {
            home,
            databases: HashMap::new(),
            roles: HashSet::new(),
            relations: HashSet::new(),
            wanted: BTreeSet::new(),
        }
    }

    /// Takes note of relations at home that are to have names, whether or not a snapshot mentions them.
    pub(super) fn want(&mut self, relations: impl Iterator<Item = Oid>) {
        let at_home = relations.map(|oid| (self.home, oid));
        let new = at_home.filter(|relation| !self.relations.contains(relation));
        self.wanted.extend(new);
    }

    pub(super) const fn home(&self) -> Oid {
        self.home
    }

    /// Lists what `snapshot` mentions or else is wanted, and nobody has asked for yet.
    pub(super) fn missing(&self, snapshot: &Snapshot) -> Missing {
        let mut missing = Missing::default();
        if !self.wanted.is_empty() {
            let at_home = self.wanted.clone();
            missing.relations.insert(self.home, at_home);
        }
        let sessions = &snapshot.sessions;
        let prepared = &snapshot.prepared;
        let locked = snapshot.locks.iter().filter_map(|lock| {
            let relation = lock.target.relation?;
            Some((lock.target.database.unwrap_or(self.home), relation))
        });
        for (database, relation) in locked {
            // Shared relations are in the catalogue of every database.
            let at = if database.0 == 0 { self.home } else { database };
            if at != self.home {
                missing.databases.insert(at);
            }
            if !self.relations.contains(&(database, relation)) {
                let there = missing.relations.entry(at).or_default();
                there.insert((database, relation));
            }
        }
        let databases = sessions.iter().filter_map(|session| session.database);
        missing.databases.extend(databases);
        missing
            .databases
            .extend(prepared.iter().map(|held| held.database));
        missing
            .databases
            .retain(|oid| !self.databases.contains_key(oid));
        let roles = sessions.iter().filter_map(|session| session.role);
        missing.roles.extend(roles);
        missing.roles.extend(prepared.iter().map(|held| held.owner));
        missing.roles.retain(|oid| !self.roles.contains(oid));
        missing
    }

    /// Makes room: tables come and go for years.
    fn forget_beyond(&mut self, most: usize) {
        if self.databases.len() > most {
            self.databases.clear();
        }
        if self.roles.len() > most {
            self.roles.clear();
        }
        if self.relations.len() > most {
            self.relations.clear();
        }
    }

    /// Gives the name of a database that was told.
    pub(super) fn database(&self, oid: Oid) -> Option<Arc<str>> {
        self.databases.get(&oid).cloned().flatten()
    }

    /// Takes the answer to a question; an oid without an answer is gone for good.
    pub(super) fn take(
        &mut self,
        rows: &[Row],
        asked: (&BTreeSet<Oid>, &BTreeSet<Oid>, &BTreeSet<Relation>),
    ) -> Result<Vec<Name>, SampleError> {
        let (databases, roles, relations) = asked;
        let mut names = Vec::with_capacity(rows.len());
        if let Some(row) = rows.first() {
            let columns = Columns::new(query::NAMES.name, row.columns());
            let places = Places::of(relations);
            for row in rows {
                names.push(name(&columns, row, &places)?);
            }
        }
        self.forget_beyond(MOST);
        self.databases
            .extend(databases.iter().map(|oid| (*oid, None)));
        self.roles.extend(roles);
        self.relations.extend(relations);
        self.wanted.retain(|relation| !relations.contains(relation));
        for told in &names {
            match told.kind {
                NameKind::Database => {
                    let name = Arc::clone(&told.name);
                    self.databases.insert(told.oid, Some(name));
                }
                // The tables above a partition are told unasked.
                NameKind::Relation => self
                    .relations
                    .extend(told.database.map(|at| (at, told.oid))),
                NameKind::Role | NameKind::ForeignKey => {}
            }
        }
        Ok(names)
    }
}

/// Which database a relation was asked for in: one and the same, but for the shared ones.
struct Places<'a> {
    asked: &'a BTreeSet<Relation>,
    local: Option<Oid>,
}

impl<'a> Places<'a> {
    fn of(asked: &'a BTreeSet<Relation>) -> Self {
        let local = asked.last().map(|(at, _)| *at);
        Self { asked, local }
    }

    fn of_relation(&self, oid: Oid) -> Option<Oid> {
        let shared = Oid(0);
        if self.asked.contains(&(shared, oid)) {
            Some(shared)
        } else {
            self.local
        }
    }
}

fn name(columns: &Columns, row: &Row, places: &Places<'_>) -> Result<Name, SampleError> {
    let kind: Bytes<'_> = columns.get(row, "kind")?;
    let kind = match kind.0 {
        b"database" => NameKind::Database,
        b"role" => NameKind::Role,
        b"foreignkey" => NameKind::ForeignKey,
        _ => NameKind::Relation,
    };
    let oid = Oid(columns.get(row, "oid")?);
    let schema: Option<Bytes<'_>> = columns.get(row, "schema")?;
    let own = columns.get::<Bytes<'_>>(row, "name")?.text();
    let relkind: Option<Bytes<'_>> = columns.get(row, "relkind")?;
    let oid_in = |column| Ok(columns.get::<Option<u32>>(row, column)?.map(Oid));
    let listed: Option<Vec<Bytes<'_>>> = columns.get(row, "columns")?;
    Ok(Name {
        kind,
        database: match kind {
            NameKind::Database | NameKind::Role => None,
            NameKind::Relation => places.of_relation(oid),
            NameKind::ForeignKey => places.local,
        },
        oid,
        name: schema.map_or(own.clone(), |schema| {
            format!("{}.{own}", schema.text()).into()
        }),
        table: oid_in("table")?,
        superuser: columns.get(row, "superuser")?,
        usable: columns.get(row, "usable")?,
        relkind: relkind.map(|relkind| relkind.text()),
        parent: oid_in("parent")?,
        topmost: oid_in("topmost")?,
        triggers: columns.get(row, "triggers")?,
        refers_to: oid_in("refers_to")?,
        columns: listed.map(|listed| listed.iter().map(Bytes::text).collect()),
        cascades: columns.get(row, "cascades")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_that_come_and_go_for_years_take_a_bounded_room() {
        let mut naming = Naming::new(Oid(1));
        let nothing = BTreeSet::new();
        for day in 0..1_000 {
            let tables: BTreeSet<Relation> =
                (0..100).map(|n| (Oid(1), Oid(day * 100 + n))).collect();
            let told = naming.take(&[], (&nothing, &nothing, &tables));
            assert!(told.is_ok_and(|names| names.is_empty()));
        }
        assert!(naming.relations.capacity() * size_of::<Relation>() < 1 << 20);
    }
}

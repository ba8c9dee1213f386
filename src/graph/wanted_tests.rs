//! Who can have taken what somebody wants.

use super::*;
use crate::sample::{Name, NameKind};
use crate::statement;

const DATABASE: Oid = Oid(5);

/// `child` refers to `parent`, `watched` has a trigger, `part` is one of `whole`.
fn names() -> Names {
    let table = |oid: u32, name: &str| Name {
        database: Some(DATABASE),
        table: Some(Oid(oid)),
        triggers: Some(name == "public.watched"),
        columns: Some(vec!["id".into()]),
        ..Name::new(NameKind::Relation, Oid(oid), name)
    };
    Names::of(&[
        table(1, "public.parent"),
        table(2, "public.child"),
        table(3, "public.watched"),
        table(4, "public.whole"),
        Name {
            parent: Some(Oid(4)),
            ..table(5, "public.part")
        },
        Name {
            database: Some(DATABASE),
            table: Some(Oid(2)),
            refers_to: Some(Oid(1)),
            columns: Some(vec!["parent".into()]),
            cascades: Some(false),
            ..Name::new(NameKind::ForeignKey, Oid(9), "refers")
        },
    ])
}

fn check(table: u32, lock: WantedLock, cases: &[(&str, Option<bool>)]) {
    let wanted = Wanted {
        database: DATABASE,
        table: Some(Oid(table)),
        lock,
    };
    for (text, expected) in cases {
        let statement = statement::read(text.as_bytes());
        let answer = wanted.can_be_held_by(&statement, &names());
        assert_eq!(answer, *expected, "{lock:?} in {table}: {text}");
    }
}

const YES: Option<bool> = Some(true);
const NO: Option<bool> = Some(false);
const MAYBE: Option<bool> = None;

#[test]
fn who_changes_a_row_waits_for_all_but_a_key_share() {
    check(
        1,
        WantedLock::Row(Some(LockMode::Exclusive)),
        &[
            ("update parent set n = 1", YES),
            ("delete from public.parent", YES),
            ("select * from parent for share", YES),
            ("select * from parent for key share", NO),
            ("insert into child (parent) values (1)", NO),
            ("insert into parent values (1)", NO),
            ("select * from parent", NO),
            ("update child set n = 1", NO),
            // Nobody was asked about that one: it may be a view, or have triggers.
            ("update other.parent set n = 1", MAYBE),
            ("select pay(1)", MAYBE),
            ("commit", MAYBE),
            ("update watched set n = 1", MAYBE),
            ("begin", MAYBE),
        ],
    );
}

#[test]
fn who_deletes_a_row_waits_for_who_refers_to_it_too() {
    check(
        1,
        WantedLock::Row(Some(LockMode::AccessExclusive)),
        &[
            ("select * from parent for key share", YES),
            ("insert into child (parent) values (1)", YES),
            ("update child set parent = 1", YES),
            ("update child set n = 1", NO),
        ],
    );
}

#[test]
fn who_refers_waits_for_a_key_that_may_go() {
    check(
        1,
        WantedLock::Row(Some(LockMode::AccessShare)),
        &[
            ("update parent set id = 1", YES),
            ("delete from parent", YES),
            ("select * from parent for update", YES),
            ("update parent set n = 1", NO),
            ("select * from parent for share", NO),
            ("update parent set n = 'cut he", YES),
        ],
    );
}

#[test]
fn a_new_key_waits_for_who_wrote_it() {
    check(
        2,
        WantedLock::Key,
        &[
            ("insert into child values (1)", YES),
            ("insert into child values (1) on conflict do nothing", YES),
            ("delete from child", YES),
            ("update child set id = 2", YES),
            ("update child set n = 2", NO),
            ("select * from child for update", NO),
            ("execute pay", MAYBE),
        ],
    );
}

#[test]
fn a_table_lock_waits_for_a_conflicting_one() {
    check(
        1,
        WantedLock::Table(LockMode::AccessExclusive),
        &[("select * from parent", YES), ("select * from child", NO)],
    );
    check(
        1,
        WantedLock::Table(LockMode::ShareUpdateExclusive),
        &[
            ("update parent set n = 1", NO),
            ("vacuum parent", YES),
            ("autovacuum: VACUUM public.parent", YES),
            ("create index on parent (n)", YES),
            ("reindex index parent_pkey", MAYBE),
            ("drop index parent_pkey", MAYBE),
        ],
    );
    check(
        1,
        WantedLock::Table(LockMode::Exclusive),
        &[("insert into child (parent) values (1)", YES)],
    );
    check(
        5,
        WantedLock::Table(LockMode::Share),
        &[
            ("update whole set n = 1", YES),
            ("update part set n = 1", YES),
        ],
    );
}

#[test]
fn without_a_table_only_who_writes_may_have_been_it() {
    let check = |lock, text: &str, expected| {
        let wanted = Wanted {
            lock,
            ..Wanted::UNKNOWN
        };
        let statement = statement::read(text.as_bytes());
        let answer = wanted.can_be_held_by(&statement, &names());
        assert_eq!(answer, expected, "{lock:?}: {text}");
    };
    check(WantedLock::Row(None), "update t set n = 1", MAYBE);
    check(WantedLock::Row(None), "select 1", NO);
    check(WantedLock::Advisory, "select pg_advisory_lock(1)", YES);
    check(WantedLock::Advisory, "update t set n = 1", NO);
    check(WantedLock::Advisory, "select locked(1)", MAYBE);
}

//! Waits by name, and the table that each is about.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use super::*;
use crate::graph::{Table, WaitGraph};
use crate::pg::{Backend, Pid, Xid};
use crate::sample::{Name, NameKind, PaceReason, Session, Snapshot, State, StatementText, Tick};
use crate::statement;
use crate::time::{Span, Timestamp};

const DATABASE: Oid = Oid(5);
const NOW: Timestamp = Timestamp::from_micros(10_000_000);

/// `parent` is referred to by `child` and `item`, `item` goes with it; `part` is the only part
/// of `whole`; `watched` has a trigger; `shown` is a view.
fn names() -> Names {
    let table = |oid: u32, name: &str, relkind: &str| Name {
        database: Some(DATABASE),
        table: Some(Oid(oid)),
        relkind: Some(relkind.into()),
        triggers: Some(name == "public.watched"),
        columns: Some(vec!["id".into()]),
        ..Name::new(NameKind::Relation, Oid(oid), name)
    };
    let refers = |oid: u32, table: u32, cascades: bool| Name {
        database: Some(DATABASE),
        table: Some(Oid(table)),
        refers_to: Some(Oid(1)),
        columns: Some(vec!["parent".into()]),
        cascades: Some(cascades),
        ..Name::new(NameKind::ForeignKey, Oid(oid), "refers")
    };
    Names::of(&[
        table(1, "public.parent", "r"),
        table(2, "public.child", "r"),
        table(3, "public.item", "r"),
        table(4, "public.whole", "p"),
        Name {
            parent: Some(Oid(4)),
            topmost: Some(Oid(4)),
            ..table(5, "public.part", "r")
        },
        table(6, "public.watched", "r"),
        table(7, "public.shown", "v"),
        table(8, "other.account", "r"),
        Name {
            oid: Oid(18),
            ..table(8, "other.account", "r")
        },
        refers(100, 2, false),
        refers(101, 3, true),
    ])
}

fn lock(pid: i32, locktype: &str, mode: LockMode) -> Lock {
    Lock {
        owner: format!("{pid}/1").into(),
        pid: Some(Pid(pid)),
        target: LockTarget {
            locktype: locktype.into(),
            database: None,
            relation: None,
            page: None,
            tuple: None,
            virtualxid: None,
            transactionid: None,
            classid: None,
            objid: None,
            objsubid: None,
        },
        mode,
        granted: true,
        fastpath: false,
        waitstart: None,
    }
}

fn on_table(pid: i32, oid: u32, mode: LockMode) -> Lock {
    let mut lock = lock(pid, "relation", mode);
    lock.target.database = Some(DATABASE);
    lock.target.relation = Some(Oid(oid));
    lock.fastpath = true;
    lock
}

fn on_transaction(pid: i32, waits: bool) -> Lock {
    let mode = if waits {
        LockMode::Share
    } else {
        LockMode::Exclusive
    };
    let mut lock = lock(pid, "transactionid", mode);
    lock.target.transactionid = Some(Xid(700));
    lock.granted = !waits;
    lock.waitstart = waits.then_some(Timestamp::from_micros(9_000_000));
    lock
}

fn session(pid: i32, text: &str) -> Session {
    let Backend { pid, start } = Backend {
        pid: Pid(pid),
        start: Timestamp::default(),
    };
    Session {
        pid,
        backend_start: start,
        leader_pid: None,
        backend_type: "client backend".into(),
        database: Some(DATABASE),
        role: None,
        application_name: "".into(),
        client_addr: None,
        state: State::Active,
        wait_event_type: None,
        wait_event: None,
        query_id: None,
        statement: Some(statement::read(text.as_bytes()).id),
        tags: None,
        xact_start: None,
        query_start: None,
        state_change: None,
        backend_xid: None,
        backend_xmin: None,
    }
}

/// A wait of 2 for the transaction of 1.
struct Wait2 {
    text: &'static str,
    /// What each has locked, `w` for `RowExclusive`, `l` for `RowShare`: `[(1, "w")]`.
    waiter: &'static [(u32, &'static str)],
    holder: &'static [(u32, &'static str)],
}

impl Wait2 {
    fn snapshot(&self) -> Snapshot {
        let mut locks = vec![on_transaction(1, false), on_transaction(2, true)];
        for (pid, locked) in [(1, self.holder), (2, self.waiter)] {
            for (table, modes) in locked {
                let modes = modes.chars().map(|mode| match mode {
                    'w' => LockMode::RowExclusive,
                    _ => LockMode::RowShare,
                });
                locks.extend(modes.map(|mode| on_table(pid, *table, mode)));
            }
        }
        Snapshot {
            tick: Tick {
                at: NOW,
                span: Span::from_millis(100),
                place: Span::from_millis(100),
                server: Span::ZERO,
                missed: 0,
                deadlock_timeout: Tick::DEADLOCK_TIMEOUT,
                period: Span::from_millis(100),
                pace: PaceReason::Fixed,
            },
            sessions: vec![session(1, "select 1"), session(2, self.text)],
            locks,
            prepared: vec![],
            safe_snapshots: vec![],
        }
    }
}

fn table_of(snapshot: &Snapshot, text: &str) -> Option<Table> {
    let read = statement::read(text.as_bytes());
    let statements = Statements::of(&[StatementText {
        id: read.id,
        database: None,
        query_id: None,
        text: read.text,
        parsed: read.parsed,
    }]);
    let graph = WaitGraph::of(snapshot);
    let node = graph.find(Pid(2)).unwrap();
    let [wait] = graph.waits(node) else {
        panic!("2 waits once")
    };
    graph.table(node, wait, &names(), &statements)
}

fn check(wait: &Wait2, expected: Option<&str>) {
    let table = table_of(&wait.snapshot(), wait.text);
    let name = table.as_ref().map(|table| &*table.name);
    assert_eq!(name, expected, "{}", wait.text);
    assert!(table.is_none_or(|table| table.rung == Rung::Statement
        && table.basis == Basis::Inferred
        && table.row.is_none()));
}

#[test]
fn one_table_that_both_have_locked_is_the_one_whatever_is_run() {
    for text in ["select pay(1)", "commit", "update child set n = 1"] {
        let wait = Wait2 {
            text,
            waiter: &[(1, "w"), (2, "w")],
            holder: &[(2, "w"), (8, "w")],
        };
        check(&wait, Some("public.child"));
    }
}

#[test]
fn locks_read_before_the_statement_took_its_own_tell_nothing() {
    let wait = Wait2 {
        text: "update other.account set n = 1",
        waiter: &[(1, "w"), (2, "w")],
        holder: &[(2, "w"), (8, "w")],
    };
    check(&wait, None);
}

#[test]
fn of_two_tables_the_statement_tells_and_no_function_does() {
    let wait = |text| Wait2 {
        text,
        waiter: &[(1, "w"), (8, "w")],
        holder: &[(1, "w"), (8, "w")],
    };
    check(&wait("update parent set n = 1"), Some("public.parent"));
    check(&wait("delete from other.account"), Some("other.account"));
    check(&wait("update account set n = now()"), Some("other.account"));
    check(&wait("update account set n = price(1)"), None);
    check(&wait("select pay(1)"), None);
    check(&wait("commit"), None);
    check(&wait("execute pay(1)"), None);
    // Cut: what comes after is not known.
    check(&wait("update parent set note = 'abc"), None);
}

#[test]
fn an_index_stands_for_its_table() {
    let wait = Wait2 {
        text: "insert into account values (1)",
        waiter: &[(8, "w"), (18, "w"), (1, "w")],
        holder: &[(8, "w"), (1, "w")],
    };
    check(&wait, Some("other.account"));
}

#[test]
fn a_foreign_key_is_followed_both_ways() {
    let wait = |text, waiter| Wait2 {
        text,
        waiter,
        holder: &[(1, "lw"), (2, "w"), (3, "w"), (8, "w")],
    };
    let insert = "insert into child (parent) values (1)";
    // It looks for the row that it refers to only after its own is in.
    check(&wait(insert, &[(1, "w"), (2, "w")]), Some("public.child"));
    check(&wait(insert, &[(1, "l"), (2, "w")]), None);
    let update = "update child set parent = 1";
    check(&wait(update, &[(1, "l"), (2, "w")]), None);
    let other = "update child set n = 1";
    check(&wait(other, &[(1, "l"), (2, "w")]), Some("public.child"));
    let key = "update parent set id = 1";
    check(&wait(key, &[(1, "w"), (2, "l")]), None);
    let other = "update parent set n = 1";
    check(&wait(other, &[(1, "w"), (2, "l")]), Some("public.parent"));
    let delete = "delete from parent where id = 1";
    check(&wait(delete, &[(1, "w"), (8, "w")]), Some("public.parent"));
    check(&wait(delete, &[(1, "w"), (3, "w"), (8, "w")]), None);
}

#[test]
fn a_new_row_waits_for_nobody_who_only_locked_rows() {
    let wait = Wait2 {
        text: "insert into child (parent) values (1)",
        waiter: &[(1, "l"), (2, "w")],
        holder: &[(1, "w"), (2, "l")],
    };
    check(&wait, Some("public.parent"));
}

#[test]
fn a_part_is_found_through_the_whole() {
    let wait = Wait2 {
        text: "update whole set n = 1",
        waiter: &[(4, "w"), (5, "w"), (8, "w")],
        holder: &[(4, "w"), (5, "w"), (8, "w")],
    };
    check(&wait, Some("public.part"));
    let table = table_of(&wait.snapshot(), wait.text).unwrap();
    assert_eq!(table.topmost.as_deref(), Some("public.whole"));
}

#[test]
fn triggers_and_views_keep_it_open() {
    let wait = |text, locked| Wait2 {
        text,
        waiter: locked,
        holder: &[(1, "w"), (6, "w"), (8, "w")],
    };
    check(
        &wait("update watched set n = 1", &[(6, "w"), (8, "w")]),
        None,
    );
    // Locking alone fires no trigger.
    let locking = "select * from watched for update";
    check(
        &wait(locking, &[(6, "lw"), (8, "w")]),
        Some("public.watched"),
    );
    check(&wait("update shown set n = 1", &[(1, "w"), (8, "w")]), None);
}

#[test]
fn a_text_from_before_the_wait_tells_nothing() {
    let wait = Wait2 {
        text: "update parent set n = 1",
        waiter: &[(1, "w"), (8, "w")],
        holder: &[(1, "w"), (8, "w")],
    };
    let mut snapshot = wait.snapshot();
    snapshot.locks[1].waitstart = Some(Timestamp::from_micros(10_000_100));
    assert_eq!(table_of(&snapshot, wait.text), None);
    // One from before the statement is an earlier wait's.
    snapshot.locks[1].waitstart = Some(Timestamp::from_micros(9_000_000));
    snapshot.sessions[1].query_start = Some(Timestamp::from_micros(9_500_000));
    assert_eq!(table_of(&snapshot, wait.text), None);
    snapshot.sessions[1].wait_event_type = Some("Lock".into());
    assert!(table_of(&snapshot, wait.text).is_some());
}

#[test]
fn a_wait_that_began_long_after_the_look_did_may_be_of_the_next_statement() {
    let wait = Wait2 {
        text: "update parent set n = 1",
        waiter: &[(1, "w"), (8, "w")],
        holder: &[(1, "w"), (8, "w")],
    };
    let mut snapshot = wait.snapshot();
    snapshot.sessions[1].wait_event_type = Some("Lock".into());
    snapshot.locks[1].waitstart = Some(NOW + Span::from_micros(900));
    assert!(table_of(&snapshot, wait.text).is_some());
    snapshot.locks[1].waitstart = Some(NOW + Span::from_micros(1_000));
    assert_eq!(table_of(&snapshot, wait.text), None);
}

#[test]
fn of_a_wait_in_doubt_the_only_table_of_who_is_waited_for_is_known() {
    let began_late = |wait: &Wait2| {
        let mut snapshot = wait.snapshot();
        snapshot.locks[1].waitstart = Some(NOW + Span::from_micros(100));
        table_of(&snapshot, wait.text).map(|table| table.name.to_string())
    };
    let mut wait = Wait2 {
        text: "commit",
        waiter: &[(1, "w"), (2, "w")],
        holder: &[(2, "w")],
    };
    assert_eq!(began_late(&wait).as_deref(), Some("public.child"));
    // The waiter's lock on the other may have been read too early.
    wait.holder = &[(2, "w"), (8, "w")];
    assert_eq!(began_late(&wait), None);
    wait.holder = &[(8, "w")];
    assert_eq!(began_late(&wait), None);
}

#[test]
fn the_head_of_a_queue_knows_its_table_and_its_row() {
    let wait = Wait2 {
        text: "select 1",
        waiter: &[(1, "w"), (2, "w")],
        holder: &[],
    };
    let mut snapshot = wait.snapshot();
    let mut place = on_table(2, 2, LockMode::Exclusive);
    place.target.locktype = "tuple".into();
    place.target.page = Some(-1);
    place.target.tuple = Some(7);
    snapshot.locks.push(place);
    let table = table_of(&snapshot, wait.text).unwrap();
    assert_eq!(&*table.name, "public.child");
    assert_eq!((table.rung, table.basis), (Rung::Queue, Basis::Measured));
    assert_eq!(table.row.unwrap().to_string(), "(4294967295,7)");
}

#[test]
fn a_relation_without_a_name_keeps_its_oid() {
    let wait = Wait2 {
        text: "update nowhere set n = 1",
        waiter: &[(99, "w")],
        holder: &[(99, "w")],
    };
    check(&wait, Some("oid 99"));
}

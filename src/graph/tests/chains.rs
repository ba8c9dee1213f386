//! Chains: root by root, and what they are called.

use super::*;
use crate::graph::chain::Chain;
use crate::graph::view::Vocabulary;
use crate::names::{Names, Statements};
use crate::sample::StatementText;
use crate::statement;
use crate::system::Naming;

/// Lists the chains of a snapshot in which each session's application is named.
fn chains(
    mut snapshot: Snapshot,
    applications: &[(i32, &str)],
    texts: &[(i32, &str)],
) -> Vec<Chain> {
    let mut statements = Statements::default();
    for session in &mut snapshot.sessions {
        let of = |named: &[(i32, &str)]| -> Option<String> {
            let pair = named.iter().find(|(pid, _)| Pid(*pid) == session.pid);
            pair.map(|(_, word)| (*word).to_owned())
        };
        session.application_name = of(applications).unwrap_or("victim".to_owned()).into();
        if let Some(text) = of(texts) {
            let read = statement::read(text.as_bytes());
            session.statement = Some(read.id);
            statements.learn(&StatementText {
                id: read.id,
                database: None,
                query_id: None,
                text: read.text,
                parsed: read.parsed,
            });
        }
    }
    let words = Vocabulary {
        naming: &Naming::default(),
        names: &Names::default(),
        statements: &statements,
    };
    WaitGraph::of(&snapshot).chains(words)
}

#[test]
fn the_same_situation_has_the_same_name_tomorrow() {
    let today = chains(row_queue(4), &[(1, "sync-12")], &[]);
    let mut tomorrow = row_queue(9);
    for lock in &mut tomorrow.locks {
        lock.pid = lock.pid.map(|pid| Pid(pid.0 + 500));
        if lock.target == xid(100) {
            lock.target = xid(2_000_000);
        }
    }
    for session in &mut tomorrow.sessions {
        session.pid = Pid(session.pid.0 + 500);
        session.state = State::IdleInTransaction;
    }
    let tomorrow = chains(tomorrow, &[(501, "sync-12")], &[]);
    assert_eq!(today.len(), 1);
    assert_eq!(today[0].signature.text, "sync-12 holds rows of oid 7");
    assert_eq!(today[0].signature, tomorrow[0].signature);
    assert_eq!((today[0].behind, tomorrow[0].behind), (4, 9));
}

#[test]
fn an_unknown_table_is_never_mixed_with_a_known_one() {
    let mut snapshot = row_queue(2);
    snapshot.locks.push(entry(5, xid(100), Share, Some(30)));
    snapshot.sessions.push(session(5));
    let said: Vec<(String, usize)> = chains(snapshot, &[(1, "sync-12")], &[])
        .into_iter()
        .map(|chain| (chain.object, chain.behind))
        .collect();
    assert_eq!(
        said,
        [("rows of oid 7".to_owned(), 2), ("rows".to_owned(), 1)]
    );
}

#[test]
fn a_gate_is_named_with_what_it_asks() {
    let locks = vec![
        holds(1, table(7), AccessShare),
        entry(2, table(7), AccessExclusive, Some(10)),
        entry(3, table(7), AccessShare, Some(20)),
        entry(4, table(7), AccessShare, Some(40)),
    ];
    let chains = chains(
        snapshot(locks),
        &[(1, "reporting"), (2, "migrator")],
        &[(2, "alter table agency add column region text")],
    );
    let [chain] = &chains[..] else {
        panic!("{chains:#?}")
    };
    assert_eq!(
        chain.signature.text,
        "reporting holds table oid 7, alter table agency of migrator queues"
    );
    assert_eq!(chain.gate.as_ref().and_then(|gate| gate.pid), Some(2));
    assert_eq!((chain.depth, chain.behind), (2, 3));
    assert_eq!(
        chain.systems,
        [("migrator".to_owned(), 1), ("victim".to_owned(), 2)].into()
    );
    // 9.99 and 9.98 and 9.96 seconds, all of it before the one root.
    assert!(
        (chain.waited_ms - 29_930.0).abs() < 1e-6,
        "{}",
        chain.waited_ms
    );
    assert_eq!(chain.longest_ms, Some(9_990.0));
}

#[test]
fn who_passes_waiting_on_from_one_thing_to_another_amplifies() {
    let locks = vec![
        holds(1, xid(1), Exclusive),
        holds(2, xid(2), Exclusive),
        entry(2, xid(1), Share, Some(10)),
        holds(2, target("tuple", Some(7), None), Exclusive),
        entry(3, xid(2), Share, Some(20)),
        holds(3, target("tuple", Some(8), None), Exclusive),
    ];
    let chains = chains(snapshot(locks), &[(1, "sync-12")], &[]);
    let [chain] = &chains[..] else {
        panic!("{chains:#?}")
    };
    assert_eq!(chain.object, "rows of oid 7");
    assert_eq!(chain.amplifiers.len(), 1);
    assert_eq!(chain.amplifiers[0].pid, Some(2));
    assert_eq!(
        (chain.depth, chain.behind, chain.gate.is_none()),
        (2, 2, true)
    );
}

#[test]
fn a_deadlock_is_one_chain_without_a_root() {
    let locks = vec![
        holds(1, xid(1), Exclusive),
        holds(2, xid(2), Exclusive),
        entry(1, xid(2), Share, Some(10)),
        entry(2, xid(1), Share, Some(20)),
        entry(3, xid(1), Share, Some(30)),
    ];
    let chains = chains(snapshot(locks), &[(1, "b"), (2, "a")], &[]);
    let [chain] = &chains[..] else {
        panic!("{chains:#?}")
    };
    assert_eq!(chain.signature.text, "deadlock among a, b over rows");
    assert_eq!(
        (chain.root.is_none(), chain.cycle.len(), chain.behind),
        (true, 2, 3)
    );
}

#[test]
fn keys_and_transactions_are_called_by_what_stays() {
    let advisory = LockTarget {
        classid: Some(Oid(0)),
        objid: Some(Oid(42)),
        objsubid: Some(1),
        ..target("advisory", None, None)
    };
    let virtualxid = LockTarget {
        virtualxid: Some("3/77".into()),
        ..target("virtualxid", None, None)
    };
    for (on, said) in [
        (advisory, "worker holds advisory lock 42"),
        (virtualxid, "worker holds its transaction open"),
        (
            target("extend", Some(7), None),
            "worker holds the end of oid 7",
        ),
    ] {
        let locks = vec![
            holds(1, on.clone(), Exclusive),
            entry(2, on, Exclusive, Some(10)),
        ];
        let chains = chains(snapshot(locks), &[(1, "worker")], &[]);
        assert_eq!(chains[0].signature.text, said);
    }
}

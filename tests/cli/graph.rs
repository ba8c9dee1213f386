//! `pgjam now` and the verdict's JSON, on waits that are known.

use serde_json::{Value, json};

use crate::stage::{DIAGNOSIS, GRAPH, Session, pgjam, run, server, until_waiting};

/// The edges as (waiter, blocker, gid, kind, lock type, table, its basis), in order of waiters.
fn edges(graph: &Value) -> Vec<Value> {
    let told = |edge: &Value| {
        json!([
            edge["waiter"],
            edge["blocker"],
            edge["blocker_gid"],
            edge["kind"],
            edge["lock"]["type"],
            edge["lock"]["table"],
            edge["lock"]["table_basis"],
        ])
    };
    graph["edges"]
        .as_array()
        .unwrap()
        .iter()
        .map(told)
        .collect()
}

#[test]
fn a_row_lock_queue_is_told_with_its_root_its_edges_and_its_table() {
    let server = server(&[]);
    run(
        &server,
        "postgres",
        "create table counter (id int primary key, n int); insert into counter values (1, 0)",
    );
    let update = "update counter set n = n + 1 where id = 1";
    let mut holder = Session::open(&server, "postgres", "billing");
    holder.say("begin");
    holder.say(update);
    let mut queue = Vec::new();
    for (n, system) in ["intake", "sync", "reporting"].into_iter().enumerate() {
        let mut waiter = Session::open(&server, "postgres", system);
        waiter.send(update);
        until_waiting(&server, n + 1);
        queue.push(waiter);
    }
    let dsn = server.dsn("postgres", "postgres");
    let graph = pgjam(&["now", "--format", "json", "--dsn", &dsn])
        .well()
        .json(GRAPH);
    let [first, second, third] = [0, 1, 2].map(|n: usize| queue[n].pid);
    assert_eq!(graph["roots"], json!([{ "pid": holder.pid, "gid": null }]));
    assert_eq!(graph["cycles"], json!([]));
    let told = edges(&graph);
    let table = "public.counter";
    for expected in [
        json!([
            first,
            holder.pid,
            null,
            "hard",
            "transactionid",
            table,
            "measured"
        ]),
        json!([second, first, null, "hard", "tuple", table, "measured"]),
        json!([third, first, null, "hard", "tuple", table, "measured"]),
        json!([third, second, null, "soft", "tuple", table, "measured"]),
    ] {
        assert!(told.contains(&expected), "{expected} is not in {told:#?}");
    }
    assert_eq!(told.len(), 4, "{told:#?}");
    let root = graph["nodes"]
        .as_array()
        .unwrap()
        .iter()
        .find(|node| node["pid"] == holder.pid)
        .unwrap();
    assert_eq!(
        json!([root["system"], root["state"], root["behind"]]),
        json!(["billing", "idle in transaction", 3])
    );
    let page = pgjam(&["now", "--dsn", &dsn]).well().out;
    for words in [
        "3 sessions of 3 systems are blocked",
        "billing",
        "public.counter",
        "pg_terminate_backend",
    ] {
        assert!(page.contains(words), "{words:?} is not in {page}");
    }

    let folder = tempfile::tempdir().unwrap();
    let record = folder.path().join("recording");
    let verdict = pgjam(&[
        "diagnose",
        "--duration",
        "3s",
        "--format",
        "json",
        "--dsn",
        &dsn,
        "--record",
        record.to_str().unwrap(),
    ])
    .well()
    .json(DIAGNOSIS);
    assert_eq!(verdict["now"]["blocked_sessions"], 3, "{verdict:#}");
    assert_eq!(verdict["now"]["blocked_systems"], 3, "{verdict:#}");
    let cause = &verdict["findings"][0]["cause"];
    assert_eq!(
        json!([cause["class"], cause["table"], cause["blocker"]["system"]]),
        json!(["row-lock", "public.counter", "billing"]),
        "{verdict:#}"
    );
}

#[test]
fn a_quiet_server_is_calm() {
    let server = server(&[]);
    let dsn = server.dsn("postgres", "postgres");
    let page = pgjam(&["now", "--dsn", &dsn]).well().out;
    assert!(page.starts_with("Nobody waits for a lock at "), "{page}");
    assert_eq!(page.lines().count(), 1, "{page}");
    let graph = pgjam(&["now", "--format", "json", "--dsn", &dsn])
        .well()
        .json(GRAPH);
    assert_eq!(
        json!([graph["edges"], graph["roots"], graph["cycles"]]),
        json!([[], [], []])
    );
}

#[test]
fn a_prepared_transaction_at_the_root_has_its_gid() {
    let server = server(&[("max_prepared_transactions", "2")]);
    run(
        &server,
        "postgres",
        "create table counter (id int primary key, n int); insert into counter values (1, 0)",
    );
    run(
        &server,
        "postgres",
        "begin; update counter set n = 1; prepare transaction 'transfer 42'",
    );
    let mut waiter = Session::open(&server, "postgres", "intake");
    waiter.send("update counter set n = 2");
    until_waiting(&server, 1);
    let dsn = server.dsn("postgres", "postgres");
    let graph = pgjam(&["now", "--format", "json", "--dsn", &dsn])
        .well()
        .json(GRAPH);
    assert_eq!(
        graph["roots"],
        json!([{ "pid": null, "gid": "transfer 42" }])
    );
    assert_eq!(
        edges(&graph),
        [json!([
            waiter.pid,
            null,
            "transfer 42",
            "hard",
            "transactionid",
            "public.counter",
            "measured"
        ])]
    );
    let page = pgjam(&["now", "--dsn", &dsn]).well().out;
    assert!(
        page.contains("rollback prepared 'transfer 42'")
            || page.contains("ROLLBACK PREPARED 'transfer 42'"),
        "{page}"
    );
}

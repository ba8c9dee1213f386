//! What `pgjam now` says of each kind of root, by a real server.

use pgjam::lab::server::ThrowAway;
use serde_json::{Value, json};

use crate::rights;
use crate::stage::{GRAPH, Session, pgjam, run, server, until, until_waiting};

const COUNTER: &str =
    "create table counter (id int primary key, n int); insert into counter values (1, 0), (2, 0)";

/// Expects all of these in the page, its line breaks aside.
#[track_caller]
fn says(server: &ThrowAway, expected: &[&str]) {
    let page = pgjam(&["now", "--dsn", &server.dsn("postgres", "postgres")])
        .well()
        .out;
    for line in page.lines() {
        assert!(line.chars().count() <= 80, "{line}");
    }
    let words: Vec<&str> = page.split_whitespace().collect();
    let said = words.join(" ");
    let mut at = 0;
    for expected in expected {
        let found = said[at..].find(expected);
        let found = found.unwrap_or_else(|| panic!("{expected:?} is not or too early in {page}"));
        at += found;
    }
}

/// Gives the node of a session from the graph's JSON.
fn node(server: &ThrowAway, pid: i64) -> Value {
    let dsn = server.dsn("postgres", "postgres");
    let graph = pgjam(&["now", "--format", "json", "--dsn", &dsn])
        .well()
        .json(GRAPH);
    let mut nodes = graph["nodes"].as_array().unwrap().iter();
    nodes.find(|node| node["pid"] == pid).unwrap().clone()
}

#[test]
fn an_application_that_is_away_is_asked_first() {
    let server = server(&[]);
    run(&server, "postgres", COUNTER);
    let mut holder = Session::open(&server, "postgres", "billing");
    holder.say("begin");
    holder.say("update counter set n = n + 1 where id = 1");
    let mut queue = Vec::new();
    for (n, system) in ["intake", "sync", "intake"].into_iter().enumerate() {
        let mut waiter = Session::open(&server, "postgres", system);
        waiter.send("update counter set n = n + 1 where id = 1");
        until_waiting(&server, n + 1);
        queue.push(waiter);
    }
    let pid = holder.pid;
    says(
        &server,
        &[
            "3 sessions of 2 systems are blocked",
            &format!("● {pid} billing idle in transaction 3 sessions behind it, 2 deep"),
            "the application is away for",
            "last ran update counter",
            "holds rows of public.counter, hits intake 2, sync 1",
            "2 behind UPDATE counter",
            &format!("1. Ask the owner of billing ({pid}) to commit or roll back."),
            "Frees 1 session at once; 2 more move up. Costs nobody anything.",
            "it runs nothing that could be cancelled",
            "pg_terminate_backend",
            &format!("pid = {pid} AND backend_start = '"),
            "This role may.",
        ],
    );
    let root = node(&server, pid);
    assert_eq!(
        json!([
            root["frees"],
            root["role_is_superuser"],
            root["has_privileges"]
        ]),
        json!([1, true, true])
    );
    assert!(root["state_age_ms"].as_f64() <= root["xact_age_ms"].as_f64());
}

#[test]
fn a_session_at_work_is_cancelled_before_it_is_ended() {
    let server = server(&[]);
    run(&server, "postgres", COUNTER);
    let mut holder = Session::open(&server, "postgres", "billing");
    holder.say("begin");
    holder.say("update counter set n = n + 1 where id = 1");
    holder.send("select pg_sleep(600)");
    let mut waiter = Session::open(&server, "postgres", "intake");
    waiter.send("update counter set n = n + 1 where id = 1");
    until_waiting(&server, 1);
    says(
        &server,
        &[
            "billing active 1 session behind it",
            "sleeps in pg_sleep (Timeout: PgSleep)",
            &format!("1. Cancel the statement of billing ({}).", holder.pid),
            "Frees the 1 session behind it at once. Costs billing its",
            "and its transaction, open for",
            "pg_cancel_backend",
            "2. If it is still in the way then, end the session",
            "pg_terminate_backend",
        ],
    );
}

#[test]
fn an_idle_session_is_asked_to_give_its_advisory_lock_back() {
    let server = server(&[]);
    let mut holder = Session::open(&server, "postgres", "jobs");
    holder.say("select pg_advisory_lock(42)");
    let mut waiter = Session::open(&server, "postgres", "intake");
    waiter.send("select pg_advisory_lock(42)");
    until_waiting(&server, 1);
    says(
        &server,
        &[
            "jobs idle 1 session behind it",
            "keeps a lock that outlives its transactions",
            "holds advisory lock 42",
            "to give advisory lock 42 back",
            "Costs jobs its connection only, for no transaction is open",
            "pg_terminate_backend",
        ],
    );
}

#[test]
fn the_gate_is_cancelled_before_the_long_reader_that_it_waits_for() {
    let server = server(&[]);
    run(&server, "postgres", COUNTER);
    let mut holder = Session::open(&server, "postgres", "reporting");
    holder.send("select count(*), pg_sleep(600) from counter");
    until(
        &server,
        "select exists (select from pg_stat_activity where wait_event = 'PgSleep')",
    );
    let mut gate = Session::open(&server, "postgres", "migrator");
    gate.send("alter table counter add column region text");
    until_waiting(&server, 1);
    let mut queue = Vec::new();
    for n in 0..7 {
        let mut waiter = Session::open(&server, "postgres", "decision");
        waiter.send("select n from counter where id = 1");
        until_waiting(&server, n + 2);
        queue.push(waiter);
    }
    says(
        &server,
        &[
            "reporting active 8 sessions behind it, 2 deep",
            "holds table public.counter, hits decision 7, migrator 1",
            "gate, 7 behind alter table counter",
            "└─ 7 × decision up to",
            &format!(
                "1. Cancel the gate, migrator ({}): it only waits.",
                gate.pid
            ),
            "Frees all 7 sessions behind it at once. Costs migrator its alter table counter",
            "run it again with a lock_timeout",
            &format!(
                "pg_cancel_backend(pid) FROM pg_stat_activity WHERE pid = {} AND",
                gate.pid
            ),
            &format!("2. Cancel the statement of reporting ({}).", holder.pid),
            "Frees the gate, migrator",
            "at once; 7 more move up.",
        ],
    );
}

#[test]
fn a_prepared_transaction_is_asked_about_before_it_is_given_up() {
    let server = server(&[("max_prepared_transactions", "2")]);
    run(&server, "postgres", COUNTER);
    run(
        &server,
        "postgres",
        "begin; update counter set n = 1; prepare transaction 'transfer 42'",
    );
    let mut waiter = Session::open(&server, "postgres", "intake");
    waiter.send("update counter set n = 2");
    until_waiting(&server, 1);
    says(
        &server,
        &[
            "● 'transfer 42' postgres prepared 1 session behind it",
            "ends only by COMMIT or ROLLBACK PREPARED",
            "1. Ask the transaction manager of postgres whether to commit or roll back 'transfer 42'.",
            "2. Give 'transfer 42' up, connected to the database postgres.",
            "for good",
            "ROLLBACK PREPARED 'transfer 42'; This role may.",
        ],
    );
}

#[test]
fn a_writer_that_keeps_a_reader_from_its_safe_snapshot_is_told() {
    let server = server(&[]);
    run(&server, "postgres", COUNTER);
    let mut holder = Session::open(&server, "postgres", "billing");
    holder.say("begin isolation level serializable");
    holder.say("update counter set n = n + 1 where id = 1");
    let mut waiter = Session::open(&server, "postgres", "reporting");
    waiter.say("begin isolation level serializable read only deferrable");
    waiter.send("select sum(n) from counter");
    until(
        &server,
        "select exists (select from pg_stat_activity where wait_event = 'SafeSnapshot')",
    );
    says(
        &server,
        &[
            "1 session of 1 system is blocked",
            "billing idle in transaction 1 session behind it",
            "holds back a safe snapshot, hits reporting 1",
            "SELECT from counter safe snapshot",
            "1. Start the waiting reader again without DEFERRABLE.",
            "2. Ask the owner of billing",
        ],
    );
}

#[test]
fn a_prepared_transaction_that_the_server_does_not_name_is_looked_for_not_signalled() {
    let server = server(&[("max_prepared_transactions", "2")]);
    run(&server, "postgres", COUNTER);
    run(
        &server,
        "postgres",
        "begin isolation level serializable; update counter set n = 1; \
         prepare transaction 'transfer 42'",
    );
    let mut waiter = Session::open(&server, "postgres", "reporting");
    waiter.say("begin isolation level serializable read only deferrable");
    waiter.send("select sum(n) from counter");
    until(
        &server,
        "select exists (select from pg_stat_activity where wait_event = 'SafeSnapshot')",
    );
    says(
        &server,
        &[
            "● (a prepared transaction)",
            "prepared as SERIALIZABLE; which one it is the server does not tell",
            "1. Start the waiting reader again without DEFERRABLE.",
            "2. Find the SERIALIZABLE transaction that was prepared",
            "FROM pg_prepared_xacts",
            "Unknown",
        ],
    );
}

/// Makes autovacuum work on a table against wraparound, slowly; gives the worker's pid.
fn vacuum_against_wraparound(server: &ThrowAway) -> i64 {
    run(
        server,
        "postgres",
        "create table ledger (id int, filler text) with (autovacuum_freeze_max_age = 100000, \
         autovacuum_vacuum_cost_delay = 100, autovacuum_vacuum_cost_limit = 1); \
         insert into ledger select n, repeat('x', 500) from generate_series(1, 20000) n; \
         do $$ begin for n in 1..110000 loop begin perform pg_current_xact_id(); \
         insert into ledger values (n); exception when others then null; end; end loop; end $$",
    );
    let worker = "from pg_stat_activity where backend_type = 'autovacuum worker' \
                  and query like '%ledger (to prevent wraparound)'";
    until(server, &format!("select exists (select {worker})"));
    let mut client = server.connect("postgres").unwrap();
    let row = client.query_one(&format!("select pid {worker}"), &[]);
    i64::from(row.unwrap().get::<_, i32>(0))
}

#[test]
fn a_vacuum_against_wraparound_is_left_alone_and_what_waits_for_it_withdrawn() {
    let server = server(&[("autovacuum_naptime", "1s")]);
    let worker = vacuum_against_wraparound(&server);
    let mut gate = Session::open(&server, "postgres", "migrator");
    gate.send("alter table ledger add column region text");
    until_waiting(&server, 1);
    let mut waiter = Session::open(&server, "postgres", "decision");
    waiter.send("select * from ledger");
    until_waiting(&server, 2);
    says(
        &server,
        &[
            &format!("● {worker} autovacuum worker against wraparound 2 sessions behind it"),
            "keeps transaction ids from running out; gives way to nobody",
            "1 behind alter table ledger",
            &format!("1. Let autovacuum worker ({worker}) finish, and withdraw what waits for it."),
            &format!("pg_stat_progress_vacuum WHERE pid = {worker};"),
            &format!("2. Cancel the gate, migrator ({})", gate.pid),
            "3. Only if nothing else will do, cancel autovacuum worker",
            "It comes back within autovacuum_naptime",
        ],
    );
    assert_eq!(node(&server, worker)["autovacuum"], "against-wraparound");
    // Whether a role may signal it is told as the server rules it.
    run(
        &server,
        "postgres",
        "create role signaller login in role pg_monitor, pg_signal_backend",
    );
    let statement = format!("pid = {worker} AND");
    let cancel = format!("select pg_cancel_backend({worker})");
    let refused = rights::told(&server, "signaller", &statement);
    assert!(!refused.may && !rights::ruled(&server, "signaller", &cancel));
    // From 18 on there is a role for it.
    let grant = refused.clause.strip_prefix("This role may not: GRANT ");
    let last = if let Some(grant) = grant {
        assert_eq!(grant, r#"pg_signal_autovacuum_worker TO "signaller";"#);
        run(&server, "postgres", &format!("GRANT {grant}"));
        "signaller"
    } else {
        assert_eq!(refused.clause, "This role may not: only a superuser may.");
        "postgres"
    };
    assert!(rights::told(&server, last, &statement).may);
    assert!(rights::ruled(&server, last, &cancel));
}

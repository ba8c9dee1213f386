//! The live source against real locks on a real server.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::Write as _;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use pgjam::connect::{Environment, Target};
use pgjam::lab::server::{Options as ServerOptions, ThrowAway};
use pgjam::pg::{LockMode, Pid};
use pgjam::query;
use pgjam::sample::live::{Options, Source};
use pgjam::sample::{Lock, Loss, NameKind, SampleError, Session, Snapshot, State};
use pgjam::time::{Span, Timestamp};
use postgres::{Client, Config, NoTls};

/// How long a state may take to come about.
const SOON: Duration = Duration::from_secs(20);

/// A server of one test, with a table `hot` in a database.
struct Lab {
    server: ThrowAway,
}

impl Lab {
    fn start() -> Self {
        let options = ServerOptions {
            fsync: false,
            settings: [
                ("max_prepared_transactions", "5"),
                ("compute_query_id", "on"),
            ]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .to_vec(),
            ..ServerOptions::default()
        };
        let lab = Self {
            server: ThrowAway::start(&options).unwrap(),
        };
        lab.client("setup")
            .batch_execute("create table hot (id int primary key, n int); insert into hot values (1, 0), (2, 0)")
            .unwrap();
        lab
    }

    fn client(&self, name: &str) -> Client {
        self.client_in("postgres", name)
    }

    fn client_in(&self, database: &str, name: &str) -> Client {
        let mut config: Config = self.server.dsn(database, "postgres").parse().unwrap();
        config.application_name(name).connect(NoTls).unwrap()
    }

    /// Runs `sql` in a thread of its own, where it waits.
    fn behind(&self, name: &str, sql: &str) -> Waiter {
        let mut client = self.client(name);
        let pid = pid(&mut client);
        let token = client.cancel_token();
        let sql = sql.to_owned();
        let thread = std::thread::spawn(move || {
            let _ = client.batch_execute(&sql);
        });
        let waiter = Waiter {
            pid,
            token,
            thread: Some(thread),
        };
        self.until(&format!(
            "select exists (select from pg_stat_activity where pid = {pid} and wait_event_type = 'Lock')"
        ));
        waiter
    }

    fn until(&self, condition: &str) {
        let mut client = self.client("poll");
        let begun = Instant::now();
        while !client.query_one(condition, &[]).unwrap().get::<_, bool>(0) {
            assert!(begun.elapsed() < SOON, "never came about: {condition}");
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Watches `database` with `options` and hands the source to `look`.
    fn watch_in<T>(
        &self,
        database: &str,
        options: Options,
        look: impl AsyncFnOnce(&mut Source<'_>) -> T,
    ) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let mut config: tokio_postgres::Config =
                self.server.dsn(database, "postgres").parse().unwrap();
            config.application_name("pgjam");
            let (client, connection) = config.connect(tokio_postgres::NoTls).await.unwrap();
            let connection = tokio::spawn(connection);
            client
                .batch_execute("set client_encoding = 'SQL_ASCII'")
                .await
                .unwrap();
            let mut source = Source::new(&client, options).await.unwrap();
            let result = look(&mut source).await;
            connection.abort();
            result
        })
    }

    fn watch<T>(&self, look: impl AsyncFnOnce(&mut Source<'_>) -> T) -> T {
        self.watch_in("postgres", quick(), look)
    }

    fn look(&self) -> Snapshot {
        self.watch(async |source| source.tick().await.unwrap())
    }
}

/// A session that waits until it is cancelled.
struct Waiter {
    pid: i32,
    token: postgres::CancelToken,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Drop for Waiter {
    fn drop(&mut self) {
        let _ = self.token.cancel_query(NoTls);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn quick() -> Options {
    Options {
        hz: 100.0,
        ..Options::default()
    }
}

fn pid(client: &mut Client) -> i32 {
    client
        .query_one("select pg_backend_pid()", &[])
        .unwrap()
        .get(0)
}

fn session(snapshot: &Snapshot, pid: i32) -> &Session {
    find(snapshot, pid).unwrap_or_else(|| panic!("no row of {pid}: {snapshot:#?}"))
}

fn find(snapshot: &Snapshot, pid: i32) -> Option<&Session> {
    snapshot
        .sessions
        .iter()
        .find(|session| session.pid == Pid(pid))
}

fn locks_of<'s>(snapshot: &'s Snapshot, pid: i32, kind: &str, granted: bool) -> Vec<&'s Lock> {
    let matches = |lock: &&Lock| {
        lock.pid == Some(Pid(pid)) && &*lock.target.locktype == kind && lock.granted == granted
    };
    snapshot.locks.iter().filter(matches).collect()
}

#[test]
fn every_query_runs() {
    let lab = Lab::start();
    let mut client = lab.client("catalogue");
    for query in query::ALL {
        let text = query.in_schema("public");
        let prepared = client
            .prepare(&text)
            .unwrap_or_else(|error| panic!("{}: {error}", query.name));
        assert!(!prepared.columns().is_empty(), "{}", query.name);
    }
    lab.watch(async |source| {
        let snapshot = source.tick().await.unwrap();
        source.counters().await.unwrap().unwrap();
        source.names(&snapshot).await;
        let refused = |loss: &Loss| loss.kind.starts_with("refused");
        assert!(!source.losses().iter().any(refused));
    });
}

#[test]
fn a_row_lock_wait_shows_who_waits_for_whom_and_on_which_table() {
    let lab = Lab::start();
    let mut holder = lab.client("holder");
    let held_by = pid(&mut holder);
    holder
        .batch_execute("begin; update hot set n = n + 1 where id = 1")
        .unwrap();
    let first = lab.behind("first", "update hot set n = n + 1 where id = 1");
    let second = lab.behind("second", "update hot set n = n + 1 where id = 1");
    let third = lab.behind("third", "update hot set n = n + 1 where id = 1");

    let (snapshot, names) = lab.watch(async |source| {
        let snapshot = source.tick().await.unwrap();
        let names = source.names(&snapshot).await;
        (snapshot, names)
    });

    let asked = locks_of(&snapshot, first.pid, "transactionid", false);
    assert_eq!((asked.len(), asked[0].mode), (1, LockMode::Share));
    assert!(asked[0].waitstart.is_some());
    let held = locks_of(&snapshot, held_by, "transactionid", true);
    assert_eq!(
        held[0].target, asked[0].target,
        "the holder's own transaction"
    );
    let tuple = locks_of(&snapshot, first.pid, "tuple", true);
    for waiter in [&second, &third] {
        let queued = locks_of(&snapshot, waiter.pid, "tuple", false);
        assert_eq!(queued[0].target, tuple[0].target);
    }
    let row = session(&snapshot, held_by);
    assert_eq!(row.state, State::IdleInTransaction);
    assert_eq!(&*row.application_name, "holder");
    assert!(row.statement.is_some());
    assert_eq!(
        session(&snapshot, third.pid).wait_event_type.as_deref(),
        Some("Lock")
    );

    let relation = tuple[0].target.relation.unwrap();
    let meaning = |kind, oid| {
        names
            .iter()
            .find(|name| name.kind == kind && name.oid == oid)
    };
    assert_eq!(
        &*meaning(NameKind::Relation, relation).unwrap().name,
        "public.hot"
    );
    assert_eq!(
        &*meaning(NameKind::Role, row.role.unwrap()).unwrap().name,
        "postgres"
    );
    assert_eq!(
        &*meaning(NameKind::Database, row.database.unwrap())
            .unwrap()
            .name,
        "postgres"
    );
    // The index on which the first waiter holds a lock belongs to the table.
    let of_table = names.iter().filter(|name| name.table == Some(relation));
    assert!(of_table.clone().count() >= 2, "{names:#?}");
    assert!(of_table.clone().all(|name| &*name.name == "public.hot"));
}

#[test]
fn a_queue_for_a_table_shows_all_its_entries() {
    let lab = Lab::start();
    let mut reader = lab.client("reader");
    let reads = pid(&mut reader);
    reader.batch_execute("begin; select * from hot").unwrap();
    let gate = lab.behind("migrator", "alter table hot add column more int");
    let behind = lab.behind("victim", "select * from hot");

    let snapshot = lab.look();

    let asked = locks_of(&snapshot, gate.pid, "relation", false);
    assert_eq!(asked[0].mode, LockMode::AccessExclusive);
    let queued = locks_of(&snapshot, behind.pid, "relation", false);
    assert_eq!(queued[0].target, asked[0].target);
    let held = locks_of(&snapshot, reads, "relation", true);
    assert!(
        held.iter()
            .any(|lock| lock.target == asked[0].target && !lock.fastpath)
    );
    assert_eq!(session(&snapshot, reads).state, State::IdleInTransaction);
    // It is still being parsed: no query id, and a statement all the same.
    let victim = session(&snapshot, behind.pid);
    assert_eq!(victim.query_id, None);
    assert!(victim.statement.is_some());
}

#[test]
fn a_prepared_transaction_in_the_way_comes_with_its_gid() {
    let lab = Lab::start();
    lab.client("two-phase")
        .batch_execute("begin; update hot set n = 9 where id = 1; prepare transaction 'payment-17'")
        .unwrap();
    assert_eq!(lab.look().prepared, [], "nobody waits for it yet");
    let waiter = lab.behind("victim", "update hot set n = n + 1 where id = 1");

    let snapshot = lab.look();

    let asked = locks_of(&snapshot, waiter.pid, "transactionid", false);
    let held = snapshot
        .locks
        .iter()
        .find(|lock| lock.granted && lock.target == asked[0].target);
    assert_eq!(held.unwrap().pid, None);
    assert_eq!(snapshot.prepared.len(), 1);
    assert_eq!(&*snapshot.prepared[0].gid, "payment-17");
    assert_eq!(
        Some(snapshot.prepared[0].transaction),
        asked[0].target.transactionid
    );
}

#[test]
fn an_idle_session_in_the_way_is_seen_at_every_tick() {
    let lab = Lab::start();
    let mut holder = lab.client("holder");
    let held_by = pid(&mut holder);
    holder.batch_execute("select pg_advisory_lock(42)").unwrap();
    let waiter = lab.behind("victim", "select pg_advisory_lock(42)");

    let (_, snapshot) =
        lab.watch(async |source| (source.tick().await.unwrap(), source.tick().await.unwrap()));

    assert_eq!(session(&snapshot, held_by).state, State::Idle);
    let held = locks_of(&snapshot, held_by, "advisory", true);
    let asked = locks_of(&snapshot, waiter.pid, "advisory", false);
    assert_eq!(held[0].target, asked[0].target);
}

#[test]
fn a_completed_statement_is_seen_once_with_its_exact_duration() {
    let lab = Lab::start();
    let mut client = lab.client("worker");
    let worker = pid(&mut client);
    // The driver's client must not be dropped inside the runtime.
    let _client = lab.watch(async |source| {
        let first = source.tick().await.unwrap();
        assert_eq!(
            session(&first, worker).state,
            State::Idle,
            "every session is seen at first"
        );
        assert_eq!(find(&source.tick().await.unwrap(), worker), None);

        // The client blocks, so it works in a thread of its own while the runtime goes on.
        let work = move || {
            client
                .batch_execute("select pg_sleep(0.05)")
                .map(|()| client)
        };
        let client = tokio::task::spawn_blocking(work).await.unwrap().unwrap();
        let snapshot = source.tick().await.unwrap();
        let row = session(&snapshot, worker);
        let took = row.state_change.unwrap().since(row.query_start.unwrap());
        assert_eq!(row.state, State::Idle);
        assert!((50..2_000).contains(&(took.as_micros() / 1_000)), "{took}");
        assert_eq!(find(&source.tick().await.unwrap(), worker), None);

        let learned = source.learned();
        let text = learned
            .iter()
            .find(|text| Some(text.id) == row.statement)
            .unwrap();
        assert!(text.text.contains("pg_sleep"), "{text:?}");
        assert_eq!((text.query_id, text.database), (row.query_id, row.database));
        assert_eq!(source.learned(), []);
        client
    });
}

#[test]
fn a_known_statement_is_resolved_without_its_text() {
    let lab = Lab::start();
    let mut client = lab.client("worker");
    let worker = pid(&mut client);
    client
        .batch_execute("begin; select n from hot where id = 1")
        .unwrap();
    lab.watch(async |source| {
        let first = source.tick().await.unwrap();
        let again = source.tick().await.unwrap();
        let ids = [first, again].map(|snapshot| session(&snapshot, worker).statement.unwrap());
        assert_eq!(ids[0], ids[1]);
    });
}

#[test]
fn a_quiet_server_is_not_asked_for_its_locks() {
    let lab = Lab::start();
    let mut client = lab.client("explain");
    client
        .batch_execute(&format!(
            "prepare tick (timestamptz, bigint[], boolean) as {}",
            query::TICK.statement()
        ))
        .unwrap();
    let mut calls = || -> Vec<String> {
        client
            .simple_query("explain (analyze) execute tick ('-infinity', '{}', true)")
            .unwrap()
            .iter()
            .filter_map(|message| match message {
                postgres::SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
                _ => None,
            })
            .filter(|line| {
                line.contains("on pg_lock_status") || line.contains("on pg_prepared_xact")
            })
            .collect()
    };
    let quiet = calls();
    assert_eq!(quiet.len(), 2);
    assert!(
        quiet.iter().all(|line| line.contains("never executed")),
        "{quiet:#?}"
    );

    let mut holder = lab.client("holder");
    holder.batch_execute("begin; lock table hot").unwrap();
    let _waiter = lab.behind("victim", "select * from hot");
    let busy = calls();
    assert!(busy[0].contains("actual time"), "{busy:#?}");
    assert!(busy[1].contains("never executed"), "{busy:#?}");
}

#[test]
fn texts_of_other_encodings_do_not_kill_the_tick() {
    let lab = Lab::start();
    let mut setup = lab.client("setup");
    for (name, encoding) in [("raw", "SQL_ASCII"), ("latin", "LATIN1")] {
        let sql = format!(
            "create database {name} encoding '{encoding}' template template0 lc_collate 'C' lc_ctype 'C'"
        );
        setup.batch_execute(&sql).unwrap();
    }
    let mut latin = lab.client_in("latin", "latin");
    let in_latin = pid(&mut latin);
    latin
        .batch_execute("begin; select '\u{e9}t\u{e9}' as caf\u{e9}")
        .unwrap();
    let _raw = speak_raw(&lab, "raw", b"select pg_sleep(60) as \"\xff\xfe\"");
    lab.until("select exists (select from pg_stat_activity where datname = 'raw' and wait_event = 'PgSleep')");

    for database in ["postgres", "raw", "latin"] {
        let (snapshot, learned) = lab.watch_in(database, quick(), async |source| {
            (source.tick().await.unwrap(), source.learned())
        });
        let sleeper = snapshot
            .sessions
            .iter()
            .find(|session| session.wait_event.as_deref() == Some("PgSleep"))
            .unwrap();
        for row in [sleeper, session(&snapshot, in_latin)] {
            let text = learned.iter().find(|text| Some(text.id) == row.statement);
            assert!(
                text.unwrap().text.contains('\u{fffd}'),
                "in {database}: {text:?}"
            );
        }
    }
}

/// Sends `sql` as it is; the driver would insist on UTF-8.
fn speak_raw(lab: &Lab, database: &str, sql: &[u8]) -> UnixStream {
    let socket = lab
        .server
        .folder()
        .join(format!(".s.PGSQL.{}", lab.server.port()));
    let mut stream = UnixStream::connect(socket).unwrap();
    let framed = |kind: Option<u8>, body: &[u8]| {
        let length = u32::try_from(body.len() + 4).unwrap().to_be_bytes();
        [kind.as_slice(), &length, body].concat()
    };
    let mut startup = 196_608_u32.to_be_bytes().to_vec();
    startup.extend(format!("user\0postgres\0database\0{database}\0\0").bytes());
    stream.write_all(&framed(None, &startup)).unwrap();
    stream
        .write_all(&framed(Some(b'Q'), &[sql, b"\0"].concat()))
        .unwrap();
    stream
}

#[test]
fn a_megabyte_of_sql_is_seen_cut_and_counted() {
    let lab = Lab::start();
    let mut client = lab.client("verbose");
    let verbose = pid(&mut client);
    client
        .batch_execute(&format!("begin; select '{}'", "x".repeat(1 << 20)))
        .unwrap();
    lab.watch(async |source| {
        let snapshot = source.tick().await.unwrap();
        assert!(session(&snapshot, verbose).statement.is_some());
        let losses = source.losses();
        let cut = losses.iter().find(|loss| &*loss.kind == "truncated_texts");
        assert_eq!(cut.unwrap().count, 1);
        assert_eq!(cut.unwrap().at, snapshot.tick.at);
    });
}

#[test]
fn observers_are_left_out_and_a_tick_says_what_it_cost() {
    let lab = Lab::start();
    let _other = lab.client("pgjam");
    let snapshot = lab.look();
    assert!(
        snapshot
            .sessions
            .iter()
            .all(|session| &*session.application_name != "pgjam")
    );
    assert!(snapshot.tick.at > Timestamp::default());
    assert!(snapshot.tick.server > Span::ZERO);
    assert!(snapshot.tick.span > Span::ZERO);
}

#[test]
fn tags_are_read_off_every_text() {
    let lab = Lab::start();
    let mut client = lab.client("tenant");
    let tenant = pid(&mut client);
    let options = Options {
        tag_keys: vec!["tenant".to_owned()],
        ..quick()
    };
    client
        .batch_execute("begin; select 1 /*secret='a',tenant='county-7'*/")
        .unwrap();
    lab.watch_in("postgres", options, async |source| {
        for _ in 0..2 {
            let snapshot = source.tick().await.unwrap();
            assert_eq!(
                session(&snapshot, tenant).tags.as_deref(),
                Some("tenant=county-7")
            );
        }
    });
}

#[test]
fn counters_are_told_when_they_change() {
    let lab = Lab::start();
    let mut client = lab.client("worker");
    let calls = "select n from hot where id = 2";
    client.execute(calls, &[]).unwrap();
    lab.watch(async |source| {
        if !source.has_counters() {
            return;
        }
        let first = source.counters().await.unwrap().unwrap();
        assert!(!first.rows.is_empty());
        let work = move || {
            for _ in 0..3 {
                client.execute(calls, &[]).unwrap();
            }
        };
        tokio::task::spawn_blocking(work).await.unwrap();
        let second = source.counters().await.unwrap().unwrap();
        assert!(second.at > first.at);
        assert!(second.rows.len() < first.rows.len());
        let grown = second.rows.iter().any(|row| {
            let before = first
                .rows
                .iter()
                .find(|b| (b.database, b.query_id) == (row.database, row.query_id));
            before
                .is_some_and(|before| row.calls - before.calls == 3 && row.rows - before.rows == 3)
        });
        assert!(grown, "{second:#?}");
    });
}

#[test]
fn a_role_that_may_see_little_is_told_how_much_it_missed() {
    let lab = Lab::start();
    lab.client("setup")
        .batch_execute("create role stranger login")
        .unwrap();
    let mut holder = lab.client("holder");
    holder.batch_execute("begin").unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let dsn = lab.server.dsn("postgres", "stranger");
        let (client, connection) = tokio_postgres::connect(&dsn, tokio_postgres::NoTls)
            .await
            .unwrap();
        let connection = tokio::spawn(connection);
        let mut source = Source::new(&client, quick()).await.unwrap();
        source.tick().await.unwrap();
        let losses = source.losses();
        assert!(
            losses
                .iter()
                .any(|loss| &*loss.kind == "hidden_sessions" && loss.count >= 1)
        );
        connection.abort();
    });
}

#[test]
fn a_server_that_goes_away_is_said_to_be_gone() {
    let lab = Lab::start();
    lab.watch(async |source| {
        source.tick().await.unwrap();
        let mut killer = tokio::task::spawn_blocking({
            let dsn = lab.server.dsn("postgres", "postgres");
            move || Client::connect(&dsn, NoTls).unwrap()
        })
        .await
        .unwrap();
        let kill = "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'pgjam'";
        tokio::task::spawn_blocking(move || killer.batch_execute(kill)).await.unwrap().unwrap();
        let error = loop {
            if let Err(error) = source.tick().await {
                break error;
            }
        };
        assert!(matches!(error, SampleError::Gone(_)), "{error}");
    });
}

#[test]
fn relations_of_another_database_are_named_through_a_connection_of_their_own() {
    let lab = Lab::start();
    lab.client("setup")
        .batch_execute("create database other")
        .unwrap();
    let mut holder = lab.client_in("other", "holder");
    holder.batch_execute("create table far (id int)").unwrap();
    holder.batch_execute("begin; lock table far").unwrap();
    let mut waiter = lab.client_in("other", "victim");
    let token = waiter.cancel_token();
    let thread = std::thread::spawn(move || waiter.batch_execute("select * from far").is_err());
    lab.until("select exists (select from pg_stat_activity where wait_event_type = 'Lock')");
    let dsn = lab.server.dsn("postgres", "postgres");
    let options = Options {
        target: Some(Target::resolve(Some(&dsn), &Environment::default()).unwrap()),
        ..quick()
    };
    let names = lab.watch_in("postgres", options, async |source| {
        let snapshot = source.tick().await.unwrap();
        let names = source.names(&snapshot).await;
        assert_eq!(source.names(&snapshot).await, [], "each is asked for once");
        assert_eq!(source.losses(), []);
        names
    });
    assert!(
        names.iter().any(|name| &*name.name == "public.far"),
        "{names:#?}"
    );
    token.cancel_query(NoTls).unwrap();
    assert!(thread.join().unwrap());
}

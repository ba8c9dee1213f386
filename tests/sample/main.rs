//! The live source against real locks on a real server.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod around;
mod counters;
mod names;
mod stage;
mod waits;

use pgjam::pg::Version;
use pgjam::query;
use pgjam::sample::live::{Options, Source};
use pgjam::sample::{Loss, SampleError, State};
use pgjam::time::{Span, Timestamp};
use postgres::{Client, NoTls};

use crate::stage::{Lab, find, pid, quick, session, speak_raw};

#[test]
fn every_query_runs() {
    let lab = Lab::start();
    let mut client = lab.client("catalogue");
    let number = "select current_setting('server_version_num')::int";
    let number: i32 = client.query_one(number, &[]).unwrap().get(0);
    let version = Version(u32::try_from(number).unwrap());
    for query in query::of(version) {
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
fn a_text_longer_than_the_tick_asks_for_is_counted_however_much_the_server_keeps() {
    let lab = Lab::with(&[("track_activity_query_size", "1MB")]);
    let mut client = lab.client("verbose");
    client
        .batch_execute(&format!("begin; select '{}'", "x".repeat(100_000)))
        .unwrap();
    lab.watch(async |source| {
        source.tick().await.unwrap();
        let losses = source.losses();
        let cut = losses.iter().find(|loss| &*loss.kind == "truncated_texts");
        assert_eq!(cut.map(|loss| loss.count), Some(1));
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

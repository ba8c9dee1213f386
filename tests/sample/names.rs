//! What oids mean, and what asking for it may never do to the looks.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use pgjam::connect::{Environment, Target};
use pgjam::sample::live::Options;
use postgres::Client;

use crate::stage::{Lab, SOON, Waiter, quick};

/// Somebody waits in another database for a table named `far`.
fn far(lab: &Lab) -> (Waiter, Client) {
    lab.client("setup")
        .batch_execute("create database other")
        .unwrap();
    let mut holder = lab.client_in("other", "holder");
    holder.batch_execute("create table far (id int)").unwrap();
    holder.batch_execute("begin; lock table far").unwrap();
    let waiter = lab.behind_in("other", "victim", "select * from far");
    (waiter, holder)
}

/// Gets into other databases through `dsn`.
fn through(dsn: &str) -> Options {
    Options {
        target: Some(Target::resolve(Some(dsn), &Environment::default()).unwrap()),
        ..quick()
    }
}

#[test]
fn relations_of_another_database_are_named_through_a_connection_of_their_own() {
    let lab = Lab::start();
    let _wait = far(&lab);
    let dsn = lab.server.dsn("postgres", "postgres");
    lab.watch_in("postgres", through(&dsn), async |source| {
        let begun = Instant::now();
        let mut names = Vec::new();
        while !names.iter().any(|name| name == "public.far") {
            assert!(begun.elapsed() < SOON, "{names:?}");
            let snapshot = source.tick().await.unwrap();
            let told = source.names(&snapshot).await;
            names.extend(told.iter().map(|name| name.name.to_string()));
        }
        let snapshot = source.tick().await.unwrap();
        assert_eq!(source.names(&snapshot).await, [], "each is asked for once");
        let refused = source.losses();
        assert!(!refused.iter().any(|loss| &*loss.kind == "refused_names"));
    });
}

#[test]
fn the_end_of_a_watch_waits_a_little_for_names() {
    let lab = Lab::start();
    let _wait = far(&lab);
    let dsn = lab.server.dsn("postgres", "postgres");
    lab.watch_in("postgres", through(&dsn), async |source| {
        let snapshot = source.tick().await.unwrap();
        source.names(&snapshot).await;
        let names = source.last_names(SOON).await;
        assert!(
            names.iter().any(|name| &*name.name == "public.far"),
            "{names:?}"
        );
    });
}

#[test]
fn a_database_that_never_answers_delays_no_look_and_gets_one_connection() {
    let lab = Lab::start();
    let _wait = far(&lab);
    let hole = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = hole.local_addr().unwrap().port();
    let dsn = format!("host=127.0.0.1 port={port} user=postgres sslmode=disable");
    lab.watch_in("postgres", through(&dsn), async |source| {
        let mut asking = Duration::ZERO;
        for _ in 0..50 {
            let snapshot = source.tick().await.unwrap();
            let begun = Instant::now();
            source.names(&snapshot).await;
            asking += begun.elapsed();
        }
        assert!(asking < Duration::from_secs(2), "{asking:?}");
        let begun = Instant::now();
        assert_eq!(source.last_names(Duration::from_millis(100)).await, []);
        assert!(begun.elapsed() < Duration::from_secs(2));
        let losses = source.losses();
        let refused = losses.iter().find(|loss| &*loss.kind == "refused_names");
        assert_eq!(refused.map(|loss| loss.count), Some(1));
    });
    hole.set_nonblocking(true).unwrap();
    let connections = std::iter::from_fn(|| hole.accept().ok()).count();
    assert_eq!(connections, 1);
}

#[test]
fn names_behind_a_lock_are_not_asked_for_at_every_look() {
    let lab = Lab::start();
    lab.client("setup")
        .batch_execute("alter role postgres set lock_timeout = '100ms'")
        .unwrap();
    let mut holder = lab.client("holder");
    let _holder = lab.watch(async |source| {
        let lock = "begin; lock pg_catalog.pg_namespace";
        let held = tokio::task::spawn_blocking(move || holder.batch_execute(lock).map(|()| holder));
        let holder = held.await.unwrap().unwrap();
        for _ in 0..5 {
            let snapshot = source.tick().await.unwrap();
            assert_eq!(source.names(&snapshot).await, []);
        }
        let losses = source.losses();
        let refused = losses.iter().find(|loss| &*loss.kind == "refused_names");
        assert_eq!(refused.map(|loss| loss.count), Some(1));
        // The driver's client must not be dropped inside the runtime.
        holder
    });
}

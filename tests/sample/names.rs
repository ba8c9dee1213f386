//! What oids mean, and what asking for it may never do to the looks.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use pgjam::connect::{Environment, Target};
use pgjam::names::Names;
use pgjam::pg::Oid;
use pgjam::sample::NameKind;
use pgjam::sample::live::{Options, Source};
use postgres::Client;

use crate::stage::{Lab, SOON, Waiter, aside, pid, quick, session};

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

/// Looks once, and gives the names that are told with it.
async fn told(source: &mut Source<'_>) -> Vec<String> {
    let snapshot = source.tick().await.unwrap();
    let told = source.names(&snapshot).await;
    told.iter().map(|name| name.name.to_string()).collect()
}

#[test]
fn another_database_is_asked_for_names_when_the_storm_is_over_and_not_before() {
    let lab = Lab::with(&[("log_connections", "on")]);
    let (far, holder) = far(&lab);
    let mut onlooker = lab.client("onlooker");
    let mut sessions = || -> i64 {
        let ours = "select count(*) from pg_stat_activity where application_name = 'pgjam'";
        aside(|| onlooker.query_one(ours, &[]).unwrap().get(0))
    };
    // One that is gone before anybody looks is in the server's log.
    let connections = || {
        let log = std::fs::read_to_string(lab.server.log_path()).unwrap();
        log.matches("database=other application_name=pgjam").count()
    };
    let crowd: Vec<Waiter> = (0..30)
        .map(|n| lab.behind_in("other", &format!("victim-{n}"), "select * from far"))
        .collect();
    let dsn = lab.server.dsn("postgres", "postgres");
    lab.watch_in("postgres", through(&dsn), async |source| {
        let begun = Instant::now();
        let mut names = Vec::new();
        while begun.elapsed() < Duration::from_secs(2) {
            names.extend(told(source).await);
            assert_eq!((sessions(), connections()), (1, 0));
        }
        assert!(names.iter().any(|name| name == "other"), "{names:?}");
        assert!(!names.iter().any(|name| name == "public.far"), "{names:?}");
        aside(move || drop((holder, far, crowd)));
        let begun = Instant::now();
        while !names.iter().any(|name| name == "public.far") {
            assert!(begun.elapsed() < SOON, "{names:?}");
            names.extend(told(source).await);
        }
        assert_eq!(connections(), 1);
        let snapshot = source.tick().await.unwrap();
        assert_eq!(source.names(&snapshot).await, [], "each is asked for once");
        let refused = source.losses();
        assert!(!refused.iter().any(|loss| &*loss.kind == "refused_names"));
    });
}

#[test]
fn what_is_still_owed_after_a_storm_is_asked_for_when_the_watch_is_over() {
    let lab = Lab::start();
    let _wait = far(&lab);
    let dsn = lab.server.dsn("postgres", "postgres");
    lab.watch_in("postgres", through(&dsn), async |source| {
        told(source).await;
        let names = source.owed().names(SOON).await.unwrap();
        assert!(
            names.iter().any(|name| &*name.name == "public.far"),
            "{names:?}"
        );
    });
}

/// Looks until another database has refused, and then a while longer: it is counted once.
async fn refused_once(source: &mut Source<'_>) {
    let refused = |source: &mut Source<'_>| {
        let losses = source.losses();
        let refused = losses.iter().filter(|loss| &*loss.kind == "refused_names");
        refused.map(|loss| loss.count).sum::<u64>()
    };
    let begun = Instant::now();
    loop {
        assert_eq!(told(source).await, Vec::<String>::new());
        match refused(source) {
            0 => assert!(begun.elapsed() < SOON, "nobody was asked"),
            count => break assert_eq!(count, 1),
        }
    }
    for _ in 0..5 {
        told(source).await;
    }
    assert_eq!(refused(source), 0);
}

#[test]
fn a_database_that_never_answers_delays_no_look_and_gets_one_connection() {
    let lab = Lab::start();
    let wait = far(&lab);
    let hole = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = hole.local_addr().unwrap().port();
    let dsn = format!("host=127.0.0.1 port={port} user=postgres sslmode=disable");
    lab.watch_in("postgres", through(&dsn), async |source| {
        told(source).await;
        aside(move || drop(wait));
        let mut asking = Duration::ZERO;
        for _ in 0..50 {
            let snapshot = source.tick().await.unwrap();
            let begun = Instant::now();
            source.names(&snapshot).await;
            asking += begun.elapsed();
        }
        assert!(asking < Duration::from_secs(2), "{asking:?}");
        let begun = Instant::now();
        let owed = source.owed();
        assert_eq!(owed.names(Duration::from_millis(100)).await, None);
        assert!(begun.elapsed() < Duration::from_secs(2));
    });
    hole.set_nonblocking(true).unwrap();
    let connections = std::iter::from_fn(|| hole.accept().ok()).count();
    assert_eq!(connections, 1);
}

/// Those who are there take every place that a role without a privilege may have.
#[test]
fn a_server_without_room_for_another_connection_leaves_the_names_open() {
    let lab = Lab::start();
    let wait = far(&lab);
    lab.client("setup")
        .batch_execute("create role watcher login in role pg_monitor connection limit 1")
        .unwrap();
    let dsn = lab.server.dsn("postgres", "watcher");
    let options = through(&dsn);
    lab.watch_as("watcher", "postgres", options, async |source| {
        told(source).await;
        aside(move || drop(wait));
        // The looks go on, and nobody knocks again at each of them.
        refused_once(source).await;
    });
}

#[test]
fn relations_of_a_database_that_is_dropped_meanwhile_stay_without_a_name() {
    let lab = Lab::start();
    let (waiter, holder) = far(&lab);
    let dsn = lab.server.dsn("postgres", "postgres");
    lab.watch_in("postgres", through(&dsn), async |source| {
        let names = told(source).await;
        assert!(names.iter().any(|name| name == "other"), "{names:?}");
        aside(|| {
            let drop = "drop database other with (force)";
            lab.client("setup").batch_execute(drop).unwrap();
        });
        refused_once(source).await;
    });
    // Neither has a session any more.
    drop((waiter, holder));
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

#[test]
fn a_partition_is_told_with_the_tables_above_it_and_what_hangs_on_it() {
    let lab = Lab::start();
    lab.client("setup")
        .batch_execute(
            "create table area (id int primary key, code text unique, size int, note text);
             create unique index on area (lower(note));
             create unique index on area (size) where size > 0;
             create table visit (id int, area int references area on delete cascade, at int)
                 partition by range (at);
             create table visit_2026 partition of visit for values from (0) to (10)
                 partition by range (at);
             create table visit_2026_01 partition of visit_2026 for values from (0) to (5);
             create function note() returns trigger language plpgsql as 'begin return new; end';
             create trigger note before insert on visit for each row execute function note();
             insert into area values (1); insert into visit values (1, 1, 1)",
        )
        .unwrap();
    let mut holder = lab.client("holder");
    holder
        .batch_execute("begin; update visit set id = 2 where at = 1")
        .unwrap();
    let _waiter = lab.behind("waiter", "delete from area");
    let names = lab.watch(async |source| {
        let snapshot = source.tick().await.unwrap();
        source.names(&snapshot).await
    });
    let known = Names::of(&names);
    let oid = |name: &str| {
        let told = names.iter().find(|told| &*told.name == name);
        let told = told.unwrap_or_else(|| panic!("{name} is not in {names:?}"));
        (
            told.database.unwrap_or(Oid(0)),
            told.table.unwrap_or(told.oid),
        )
    };
    let part = oid("public.visit_2026_01");
    let relation = known.relation(part.0, part.1).unwrap();
    assert_eq!(relation.parent, Some(oid("public.visit_2026").1));
    assert_eq!(relation.topmost, Some(oid("public.visit").1));
    assert_eq!(&**known.topmost(part.0, part.1).unwrap(), "public.visit");
    assert!(relation.stores_rows);
    assert_eq!(relation.triggers, Some(true));
    assert_eq!(relation.key_columns.as_deref(), Some(&[][..]));

    let above = oid("public.visit");
    assert!(!known.relation(above.0, above.1).unwrap().stores_rows);

    let area = oid("public.area");
    let relation = known.relation(area.0, area.1).unwrap();
    let keys: Vec<&str> = relation
        .key_columns
        .iter()
        .flatten()
        .map(|key| &**key)
        .collect();
    assert_eq!(
        keys,
        ["code", "id"],
        "neither a part of it nor an expression"
    );
    assert_eq!((relation.parent, relation.triggers), (None, Some(false)));
    let refers = |told: &&pgjam::sample::Name| {
        told.kind == NameKind::ForeignKey && told.table == Some(part.1)
    };
    let foreign_key = names.iter().find(refers).unwrap();
    assert_eq!(foreign_key.refers_to, Some(area.1));
    assert_eq!(foreign_key.cascades, Some(true));
    assert_eq!(foreign_key.columns.as_deref(), Some(&["area".into()][..]));
}

#[test]
fn a_role_is_told_with_its_power_and_ours_over_it() {
    let lab = Lab::start();
    lab.client("setup")
        .batch_execute(
            "create role watcher login; create role app login; create role batch login;
             grant pg_monitor to watcher; grant app to watcher",
        )
        .unwrap();
    let mut sessions = Vec::new();
    for role in ["postgres", "app", "batch"] {
        let mut config: postgres::Config = lab.server.dsn("postgres", role).parse().unwrap();
        let mut client = config
            .application_name(role)
            .connect(postgres::NoTls)
            .unwrap();
        let pid = pid(&mut client);
        sessions.push((client, pid));
    }
    let (snapshot, names) = lab.watch_as("watcher", "postgres", quick(), async |source| {
        let snapshot = source.tick().await.unwrap();
        let names = source.names(&snapshot).await;
        (snapshot, names)
    });
    let names = Names::of(&names);
    let told: Vec<_> = sessions
        .iter()
        .map(|(_, pid)| session(&snapshot, *pid).role.unwrap())
        .map(|role| (names.is_superuser(role), names.has_privileges_of(role)))
        .collect();
    let superuser = (Some(true), Some(false));
    assert_eq!(
        told,
        [
            superuser,
            (Some(false), Some(true)),
            (Some(false), Some(false))
        ]
    );
    assert_eq!(names.is_superuser(Oid(1)), None);
}

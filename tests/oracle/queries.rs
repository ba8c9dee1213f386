//! What pgjam asks a server: every file of `queries/`, run by the code that it feeds, for each
//! kind of role that may watch.
//!
//! The server is the witness that it was run: its log has each statement in full.

use pgjam::connect::{Environment, Target};
use pgjam::doctor::Checkup;
use pgjam::query;
use pgjam::sample::live::{Options, Source};
use pgjam::sample::{Counters, Loss, Name, NameKind, Snapshot, Surroundings};
use postgres::{Client, NoTls};

use crate::stage::{SOON, Stage, Waiter};

/// Whose sessions wait; it has no privilege, and sees these sessions alone.
const PLAIN: &str = "plain";

/// Roles that watch, everything they ask in the log.
const ROLES: &str = "
create role almighty login superuser;
create role monitor login in role pg_monitor;
create role plain login;
alter role almighty set log_statement = 'all';
alter role monitor set log_statement = 'all';
alter role plain set log_statement = 'all';
create extension pg_stat_statements;
grant usage on schema public to public;
grant all on hot to plain;
create database elsewhere;";

/// What is waited for in the other database.
const FAR: &str = "
create table far (id int primary key);
insert into far values (1);
grant usage on schema public to public;
grant all on far to plain;";

/// Watches as each kind of role.
pub(crate) fn run(stage: &Stage) {
    let mut setup = stage.client("setup");
    for statement in ROLES.split_inclusive(';') {
        setup.batch_execute(statement).unwrap();
    }
    stage
        .client_in("elsewhere", "setup")
        .batch_execute(FAR)
        .unwrap();
    let _near = Jam::of(stage, "postgres", "hot");
    let _far = Jam::of(stage, "elsewhere", "far");
    for role in ["almighty", "monitor", PLAIN] {
        let before = log(stage).len();
        let watch = Watch::by(role, stage);
        check(role, &watch);
        let said = log(stage).split_off(before);
        assert!(!said.contains("ERROR:"), "{role}: {said}");
        for query in query::of(watch.checkup.version) {
            let asked = query.in_schema("public");
            assert!(
                said.contains(asked.trim_end()),
                "{role}: {}.sql",
                query.name
            );
        }
    }
}

/// What a role sees of two sessions in each database that wait for one another.
fn check(role: &str, watch: &Watch) {
    assert_eq!(watch.checkup.is_fatal(), role == PLAIN, "{role}");
    let facts = watch.checkup.facts.as_ref().unwrap();
    assert_eq!(facts.superuser, role == "almighty");
    assert_eq!(facts.sees_others, role != PLAIN, "{role}");
    assert!(facts.system_identifier.is_some(), "{role}");
    assert!(facts.statements.usable(), "{role}");
    let waits = watch.snapshot.locks.iter().filter(|lock| !lock.granted);
    assert_eq!(waits.count(), 2, "{role}: {:?}", watch.snapshot);
    assert!(!watch.counters.rows.is_empty(), "{role}");
    check_surroundings(role, &watch.surroundings);
    let relations: Vec<&str> = watch
        .names
        .iter()
        .filter(|name| name.kind == NameKind::Relation)
        .map(|name| &*name.name)
        .collect();
    for table in ["public.hot", "public.far"] {
        assert!(relations.contains(&table), "{role}: {relations:?}");
    }
    // Sessions of others are hidden from a plain role, and so is what they have run.
    let lost: Vec<&str> = watch.losses.iter().map(|loss| &*loss.kind).collect();
    if role == PLAIN {
        assert_eq!(lost, ["hidden_counters", "hidden_sessions"]);
    } else {
        assert!(lost.is_empty(), "{role}: {lost:?}");
    }
}

/// What is done around those sessions is told to everybody, but not whose they are.
fn check_surroundings(role: &str, around: &Surroundings) {
    assert!(!around.tables.is_empty(), "{role}");
    assert!(around.tables.iter().any(|table| table.inserted > 0));
    assert!(around.databases.len() >= 3, "{role}: {around:?}");
    assert!(around.databases.iter().any(|database| database.commits > 0));
    let counted = |name: &str| {
        let counter = around.server.iter().find(|counter| &*counter.name == name);
        counter.unwrap_or_else(|| panic!("{role}: no {name}")).value
    };
    assert!(counted("started_us") > 0 && counted("wal_bytes") > 0);
    assert_eq!((counted("in_recovery"), counted("timeline")), (0, 1));
    counted("checkpoints_timed");
    let holds = |kind: &str| around.horizons.iter().any(|horizon| &*horizon.kind == kind);
    assert!(holds("backend"), "{role}: {around:?}");
    let setting = |name: &str| around.settings.iter().find(|it| &*it.name == name);
    let max = setting("max_connections").and_then(|it| it.value.as_deref());
    assert_eq!(max, Some("150"), "{role}");
}

/// A session that waits for another one's row, both of the plain role.
struct Jam {
    _waiter: Waiter,
    _holder: Client,
}

impl Jam {
    fn of(stage: &Stage, database: &str, table: &str) -> Self {
        let connect = || Client::connect(&stage.server().dsn(database, PLAIN), NoTls).unwrap();
        let lock = format!("select from {table} where id = 1 for update");
        let mut holder = connect();
        holder.batch_execute(&format!("begin; {lock}")).unwrap();
        Self {
            _waiter: stage.waiting(connect(), &lock, "wait_event_type = 'Lock'"),
            _holder: holder,
        }
    }
}

/// What a role finds out, asking everything that there is to ask.
struct Watch {
    checkup: Checkup,
    snapshot: Snapshot,
    counters: Counters,
    surroundings: Surroundings,
    names: Vec<Name>,
    losses: Vec<Loss>,
}

impl Watch {
    fn by(role: &str, stage: &Stage) -> Self {
        let dsn = stage.server().dsn("postgres", role);
        let target = Target::resolve(Some(&dsn), &Environment::default()).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let session = target.connect().await.unwrap();
            let checkup = Checkup::run(session.client()).await.unwrap();
            let options = Options {
                target: Some(target),
                ..Options::default()
            };
            let mut source = Source::new(session.client(), options).await.unwrap();
            let snapshot = source.tick().await.unwrap();
            let mut names = source.names(&snapshot).await;
            names.extend(source.owed().names(SOON).await.unwrap());
            let counters = source.counters().await.unwrap().unwrap();
            let surroundings = source.look_around().await.unwrap();
            let losses = source.losses();
            session.close().await;
            Self {
                checkup,
                snapshot,
                counters,
                surroundings,
                names,
                losses,
            }
        })
    }
}

/// Reads the server's log, in which a tab stands before each further line of a text.
fn log(stage: &Stage) -> String {
    let log = std::fs::read_to_string(stage.server().log_path()).unwrap();
    log.replace("\n\t", "\n")
}

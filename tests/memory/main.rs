//! How much memory a watch takes, whatever the server does.
//!
//! ```sh
//! cargo test --test memory                  # about a minute
//! PGJAM_MEMORY=long cargo test --release --test memory -- --nocapture
//! ```
//! - What is measured is the program, `pgjam record`, at ten looks a second on a real server: the
//!   most memory that it ever had resident, up to its last breath, the last seal included.
//! - Memory is not time: the caps hold on a busy machine and in a debug build too. The long form has
//!   three minutes in place of seconds, and 100,000 statements in place of 10,000.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![cfg(target_os = "linux")]

#[path = "../../benches/server/crowd.rs"]
mod crowd;
mod statements;
mod watch;

use std::time::{Duration, Instant};

use pgjam::lab::rollout::{Phases, Rollout};
use pgjam::lab::server::{Options, ThrowAway};

use crowd::Crowd;
use watch::Watch;

/// How long a state may take to come about.
const SOON: Duration = Duration::from_mins(2);

/// What the county rollout may take, in MiB.
const ROLLOUT: f64 = 32.0;

/// What anything may take.
const CAP: f64 = 64.0;

fn is_long() -> bool {
    std::env::var_os("PGJAM_MEMORY").is_some_and(|form| form == "long")
}

fn server() -> ThrowAway {
    let settings = [
        // Who waits looks for no deadlock: a thousand would look through a queue of a thousand.
        ("deadlock_timeout", "1h"),
        ("shared_buffers", "16MB"),
    ];
    ThrowAway::start(&Options {
        max_connections: 1_100,
        fsync: false,
        settings: settings
            .map(|(name, value)| (name.into(), value.into()))
            .into(),
        ..Options::default()
    })
    .unwrap()
}

/// Waits until so many sessions are as `condition` says.
fn until(server: &ThrowAway, condition: &str, count: i64) {
    let mut control = server.connect("postgres").unwrap();
    let sql = format!("select count(*) from pg_stat_activity where {condition}");
    let begun = Instant::now();
    loop {
        let there: i64 = control.query_one(&sql, &[]).unwrap().get(0);
        if there >= count {
            return;
        }
        assert!(begun.elapsed() < SOON, "{there} of {count}: {condition}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn the_county_rollout_takes_no_more_than_32_mib() {
    let server = server();
    let lasts = Duration::from_secs(if is_long() { 180 } else { 12 });
    let rollout = Rollout {
        seed: 1,
        phases: Phases {
            settle: Duration::from_secs(1),
            wave_1: Duration::from_secs(1),
            wave_2: Duration::from_secs(1),
            wave_3: lasts + Duration::from_secs(10),
        },
        ..Rollout::default()
    };
    let folder = tempfile::tempdir().unwrap();
    let target = server.dsn("postgres", "postgres").parse().unwrap();
    let running = rollout
        .start(&target, &folder.path().join("truth"))
        .unwrap();
    until(&server, "application_name like 'reporting-%'", 12);

    let watch = Watch::begin(&server);
    jam(&server, lasts);
    let told = watch.end();

    drop(running);
    told.show("county rollout");
    assert!(told.active > 30.0, "{told:?}");
    assert!(told.peak <= ROLLOUT, "{told:?}");
}

/// Holds one of the rollout's counters for most of the time, so that nearly everybody waits.
fn jam(server: &ThrowAway, lasts: Duration) {
    let mut careless = server.connect("postgres").unwrap();
    let begun = Instant::now();
    while begun.elapsed() < lasts {
        let hold = "begin; \
                    update pgjam_lab.state_counter set synced = synced where counter_id = 1; \
                    select pg_sleep(1.2); commit";
        careless.batch_execute(hold).unwrap();
        std::thread::sleep(Duration::from_millis(300));
    }
}

#[test]
fn a_storm_of_a_thousand_sessions_takes_no_more_than_64_mib() {
    crowd::allow_many_sockets();
    let server = server();
    let setup = "create table hot (id int primary key, n int); insert into hot values (1, 0)";
    server
        .connect("postgres")
        .unwrap()
        .batch_execute(setup)
        .unwrap();
    let update = "update hot set n = n + 1 where id = 1";
    let mut crowd = Crowd::of(&server);
    crowd.join(&format!("begin; {update}")).unwrap();
    until(&server, "state = 'idle in transaction'", 1);
    while crowd.len() <= 1_000 {
        crowd.join(update).unwrap();
    }
    until(&server, "wait_event_type = 'Lock'", 1_000);

    let watch = Watch::begin(&server);
    std::thread::sleep(Duration::from_secs(if is_long() { 180 } else { 12 }));
    let told = watch.end();

    told.show("1,000 wait for one row");
    assert!(told.active > 990.0, "{told:?}");
    assert!(told.peak <= CAP, "{told:?}");
}

#[test]
fn statements_that_are_all_different_take_no_more_than_64_mib() {
    let server = server();
    let watch = Watch::begin(&server);
    // So many texts are dear looks, which come more rarely than ten times a second; those of a debug
    // build on a slow machine more rarely than once.
    let (wanted, seconds) = if is_long() {
        (100_000, 0.35)
    } else {
        (10_000, 1.2)
    };
    statements::run(&server, wanted, seconds);
    let told = watch.end();

    told.show(&format!("{} different statements", told.statements));
    // What came and went between two looks was not seen.
    assert!(told.statements > wanted * 2 / 3, "{told:?}");
    assert!(told.peak <= CAP, "{told:?}");
}

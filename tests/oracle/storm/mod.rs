//! Sessions that get into each other's way by chance, stopped again and again to be compared.
//!
//! A state is frozen when everybody either waits for a lock or does nothing. In it the server's
//! `pg_blocking_pids()` is asked before and after our look: what it says is the truth, and where
//! it says two things the state was not frozen and does not count.
//!
//! Some waits are withdrawn, some transactions are prepared, sessions come at the same instant,
//! and in one round of three the deadlock detector is at work: it breaks deadlocks and puts queues
//! in another order, which the server's log tells.

mod moves;
mod player;
mod tally;

use std::io::{Read as _, Seek as _, SeekFrom};
use std::time::{Duration, Instant};

use pgjam::sample::live::{Options, Source};
use pgjam::sample::pace::Cadence;
use rand::rngs::StdRng;
use rand::seq::IteratorRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use tokio::time::sleep;
use tokio_postgres::{Client, NoTls};

use self::player::{Player, State};
pub(crate) use self::tally::Tally;
use crate::comparison::Comparison;
use crate::stage::Stage;
use crate::truth::Truth;

/// How many frozen waits are compared on each version, unless `PGJAM_ORACLE_WAITS` says so.
const WAITS: usize = 600;

/// How long everybody may take to come to rest.
const PATIENCE: Duration = Duration::from_secs(4);

/// Sessions at the same time.
const PLAYERS: usize = 60;

/// So many looks at one mess before it is cleared away.
const LOOKS: usize = 8;

/// What the deadlock detector waits in the rounds in which it is at work.
const DETECTOR: Duration = Duration::from_millis(60);

/// Compares as many frozen waits as wanted.
pub(crate) fn run(stage: &Stage<'_>) -> Tally {
    let number = |name: &str, usual: usize| match std::env::var(name) {
        Ok(number) => number.parse().unwrap(),
        Err(_) => usual,
    };
    let wanted = number("PGJAM_ORACLE_WAITS", WAITS);
    let seed = number("PGJAM_ORACLE_SEED", 1) as u64;
    stage.client("setup").batch_execute(moves::WORLD).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let tally = runtime.block_on(async {
        let mut storm = Storm::new(stage, seed).await;
        while storm.tally.waits < wanted {
            storm.round().await;
        }
        assert!(
            storm.restless * 10 <= storm.rounds,
            "{} of {} rounds never came to rest",
            storm.restless,
            storm.rounds
        );
        storm.tally
    });
    println!("PostgreSQL {}: {tally}", stage.major);
    tally.holds();
    tally
}

struct Storm<'s> {
    stage: &'s Stage<'s>,
    chance: StdRng,
    players: Vec<Player>,
    observer: Client,
    rounds: usize,
    /// Rounds that were given up.
    restless: usize,
    gid: usize,
    tally: Tally,
}

impl<'s> Storm<'s> {
    async fn new(stage: &'s Stage<'s>, seed: u64) -> Self {
        let mut players = Vec::new();
        for number in 0..PLAYERS {
            players.push(Player::new(stage.server(), number).await);
        }
        let dsn = stage.server().dsn("postgres", "postgres");
        let mut config: tokio_postgres::Config = dsn.parse().unwrap();
        config.application_name("pgjam");
        let (observer, connection) = config.connect(NoTls).await.unwrap();
        tokio::spawn(connection);
        observer
            .batch_execute("set client_encoding = 'SQL_ASCII'")
            .await
            .unwrap();
        Self {
            stage,
            chance: StdRng::seed_from_u64(seed),
            players,
            observer,
            rounds: 0,
            restless: 0,
            gid: 0,
            tally: Tally::default(),
        }
    }

    /// Makes a mess, looks at it at several stages, and clears it away.
    async fn round(&mut self) {
        self.rounds += 1;
        let detects = self.rounds % 3 == 2;
        let timeout = if detects {
            format!("{}ms", DETECTOR.as_millis())
        } else {
            "1h".to_owned()
        };
        for player in &mut self.players {
            player.start_over().await;
        }
        self.set_deadlock_timeout(&timeout).await;
        self.settle_prepared().await;
        let log_begins = std::fs::metadata(self.stage.server().log_path())
            .unwrap()
            .len();
        for _ in 0..LOOKS {
            self.burst().await;
            if detects {
                sleep(2 * DETECTOR).await;
            }
            if !self.is_frozen().await {
                return;
            }
            self.look(log_begins).await;
        }
    }

    async fn set_deadlock_timeout(&mut self, timeout: &str) {
        let sql = format!("alter system set deadlock_timeout = '{timeout}'");
        self.observer.batch_execute(&sql).await.unwrap();
        let sql = "select pg_reload_conf()";
        self.observer.batch_execute(sql).await.unwrap();
        for player in &mut self.players {
            player.until_it_has(timeout).await;
        }
        let sql = format!("set deadlock_timeout = '{timeout}'");
        self.observer.batch_execute(&sql).await.unwrap();
    }

    /// Lets sessions act, some of them at the same instant.
    async fn burst(&mut self) {
        for _ in 0..self.chance.random_range(5..60) {
            let wait = [0, 0, 0, 300, 1_500][self.chance.random_range(0..5)];
            if wait > 0 {
                sleep(Duration::from_micros(wait)).await;
            }
            for player in &mut self.players {
                player.settle().await;
            }
            let leaves = self.chance.random_range(0..6) == 0;
            let can = |player: &&mut Player| (player.state() == State::Busy) == leaves;
            let chosen = self.players.iter_mut().filter(can).choose(&mut self.chance);
            let Some(player) = chosen else { continue };
            if leaves {
                player.cancel().await;
            } else {
                self.gid += 1;
                let (sql, then) = moves::next(&mut self.chance, player.state(), self.gid);
                player.ask(sql, then);
            }
        }
        if self.chance.random_range(0..4) == 0 {
            self.finish_a_prepared().await;
        }
    }

    /// Waits until whoever is in a statement waits for a lock, and tells whether that came about.
    ///
    /// Once in a while a parallel query gets no end and no worker, and there is nothing to compare.
    async fn is_frozen(&mut self) -> bool {
        let begun = Instant::now();
        let mut quiet = 0;
        while quiet < 2 && begun.elapsed() < PATIENCE {
            sleep(Duration::from_millis(4)).await;
            for player in &mut self.players {
                player.settle().await;
            }
            // A leader waits for its workers, who wait for locks.
            let row = self.observer.query_one(
                "select count(*) from pg_stat_activity a
                  where application_name like 'player %' and state = 'active'
                    and wait_event_type is distinct from 'Lock'
                    and not exists (select from pg_stat_activity w
                          where w.leader_pid = a.pid and w.wait_event_type = 'Lock')",
                &[],
            );
            let at_work: i64 = row.await.unwrap().get(0);
            quiet = if at_work == 0 { quiet + 1 } else { 0 };
        }
        self.restless += usize::from(quiet < 2);
        quiet >= 2
    }

    async fn look(&mut self, log_begins: u64) {
        let options = Options {
            cadence: Cadence::Fixed(100.0),
            budget: 1.0,
            ..Options::default()
        };
        let mut source = Source::new(&self.observer, options).await.unwrap();
        let before = Truth::ask(&self.observer).await;
        let snapshot = source.tick().await.unwrap();
        let truth = Truth::ask(&self.observer).await;
        if before != truth {
            return;
        }
        let comparison = Comparison::of(&snapshot, &truth);
        let rearranged = self
            .log_since(log_begins)
            .contains("rearranging queue order");
        self.tally.add(&snapshot, comparison, rearranged);
    }

    fn log_since(&self, place: u64) -> String {
        let mut log = std::fs::File::open(self.stage.server().log_path()).unwrap();
        log.seek(SeekFrom::Start(place)).unwrap();
        let mut text = Vec::new();
        log.read_to_end(&mut text).unwrap();
        String::from_utf8_lossy(&text).into_owned()
    }

    async fn prepared(&self) -> Vec<String> {
        let rows = self
            .observer
            .query("select gid from pg_prepared_xacts", &[]);
        let rows = rows.await.unwrap();
        rows.iter().map(|row| row.get(0)).collect()
    }

    async fn finish_a_prepared(&mut self) {
        let gids = self.prepared().await;
        if let Some(gid) = gids.iter().choose(&mut self.chance) {
            let end = ["commit", "rollback"][self.chance.random_range(0..2)];
            let sql = format!("{end} prepared '{gid}'");
            self.observer.batch_execute(&sql).await.unwrap();
        }
    }

    async fn settle_prepared(&mut self) {
        for gid in self.prepared().await {
            let sql = format!("rollback prepared '{gid}'");
            self.observer.batch_execute(&sql).await.unwrap();
        }
    }
}

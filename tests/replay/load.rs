//! A few recorded seconds, and what they are like when they come again.

use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use pgjam::lab::rollout::{Phases, Rollout};
use pgjam::lab::server::{Options, ThrowAway};
use pgjam::pg::{Pid, QueryId};
use pgjam::recording::Recording;
use pgjam::sample::{Counters, Name, Server, Session, Snapshot, StatementCounters, StatementText};
use pgjam::statement::StatementId;
use pgjam::time::{Span, Timestamp};
use rustix::process::{Pid as Process, Signal, kill_process};

/// How long is recorded.
const RECORDED: Duration = Duration::from_secs(12);

const DAY: Span = Span::from_secs(24 * 3_600);

/// At which time of the day the first round comes.
const BEGINS: Span = Span::from_secs(22 * 3_600 + 600);

/// How long a state may take to come about.
const SOON: Duration = Duration::from_mins(1);

/// What was recorded.
#[derive(Debug)]
pub(crate) struct Load {
    recording: Recording,
    lasts: Span,
}

impl Load {
    /// Records a jam, and keeps one of so many ticks, each standing for all of them.
    pub(crate) fn record(every: usize) -> Self {
        let mut recording = jam();
        let ticks: Vec<Snapshot> = recording
            .snapshots
            .chunks(every)
            .map(|ticks| {
                let mut last = ticks[ticks.len() - 1].clone();
                last.tick.span = ticks.iter().map(|snapshot| snapshot.tick.span).sum();
                last
            })
            .collect();
        let lasts = ticks.iter().map(|snapshot| snapshot.tick.span).sum();
        let active = ticks.iter().map(|snapshot| {
            let sessions = snapshot.sessions.iter();
            sessions.filter(|session| session.state.is_active()).count()
        });
        let active = active.sum::<usize>() / ticks.len();
        assert!(active > 20, "{active} sessions are active on average");
        recording.snapshots = ticks;
        Self { recording, lasts }
    }

    pub(crate) const fn server(&self) -> &Server {
        &self.recording.server
    }

    /// Gives the time of the first tick.
    pub(crate) fn begins(&self) -> Timestamp {
        self.recording.snapshots[0].tick.at
    }

    pub(crate) fn names(&self) -> &[Name] {
        &self.recording.names
    }

    /// Gives the texts of a round: the same words in other statements.
    pub(crate) fn texts(&self, round: i64) -> impl Iterator<Item = StatementText> {
        let texts = self.recording.statements.iter();
        texts.map(move |text| StatementText {
            id: statement(text.id, round),
            query_id: text.query_id.map(|id| query_id(id, round)),
            text: format!("{} -- {round}", text.text).into(),
            ..text.clone()
        })
    }

    /// Gives the ticks of a round.
    pub(crate) fn ticks(&self, round: Round) -> impl Iterator<Item = Snapshot> {
        let ticks = self.recording.snapshots.iter();
        ticks.map(move |snapshot| {
            let mut again = snapshot.clone();
            let tick = &mut again.tick;
            let later = round.at(self, tick.at).since(tick.at);
            tick.at = tick.at + later;
            tick.span = times(tick.span, round.slower);
            for session in &mut again.sessions {
                renew(session, round.number, later);
            }
            for lock in &mut again.locks {
                lock.pid = lock.pid.map(|known| pid(known, round.number));
                delay(&mut lock.waitstart, later);
            }
            again
        })
    }

    /// Gives the looks at the counters of a round, which are of its statements.
    pub(crate) fn counters(&self, round: Round) -> impl Iterator<Item = Counters> {
        let looks = self.recording.counters.iter();
        looks.map(move |look| {
            let at = round.at(self, look.at);
            let row = |row: &StatementCounters| StatementCounters {
                at,
                query_id: query_id(row.query_id, round.number),
                ..*row
            };
            let rows = look.rows.iter().map(row).collect();
            Counters { at, rows }
        })
    }
}

/// One time round.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Round {
    pub(crate) number: i64,
    /// How much later it begins than what was recorded.
    pub(crate) later: Span,
    /// So many times the time passes between its ticks that did.
    pub(crate) slower: i64,
}

impl Round {
    /// Gives the first one: at ten past ten in the evening, by the clock of the recording.
    pub(crate) fn first(load: &Load) -> Self {
        let of_day = load.begins().as_micros().rem_euclid(DAY.as_micros());
        Self {
            number: 0,
            later: Span::from_micros(DAY.as_micros() - of_day + BEGINS.as_micros()),
            slower: 1,
        }
    }

    /// Gives the round after it.
    pub(crate) fn next(self, load: &Load, slower: i64) -> Self {
        Self {
            number: self.number + 1,
            later: self.later + times(load.lasts, self.slower),
            slower,
        }
    }

    /// Tells when something comes that was recorded at some time.
    fn at(self, load: &Load, at: Timestamp) -> Timestamp {
        let begins = load.begins();
        begins + self.later + times(at.since(begins), self.slower)
    }
}

fn times(span: Span, factor: i64) -> Span {
    Span::from_micros(span.as_micros() * factor)
}

/// Makes a session one of a later round.
fn renew(session: &mut Session, round: i64, later: Span) {
    session.pid = pid(session.pid, round);
    session.backend_start = session.backend_start + later;
    let starts = [
        &mut session.xact_start,
        &mut session.query_start,
        &mut session.state_change,
    ];
    for time in starts {
        delay(time, later);
    }
    session.application_name = format!("{} {round}", session.application_name).into();
    session.query_id = session.query_id.map(|id| query_id(id, round));
    session.statement = session.statement.map(|id| statement(id, round));
    // What the daemon holds of a row it holds for itself.
    session.client_addr = session.client_addr.as_deref().map(Arc::from);
}

fn delay(time: &mut Option<Timestamp>, later: Span) {
    if let Some(time) = time {
        *time = *time + later;
    }
}

fn pid(pid: Pid, round: i64) -> Pid {
    let round = i32::try_from(round % 1_000).unwrap_or_default();
    Pid(pid.0 % 100_000 + round * 100_000)
}

fn query_id(id: QueryId, round: i64) -> QueryId {
    QueryId(id.0.wrapping_add(round))
}

fn statement(id: StatementId, round: i64) -> StatementId {
    StatementId(id.0.wrapping_add(round.cast_unsigned()))
}

/// Records the county rollout with one of its counters held for most of the time.
fn jam() -> Recording {
    let server = ThrowAway::start(&Options {
        fsync: false,
        ..Options::default()
    })
    .unwrap();
    let folder = tempfile::tempdir().unwrap();
    let second = Duration::from_secs(1);
    let rollout = Rollout {
        seed: 1,
        phases: Phases {
            settle: second,
            wave_1: second,
            wave_2: second,
            wave_3: RECORDED * 4,
        },
        ..Rollout::default()
    };
    let dsn = server.dsn("postgres", "postgres");
    let truth = folder.path().join("truth");
    let running = rollout.start(&dsn.parse().unwrap(), &truth).unwrap();
    let mut careless = server.connect("postgres").unwrap();
    let begun = Instant::now();
    let there = "select count(*) > 60 from pg_stat_activity where application_name ~ '-'";
    while !careless.query_one(there, &[]).unwrap().get::<_, bool>(0) {
        assert!(begun.elapsed() < SOON, "the systems do not come");
        std::thread::sleep(Duration::from_millis(50));
    }
    let to = folder.path().join("jam");
    let mut program = Command::new(env!("CARGO_BIN_EXE_pgjam"))
        .args(["record", "--dsn", &dsn, "--hz", "10", "--to"])
        .arg(&to)
        .env_clear()
        .env("HOME", "/nonexistent")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let begun = Instant::now();
    while begun.elapsed() < RECORDED {
        let hold = "begin; \
                    update pgjam_lab.state_counter set synced = synced where counter_id = 1; \
                    select pg_sleep(1.2); commit";
        careless.batch_execute(hold).unwrap();
        std::thread::sleep(Duration::from_millis(300));
    }
    kill_process(Process::from_child(&program), Signal::TERM).unwrap();
    let status = program.wait().unwrap();
    assert!(status.success(), "{status}");
    drop(running);
    Recording::open(&to).unwrap()
}

//! The scenario `county-rollout`: agencies onboard in waves, and the last wave jams.
//!
//! ```text
//! settle          wave 1        wave 2        wave 3
//! decision alone  + agency 01   + 02 and 03   + 04 to 12, and sync-12 calls out
//! ```
//!
//! - Every connection is one thread with one client. Arrivals are open-loop: what is
//!   due while all connections of a system are busy is served late, not left out.
//! - The decision is connected before the schedule begins.
//! - Every statement is written as truth, failed ones as failed.
//!
//! It refuses a database with a schema `pgjam_lab` that no lab made, and drops its own
//! at the end unless told to keep it.

use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, PoisonError, Weak, mpsc};
use std::thread::{self, JoinHandle, Scope};
use std::time::{Duration, Instant};

use postgres::Config;

use super::cleanup::{self, Undo};
use super::truth::{Onboarding, Phase, Row, Writer, wall_clock};
use super::worker::{Halt, Ledger, Worker};
use super::workload::{Arrivals, CALL, System, counters, systems};
use super::{LabError, schema};
use crate::time::Span;

pub use super::worker::Errors;

/// How long the decision may take to connect.
const READY_WITHIN: Duration = Duration::from_secs(30);

/// How long a signal waits for the run to clean up.
const UNDONE_WITHIN: Duration = Duration::from_secs(15);

/// Which of the two labs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Variant {
    /// All write the same counters, and `sync-12` makes a call inside its transaction.
    #[default]
    Story,
    /// Nobody calls out, and every connection has a counter of its own.
    Quiet,
}

/// How long each part of the schedule lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Phases {
    /// The decision alone.
    pub settle: Duration,
    /// With agency 01.
    pub wave_1: Duration,
    /// With agencies 02 and 03.
    pub wave_2: Duration,
    /// With all twelve.
    pub wave_3: Duration,
}

impl Default for Phases {
    fn default() -> Self {
        Self {
            settle: Duration::from_secs(16),
            wave_1: Duration::from_secs(16),
            wave_2: Duration::from_secs(20),
            wave_3: Duration::from_secs(80),
        }
    }
}

impl Phases {
    /// Stretches every part by `factor`.
    #[must_use]
    pub fn scaled(self, factor: f64) -> Self {
        Self {
            settle: self.settle.mul_f64(factor),
            wave_1: self.wave_1.mul_f64(factor),
            wave_2: self.wave_2.mul_f64(factor),
            wave_3: self.wave_3.mul_f64(factor),
        }
    }

    /// Adds the parts up.
    #[must_use]
    pub fn total(&self) -> Duration {
        self.list().iter().map(|(_, lasts)| *lasts).sum()
    }

    const fn list(&self) -> [(&'static str, Duration); 4] {
        [
            ("settle", self.settle),
            ("wave 1", self.wave_1),
            ("wave 2", self.wave_2),
            ("wave 3", self.wave_3),
        ]
    }
}

/// What to run.
#[derive(Clone, Debug)]
pub struct Rollout {
    /// Equal seeds, equal arrivals.
    pub seed: u64,
    /// Which lab.
    pub variant: Variant,
    /// For how long.
    pub phases: Phases,
    /// How long the careless system is away inside its transaction.
    pub call: Duration,
    /// Leave the schema `pgjam_lab` in place at the end.
    pub keep_schema: bool,
}

impl Default for Rollout {
    fn default() -> Self {
        Self {
            seed: 0,
            variant: Variant::default(),
            phases: Phases::default(),
            call: CALL,
            keep_schema: false,
        }
    }
}

/// Where a run stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// `starting`, `settle`, `wave 1` to `wave 3`, `finished`.
    pub phase: &'static str,
    /// Until the next phase.
    pub left: Duration,
    /// Until the end.
    pub left_in_all: Duration,
}

/// What a run came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// The schedule, empty if the decision never connected.
    pub phases: Vec<Phase>,
    /// Who arrived when.
    pub onboardings: Vec<Onboarding>,
    /// What went wrong in the clients.
    pub errors: Errors,
}

impl Rollout {
    /// Makes the schema in the database that `target` names and starts the systems.
    ///
    /// The role needs CREATE on the database and 85 connections; they are made without
    /// TLS. A schema that an earlier lab left is replaced.
    ///
    /// # Errors
    /// When the database cannot be reached or refuses, has a schema `pgjam_lab` that no
    /// lab made, or the truth cannot be written.
    pub fn start(&self, target: &Config, truth: &Path) -> Result<Running, LabError> {
        let systems = systems(self.variant, self.seed, self.call);
        let writer = Writer::create(truth)?;
        let mut config = target.clone();
        config.connect_timeout(Duration::from_secs(10));
        schema::make(&config, counters(self.variant, &systems))?;
        let shared = Arc::new(Shared {
            rollout: self.clone(),
            config,
            ledger: Ledger {
                writer: Mutex::new(writer),
                errors: Mutex::default(),
            },
            halt: Halt::default(),
            state: Mutex::default(),
            finished: Condvar::new(),
        });
        let weak: Weak<Shared> = Arc::downgrade(&shared);
        cleanup::register(weak);
        let conductor = Arc::clone(&shared);
        let conductor = thread::Builder::new()
            .name("lab".to_owned())
            .spawn(move || conductor.conduct(&systems))
            .map_err(LabError::io("start a thread"))?;
        Ok(Running {
            shared,
            conductor: Some(conductor),
        })
    }
}

/// A run that is under way; dropping it stops it.
#[derive(Debug)]
pub struct Running {
    shared: Arc<Shared>,
    conductor: Option<JoinHandle<Result<(), LabError>>>,
}

impl Running {
    /// Tells where the run stands.
    #[must_use]
    pub fn phase(&self) -> Progress {
        let state = self.shared.state();
        let phases = self.shared.rollout.phases;
        let ended = Progress {
            phase: "finished",
            left: Duration::ZERO,
            left_in_all: Duration::ZERO,
        };
        if state.finished {
            return ended;
        }
        let Some(began) = state.began else {
            return Progress {
                phase: "starting",
                left: Duration::ZERO,
                left_in_all: phases.total(),
            };
        };
        let elapsed = began.elapsed();
        let mut until = Duration::ZERO;
        for (phase, lasts) in phases.list() {
            until += lasts;
            if elapsed < until {
                let left_in_all = phases.total().saturating_sub(elapsed);
                return Progress {
                    phase,
                    left: until.saturating_sub(elapsed),
                    left_in_all,
                };
            }
        }
        ended
    }

    /// Lists the schedule by the wall clock, empty until the decision is connected.
    #[must_use]
    pub fn phases(&self) -> Vec<Phase> {
        self.shared.state().phases.clone()
    }

    /// Lists who arrived so far, and when.
    #[must_use]
    pub fn onboardings(&self) -> Vec<Onboarding> {
        self.shared.state().onboardings.clone()
    }

    /// Tells what went wrong in the clients so far.
    #[must_use]
    pub fn errors(&self) -> Errors {
        self.shared.errors()
    }

    /// Waits for the end of the schedule.
    ///
    /// # Errors
    /// When the decision never connected, the truth could not be finished or the schema
    /// not be dropped. What the clients met is in the summary.
    pub fn wait(mut self) -> Result<Summary, LabError> {
        self.join()?;
        let state = self.shared.state();
        Ok(Summary {
            phases: state.phases.clone(),
            onboardings: state.onboardings.clone(),
            errors: self.shared.errors(),
        })
    }

    /// Ends the run now.
    ///
    /// # Errors
    /// As [`Running::wait`].
    pub fn stop(self) -> Result<Summary, LabError> {
        self.shared.halt.halt();
        self.wait()
    }

    fn join(&mut self) -> Result<(), LabError> {
        match self.conductor.take().map(JoinHandle::join) {
            None => Ok(()),
            Some(Ok(outcome)) => outcome,
            // A panic is a bug; it goes on in the thread that waits for the run.
            Some(Err(panic)) => std::panic::resume_unwind(panic),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.shared.halt.halt();
        if let Some(conductor) = self.conductor.take() {
            // Nobody is left to tell; `wait` and `stop` tell.
            let _ = conductor.join();
        }
    }
}

#[derive(Debug)]
struct Shared {
    rollout: Rollout,
    config: Config,
    ledger: Ledger,
    halt: Halt,
    state: Mutex<State>,
    finished: Condvar,
}

#[derive(Debug, Default)]
struct State {
    began: Option<Instant>,
    phases: Vec<Phase>,
    onboardings: Vec<Onboarding>,
    finished: bool,
}

impl Shared {
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn errors(&self) -> Errors {
        self.ledger
            .errors
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Runs the schedule to its end and cleans up, whatever came of it.
    fn conduct(&self, systems: &[System]) -> Result<(), LabError> {
        let streams: Vec<Mutex<Arrivals>> = (1..)
            .zip(systems)
            .map(|(nth, system)| {
                // Any odd constant keeps the streams of neighbouring seeds apart.
                let seed = self.rollout.seed ^ 0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(nth);
                Mutex::new(Arrivals::new(seed, system.rate))
            })
            .collect();
        let played = thread::scope(|scope| {
            let played = self.play(scope, systems, &streams);
            self.halt.halt();
            played
        });
        let flushed = self
            .ledger
            .writer
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .flush();
        let dropped = if self.rollout.keep_schema {
            Ok(())
        } else {
            schema::remove(&self.config)
        };
        self.state().finished = true;
        self.finished.notify_all();
        played.and(flushed).and(dropped)
    }

    fn play<'scope>(
        &'scope self,
        scope: &'scope Scope<'scope, '_>,
        systems: &'scope [System],
        streams: &'scope [Mutex<Arrivals>],
    ) -> Result<(), LabError> {
        let mut first_counter = 1;
        let mut began: Option<Instant> = None;
        for (system, arrivals) in systems.iter().zip(streams) {
            let due = match began {
                None => Instant::now(),
                Some(began) => began + self.wave_begins(system.wave) + system.delay,
            };
            if self.halt.sleep_until(due) {
                return Ok(());
            }
            let ready = self.onboard(scope, system, arrivals, first_counter)?;
            first_counter += system.connections.cast_signed();
            if began.is_none() {
                self.await_all(system, &ready)?;
                if self.halt.is_halted() {
                    return Ok(());
                }
                began = Some(self.begin());
            }
        }
        if let Some(began) = began {
            self.halt.sleep_until(began + self.rollout.phases.total());
        }
        Ok(())
    }

    fn wave_begins(&self, wave: usize) -> Duration {
        self.rollout
            .phases
            .list()
            .iter()
            .take(wave)
            .map(|(_, lasts)| *lasts)
            .sum()
    }

    /// Starts a system's connections, each of which tells when it stands.
    fn onboard<'scope>(
        &'scope self,
        scope: &'scope Scope<'scope, '_>,
        system: &'scope System,
        arrivals: &'scope Mutex<Arrivals>,
        first_counter: i32,
    ) -> Result<mpsc::Receiver<()>, LabError> {
        let onboarding = Onboarding {
            system: system.name.clone(),
            at: wall_clock(),
        };
        self.state().onboardings.push(onboarding.clone());
        let texts = system.steps.iter().map(|step| Row::Statement {
            system: system.name.clone(),
            label: step.label.to_owned(),
            sql: step.sql.to_owned(),
        });
        self.ledger
            .write(std::iter::once(Row::Onboarded(onboarding)).chain(texts));
        let (ready, told) = mpsc::channel();
        for own_counter in (first_counter..).take(system.connections as usize) {
            let mut config = self.config.clone();
            config.application_name(&system.name);
            let worker = Worker {
                system,
                arrivals,
                own_counter: (self.rollout.variant == Variant::Quiet).then_some(own_counter),
                config,
                halt: &self.halt,
                ledger: &self.ledger,
            };
            let ready = ready.clone();
            thread::Builder::new()
                .name(system.name.clone())
                .spawn_scoped(scope, move || worker.run(ready))
                .map_err(LabError::io("start a thread"))?;
        }
        Ok(told)
    }

    fn await_all(&self, system: &System, ready: &mpsc::Receiver<()>) -> Result<(), LabError> {
        let deadline = Instant::now() + READY_WITHIN;
        let mut standing = 0;
        while standing < system.connections && !self.halt.is_halted() {
            match ready.recv_timeout(Duration::from_millis(50)) {
                Ok(()) => standing += 1,
                Err(_) if Instant::now() < deadline => {}
                Err(_) => {
                    let first = self.errors().first.unwrap_or_default();
                    return Err(LabError::NotReady { first });
                }
            }
        }
        Ok(())
    }

    /// Begins the schedule.
    fn begin(&self) -> Instant {
        let (began, mut from) = (Instant::now(), wall_clock());
        let mut phases = Vec::new();
        for (name, lasts) in self.rollout.phases.list() {
            let to = from + Span::from_micros(i64::try_from(lasts.as_micros()).unwrap_or(i64::MAX));
            phases.push(Phase {
                name: name.to_owned(),
                from,
                to,
            });
            from = to;
        }
        self.ledger.write(phases.iter().cloned().map(Row::Phase));
        let mut state = self.state();
        state.phases = phases;
        state.began = Some(began);
        began
    }
}

impl Undo for Shared {
    fn undo(&self) {
        self.halt.halt();
        let state = self.state();
        // Past the limit the process ends anyway; the waiting is a courtesy.
        let _ = self
            .finished
            .wait_timeout_while(state, UNDONE_WITHIN, |state| !state.finished);
    }
}

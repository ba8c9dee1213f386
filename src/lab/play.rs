//! A schedule as it is played: systems arrive and work, and all they do is timed.
//!
//! - Every connection is one thread with one client. Arrivals are open-loop where a system
//!   has a rate: what is due while all its connections are busy is served late, not left out.
//! - The systems of the first phase are connected before the schedule begins.
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
use super::workload::{Arrivals, Part, System};
use super::{LabError, schema};
use crate::time::Span;

pub use super::worker::Errors;

/// How long the systems of the first phase may take to connect.
const READY_WITHIN: Duration = Duration::from_secs(30);

/// How long a signal waits for the run to clean up.
const UNDONE_WITHIN: Duration = Duration::from_secs(15);

/// What is played.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    /// Equal seeds, equal arrivals.
    pub(super) seed: u64,
    /// The schedule: each phase and how long it lasts.
    pub(super) phases: Vec<(&'static str, Duration)>,
    /// Who takes part, in order of arrival.
    pub(super) systems: Vec<System>,
    /// What is made in the schema.
    pub(super) tables: String,
    /// A database that is made with the same schema, and goes with the server.
    pub(super) other_database: Option<&'static str>,
    /// Leave the schema `pgjam_lab` in place at the end.
    pub(super) keep_schema: bool,
}

/// Where a run stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// `starting`, the phases of the schedule, `finished`.
    pub phase: &'static str,
    /// Until the next phase.
    pub left: Duration,
    /// Until the end.
    pub left_in_all: Duration,
}

/// What a run came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// The schedule, empty if the first systems never connected.
    pub phases: Vec<Phase>,
    /// Who arrived when.
    pub onboardings: Vec<Onboarding>,
    /// What went wrong in the clients.
    pub errors: Errors,
}

impl Plan {
    /// Makes the schema in the database that `target` names and starts the systems.
    pub(super) fn start(self, target: &Config, truth: &Path) -> Result<Running, LabError> {
        let writer = Writer::create(truth)?;
        let mut config = target.clone();
        config.connect_timeout(Duration::from_secs(10));
        schema::make(&config, &self.tables)?;
        if let Some(name) = self.other_database {
            schema::make_database(&config, name)?;
            schema::make(config.clone().dbname(name), &self.tables)?;
        }
        let shared = Arc::new(Shared {
            plan: self,
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
            .spawn(move || conductor.conduct())
            .map_err(LabError::io("start a thread"))?;
        Ok(Running {
            shared,
            conductor: Some(conductor),
        })
    }

    /// Adds the phases up.
    fn total(&self) -> Duration {
        self.begins(self.phases.len())
    }

    /// Tells when a phase begins, after the schedule did.
    fn begins(&self, phase: usize) -> Duration {
        self.phases
            .iter()
            .take(phase)
            .map(|(_, lasts)| *lasts)
            .sum()
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
        let plan = &self.shared.plan;
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
                left_in_all: plan.total(),
            };
        };
        let elapsed = began.elapsed();
        let mut until = Duration::ZERO;
        for &(phase, lasts) in &plan.phases {
            until += lasts;
            if elapsed < until {
                let left_in_all = plan.total().saturating_sub(elapsed);
                return Progress {
                    phase,
                    left: until.saturating_sub(elapsed),
                    left_in_all,
                };
            }
        }
        ended
    }

    /// Lists the schedule by the wall clock, empty until it has begun.
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
    /// When the first systems never connected, the truth could not be finished or the schema
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
    plan: Plan,
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
    fn conduct(&self) -> Result<(), LabError> {
        let systems = &self.plan.systems;
        let streams: Vec<Mutex<Arrivals>> = (1..)
            .zip(systems)
            .map(|(nth, system)| {
                // Any odd constant keeps the streams of neighbouring seeds apart.
                let seed = self.plan.seed ^ 0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(nth);
                Mutex::new(Arrivals::new(seed, system, self.plan.begins(1)))
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
        let dropped = if self.plan.keep_schema {
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
        let mut first_number = 1;
        let mut waited_for = Vec::new();
        let mut began: Option<Instant> = None;
        for (system, arrivals) in systems.iter().zip(streams) {
            if began.is_none() && system.phase > 0 {
                began = self.begin_with(&mut waited_for)?;
            }
            let due = match began {
                None => Instant::now(),
                Some(began) => began + self.plan.begins(system.phase) + system.delay,
            };
            if self.halt.sleep_until(due) {
                return Ok(());
            }
            // Who never arrives keeps its numbers, so that the others have theirs.
            let number = first_number;
            first_number += system.connections.cast_signed();
            if system.part == Part::Absent {
                continue;
            }
            let ready = self.onboard(scope, system, arrivals, number)?;
            if began.is_none() {
                waited_for.push((system, ready));
            }
        }
        if began.is_none() {
            began = self.begin_with(&mut waited_for)?;
        }
        if let Some(began) = began {
            self.halt.sleep_until(began + self.plan.total());
        }
        Ok(())
    }

    /// Waits for all connections of the first systems, and begins; none once it was halted.
    fn begin_with(
        &self,
        waited_for: &mut Vec<(&System, mpsc::Receiver<()>)>,
    ) -> Result<Option<Instant>, LabError> {
        for (system, ready) in waited_for.drain(..) {
            self.await_all(system, &ready)?;
        }
        Ok((!self.halt.is_halted()).then(|| self.begin()))
    }

    /// Starts a system's connections, each of which tells when it stands.
    fn onboard<'scope>(
        &'scope self,
        scope: &'scope Scope<'scope, '_>,
        system: &'scope System,
        arrivals: &'scope Mutex<Arrivals>,
        first_number: i32,
    ) -> Result<mpsc::Receiver<()>, LabError> {
        let onboarding = Onboarding {
            system: system.name.clone(),
            at: wall_clock(),
        };
        self.state().onboardings.push(onboarding.clone());
        let texts = system.statements().map(|(label, sql)| Row::Statement {
            system: system.name.clone(),
            label: label.to_owned(),
            sql: sql.to_owned(),
        });
        self.ledger
            .write(std::iter::once(Row::Onboarded(onboarding)).chain(texts));
        let (ready, told) = mpsc::channel();
        for number in (first_number..).take(system.connections as usize) {
            let mut config = self.config.clone();
            config.application_name(system.application.unwrap_or(&system.name));
            if let Some(role) = system.role {
                config.user(role);
            }
            if let Some(database) = system.database {
                config.dbname(database);
            }
            let worker = Worker {
                system,
                arrivals,
                number,
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
        for &(name, lasts) in &self.plan.phases {
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

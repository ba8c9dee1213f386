//! One connection of one system: takes what is due, runs it, times it.

use std::sync::{Condvar, Mutex, PoisonError, mpsc};
use std::time::{Duration, Instant};

use postgres::error::SqlState;
use postgres::types::ToSql;
use postgres::{Client, Config, Error, NoTls, Statement};

use super::LabError;
use super::truth::{COMMIT, Row, TRANSACTION, Timed, Writer, wall_clock};
use super::workload::{Arrival, Arrivals, Part, Step, System};
use crate::time::{Span, Timestamp};

/// Between two attempts to connect.
const RETRY_AFTER: Duration = Duration::from_millis(200);

/// The one signal to end, which interrupts every sleep.
#[derive(Debug, Default)]
pub(super) struct Halt {
    halted: Mutex<bool>,
    rung: Condvar,
}

impl Halt {
    pub(super) fn halt(&self) {
        *self.halted.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.rung.notify_all();
    }

    pub(super) fn is_halted(&self) -> bool {
        *self.halted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sleeps until `due`; true if it was halted before.
    pub(super) fn sleep_until(&self, due: Instant) -> bool {
        let halted = self.halted.lock().unwrap_or_else(PoisonError::into_inner);
        let left = due.saturating_duration_since(Instant::now());
        let (halted, _) = self
            .rung
            .wait_timeout_while(halted, left, |halted| !*halted)
            .unwrap_or_else(PoisonError::into_inner);
        *halted
    }
}

/// What went wrong in the clients: how often, and the first of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Errors {
    /// How many connections, statements and writes failed.
    pub count: u64,
    /// The first, with the system that met it.
    pub first: Option<String>,
}

/// What all connections write to.
#[derive(Debug)]
pub(super) struct Ledger {
    pub(super) writer: Mutex<Writer>,
    pub(super) errors: Mutex<Errors>,
}

impl Ledger {
    pub(super) fn write(&self, rows: impl IntoIterator<Item = Row>) {
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let written = rows.into_iter().try_for_each(|row| writer.write(&row));
        drop(writer);
        if let Err(error) = written {
            self.failed("truth", &error.to_string());
        }
    }

    pub(super) fn failed(&self, system: &str, what: &str) {
        let mut errors = self.errors.lock().unwrap_or_else(PoisonError::into_inner);
        errors.count += 1;
        errors
            .first
            .get_or_insert_with(|| format!("{system}: {what}"));
    }
}

/// One connection's part.
pub(super) struct Worker<'a> {
    pub(super) system: &'a System,
    pub(super) arrivals: &'a Mutex<Arrivals>,
    /// Which connection of all this is.
    pub(super) number: i32,
    pub(super) config: Config,
    pub(super) halt: &'a Halt,
    pub(super) ledger: &'a Ledger,
}

impl Worker<'_> {
    /// Works until halted, connecting anew whenever the connection is lost. Tells
    /// `ready` once, after the first connection stands.
    pub(super) fn run(&self, ready: mpsc::Sender<()>) {
        let mut ready = Some(ready);
        while !self.halt.is_halted() {
            match self.connect() {
                Ok((mut client, statements)) => {
                    if let Some(ready) = ready.take() {
                        // Nobody listens any more once the run is halted.
                        let _ = ready.send(());
                    }
                    self.serve(&mut client, &statements);
                }
                Err(error) => {
                    self.ledger.failed(&self.system.name, &error.to_string());
                    self.halt.sleep_until(Instant::now() + RETRY_AFTER);
                }
            }
        }
    }

    fn connect(&self) -> Result<(Client, Vec<Statement>), LabError> {
        let mut client = self
            .config
            .connect(NoTls)
            .map_err(LabError::postgres("connect"))?;
        client
            .batch_execute(self.system.setup)
            .map_err(LabError::postgres("set the connection up"))?;
        let statements = self.system.statements();
        let prepared = statements.map(|(_, sql)| client.prepare(sql));
        let prepared = prepared
            .collect::<Result<_, _>>()
            .map_err(LabError::postgres("prepare"))?;
        Ok((client, prepared))
    }

    /// Runs what is due until halted or the connection is lost.
    fn serve(&self, client: &mut Client, statements: &[Statement]) {
        while !client.is_closed() {
            let arrival = self
                .arrivals
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .next(self.number);
            if self.halt.sleep_until(arrival.due) {
                return;
            }
            let began = wall_clock();
            // The wall clock as it was when the transaction was due.
            let due = began - span(arrival.due.elapsed());
            let mut watch = Watch {
                system: &self.system.name,
                rows: Vec::with_capacity(6),
            };
            let outcome = self.transact_until_done(client, statements, &arrival, &mut watch);
            watch.note(TRANSACTION, Vec::new(), due, arrival.due, outcome.is_ok());
            self.ledger.write(watch.rows);
            if let Some(error) = outcome.err().filter(|error| !self.expects(error)) {
                self.ledger.failed(&self.system.name, &super::said(&error));
            }
        }
    }

    /// Makes a transaction, and makes it again where the server gave it up and the system is one
    /// that tries again.
    fn transact_until_done(
        &self,
        client: &mut Client,
        statements: &[Statement],
        arrival: &Arrival,
        watch: &mut Watch<'_>,
    ) -> Result<(), Error> {
        let mut left = self.system.retries;
        loop {
            let outcome = self.transact(client, statements, arrival, watch);
            let Err(error) = &outcome else {
                return outcome;
            };
            // A connection that cannot roll back is closed, and seen to be.
            let _ = client.batch_execute("ROLLBACK");
            if left == 0 || !self.expects(error) || self.halt.is_halted() {
                return outcome;
            }
            left -= 1;
        }
    }

    /// Tells whether the server gave up what this system would try again.
    fn expects(&self, error: &Error) -> bool {
        let given_up = [
            SqlState::LOCK_NOT_AVAILABLE,
            SqlState::T_R_SERIALIZATION_FAILURE,
            SqlState::T_R_DEADLOCK_DETECTED,
        ];
        self.system.retries > 0 && error.code().is_some_and(|code| given_up.contains(code))
    }

    fn transact(
        &self,
        client: &mut Client,
        statements: &[Statement],
        arrival: &Arrival,
        watch: &mut Watch<'_>,
    ) -> Result<(), Error> {
        if self.system.together {
            watch.time("begin", Vec::new(), || client.batch_execute("BEGIN"))?;
        }
        let mut statements = statements.iter();
        for step in &self.system.steps {
            match step {
                Step::Run {
                    label,
                    takes,
                    every,
                    ..
                } => {
                    let statement = statements.next();
                    let Some(statement) = statement.filter(|_| arrival.is_one_of(*every)) else {
                        continue;
                    };
                    let drawn = arrival.values(takes);
                    let values: Vec<&(dyn ToSql + Sync)> = drawn
                        .iter()
                        .map(|value| value as &(dyn ToSql + Sync))
                        .collect();
                    watch.time(label, drawn.clone(), || client.query(statement, &values))?;
                }
                // The client is away while its transaction is open, as in a synchronous call.
                Step::Away(pause) => {
                    let apart = self.system.together && self.system.part == Part::CommitsFirst;
                    if apart {
                        watch.time(COMMIT, Vec::new(), || client.batch_execute("COMMIT"))?;
                    }
                    self.halt.sleep_until(Instant::now() + *pause);
                    if apart {
                        watch.time("begin", Vec::new(), || client.batch_execute("BEGIN"))?;
                    }
                }
            }
        }
        if self.system.together {
            watch.time(COMMIT, Vec::new(), || client.batch_execute("COMMIT"))?;
        }
        Ok(())
    }
}

/// Times what one transaction does.
struct Watch<'a> {
    system: &'a str,
    rows: Vec<Row>,
}

impl Watch<'_> {
    fn time<T>(
        &mut self,
        label: &str,
        values: Vec<i32>,
        run: impl FnOnce() -> Result<T, Error>,
    ) -> Result<T, Error> {
        let (at, began) = (wall_clock(), Instant::now());
        let outcome = run();
        self.note(label, values, at, began, outcome.is_ok());
        outcome
    }

    fn note(&mut self, label: &str, values: Vec<i32>, at: Timestamp, began: Instant, ok: bool) {
        self.rows.push(Row::Timed(Timed {
            system: self.system.to_owned(),
            label: label.to_owned(),
            at,
            latency: span(began.elapsed()),
            ok,
            values,
        }));
    }
}

fn span(duration: Duration) -> Span {
    Span::from_micros(i64::try_from(duration.as_micros()).unwrap_or(i64::MAX))
}

//! One connection of one system: takes what is due, runs it, times it.

use std::sync::{Condvar, Mutex, PoisonError, mpsc};
use std::time::{Duration, Instant};

use postgres::types::ToSql;
use postgres::{Client, Config, Error, NoTls, Statement};

use super::LabError;
use super::truth::{Row, TRANSACTION, Timed, Writer, wall_clock};
use super::workload::{Arrival, Arrivals, System};
use crate::time::Span;

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
    pub(super) own_counter: Option<i32>,
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
        let prepared = self
            .system
            .steps
            .iter()
            .map(|step| client.prepare(step.sql));
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
                .next();
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
            let outcome = self.transact(client, statements, &arrival, &mut watch);
            watch.note(TRANSACTION, due, arrival.due, outcome.is_ok());
            self.ledger.write(watch.rows);
            if let Err(error) = outcome {
                self.ledger.failed(&self.system.name, &super::said(&error));
                // A connection that cannot roll back is closed, and seen to be.
                let _ = client.batch_execute("ROLLBACK");
            }
        }
    }

    fn transact(
        &self,
        client: &mut Client,
        statements: &[Statement],
        arrival: &Arrival,
        watch: &mut Watch<'_>,
    ) -> Result<(), Error> {
        watch.time("begin", || client.batch_execute("BEGIN"))?;
        for (step, statement) in self.system.steps.iter().zip(statements) {
            if !arrival.includes(step, self.system) {
                continue;
            }
            let values = arrival.values(step, self.system.agency, self.own_counter);
            let values: Vec<&(dyn ToSql + Sync)> = values
                .iter()
                .map(|value| value as &(dyn ToSql + Sync))
                .collect();
            watch.time(step.label, || client.query(statement, &values))?;
        }
        if let Some(call) = self.system.call {
            // The synchronous call: the client is away while its transaction is open.
            std::thread::sleep(call);
        }
        watch.time("commit", || client.batch_execute("COMMIT"))
    }
}

/// Times what one transaction does.
struct Watch<'a> {
    system: &'a str,
    rows: Vec<Row>,
}

impl Watch<'_> {
    fn time<T>(&mut self, label: &str, run: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
        let (at, began) = (wall_clock(), Instant::now());
        let outcome = run();
        self.note(label, at, began, outcome.is_ok());
        outcome
    }

    fn note(&mut self, label: &str, at: crate::time::Timestamp, began: Instant, ok: bool) {
        self.rows.push(Row::Timed(Timed {
            system: self.system.to_owned(),
            label: label.to_owned(),
            at,
            latency: span(began.elapsed()),
            ok,
        }));
    }
}

fn span(duration: Duration) -> Span {
    Span::from_micros(i64::try_from(duration.as_micros()).unwrap_or(i64::MAX))
}

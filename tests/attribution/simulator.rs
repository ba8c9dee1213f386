//! A small database of which everything is known: who did what, from when to when.
//!
//! Systems run transactions over resources (a row, an advisory key, a whole table),
//! each a queue that is served in order. The same run is looked at in two ways: by
//! jittered ticks, as a live source would, into a [`Recording`]; and exactly, into a
//! [`Truth`]. One seed gives one run; no clock is read.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};

use pgjam::pg::{LockMode, QueryId};
use pgjam::recording::Recording;
use pgjam::sample::pace::{BUDGET, Cadence, Pace};
use pgjam::time::{Span, Timestamp};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::look;
use crate::truth::{Call, Stretch, Truth};

/// Microseconds since the start of the watch, before it where negative.
pub(crate) type Micros = i64;

pub(crate) const SECOND: Micros = 1_000_000;

/// When the watch begins, on the server's clock.
pub(crate) const START: Timestamp = Timestamp::from_micros(1_763_900_000_000_000);

/// What a statement can have to wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Row,
    Advisory,
    Table,
}

/// One step of a transaction.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Step {
    /// Runs statement `text` for about so many milliseconds, after getting the lock if one is named.
    Run {
        text: &'static str,
        ms: f64,
        lock: Option<(usize, LockMode)>,
    },
    /// Is away from the database for about so many milliseconds, inside its transaction.
    Away(f64),
    /// Is away after its transaction ended; what it locked stays locked, as advisory locks do.
    Idle(f64),
}

/// Runs a statement that locks nothing in anybody's way.
pub(crate) const fn runs(text: &'static str, ms: f64) -> Step {
    Step::Run {
        text,
        ms,
        lock: None,
    }
}

/// Runs a statement that takes `resource` for itself alone.
pub(crate) const fn takes(text: &'static str, ms: f64, resource: usize) -> Step {
    Step::Run {
        text,
        ms,
        lock: Some((resource, LockMode::Exclusive)),
    }
}

/// A system: sessions that do the same over and over.
#[derive(Clone, Debug)]
pub(crate) struct System {
    pub(crate) name: &'static str,
    pub(crate) sessions: usize,
    /// When its sessions connect, in seconds of the watch; negative for before.
    pub(crate) from: f64,
    /// Milliseconds between two transactions, exponentially distributed.
    pub(crate) think_ms: f64,
    pub(crate) steps: Vec<Step>,
    /// Steps from this second on are `later`.
    pub(crate) changes: Option<(f64, Vec<Step>)>,
}

/// Makes a system.
pub(crate) fn system(
    name: &'static str,
    sessions: usize,
    from: f64,
    think_ms: f64,
    steps: &[Step],
) -> System {
    System {
        name,
        sessions,
        from,
        think_ms,
        steps: steps.to_vec(),
        changes: None,
    }
}

/// A run to be.
#[derive(Clone, Debug)]
pub(crate) struct World {
    pub(crate) systems: Vec<System>,
    /// Each with the table that it is, or lies in.
    pub(crate) resources: Vec<(Kind, &'static str)>,
    pub(crate) seconds: f64,
    pub(crate) cadence: Cadence,
    pub(crate) seed: u64,
}

/// What a session does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Doing {
    Thinking,
    Running,
    Waiting { resource: usize },
    Away,
}

/// One session as it stands.
#[derive(Clone, Debug)]
pub(crate) struct Worker {
    pub(crate) system: usize,
    pub(crate) doing: Doing,
    pub(crate) text: Option<&'static str>,
    pub(crate) xact_start: Option<Micros>,
    pub(crate) query_start: Micros,
    pub(crate) state_change: Micros,
    pub(crate) xid: Option<u32>,
    pub(crate) held: Vec<usize>,
    step: usize,
    since: Micros,
}

/// A resource as it stands.
#[derive(Clone, Debug, Default)]
pub(crate) struct Resource {
    pub(crate) holders: Vec<(usize, LockMode)>,
    pub(crate) queue: VecDeque<(usize, LockMode, Micros)>,
}

/// What is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Due {
    Worker(usize),
    Tick,
    Count,
}

struct Run<'a> {
    world: &'a World,
    rng: StdRng,
    now: Micros,
    due: BinaryHeap<Reverse<(Micros, Due)>>,
    workers: Vec<Worker>,
    resources: Vec<Resource>,
    truth: Truth,
    /// Completed calls and the microseconds that they took, by statement.
    calls: HashMap<&'static str, (i64, Micros)>,
    next_xid: u32,
}

impl World {
    /// Runs it, looked at and known.
    pub(crate) fn run(&self) -> (Recording, Truth) {
        let mut run = Run {
            world: self,
            rng: StdRng::seed_from_u64(self.seed),
            now: -5 * SECOND,
            due: BinaryHeap::new(),
            workers: Vec::new(),
            resources: vec![Resource::default(); self.resources.len()],
            truth: Truth::default(),
            calls: HashMap::new(),
            next_xid: 700,
        };
        run.truth.names = self.systems.iter().map(|system| system.name).collect();
        for (number, system) in self.systems.iter().enumerate() {
            for _ in 0..system.sessions {
                let from = micros(system.from).max(-5 * SECOND);
                run.due
                    .push(Reverse((from, Due::Worker(run.workers.len()))));
                run.workers.push(Worker {
                    system: number,
                    doing: Doing::Thinking,
                    text: None,
                    xact_start: None,
                    query_start: from,
                    state_change: from,
                    xid: None,
                    held: Vec::new(),
                    step: usize::MAX,
                    since: from,
                });
            }
        }
        // Ticks draw from a generator of their own: looking changes nothing.
        let mut pace = Pace::new(self.cadence, self.seed ^ 0x7469_636b, BUDGET);
        let mut next = pace.next(Span::ZERO);
        run.due.push(Reverse((0, Due::Tick)));
        run.due.push(Reverse((0, Due::Count)));
        let mut recording = look::nothing_yet(self);
        let mut last = -SECOND;
        while let Some(Reverse((at, due))) = run.due.pop() {
            if at > micros(self.seconds) {
                break;
            }
            run.now = at;
            match due {
                Due::Worker(worker) => run.step(worker),
                Due::Tick => {
                    let (workers, resources) = (&run.workers, &run.resources);
                    let snapshot = look::snapshot(self, at, next, last, workers, resources);
                    let waits = snapshot.locks.iter().any(|lock| !lock.granted);
                    let now = Span::from_micros(at);
                    pace.spent(now, snapshot.tick.server, waits);
                    recording.snapshots.push(snapshot);
                    last = at;
                    next = pace.next(now);
                    let wait = i64::try_from(next.wait.as_micros()).unwrap();
                    run.due.push(Reverse((at + wait, Due::Tick)));
                }
                Due::Count => {
                    recording.counters.push(look::counters(at, &run.calls));
                    run.due.push(Reverse((at + 2 * SECOND, Due::Count)));
                }
            }
        }
        run.now = micros(self.seconds);
        for resource in 0..run.resources.len() {
            run.mark(resource);
        }
        (recording, run.truth)
    }
}

impl Run<'_> {
    fn exponential(&mut self, mean_ms: f64) -> Micros {
        let uniform: f64 = self.rng.random_range(1e-9..1.0);
        #[expect(clippy::cast_possible_truncation, reason = "below some minutes")]
        let drawn = (-uniform.ln() * mean_ms * 1e3) as i64;
        drawn.max(1)
    }

    fn about(&mut self, ms: f64) -> Micros {
        #[expect(clippy::cast_possible_truncation, reason = "below some minutes")]
        let drawn = (ms * 1e3 * self.rng.random_range(0.5..1.5)) as i64;
        drawn.max(1)
    }

    fn again(&mut self, worker: usize, after: Micros) {
        self.due
            .push(Reverse((self.now + after, Due::Worker(worker))));
    }

    /// Ends what a session does and begins its next step.
    fn step(&mut self, worker: usize) {
        let system = &self.world.systems[self.workers[worker].system];
        let steps: &[Step] = match &system.changes {
            Some((from, later)) if self.now >= micros(*from) => later,
            _ => &system.steps,
        };
        match self.workers[worker].doing {
            Doing::Running => self.complete(worker),
            Doing::Waiting { .. } => {
                self.serve(worker, steps);
                return;
            }
            Doing::Thinking | Doing::Away => {}
        }
        let next = self.workers[worker].step.wrapping_add(1);
        let now = self.now;
        let Some(step) = steps.get(next) else {
            self.finish(worker);
            let think = self.exponential(system.think_ms);
            self.workers[worker].step = usize::MAX;
            self.again(worker, think);
            return;
        };
        let me = &mut self.workers[worker];
        me.step = next;
        me.since = now;
        match *step {
            Step::Run { text, lock, .. } => {
                me.text = Some(text);
                me.query_start = now;
                me.state_change = now;
                me.xact_start.get_or_insert(now);
                if text.starts_with("UPDATE") || text.starts_with("INSERT") {
                    self.next_xid += u32::from(me.xid.is_none());
                    me.xid.get_or_insert(self.next_xid);
                }
                if let Some((resource, mode)) = lock.filter(|(r, _)| !me.held.contains(r)) {
                    me.doing = Doing::Waiting { resource };
                    self.mark(resource);
                    self.resources[resource]
                        .queue
                        .push_back((worker, mode, now));
                    self.grant(resource);
                } else {
                    self.serve(worker, steps);
                }
            }
            Step::Away(ms) => {
                me.doing = Doing::Away;
                me.state_change = now;
                let after = self.about(ms);
                self.again(worker, after);
            }
            Step::Idle(ms) => {
                me.doing = Doing::Thinking;
                me.xact_start = None;
                me.xid = None;
                me.state_change = now;
                let after = self.about(ms);
                self.again(worker, after);
            }
        }
    }

    /// Begins the work of a statement that has its lock.
    fn serve(&mut self, worker: usize, steps: &[Step]) {
        let me = &mut self.workers[worker];
        me.doing = Doing::Running;
        me.since = self.now;
        let ms = match steps.get(me.step) {
            Some(Step::Run { ms, .. }) => *ms,
            _ => 1.0,
        };
        let after = self.about(ms);
        self.again(worker, after);
    }

    fn complete(&mut self, worker: usize) {
        let me = &mut self.workers[worker];
        me.state_change = self.now;
        let text = me.text.unwrap_or_default();
        self.truth.stretches.push(Stretch {
            worker,
            text,
            from: me.since,
            to: self.now,
            root: None,
        });
        self.truth.completed.push(Call {
            worker,
            text,
            from: me.query_start,
            to: self.now,
        });
        let (calls, took) = self.calls.entry(text).or_default();
        *calls += 1;
        *took += self.now - me.query_start;
    }

    /// Ends a transaction and lets go of what it locked.
    fn finish(&mut self, worker: usize) {
        let me = &mut self.workers[worker];
        me.doing = Doing::Thinking;
        me.xact_start = None;
        me.xid = None;
        for resource in std::mem::take(&mut me.held) {
            self.mark(resource);
            self.resources[resource]
                .holders
                .retain(|(holder, _)| *holder != worker);
            self.grant(resource);
        }
    }

    /// Writes down for everybody in a queue whom they waited for until now.
    fn mark(&mut self, resource: usize) {
        let Resource { holders, queue } = &self.resources[resource];
        let root = holders.first().map(|(holder, _)| *holder);
        for &(waiter, ..) in queue {
            let waits = self.workers[waiter].clone();
            self.truth.stretches.push(Stretch {
                worker: waiter,
                text: waits.text.unwrap_or_default(),
                from: waits.since,
                to: self.now,
                root: root.map(|holder| self.workers[holder].system),
            });
            self.workers[waiter].since = self.now;
        }
    }

    /// Serves a queue from its head for as long as nothing conflicts.
    fn grant(&mut self, resource: usize) {
        while let Some(&(worker, mode, _)) = self.resources[resource].queue.front() {
            let row = &mut self.resources[resource];
            if row
                .holders
                .iter()
                .any(|(_, held)| held.conflicts_with(mode))
            {
                return;
            }
            row.queue.pop_front();
            row.holders.push((worker, mode));
            self.workers[worker].held.push(resource);
            self.workers[worker].since = self.now;
            self.again(worker, 0);
        }
    }
}

/// Takes seconds of the watch.
pub(crate) fn micros(seconds: f64) -> Micros {
    #[expect(clippy::cast_possible_truncation, reason = "below some hours")]
    let micros = (seconds * 1e6) as i64;
    micros
}

/// Gives the instant of a second of the watch.
pub(crate) fn at(micros: Micros) -> Timestamp {
    Timestamp::from_micros(START.as_micros() + micros)
}

/// Gives the server's id of a statement: any that is its own.
pub(crate) fn query_id(text: &str) -> QueryId {
    let fold = |sum: i64, byte: u8| sum.wrapping_mul(31).wrapping_add(i64::from(byte));
    QueryId(text.bytes().fold(7, fold))
}

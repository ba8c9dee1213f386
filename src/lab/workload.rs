//! What an application does: who it is, how often it comes, what a transaction consists of.
//!
//! - Open-loop arrivals are a Poisson stream a system, drawn from the seed alone: who is
//!   slow does not slow the stream down.
//! - What a transaction draws is drawn once, and each of its statements takes from that.

use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// Longer than any schedule.
const NEVER: Duration = Duration::from_hours(24 * 365);

/// One application.
#[derive(Clone, Debug)]
pub(super) struct System {
    pub(super) name: String,
    /// The phase that it arrives in; in the first it is there before the schedule begins.
    pub(super) phase: usize,
    /// After that phase began.
    pub(super) delay: Duration,
    pub(super) connections: u32,
    pub(super) pace: Pace,
    /// From the second phase on it comes so many times as often as its pace says.
    pub(super) speeds_up: f64,
    pub(super) draws: Vec<Draw>,
    pub(super) steps: Vec<Step>,
    /// The steps are one transaction; otherwise each is on its own.
    pub(super) together: bool,
    /// How the client names itself, where that is not the system's name.
    pub(super) application: Option<&'static str>,
    /// The role that it logs in as.
    pub(super) role: Option<&'static str>,
    /// The database that it works in, where that is not everybody's.
    pub(super) database: Option<&'static str>,
    /// What a connection says first.
    pub(super) setup: &'static str,
    /// How often a transaction that the server gave up is tried again, at once.
    pub(super) retries: u32,
    /// It makes others slower, where a truth names nobody who does.
    pub(super) is_to_blame: bool,
    pub(super) part: Part,
}

/// What of a system is played.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Part {
    /// All that it does.
    #[default]
    Whole,
    /// The same, except that it commits before it is away, and begins anew after it.
    CommitsFirst,
    /// The same at the rate that it begins with: it never speeds up.
    AtFirstRate,
    /// Nothing: it never arrives.
    Absent,
}

/// How often a system comes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Pace {
    /// So many transactions a second, whoever is slow.
    Open(f64),
    /// Each connection again, so long after its last transaction.
    Closed(Duration),
    /// One transaction at once, and never again.
    Once,
}

/// What a value is drawn from.
#[derive(Clone, Copy, Debug)]
pub(super) enum Draw {
    /// Always the same.
    Fixed(i32),
    /// Any from the first to the second with equal chance.
    Between(i32, i32),
    /// The number of the connection, by which no two are the same.
    Own,
}

/// A part of a transaction.
#[derive(Clone, Debug)]
pub(super) enum Step {
    /// A statement, in one of so many transactions; its parameters are what was drawn, by place.
    Run {
        label: &'static str,
        sql: String,
        takes: &'static [usize],
        every: u32,
    },
    /// The client is away.
    Away(Duration),
}

impl System {
    /// A system that is there from the start, with one connection and nothing to do.
    pub(super) fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            phase: 0,
            delay: Duration::ZERO,
            connections: 1,
            pace: Pace::Open(1.0),
            speeds_up: 1.0,
            draws: Vec::new(),
            steps: Vec::new(),
            together: true,
            application: None,
            role: None,
            database: None,
            setup: "",
            retries: 0,
            is_to_blame: false,
            part: Part::Whole,
        }
    }

    /// Comes so many times a second.
    pub(super) fn rate(mut self, rate: f64, connections: u32) -> Self {
        (self.pace, self.connections) = (Pace::Open(rate), connections);
        self
    }

    /// Comes so many times as often from the second phase on, over the same connections.
    pub(super) fn speeds_up(mut self, factor: f64) -> Self {
        self.speeds_up = factor;
        self
    }

    /// Comes again so long after it has ended.
    pub(super) fn again_after(mut self, pause: Duration, connections: u32) -> Self {
        (self.pace, self.connections) = (Pace::Closed(pause), connections);
        self
    }

    /// Comes once, as soon as it is there.
    pub(super) fn once(mut self) -> Self {
        self.pace = Pace::Once;
        self
    }

    /// Makes each of its steps on its own, outside a transaction.
    pub(super) fn one_by_one(mut self) -> Self {
        self.together = false;
        self
    }

    /// Says so on each connection first.
    pub(super) fn says_first(mut self, setup: &'static str) -> Self {
        self.setup = setup;
        self
    }

    /// Tries again, so often, what the server gave up.
    pub(super) fn retries(mut self, times: u32) -> Self {
        self.retries = times;
        self
    }

    /// Makes others slower, where the truth names nobody who does.
    pub(super) fn takes_the_blame(mut self) -> Self {
        self.is_to_blame = true;
        self
    }

    /// Logs in as a role and does not name itself.
    pub(super) fn under_role(mut self, role: &'static str) -> Self {
        (self.role, self.application) = (Some(role), Some(""));
        self
    }

    /// Works in another database than the others.
    pub(super) fn works_in(mut self, database: &'static str) -> Self {
        self.database = Some(database);
        self
    }

    /// Names itself otherwise than it is called here.
    pub(super) fn calls_itself(mut self, application: &'static str) -> Self {
        self.application = Some(application);
        self
    }

    /// Arrives when the second phase begins.
    pub(super) fn at_event(self) -> Self {
        self.arrives(1, Duration::ZERO)
    }

    /// Arrives `delay` after a phase began.
    pub(super) fn arrives(mut self, phase: usize, delay: Duration) -> Self {
        (self.phase, self.delay) = (phase, delay);
        self
    }

    /// Draws one more value for each transaction.
    pub(super) fn draws(mut self, draw: Draw) -> Self {
        self.draws.push(draw);
        self
    }

    /// Runs a statement, in every transaction.
    pub(super) fn runs(
        self,
        label: &'static str,
        sql: impl Into<String>,
        takes: &'static [usize],
    ) -> Self {
        self.runs_every(1, label, sql, takes)
    }

    /// Runs a statement in one of so many transactions.
    pub(super) fn runs_every(
        mut self,
        every: u32,
        label: &'static str,
        sql: impl Into<String>,
        takes: &'static [usize],
    ) -> Self {
        self.steps.push(Step::Run {
            label,
            sql: sql.into(),
            takes,
            every,
        });
        self
    }

    /// Is away for so long.
    pub(super) fn stays_away(mut self, pause: Duration) -> Self {
        self.steps.push(Step::Away(pause));
        self
    }

    /// Tells whether it is ever away inside a transaction.
    pub(super) fn is_away_inside(&self) -> bool {
        let away = |step: &Step| matches!(step, Step::Away(_));
        self.together && self.steps.iter().any(away)
    }

    /// Lists its statements: label and text.
    pub(super) fn statements(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.steps.iter().filter_map(|step| match step {
            Step::Run { label, sql, .. } => Some((*label, sql.as_str())),
            Step::Away(_) => None,
        })
    }
}

/// One transaction that is due.
#[derive(Clone, Debug)]
pub(super) struct Arrival {
    pub(super) due: Instant,
    nth: u32,
    drawn: Vec<i32>,
}

/// A system's stream of transactions.
#[derive(Debug)]
pub(super) struct Arrivals {
    rng: StdRng,
    pace: Pace,
    /// So long after the stream began it comes so many times as often.
    step: (Duration, f64),
    draws: Vec<Draw>,
    began: Option<Instant>,
    next: Option<Instant>,
    nth: u32,
}

impl Arrivals {
    /// Draws a system's stream, whose rate steps up `settle` after it began if the system's does.
    pub(super) fn new(seed: u64, system: &System, settle: Duration) -> Self {
        let factor = match system.part {
            Part::AtFirstRate => 1.0,
            Part::Whole | Part::CommitsFirst | Part::Absent => system.speeds_up,
        };
        Self {
            rng: StdRng::seed_from_u64(seed),
            pace: system.pace,
            step: (settle, factor),
            began: None,
            draws: system.draws.clone(),
            next: None,
            nth: 0,
        }
    }

    /// Gives the next transaction to the connection of this number; of an open loop in order
    /// of due time. The stream begins when it is first asked.
    pub(super) fn next(&mut self, connection: i32) -> Arrival {
        let due = match self.pace {
            Pace::Open(rate) => {
                let began = *self.began.get_or_insert_with(Instant::now);
                let last = self.next.unwrap_or(began);
                let (settle, factor) = self.step;
                let rate = if last.duration_since(began) < settle {
                    rate
                } else {
                    rate * factor
                };
                let gap = -(1.0 - self.rng.random::<f64>()).ln() / rate;
                let due = last + Duration::from_secs_f64(gap);
                self.next = Some(due);
                due
            }
            // A little off each time, so that no two systems go in step.
            Pace::Closed(pause) => Instant::now() + pause.mul_f64(self.rng.random_range(0.8..1.2)),
            Pace::Once if self.nth == 0 => Instant::now(),
            Pace::Once => Instant::now() + NEVER,
        };
        self.nth = self.nth.wrapping_add(1);
        let drawn = self.draws.iter().map(|draw| match *draw {
            Draw::Fixed(value) => value,
            Draw::Between(least, most) => self.rng.random_range(least..=most),
            Draw::Own => connection,
        });
        Arrival {
            due,
            nth: self.nth,
            drawn: drawn.collect(),
        }
    }
}

impl Arrival {
    /// Tells whether this transaction is one of so many.
    pub(super) const fn is_one_of(&self, every: u32) -> bool {
        self.nth.is_multiple_of(every)
    }

    /// Gives a statement's parameters.
    pub(super) fn values(&self, takes: &[usize]) -> Vec<i32> {
        takes.iter().map(|place| self.drawn[*place]).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_seeds_give_equal_streams_at_the_rate_asked_for() {
        let system = System::new("decision")
            .rate(50.0, 1)
            .draws(Draw::Between(1, 5));
        let stream = || Arrivals::new(7, &system, Duration::ZERO);
        let mut streams = [stream(), stream()];
        let drawn: Vec<Vec<(Duration, Vec<i32>)>> = streams
            .iter_mut()
            .map(|stream| {
                let first = stream.next(1).due;
                (0..2_000)
                    .map(|_| stream.next(1))
                    .map(|a| (a.due - first, a.values(&[0])))
                    .collect()
            })
            .collect();
        assert_eq!(drawn[0], drawn[1]);
        let lasted = drawn[0]
            .last()
            .map_or(0.0, |(after, _)| after.as_secs_f64());
        assert!(
            (lasted - 40.0).abs() < 4.0,
            "2,000 arrivals at 50 a second took {lasted} s"
        );
    }

    #[test]
    fn who_speeds_up_comes_at_both_rates_in_turn() {
        let system = System::new("sync").rate(50.0, 1).speeds_up(3.0);
        let mut stream = Arrivals::new(7, &system, Duration::from_secs(20));
        let began = stream.next(1).due;
        let due: Vec<f64> = (0..4_000)
            .map(|_| stream.next(1).due.duration_since(began).as_secs_f64())
            .collect();
        let within = |from: f64, to: f64| due.iter().filter(|at| (from..to).contains(at)).count();
        let [before, after] = [within(0.0, 20.0), within(20.0, 40.0)];
        assert!((900..1_100).contains(&before), "{before} in 20 s");
        assert!((2_800..3_200).contains(&after), "{after} in 20 s");
    }
}

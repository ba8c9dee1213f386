//! The ledger: every tick that a server executed is on disk, or counted; nothing else is allowed.
//!
//! ```text
//!  server's log    |  |  |  |  x  x        |  |  |     ticks as they were executed
//!  ticks table     |  |  |  |              |  |  |     each one that was executed, once
//!                           └── missed: 6 ─┘           what was due in between and is not there
//! ```
//! - A tick in the table was executed, and is there once.
//! - An execution that is not in the table lies between two that are, and the later one counts at
//!   least as many `missed`; or it is the last and was cut off by what ended the watch. Behind an
//!   interruption, which `losses` tells, the count is of what fits, and may be off by one or two.
//! - A *gap* is what lies between the stretches of time that two ticks stand for, by the server's
//!   clock. As many periods as it is long, so many the later one counts as `missed`.
//! - Where nobody watched, `losses` says why.

use pgjam::recording::Recording;
use pgjam::sample::Tick;
use pgjam::time::{Span, Timestamp};

use crate::log::Log;
use crate::stage::{Scene, pass};

/// How far the two clocks may part over a gap on a busy machine, beside one period: the cells of a
/// new connection begin where it does.
const LATE: Span = Span::from_millis(150);

/// What is held against each other.
pub(crate) struct Ledger {
    recording: Recording,
    log: Log,
}

impl Ledger {
    pub(crate) fn new(recording: Recording, log: Log) -> Self {
        Self { recording, log }
    }

    pub(crate) fn ticks(&self) -> Vec<Tick> {
        self.recording
            .snapshots
            .iter()
            .map(|seen| seen.tick)
            .collect()
    }

    /// How often this was lost.
    pub(crate) fn lost(&self, kind: &str) -> u64 {
        let of_kind = self
            .recording
            .losses
            .iter()
            .filter(|loss| &*loss.kind == kind);
        of_kind.map(|loss| loss.count).sum()
    }

    /// The kinds of the events that were told, in order.
    pub(crate) fn events(&self) -> Vec<&str> {
        let events = self.recording.events.iter();
        events.map(|event| &*event.kind).collect()
    }

    /// Balances it; `cut_off` executions at the end may be missing.
    #[track_caller]
    pub(crate) fn balances(&self, cut_off: usize) {
        self.balances_but_for(&[], cut_off);
    }

    /// The same where these were lost and are counted.
    #[track_caller]
    pub(crate) fn balances_but_for(&self, lost: &[&str], cut_off: usize) {
        if let Err(said) = self.balance(lost, cut_off) {
            panic!("{said}\nlosses: {:?}", self.recording.losses);
        }
    }

    fn balance(&self, lost: &[&str], cut_off: usize) -> Result<(), String> {
        let ticks = self.ticks();
        check(ticks.len() > 3, || format!("only {} ticks", ticks.len()))?;
        self.each_was_executed(&ticks)?;
        self.each_is_there_or_missed(&ticks, cut_off)?;
        Self::each_gap_is_missed(&ticks)?;
        let missed: u64 = ticks.iter().map(|tick| u64::from(tick.missed)).sum();
        let told = self.lost("missed_ticks");
        check(told == missed, || {
            format!("{missed} missed, {told} told as lost")
        })?;
        for kind in ["dropped_rows", "unreadable_parts", "rows_without_tick"] {
            let count = self.lost(kind);
            check((count > 0) == lost.contains(&kind), || {
                format!("{count} {kind}")
            })?;
        }
        let most = self.log.most_sessions;
        check(most <= 2, || format!("{most} sessions of ours at once"))
    }

    /// The execution that a tick is: the first that was logged after the tick's own time.
    fn execution(&self, tick: &Tick) -> usize {
        self.log.ticks.partition_point(|begun| *begun < tick.at)
    }

    fn each_was_executed(&self, ticks: &[Tick]) -> Result<(), String> {
        let executions: Vec<usize> = ticks.iter().map(|tick| self.execution(tick)).collect();
        for (tick, pair) in ticks.iter().zip(executions.windows(2)) {
            check(pair[0] < pair[1], || {
                format!("{tick:?} was not executed, or is there twice")
            })?;
        }
        let last = executions.last().copied().unwrap_or_default();
        check(last < self.log.ticks.len(), || {
            "the last tick was never executed".to_owned()
        })
    }

    fn each_is_there_or_missed(&self, ticks: &[Tick], cut_off: usize) -> Result<(), String> {
        for pair in ticks.windows(2) {
            let between = self.execution(&pair[1]) - self.execution(&pair[0]) - 1;
            let missed = pair[1].missed as usize + self.uncertain(&pair[0]);
            check(between <= missed, || {
                format!("{between} executions before {:?} are not there", pair[1])
            })?;
        }
        let after = self.log.ticks.len() - self.execution(&ticks[ticks.len() - 1]) - 1;
        check(after <= cut_off, || {
            format!("{after} executions are missing at the end")
        })
    }

    /// How many more may have been executed where the one behind an interruption tells how many fit
    /// into it: instants are drawn, and one may be under way as a connection breaks.
    fn uncertain(&self, before: &Tick) -> usize {
        let losses = self.recording.losses.iter();
        let then = losses.filter(|loss| loss.at == before.at);
        let more = then.map(|loss| match &*loss.kind {
            "observer_restarts" => 2,
            "lost_connections" => 1,
            _ => 0,
        });
        more.max().unwrap_or(0)
    }

    fn each_gap_is_missed(ticks: &[Tick]) -> Result<(), String> {
        // Looks that stand for no time lie within the stretch of another.
        let mut before = ticks[0];
        let mut missed = 0;
        for tick in &ticks[1..] {
            missed += i64::from(tick.missed);
            if tick.span == Span::ZERO {
                continue;
            }
            let gap = tick.stretch()[0].as_micros() - before.stretch()[1].as_micros();
            // By need, or to stay within its budget, the watch may have gone at another pace.
            let periods = [before.period, tick.period, before.span].map(Span::as_micros);
            let most = periods.into_iter().fold(0, i64::max);
            let least = periods.into_iter().fold(most, i64::min);
            let late = LATE.as_micros() + most;
            let told = missed * least - late..=missed * most + late;
            check(told.contains(&gap), || {
                format!("{gap} us lie before {tick:?}, which tells {told:?}")
            })?;
            (before, missed) = (*tick, 0);
        }
        Ok(())
    }

    /// The longest stretch without a tick that lies between these, in seconds.
    pub(crate) fn longest_gap(&self) -> f64 {
        let ticks = self.ticks();
        let gaps = ticks.windows(2).map(|pair| pair[1].at.since(pair[0].at));
        gaps.max().unwrap_or_default().as_secs_f64()
    }

    /// How long before `then` the last tick was taken that the table holds, in seconds.
    pub(crate) fn missing_before(&self, then: Timestamp) -> f64 {
        let last = self.ticks().last().map(|tick| tick.at).unwrap_or_default();
        then.since(last).as_secs_f64()
    }
}

fn check(holds: bool, otherwise: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(otherwise()) }
}

/// A ledger that cannot fail proves nothing: from a calm watch, each thing is taken away in turn.
pub(crate) fn what_is_taken_away_or_added_is_found() {
    let scene = Scene::set();
    let mut watch = scene.watch();
    watch.hear("watching ");
    pass(3.0);
    watch.ends_well();
    // A busy machine may miss some: where it missed none, everything shows.
    let ticks = scene.ledger().ticks();
    let calm = |pair: &[Tick]| pair[0].missed == 0 && pair[1].missed == 0;
    let at = 1 + ticks[1..].windows(2).position(calm).unwrap();
    let (third, half) = (ticks.len() / 3, ticks.len() / 2);
    let cooked = |cook: &dyn Fn(&mut Ledger)| {
        let mut ledger = scene.ledger();
        ledger.balances(1);
        cook(&mut ledger);
        ledger.balance(&[], 1).unwrap_err()
    };
    let check = |found: String, told: &str| assert!(found.contains(told), "{found}");
    check(
        cooked(&|ledger| drop(ledger.recording.snapshots.remove(at))),
        "are not there",
    );
    check(
        cooked(&|ledger| {
            ledger.log.ticks.remove(at);
        }),
        "or is there twice",
    );
    check(
        cooked(&|ledger| {
            let again = ledger.recording.snapshots[at].clone();
            ledger.recording.snapshots.insert(at, again);
        }),
        "or is there twice",
    );
    check(
        cooked(&|ledger| ledger.recording.snapshots[at].tick.missed = 20),
        "which tells",
    );
    check(
        cooked(&|ledger| {
            let gone = third..third + half;
            ledger.recording.snapshots.drain(gone.clone());
            ledger.log.ticks.drain(gone);
        }),
        "which tells",
    );
    check(
        cooked(&|ledger| ledger.recording.snapshots.truncate(half)),
        "at the end",
    );
}

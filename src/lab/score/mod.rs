//! How often what is said of a scenario is true.
//!
//! ```text
//!  recording ─▶ diagnosis ─▶ answers ┐
//!  recording, log ─▶ baselines ─▶ answers ┼─▶ judged against the truth ─▶ shares with intervals
//!  client timings ─▶ did the truth come about, how far off is the growth ┘
//! ```
//!
//! - An answer counts only if it accuses: what is said to be inconclusive is no hit, and no
//!   false accusation either.
//! - A scenario whose victim did not get slower has no truth to be found; it is counted apart.
//! - Everything here is computed from values, and reads nothing.

mod baseline;
mod blame;
mod figures;
mod groups;
mod judge;
mod log;
mod placebo;
mod share;
mod table;
mod timing;
mod what_if;

use serde::Serialize;

pub use self::baseline::{Method, Watched};
pub use self::blame::{Blame, BlameTotal};
pub use self::figures::{Coverage, Errors, GrowthError, TailError};
pub use self::groups::{GroupHits, GroupTotal};
pub use self::judge::{Answer, Hits, Judged, Said};
pub use self::log::Logged;
pub use self::placebo::{Blamed, BlamedTotal, Cut, Placebo, PlaceboTotal};
pub use self::share::Share;
pub use self::table::render;
pub use self::timing::{Growth, Tail, Timing};
pub use self::what_if::{Played, WhatIf, WhatIfTotal};

use super::scenario::{Family, Group, Scenario, Without};
use super::truth::Truth;
use crate::attribution::finding::{Diagnosis, Scope};

/// One run of a scenario, judged.
#[derive(Clone, Debug, Serialize)]
pub struct Run {
    /// Which scenario.
    pub scenario: &'static str,
    /// What it is one of.
    pub family: Family,
    /// What its trouble goes through; null where there is none.
    pub group: Option<Group>,
    /// With which arrivals.
    pub seed: u64,
    /// What the clients timed of the victim, before the last phase and in it.
    pub timing: Timing,
    /// Whether the victim got slower, or in a null scenario did not.
    pub came_about: bool,
    /// The growth of the victim's mean as pgjam has it, beside the same by the clients.
    pub growth: Option<Growth>,
    /// The victim's waiting by who was in the way; null where its clients do not know.
    pub blame: Option<Blame>,
    /// How often an arrival is blamed in windows of a run in which none is to blame; null in others.
    pub placebo: Option<Placebo>,
    /// What would be without the cause, beside what was played without it; null where nothing was.
    pub what_if: Option<WhatIf>,
    /// What each method said, and how right that was; pgjam first.
    pub methods: Vec<Told>,
}

/// What a method said of a run.
#[derive(Clone, Debug, Serialize)]
pub struct Told {
    /// Which.
    pub method: Method,
    /// Its first answers, best first.
    pub answers: Vec<Answer>,
    /// How right they are.
    pub judged: Judged,
}

/// So many answers of a method are looked at.
const LOOKED_AT: usize = 3;

impl Run {
    /// Judges what is said of a run.
    #[must_use]
    pub fn of(
        scenario: &Scenario,
        seed: u64,
        diagnosis: &Diagnosis,
        watched: &Watched<'_>,
        clients: &Truth,
    ) -> Self {
        let timing = Timing::of(scenario, clients);
        let told = |method: Method| {
            let mut answers = match method {
                Method::Pgjam => answers(diagnosis),
                other => watched.answers(other, scenario.truth.victim.0),
            };
            answers.truncate(LOOKED_AT);
            Told {
                method,
                judged: Judged::of(&answers, &scenario.truth),
                answers,
            }
        };
        Self {
            scenario: scenario.name,
            family: scenario.family,
            group: scenario.group(),
            seed,
            came_about: timing.came_about(scenario.is_null()),
            timing,
            growth: Growth::of(scenario, diagnosis, clients),
            blame: Blame::of(scenario, watched, clients),
            placebo: None,
            what_if: None,
            methods: Method::ALL.into_iter().map(told).collect(),
        }
    }
}

/// Reads what a diagnosis says.
fn answers(diagnosis: &Diagnosis) -> Vec<Answer> {
    let label = |id: &String| {
        let mut events = diagnosis.events.iter();
        events
            .find(|event| event.id == *id)
            .map(|event| event.label.clone())
    };
    let findings = diagnosis.findings.iter();
    let answer = findings.map(|finding| {
        let blocker = finding.cause.blocker.as_ref();
        Answer {
            class: Some(finding.cause.class.to_owned()),
            table: finding.cause.table.clone(),
            who: match (finding.scope, blocker.and_then(|it| it.system.clone())) {
                (_, Some(system)) => Said::System(system),
                (Scope::Object, None) => Said::InTurn,
                (Scope::Culprit | Scope::Own, None) => Said::Nobody,
            },
            event: finding.cause.event.as_ref().and_then(label),
            accuses: finding.verdict.accuses(),
        }
    });
    answer.collect()
}

/// How right a method is, over all runs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Total {
    /// Which.
    pub method: Method,
    /// Of its first answer.
    pub hits_at_1: Shares,
    /// Of its first three.
    pub hits_at_3: Shares,
    /// How often its first answer accuses nobody, where there was a cause.
    pub silent: Share,
    /// How often its first answer names a system that is not to blame, where there was a cause.
    pub wrong: Share,
    /// How often it says that something is surely wrong, where nothing is.
    pub false_alarms: Share,
    /// How often it names somebody for that.
    pub false_accusations: Share,
}

/// How often each part of an answer is right.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Shares {
    /// The class of the cause.
    pub class: Share,
    /// The table.
    pub table: Share,
    /// The blocking system.
    pub system: Share,
    /// The event.
    pub event: Share,
    /// All four, in one answer.
    pub all: Share,
}

/// The score of all runs.
#[derive(Clone, Debug, Serialize)]
pub struct Score {
    /// Always [`Score::SCHEMA`].
    pub schema: &'static str,
    /// Runs in which what was to happen did.
    pub counted: usize,
    /// Runs in which it did not: they are in no share.
    pub not_come_about: usize,
    /// Runs that failed, each with why.
    pub failed: Vec<String>,
    /// Each method, pgjam first.
    pub methods: Vec<Total>,
    /// How far off the growth of the mean is from what the clients timed, as shares of that.
    pub growth_error: GrowthError,
    /// How often the 95 % interval of that growth holds what the clients timed.
    pub growth_coverage: Coverage,
    /// How far off the p99 is from what the clients timed.
    pub tail_error: TailError,
    /// How far pgjam's division of waiting over systems is from what the clients know.
    pub blame: BlameTotal,
    /// How often an arrival is blamed in windows in which none is to blame.
    pub placebo: PlaceboTotal,
    /// How near the what-ifs are to what was played, by what was left out; empty where nothing was.
    pub what_if: Vec<WhatIfTotal>,
    /// Each method by what the trouble goes through.
    pub groups: Vec<GroupTotal>,
    /// Each run.
    pub runs: Vec<Run>,
}

impl Score {
    /// The name and version of the shape.
    pub const SCHEMA: &'static str = "pgjam.score/0";

    /// Adds runs up.
    #[must_use]
    pub fn of(runs: Vec<Run>, failed: Vec<String>) -> Self {
        let counted = || runs.iter().filter(|run| run.came_about);
        let total = |method: Method| Total::of(method, counted());
        Self {
            schema: Self::SCHEMA,
            counted: counted().count(),
            not_come_about: runs.len() - counted().count(),
            failed,
            methods: Method::ALL.into_iter().map(total).collect(),
            growth_error: GrowthError::of(counted()),
            growth_coverage: Coverage::of(counted()),
            tail_error: TailError::of(counted()),
            blame: BlameTotal::of(counted()),
            placebo: PlaceboTotal::of(counted()),
            what_if: [Without::Cause, Without::Call]
                .into_iter()
                .filter_map(|without| WhatIfTotal::of(without, counted()))
                .collect(),
            groups: GroupTotal::all(counted()),
            runs,
        }
    }
}

impl Shares {
    fn of(judged: &[Judged], hits: fn(&Judged) -> Hits) -> Self {
        let share = |part: fn(Hits) -> bool| Share::of(judged.iter().map(|it| part(hits(it))));
        Self {
            class: share(|hits| hits.class),
            table: share(|hits| hits.table),
            system: share(|hits| hits.system),
            event: share(|hits| hits.event),
            all: share(|hits| hits.all),
        }
    }
}

impl Total {
    fn of<'a>(method: Method, runs: impl Iterator<Item = &'a Run> + Clone) -> Self {
        let (null, caused): (Vec<&Run>, Vec<&Run>) =
            runs.partition(|run| run.family == Family::Null);
        let judged = |runs: &[&Run]| -> Vec<Judged> {
            let told = runs.iter().flat_map(|run| &run.methods);
            let told = told.filter(|told| told.method == method);
            told.map(|told| told.judged).collect()
        };
        let (null, caused) = (judged(&null), judged(&caused));
        let shares = |hits: fn(&Judged) -> Hits| Shares::of(&caused, hits);
        Self {
            method,
            hits_at_1: shares(|judged| judged.at_1),
            hits_at_3: shares(|judged| judged.at_3),
            silent: Share::of(caused.iter().map(|judged| !judged.accuses)),
            wrong: Share::of(caused.iter().map(|judged| judged.wrong)),
            false_alarms: Share::of(null.iter().map(|judged| judged.alarms)),
            false_accusations: Share::of(null.iter().map(|judged| judged.names)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A run of which the first method said one thing, right or not.
    fn run(family: Family, came_about: bool, is_right: bool, growth: Option<Growth>) -> Run {
        let hits = Hits {
            class: is_right,
            table: is_right,
            system: is_right,
            event: is_right,
            all: is_right,
        };
        let judged = Judged {
            at_1: hits,
            at_3: hits,
            accuses: true,
            alarms: true,
            names: true,
            wrong: !is_right,
        };
        Run {
            scenario: "made-up",
            family,
            group: (family != Family::Null).then_some(Group::Rows),
            seed: 1,
            timing: Timing::default(),
            came_about,
            growth,
            blame: None,
            placebo: None,
            what_if: None,
            methods: vec![Told {
                method: Method::Pgjam,
                answers: Vec::new(),
                judged,
            }],
        }
    }

    #[test]
    fn a_run_that_did_not_come_about_is_in_no_share() {
        let off = |after| Growth {
            pgjam_ms: [1.0, after],
            clients_ms: [1.0, 3.0],
            calls: [100.0, 100.0],
            ci95_ms: Some([after - 1.2, after - 0.8]),
            blocks: Some([4, 10]),
            tails: [None, None],
        };
        let runs = vec![
            run(Family::Lock, true, true, Some(off(3.2))),
            run(Family::Lock, true, false, Some(off(2.0))),
            run(Family::Resource, true, false, None),
            run(Family::Lock, false, false, Some(off(9.0))),
            run(Family::Null, true, false, None),
        ];
        let score = Score::of(runs, Vec::new());
        assert_eq!((score.counted, score.not_come_about), (4, 1));
        let pgjam = &score.methods[0];
        let all = pgjam.hits_at_1.all;
        assert_eq!((all.hits, all.of), (1, 3));
        assert_eq!((pgjam.wrong.hits, pgjam.false_accusations.hits), (2, 1));
        let error = score.growth_error;
        assert_eq!((error.errors.of, error.untold), (2, 1));
        // Off by a tenth, and by half.
        let median = error.errors.median_abs.unwrap_or_default();
        assert!((median - 0.3).abs() < 1e-9, "{error:?}");
        // The one interval is 2.0 to 2.4 and the clients' growth 2.0, the other ends below it.
        let coverage = score.growth_coverage;
        assert_eq!((coverage.many_blocks.hits, coverage.many_blocks.of), (1, 2));
        assert_eq!(
            (coverage.below, coverage.above, coverage.no_interval),
            (1, 0, 1)
        );
        let [rows] = &score.groups[..] else {
            panic!("{:?}", score.groups);
        };
        assert_eq!(
            (rows.group, rows.methods[0].at_1.all.hits),
            (Group::Rows, 1)
        );
        let widest = render(&score)
            .lines()
            .map(|line| line.chars().count())
            .max();
        assert!(widest <= Some(100), "{widest:?}");
    }
}

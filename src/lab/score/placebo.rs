//! Windows in which no arrival slowed anybody down: how often one is blamed there.
//!
//! ```text
//!  settle            event                     of a scenario in which nothing is in anybody's way
//!  ├──▶ · · · ◀──────┼──────▶ · · · ◀──┤       around the harmless arrival, both ends moved inwards
//!                      ├─────▲▲▲▲▲─────┤       where nobody came, with an edge that is made up
//! ```
//!
//! The windows of one recording lie over each other and are not independent: the share of windows has
//! no honest interval of its own, so recordings are counted too, which are.

use serde::Serialize;

use super::super::truth::Truth;
use super::{Run, Share};
use crate::attribution::finding::{Diagnosis, Finding, Verdict};
use crate::recording::Window;
use crate::time::{Span, Timestamp};

/// Each end of a window around an arrival stands in so many places …
const PLACES: i64 = 5;
/// … each so many hundredths of its side further in.
const STEP: i64 = 10;
/// So many edges are made up …
const EDGES: i64 = 20;
/// … between these hundredths of the stretch in which nobody came.
const BETWEEN: [i64; 2] = [30, 70];
/// What the last to come needs to be no news any more.
const SETTLED: Span = Span::from_secs(2);

/// A part of a recording that is diagnosed by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// Which part.
    pub window: Window,
    /// Where it is said that something happened; none around an arrival.
    pub edge: Option<Timestamp>,
}

/// How often an arrival was blamed in the windows of one run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Placebo {
    /// Around its harmless arrivals.
    pub around_arrivals: Blamed,
    /// Where nobody came.
    pub where_nobody_came: Blamed,
}

/// How often that was said, and how surely.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Blamed {
    /// Windows in which before and after were compared.
    pub windows: usize,
    /// So many of them say *proved*.
    pub proved: usize,
    /// So many more *supported*.
    pub supported: usize,
    /// Windows in which nothing was compared, which are none of these.
    pub not_compared: usize,
}

/// How often an arrival is blamed in all windows of all runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct PlaceboTotal {
    /// Around harmless arrivals.
    pub around_arrivals: BlamedTotal,
    /// Where nobody came.
    pub where_nobody_came: BlamedTotal,
}

/// The same of one kind of window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct BlamedTotal {
    /// Windows that say *proved*; the interval takes them for independent, which they are not.
    pub proved: Share,
    /// Windows that say *supported*, with the same reservation.
    pub supported: Share,
    /// Recordings with any window that says either, of those with windows.
    pub recordings: Share,
    /// Windows in which nothing was compared.
    pub not_compared: usize,
}

impl Placebo {
    /// Lists the parts of a run that are looked at; none where it has no last phase.
    #[must_use]
    pub fn cuts(clients: &Truth) -> Vec<Cut> {
        let [Some(first), Some(last)] = [clients.phases.first(), clients.phases.last()] else {
            return Vec::new();
        };
        let hundredths = |[from, to]: [Timestamp; 2], many: i64| {
            let length = to.as_micros() - from.as_micros();
            Timestamp::from_micros(from.as_micros() + length / 100 * many)
        };
        let mut cuts = Vec::new();
        for (start, end) in (0..PLACES).flat_map(|a| (0..PLACES).map(move |b| (a, b))) {
            let window = Window {
                from: hundredths([first.from, last.from], start * STEP),
                to: hundredths([last.from, last.to], 100 - end * STEP),
            };
            cuts.push(Cut { window, edge: None });
        }
        let came = clients.onboardings.iter().map(|it| it.at).max();
        let calm = Window {
            from: came.map_or(last.from, |came| came.max(last.from)) + SETTLED,
            to: last.to,
        };
        let [first, last] = BETWEEN;
        cuts.extend((0..EDGES).map(|nth| {
            let at = first + (last - first) * nth / (EDGES - 1);
            Cut {
                window: calm,
                edge: Some(hundredths([calm.from, calm.to], at)),
            }
        }));
        cuts
    }

    /// Takes in what is concluded of a part.
    pub fn add(&mut self, cut: &Cut, diagnosis: &Diagnosis) {
        let blames = |finding: &&Finding| {
            let blames = match cut.edge {
                None => finding.cause.event.is_some(),
                // What grew, grew since the only event.
                Some(_) => finding.growth.is_some(),
            };
            blames && finding.verdict.accuses()
        };
        let blamed = if cut.edge.is_some() {
            &mut self.where_nobody_came
        } else {
            &mut self.around_arrivals
        };
        let compared = |group: &crate::attribution::finding::Group| {
            group.window_before.is_some() && group.window_after.is_some()
        };
        if !diagnosis.groups.iter().any(compared) {
            blamed.not_compared += 1;
            return;
        }
        blamed.windows += 1;
        let findings = diagnosis.findings.iter().filter(blames);
        match findings.map(|finding| finding.verdict).min() {
            Some(Verdict::Proved) => blamed.proved += 1,
            Some(_) => blamed.supported += 1,
            None => {}
        }
    }
}

impl PlaceboTotal {
    pub(super) fn of<'a>(runs: impl Iterator<Item = &'a Run>) -> Self {
        let placebos: Vec<Placebo> = runs.filter_map(|run| run.placebo).collect();
        let total = |of: fn(&Placebo) -> Blamed| {
            let blamed: Vec<Blamed> = placebos.iter().map(of).collect();
            let sum = |part: fn(&Blamed) -> usize| blamed.iter().map(part).sum();
            let windows = sum(|it| it.windows);
            let compared = blamed.iter().filter(|it| it.windows > 0);
            BlamedTotal {
                proved: Share::counted(sum(|it| it.proved), windows),
                supported: Share::counted(sum(|it| it.supported), windows),
                recordings: Share::of(compared.map(|it| it.proved + it.supported > 0)),
                not_compared: sum(|it| it.not_compared),
            }
        };
        Self {
            around_arrivals: total(|placebo| placebo.around_arrivals),
            where_nobody_came: total(|placebo| placebo.where_nobody_came),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::truth::{Onboarding, Phase};

    #[test]
    fn windows_hold_the_arrival_or_lie_behind_it_with_an_edge_inside() {
        let at = |seconds: i64| Timestamp::from_micros(seconds * 1_000_000);
        let phase = |name: &str, from, to| Phase {
            name: name.to_owned(),
            from: at(from),
            to: at(to),
        };
        let clients = Truth {
            phases: vec![phase("settle", 100, 110), phase("event", 110, 130)],
            onboardings: vec![Onboarding {
                system: "newcomer".to_owned(),
                at: at(111),
            }],
            ..Truth::default()
        };
        let cuts = Placebo::cuts(&clients);
        let (made_up, around): (Vec<Cut>, Vec<Cut>) =
            cuts.into_iter().partition(|cut| cut.edge.is_some());
        assert_eq!((around.len(), made_up.len()), (25, 20));
        for cut in around {
            let Window { from, to } = cut.window;
            assert!(at(100) <= from && from <= at(104), "{cut:?}");
            assert!(at(122) <= to && to <= at(130), "{cut:?}");
        }
        let edges: std::collections::BTreeSet<_> = made_up.iter().map(|cut| cut.edge).collect();
        assert_eq!(edges.len(), 20);
        for cut in made_up {
            assert_eq!(cut.window.from, at(113));
            assert!(
                cut.edge > Some(at(117)) && cut.edge < Some(at(126)),
                "{cut:?}"
            );
        }
    }
}

//! When a verdict stands: when more watching would hardly change it.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::attribution;
use crate::attribution::finding::{Cause, Diagnosis, Finding, Verdict};
use crate::cli::args::BaselineArgs;
use crate::cli::baseline;
use crate::cli::exit::Failure;
use crate::cli::screen::Screen;
use crate::daemon::config::Settings;
use crate::recording::Recording;
use crate::report::so_far;
use crate::system::Naming;

/// A diagnosis that is not told how long to watch watches so long at most.
pub(super) const AT_MOST: Duration = Duration::from_mins(1);

/// Before this there is too little to conclude anything from.
const FIRST: Duration = Duration::from_secs(20);

/// So often it is concluded anew.
const EVERY: Duration = Duration::from_secs(5);

/// An interval that reaches no further than this share of its value says how much it is.
const NARROW: f64 = 0.5;

/// What was concluded from a watch that goes on, each time from all that was seen until then.
#[derive(Debug, Default)]
struct Standing {
    last: Option<Accused>,
}

/// Who is blamed, for what.
#[derive(Debug, PartialEq)]
struct Accused {
    class: &'static str,
    table: Option<String>,
    system: Option<String>,
    gid: Option<String>,
}

impl Accused {
    fn of(cause: &Cause) -> Option<Self> {
        let blocker = cause.blocker.as_ref()?;
        // Whose load came is in nobody's way.
        if cause.apportioned.is_some() {
            return None;
        }
        Some(Self {
            class: cause.class,
            table: cause.table.clone(),
            system: blocker.system.clone(),
            gid: blocker.gid.clone(),
        })
    }
}

impl Standing {
    /// Hears what is concluded by now, and tells whether that stands.
    ///
    /// It does where the first finding accuses somebody in the way, says how much it is, accuses
    /// whom it accused the last time, and no cause that is still in doubt lost as much time. To
    /// look at a test again and again until it holds makes it hold too often; what holds twice in a
    /// row by edges, far from its bound, is not what that lets through. What nobody is in the way
    /// of, and that nothing is wrong, never stands early.
    fn stands(&mut self, diagnosis: &Diagnosis) -> bool {
        let first = diagnosis.findings.first();
        let sure = first.filter(|first| first.verdict.accuses() && is_narrow(first));
        let accused = sure.and_then(|finding| Accused::of(&finding.cause));
        let is_same = accused.is_some() && accused == self.last;
        self.last = accused;
        is_same && sure.is_some_and(|first| !is_rivalled(first, &diagnosis.findings))
    }
}

/// Tells whether a finding's interval says how much it is; where no mean is claimed it need not.
fn is_narrow(finding: &Finding) -> bool {
    match (finding.ms_per_call, finding.ci95_ms_per_call) {
        (Some(value), Some([low, _])) => value - low <= NARROW * value,
        (Some(_), None) => false,
        (None, _) => true,
    }
}

/// Tells whether something that is still in doubt may be as large.
fn is_rivalled(first: &Finding, findings: &[Finding]) -> bool {
    let in_doubt = |finding: &&Finding| finding.verdict == Verdict::Inconclusive;
    let mut in_doubt = findings.iter().filter(in_doubt);
    in_doubt.any(|rival| rival.db_seconds >= first.db_seconds)
}

/// What is concluded while a watch goes on, in a few words for who waits for its end.
pub(super) type SoFar = Arc<Mutex<String>>;

/// How a watch that goes on is concluded from.
#[derive(Clone)]
pub(super) struct Conclusion {
    pub(super) naming: Naming,
    pub(super) baseline: BaselineArgs,
    pub(super) settings: Option<Settings>,
    /// Nobody is told again and again what there was before.
    pub(super) silence: Screen,
}

impl Conclusion {
    /// Concludes from what a folder holds by now.
    fn draw(&self, folder: &Path) -> Result<Diagnosis, Failure> {
        let mut recording = Recording::open(folder)?;
        let (settings, silence) = (self.settings.as_ref(), &self.silence);
        baseline::precede(&mut recording, &self.baseline, settings, silence)?;
        Ok(attribution::diagnose(&recording, &self.naming))
    }

    /// Ends when what a watch into a folder has seen makes a verdict that stands.
    ///
    /// What cannot be concluded now may be later: it is the end of the watch that tells of errors.
    pub(super) async fn stands(&self, folder: &Path, so_far: &SoFar) {
        let mut standing = Standing::default();
        tokio::time::sleep(FIRST).await;
        loop {
            let (conclusion, folder) = (self.clone(), folder.to_owned());
            // Beside the watch: no look waits for it.
            let drawn = tokio::task::spawn_blocking(move || conclusion.draw(&folder)).await;
            if let Ok(Ok(diagnosis)) = drawn {
                *so_far.lock().unwrap_or_else(PoisonError::into_inner) = self::so_far(&diagnosis);
                if standing.stands(&diagnosis) {
                    return;
                }
            }
            tokio::time::sleep(EVERY).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture::{county_rollout, proved, quiet, unsure};

    /// Tells after which of some conclusions the verdict stood.
    #[track_caller]
    fn check(conclusions: &[Vec<Finding>], expected: Option<usize>) {
        let mut standing = Standing::default();
        let stood = conclusions.iter().position(|findings| {
            standing.stands(&Diagnosis {
                findings: findings.clone(),
                ..county_rollout()
            })
        });
        assert_eq!(stood, expected);
    }

    fn of_another_table() -> Finding {
        let mut finding = proved();
        finding.cause.table = Some("public.agency".to_owned());
        finding
    }

    fn in_doubt(db_seconds: f64) -> Finding {
        Finding {
            db_seconds,
            ..unsure()
        }
    }

    #[test]
    fn what_is_sure_twice_in_a_row_stands() {
        check(&[vec![proved()], vec![proved()]], Some(1));
        check(
            &[vec![proved()], vec![], vec![proved()], vec![proved()]],
            Some(3),
        );
    }

    #[test]
    fn another_culprit_begins_anew() {
        let flips = [vec![proved()], vec![of_another_table()], vec![proved()]];
        check(&flips, None);
    }

    #[test]
    fn nothing_and_doubt_never_stand() {
        check(&[vec![], vec![], vec![]], None);
        check(&[vec![unsure()], vec![unsure()]], None);
        let mut standing = Standing::default();
        assert!(!standing.stands(&quiet()) && !standing.stands(&quiet()));
    }

    #[test]
    fn doubt_that_weighs_less_is_no_reason_to_go_on_and_doubt_that_weighs_more_is() {
        let little = vec![proved(), in_doubt(1.0)];
        check(&[little.clone(), little], Some(1));
        let much = vec![proved(), in_doubt(40.0)];
        check(&[much.clone(), much], None);
    }

    #[test]
    fn whose_load_came_never_stands_early() {
        let mut neighbour = proved();
        neighbour.cause.apportioned = Some(Vec::new());
        check(&[vec![neighbour.clone()], vec![neighbour]], None);
    }

    #[test]
    fn a_wide_interval_does_not_say_how_much_it_is() {
        let mut wide = proved();
        wide.ci95_ms_per_call = Some([2.0, 20.0]);
        check(&[vec![wide.clone()], vec![wide]], None);
    }
}

//! The looks that tell a window's story, as graphs in order of time.

use crate::attribution::charge::is_blocked;
use crate::graph::WaitGraph;
use crate::graph::view::{GraphView, Vocabulary};
use crate::names::{Names, Statements};
use crate::recording::Recording;
use crate::sample::Snapshot;
use crate::system::Naming;
use crate::time::Timestamp;

/// So many moments are shown at the most.
const MOST: usize = 3_000;
/// So many waiting sessions are shown in all of them together: a graph of a thousand takes a
/// hundred times as long to draw up as one of ten.
const MOST_WAITING: usize = 150_000;

/// One look, and the stretch that it is shown for.
#[derive(Clone, Debug)]
pub struct Moment {
    /// Who waited for whom.
    pub view: GraphView,
    /// From when to when it is shown; where that of the next begins later, nobody looked between.
    pub stretch: [Timestamp; 2],
    /// Sessions that waited for a heavyweight lock.
    pub blocked: usize,
}

/// Gives the wait-for graphs of a recording from first to last, each made when it is asked for.
///
/// Where there are more looks than a reader can use, each stands for several: the one with the
/// most sessions blocked, so that no jam is passed over. What is left of minutes whose samples
/// are gone shows no graph.
pub fn moments<'a>(
    recording: &'a Recording,
    naming: &'a Naming,
    statements: &'a Statements,
) -> impl Iterator<Item = Moment> + 'a {
    let names = Names::of(&recording.names);
    let blocked: Vec<usize> = recording.snapshots.iter().map(blocked).collect();
    let each = looks_per_moment(&blocked);
    let stretches = recording.snapshots.chunks(each).enumerate();
    stretches.filter_map(move |(n, looks)| {
        let blocked = &blocked[n * each..];
        let most = (0..looks.len()).max_by_key(|&n| (blocked[n], usize::MAX - n))?;
        let words = Vocabulary {
            naming,
            names: &names,
            statements,
        };
        let ([from, _], [_, to]) = (looks.first()?.tick.stretch(), looks.last()?.tick.stretch());
        Some(Moment {
            view: WaitGraph::of(&looks[most]).view(words),
            stretch: [from, to],
            blocked: blocked[most],
        })
    })
}

/// Counts the sessions that wait for a heavyweight lock.
fn blocked(snapshot: &Snapshot) -> usize {
    let sessions = snapshot.sessions.iter();
    sessions.filter(|session| is_blocked(session)).count()
}

/// Chooses how many looks one moment stands for.
fn looks_per_moment(blocked: &[usize]) -> usize {
    let by_number = blocked.len().div_ceil(MOST);
    let by_waiting = blocked.iter().sum::<usize>().div_ceil(MOST_WAITING);
    by_number.max(by_waiting).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_looks_are_all_shown_and_many_are_thinned_evenly() {
        assert_eq!(looks_per_moment(&[]), 1);
        assert_eq!(looks_per_moment(&vec![3; 3_000]), 1);
        assert_eq!(looks_per_moment(&vec![3; 3_001]), 2);
        assert_eq!(looks_per_moment(&vec![600; 1_200]), 5);
    }
}

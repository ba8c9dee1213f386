//! The looks that are remembered, and which of them is shown.

use std::collections::VecDeque;

use crate::sample::{Lock, Session, Snapshot};
use crate::time::Span;

/// Looks in order of time, the oldest forgotten first.
#[derive(Debug, Default)]
pub struct History {
    looks: VecDeque<Snapshot>,
    /// Whether nothing is forgotten: a recording's reader has its own bound.
    is_whole: bool,
    /// How many were forgotten.
    forgotten: usize,
    bytes: usize,
}

/// Which look is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Place {
    /// The last, and those that follow.
    #[default]
    Last,
    /// This one, counted from the first that ever was.
    Number(usize),
}

impl History {
    /// So many looks at the most: ten minutes of ten a second.
    pub const LOOKS: usize = 6_000;
    /// So many bytes of rows, about; the words in them are shared.
    pub const BYTES: usize = 32 << 20;

    /// Begins one that forgets nothing, for what is in memory already.
    pub(super) fn whole() -> Self {
        Self {
            is_whole: true,
            ..Self::default()
        }
    }

    /// Remembers a look.
    pub(super) fn push(&mut self, look: Snapshot) {
        self.bytes += size(&look);
        self.looks.push_back(look);
        if self.is_whole {
            return;
        }
        while self.looks.len() > Self::LOOKS || (self.bytes > Self::BYTES && self.looks.len() > 1) {
            if let Some(oldest) = self.looks.pop_front() {
                self.bytes -= size(&oldest);
                self.forgotten += 1;
            }
        }
    }

    /// Gives the look at a place; the oldest where that is forgotten.
    pub(super) fn at(&self, place: Place) -> Option<&Snapshot> {
        self.looks.get(self.index(place)?)
    }

    /// Gives the looks until a place, the last first.
    pub(super) fn back_from(&self, place: Place) -> impl Iterator<Item = &Snapshot> {
        let until = self.index(place).map_or(0, |index| index + 1);
        self.looks.range(..until).rev()
    }

    /// Tells how many looks are after a place.
    pub(super) fn after(&self, place: Place) -> usize {
        let index = self.index(place);
        index.map_or(0, |index| self.looks.len() - 1 - index)
    }

    /// Gives the first place that is remembered.
    pub(super) const fn first(&self) -> Place {
        Place::Number(self.forgotten)
    }

    /// Stays where it is, or goes on with what follows.
    pub(super) fn toggled(&self, place: Place) -> Place {
        match place {
            Place::Last => self.number(place),
            Place::Number(_) => Place::Last,
        }
    }

    /// Goes some looks on; beyond the ends it stays there.
    pub(super) fn stepped(&self, place: Place, by: isize) -> Place {
        let Some(index) = self.index(place) else {
            return place;
        };
        let index = index.saturating_add_signed(by).min(self.looks.len() - 1);
        Place::Number(self.forgotten + index)
    }

    /// Goes on, or back, by a stretch of the server's time.
    pub(super) fn moved(&self, place: Place, by: Span) -> Place {
        let Some(look) = self.at(place) else {
            return place;
        };
        let to = look.tick.at + by;
        let index = self.looks.partition_point(|look| look.tick.at < to);
        let index = index.min(self.looks.len() - 1);
        Place::Number(self.forgotten + index)
    }

    fn number(&self, place: Place) -> Place {
        self.index(place)
            .map_or(place, |index| Place::Number(self.forgotten + index))
    }

    fn index(&self, place: Place) -> Option<usize> {
        let last = self.looks.len().checked_sub(1)?;
        Some(match place {
            Place::Last => last,
            Place::Number(number) => number.saturating_sub(self.forgotten).min(last),
        })
    }
}

/// What a look takes, about.
fn size(look: &Snapshot) -> usize {
    size_of::<Snapshot>()
        + look.sessions.len() * size_of::<Session>()
        + look.locks.len() * size_of::<Lock>()
}

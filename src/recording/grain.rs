//! How fine the sums of a day are.
//!
//! The rows of the three tables are the same at each grain: a minute's row then tells of an hour
//! or a day, in `at` and `until`, and its cells lie at its `at`. Which it is stands in the name of
//! the part, so that nothing has to be opened to know.

use std::path::{Path, PathBuf};

use crate::time::Timestamp;

/// What one row of `minutes` sums.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Grain {
    Minute,
    Hour,
    Day,
}

impl Grain {
    const ALL: [Self; 3] = [Self::Minute, Self::Hour, Self::Day];

    /// Tells how the parts of its days are called.
    const fn prefix(self) -> &'static str {
        match self {
            Self::Minute => "part-",
            Self::Hour => "hours-",
            Self::Day => "days-",
        }
    }

    /// Names a part as one of this grain.
    pub(super) fn named(self, part: &str) -> String {
        format!("{}{}", self.prefix(), number_in(part).unwrap_or(part))
    }

    /// Tells the grain of a partition: that of its finest file; none where it has no file.
    pub(super) fn of(files: &[PathBuf]) -> Option<Self> {
        files.iter().map(|file| of_file(file)).min()
    }

    /// Gives the coarser one.
    pub(super) const fn coarser(self) -> Option<Self> {
        match self {
            Self::Minute => Some(Self::Hour),
            Self::Hour => Some(Self::Day),
            Self::Day => None,
        }
    }

    /// Tells whether two instants of one day lie in one row.
    pub(super) fn unites(self, a: Timestamp, b: Timestamp) -> bool {
        let row = |at: Timestamp| match self {
            Self::Minute => at.as_micros(),
            Self::Hour => at.as_micros().div_euclid(3_600_000_000),
            Self::Day => 0,
        };
        row(a) == row(b)
    }
}

fn of_file(path: &Path) -> Grain {
    let name = path.file_name().and_then(|name| name.to_str());
    let is_named = |grain: &Grain| name.is_some_and(|name| name.starts_with(grain.prefix()));
    Grain::ALL
        .into_iter()
        .find(is_named)
        .unwrap_or(Grain::Minute)
}

/// Gives what stands behind the prefix of a part's name.
pub(super) fn number_in(part: &str) -> Option<&str> {
    let prefixes = Grain::ALL.map(Grain::prefix);
    prefixes.iter().find_map(|prefix| part.strip_prefix(prefix))
}

//! Why a log cannot be read.

use std::io;
use std::path::PathBuf;

/// A log that was named and cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The machine refused.
    #[error("cannot read the log {}: {error}", path.display())]
    Io {
        /// Which file or folder.
        path: PathBuf,
        /// What the machine said.
        error: io::Error,
    },
    /// It is packed.
    #[error("the log {} is compressed ({with}): unpack it first", path.display())]
    Compressed {
        /// Which file.
        path: PathBuf,
        /// By which program.
        with: &'static str,
    },
    /// It is something else.
    #[error(
        "{} is no log of PostgreSQL's in csvlog, jsonlog or stderr format; lines of the latter \
         would begin as log_line_prefix says, '{prefix}': see --log-line-prefix",
        path.display()
    )]
    Foreign {
        /// Which file.
        path: PathBuf,
        /// How its lines should begin.
        prefix: String,
    },
    /// A folder holds nothing that could be read.
    #[error("{} holds no file that could be a log", path.display())]
    Empty {
        /// Which folder.
        path: PathBuf,
    },
}

impl LogError {
    /// Says what was tried when the machine refused.
    pub(super) fn io(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |error| Self::Io { path, error }
    }
}

//! Exit codes, which scripts may rely on, and which failure earns which.

use std::process::ExitCode;

use crate::connect::{ConnectError, ConnectErrorKind};
use crate::doctor::DoctorError;
use crate::lab::LabError;
use crate::recording::RecordingError;
use crate::sample::SampleError;

/// What `pgjam --help` says of the exit codes.
pub(super) const HELP: &str = "Exit codes:
  0  an answer was given, whatever it is
  1  a defect in pgjam, or an error of the machine it runs on
  2  the command line, a connection string or a setting cannot be used
  3  the server cannot be reached, or has no room for another connection
  4  the server refuses the role: wrong password, no such database, TLS
  5  the role sees too little; the GRANT that helps is printed
  6  the server is too old (14 is the oldest)
  7  the server went away while it was watched; the recording is kept
  8  the recording cannot be read or written
  9  the lab could not run
 130 interrupted before there was anything to say";

/// A failure of a command, on its way to the terminal.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// The server could not be reached or refused.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The preflight could not be made.
    #[error(transparent)]
    Doctor(#[from] DoctorError),
    /// The role sees too little, or the server lacks what is needed.
    #[error("{0}")]
    Missing(String),
    /// The server is older than what the tick needs.
    #[error("{0}")]
    TooOld(String),
    /// Watching failed.
    #[error(transparent)]
    Sample(#[from] SampleError),
    /// The server went away in the middle.
    #[error("{0}")]
    Lost(String),
    /// A recording could not be read or written.
    #[error(transparent)]
    Recording(#[from] RecordingError),
    /// The lab could not run.
    #[error(transparent)]
    Lab(#[from] LabError),
    /// It was stopped before it had anything to say.
    #[error("interrupted before the first tick")]
    Interrupted,
    /// The machine refused.
    #[error("{what}: {error}")]
    Io {
        /// What was tried.
        what: String,
        /// What the machine said.
        error: std::io::Error,
    },
}

impl Failure {
    /// Says what was tried when the machine refused.
    pub(super) fn io(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let what = what.into();
        move |error| Self::Io { what, error }
    }

    /// Gives the documented exit code.
    pub(super) fn code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::Io { .. } => 1,
            Self::Connect(error) => of_connect(error.kind()),
            Self::Doctor(_) | Self::Sample(_) | Self::Lost(_) => 7,
            Self::Missing(_) => 5,
            Self::TooOld(_) => 6,
            Self::Recording(_) => 8,
            Self::Lab(_) => 9,
            Self::Interrupted => 130,
        })
    }
}

const fn of_connect(kind: ConnectErrorKind) -> u8 {
    match kind {
        ConnectErrorKind::BadOption => 2,
        ConnectErrorKind::UnknownHost
        | ConnectErrorKind::Unreachable
        | ConnectErrorKind::TimedOut
        | ConnectErrorKind::TooManyConnections
        | ConnectErrorKind::NotReady
        | ConnectErrorKind::WrongRole
        | ConnectErrorKind::Pooler
        | ConnectErrorKind::Other => 3,
        ConnectErrorKind::Authentication
        | ConnectErrorKind::NoDatabase
        | ConnectErrorKind::Tls
        | ConnectErrorKind::Forbidden => 4,
        ConnectErrorKind::TooOld => 6,
    }
}

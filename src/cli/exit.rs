//! Exit codes, which scripts may rely on, and which failure earns which.

use std::path::PathBuf;
use std::process::ExitCode;

use crate::connect::{ConnectError, ConnectErrorKind};
use crate::daemon::DaemonError;
use crate::daemon::config::ConfigError;
use crate::daemon::http::HttpError;
use crate::daemon::watch::WatchError;
use crate::doctor::DoctorError;
use crate::lab::LabError;
use crate::log::LogError;
use crate::recording::RecordingError;
use crate::sample::SampleError;

/// What `pgjam --help` says of the exit codes.
pub(super) const HELP: &str = "Exit codes:
  0  an answer was given, whatever it is
  1  a defect in pgjam, an error of the machine it runs on, or a question that
     the server refuses
  2  the command line, the configuration, a connection string or a log that was
     named cannot be used
  3  the server cannot be reached, or has no room for another connection
  4  the server refuses the role: wrong password, no such database, TLS
  5  the role sees too little; the GRANT that helps is printed
  6  the server is too old (14 is the oldest)
  7  the server went away while it was watched; the recording is kept
  8  the recording cannot be read or written, or holds nothing of what was asked
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
    /// Watching ended before its time, and what was seen until then is kept.
    #[error("{error}\n  what was seen until then is kept: pgjam report {}", kept.display())]
    Lost {
        /// Why.
        error: SampleError,
        /// Where the recording is.
        kept: PathBuf,
    },
    /// A recording could not be read or written.
    #[error(transparent)]
    Recording(#[from] RecordingError),
    /// A log that was named cannot be read.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The configuration cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A daemon did not take an event.
    #[error("{0}")]
    Untold(String),
    /// What needs a terminal has none.
    #[error("pgjam top needs a terminal; pgjam now shows the same once, also into a file")]
    NoTerminal,
    /// Nobody looked at the time that was asked about.
    #[error("{0}")]
    NotLooked(String),
    /// There is no baseline where one was asked for.
    #[error("{0}")]
    Baseline(String),
    /// HTTP cannot be spoken.
    #[error(transparent)]
    Http(HttpError),
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
            Self::Io { .. } | Self::Untold(_) | Self::Http(HttpError::Listen { .. }) => 1,
            Self::Log(_)
            | Self::NoTerminal
            | Self::Config(_)
            | Self::Http(HttpError::Setting { .. } | HttpError::File { .. }) => 2,
            Self::Connect(error) => of_connect(error.kind()),
            Self::Doctor(_) => 7,
            Self::Sample(error) | Self::Lost { error, .. } => of_sample(error),
            Self::Missing(_) => 5,
            Self::TooOld(_) => 6,
            Self::Recording(_) | Self::NotLooked(_) | Self::Baseline(_) => 8,
            Self::Lab(_) => 9,
            Self::Interrupted => 130,
        })
    }
}

impl From<WatchError> for Failure {
    fn from(error: WatchError) -> Self {
        match error {
            WatchError::Connect(error) => Self::Connect(error),
            WatchError::Doctor(error) => Self::Doctor(error),
            WatchError::Missing(said) => Self::Missing(said),
            WatchError::TooOld(said) => Self::TooOld(said),
            WatchError::Sample(error) => Self::Sample(error),
            WatchError::Lost { error, kept } => Self::Lost { error, kept },
            WatchError::Recording(error) => Self::Recording(error),
            WatchError::Interrupted => Self::Interrupted,
        }
    }
}

impl From<DaemonError> for Failure {
    fn from(error: DaemonError) -> Self {
        match error {
            DaemonError::Watch(error) => error.into(),
            DaemonError::Http(error) => Self::Http(error),
            DaemonError::Signals(error) => Self::io("cannot wait for signals")(error),
        }
    }
}

const fn of_sample(error: &SampleError) -> u8 {
    match error {
        SampleError::Gone(_) | SampleError::Timeout { .. } | SampleError::Silent { .. } => 7,
        SampleError::Privilege { .. } => 5,
        // The server is there and answers: it is our question that is wrong.
        SampleError::Column { .. } | SampleError::Refused { .. } => 1,
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

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    /// Gives an error of the driver's; which one does not matter here.
    fn source() -> tokio_postgres::Error {
        "port=x".parse::<tokio_postgres::Config>().unwrap_err()
    }

    #[test]
    fn a_server_that_refuses_has_not_gone_away() {
        let query = "tick";
        let source = source();
        let refused = SampleError::Refused { query, source };
        let said = refused.to_string();
        assert_eq!(of_sample(&refused), 1, "{said}");
        let column = "at";
        assert_eq!(of_sample(&SampleError::Column { query, column }), 1);
    }

    #[test]
    fn a_role_that_sees_too_little_is_told_apart_from_a_server_that_is_gone() {
        let query = "tick";
        let source = source();
        let privilege = SampleError::Privilege { query, source };
        assert_eq!(of_sample(&privilege), 5);
        let seconds = 10.0;
        assert_eq!(of_sample(&SampleError::Silent { query, seconds }), 7);
        assert_eq!(of_sample(&SampleError::Gone(self::source())), 7);
    }

    #[test]
    fn what_ended_a_watch_keeps_its_code_and_its_recording() {
        let (query, column) = ("tick", "at");
        let lost = Failure::Lost {
            error: SampleError::Column { query, column },
            kept: "/recordings/one".into(),
        };
        assert_eq!(lost.code(), ExitCode::from(1));
        assert!(lost.to_string().contains("pgjam report /recordings/one"));
    }
}

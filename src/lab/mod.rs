//! Real contention, made to order, with the truth kept beside it.
//!
//! ```text
//! server    a PostgreSQL of our own for as long as a value lives
//! play      systems that arrive, write and wait, by a schedule
//! rollout   the story: they arrive in waves and write through the same rows
//! scenario  the catalogue of situations, each with what is true of it by construction
//! score     how often what is said of a scenario is true, and of what else one could ask
//! truth     what every client timed, in a file that the analysis never reads
//! ```
//!
//! - Servers, locks and clients are real; only the applications are invented.
//! - What the lab starts it stops, and what it makes it removes: on drop, on panic,
//!   on a signal where [`server::stop_on_signals`] is installed, and for its own
//!   servers even when this process is killed outright.
//! - A failing client is counted and reported, never passed over.
//!
//! The lab refuses to run in a database that has a schema `pgjam_lab` it did not
//! make. It imitates no server, not even for tests, and the analysis does not know it.
//! The score reads what the analysis says and what the clients timed, side by side.

pub mod play;
pub mod rollout;
pub mod scenario;
pub mod score;
pub mod server;
pub mod truth;

mod cleanup;
mod find;
mod schema;
mod standing;
mod worker;
mod workload;

/// How the lab's clients reach the server.
pub use postgres::Config;

/// Why the lab could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum LabError {
    /// There are no server binaries.
    #[error(
        "no PostgreSQL server binaries (initdb and postgres) in {searched}; \
         install a PostgreSQL server or name its folder with --pg-bin"
    )]
    NoServer {
        /// The places that were looked at.
        searched: String,
    },
    /// A file or process of the lab's own could not be handled.
    #[error("cannot {doing}: {source}")]
    Io {
        /// What was attempted, with its path.
        doing: String,
        /// The system's answer.
        source: std::io::Error,
    },
    /// `initdb` or `postgres` gave up.
    #[error("{program} did not succeed; its last words: {said}")]
    Server {
        /// Which of the two.
        program: &'static str,
        /// The end of its output.
        said: String,
    },
    /// The lab was stopped while it started.
    #[error("the lab was stopped while it started")]
    Stopped,
    /// The database refused something.
    #[error("cannot {doing}: {}", said(source))]
    Postgres {
        /// What was attempted.
        doing: String,
        /// The driver's answer.
        source: postgres::Error,
    },
    /// The schema's name is taken.
    #[error(
        "the database has a schema pgjam_lab that no lab made; \
         name another database, or rename or drop that schema"
    )]
    SchemaTaken,
    /// The first systems never got all of their connections.
    #[error("the first systems could not connect in time; the first refusal: {first}")]
    NotReady {
        /// What the first failing connection met.
        first: String,
    },
    /// A scenario needs settings or roles that only a server of its own has.
    #[error("{scenario} needs a server that is made for it; run it without --dsn")]
    NeedsOwnServer {
        /// Which.
        scenario: &'static str,
    },
    /// Another handler has the signals already.
    #[error("cannot handle signals: {0}")]
    Signals(#[from] ctrlc::Error),
}

impl LabError {
    fn io(doing: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let doing = doing.into();
        move |source| Self::Io { doing, source }
    }

    fn postgres(doing: impl Into<String>) -> impl FnOnce(postgres::Error) -> Self {
        let doing = doing.into();
        move |source| Self::Postgres { doing, source }
    }
}

/// Words a driver's error with its cause, which its own `Display` leaves out.
fn said(error: &postgres::Error) -> String {
    error.as_db_error().map_or_else(
        || {
            std::error::Error::source(error)
                .map_or_else(|| error.to_string(), |cause| format!("{error}: {cause}"))
        },
        |refusal| refusal.message().to_owned(),
    )
}

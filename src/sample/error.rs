//! Why a look brought nothing.

use tokio_postgres::error::SqlState;

/// Why a look brought nothing.
#[derive(Debug, thiserror::Error)]
pub enum SampleError {
    /// The connection is broken, or the server shuts down.
    #[error("the server went away: {}; connect again once it is back", said(.0))]
    Gone(#[source] tokio_postgres::Error),
    /// The server gave up because of one of our own timeouts.
    #[error(
        "the server did not answer {query} within its timeout: {}",
        said(source)
    )]
    Timeout {
        /// The question, as the file is called.
        query: &'static str,
        /// What the server said.
        source: tokio_postgres::Error,
    },
    /// Nothing came back at all.
    #[error("no answer to {query} came within {seconds} s; the server or the way to it hangs")]
    Silent {
        /// The question, as the file is called.
        query: &'static str,
        /// How long we waited.
        seconds: f64,
    },
    /// The role may not ask this.
    #[error(
        "the role may not run {query}: {}; `pgjam doctor` prints the GRANT that helps",
        said(source)
    )]
    Privilege {
        /// The question, as the file is called.
        query: &'static str,
        /// What the server said.
        source: tokio_postgres::Error,
    },
    /// A column is missing, or is not what the row type expects.
    #[error(
        "{query} returned no usable column {column}; please report this with the server's version"
    )]
    Column {
        /// The question, as the file is called.
        query: &'static str,
        /// The column.
        column: &'static str,
    },
    /// Anything else that the server refused.
    #[error("the server refused {query}: {}", said(source))]
    Refused {
        /// The question, as the file is called.
        query: &'static str,
        /// What the server said.
        source: tokio_postgres::Error,
    },
}

impl SampleError {
    /// Sorts what the driver reports about a question.
    pub(super) fn of(query: &'static str, source: tokio_postgres::Error) -> Self {
        let Some(code) = source.code() else {
            return Self::Gone(source);
        };
        if [
            SqlState::ADMIN_SHUTDOWN,
            SqlState::CRASH_SHUTDOWN,
            SqlState::CANNOT_CONNECT_NOW,
        ]
        .contains(code)
        {
            Self::Gone(source)
        } else if [SqlState::QUERY_CANCELED, SqlState::LOCK_NOT_AVAILABLE].contains(code) {
            Self::Timeout { query, source }
        } else if *code == SqlState::INSUFFICIENT_PRIVILEGE {
            Self::Privilege { query, source }
        } else {
            Self::Refused { query, source }
        }
    }
}

/// Gives the server's own words, which the driver's error leaves to its source.
fn said(error: &tokio_postgres::Error) -> String {
    let server = error.as_db_error().map(|said| said.message().to_owned());
    let source = || std::error::Error::source(error).map(ToString::to_string);
    server.or_else(source).unwrap_or_else(|| error.to_string())
}

//! Why no session came about, in words that name the next step.

use std::error::Error;
use std::io;

use rustls::CertificateError;
use tokio_postgres::error::SqlState;

/// What kept a connection from being made.
///
/// The message is a lower-case fragment without a password in it; the
/// [`kind`](ConnectError::kind) is what exit codes are chosen by.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ConnectError {
    kind: ConnectErrorKind,
    message: String,
}

/// The kinds of failed connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ConnectErrorKind {
    /// The connection string, a variable or a file it names cannot be used.
    BadOption,
    /// The host's name resolves to no address.
    UnknownHost,
    /// Nobody listens there, or the network does not lead there.
    Unreachable,
    /// The server did not answer in time.
    TimedOut,
    /// The password, the role or `pg_hba.conf`.
    Authentication,
    /// The database does not exist.
    NoDatabase,
    /// The server has no connection left for this role.
    TooManyConnections,
    /// TLS was refused, or the certificate is not the one expected.
    Tls,
    /// The server starts, stops or recovers.
    NotReady,
    /// The role may not connect to the database.
    Forbidden,
    /// The server is too old to take the session's settings.
    TooOld,
    /// A pooler stands in between and does not pass the session's settings on.
    Pooler,
    /// The server is not of the kind that `target_session_attrs` asks for.
    WrongRole,
    /// Anything else.
    Other,
}

impl ConnectErrorKind {
    /// Tells whether another host of the list may do better, as libpq sees it.
    pub(super) const fn is_about_the_host(self) -> bool {
        matches!(
            self,
            Self::UnknownHost
                | Self::Unreachable
                | Self::TimedOut
                | Self::NotReady
                | Self::WrongRole
        )
    }
}

impl ConnectError {
    pub(super) fn new(kind: ConnectErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
        }
    }

    /// Names the connection option at fault, never its value.
    pub(super) fn option(keyword: &str, reason: &str) -> Self {
        Self::new(
            ConnectErrorKind::BadOption,
            format!("connection option `{keyword}` {reason}"),
        )
    }

    /// Tells which kind of failure this is.
    #[must_use]
    pub const fn kind(&self) -> ConnectErrorKind {
        self.kind
    }

    /// Joins what each host of a list had to say; the last one's kind stands.
    pub(super) fn join(errors: Vec<Self>) -> Self {
        let kind = errors.last().map_or(ConnectErrorKind::Other, |e| e.kind);
        let mut messages: Vec<String> = errors.into_iter().map(|error| error.message).collect();
        messages.dedup();
        Self::new(kind, messages.join("; "))
    }

    /// Reads the driver's error about a try to reach `database` at `place` as `user`.
    pub(super) fn from_driver(
        error: &tokio_postgres::Error,
        place: &str,
        user: &str,
        database: &str,
    ) -> Self {
        if let Some(db) = error.as_db_error() {
            let (kind, next) = Self::explain(db.code(), db.message(), user, database);
            return Self::new(kind, format!("{place} says: {}{next}", db.message()));
        }
        let mut cause: Option<&(dyn Error + 'static)> = error.source();
        let mut innermost = error.to_string();
        while let Some(source) = cause {
            if let Some(tls) = source.downcast_ref::<rustls::Error>() {
                return Self::tls(place, tls);
            }
            innermost = source.to_string();
            // An `io::Error` that wraps another error hides it from `source()`.
            cause = match source.downcast_ref::<io::Error>() {
                Some(io) => match io.get_ref() {
                    Some(inner) => Some(inner),
                    None => return Self::io(place, io),
                },
                None => source.source(),
            };
        }
        let kind = match error.to_string().as_str() {
            "error performing TLS handshake" => ConnectErrorKind::Tls,
            "timeout waiting for server" => ConnectErrorKind::TimedOut,
            "error connecting to server" | "connection closed" => ConnectErrorKind::Unreachable,
            "authentication error" => ConnectErrorKind::Authentication,
            "invalid configuration" if innermost == "password missing" => {
                innermost = format!(
                    "the server asks for the password of role \"{user}\"; give it with PGPASSWORD, \
                     ~/.pgpass or the connection string"
                );
                ConnectErrorKind::Authentication
            }
            _ => ConnectErrorKind::Other,
        };
        Self::new(kind, format!("{place}: {innermost}"))
    }

    /// Maps a SQLSTATE to a kind and a hint that follows the server's own words.
    fn explain(
        code: &SqlState,
        message: &str,
        user: &str,
        database: &str,
    ) -> (ConnectErrorKind, String) {
        use ConnectErrorKind as K;
        match code.code() {
            "28P01" => (
                K::Authentication,
                "; check PGPASSWORD, ~/.pgpass or the connection string".into(),
            ),
            "28000" => (
                K::Authentication,
                "; check the role's name and its line in pg_hba.conf".into(),
            ),
            "3D000" => (
                K::NoDatabase,
                "; name an existing one as the last part of the URL, with dbname= or PGDATABASE"
                    .into(),
            ),
            "53300" => (
                K::TooManyConnections,
                "; free one, or raise max_connections or the limit of the role or database".into(),
            ),
            "57P03" => (
                K::NotReady,
                "; try again once it accepts connections".into(),
            ),
            "57P01" | "57P02" => (K::NotReady, "; it is shutting down".into()),
            "42501" => (
                K::Forbidden,
                format!(
                    "; run: GRANT CONNECT ON DATABASE {} TO {};",
                    quoted(database),
                    quoted(user)
                ),
            ),
            "42704" => (
                K::TooOld,
                "; a server that lacks this setting is older than pgjam can watch (14 is needed)"
                    .into(),
            ),
            // PgBouncer's words for options in the startup packet.
            "08P01" if message.contains("startup parameter") => (
                K::Pooler,
                "; this is a connection pooler: connect to the database server itself".into(),
            ),
            _ => (K::Other, String::new()),
        }
    }

    fn tls(place: &str, error: &rustls::Error) -> Self {
        let next = match error {
            rustls::Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            ) => {
                "; connect by a name in the certificate's subjectAltName \
                 (a common name alone does not count)"
            }
            // A self-signed certificate that is not the trusted one comes as `Other`.
            rustls::Error::InvalidCertificate(
                CertificateError::UnknownIssuer | CertificateError::Other(_),
            ) => {
                "; give the certificate of its authority, or its own if it is self-signed, \
                 with sslrootcert"
            }
            _ => "",
        };
        Self::new(ConnectErrorKind::Tls, format!("{place}: {error}{next}"))
    }

    fn io(place: &str, error: &io::Error) -> Self {
        use io::ErrorKind as E;
        let (kind, next) = match error.kind() {
            E::TimedOut => (ConnectErrorKind::TimedOut, ""),
            E::NotFound => (
                ConnectErrorKind::Unreachable,
                "; no server listens on that socket: check that it runs, its port and \
                 unix_socket_directories, or name a host",
            ),
            E::ConnectionRefused => (
                ConnectErrorKind::Unreachable,
                "; check that the server runs, its port and listen_addresses",
            ),
            E::PermissionDenied => (
                ConnectErrorKind::Unreachable,
                "; this user may not open the socket",
            ),
            E::UnexpectedEof | E::ConnectionReset => (
                ConnectErrorKind::Unreachable,
                "; it closed the connection: is this a PostgreSQL server?",
            ),
            _ => (ConnectErrorKind::Unreachable, ""),
        };
        Self::new(kind, format!("{place}: {error}{next}"))
    }
}

/// Quotes an identifier for SQL.
pub(crate) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

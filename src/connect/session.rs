//! One open connection, introduced and harmless.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_postgres::config::SslMode;
use tokio_postgres::{Client, Config, NoTls, SimpleQueryMessage};

use super::APPLICATION_NAME;
use super::error::{ConnectError, ConnectErrorKind};
use super::target::{Host, Place, Role, Target};
use super::tls::Mode;

/// What every session asks for in its startup packet.
///
/// The order matters where `PGOPTIONS` names the same setting: the later one counts.
const SETTINGS: [(&str, &str); 11] = [
    ("statement_timeout", "5s"),
    ("lock_timeout", "100ms"),
    ("idle_in_transaction_session_timeout", "10s"),
    ("default_transaction_read_only", "on"),
    ("search_path", "pg_catalog"),
    ("DateStyle", "ISO"),
    ("IntervalStyle", "iso_8601"),
    ("TimeZone", "UTC"),
    ("jit", "off"),
    ("max_parallel_workers_per_gather", "0"),
    // With the usual 4 MB a tick over some 30,000 lock entries would write temporary files.
    ("work_mem", "32MB"),
];

/// Asks for raw bytes where the settings arrived, and does nothing where they did not.
const SETTLE: &str = include_str!("../../queries/connect.sql");

/// How long a farewell may take before the socket is just closed.
const FAREWELL: Duration = Duration::from_millis(500);

/// An open connection that watches. Dropping it closes the connection.
#[derive(Debug)]
pub struct Session {
    client: Client,
    task: Task,
    address: String,
}

/// The task that moves the bytes; it never outlives its session.
#[derive(Debug)]
struct Task(JoinHandle<()>);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Session {
    /// Gives the driver's client.
    #[must_use]
    pub const fn client(&self) -> &Client {
        &self.client
    }

    /// Says which server answered: `host:port/database`, without a password.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Says good-bye, so that the server's log has nothing to complain about.
    pub async fn close(self) {
        let Self {
            client, mut task, ..
        } = self;
        drop(client);
        let _ = tokio::time::timeout(FAREWELL, &mut task.0).await;
    }
}

impl Target {
    /// Opens a session on the first server that answers and fits.
    ///
    /// # Errors
    /// Says what kept it from coming about; see [`ConnectErrorKind`]. An error that
    /// is not about the host, as a wrong password, ends the search, as in libpq.
    pub async fn connect(&self) -> Result<Session, ConnectError> {
        let mut errors = Vec::new();
        let passes: &[Role] = match self.role {
            Role::PreferStandby => &[Role::Standby, Role::Any],
            Role::Any => &[Role::Any],
            Role::Primary => &[Role::Primary],
            Role::Standby => &[Role::Standby],
        };
        for &role in passes {
            errors.clear();
            for place in &self.places {
                let attempt = self.connect_to(place, role);
                let result = match self.timeout {
                    None => attempt.await,
                    Some(limit) => tokio::time::timeout(limit, attempt)
                        .await
                        .unwrap_or_else(|_| Err(no_answer(place, limit))),
                };
                match result {
                    Ok(session) => return Ok(session),
                    Err(error) if error.kind().is_about_the_host() => errors.push(error),
                    Err(error) => return Err(error),
                }
            }
        }
        Err(ConnectError::join(errors))
    }

    /// Tries every address of one host.
    async fn connect_to(&self, place: &Place, role: Role) -> Result<Session, ConnectError> {
        let mut errors = Vec::new();
        for config in self.configs(place).await? {
            match self.negotiate(place, config).await {
                Ok(session) => return session.settle(place, role).await,
                Err(error) if error.kind().is_about_the_host() => errors.push(error),
                Err(error) => return Err(error),
            }
        }
        Err(ConnectError::join(errors))
    }

    /// Tries with TLS and without, in the order that `sslmode` asks for.
    async fn negotiate(&self, place: &Place, config: Config) -> Result<Session, ConnectError> {
        let is_socket = matches!(place.host, Host::Socket(_));
        match self.tls.mode {
            _ if is_socket => self.open(place, config, SslMode::Disable).await,
            Mode::Disable => self.open(place, config, SslMode::Disable).await,
            Mode::Allow => match self.open(place, config.clone(), SslMode::Disable).await {
                Err(error) if error.kind() == ConnectErrorKind::Authentication => {
                    self.open(place, config, SslMode::Require).await
                }
                result => result,
            },
            Mode::Prefer => match self.open(place, config.clone(), SslMode::Prefer).await {
                Err(error) if error.kind() == ConnectErrorKind::Tls => {
                    self.open(place, config, SslMode::Disable).await
                }
                result => result,
            },
            Mode::Require | Mode::VerifyCa | Mode::VerifyFull => {
                self.open(place, config, SslMode::Require).await
            }
        }
    }

    async fn open(
        &self,
        place: &Place,
        mut config: Config,
        mode: SslMode,
    ) -> Result<Session, ConnectError> {
        config.ssl_mode(mode);
        let failed = |error: tokio_postgres::Error| {
            let place = place.to_string();
            ConnectError::from_driver(&error, &place, &self.user, &self.database)
        };
        let (client, task) = if mode == SslMode::Disable {
            let (client, connection) = config.connect(NoTls).await.map_err(failed)?;
            // What ends a connection reaches whoever awaits an answer on it.
            (client, tokio::spawn(async move { drop(connection.await) }))
        } else {
            let tls = self.tls.connector()?;
            let (client, connection) = config.connect(tls).await.map_err(failed)?;
            (client, tokio::spawn(async move { drop(connection.await) }))
        };
        Ok(Session {
            client,
            task: Task(task),
            address: format!("{place}/{}", self.database),
        })
    }

    /// Makes the driver's configuration for each address of a host.
    async fn configs(&self, place: &Place) -> Result<Vec<Config>, ConnectError> {
        let mut config = Config::new();
        config
            .user(&self.user)
            .dbname(&self.database)
            .port(place.port)
            .application_name(APPLICATION_NAME)
            .options(self.startup_options())
            .channel_binding(self.channel_binding)
            .ssl_negotiation(self.ssl_negotiation)
            .keepalives(self.keepalive.enabled)
            .keepalives_idle(self.keepalive.idle)
            .keepalives_interval(self.keepalive.interval)
            .keepalives_retries(self.keepalive.retries)
            .tcp_user_timeout(self.keepalive.user_timeout);
        if let Some(password) = self.password(place) {
            config.password(password);
        }
        let name = match &place.host {
            Host::Socket(folder) => {
                config.host_path(folder);
                return Ok(vec![config]);
            }
            Host::Tcp(name) => name,
        };
        config.host(name);
        let addresses = match place.address {
            Some(address) => vec![address],
            None => tokio::net::lookup_host((name.as_str(), place.port))
                .await
                .map_err(|error| unknown_host(name, &error))?
                .map(|address: SocketAddr| address.ip())
                .collect(),
        };
        let with = |address| {
            let mut config = config.clone();
            config.hostaddr(address);
            config
        };
        Ok(addresses.into_iter().map(with).collect())
    }

    /// Writes the `options` of the startup packet: the user's own, then ours.
    fn startup_options(&self) -> String {
        let mut options = self.options.clone().unwrap_or_default();
        for (name, value) in SETTINGS {
            options.push_str(" -c ");
            options.push_str(name);
            options.push('=');
            options.push_str(value);
        }
        options
    }
}

impl Session {
    /// Makes sure that the settings arrived, and that the server is of the kind wanted.
    async fn settle(self, place: &Place, role: Role) -> Result<Self, ConnectError> {
        let answer = self.client.simple_query(SETTLE).await.map_err(|error| {
            ConnectError::from_driver(&error, &place.to_string(), "", &self.address)
        })?;
        let row = answer.iter().find_map(|message| match message {
            SimpleQueryMessage::Row(row) => Some(row),
            _ => None,
        });
        let Some(row) = row else {
            return Err(ConnectError::new(
                ConnectErrorKind::Pooler,
                format!(
                    "{place} does not pass a session's settings on to the server, so it is a \
                     connection pooler; connect to the database server itself"
                ),
            ));
        };
        let in_recovery = row.try_get("in_recovery").ok().flatten() == Some("t");
        match role {
            Role::Primary if in_recovery => Err(wrong_role(place, "standby", "primary")),
            Role::Standby if !in_recovery => Err(wrong_role(place, "primary", "standby")),
            _ => Ok(self),
        }
    }
}

fn wrong_role(place: &Place, is: &str, wanted: &str) -> ConnectError {
    ConnectError::new(
        ConnectErrorKind::WrongRole,
        format!("{place} is a {is}, and target_session_attrs asks for a {wanted}"),
    )
}

fn no_answer(place: &Place, limit: Duration) -> ConnectError {
    ConnectError::new(
        ConnectErrorKind::TimedOut,
        format!(
            "{place} gave no answer within {} s; check the host, the port and firewalls, \
             or raise connect_timeout",
            limit.as_secs()
        ),
    )
}

fn unknown_host(name: &str, error: &std::io::Error) -> ConnectError {
    ConnectError::new(
        ConnectErrorKind::UnknownHost,
        format!("host \"{name}\" is unknown ({error}); check its spelling and the name service"),
    )
}

//! Where to connect, as whom and how: a connection string understood.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use tokio_postgres::config::{ChannelBinding, SslNegotiation};

use super::environment::Environment;
use super::error::ConnectError;
use super::options::Options;
use super::passfile::{Passfile, Secret};
use super::tls::{Mode, Tls};

/// The port of a server that says nothing else.
const PORT: u16 = 5432;

/// How long a host gets to answer, unless `connect_timeout` says otherwise.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A server and database to watch, and everything needed to get in.
///
/// Resolving reads files (service, password, existence of certificates) and opens
/// no connection. `Debug` shows no password.
#[derive(Clone, Debug)]
pub struct Target {
    pub(super) places: Vec<Place>,
    pub(super) user: String,
    pub(super) database: String,
    /// The password that was given outright.
    password: Option<Secret>,
    /// What else may know one.
    passfile: Passfile,
    pub(super) tls: Tls,
    pub(super) options: Option<String>,
    pub(super) channel_binding: ChannelBinding,
    pub(super) ssl_negotiation: SslNegotiation,
    pub(super) role: Role,
    pub(super) timeout: Option<Duration>,
    pub(super) keepalive: Keepalive,
    notices: Vec<String>,
}

/// One of the servers that may answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) host: Host,
    /// Spares the look-up of the name.
    pub(super) address: Option<IpAddr>,
    pub(super) port: u16,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Host {
    Tcp(String),
    /// The folder with the socket.
    Socket(PathBuf),
}

/// What kind of server is wanted.
///
/// `read-write` counts as primary and `read-only` as standby: this session cannot
/// write anywhere, so what it may is not asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Any,
    Primary,
    Standby,
    PreferStandby,
}

/// How a dead network is noticed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Keepalive {
    pub(super) enabled: bool,
    pub(super) idle: Duration,
    pub(super) interval: Duration,
    pub(super) retries: u32,
    pub(super) user_timeout: Duration,
}

impl Target {
    /// Understands a DSN: a URL, key=value pairs, the name of a database, or nothing.
    ///
    /// What it leaves open comes from the service it or `PGSERVICE` names, then from
    /// the `PG*` variables, then from libpq's defaults. `PGAPPNAME` is ignored.
    ///
    /// # Errors
    /// [`BadOption`](super::ConnectErrorKind::BadOption) names the option that cannot
    /// be used, or the service that is not defined.
    pub fn resolve(dsn: Option<&str>, environment: &Environment) -> Result<Self, ConnectError> {
        let options = Options::gather(dsn, environment)?;
        let user = options.get("user").or(environment.user()).ok_or_else(|| {
            ConnectError::option("user", "is not given, and this system's user has no name")
        })?;
        let mut notices = Vec::new();
        let passfile = options
            .get("passfile")
            .map(PathBuf::from)
            .or_else(|| environment.in_home(".pgpass"))
            .map(|path| Passfile::read(&path, &mut notices));
        let channel_binding = match options.get("channel_binding") {
            None | Some("prefer") => ChannelBinding::Prefer,
            Some("disable") => ChannelBinding::Disable,
            Some("require") => ChannelBinding::Require,
            Some(_) => {
                return Err(ConnectError::option(
                    "channel_binding",
                    "is none of disable, prefer, require",
                ));
            }
        };
        let tls = Tls::resolve(&options, environment)?;
        Ok(Self {
            places: places(&options, environment)?,
            user: user.to_owned(),
            database: options.get("dbname").unwrap_or(user).to_owned(),
            password: options.get("password").map(|word| Secret(word.to_owned())),
            passfile: passfile.unwrap_or_default(),
            ssl_negotiation: ssl_negotiation(&options, tls.mode)?,
            tls,
            options: options.get("options").map(str::to_owned),
            channel_binding,
            role: role(&options)?,
            timeout: match options.number("connect_timeout")? {
                None => Some(CONNECT_TIMEOUT),
                Some(seconds) => u64::try_from(seconds)
                    .ok()
                    .filter(|&seconds| seconds > 0)
                    .map(Duration::from_secs),
            },
            keepalive: Keepalive::resolve(&options)?,
            notices,
        })
    }

    /// Tells whether a DSN holds a password, and so whether it can be read at all.
    ///
    /// # Errors
    /// As [`Target::resolve`] for what the string itself says.
    pub fn holds_password(dsn: &str) -> Result<bool, ConnectError> {
        Ok(Options::parse(dsn)?.get("password").is_some())
    }

    /// Says where this leads: `host:port/database`, several hosts parted by commas;
    /// a socket is named by its folder. There is no password in it.
    #[must_use]
    pub fn address(&self) -> String {
        let places: Vec<String> = self.places.iter().map(Place::to_string).collect();
        format!("{}/{}", places.join(","), self.database)
    }

    /// Leads to another database of the same server, with that database's line of `.pgpass`.
    #[must_use]
    pub fn for_database(&self, name: &str) -> Self {
        Self {
            database: name.to_owned(),
            ..self.clone()
        }
    }

    /// Tells what was ignored on the way, as a password file that others may read.
    #[must_use]
    pub fn notices(&self) -> &[String] {
        &self.notices
    }

    /// Gives the password for one place: the one given, else the password file's.
    pub(super) fn password(&self, place: &Place) -> Option<&str> {
        let host = match (&place.host, place.address) {
            // libpq asks for `localhost` where the socket is the default one. Any
            // socket is local, so both the folder and `localhost` are tried.
            (Host::Socket(folder), _) => folder.to_str().unwrap_or("localhost"),
            (Host::Tcp(name), _) => name,
        };
        let find = |host| {
            self.passfile
                .password(host, place.port, &self.database, &self.user)
        };
        let in_file = || match place.host {
            Host::Socket(_) => find(host).or_else(|| find("localhost")),
            Host::Tcp(_) => find(host),
        };
        self.password
            .as_ref()
            .or_else(in_file)
            .map(|secret| secret.0.as_str())
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Host::Socket(folder) => write!(f, "{}:{}", folder.display(), self.port),
            Host::Tcp(name) if name.contains(':') => write!(f, "[{name}]:{}", self.port),
            Host::Tcp(name) => write!(f, "{name}:{}", self.port),
        }
    }
}

/// Pairs hosts, addresses and ports, or finds the local socket.
fn places(options: &Options, environment: &Environment) -> Result<Vec<Place>, ConnectError> {
    let list = |keyword| -> Vec<&str> {
        options
            .get(keyword)
            .map(|value| value.split(',').map(str::trim).collect())
            .unwrap_or_default()
    };
    let (hosts, addresses, ports) = (list("host"), list("hostaddr"), list("port"));
    let count = hosts.len().max(addresses.len());
    if !hosts.is_empty() && !addresses.is_empty() && hosts.len() != addresses.len() {
        return Err(ConnectError::option("hostaddr", "has not as many as host"));
    }
    if ports.len() > 1 && ports.len() != count {
        return Err(ConnectError::option("port", "has not as many as host"));
    }
    let port = |at: usize| match ports.get(at).or(ports.first()).copied() {
        None | Some("") => Ok(PORT),
        Some(text) => text
            .parse()
            .ok()
            .filter(|&port| port != 0)
            .ok_or_else(|| ConnectError::option("port", "is no number from 1 to 65535")),
    };
    if count == 0 {
        return local_places(environment, port(0)?);
    }
    let mut places = Vec::new();
    for at in 0..count {
        let (port, host) = (port(at)?, hosts.get(at).copied().unwrap_or(""));
        let address: Option<IpAddr> = match addresses.get(at).copied().unwrap_or("") {
            "" => None,
            text => Some(
                text.parse()
                    .map_err(|_| ConnectError::option("hostaddr", "is no IP address"))?,
            ),
        };
        let host = match (host, address) {
            ("", None) => {
                places.extend(local_places(environment, port)?);
                continue;
            }
            ("", Some(address)) => Host::Tcp(address.to_string()),
            (folder, None) if folder.starts_with('/') => Host::Socket(folder.into()),
            (name, _) => Host::Tcp(name.to_owned()),
        };
        places.push(Place {
            host,
            address,
            port,
        });
    }
    Ok(places)
}

/// Finds the folder with a socket of that port; with none, all are worth a try.
fn local_places(environment: &Environment, port: u16) -> Result<Vec<Place>, ConnectError> {
    let folders = environment.socket_directories();
    let live = folders
        .iter()
        .find(|folder| folder.join(format!(".s.PGSQL.{port}")).exists());
    let candidates = live.map_or(folders, std::slice::from_ref);
    if candidates.is_empty() {
        return Err(ConnectError::option("host", "is not given"));
    }
    let place = |folder: &PathBuf| Place {
        host: Host::Socket(folder.clone()),
        address: None,
        port,
    };
    Ok(candidates.iter().map(place).collect())
}

fn role(options: &Options) -> Result<Role, ConnectError> {
    match options.get("target_session_attrs") {
        None | Some("any") => Ok(Role::Any),
        Some("read-write" | "primary") => Ok(Role::Primary),
        Some("read-only" | "standby") => Ok(Role::Standby),
        Some("prefer-standby") => Ok(Role::PreferStandby),
        Some(_) => Err(ConnectError::option(
            "target_session_attrs",
            "is none of any, primary, standby, prefer-standby, read-write, read-only",
        )),
    }
}

fn ssl_negotiation(options: &Options, mode: Mode) -> Result<SslNegotiation, ConnectError> {
    match options.get("sslnegotiation") {
        None | Some("postgres") => Ok(SslNegotiation::Postgres),
        Some("direct") if matches!(mode, Mode::Disable | Mode::Allow | Mode::Prefer) => {
            Err(ConnectError::option(
                "sslnegotiation",
                "may be direct only with sslmode require, verify-ca or verify-full",
            ))
        }
        Some("direct") => Ok(SslNegotiation::Direct),
        Some(_) => Err(ConnectError::option(
            "sslnegotiation",
            "is none of postgres, direct",
        )),
    }
}

impl Keepalive {
    fn resolve(options: &Options) -> Result<Self, ConnectError> {
        let positive = |keyword: &str, default: u32| -> Result<u32, ConnectError> {
            let given = options.number(keyword)?.and_then(|n| u32::try_from(n).ok());
            Ok(given.filter(|&n| n > 0).unwrap_or(default))
        };
        let seconds = |keyword, default| {
            positive(keyword, default).map(|n| Duration::from_secs(u64::from(n)))
        };
        Ok(Self {
            enabled: options.number("keepalives")? != Some(0),
            idle: seconds("keepalives_idle", 30)?,
            interval: seconds("keepalives_interval", 10)?,
            retries: positive("keepalives_count", 3)?,
            user_timeout: Duration::from_millis(u64::from(positive("tcp_user_timeout", 30_000)?)),
        })
    }
}

#[cfg(test)]
mod tests;

//! The configuration: which servers are watched, where to, and how.
//!
//! ```toml
//! data_dir = "/var/lib/pgjam"            # a server's recording goes to data_dir/NAME
//!
//! [defaults]                             # what the servers have in common
//! budget = "2%"
//! raw_age = "14d"
//!
//! [servers.prod-7]
//! dsn = "host=db7 dbname=app user=pgjam" # a password belongs into ~/.pgpass
//! ```
//!
//! - A file is validated whole: every mistake is told with its line and its key, all at once, and
//!   an unknown key with the one that may have been meant. A file with a mistake changes nothing.
//! - Reading it opens no connection and needs no server to be there.
//! - A connection string is in no message and no `Debug` output: it may hold a password.

mod quantity;
mod read;
mod table;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::sample::pace::{BUDGET, Cadence, Need};
use crate::system::Naming;

use super::http;

pub use self::quantity::{Age, Bytes};

/// Where recordings go unless `data_dir` says otherwise: systemd's `StateDirectory=pgjam`.
pub const DATA_DIR: &str = "/var/lib/pgjam";

/// Where a machine's configuration is.
const SYSTEM_FILE: &str = "/etc/pgjam/config.toml";

/// A configuration that can be used.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// The file that it was read from.
    pub file: PathBuf,
    /// The servers by name.
    pub servers: BTreeMap<String, Settings>,
    /// Where HTTP is spoken, and to whom.
    pub http: http::Settings,
    /// How the log is written.
    pub log: Log,
    /// What is not wrong and should be known, as a password that others can read.
    pub notices: Vec<String>,
}

/// How one server is watched.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// How it is reached; without it the `PG*` variables tell.
    pub dsn: Option<Dsn>,
    /// The folder of its recording.
    pub to: PathBuf,
    /// How often it is looked at.
    pub cadence: Cadence,
    /// The share of the server's time that looking may take.
    pub budget: f64,
    /// How its systems are named.
    pub system_by: Naming,
    /// How much of the past is kept.
    pub retention: Retention,
    /// How much memory what waits for the disk may take.
    pub memory: Bytes,
}

/// A connection string, which may hold a password.
#[derive(Clone, PartialEq, Eq)]
pub struct Dsn(String);

/// How much of the past is kept: whatever is beyond any of the bounds goes, the oldest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Rows as they were sampled.
    pub raw_bytes: Bytes,
    /// The same by age.
    pub raw_age: Age,
    /// What they were condensed to.
    pub rollup_bytes: Bytes,
    /// The same by age.
    pub rollup_age: Age,
    /// Days of these by the minute; beyond, they become sums of hours.
    pub minutes_bytes: Bytes,
    /// Days of these by the hour; beyond, they become sums of a day.
    pub hours_bytes: Bytes,
}

/// How the log is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Log {
    /// In which form.
    pub format: LogFormat,
    /// How much of it.
    pub level: LogLevel,
}

/// The forms of the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// Lines for people.
    #[default]
    Human,
    /// A JSON object a line.
    Json,
}

/// How much is logged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogLevel {
    /// What somebody has to mend.
    Error,
    /// And what passes by itself.
    Warn,
    /// And what goes as it should.
    #[default]
    Info,
    /// And how.
    Debug,
}

/// A configuration that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration {}: {reason}", file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// What the machine said.
        reason: String,
    },
    /// There is none.
    #[error(
        "there is no configuration: looked for {}; name one with --config",
        listed(.0)
    )]
    Nowhere(Vec<PathBuf>),
    /// There are mistakes in it, one a line.
    #[error("{}", .0.iter().map(Mistake::to_string).collect::<Vec<_>>().join("\n"))]
    Mistakes(Vec<Mistake>),
    /// No server has that name.
    #[error("{} names no server \"{name}\"{}", file.display(), known_names(known))]
    UnknownServer {
        /// The configuration.
        file: PathBuf,
        /// The name that was asked for.
        name: String,
        /// The names that there are.
        known: Vec<String>,
    },
}

/// A mistake in a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// The file.
    pub file: PathBuf,
    /// The line, from 1.
    pub line: usize,
    /// The key with its tables, as `servers.prod.hz`; empty where the file is no TOML there.
    pub key: String,
    /// What is wrong with it.
    pub said: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            file,
            line,
            key,
            said,
        } = self;
        write!(f, "{}:{line}: ", file.display())?;
        match key.as_str() {
            "" => f.write_str(said),
            key => write!(f, "{key} {said}"),
        }
    }
}

fn listed(files: &[PathBuf]) -> String {
    let files: Vec<String> = files
        .iter()
        .map(|file| file.display().to_string())
        .collect();
    files.join(", ")
}

fn known_names(known: &[String]) -> String {
    if known.is_empty() {
        "; it names none at all".to_owned()
    } else {
        format!("; it has {}", known.join(", "))
    }
}

impl Config {
    /// Reads and validates a file.
    ///
    /// # Errors
    ///
    /// Where it cannot be read, or has mistakes: all of them.
    pub fn read(file: &Path) -> Result<Self, ConfigError> {
        let unreadable = |error: &dyn fmt::Display| ConfigError::Unreadable {
            file: file.to_owned(),
            reason: error.to_string(),
        };
        let text = std::fs::read(file).map_err(|error| unreadable(&error))?;
        let text = String::from_utf8(text).map_err(|_| unreadable(&"it is not UTF-8"))?;
        let mut config = read::config(file, &text)?;
        config.notices.extend(readable_passwords(&config));
        Ok(config)
    }

    /// Finds the configuration that counts where none is named: `PGJAM_CONFIG`, that of the
    /// user, that of the machine; the first that is there.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Nowhere`] lists where it was looked for.
    pub fn find() -> Result<PathBuf, ConfigError> {
        let path = |name: &str| {
            let value = std::env::var_os(name).filter(|value| !value.is_empty());
            value.map(PathBuf::from)
        };
        // Whoever sets it means it, and wants to hear that the file is missing.
        if let Some(named) = path("PGJAM_CONFIG") {
            return Ok(named);
        }
        let of_user = path("XDG_CONFIG_HOME").or_else(|| Some(path("HOME")?.join(".config")));
        let of_user = of_user.map(|folder| folder.join("pgjam/config.toml"));
        let places: Vec<PathBuf> = of_user.into_iter().chain([SYSTEM_FILE.into()]).collect();
        let found = places.iter().find(|file| file.exists()).cloned();
        found.ok_or(ConfigError::Nowhere(places))
    }

    /// Gives the settings of a server.
    ///
    /// # Errors
    ///
    /// [`ConfigError::UnknownServer`] lists those that there are.
    pub fn server(&self, name: &str) -> Result<&Settings, ConfigError> {
        self.servers
            .get(name)
            .ok_or_else(|| ConfigError::UnknownServer {
                file: self.file.clone(),
                name: name.to_owned(),
                known: self.servers.keys().cloned().collect(),
            })
    }
}

/// Says which passwords others than the owner of the file can read.
fn readable_passwords(config: &Config) -> Option<String> {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = std::fs::metadata(&config.file).ok()?.permissions().mode();
    let holds = |settings: &&Settings| settings.dsn.as_ref().is_some_and(Dsn::holds_a_password);
    let count = config.servers.values().filter(holds).count();
    let others = mode & 0o077;
    (count > 0 && others != 0).then(|| {
        format!(
            "{} holds {count} password{} and its mode {:04o} lets others read it: chmod 0600, \
             or better put passwords into ~/.pgpass",
            config.file.display(),
            if count == 1 { "" } else { "s" },
            mode & 0o7777
        )
    })
}

impl Settings {
    /// Gives what holds where nothing is said, for a server whose recording goes to a folder.
    #[must_use]
    pub fn usual(dsn: Option<Dsn>, to: PathBuf) -> Self {
        Self {
            dsn,
            to,
            cadence: Cadence::ByNeed(Need::default()),
            budget: BUDGET,
            system_by: Naming::default(),
            retention: Retention::USUAL,
            memory: Bytes::from_mib(64),
        }
    }
}

impl Dsn {
    /// Takes a connection string.
    #[must_use]
    pub fn new(dsn: impl Into<String>) -> Self {
        Self(dsn.into())
    }

    /// Gives it as it is.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn holds_a_password(&self) -> bool {
        crate::connect::Target::holds_password(&self.0).unwrap_or(true)
    }
}

impl fmt::Debug for Dsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Dsn(…)")
    }
}

impl Retention {
    /// What holds where nothing is said.
    pub const USUAL: Self = Self {
        raw_bytes: Bytes::from_gib(4),
        raw_age: Age::from_days(14),
        rollup_bytes: Bytes::from_gib(1),
        rollup_age: Age::from_days(400),
        minutes_bytes: Bytes::from_mib(24),
        hours_bytes: Bytes::from_mib(12),
    };
}

impl Age {
    /// Gives it as the clock has it.
    #[must_use]
    pub const fn as_duration(self) -> Duration {
        Duration::from_secs(self.as_secs())
    }
}

#[cfg(test)]
mod tests;

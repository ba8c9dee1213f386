//! What surrounds a connection string: variables, the home folder, the user.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

/// The surroundings that a [`Target`](super::Target) is resolved in, as a value.
#[derive(Clone, Default)]
pub struct Environment {
    variables: BTreeMap<String, String>,
    home: Option<PathBuf>,
    user: Option<String>,
    socket_directories: Vec<PathBuf>,
    system_directory: Option<PathBuf>,
}

impl Environment {
    /// Takes the `PG*` variables, the home folder and the user of this process, and
    /// the folders where distributions put PostgreSQL's socket and service file.
    #[must_use]
    pub fn from_process() -> Self {
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
        let uid = rustix::process::geteuid().as_raw();
        Self {
            variables: std::env::vars_os()
                .filter_map(|(name, value)| {
                    Some((name.into_string().ok()?, value.into_string().ok()?))
                })
                .filter(|(name, _)| name.starts_with("PG"))
                .collect(),
            home: variable("HOME").map(PathBuf::from),
            user: login_name(&passwd, uid)
                .or_else(|| variable("USER"))
                .or_else(|| variable("LOGNAME")),
            socket_directories: ["/var/run/postgresql", "/tmp"].map(PathBuf::from).to_vec(),
            system_directory: Some("/etc/postgresql-common".into()),
        }
    }

    /// Makes surroundings in which nothing is set and nothing is found.
    #[must_use]
    pub fn bare() -> Self {
        Self::default()
    }

    /// Sets one `PG*` variable.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.variables.insert(name.to_owned(), value.to_owned());
        self
    }

    /// Sets the home folder, where `.pgpass`, `.pg_service.conf` and `.postgresql` are looked for.
    #[must_use]
    pub fn with_home(mut self, home: &Path) -> Self {
        self.home = Some(home.to_owned());
        self
    }

    /// Sets the name of the operating system's user.
    #[must_use]
    pub fn with_user(mut self, user: &str) -> Self {
        self.user = Some(user.to_owned());
        self
    }

    /// Sets where a socket is looked for when no host is named, in order.
    #[must_use]
    pub fn with_socket_directories(mut self, directories: &[&Path]) -> Self {
        self.socket_directories = directories.iter().map(|&path| path.to_owned()).collect();
        self
    }

    pub(super) fn variable(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(String::as_str)
    }

    /// A file in the home folder, whether or not it exists.
    pub(super) fn in_home(&self, path: &str) -> Option<PathBuf> {
        self.home.as_ref().map(|home| home.join(path))
    }

    pub(super) fn user(&self) -> Option<&str> {
        self.user.as_deref()
    }

    pub(super) fn socket_directories(&self) -> &[PathBuf] {
        &self.socket_directories
    }

    /// Where the system-wide service file lies.
    pub(super) fn system_directory(&self) -> Option<PathBuf> {
        self.variable("PGSYSCONFDIR")
            .map(PathBuf::from)
            .or_else(|| self.system_directory.clone())
    }
}

/// Shows which variables are set, never their values: one is the password.
impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Environment")
            .field("variables", &self.variables.keys().collect::<Vec<_>>())
            .field("home", &self.home)
            .field("user", &self.user)
            .field("socket_directories", &self.socket_directories)
            .field("system_directory", &self.system_directory)
            .finish()
    }
}

/// Finds a user id's name in the text of `/etc/passwd`.
fn login_name(passwd: &str, uid: u32) -> Option<String> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid)).then(|| name.to_owned())
    })
}

//! A PostgreSQL server of our own, for as long as a value lives.
//!
//! - A [`ThrowAway`] is one child process, one temporary folder with data, socket and
//!   log, and nothing else. Both are gone when the value is.
//! - It is reached through a socket in a folder that only its owner may enter; by TCP
//!   on the loopback, with a password, when asked.
//! - `postgres` refuses to run as root, so under root it runs as nobody.
//! - A process that is killed outright cannot clean up, so a shell waits at the other
//!   end of a pipe and does it then.
//!
//! It never touches a folder it did not make, nor a process it did not start.

use std::fmt::Write as _;
use std::fs::{self, File, Permissions};
use std::io::Write as _;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::thread::sleep;
use std::time::{Duration, Instant};

use postgres::{Client, NoTls};
use rustix::process::{Signal, geteuid};
use tempfile::TempDir;

use super::standing::{GLANCE, Standing};
use super::{LabError, find};

pub use super::cleanup::{stop_all, stop_on_signals};

/// Who runs the server when we are root.
const NOBODY: u32 = 65_534;

/// The role that owns everything.
const SUPERUSER: &str = "postgres";

/// How long a start may take.
const START_WITHIN: Duration = Duration::from_mins(1);

/// The longest socket path that every system takes (103 bytes on macOS, 107 on Linux).
const SOCKET_PATH_LIMIT: usize = 103;

/// What the server should be like.
#[derive(Clone, Debug)]
pub struct Options {
    /// The folder of `initdb` and `postgres`; searched for when not given.
    pub pg_bin: Option<PathBuf>,
    /// `max_connections`.
    pub max_connections: u32,
    /// Load and create `pg_stat_statements` where the installation has it.
    pub statements: bool,
    /// Whether commits reach the disk.
    pub fsync: bool,
    /// Listen on 127.0.0.1 too, on a free port, with this password for `postgres` and
    /// SCRAM for everybody.
    pub tcp_password: Option<String>,
    /// Further settings, as in `postgresql.conf`; they win over ours.
    pub settings: Vec<(String, String)>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            pg_bin: None,
            max_connections: 300,
            statements: true,
            fsync: true,
            tcp_password: None,
            settings: Vec::new(),
        }
    }
}

/// A running server that is stopped and removed with the value.
#[derive(Debug)]
pub struct ThrowAway {
    standing: Arc<Standing>,
    binaries: PathBuf,
    folder: PathBuf,
    port: u16,
    has_statements: bool,
}

impl ThrowAway {
    /// Makes a cluster, starts it and waits until it answers.
    ///
    /// # Errors
    /// When there are no binaries, the folder cannot be made, or the server does not
    /// come up; its last words are in the error, and nothing stays behind.
    pub fn start(options: &Options) -> Result<Self, LabError> {
        let binaries = find::server_folder(options.pg_bin.as_deref())?;
        let folder = private_folder()?;
        let path = folder.path().to_path_buf();
        let standing = Standing::new(folder);

        let data = path.join("data");
        let mut initdb = server_command(&binaries, "initdb", &path, "initdb.log")?;
        initdb
            .args([
                "--auth=trust",
                "--encoding=UTF8",
                "--no-locale",
                "--no-sync",
            ])
            .args(["--username", SUPERUSER, "--pgdata"])
            .arg(&data);
        standing.spawn(&mut initdb)?;
        let status = standing.wait_for_end()?;
        if !status.success() {
            return Err(LabError::Server {
                program: "initdb",
                said: last_words(&path.join("initdb.log")),
            });
        }

        let has_statements =
            options.statements && find::has_library(&binaries, "pg_stat_statements");
        let port = match options.tcp_password {
            Some(_) => free_port()?,
            None => 5432,
        };
        configure(&path, options, port, has_statements)?;
        let server = Self {
            standing,
            binaries,
            folder: path,
            port,
            has_statements,
        };
        server.launch()?;
        server.furnish(options)?;
        Ok(server)
    }

    /// Starts the postmaster and whoever looks after it.
    fn launch(&self) -> Result<(), LabError> {
        let mut postgres = server_command(&self.binaries, "postgres", &self.folder, "server.log")?;
        postgres.arg("-D").arg(self.folder.join("data"));
        self.standing.spawn(&mut postgres)?;
        self.standing.post_watchman(&self.folder)
    }

    /// Waits for the first connection.
    fn first_connection(&self) -> Result<Client, LabError> {
        let deadline = Instant::now() + START_WITHIN;
        loop {
            match self.connect(SUPERUSER) {
                Ok(client) => return Ok(client),
                Err(error) if self.standing.has_ended()? || Instant::now() > deadline => {
                    let said = last_words(&self.log_path());
                    return Err(if said.is_empty() {
                        error
                    } else {
                        LabError::Server {
                            program: "postgres",
                            said,
                        }
                    });
                }
                Err(_) => sleep(GLANCE),
            }
        }
    }

    /// Makes what the options ask for.
    fn furnish(&self, options: &Options) -> Result<(), LabError> {
        let mut client = self.first_connection()?;
        if self.has_statements {
            client
                .batch_execute("CREATE EXTENSION IF NOT EXISTS pg_stat_statements")
                .map_err(LabError::postgres("create pg_stat_statements"))?;
        }
        if let Some(password) = &options.tcp_password {
            let literal = password.replace('\'', "''");
            client
                .batch_execute(&format!(
                    "SET standard_conforming_strings = on; \
                     ALTER ROLE {SUPERUSER} PASSWORD '{literal}'"
                ))
                .map_err(LabError::postgres("set the password"))?;
        }
        Ok(())
    }

    /// Writes the connection string, key=value, that reaches `database` as `role`
    /// through the socket. No password is asked there.
    #[must_use]
    pub fn dsn(&self, database: &str, role: &str) -> String {
        let folder = self.folder.display().to_string();
        self.connection_string(&folder, database, role)
    }

    /// The same by TCP, without the password; only with [`Options::tcp_password`].
    #[must_use]
    pub fn tcp_dsn(&self, database: &str, role: &str) -> String {
        self.connection_string("127.0.0.1", database, role)
    }

    fn connection_string(&self, host: &str, database: &str, role: &str) -> String {
        format!(
            "host={} port={} dbname={} user={}",
            quoted(host),
            self.port,
            quoted(database),
            quoted(role)
        )
    }

    /// Connects to `database` as the superuser.
    ///
    /// # Errors
    /// When the server refuses or is gone.
    pub fn connect(&self, database: &str) -> Result<Client, LabError> {
        Client::connect(&self.dsn(database, SUPERUSER), NoTls)
            .map_err(LabError::postgres("connect to the throw-away server"))
    }

    /// Gives the file that the server logs to, in its own format on standard error.
    #[must_use]
    pub fn log_path(&self) -> PathBuf {
        self.folder.join("server.log")
    }

    /// Gives the folder that holds all of it, the socket included.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Gives the port, which names the socket too.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Tells whether `pg_stat_statements` is loaded and created in `postgres`.
    #[must_use]
    pub const fn has_statements(&self) -> bool {
        self.has_statements
    }

    /// Gives the postmaster's process id, none once it was stopped.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.standing.pid()
    }

    /// Stops the server by a signal to its postmaster: SIGTERM waits for everybody, SIGINT is
    /// fast, SIGQUIT immediate, SIGKILL a crash. Its folder stays, for [`ThrowAway::resume`].
    ///
    /// # Errors
    /// When it was stopped for good.
    pub fn halt(&self, how: Signal) -> Result<(), LabError> {
        self.standing.halt(how)
    }

    /// Starts the server again and waits until it answers.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn resume(&self) -> Result<(), LabError> {
        self.launch()?;
        self.first_connection().map(drop)
    }

    /// Stops the server as an operator would (fast), and removes its folder.
    ///
    /// # Errors
    /// When the folder cannot be removed.
    pub fn stop(self) -> Result<(), LabError> {
        self.standing.end(Signal::INT)
    }

    /// Stops the server as a crash would (immediate), and removes its folder.
    ///
    /// # Errors
    /// When the folder cannot be removed.
    pub fn crash(&mut self) -> Result<(), LabError> {
        self.standing.end(Signal::QUIT)
    }
}

/// Makes a temporary folder that the server's user owns and can reach, short enough
/// for a socket.
fn private_folder() -> Result<TempDir, LabError> {
    let usual = std::env::temp_dir();
    let short = usual.as_os_str().len() + "/pgjam-123456/.s.PGSQL.65535.lock".len();
    let reachable = !geteuid().is_root()
        || usual.ancestors().all(|folder| {
            fs::metadata(folder).is_ok_and(|about| about.permissions().mode() & 0o001 != 0)
        });
    let base = if short <= SOCKET_PATH_LIMIT && reachable {
        usual
    } else {
        PathBuf::from("/tmp")
    };
    let making = || LabError::io(format!("make a folder in {}", base.display()));
    let folder = tempfile::Builder::new()
        .prefix("pgjam-")
        .tempdir_in(&base)
        .map_err(making())?;
    fs::set_permissions(folder.path(), Permissions::from_mode(0o700)).map_err(making())?;
    if geteuid().is_root() {
        chown(folder.path(), Some(NOBODY), Some(NOBODY)).map_err(making())?;
    }
    Ok(folder)
}

/// Prepares one of the server's programs: as nobody under root, in its own folder and
/// process group (a Ctrl-C is ours to pass on), its output in a file.
fn server_command(
    binaries: &Path,
    program: &'static str,
    folder: &Path,
    log: &str,
) -> Result<Command, LabError> {
    let opening = || LabError::io(format!("write {log} in {}", folder.display()));
    let output = File::options()
        .append(true)
        .create(true)
        .open(folder.join(log))
        .map_err(opening())?;
    let mut command = Command::new(binaries.join(program));
    command
        .current_dir(folder)
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(output.try_clone().map_err(opening())?)
        .stderr(output);
    if geteuid().is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
    Ok(command)
}

fn configure(
    folder: &Path,
    options: &Options,
    port: u16,
    has_statements: bool,
) -> Result<(), LabError> {
    let on_off = |yes| if yes { "on" } else { "off" };
    let listen = options.tcp_password.as_ref().map_or("", |_| "127.0.0.1");
    let preload = if has_statements {
        "pg_stat_statements"
    } else {
        ""
    };
    let ours = [
        ("listen_addresses", listen.to_owned()),
        ("port", port.to_string()),
        ("unix_socket_directories", folder.display().to_string()),
        ("max_connections", options.max_connections.to_string()),
        ("shared_preload_libraries", preload.to_owned()),
        ("fsync", on_off(options.fsync).to_owned()),
        ("logging_collector", "off".to_owned()),
        ("password_encryption", "scram-sha-256".to_owned()),
    ];
    let theirs = options
        .settings
        .iter()
        .map(|(name, value)| (name.as_str(), value.clone()));
    let mut lines = String::new();
    for (name, value) in ours.into_iter().chain(theirs) {
        let _ = writeln!(lines, "{name} = '{}'", value.replace('\'', "''"));
    }
    let append = |file: &str, text: &str| {
        fs::OpenOptions::new()
            .append(true)
            .open(folder.join("data").join(file))
            .and_then(|mut file| file.write_all(text.as_bytes()))
            .map_err(LabError::io(format!(
                "write {file} in {}",
                folder.display()
            )))
    };
    append("postgresql.conf", &lines)?;
    fs::write(
        folder.join("data/pg_hba.conf"),
        "local all all trust\nlocal replication all trust\nhost all all 127.0.0.1/32 scram-sha-256\n",
    )
    .map_err(LabError::io(format!("write pg_hba.conf in {}", folder.display())))
}

fn free_port() -> Result<u16, LabError> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .and_then(|listener| listener.local_addr())
        .map(|address| address.port())
        .map_err(LabError::io("find a free port on 127.0.0.1"))
}

/// Quotes a value of a key=value connection string.
fn quoted(value: &str) -> String {
    format!("'{}'", value.replace('\\', "\\\\").replace('\'', "\\'"))
}

fn last_words(log: &Path) -> String {
    let text = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect();
    lines[lines.len().saturating_sub(5)..].join(" / ")
}

//! A primary, and a standby that was copied from it and streams its changes.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use pgjam::lab::server::{Options, ThrowAway};
use pgjam::sample::live::{Options as Watch, Source};
use pgjam::sample::{Name, Snapshot, StatementText};
use postgres::{CancelToken, Client, Config, NoTls};

/// Longer than anything here takes.
const SOON: Duration = Duration::from_secs(30);

/// A primary with its standby; both are stopped with the value.
pub(crate) struct Pair {
    // In the order in which they end: a primary that stops waits for its standby.
    standby: Standby,
    primary: ThrowAway,
}

impl Pair {
    pub(crate) fn start(binaries: &Path) -> Self {
        let setting = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let primary = ThrowAway::start(&Options {
            pg_bin: Some(binaries.to_path_buf()),
            fsync: false,
            max_connections: 40,
            settings: vec![
                setting("wal_level", "replica"),
                setting("wal_keep_size", "256MB"),
                // The standby waits for its readers rather than ending them.
                setting("max_standby_streaming_delay", "-1"),
                setting("hot_standby_feedback", "off"),
                setting("autovacuum", "off"),
            ],
            ..Options::default()
        })
        .unwrap();
        primary
            .connect("postgres")
            .unwrap()
            .batch_execute(
                "create table hot (id int primary key, n int); \
                 insert into hot values (1, 0), (2, 0)",
            )
            .unwrap();
        let standby = Standby::copy_of(&primary);
        let pair = Self { standby, primary };
        pair.caught_up();
        pair
    }

    pub(crate) fn primary(&self, name: &str) -> Client {
        client(&self.primary.dsn("postgres", "postgres"), name)
    }

    pub(crate) fn standby(&self, name: &str) -> Client {
        client(&self.standby.dsn(), name)
    }

    /// Waits until the standby has replayed what the primary has written.
    pub(crate) fn caught_up(&self) {
        let written = self
            .primary("poll")
            .query_one("select pg_current_wal_flush_lsn()::text", &[])
            .unwrap();
        let written: String = written.get(0);
        self.until_on_standby(&format!(
            "select coalesce(pg_last_wal_replay_lsn() >= '{written}', false)"
        ));
    }

    pub(crate) fn until_on_standby(&self, condition: &str) {
        let mut client = self.standby("poll");
        let begun = Instant::now();
        while !client.query_one(condition, &[]).unwrap().get::<_, bool>(0) {
            assert!(begun.elapsed() < SOON, "never came about: {condition}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Runs `sql` on the standby in a thread of its own, where it waits for a lock.
    pub(crate) fn behind_on_standby(&self, name: &str, sql: &str) -> Waiter {
        let mut client = self.standby(name);
        let pid = pid(&mut client);
        let token = client.cancel_token();
        let sql = sql.to_owned();
        let thread = std::thread::spawn(move || {
            let _ = client.batch_execute(&sql);
        });
        self.until_on_standby(&format!(
            "select exists (select from pg_stat_activity where pid = {pid} and wait_event_type = 'Lock')"
        ));
        Waiter {
            pid,
            token,
            thread: Some(thread),
        }
    }

    /// Looks at the standby once, as `pgjam now` does.
    pub(crate) fn look<T>(
        &self,
        read: impl FnOnce(&Snapshot, &[Name], &[StatementText]) -> T,
    ) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let mut config: tokio_postgres::Config = self.standby.dsn().parse().unwrap();
            config.application_name("pgjam");
            let (client, connection) = config.connect(tokio_postgres::NoTls).await.unwrap();
            let connection = tokio::spawn(connection);
            client
                .batch_execute("set client_encoding = 'SQL_ASCII'")
                .await
                .unwrap();
            let mut source = Source::new(&client, Watch::default()).await.unwrap();
            let snapshot = source.tick().await.unwrap();
            let texts = source.learned();
            let names = source.names(&snapshot).await;
            connection.abort();
            read(&snapshot, &names, &texts)
        })
    }
}

/// A session that waits until it is cancelled.
pub(crate) struct Waiter {
    pub(crate) pid: i32,
    token: CancelToken,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Waiter {
    fn drop(&mut self) {
        let _ = self.token.cancel_query(NoTls);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// A server that replays what another one writes; its folder is inside the other's.
struct Standby {
    server: Child,
    folder: PathBuf,
}

impl Standby {
    fn copy_of(primary: &ThrowAway) -> Self {
        let folder = primary.folder().join("standby");
        let data = folder.join("data");
        fs::create_dir(&folder).unwrap();
        let mut backup = primary.connect("postgres").unwrap();
        let version: i32 = backup
            .query_one("select current_setting('server_version_num')::int", &[])
            .unwrap()
            .get(0);
        // The functions have other names since 15.
        let (begin, end) = if version < 150_000 {
            (
                "select pg_start_backup('standby', true, false)::text",
                "select labelfile from pg_stop_backup(false)",
            )
        } else {
            (
                "select pg_backup_start('standby', true)::text",
                "select labelfile from pg_backup_stop()",
            )
        };
        backup.query_one(begin, &[]).unwrap();
        copy(&primary.folder().join("data"), &data);
        let label: String = backup.query_one(end, &[]).unwrap().get(0);
        fs::write(data.join("backup_label"), label).unwrap();
        fs::write(data.join("standby.signal"), "").unwrap();
        let settings = format!(
            "port = 5432\nunix_socket_directories = '{}'\nprimary_conninfo = '{}'\n",
            folder.display(),
            primary.dsn("postgres", "postgres").replace('\'', "''"),
        );
        fs::write(data.join("postgresql.auto.conf"), settings).unwrap();
        let _ = fs::remove_file(data.join("postmaster.pid"));
        let owner = fs::metadata(primary.folder()).unwrap();
        let (user, group) = {
            use std::os::unix::fs::MetadataExt;
            (owner.uid(), owner.gid())
        };
        own(&folder, user, group);
        fs::set_permissions(&data, fs::Permissions::from_mode(0o700)).unwrap();
        let binary = fs::read_link(format!("/proc/{}/exe", primary.pid().unwrap())).unwrap();
        let log = fs::File::create(folder.join("server.log")).unwrap();
        let mut command = Command::new(binary);
        command
            .arg("-D")
            .arg(&data)
            .current_dir(&folder)
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log);
        if rustix::process::geteuid().is_root() {
            command.uid(user).gid(group);
        }
        let standby = Self {
            server: command.spawn().unwrap(),
            folder,
        };
        let begun = Instant::now();
        while Client::connect(&standby.dsn(), NoTls).is_err() {
            let log = || fs::read_to_string(standby.folder.join("server.log")).unwrap_or_default();
            assert!(begun.elapsed() < SOON, "no standby: {}", log());
            std::thread::sleep(Duration::from_millis(20));
        }
        standby
    }

    fn dsn(&self) -> String {
        let folder = self.folder.display();
        format!("host='{folder}' port=5432 dbname=postgres user=postgres")
    }
}

impl Drop for Standby {
    fn drop(&mut self) {
        let pid = rustix::process::Pid::from_child(&self.server);
        // Immediate: nothing of it is wanted any more.
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::QUIT);
        let _ = self.server.wait();
    }
}

/// Copies a data folder of a server that writes to it: what vanishes meanwhile is not missed.
fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap().flatten() {
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => copy(&from, &to),
            Ok(kind) if kind.is_file() => {
                let _ = fs::copy(&from, &to);
            }
            _ => {}
        }
    }
}

/// Gives a folder with all in it to the server's user.
fn own(path: &Path, user: u32, group: u32) {
    chown(path, Some(user), Some(group)).unwrap();
    if path.is_dir() {
        for entry in fs::read_dir(path).unwrap().flatten() {
            own(&entry.path(), user, group);
        }
    }
}

fn client(dsn: &str, name: &str) -> Client {
    let mut config: Config = dsn.parse().unwrap();
    config.application_name(name).connect(NoTls).unwrap()
}

pub(crate) fn pid(client: &mut Client) -> i32 {
    client
        .query_one("select pg_backend_pid()", &[])
        .unwrap()
        .get(0)
}

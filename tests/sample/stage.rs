//! A real server with sessions that hold and wait, and a source that watches it.

use std::io::Write as _;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use pgjam::lab::server::{Options as ServerOptions, ThrowAway};
use pgjam::pg::Pid;
use pgjam::sample::live::{Options, Source};
use pgjam::sample::pace::Cadence;
use pgjam::sample::{Lock, Session, Snapshot};
use postgres::{Client, Config, NoTls};

/// How long a state may take to come about.
pub(crate) const SOON: Duration = Duration::from_secs(20);

/// A server of one test, with a table `hot` in a database.
pub(crate) struct Lab {
    pub(crate) server: ThrowAway,
}

impl Lab {
    pub(crate) fn start() -> Self {
        Self::with(&[])
    }

    /// Starts a server with further settings.
    pub(crate) fn with(settings: &[(&str, &str)]) -> Self {
        let ours = [
            ("max_prepared_transactions", "5"),
            ("compute_query_id", "on"),
        ];
        let options = ServerOptions {
            fsync: false,
            settings: ours
                .iter()
                .chain(settings)
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
            ..ServerOptions::default()
        };
        let lab = Self {
            server: ThrowAway::start(&options).unwrap(),
        };
        lab.client("setup")
            .batch_execute("create table hot (id int primary key, n int); insert into hot values (1, 0), (2, 0)")
            .unwrap();
        lab
    }

    pub(crate) fn client(&self, name: &str) -> Client {
        self.client_in("postgres", name)
    }

    pub(crate) fn client_in(&self, database: &str, name: &str) -> Client {
        let mut config: Config = self.server.dsn(database, "postgres").parse().unwrap();
        config.application_name(name).connect(NoTls).unwrap()
    }

    /// Runs `sql` in a thread of its own, where it waits.
    pub(crate) fn behind(&self, name: &str, sql: &str) -> Waiter {
        self.behind_in("postgres", name, sql)
    }

    /// The same in another database.
    pub(crate) fn behind_in(&self, database: &str, name: &str, sql: &str) -> Waiter {
        let is_behind = "wait_event_type = 'Lock'";
        self.waiting(database, name, sql, is_behind)
    }

    /// Runs `sql` in a thread of its own, where it waits for `event`.
    pub(crate) fn behind_for(&self, event: &str, name: &str, sql: &str) -> Waiter {
        let is_behind = format!("wait_event = '{event}'");
        self.waiting("postgres", name, sql, &is_behind)
    }

    fn waiting(&self, database: &str, name: &str, sql: &str, is_behind: &str) -> Waiter {
        let mut client = self.client_in(database, name);
        let pid = pid(&mut client);
        let token = client.cancel_token();
        let sql = sql.to_owned();
        let thread = std::thread::spawn(move || {
            let _ = client.batch_execute(&sql);
        });
        let waiter = Waiter {
            pid,
            token,
            thread: Some(thread),
        };
        self.until(&format!(
            "select exists (select from pg_stat_activity where pid = {pid} and {is_behind})"
        ));
        waiter
    }

    pub(crate) fn until(&self, condition: &str) {
        let mut client = self.client("poll");
        let begun = Instant::now();
        while !client.query_one(condition, &[]).unwrap().get::<_, bool>(0) {
            assert!(begun.elapsed() < SOON, "never came about: {condition}");
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Watches `database` with `options` and hands the source to `look`.
    pub(crate) fn watch_in<T>(
        &self,
        database: &str,
        options: Options,
        look: impl AsyncFnOnce(&mut Source<'_>) -> T,
    ) -> T {
        self.watch_as("postgres", database, options, look)
    }

    /// The same as another role.
    pub(crate) fn watch_as<T>(
        &self,
        role: &str,
        database: &str,
        options: Options,
        look: impl AsyncFnOnce(&mut Source<'_>) -> T,
    ) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let mut config: tokio_postgres::Config =
                self.server.dsn(database, role).parse().unwrap();
            config.application_name("pgjam");
            let (client, connection) = config.connect(tokio_postgres::NoTls).await.unwrap();
            let connection = tokio::spawn(connection);
            client
                .batch_execute("set client_encoding = 'SQL_ASCII'")
                .await
                .unwrap();
            let mut source = Source::new(&client, options).await.unwrap();
            let result = look(&mut source).await;
            connection.abort();
            result
        })
    }

    pub(crate) fn watch<T>(&self, look: impl AsyncFnOnce(&mut Source<'_>) -> T) -> T {
        self.watch_in("postgres", quick(), look)
    }

    pub(crate) fn look(&self) -> Snapshot {
        self.watch(async |source| source.tick().await.unwrap())
    }
}

/// A session that waits until it is cancelled.
pub(crate) struct Waiter {
    pub(crate) pid: i32,
    token: postgres::CancelToken,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Drop for Waiter {
    fn drop(&mut self) {
        let _ = self.token.cancel_query(NoTls);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Does what the driver's blocking client must not do inside a runtime.
pub(crate) fn aside<T: Send>(what: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| scope.spawn(what).join().unwrap())
}

pub(crate) fn quick() -> Options {
    Options {
        cadence: Cadence::Fixed(100.0),
        budget: 1.0,
        ..Options::default()
    }
}

pub(crate) fn pid(client: &mut Client) -> i32 {
    client
        .query_one("select pg_backend_pid()", &[])
        .unwrap()
        .get(0)
}

pub(crate) fn session(snapshot: &Snapshot, pid: i32) -> &Session {
    find(snapshot, pid).unwrap_or_else(|| panic!("no row of {pid}: {snapshot:#?}"))
}

pub(crate) fn find(snapshot: &Snapshot, pid: i32) -> Option<&Session> {
    snapshot
        .sessions
        .iter()
        .find(|session| session.pid == Pid(pid))
}

pub(crate) fn locks_of<'s>(
    snapshot: &'s Snapshot,
    pid: i32,
    kind: &str,
    granted: bool,
) -> Vec<&'s Lock> {
    let matches = |lock: &&Lock| {
        lock.pid == Some(Pid(pid)) && &*lock.target.locktype == kind && lock.granted == granted
    };
    snapshot.locks.iter().filter(matches).collect()
}

/// Sends `sql` as it is; the driver would insist on UTF-8.
pub(crate) fn speak_raw(lab: &Lab, database: &str, sql: &[u8]) -> UnixStream {
    let socket = lab
        .server
        .folder()
        .join(format!(".s.PGSQL.{}", lab.server.port()));
    let mut stream = UnixStream::connect(socket).unwrap();
    let framed = |kind: Option<u8>, body: &[u8]| {
        let length = u32::try_from(body.len() + 4).unwrap().to_be_bytes();
        [kind.as_slice(), &length, body].concat()
    };
    let mut startup = 196_608_u32.to_be_bytes().to_vec();
    startup.extend(format!("user\0postgres\0database\0{database}\0\0").bytes());
    stream.write_all(&framed(None, &startup)).unwrap();
    stream
        .write_all(&framed(Some(b'Q'), &[sql, b"\0"].concat()))
        .unwrap();
    stream
}

//! A server to one situation alone: sessions that hold, sessions that wait, and a look.

use std::thread::{JoinHandle, sleep};
use std::time::{Duration, Instant};

use pgjam::connect::{Environment, Target};
use pgjam::lab::server::ThrowAway;
use pgjam::sample::live::{Options, Source};
use postgres::{CancelToken, Client, Config, NoTls};

use crate::seen::Seen;
use crate::servers::Borrowed;
use crate::truth::Truth;

/// How long a state may take to come about.
pub(crate) const SOON: Duration = Duration::from_secs(20);

/// What every situation finds: two tables, the second of which refers to the first.
const TABLES: &str = "
create table hot (id int primary key, n int);
insert into hot select id, 0 from generate_series(1, 10) id;
create table child (id int primary key, hot int references hot);";

/// A server on which nothing is left of what was there before.
pub(crate) struct Stage<'s> {
    server: Borrowed<'s>,
    pub(crate) major: u32,
}

impl<'s> Stage<'s> {
    pub(crate) fn new(server: Borrowed<'s>, major: u32) -> Self {
        let mut stage = Self { server, major };
        stage.sweep();
        let mut setup = stage.client("setup");
        setup.batch_execute(TABLES).unwrap();
        stage
    }

    /// Removes what an earlier situation left, prepared transactions and sessions included.
    fn sweep(&mut self) {
        let mut client = self.client("sweep");
        client.batch_execute("alter system reset all").unwrap();
        client.batch_execute("select pg_reload_conf()").unwrap();
        let prepared = client
            .query("select gid, database::text from pg_prepared_xacts", &[])
            .unwrap();
        for row in prepared {
            let (gid, database): (String, String) = (row.get(0), row.get(1));
            let gid = gid.replace('\'', "''");
            self.client_in(&database, "sweep")
                .batch_execute(&format!("rollback prepared '{gid}'"))
                .unwrap();
        }
        client
            .execute(
                "select pg_terminate_backend(pid) from pg_stat_activity
                  where backend_type in ('client backend', 'autovacuum worker')
                    and pid <> pg_backend_pid()",
                &[],
            )
            .unwrap();
        self.until(
            "select count(*) <= 2 from pg_stat_activity
              where backend_type in ('client backend', 'autovacuum worker')",
        );
        client
            .batch_execute("drop database if exists elsewhere")
            .unwrap();
        client
            .batch_execute("drop schema public cascade; create schema public")
            .unwrap();
    }

    pub(crate) fn server(&self) -> &ThrowAway {
        self.server.server()
    }

    pub(crate) fn client(&self, name: &str) -> Client {
        self.client_in("postgres", name)
    }

    pub(crate) fn client_in(&self, database: &str, name: &str) -> Client {
        let dsn = self.server().dsn(database, "postgres");
        let mut config: Config = dsn.parse().unwrap();
        config.application_name(name).connect(NoTls).unwrap()
    }

    /// Connects as a role, without a name, as poolers do for those who have set none.
    pub(crate) fn nameless(&self, role: &str) -> Client {
        let dsn = self.server().dsn("postgres", role);
        Client::connect(&dsn, NoTls).unwrap()
    }

    /// Runs `sql` and leaves nothing of it but what it made.
    pub(crate) fn run(&self, sql: &str) {
        self.client("setup").batch_execute(sql).unwrap();
    }

    /// Sets what every session of the server has, until the next situation.
    pub(crate) fn set(&self, name: &str, value: &str) {
        let mut client = self.client("setup");
        // Neither runs in a transaction with others.
        for sql in [
            format!("alter system set {name} = '{value}'"),
            "select pg_reload_conf()".to_owned(),
        ] {
            client.batch_execute(&sql).unwrap();
        }
        self.until(&format!("select current_setting('{name}') = '{value}'"));
    }

    /// Starts a session that has run `sql` and keeps its transaction open.
    pub(crate) fn holds(&self, name: &str, sql: &str) -> Client {
        let mut client = self.client(name);
        client.batch_execute(&format!("begin; {sql}")).unwrap();
        client
    }

    /// Runs `sql` in a thread of its own, where it waits for a lock.
    pub(crate) fn behind(&self, name: &str, sql: &str) -> Waiter {
        self.behind_in("postgres", name, sql)
    }

    /// The same in another database.
    pub(crate) fn behind_in(&self, database: &str, name: &str, sql: &str) -> Waiter {
        let client = self.client_in(database, name);
        self.waiting(client, sql, "wait_event_type = 'Lock'")
    }

    /// Goes on with a session that has run something, and waits for a lock from now on.
    pub(crate) fn goes_behind(&self, client: Client, sql: &str) -> Waiter {
        self.waiting(client, sql, "wait_event_type = 'Lock'")
    }

    /// Runs `sql` in a thread of its own, where it waits for an event.
    pub(crate) fn behind_for(&self, event: &str, name: &str, sql: &str) -> Waiter {
        let client = self.client(name);
        self.waiting(client, sql, &format!("wait_event = '{event}'"))
    }

    /// Goes on with a session, which waits from now on while `is_behind` is true of it.
    pub(crate) fn waiting(&self, mut client: Client, sql: &str, is_behind: &str) -> Waiter {
        let pid = pid(&mut client);
        let token = client.cancel_token();
        let sql = sql.to_owned();
        let thread = std::thread::spawn(move || {
            let _ = client.batch_execute(&sql);
            client
        });
        let waiter = Waiter {
            pid,
            token,
            thread: Some(thread),
        };
        self.until(&format!(
            "select exists (select from pg_stat_activity
              where {pid} in (pid, leader_pid) and {is_behind})"
        ));
        // Two who come one after the other here do so for the server's clock too.
        sleep(Duration::from_millis(3));
        waiter
    }

    pub(crate) fn until(&self, condition: &str) {
        let mut client = self.client("poll");
        let begun = Instant::now();
        while !client.query_one(condition, &[]).unwrap().get::<_, bool>(0) {
            if begun.elapsed() > SOON {
                let activity = activity(&mut client);
                panic!("never came about: {condition}\n{activity}");
            }
            sleep(Duration::from_millis(2));
        }
    }

    /// Looks once, as `pgjam now` does, and asks the server for the same.
    pub(crate) fn look(&self) -> Seen {
        let dsn = self.server().dsn("postgres", "postgres");
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let mut config: tokio_postgres::Config = dsn.parse().unwrap();
            config.application_name("pgjam");
            let (client, connection) = config.connect(tokio_postgres::NoTls).await.unwrap();
            let connection = tokio::spawn(connection);
            client
                .batch_execute("set client_encoding = 'SQL_ASCII'")
                .await
                .unwrap();
            let options = Options {
                target: Some(Target::resolve(Some(&dsn), &Environment::default()).unwrap()),
                ..Options::default()
            };
            let mut source = Source::new(&client, options).await.unwrap();
            let before = Truth::ask(&client).await;
            let snapshot = source.tick().await.unwrap();
            let truth = Truth::ask(&client).await;
            assert_eq!(before, truth, "the state was not frozen");
            let statements = source.learned();
            let mut names = source.names(&snapshot).await;
            names.extend(source.owed().names(SOON).await.unwrap());
            connection.abort();
            Seen {
                snapshot,
                names,
                statements,
                truth,
            }
        })
    }
}

/// A session that waits until it is cancelled.
pub(crate) struct Waiter {
    pub(crate) pid: i32,
    token: CancelToken,
    thread: Option<JoinHandle<Client>>,
}

impl Waiter {
    /// Waits until nobody is in its way, and gives the session back.
    pub(crate) fn goes_on(mut self) -> Client {
        self.thread.take().unwrap().join().unwrap()
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        let _ = self.token.cancel_query(NoTls);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

pub(crate) fn pid(client: &mut Client) -> i32 {
    let row = client.query_one("select pg_backend_pid()", &[]).unwrap();
    row.get(0)
}

/// Tells what every session is at.
fn activity(client: &mut Client) -> String {
    let all =
        "select string_agg(concat_ws(' ', pid, application_name, state, wait_event, query), e'\n')
                 from pg_stat_activity";
    client.query_one(all, &[]).unwrap().get(0)
}

//! A session of the storm: it does one thing at a time, and may wait for long.

use std::sync::Arc;
use std::time::Duration;

use pgjam::lab::server::ThrowAway;
use tokio::task::JoinHandle;
use tokio::time::sleep;
use tokio_postgres::{Client, Config, NoTls};

/// Between two looks at whether something has come about.
const GLANCE: Duration = Duration::from_millis(1);

/// What a session is up to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Outside a transaction.
    Free,
    /// In one, between two statements.
    Open,
    /// In a statement, which may be waiting.
    Busy,
}

/// One session.
#[derive(Debug)]
pub(crate) struct Player {
    client: Arc<Client>,
    connection: JoinHandle<()>,
    asked: Option<JoinHandle<Result<(), tokio_postgres::Error>>>,
    state: State,
    /// What it becomes when its statement ends well.
    then: State,
}

impl Player {
    pub(crate) async fn new(server: &ThrowAway, number: usize) -> Self {
        let mut config: Config = server.dsn("postgres", "postgres").parse().unwrap();
        config.application_name(format!("player {number}"));
        let (client, connection) = config.connect(NoTls).await.unwrap();
        let connection = tokio::spawn(async {
            let _ = connection.await;
        });
        Self {
            client: client.into(),
            connection,
            asked: None,
            state: State::Free,
            then: State::Free,
        }
    }

    pub(crate) fn state(&self) -> State {
        self.state
    }

    /// Sends a statement and does not wait for its end.
    pub(crate) fn ask(&mut self, sql: String, then: State) {
        let client = Arc::clone(&self.client);
        self.asked = Some(tokio::spawn(
            async move { client.batch_execute(&sql).await },
        ));
        (self.state, self.then) = (State::Busy, then);
    }

    /// Takes notice of a statement that has ended; a transaction that failed is rolled back.
    pub(crate) async fn settle(&mut self) {
        if !self.asked.as_ref().is_some_and(JoinHandle::is_finished) {
            return;
        }
        let Some(asked) = self.asked.take() else {
            return;
        };
        if asked.await.unwrap().is_ok() {
            self.state = self.then;
        } else {
            self.roll_back().await;
        }
    }

    /// Withdraws the statement that it waits in.
    pub(crate) async fn cancel(&self) {
        let _ = self.client.cancel_token().cancel_query(NoTls).await;
    }

    /// Ends whatever it is in.
    pub(crate) async fn start_over(&mut self) {
        while let Some(asked) = &self.asked {
            if asked.is_finished() {
                self.settle().await;
            } else {
                self.cancel().await;
                sleep(GLANCE).await;
            }
        }
        self.roll_back().await;
    }

    async fn roll_back(&mut self) {
        // A cancellation that comes late hits what is done next.
        while self.client.batch_execute("rollback").await.is_err() {}
        self.state = State::Free;
    }

    /// Waits until a changed setting has reached its server process.
    pub(crate) async fn until_it_has(&self, deadlock_timeout: &str) {
        let sql =
            format!("select current_setting('deadlock_timeout')::interval = '{deadlock_timeout}'");
        loop {
            let row = self.client.query_one(&sql, &[]).await;
            if row.is_ok_and(|row| row.get(0)) {
                return;
            }
            sleep(GLANCE).await;
        }
    }
}

impl Drop for Player {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

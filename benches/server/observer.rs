//! One connection that looks as pgjam does, and asks what others would ask.

use std::time::{Duration, Instant};

use anyhow::ensure;
use pgjam::query;
use pgjam::sample::Snapshot;
use pgjam::sample::live::{Options, Source};
use pgjam::sample::pace::Cadence;
use tokio_postgres::{Client, SimpleQueryMessage, Statement};

use crate::meter::Meter;

/// How long a state may take to come about.
const SOON: Duration = Duration::from_mins(2);

/// For each waiter, who blocks it, from the server's own function.
const FUNCTION: &str =
    "select pid, pg_blocking_pids(pid) from pg_stat_activity where wait_event_type = 'Lock'";

/// `pg_locks` joined with itself, as it is found in many a wiki. It takes everybody who is at the same
/// target for a blocker, so it is counted here rather than sent: a million pairs at 1,000 waiters.
const SELF_JOIN: &str = "select count(*)
  from pg_locks waiting
  join pg_stat_activity waiter on waiter.pid = waiting.pid
  join pg_locks other
    on other.locktype = waiting.locktype
   and other.database is not distinct from waiting.database
   and other.relation is not distinct from waiting.relation
   and other.page is not distinct from waiting.page
   and other.tuple is not distinct from waiting.tuple
   and other.virtualxid is not distinct from waiting.virtualxid
   and other.transactionid is not distinct from waiting.transactionid
   and other.classid is not distinct from waiting.classid
   and other.objid is not distinct from waiting.objid
   and other.objsubid is not distinct from waiting.objsubid
   and other.pid <> waiting.pid
  join pg_stat_activity blocker on blocker.pid = other.pid
 where not waiting.granted";

/// The same with holders alone: cheap, and blind to the queue.
const HOLDERS: &str = " and other.granted";

/// What a question cost.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cost {
    /// The server's processor time in milliseconds, or elapsed time where there is no such figure.
    pub(crate) server: f64,
    /// This thread's: it waits for the answer, reads and decodes it.
    pub(crate) client: Option<f64>,
}

/// What else one would ask.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Question {
    Function,
    SelfJoin,
    Holders,
}

/// The observer's connection, and the clocks of both its ends.
#[derive(Debug)]
pub(crate) struct Observer<'c> {
    client: &'c Client,
    source: Source<'c>,
    function: Statement,
    self_join: Statement,
    holders: Statement,
    backend: Option<Meter>,
    own: Option<Meter>,
    /// `15.18`
    pub(crate) version: String,
}

impl<'c> Observer<'c> {
    pub(crate) async fn new(client: &'c Client) -> anyhow::Result<Self> {
        // As often as possible: the pace is not what is measured.
        let options = Options {
            cadence: Cadence::Fixed(100.0),
            budget: 1.0,
            ..Options::default()
        };
        let about = client
            .query_one(
                "select pg_backend_pid(), current_setting('server_version')::bytea",
                &[],
            )
            .await?;
        let version = String::from_utf8_lossy(about.get(1)).into_owned();
        let holders = format!("{SELF_JOIN}{HOLDERS}");
        Ok(Self {
            client,
            source: Source::new(client, options).await?,
            function: client.prepare(FUNCTION).await?,
            self_join: client.prepare(SELF_JOIN).await?,
            holders: client.prepare(&holders).await?,
            backend: Meter::of_process(about.get(0)),
            own: Meter::of_this_thread(),
            version,
        })
    }

    /// Tells whether costs are processor time.
    pub(crate) const fn has_meter(&self) -> bool {
        self.backend.is_some()
    }

    /// Looks once, as a diagnosis does.
    pub(crate) async fn look(&mut self) -> anyhow::Result<(Cost, Snapshot)> {
        let before = self.spent().await?;
        let snapshot = self.source.tick().await?;
        let after = self.spent().await?;
        // The source sleeps before it asks: its elapsed time is what the server says.
        let elapsed = snapshot.tick.server.as_micros() as f64 / 1e3;
        Ok((cost(before, after, elapsed), snapshot))
    }

    /// Asks something else.
    pub(crate) async fn ask(&self, question: Question) -> anyhow::Result<Cost> {
        let prepared = match question {
            Question::Function => &self.function,
            Question::SelfJoin => &self.self_join,
            Question::Holders => &self.holders,
        };
        let before = self.spent().await?;
        let asked = Instant::now();
        self.client.query(prepared, &[]).await?;
        let elapsed = milliseconds(asked.elapsed());
        let after = self.spent().await?;
        Ok(cost(before, after, elapsed))
    }

    /// Reads both clocks.
    async fn spent(&self) -> anyhow::Result<[Option<Duration>; 2]> {
        let Some(backend) = &self.backend else {
            return Ok([None, None]);
        };
        let server = backend.at_rest().await;
        ensure!(
            server.is_some(),
            "the observer's backend does not come to rest"
        );
        Ok([server, self.own.as_ref().and_then(Meter::spent)])
    }

    /// Waits until `count` sessions are as `condition` says.
    pub(crate) async fn until(&self, condition: &str, count: usize) -> anyhow::Result<()> {
        let sql = format!("select count(*) from pg_stat_activity where {condition}");
        let begun = Instant::now();
        loop {
            let there: i64 = self.client.query_one(&sql, &[]).await?.get(0);
            if usize::try_from(there)? == count {
                return Ok(());
            }
            ensure!(
                begun.elapsed() < SOON,
                "{there} sessions instead of {count} where {condition}"
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Ends the sessions of an application.
    pub(crate) async fn end(&self, application: &str) -> anyhow::Result<()> {
        let sql = format!(
            "select pg_terminate_backend(pid) from pg_stat_activity where application_name = '{application}'"
        );
        self.client.simple_query(&sql).await?;
        Ok(())
    }

    /// Executes a look and gives the lines of its plan that read the lock table.
    pub(crate) async fn lock_table_calls(&self) -> anyhow::Result<Vec<String>> {
        let look = query::TICK.statement();
        let prepare = format!("prepare look (timestamptz, bigint[], boolean) as {look}");
        self.client.batch_execute(&prepare).await?;
        let executed = self
            .client
            .simple_query("explain (analyze) execute look (now() - interval '100 ms', '{}', false)")
            .await?;
        self.client.batch_execute("deallocate look").await?;
        let lines = executed.iter().filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => row.get(0),
            _ => None,
        });
        let calls: Vec<String> = lines
            .filter(|line| line.contains("on pg_lock_status"))
            .map(str::to_owned)
            .collect();
        ensure!(
            !calls.is_empty(),
            "the plan of a look has no pg_lock_status"
        );
        Ok(calls)
    }
}

fn cost(before: [Option<Duration>; 2], after: [Option<Duration>; 2], elapsed: f64) -> Cost {
    let [server, client] = [0, 1].map(|n| Some(milliseconds(after[n]?.saturating_sub(before[n]?))));
    Cost {
        server: server.unwrap_or(elapsed),
        client,
    }
}

pub(crate) fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

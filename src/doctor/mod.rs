//! The preflight: what this server and this role let pgjam see.
//!
//! A [`Checkup`] is a few facts, and for each thing that is lacking what it costs
//! and the exact statement that provides it. It is run as the first thing a session
//! does; it reads settings and catalogues, takes no lock on anybody's table, and
//! changes nothing.
//!
//! What is fatal keeps a diagnosis from being made at all: a server that is too old,
//! a role that sees only itself, a pooler in between.

mod missing;

use serde::Serialize;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Row};

use crate::connect::{APPLICATION_NAME, RawText};
use crate::pg::{Pid, Version};
use crate::sample::Server;
use crate::time::{Span, Timestamp};

pub use missing::Missing;

const VERSION: &str = include_str!("../../queries/doctor_version.sql");
const FACTS: &str = include_str!("../../queries/doctor.sql");
const IDENTITY: &str = include_str!("../../queries/doctor_identity.sql");
const PID: &str = include_str!("../../queries/doctor_pid.sql");

/// A backend may be this much older than the session it serves, for a slow log-in's sake.
const LOGIN_SECONDS: f64 = 15.0;

/// What was found out about a server, and what is missing.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Checkup {
    /// Its version.
    pub version: Version,
    /// Everything else; none where the version is too old to ask.
    pub facts: Option<Facts>,
    /// What is lacking, fatal things first.
    pub missing: Vec<Missing>,
}

/// The facts about a server that is new enough.
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is an answer of the server's, not a state of ours"
)]
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Facts {
    /// Whether it is a standby.
    pub in_recovery: bool,
    /// The cluster's identity; none where the role may not ask.
    pub system_identifier: Option<String>,
    /// When its postmaster began.
    pub started_at: Timestamp,
    /// Whom we are connected as.
    pub role: String,
    /// Whether the sessions of other roles are shown to us.
    pub sees_others: bool,
    /// Whether the role is a member of `pg_read_all_stats`, even where it does not inherit it.
    pub is_member: bool,
    /// Whether it is a superuser.
    pub superuser: bool,
    /// Whether it may cancel and end the sessions of other roles, a superuser's excepted.
    pub may_signal: bool,
    /// Whether it may cancel and end autovacuum workers; none where the server grants that to
    /// superusers alone.
    pub may_signal_autovacuum: Option<bool>,
    /// The extension that counts calls.
    pub statements: Statements,
    /// `track_activities`: without it sessions show no state.
    pub track_activities: bool,
    /// `compute_query_id`: `auto`, `on`, `off` or `regress`.
    pub compute_query_id: String,
    /// `track_activity_query_size`: longer texts are cut, in bytes.
    pub query_size: i64,
    /// `log_lock_waits`.
    pub log_lock_waits: bool,
    /// `deadlock_timeout`.
    pub deadlock_timeout: Span,
    /// `max_connections`.
    pub max_connections: i32,
    /// What gives a pooler away; none where nothing does.
    pub pooler: Option<PoolerSign>,
}

/// The state of `pg_stat_statements` in the database we are connected to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Statements {
    /// Whether the server has loaded the library.
    pub preloaded: bool,
    /// The schema of the extension; none where it was not created in this database.
    pub schema: Option<String>,
    /// Whether the role may call it.
    pub readable: bool,
}

impl Statements {
    /// Tells whether it can be read here and now.
    #[must_use]
    pub const fn usable(&self) -> bool {
        self.preloaded && self.schema.is_some() && self.readable
    }
}

/// What gives a connection pooler away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum PoolerSign {
    /// Two statements in a row were answered by different backends.
    BackendChanged,
    /// The backend does not know what the session told it as it began.
    MarkerLost,
    /// The backend is older than the session.
    BackendOlder,
    /// The backend goes by a name that is not ours.
    Renamed,
}

/// Why the preflight could not be made.
#[derive(Debug, thiserror::Error)]
pub enum DoctorError {
    /// A query failed.
    #[error("the preflight query `{query}` failed: {message}; is the server still there?")]
    Query {
        /// The file's name.
        query: &'static str,
        /// The server's words, or the driver's.
        message: String,
        /// What happened.
        #[source]
        source: tokio_postgres::Error,
    },
}

impl Checkup {
    /// Looks at the server behind `client`, a fresh session of [`connect`](crate::connect).
    ///
    /// # Errors
    /// Only where a query fails that every role may run on every server new enough.
    pub async fn run(client: &Client) -> Result<Self, DoctorError> {
        let row = one(client, "doctor_version", VERSION).await?;
        let number: i32 = get(&row, "version_num", "doctor_version")?;
        let version = Version(u32::try_from(number).unwrap_or(0));
        if version < Version::OLDEST {
            return Ok(Self {
                version,
                facts: None,
                missing: vec![Missing::version(version)],
            });
        }
        let facts = Facts::ask(client).await?;
        Ok(Self {
            version,
            missing: missing::all(version, &facts),
            facts: Some(facts),
        })
    }

    /// Tells whether anything that is missing makes a diagnosis pointless.
    #[must_use]
    pub fn is_fatal(&self) -> bool {
        self.missing.iter().any(|missing| missing.fatal)
    }

    /// Gives the server as a recording names it; none where it is too old to be watched.
    #[must_use]
    pub fn server(&self, address: impl Into<String>) -> Option<Server> {
        let facts = self.facts.as_ref()?;
        Some(Server {
            version_num: self.version,
            system_identifier: facts.system_identifier.clone(),
            in_recovery: facts.in_recovery,
            started_at: facts.started_at,
            address: address.into(),
            has_statements: facts.statements.usable(),
        })
    }
}

impl Facts {
    async fn ask(client: &Client) -> Result<Self, DoctorError> {
        const NAME: &str = "doctor";
        let first = Answerer::ask(client).await?;
        let second = Answerer::ask(client).await?;
        let row = one(client, NAME, FACTS).await?;
        let text = |column| get::<RawText<'_>>(&row, column, NAME).map(owned);
        Ok(Self {
            in_recovery: get(&row, "in_recovery", NAME)?,
            system_identifier: system_identifier(client).await?,
            started_at: Timestamp::from_micros(get(&row, "started_at", NAME)?),
            role: text("role")?,
            sees_others: get(&row, "sees_others", NAME)?,
            is_member: get(&row, "is_member", NAME)?,
            superuser: get(&row, "superuser", NAME)?,
            may_signal: get(&row, "may_signal", NAME)?,
            may_signal_autovacuum: get(&row, "may_signal_autovacuum", NAME)?,
            statements: Statements {
                preloaded: get(&row, "statements_preloaded", NAME)?,
                schema: get::<Option<RawText<'_>>>(&row, "statements_schema", NAME)?.map(owned),
                readable: get(&row, "statements_readable", NAME)?,
            },
            track_activities: get(&row, "track_activities", NAME)?,
            compute_query_id: text("compute_query_id")?,
            query_size: get(&row, "query_size", NAME)?,
            log_lock_waits: get(&row, "log_lock_waits", NAME)?,
            deadlock_timeout: Span::from_micros(get(&row, "deadlock_timeout", NAME)?),
            max_connections: get(&row, "max_connections", NAME)?,
            pooler: first.sign(&second),
        })
    }
}

/// The backend that answered one statement.
struct Answerer {
    pid: Pid,
    application_name: String,
    /// Its age in seconds as the session began; none if it never heard of the session.
    age_at_start: Option<f64>,
}

impl Answerer {
    async fn ask(client: &Client) -> Result<Self, DoctorError> {
        const NAME: &str = "doctor_pid";
        let row = one(client, NAME, PID).await?;
        Ok(Self {
            pid: Pid(get(&row, "pid", NAME)?),
            application_name: owned(get(&row, "application_name", NAME)?),
            age_at_start: get(&row, "age_at_start", NAME)?,
        })
    }

    /// Compares two answers to the same question.
    fn sign(&self, later: &Self) -> Option<PoolerSign> {
        let oldest = self.age_at_start.zip(later.age_at_start);
        match oldest {
            _ if self.pid != later.pid => Some(PoolerSign::BackendChanged),
            None => Some(PoolerSign::MarkerLost),
            Some((first, second)) if first.max(second) > LOGIN_SECONDS => {
                Some(PoolerSign::BackendOlder)
            }
            Some(_) if self.application_name != APPLICATION_NAME => Some(PoolerSign::Renamed),
            Some(_) => None,
        }
    }
}

async fn system_identifier(client: &Client) -> Result<Option<String>, DoctorError> {
    match one(client, "doctor_identity", IDENTITY).await {
        Ok(row) => get(&row, "system_identifier", "doctor_identity")
            .map(owned)
            .map(Some),
        Err(DoctorError::Query { source, .. })
            if source.code() == Some(&SqlState::INSUFFICIENT_PRIVILEGE) =>
        {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

async fn one(client: &Client, query: &'static str, sql: &str) -> Result<Row, DoctorError> {
    client
        .query_one(sql, &[])
        .await
        .map_err(|source| failed(query, source))
}

fn get<'a, T: tokio_postgres::types::FromSql<'a>>(
    row: &'a Row,
    column: &str,
    query: &'static str,
) -> Result<T, DoctorError> {
    row.try_get(column).map_err(|source| failed(query, source))
}

fn failed(query: &'static str, source: tokio_postgres::Error) -> DoctorError {
    let message = source
        .as_db_error()
        .map_or_else(|| source.to_string(), |db| db.message().to_owned());
    DoctorError::Query {
        query,
        message,
        source,
    }
}

fn owned(text: RawText<'_>) -> String {
    text.to_lossy().into_owned()
}

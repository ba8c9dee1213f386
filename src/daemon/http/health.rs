//! Whether the daemon is alive, and how it stands with each server.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use serde::{Deserialize, Serialize};

use super::problem::Problem;
use super::{App, Shared};
use crate::daemon::live::{Connection, ServerLive};
use crate::sample::PaceReason;
use crate::time::{Rfc3339, Timestamp};

/// Whether the process does its work; it says no more, since anybody may ask.
#[derive(Serialize)]
struct Alive {
    status: &'static str,
    uptime_seconds: u64,
}

/// Answers 200 while every watcher does something, be it trying to connect.
pub(super) async fn alive(State(app): State<Shared>) -> Response {
    let stuck = app.live.servers().iter().any(|server| server.is_stuck());
    let (status, word) = if stuck {
        (StatusCode::SERVICE_UNAVAILABLE, "stuck")
    } else {
        (StatusCode::OK, "ok")
    };
    let alive = Alive {
        status: word,
        uptime_seconds: app.begun.elapsed().as_secs(),
    };
    (status, Json(alive)).into_response()
}

#[derive(Serialize)]
struct Ready {
    ready: bool,
    servers: Vec<ServerReady>,
}

#[derive(Serialize)]
struct ServerReady {
    server: Arc<str>,
    ready: bool,
    /// Why not; null where it is.
    reason: Option<String>,
}

/// Answers 200 while every server is watched.
pub(super) async fn ready(State(app): State<Shared>) -> Response {
    let servers: Vec<ServerReady> = app.live.servers().iter().map(server_ready).collect();
    let ready = servers.iter().all(|server| server.ready);
    let status = if ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (status, Json(Ready { ready, servers })).into_response()
}

fn server_ready(server: &Arc<ServerLive>) -> ServerReady {
    let reason = server.not_ready();
    ServerReady {
        server: Arc::clone(server.name()),
        ready: reason.is_none(),
        reason,
    }
}

#[derive(Serialize)]
struct Servers {
    servers: Vec<ServerState>,
}

/// How it stands with one server.
#[derive(Serialize)]
struct ServerState {
    server: Arc<str>,
    state: &'static str,
    reason: Option<String>,
    since: Rfc3339,
    address: Option<String>,
    version_num: Option<crate::pg::Version>,
    system_identifier: Option<String>,
    in_recovery: Option<bool>,
    started_at: Option<Rfc3339>,
    last_tick_at: Option<Rfc3339>,
    /// How often it is looked at, and why so.
    period_ms: Option<f64>,
    pace: Option<PaceReason>,
    ticks: u64,
    missed_ticks: u64,
    connects: u64,
    disconnects: u64,
    watched_seconds: f64,
    looking_seconds: f64,
    active_sessions: usize,
    blocked_sessions: usize,
    longest_wait_ms: Option<f64>,
    recording_bytes: Option<u64>,
    recording_errors: u64,
    recording_trouble: Option<String>,
    losses: BTreeMap<Arc<str>, u64>,
}

/// Lists the servers and how it stands with each.
pub(super) async fn servers(State(app): State<Shared>) -> Response {
    let servers = app
        .live
        .servers()
        .iter()
        .map(|server| state(server))
        .collect();
    Json(Servers { servers }).into_response()
}

fn state(live: &ServerLive) -> ServerState {
    let (status, totals, look) = (live.status(), live.totals(), live.look());
    let server = status.server.as_ref();
    let tick = look.map(|look| look.snapshot.tick);
    ServerState {
        server: Arc::clone(live.name()),
        state: match status.connection {
            Connection::Connecting => "connecting",
            Connection::Watching => "watching",
            Connection::Lost(_) => "lost",
        },
        reason: live.not_ready(),
        since: Rfc3339(own_clock(status.since)),
        address: server.map(|server| server.address.clone()),
        version_num: server.map(|server| server.version_num),
        system_identifier: server.and_then(|server| server.system_identifier.clone()),
        in_recovery: server.map(|server| server.in_recovery),
        started_at: server.map(|server| Rfc3339(server.started_at)),
        last_tick_at: tick.map(|tick| Rfc3339(tick.at)),
        period_ms: tick.map(|tick| tick.period.as_millis_f64()),
        pace: tick.map(|tick| tick.pace),
        ticks: totals.ticks,
        missed_ticks: totals.missed,
        connects: status.connects,
        disconnects: status.disconnects,
        watched_seconds: totals.watched.as_secs_f64(),
        looking_seconds: totals.looking.as_secs_f64(),
        active_sessions: totals.now.active,
        blocked_sessions: totals.now.blocked,
        longest_wait_ms: totals.now.longest.map(crate::time::Span::as_millis_f64),
        recording_bytes: status.recording_size.map(|size| size.total()),
        recording_errors: status.recording_errors,
        recording_trouble: status.recording_trouble,
        losses: status.losses,
    }
}

/// Writes the tool's own clock as instants are written here; it is never reckoned with.
fn own_clock(at: SystemTime) -> Timestamp {
    let unix = at
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    Timestamp::from_micros(i64::try_from(unix.as_micros()).unwrap_or(i64::MAX))
}

/// Which server is asked about.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Asked {
    pub(super) server: Option<String>,
}

/// Reads a query string, or says what is wrong with it.
pub(super) fn query<T>(query: Result<Query<T>, QueryRejection>) -> Result<T, Problem> {
    match query {
        Ok(Query(asked)) => Ok(asked),
        Err(rejection) => Err(Problem::bad(rejection.body_text())),
    }
}

impl Asked {
    pub(super) fn server(&self) -> Option<&str> {
        self.server.as_deref()
    }
}

impl App {
    /// Finds the server that is asked about; where there is one alone it need not be named.
    pub(super) fn asked(&self, asked: &Asked) -> Result<Arc<ServerLive>, Problem> {
        self.named(asked.server.as_deref())
    }

    pub(super) fn named(&self, name: Option<&str>) -> Result<Arc<ServerLive>, Problem> {
        let Some(name) = name else {
            let mut all = self.live.servers();
            return match all.len() {
                1 => Ok(all.remove(0)),
                0 => Err(Problem::later(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "no server is watched yet",
                    5,
                )),
                _ => Err(Problem::bad(
                    "several servers are watched: name one with server=, as /api/v1/servers lists them",
                )),
            };
        };
        self.live.server(name).ok_or_else(|| {
            let detail = "no server is watched under this name; /api/v1/servers lists them";
            Problem::new(StatusCode::NOT_FOUND, detail)
        })
    }
}

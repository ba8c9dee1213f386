//! What happened and was told to us: listing events, and declaring one.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::{Body, HttpBody as _, to_bytes};
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, Request, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse as _, Response};
use serde::{Deserialize, Serialize};
use tokio::time::timeout;

use super::Shared;
use super::health::{Asked, query};
use super::problem::Problem;
use crate::daemon::live::ServerLive;
use crate::sample::Declared;
use crate::time::{Rfc3339, Span, Timestamp};

/// A body is at most so long, in bytes.
const BODY: usize = 16 * 1024;
/// A body comes within this time.
const SENDING: Duration = Duration::from_secs(5);
/// A label is at most so long, in characters.
const LABEL: usize = 200;
/// An event lies at most so far ahead of the server's clock: clocks differ, but not by more.
const AHEAD: Span = Span::from_secs(60);

#[derive(Serialize)]
struct Events {
    events: Vec<Event>,
}

/// A declared event.
#[derive(Serialize)]
struct Event {
    server: Arc<str>,
    at: Rfc3339,
    label: Arc<str>,
}

/// Lists what was declared here lately, of one server or of all.
pub(super) async fn list(
    State(app): State<Shared>,
    asked: Result<Query<Asked>, QueryRejection>,
) -> Result<Response, Problem> {
    let servers = match query(asked)?.server() {
        Some(name) => vec![app.named(Some(name))?],
        None => app.live.servers(),
    };
    let mut events: Vec<Event> = servers
        .iter()
        .flat_map(|server| {
            let told = server.declared().into_iter();
            told.map(|declared| Event::of(server, declared))
        })
        .collect();
    events.sort_by_key(|event| event.at);
    Ok(Json(Events { events }).into_response())
}

impl Event {
    fn of(server: &ServerLive, declared: Declared) -> Self {
        Self {
            server: Arc::clone(server.name()),
            at: Rfc3339(declared.at),
            label: declared.label,
        }
    }
}

/// What is declared.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Declaration {
    label: String,
    /// When, in RFC 3339; now by the server's clock where it is not said.
    #[serde(default)]
    at: Option<String>,
    /// Of which server; of all where it is not said.
    #[serde(default)]
    server: Option<String>,
}

/// Declares an event.
pub(super) async fn declare(
    State(app): State<Shared>,
    request: Request,
) -> Result<Response, Problem> {
    let Declaration { label, at, server } = read(request).await?;
    let label = label.trim();
    if label.is_empty() || label.chars().count() > LABEL || label.chars().any(char::is_control) {
        return Err(Problem::unprocessable(format!(
            "label must be 1 to {LABEL} characters, none of them a control character"
        )));
    }
    let at = at.as_deref().map(instant).transpose()?;
    let servers = match server {
        Some(name) => vec![app.named(Some(&name))?],
        None => app.live.servers(),
    };
    if servers.is_empty() {
        app.named(None)?;
    }
    let mut events = Vec::new();
    for server in &servers {
        let now = server.now();
        let at = at.unwrap_or(now);
        if at > now + AHEAD {
            let detail = format!("at lies ahead of the server's clock, which is at {now}");
            return Err(Problem::unprocessable(detail));
        }
        let label = label.into();
        let declared = Declared { at, label };
        if !server.declare(declared.clone()) {
            let detail = format!("too many events wait to be recorded of {}", server.name());
            return Err(Problem::later(StatusCode::SERVICE_UNAVAILABLE, detail, 5));
        }
        events.push(Event::of(server, declared));
    }
    Ok((StatusCode::CREATED, Json(Events { events })).into_response())
}

/// Reads an instant as people write it.
pub(super) fn instant(text: &str) -> Result<Timestamp, Problem> {
    text.parse::<jiff::Timestamp>()
        .map(|at| Timestamp::from_micros(at.as_microsecond()))
        .map_err(|_| Problem::unprocessable("an instant is written as 2026-11-23T14:03:00Z"))
}

async fn read(request: Request) -> Result<Declaration, Problem> {
    let kind = request.headers().get(CONTENT_TYPE);
    let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let essence = kind.split(';').next().unwrap_or_default().trim();
    // A form of another page can be sent without asking; JSON cannot.
    if !essence.eq_ignore_ascii_case("application/json") {
        let detail = "the body must be application/json";
        return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail));
    }
    let body = body(request.into_body()).await?;
    serde_json::from_slice(&body).map_err(|error| {
        let detail = format!("the body is no declaration as /api/v1/openapi.json has it: {error}");
        Problem::unprocessable(detail)
    })
}

async fn body(body: Body) -> Result<axum::body::Bytes, Problem> {
    let too_long = || {
        let detail = format!("a body of more than {BODY} bytes is not read");
        Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, detail))
    };
    // One that is announced as too long need not come first.
    if body.size_hint().lower() > BODY as u64 {
        return too_long();
    }
    match timeout(SENDING, to_bytes(body, BODY)).await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(_)) => too_long(),
        Err(_) => Err(Problem::new(
            StatusCode::REQUEST_TIMEOUT,
            "the body did not come in time",
        )),
    }
}

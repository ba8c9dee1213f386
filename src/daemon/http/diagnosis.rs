//! The verdict over a window of the recording, as `pgjam report --format json` gives it.

use std::path::Path;
use std::sync::Arc;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse as _, Response};
use serde::Deserialize;

use super::Shared;
use super::events::instant;
use super::graph::off_the_watch;
use super::health::query;
use super::problem::Problem;
use crate::attribution::diagnose_in_words;
use crate::names::Statements;
use crate::recording::{Recording, RecordingError, Window};
use crate::report::{Report, json};
use crate::system::Naming;
use crate::time::{Span, Timestamp};

/// The window where none is asked for: the last ten minutes.
const USUAL: Span = Span::from_secs(600);
/// The longest window.
const LONGEST: Span = Span::from_secs(2 * 3_600);
/// So many bytes of rows are reckoned with at most: with what is worked out from them they take some
/// times as much, and the watch has to go on beside it.
pub(super) const MOST: u64 = 16 << 20;

/// What is asked for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Asked {
    server: Option<String>,
    from: Option<String>,
    to: Option<String>,
}

/// Answers with the diagnosis of a window.
pub(super) async fn show(
    State(app): State<Shared>,
    asked: Result<Query<Asked>, QueryRejection>,
) -> Result<Response, Problem> {
    let Asked { server, from, to } = query(asked)?;
    let server = app.named(server.as_deref())?;
    let to = to.as_deref().map(instant).transpose()?;
    let to = to.unwrap_or_else(|| server.now());
    let from = from.as_deref().map(instant).transpose()?;
    let from = from.unwrap_or(to - USUAL);
    if from >= to {
        return Err(Problem::unprocessable("from must lie before to"));
    }
    if to.since(from) > LONGEST {
        let detail = format!("the window is longer than {LONGEST}; pgjam report reads any");
        return Err(Problem::unprocessable(detail));
    }
    let Ok(turn) = Arc::clone(&app.diagnoses).try_acquire_owned() else {
        let detail = "another diagnosis is under way, and one is made at a time";
        return Err(Problem::later(StatusCode::SERVICE_UNAVAILABLE, detail, 5));
    };
    let (folder, naming) = (server.status().folder, server.naming());
    let with_texts = app.access.knows_callers;
    let made = move || diagnosis(&folder, from, to, &naming, with_texts);
    let text = off_the_watch(turn, made).await??;
    Ok(([(CONTENT_TYPE, "application/json")], text).into_response())
}

fn diagnosis(
    folder: &Path,
    from: Timestamp,
    to: Timestamp,
    naming: &Arc<Naming>,
    with_texts: bool,
) -> Result<String, Problem> {
    let window = Window { from, to };
    let recording = Recording::open_bounded(folder, window, MOST).map_err(problem)?;
    if recording.snapshots.is_empty() {
        let detail = format!("nobody looked between {from} and {to}");
        return Err(Problem::new(StatusCode::NOT_FOUND, detail));
    }
    let statements = statements(&recording, with_texts);
    let diagnosis = diagnose_in_words(&recording, naming, &statements);
    Ok(json::render(&Report::new(diagnosis)))
}

/// Gives the statements of a recording as callers may see them.
pub(super) fn statements(recording: &Recording, with_texts: bool) -> Statements {
    let statements = Statements::of(&recording.statements);
    if with_texts {
        statements
    } else {
        statements.without_texts()
    }
}

/// Says why a window cannot be read.
pub(super) fn problem(error: RecordingError) -> Problem {
    match error {
        RecordingError::NotARecording(_) => Problem::later(
            StatusCode::SERVICE_UNAVAILABLE,
            "nothing is recorded yet",
            5,
        ),
        RecordingError::TooLarge { bytes, .. } => {
            let (bytes, most) = (bytes.div_ceil(1 << 20), MOST >> 20);
            let detail = format!(
                "the window holds about {bytes} MiB of rows, more than the {most} that are reckoned \
                 with here: ask for a shorter one, or run pgjam report"
            );
            Problem::new(StatusCode::PAYLOAD_TOO_LARGE, detail)
        }
        error => Problem::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
    }
}

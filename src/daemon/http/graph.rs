//! Who waits for whom at the last tick.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse as _, Response};
use tokio::sync::{Mutex, OwnedSemaphorePermit};

use super::health::{Asked, query};
use super::problem::Problem;
use super::{App, Shared};
use crate::daemon::live::{Look, ServerLive};
use crate::report::json;
use crate::time::Timestamp;

/// The last graph of each server as a line of JSON, so that many streams are one drawing.
#[derive(Debug, Default)]
pub(super) struct Drawn(Mutex<BTreeMap<Arc<str>, Line>>);

#[derive(Debug)]
struct Line {
    at: Timestamp,
    text: Arc<str>,
}

/// Answers with the graph, as `pgjam now --format json` does.
pub(super) async fn show(
    State(app): State<Shared>,
    asked: Result<Query<Asked>, QueryRejection>,
) -> Result<Response, Problem> {
    let server = app.asked(&query(asked)?)?;
    let Some(look) = server.look() else {
        let detail = format!("{} was not seen yet", server.name());
        return Err(Problem::later(StatusCode::SERVICE_UNAVAILABLE, detail, 1));
    };
    let with_texts = app.access.knows_callers;
    let draw = move || json::render_graph(&server.view(&look, with_texts));
    let text = off_the_watch(app.turn().await?, draw).await?;
    Ok(([(CONTENT_TYPE, "application/json")], text).into_response())
}

impl App {
    /// Waits for the turn to draw.
    pub(super) async fn turn(&self) -> Result<OwnedSemaphorePermit, Problem> {
        let turn = Arc::clone(&self.drawing).acquire_owned().await;
        turn.map_err(|_| Problem::new(StatusCode::SERVICE_UNAVAILABLE, "the daemon ends"))
    }

    /// Draws a tick's graph as one line, unless it was drawn before.
    pub(super) async fn line(
        &self,
        server: &Arc<ServerLive>,
        look: Arc<Look>,
    ) -> Result<Arc<str>, Problem> {
        let mut drawn = self.drawn.0.lock().await;
        let at = look.snapshot.tick.at;
        if let Some(line) = drawn.get(server.name())
            && line.at == at
        {
            return Ok(Arc::clone(&line.text));
        }
        let (asked, with_texts) = (Arc::clone(server), self.access.knows_callers);
        let draw = move || json::render_graph_line(&asked.view(&look, with_texts));
        let text: Arc<str> = off_the_watch(self.turn().await?, draw).await?.into();
        let line = Line {
            at,
            text: Arc::clone(&text),
        };
        drawn.insert(Arc::clone(server.name()), line);
        Ok(text)
    }
}

/// Does what takes long on a thread of its own: the watchers' must not wait.
///
/// The turn ends with the work, and not with the caller who may have gone away meanwhile.
pub(super) async fn off_the_watch<T: Send + 'static>(
    turn: OwnedSemaphorePermit,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Problem> {
    let work = move || {
        let done = work();
        drop(turn);
        done
    };
    tokio::task::spawn_blocking(work).await.map_err(|error| {
        tracing::error!(%error, "an answer could not be made");
        let detail = "a defect in pgjam: the answer could not be made, and the log says why";
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, detail)
    })
}

//! The graph as it changes: server-sent events for live pages.
//!
//! | event | data | when |
//! |---|---|---|
//! | `graph` | `pgjam.graph/1` in one line | at once, then at most twice a second |
//! | `lost` | why the server is not watched | while it is not, every few seconds |
//!
//! A comment in between keeps the connection alive, and finds out that nobody reads.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse as _, Response};
use futures_util::stream;
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::{Instant, sleep_until, timeout};

use super::Shared;
use super::health::{Asked, query};
use super::problem::Problem;
use crate::daemon::live::{Look, ServerLive};

/// Graphs are no closer together.
const PACE: Duration = Duration::from_millis(500);
/// So long nothing may happen before something is said all the same.
const QUIET: Duration = Duration::from_secs(5);

struct Listener {
    app: Shared,
    server: Arc<ServerLive>,
    looks: watch::Receiver<Option<Arc<Look>>>,
    next: Instant,
    _place: OwnedSemaphorePermit,
}

/// Answers with events until the caller has had enough.
pub(super) async fn show(
    State(app): State<Shared>,
    asked: Result<Query<Asked>, QueryRejection>,
) -> Result<Response, Problem> {
    let server = app.asked(&query(asked)?)?;
    let Ok(place) = Arc::clone(&app.streams).try_acquire_owned() else {
        let detail = "as many streams are open as may be";
        return Err(Problem::later(StatusCode::SERVICE_UNAVAILABLE, detail, 10));
    };
    let mut looks = server.looks();
    looks.mark_changed();
    let listener = Listener {
        app,
        server,
        looks,
        next: Instant::now(),
        _place: place,
    };
    let events = stream::unfold(listener, |mut listener| async move {
        let event = listener.event().await?;
        Some((Ok::<_, Infallible>(event), listener))
    });
    Ok(Sse::new(events).into_response())
}

impl Listener {
    /// Waits for what to say next; none where the server is watched no more.
    async fn event(&mut self) -> Option<Event> {
        sleep_until(self.next).await;
        let changed = match timeout(QUIET, self.looks.changed()).await {
            Ok(changed) => {
                changed.ok()?;
                self.looks.borrow_and_update().clone()
            }
            Err(_) => None,
        };
        self.next = Instant::now() + PACE;
        let Some(look) = changed else {
            return Some(match self.server.not_ready() {
                Some(reason) => Event::default().event("lost").data(reason),
                None => Event::default().comment("nothing new"),
            });
        };
        let line = self.app.line(&self.server, look).await.ok()?;
        Some(Event::default().event("graph").data(&*line))
    }
}

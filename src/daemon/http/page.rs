//! The page for people: who waits for whom now, and the report on the last hour.
//!
//! `/now` is what `pgjam now` prints, and the page asks for it again whenever a look saw something
//! else. The report is drawn up anew at most every few seconds, and one at a time.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY};
use axum::response::{IntoResponse as _, Response};
use tokio::sync::Mutex;

use super::diagnosis;
use super::graph::off_the_watch;
use super::health::{Asked, query};
use super::problem::Problem;
use super::{App, Shared};
use crate::attribution::{diagnose_in_words, moments};
use crate::daemon::live::ServerLive;
use crate::recording::{Recording, RecordingError, Window};
use crate::report::{Replay, Report, Style, first_screen, html};
use crate::system::Naming;
use crate::time::{Span, Timestamp};

/// The page tells of the last hour, or of as much of it as can be read at once.
const HOUR: Span = Span::from_secs(3_600);
/// Of no less than this.
const LEAST: Span = Span::from_secs(120);
/// It may take half of what a diagnosis may: the moments that can be stepped through come on top.
const MOST: u64 = diagnosis::MOST / 2;
/// For so long a page stays as it was drawn up.
const FRESH: Duration = Duration::from_secs(10);
/// How wide the tree is, in columns.
const COLUMNS: usize = 100;

/// The last page of each server.
#[derive(Debug, Default)]
pub(super) struct Pages(Mutex<BTreeMap<Arc<str>, Page>>);

#[derive(Debug)]
struct Page {
    drawn: Instant,
    text: Arc<str>,
}

/// Answers with what `pgjam now` prints.
pub(super) async fn now(
    State(app): State<Shared>,
    asked: Result<Query<Asked>, QueryRejection>,
) -> Result<Response, Problem> {
    let server = app.asked(&query(asked)?)?;
    let Some(look) = server.look() else {
        let detail = format!("{} was not seen yet", server.name());
        return Err(Problem::later(StatusCode::SERVICE_UNAVAILABLE, detail, 1));
    };
    let with_texts = app.access.knows_callers;
    let draw = move || {
        let style = Style {
            width: COLUMNS,
            color: false,
        };
        first_screen::with_tree(&server.view(&look, with_texts), None, &style)
    };
    let text = off_the_watch(app.turn().await?, draw).await?;
    Ok(([(CONTENT_TYPE, "text/plain; charset=utf-8")], text).into_response())
}

/// Answers with the page.
pub(super) async fn show(
    State(app): State<Shared>,
    asked: Result<Query<Asked>, QueryRejection>,
) -> Result<Response, Problem> {
    let asked = query(asked)?;
    let first = || app.live.servers().into_iter().next();
    let server = match (asked.server.is_none(), first()) {
        (true, Some(first)) => first,
        _ => app.asked(&asked)?,
    };
    let page = app.page(&server).await?;
    let headers = [
        (CONTENT_TYPE, "text/html; charset=utf-8"),
        (CONTENT_SECURITY_POLICY, html::live_policy()),
        (REFERRER_POLICY, "no-referrer"),
    ];
    Ok((headers, page.to_string()).into_response())
}

impl App {
    /// Draws a server's page up, unless that was done a moment ago.
    async fn page(&self, server: &Arc<ServerLive>) -> Result<Arc<str>, Problem> {
        let mut pages = self.pages.0.lock().await;
        if let Some(page) = pages.get(server.name())
            && page.drawn.elapsed() < FRESH
        {
            return Ok(Arc::clone(&page.text));
        }
        let turn = Arc::clone(&self.diagnoses).acquire_owned().await;
        let turn =
            turn.map_err(|_| Problem::new(StatusCode::SERVICE_UNAVAILABLE, "the daemon ends"))?;
        let servers = self.live.servers();
        let live = html::Live {
            server: server.name().to_string(),
            servers: servers
                .iter()
                .map(|server| server.name().to_string())
                .collect(),
        };
        let (folder, naming) = (server.status().folder, server.naming());
        let (to, with_texts) = (server.now(), self.access.knows_callers);
        let draw = move || drawn(&folder, to, &naming, with_texts, live);
        let text: Arc<str> = off_the_watch(turn, draw).await??.into();
        let page = Page {
            drawn: Instant::now(),
            text: Arc::clone(&text),
        };
        pages.insert(Arc::clone(server.name()), page);
        Ok(text)
    }
}

fn drawn(
    folder: &Path,
    to: Timestamp,
    naming: &Naming,
    with_texts: bool,
    live: html::Live,
) -> Result<String, Problem> {
    let recording = last_hour(folder, to)?;
    let statements = diagnosis::statements(&recording, with_texts);
    let report = Report::new(diagnose_in_words(&recording, naming, &statements));
    let replay = Replay::of(moments(&recording, naming, &statements));
    Ok(html::render_live(&report, replay, live))
}

/// Reads the last hour, or less where that would be too much at once.
fn last_hour(folder: &Path, to: Timestamp) -> Result<Recording, Problem> {
    let mut length = HOUR;
    loop {
        let window = Window {
            from: to - length,
            to,
        };
        match Recording::open_bounded(folder, window, MOST) {
            Err(RecordingError::TooLarge { .. }) if length > LEAST => {
                length = Span::from_micros(length.as_micros() / 2);
            }
            read => return read.map_err(diagnosis::problem),
        }
    }
}

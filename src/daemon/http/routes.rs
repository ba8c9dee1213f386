//! All that can be asked for.

use std::sync::Arc;

use axum::Router;
use axum::http::StatusCode;
use axum::middleware;
use axum::routing::{MethodRouter, get};

use super::problem::Problem;
use super::{Shared, diagnosis, events, graph, guard, health, metrics, openapi, page, stream};

/// A path, the methods that it takes, and who answers.
struct Route {
    path: &'static str,
    allow: &'static str,
    answer: MethodRouter<Shared>,
}

/// What a path takes that only answers.
const READ: &str = "GET, HEAD, OPTIONS";

fn table() -> [Route; 11] {
    let read = |path, answer| Route {
        path,
        allow: READ,
        answer,
    };
    [
        read("/", get(page::show)),
        read("/now", get(page::now)),
        read("/metrics", get(metrics::show)),
        read("/healthz", get(health::alive)),
        read("/readyz", get(health::ready)),
        read("/api/v1/servers", get(health::servers)),
        read("/api/v1/graph", get(graph::show)),
        read("/api/v1/diagnosis", get(diagnosis::show)),
        Route {
            path: "/api/v1/events",
            allow: "GET, HEAD, OPTIONS, POST",
            answer: get(events::list).post(events::declare),
        },
        read("/api/v1/stream", get(stream::show)),
        read("/api/v1/openapi.json", get(openapi::show)),
    ]
}

/// Lists every path with the methods that it takes.
#[must_use]
pub fn paths() -> Vec<(&'static str, Vec<&'static str>)> {
    let methods = |route: Route| (route.path, route.allow.split(", ").collect());
    table().into_iter().map(methods).collect()
}

/// Gives what a path takes.
pub(super) fn allow(path: &str) -> Option<&'static str> {
    let known = table().into_iter().find(|route| route.path == path);
    known.map(|route| route.allow)
}

/// Puts the routes behind the guard.
pub(super) fn all(app: Shared) -> Router {
    let router = table().into_iter().fold(Router::new(), |router, route| {
        router.route(route.path, route.answer)
    });
    let nowhere = || async { Problem::new(StatusCode::NOT_FOUND, "there is no such path") };
    router
        .fallback(nowhere)
        .layer(middleware::from_fn_with_state(
            Arc::clone(&app),
            guard::pass,
        ))
        .with_state(app)
}

//! Who gets through to the routes, and what every answer has in common.
//!
//! 1. Nobody asks too often; a wrong token costs as much as many questions, and whoever shows the
//!    right one is not counted with the others.
//! 2. Where callers are not known, whoever asks must mean this machine by name: a page that made
//!    its own name point here ([DNS rebinding]) does not.
//! 3. Where a token is configured it is shown, except to learn whether the daemon is alive.
//! 4. What changes something comes from no page of another origin.
//!
//! [DNS rebinding]: https://en.wikipedia.org/wiki/DNS_rebinding

use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use axum::Extension;
use axum::extract::{Request, State};
use axum::http::header::{
    ALLOW, AUTHORIZATION, CACHE_CONTROL, HOST, ORIGIN, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

use super::problem::Problem;
use super::rate::Asker;
use super::settings::is_loopback;
use super::{App, Caller, Shared, routes};

/// What a wrong token costs, in questions.
const WRONG_TOKEN: f64 = 10.0;

/// Lets a request through, or says why not.
pub(super) async fn pass(
    State(app): State<Shared>,
    Extension(caller): Extension<Caller>,
    request: Request,
    next: Next,
) -> Response {
    let path = request.uri().path().to_owned();
    let mut response = match check(&app, caller, &request) {
        Err(problem) => problem.into_response(),
        Ok(()) if *request.method() == Method::OPTIONS => match routes::allow(&path) {
            Some(_) => StatusCode::NO_CONTENT.into_response(),
            None => next.run(request).await,
        },
        Ok(()) => next.run(request).await,
    };
    let allow = routes::allow(&path).map(HeaderValue::from_static);
    if response.status() == StatusCode::METHOD_NOT_ALLOWED {
        let detail = "this path does not take this method";
        response = Problem::new(StatusCode::METHOD_NOT_ALLOWED, detail).into_response();
    }
    let is_about_methods = matches!(
        response.status(),
        StatusCode::METHOD_NOT_ALLOWED | StatusCode::NO_CONTENT
    );
    let headers = response.headers_mut();
    if let Some(allow) = allow.filter(|_| is_about_methods) {
        headers.insert(ALLOW, allow);
    }
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

fn check(app: &App, Caller(address): Caller, request: &Request) -> Result<(), Problem> {
    let headers = request.headers();
    let shows_token = app
        .access
        .token
        .as_ref()
        .map(|token| shown(headers).is_some_and(|shown| token.is(shown)));
    let asker = Asker {
        address,
        is_known: shows_token.unwrap_or(app.access.knows_callers),
    };
    let take = |cost| app.rates.take(asker, cost, Instant::now());
    let is_wrong = shows_token == Some(false) && headers.contains_key(AUTHORIZATION);
    take(if is_wrong { WRONG_TOKEN } else { 1.0 }).map_err(|wait| {
        let detail = "this address asks too often";
        Problem::later(StatusCode::TOO_MANY_REQUESTS, detail, wait.as_secs() + 1)
    })?;
    if !app.access.knows_callers && !means_this_machine(headers) {
        let detail = "the Host header must name localhost, or an address of this machine's own";
        return Err(Problem::new(StatusCode::MISDIRECTED_REQUEST, detail));
    }
    if shows_token == Some(false) && request.uri().path() != "/healthz" {
        let detail = "a bearer token is needed: Authorization: Bearer TOKEN";
        return Err(Problem::new(StatusCode::UNAUTHORIZED, detail));
    }
    let changes = !matches!(
        *request.method(),
        Method::GET | Method::HEAD | Method::OPTIONS
    );
    if changes && !is_of_this_origin(headers) {
        let detail = "a page of another origin may change nothing here";
        return Err(Problem::new(StatusCode::FORBIDDEN, detail));
    }
    Ok(())
}

/// Gives the token that was shown, if exactly one was.
fn shown(headers: &HeaderMap) -> Option<&[u8]> {
    let mut all = headers.get_all(AUTHORIZATION).iter();
    let (Some(one), None) = (all.next(), all.next()) else {
        return None;
    };
    let (scheme, token) = one.as_bytes().split_at_checked(7)?;
    scheme.eq_ignore_ascii_case(b"bearer ").then_some(token)
}

fn single<'a>(headers: &'a HeaderMap, name: &axum::http::HeaderName) -> Option<&'a str> {
    let mut all = headers.get_all(name).iter();
    match (all.next(), all.next()) {
        (Some(one), None) => one.to_str().ok(),
        _ => None,
    }
}

/// Tells whether a request was meant for this machine, by a name that nobody else can have.
fn means_this_machine(headers: &HeaderMap) -> bool {
    single(headers, &HOST).is_some_and(is_own)
}

fn is_own(host: &str) -> bool {
    if let Ok(address) = host.parse::<SocketAddr>() {
        return is_loopback(address.ip());
    }
    let address = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    if let Ok(address) = address.unwrap_or(host).parse::<IpAddr>() {
        return is_loopback(address);
    }
    let name = match host.split_once(':') {
        Some((name, port)) if port.parse::<u16>().is_ok() => name,
        Some(_) => return false,
        None => host,
    };
    name.eq_ignore_ascii_case("localhost")
}

/// Tells whether no page, or a page from here, sent a request.
fn is_of_this_origin(headers: &HeaderMap) -> bool {
    if !headers.contains_key(ORIGIN) {
        return true;
    }
    let authority = single(headers, &ORIGIN).and_then(|origin| origin.split_once("://"));
    let host = single(headers, &HOST);
    authority.is_some_and(|(_, authority)| Some(authority) == host)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    fn headers(all: &[(axum::http::HeaderName, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in all {
            headers.append(name, value.parse().unwrap());
        }
        headers
    }

    #[test]
    fn only_names_that_nobody_else_can_have_mean_this_machine() {
        for own in [
            "localhost",
            "LOCALHOST:9187",
            "127.0.0.1",
            "127.0.0.1:80",
            "[::1]",
            "[::1]:80",
        ] {
            assert!(is_own(own), "{own}");
        }
        for other in [
            "",
            "evil.example",
            "evil.example:80",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "localhost:80:80",
            "localhost:",
            "10.0.0.1:80",
            "[::1].evil.example",
        ] {
            assert!(!is_own(other), "{other}");
        }
        assert!(!means_this_machine(&headers(&[])));
        let twice = headers(&[(HOST, "localhost"), (HOST, "evil.example")]);
        assert!(!means_this_machine(&twice));
    }

    #[test]
    fn a_page_from_elsewhere_changes_nothing() {
        let check = |origin: &str| {
            is_of_this_origin(&headers(&[(HOST, "localhost:9187"), (ORIGIN, origin)]))
        };
        assert!(is_of_this_origin(&headers(&[(HOST, "localhost:9187")])));
        assert!(check("http://localhost:9187"));
        for other in ["null", "", "http://localhost", "https://evil.example"] {
            assert!(!check(other), "{other}");
        }
    }

    #[test]
    fn a_token_is_shown_once_and_as_a_bearer() {
        let token = |all: &[&str]| {
            let all: Vec<_> = all.iter().map(|value| (AUTHORIZATION, *value)).collect();
            shown(&headers(&all)).map(<[u8]>::to_vec)
        };
        assert_eq!(token(&["Bearer abc"]).as_deref(), Some(b"abc".as_slice()));
        assert_eq!(token(&["bEARER abc"]).as_deref(), Some(b"abc".as_slice()));
        for wrong in [
            &[][..],
            &["Basic abc"],
            &["Bearer"],
            &["Bearer a", "Bearer a"],
        ] {
            assert_eq!(token(wrong), None, "{wrong:?}");
        }
    }
}

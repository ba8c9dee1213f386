//! What the daemon tells over HTTP, and to whom.
//!
//! ```text
//!  listener ─▶ places ─▶ TLS ─▶ hyper ─▶ guard ─▶ routes ─▶ Live
//!              (a few)         (limits)  (rate, host, token, origin)
//! ```
//! - It is spoken on loopback, and elsewhere only to callers who show a token or a certificate:
//!   anything else does not start ([`Settings`]).
//! - Query texts are for those callers alone. Everybody else reads what statements do, and ids.
//! - No GET changes anything. The one thing that can be changed is the list of declared events.
//! - Nothing that a caller does or leaves undone holds a watcher up, costs memory without a
//!   bound, or keeps a place for ever: places, streams, sizes, rates and waits have limits.
//! - What is true of every route stands in [`openapi`], and a test holds the two together.

mod diagnosis;
mod events;
mod graph;
mod guard;
mod health;
mod metrics;
pub mod openapi;
mod page;
mod patience;
mod problem;
mod rate;
mod routes;
mod settings;
mod stream;
mod tls;

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::{Extension, Router};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;

pub(super) use self::settings::is_loopback;
pub use self::settings::{HttpError, Settings};

use self::patience::Patient;
use self::rate::Rates;
use self::settings::Access;
use crate::daemon::live::Live;

/// So many connections are held at once.
const PLACES: usize = 64;
/// So many of them may be of one address.
const PLACES_EACH: usize = 32;
/// So many of them may be streams.
const STREAMS: usize = 16;
/// How long a caller may take to shake hands.
const HANDSHAKE: Duration = Duration::from_secs(5);
/// How long a caller may take to send the head of a request, and rest between two.
const HEAD: Duration = Duration::from_secs(10);
/// How long a caller may take no byte of an answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long the head of a request may be, in bytes, and how many fields it may have.
const HEAD_SIZE: (usize, usize) = (16 * 1024, 64);
/// How long a machine without a free file is left alone before the next try.
const BREATH: Duration = Duration::from_millis(100);

/// What all requests share.
#[derive(Debug)]
struct App {
    live: Arc<Live>,
    access: Access,
    rates: Rates,
    begun: Instant,
    streams: Arc<Semaphore>,
    /// One diagnosis at a time: each holds its recording's window in memory.
    diagnoses: Arc<Semaphore>,
    /// One graph is drawn at a time: a storm's takes a moment of a core.
    drawing: Arc<Semaphore>,
    drawn: graph::Drawn,
    pages: page::Pages,
}

type Shared = Arc<App>;

/// Who asks.
#[derive(Clone, Copy, Debug)]
struct Caller(IpAddr);

/// Where HTTP listens; whoever has it may go on to speak there otherwise.
#[derive(Clone, Debug)]
pub struct Listening {
    listener: Arc<TcpListener>,
    address: SocketAddr,
}

/// HTTP that listens, and is not served yet.
#[derive(Debug)]
pub struct Http {
    listening: Listening,
    tls: Option<Arc<ServerConfig>>,
    routes: Router,
}

impl Http {
    /// Listens where the settings say.
    ///
    /// # Errors
    ///
    /// Where the settings cannot be used, or the address is taken.
    pub async fn bind(settings: &Settings, live: Arc<Live>) -> Result<Self, HttpError> {
        let Some(address) = settings.listen else {
            return Err(HttpError::Setting {
                key: "listen",
                what: "is missing".to_owned(),
            });
        };
        settings.check()?;
        let refused = |source| HttpError::Listen { address, source };
        let listener = TcpListener::bind(address).await.map_err(refused)?;
        let address = listener.local_addr().map_err(refused)?;
        let listener = Arc::new(listener);
        Self::on(Listening { listener, address }, settings, live)
    }

    /// Speaks as the settings say where it listens already.
    ///
    /// # Errors
    ///
    /// Where the settings cannot be used.
    pub fn on(
        listening: Listening,
        settings: &Settings,
        live: Arc<Live>,
    ) -> Result<Self, HttpError> {
        let access = settings.access()?;
        let tls = access.tls.clone();
        let routes = routes::all(Arc::new(App {
            live,
            access,
            rates: Rates::default(),
            begun: Instant::now(),
            streams: Arc::new(Semaphore::new(STREAMS)),
            diagnoses: Arc::new(Semaphore::new(1)),
            drawing: Arc::new(Semaphore::new(1)),
            drawn: graph::Drawn::default(),
            pages: page::Pages::default(),
        }));
        Ok(Self {
            listening,
            tls,
            routes,
        })
    }

    /// Gives the address that it listens on, with the port that the machine chose.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.listening.address
    }

    /// Gives where it listens, to go on there with other settings.
    #[must_use]
    pub fn listening(&self) -> Listening {
        self.listening.clone()
    }

    /// Gives the address as a caller writes it.
    #[must_use]
    pub fn url(&self) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.address())
    }

    /// Answers until it is time to stop; then every connection is closed as it is.
    pub async fn serve(self, stop: impl Future<Output = ()>) {
        let mut stop = std::pin::pin!(stop);
        let places = Arc::new(Semaphore::new(PLACES));
        let mut connections = JoinSet::new();
        // Each connection holds one more of its address's.
        let mut callers: HashMap<IpAddr, Arc<()>> = HashMap::new();
        loop {
            let accepted = tokio::select! {
                () = &mut stop => break,
                accepted = self.listening.listener.accept() => accepted,
            };
            while connections.try_join_next().is_some() {}
            let Ok((stream, caller)) = accepted else {
                tokio::time::sleep(BREATH).await;
                continue;
            };
            let caller = neighbourhood(caller.ip());
            callers.retain(|_, held| Arc::strong_count(held) > 1);
            let held = callers.entry(caller).or_default();
            let has_room = Arc::strong_count(held) <= PLACES_EACH;
            let place = Arc::clone(&places).try_acquire_owned().ok();
            let Some(place) = place.filter(|_| has_room) else {
                self.turn_away(&stream);
                continue;
            };
            let place = (place, Arc::clone(held));
            let routes = self.routes.clone().layer(Extension(Caller(caller)));
            let tls = self.tls.clone().map(TlsAcceptor::from);
            connections.spawn(connection(stream, tls, routes, place));
        }
        connections.shutdown().await;
    }

    /// Tells a caller in clear text that there is no place for it.
    fn turn_away(&self, stream: &TcpStream) {
        if self.tls.is_none() {
            let answer = "HTTP/1.1 503 Service Unavailable\r\nretry-after: 10\r\n\
                          content-length: 0\r\nconnection: close\r\n\r\n";
            let _ = stream.try_write(answer.as_bytes());
        }
    }
}

/// Gives the address that a caller is counted under: whoever has one of IPv6 has 2⁶⁴ of them.
fn neighbourhood(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) if !address.is_loopback() => {
            let network = address.to_bits() >> 64 << 64;
            Ipv6Addr::from_bits(network).into()
        }
        other => other,
    }
}

/// Speaks with one caller until either end has had enough.
async fn connection(
    stream: TcpStream,
    tls: Option<TlsAcceptor>,
    routes: Router,
    _place: (OwnedSemaphorePermit, Arc<()>),
) {
    let _ = stream.set_nodelay(true);
    let stream = Patient::new(stream, PATIENCE);
    match tls {
        None => speak(stream, routes).await,
        Some(tls) => {
            if let Ok(Ok(stream)) = tokio::time::timeout(HANDSHAKE, tls.accept(stream)).await {
                speak(stream, routes).await;
            }
        }
    }
}

async fn speak(stream: impl AsyncRead + AsyncWrite + Unpin, routes: Router) {
    let spoken = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .max_buf_size(HEAD_SIZE.0)
        .max_headers(HEAD_SIZE.1)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(routes))
        .await;
    if let Err(error) = spoken {
        tracing::debug!(%error, "a connection was given up");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_has_many_addresses_is_one_caller() {
        let check = |address: &str, counted: &str| {
            let address = address.parse().map(neighbourhood);
            assert_eq!(address, counted.parse());
        };
        check("10.0.0.1", "10.0.0.1");
        check("::ffff:10.0.0.1", "10.0.0.1");
        check("::1", "::1");
        check("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::");
    }
}

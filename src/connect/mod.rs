//! How the watched server is reached: what users of libpq expect, and one polite session.
//!
//! ```text
//!  DSN ─▶ service file ─▶ PG* variables ─▶ defaults        (first to speak wins)
//!                     Target  ──connect()──▶  Session
//! ```
//! A [`Target`] is resolved once from a connection string and an [`Environment`];
//! a [`Session`] is one open connection that has introduced itself.
//!
//! - Every session carries [`APPLICATION_NAME`], whatever the string or `PGAPPNAME`
//!   say, gives up its own waits and statements soon, and cannot write.
//! - Its settings travel in the startup packet, never as `SET`: a transaction pooler
//!   would hand what was `SET` to the next application. Where they do not arrive the
//!   session is refused before it has changed anything.
//! - Text arrives as the server's raw bytes ([`RawText`]): no conversion on the server
//!   can fail on somebody else's query text.
//! - A password is in no message, no address and no `Debug` output.
//!
//! An option that would weaken what the user asked for is refused rather than
//! ignored: `requirepeer`, `sslcrl` and their kind. The process's environment is read
//! in [`Environment::from_process`] alone.

mod environment;
mod error;
mod options;
mod passfile;
mod service;
mod session;
mod target;
mod text;
mod tls;

pub use environment::Environment;
pub(crate) use error::quoted;
pub use error::{ConnectError, ConnectErrorKind};
pub use session::Session;
pub use target::Target;
pub use text::RawText;

/// The `application_name` of every connection that pgjam makes to watch.
pub const APPLICATION_NAME: &str = "pgjam";

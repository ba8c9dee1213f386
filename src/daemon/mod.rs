//! The long watch: several servers from one process, for weeks.
//!
//! ```text
//!  config ─▶ supervisor ─▶ attendant, one a server ─▶ watch ─▶ recording
//!  SIGHUP ──────┘  ▲             │ lost ─▶ pause ─▶ again └──▶ live ──▶ http
//!  systemd ◀───────┴── news ─────┘
//! ```
//! - Each server is attended for itself: one that hangs, fails or fills its disk delays no look
//!   at another.
//! - A watcher never waits for a reader: what it hands to [`live`] is counted at once or held
//!   for whoever asks.
//! - A configuration that cannot be used changes nothing.
//! - What was not watched is in the recording as such: a gap is no quiet time.
//!
//! It prints nothing: what is to be told is an event of `tracing`, and whoever runs it decides
//! where those go.

mod answering;
mod attendant;
pub mod books;
pub mod config;
pub mod http;
pub mod live;
mod service_manager;
mod supervisor;
pub mod watch;

pub use self::supervisor::{DaemonError, Plan, run};

/// A unit for systemd.
pub const SYSTEMD_UNIT: &str = include_str!("pgjam.service");

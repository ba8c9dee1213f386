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
pub mod words;

pub use self::supervisor::{DaemonError, Plan, run};

/// What glibc's allocator is to be told of a process that watches, by its environment, before it
/// begins. Another libc passes over it.
///
/// By default each thread has its own stock of memory, and keeps in it what it once took much of: of
/// the 50 MiB that a watch of 100,000 statements came to have, more than half were free.
pub const ALLOCATOR: [(&str, &str); 3] = [
    // Whoever looks and whoever writes share one stock: rows go from one to the other.
    ("MALLOC_ARENA_MAX", "1"),
    // What is large goes back to the system at once, also where it did so before.
    ("MALLOC_MMAP_THRESHOLD_", "131072"),
    ("MALLOC_TRIM_THRESHOLD_", "131072"),
];

/// A unit for systemd.
pub const SYSTEMD_UNIT: &str = include_str!("pgjam.service");

//! The built program against real servers: what it says, how it ends, what it leaves.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod access;
mod at;
mod baseline;
mod configuration;
mod daemon;
mod graph;
mod hostile;
mod interruptions;
mod logs;
mod observer;
mod record;
mod recordings;
mod rights;
mod roots;
mod service_manager;
mod stage;
mod terminal;
mod top;

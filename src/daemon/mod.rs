//! The long watch: what it knows of each server now, and what it tells over HTTP.
//!
//! ```text
//!  watchers, one a server ──▶ live ──▶ http: metrics, health, graphs, diagnoses, events
//!                               ◀──── declared events, on their way to the recording
//! ```
//! A watcher never waits for a reader: what it hands to [`live`] is counted at once or held
//! for whoever asks.

pub mod http;
pub mod live;

//! The long watch: what it knows of each server now, for whoever asks.
//!
//! A watcher never waits for a reader: what it hands to [`live`] is counted at once or held
//! for whoever asks.

pub mod live;

//! What the daemon tells over HTTP, to whom, and what it withstands.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod access;
mod answers;
mod certificates;
mod contract;
mod limits;
mod metrics;
mod page;
mod real;
mod seen;
mod stage;

//! Whose arrival made whose latency grow, through what, by how much.

pub mod finding;

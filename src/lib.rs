//! pgjam: whose arrival made whose latency grow, through which table, by how much, how surely.

pub mod pg;
pub mod time;

pub mod attribution;
pub mod cli;
pub mod connect;
pub mod doctor;
pub mod graph;
pub mod lab;
pub mod names;
pub mod query;
pub mod recording;
pub mod report;
pub mod sample;
pub mod statement;
pub mod system;

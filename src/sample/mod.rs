//! What one look at the server brings: typed rows of one tick.
//!
//! - The rows are plain values; the recording stores them as they are.
//! - The live source is the only place, besides `connect`, `doctor` and the lab,
//!   that talks to the driver.
//! - Texts never travel raw past the source: a row names a statement by its
//!   [`StatementId`](crate::statement::StatementId), and the statement's text is
//!   normalised before anything keeps it.

mod around;
mod clock;
mod counters;
mod counting;
mod decode;
mod elsewhere;
mod error;
pub mod live;
mod naming;
pub mod pace;
pub mod pause;
mod rows;
mod surroundings;
mod texts;

pub use counters::*;
pub use error::SampleError;
pub use rows::*;
pub use surroundings::*;

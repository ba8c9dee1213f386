//! Who waits for whom, at one instant.

pub mod view;

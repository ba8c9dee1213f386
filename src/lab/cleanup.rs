//! What has to be undone before this process may end.
//!
//! The registry holds weak references: whoever made a thing undoes it on drop, and
//! a signal only comes first.

use std::sync::{Mutex, PoisonError, Weak};

use super::LabError;

/// Something that outlives a careless exit.
pub(super) trait Undo: Send + Sync {
    /// Stops and removes it; a second call does nothing.
    fn undo(&self);
}

static STANDING: Mutex<Vec<Weak<dyn Undo>>> = Mutex::new(Vec::new());

pub(super) fn register(thing: Weak<dyn Undo>) {
    let mut standing = STANDING.lock().unwrap_or_else(PoisonError::into_inner);
    standing.retain(|earlier| earlier.strong_count() > 0);
    standing.push(thing);
}

/// Stops every workload and then every server that this process started, and removes
/// what they left.
pub fn stop_all() {
    let standing: Vec<_> = {
        let mut standing = STANDING.lock().unwrap_or_else(PoisonError::into_inner);
        standing.drain(..).collect()
    };
    // Latest first: a workload runs on a server that was there before it.
    for thing in standing
        .into_iter()
        .rev()
        .filter_map(|thing| thing.upgrade())
    {
        thing.undo();
    }
}

/// Makes SIGINT, SIGTERM and SIGHUP [`stop_all`] and end this process with code 130.
///
/// # Errors
/// When the process handles these signals already.
pub fn stop_on_signals() -> Result<(), LabError> {
    ctrlc::set_handler(|| {
        stop_all();
        std::process::exit(130);
    })?;
    Ok(())
}

//! `pgjam event`: something happened that no tick sees.

use std::path::Path;

use crate::cli::Done;
use crate::cli::args::EventArgs;
use crate::cli::screen::Screen;
use crate::cli::servers;
use crate::recording;
use crate::sample::Declared;
use crate::time::Timestamp;

/// Declares an event in a recording, also while a daemon writes into it.
pub(super) fn run(args: &EventArgs, screen: &Screen) -> Done {
    let now = Timestamp::from_micros(jiff::Timestamp::now().as_microsecond());
    let at = args.at.unwrap_or(now);
    let folder = match (&args.to, &args.server) {
        (None, Some(name)) => servers::recording(Path::new(name), args.config.as_deref())?.0,
        (folder, _) => folder.clone().unwrap_or_default(),
    };
    let label = args.label.clone();
    recording::declare(&folder, &Declared { at, label })?;
    screen.note(&format!("declared in {} at {at}", folder.display()));
    Ok(())
}

//! What a diagnosis compares its watch with: a recording of the time before.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::cli::args::BaselineArgs;
use crate::cli::exit::Failure;
use crate::cli::screen::Screen;
use crate::daemon::config::Settings;
use crate::recording::{Recording, RecordingError, Window};
use crate::time::Span;

/// Where the time before the watch is looked up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Baseline {
    /// In the daemon's recording, where a server was named and there is one.
    Auto,
    /// Nowhere.
    None,
    /// In this recording.
    Folder(PathBuf),
}

impl FromStr for Baseline {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(match text {
            "auto" => Self::Auto,
            "none" => Self::None,
            folder => Self::Folder(folder.into()),
        })
    }
}

/// Puts what was recorded before a watch in front of it.
///
/// A folder that was named must be of use; the daemon's is taken as it is found.
pub(super) fn precede(
    watch: &mut Recording,
    args: &BaselineArgs,
    settings: Option<&Settings>,
    screen: &Screen,
) -> Result<(), Failure> {
    let (folder, is_asked_for) = match (&args.baseline, settings) {
        (Baseline::Folder(folder), _) => (folder.as_path(), true),
        (Baseline::Auto, Some(settings)) => (settings.to.as_path(), false),
        (Baseline::Auto, None) | (Baseline::None, _) => return Ok(()),
    };
    let micros = i64::try_from(args.baseline_span.as_micros()).unwrap_or(i64::MAX);
    let span = Span::from_micros(micros);
    match take(watch, folder, span) {
        Ok(true) => {
            screen.note(&format!(
                "baseline: what {} holds of the {span} before",
                folder.display()
            ));
            Ok(())
        }
        Ok(false) if is_asked_for => Err(Failure::Baseline(format!(
            "{} holds nothing of this server in the {span} before the watch; name another \
             --baseline, or none",
            folder.display()
        ))),
        Err(error) if is_asked_for => Err(error.into()),
        Ok(false) | Err(RecordingError::NotARecording(_)) => {
            let folder = folder.display();
            screen.note(&format!(
                "no baseline: {folder} holds nothing of the {span} before"
            ));
            Ok(())
        }
        Err(error) => {
            screen.note(&format!("no baseline: {error}"));
            Ok(())
        }
    }
}

fn take(watch: &mut Recording, folder: &Path, span: Span) -> Result<bool, RecordingError> {
    let Some(begun) = watch.snapshots.first().map(|first| first.tick.at) else {
        return Ok(false);
    };
    let window = Window {
        from: begun - span,
        to: Window::ALL.to,
    };
    let earlier = Recording::open_within(folder, window)?;
    Ok(watch.precede(earlier, span))
}

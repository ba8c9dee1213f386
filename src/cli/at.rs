//! `pgjam at`: who waited for whom at an instant of a recording.

use std::path::{Path, PathBuf};

use clap::Args;

use crate::cli::Done;
use crate::cli::args::{GraphFormat, NamingArgs};
use crate::cli::exit::Failure;
use crate::cli::now::drawn;
use crate::cli::screen::Screen;
use crate::cli::servers;
use crate::cli::typed::{When, when};
use crate::graph::WaitGraph;
use crate::graph::view::Vocabulary;
use crate::names::{Names, Statements};
use crate::recording::{Recording, Window};
use crate::time::{Span, Timestamp};

#[derive(Args, Debug)]
#[expect(
    clippy::doc_markdown,
    reason = "these words are the help, which shows no markup"
)]
pub(super) struct AtArgs {
    /// The folder of a recording, or the name of a server in the configuration.
    #[arg(value_name = "RECORDING")]
    pub(super) recording: PathBuf,
    /// When: 14:03, 14:03:10, -5m, 2026-11-23T14:03:00Z; UTC where no offset says otherwise.
    #[arg(value_name = "TIME", value_parser = when, allow_hyphen_values = true)]
    pub(super) at: When,
    /// The configuration that names servers. [default: $PGJAM_CONFIG,
    /// ~/.config/pgjam/config.toml, /etc/pgjam/config.toml]
    #[arg(long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    #[command(flatten)]
    pub(super) naming: NamingArgs,
    /// In which form.
    #[arg(long, short, value_enum, default_value_t = GraphFormat::Text)]
    pub(super) format: GraphFormat,
    /// Into a file instead of the terminal.
    #[arg(long, short, value_name = "FILE")]
    pub(super) output: Option<PathBuf>,
}

/// How far back a look is searched for, the nearest stretch first.
const BACK: [Span; 4] = [
    Span::from_secs(10),
    Span::from_secs(120),
    Span::from_secs(3_600),
    Span::from_secs(86_400),
];
/// A look that is older than this does not tell of the instant without a word about it.
const SOON: Span = Span::from_secs(2);

/// Shows the graph of the last look until then.
pub(super) fn run(args: &AtArgs, screen: &Screen) -> Done {
    let (folder, settings) = servers::recording(&args.recording, args.config.as_deref())?;
    let end = Window::last(&folder, Span::ZERO)?.from;
    let at = args.at.resolve(end);
    let recording = look_before(&folder, at)?;
    let naming = args.naming.system_by.clone();
    let naming = naming.or(settings.map(|settings| settings.system_by));
    let naming = naming.unwrap_or_default();
    let Some(snapshot) = recording.snapshots.last() else {
        return Err(Failure::NotLooked(nobody(at, end, &recording)));
    };
    let since = at.since(snapshot.tick.at);
    screen.note(&format!(
        "the look of {}{}",
        snapshot.tick.at.to_rfc3339(),
        match since {
            _ if since <= SOON => String::new(),
            _ if at > end => format!(
                ", the last of the recording, {since} before {}",
                at.to_clock()
            ),
            _ => format!(
                ", {since} before {}: nobody looked in between",
                at.to_clock()
            ),
        }
    ));
    let (names, statements) = (
        Names::of(&recording.names),
        Statements::of(&recording.statements),
    );
    let view = WaitGraph::of(snapshot).view(Vocabulary {
        naming: &naming,
        names: &names,
        statements: &statements,
    });
    let text = drawn(&view, None, args.format, screen);
    screen.answer(&text, args.output.as_deref())
}

/// Reads the stretch that ends at an instant and begins with a look, as short as it can be.
fn look_before(folder: &Path, at: Timestamp) -> Result<Recording, Failure> {
    let read = |back: Span| {
        let window = Window {
            from: at - back,
            to: at,
        };
        Recording::open_within(folder, window)
    };
    let [nearest, further @ ..] = BACK;
    let mut recording = read(nearest)?;
    for back in further {
        if !recording.snapshots.is_empty() {
            break;
        }
        recording = read(back)?;
    }
    Ok(recording)
}

/// Says why there is no look to show.
fn nobody(at: Timestamp, end: Timestamp, recording: &Recording) -> String {
    let at = at.to_rfc3339();
    if recording.minutes.is_empty() {
        let end = end.to_rfc3339();
        format!("nobody looked in the day before {at}; the recording ends at {end}")
    } else {
        format!(
            "of the time before {at} only the sums of minutes are left, no single look; \
             pgjam report --from --to tells what they say"
        )
    }
}

//! `pgjam top`: the screen that follows a server, or walks through a recording.
//!
//! ```text
//!  watcher's thread ─▶ looks, texts, names ─▶ screen's thread ─▶ terminal
//!                                              ▲ keys
//! ```
//!
//! The watcher never waits for the screen. Where the screen cannot keep up, looks wait in a queue
//! that is bounded, and those that find it full go; where the server is lost it is tried again
//! until somebody quits. Whatever ends the screen, a key or a signal, in a live watch or a
//! recording, the terminal is as it was before, and the looks' folder is gone.

use std::io::IsTerminal as _;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, TrySendError, sync_channel};
use std::time::{Duration, Instant};

use clap::Args;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use tokio::sync::watch as state;

use crate::cli::Done;
use crate::cli::args::{ConnectArgs, NamingArgs};
use crate::cli::exit::Failure;
use crate::cli::screen::Screen;
use crate::cli::servers::{self, Chosen};
use crate::cli::typed::hertz;
use crate::cli::watch::block_on;
use crate::cli::window::WindowArgs;
use crate::connect::Target;
use crate::daemon::watch::{Audience, Reached, Watch, WatchError, reach};
use crate::recording::{Limits, Retention};
use crate::sample::live::Options;
use crate::sample::pace::Cadence;
use crate::sample::{Name, Snapshot, StatementText};
use crate::system::Naming;
use crate::top::{Connection, Key, Top, Wish};

/// The screen is drawn no oftener.
const FRAME: Duration = Duration::from_millis(100);
/// So many messages may wait for the screen.
const QUEUE: usize = 4_096;
/// A lost server is tried again after so long, twice as long each time.
const RETRY: Duration = Duration::from_secs(1);
/// But after no longer than this.
const RETRY_AT_MOST: Duration = Duration::from_secs(30);
/// How long the server may keep the end of a watch waiting.
const ENDING: Duration = Duration::from_millis(200);
/// How long the watcher may keep the user waiting who has quit.
const FAREWELL: Duration = Duration::from_secs(3);
/// So much of what was seen before this hour stays on disk while the screen stands.
const KEPT: u64 = 32 << 20;

#[derive(Args, Debug)]
pub(super) struct TopArgs {
    #[command(flatten)]
    pub(super) connect: ConnectArgs,
    #[command(flatten)]
    pub(super) naming: NamingArgs,
    /// Looks per second, 1 to 100; fewer where they would take more than 2 % of the server's time.
    #[arg(long, default_value_t = 2.0, value_parser = hertz, conflicts_with = "recording")]
    pub(super) hz: f64,
    /// Walk through a recording instead: its folder, or the name of a server in the configuration.
    #[arg(long, value_name = "RECORDING", conflicts_with_all = ["server", "dsn"])]
    pub(super) recording: Option<PathBuf>,
    #[command(flatten)]
    pub(super) window: WindowArgs,
}

/// What the watcher has to tell.
enum Message {
    Learned(StatementText),
    Named(Name),
    Saw(Snapshot),
    Is(Connection),
    /// It cannot be watched, and trying again would not help.
    Failed(Failure),
    /// Somebody asked the process to end.
    Ended,
}

/// Shows the screen until somebody quits.
pub(super) fn run(args: &TopArgs, screen: &Screen) -> Done {
    if !std::io::stdout().is_terminal() || !std::io::stdin().is_terminal() {
        return Err(Failure::NoTerminal);
    }
    let color = screen.style().color;
    match &args.recording {
        Some(recording) => {
            let config = args.connect.config.as_deref();
            let (folder, settings) = servers::recording(recording, config)?;
            let recording = args.window.read(&folder, screen)?;
            let naming = args.naming.system_by.clone();
            let naming = naming.or(settings.map(|settings| settings.system_by));
            let naming = naming.unwrap_or_default();
            let mut top = Top::recorded(recording.server.address.clone(), naming, color);
            recording.names.iter().for_each(|name| top.named(name));
            recording
                .statements
                .iter()
                .for_each(|text| top.learned(text));
            for snapshot in recording.snapshots {
                top.saw(snapshot);
            }
            let (to, messages) = sync_channel(1);
            end_on_signals(to)?;
            show(top, &messages)
        }
        None => live(args, color, screen),
    }
}

fn live(args: &TopArgs, color: bool, screen: &Screen) -> Done {
    let chosen = Chosen::of(&args.connect)?;
    let naming = chosen.naming(&args.naming);
    let target = chosen.target(screen)?;
    let top = Top::new(target.address(), naming.clone(), color);
    let folder = tempfile::Builder::new()
        .prefix("pgjam-top-")
        .tempdir()
        .map_err(Failure::io("cannot make a folder for the looks"))?;
    let (to, messages) = sync_channel(QUEUE);
    end_on_signals(to.clone())?;
    let (stays, screen_stays) = state::channel(());
    let (hz, place) = (args.hz, folder.path().to_owned());
    let watcher = std::thread::spawn(move || {
        let watching = watch(target, naming, hz, &place, &to, screen_stays);
        match catch_unwind(AssertUnwindSafe(|| block_on(Box::pin(watching)))) {
            Ok(Ok(())) => {}
            Ok(Err(failure)) => {
                let _ = to.send(Message::Failed(failure));
            }
            Err(panic) => {
                let _ = to.send(Message::Ended);
                resume_unwind(panic);
            }
        }
    });
    let done = show(top, &messages);
    drop((stays, messages));
    let left = Instant::now();
    while !watcher.is_finished() && left.elapsed() < FAREWELL {
        std::thread::sleep(Duration::from_millis(5));
    }
    if watcher.is_finished()
        && let Err(panic) = watcher.join()
    {
        resume_unwind(panic);
    }
    done
}

/// Ends the screen, and not the process, on SIGINT, SIGTERM and SIGHUP.
fn end_on_signals(to: SyncSender<Message>) -> Result<(), Failure> {
    let handled = ctrlc::set_handler(move || {
        let _ = to.send(Message::Ended);
    });
    handled.map_err(|error| Failure::io("cannot handle signals")(std::io::Error::other(error)))
}

/// Watches until the screen is gone; a lost server is tried again.
async fn watch(
    target: Target,
    naming: Naming,
    hz: f64,
    folder: &Path,
    to: &SyncSender<Message>,
    screen_stays: state::Receiver<()>,
) -> Result<(), Failure> {
    let mut retry = RETRY;
    let mut was_watched = false;
    for round in 0_u32.. {
        let mut viewer = Viewer { to: to.clone() };
        let reached = tokio::select! {
            reached = reach(target.clone()) => reached,
            () = gone(screen_stays.clone()) => return Ok(()),
        };
        let watched = match reached {
            Ok(reached) => {
                was_watched = true;
                retry = RETRY;
                let _ = to.send(Message::Is(Connection::Watched));
                let folder = folder.join(round.to_string());
                let stop = gone(screen_stays.clone());
                let watched = once(reached, &naming, hz, &folder, &mut viewer, stop).await;
                // What was seen is remembered by the screen.
                let _ = std::fs::remove_dir_all(&folder);
                watched
            }
            Err(error) => Err(error),
        };
        let Err(error) = watched else {
            return Ok(());
        };
        if !was_watched {
            return Err(error.into());
        }
        let why = error.to_string();
        let why = why.lines().next().unwrap_or_default().to_owned();
        if to.send(Message::Is(Connection::Lost(why))).is_err() {
            return Ok(());
        }
        tokio::select! {
            () = tokio::time::sleep(retry) => {}
            () = gone(screen_stays.clone()) => return Ok(()),
        }
        retry = (retry * 2).min(RETRY_AT_MOST);
    }
    Ok(())
}

async fn once(
    reached: Reached,
    naming: &Naming,
    hz: f64,
    folder: &Path,
    viewer: &mut Viewer,
    stop: impl Future<Output = ()>,
) -> Result<(), WatchError> {
    let watch = Watch {
        duration: None,
        naming: naming.clone(),
        options: Options {
            cadence: Cadence::Fixed(hz),
            seed: u64::from(std::process::id()),
            tag_keys: naming.tags().iter().map(ToString::to_string).collect(),
            ..Options::default()
        },
        limits: Limits {
            retention: Retention {
                raw_bytes: Some(KEPT),
                rollup_bytes: Some(KEPT),
                ..Retention::default()
            },
            ..Limits::default()
        },
        ending: ENDING,
    };
    Box::pin(watch.run(folder, reached, viewer, stop)).await
}

/// Ends when nobody shows the screen any more.
async fn gone(mut screen_stays: state::Receiver<()>) {
    while screen_stays.changed().await.is_ok() {}
}

/// Hands on what the watch sees; it waits for nobody.
struct Viewer {
    to: SyncSender<Message>,
}

impl Audience for Viewer {
    fn learned(&mut self, text: &StatementText) {
        let _ = self.to.send(Message::Learned(text.clone()));
    }

    fn named(&mut self, name: &Name) {
        let _ = self.to.send(Message::Named(name.clone()));
    }

    fn saw(&mut self, snapshot: &Snapshot) {
        // A screen that does not keep up misses looks, as one does who looks away.
        match self.to.try_send(Message::Saw(snapshot.clone())) {
            Ok(()) | Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {}
        }
    }
}

/// Draws, and hears keys, until somebody quits or the process is asked to end.
fn show(mut top: Top, messages: &Receiver<Message>) -> Done {
    let mut terminal = ratatui::try_init().map_err(Failure::io("cannot use this terminal"))?;
    let done = (|| {
        let mut drawn: Option<Instant> = None;
        let mut is_new = true;
        loop {
            loop {
                match messages.try_recv() {
                    Ok(Message::Learned(text)) => top.learned(&text),
                    Ok(Message::Named(name)) => top.named(&name),
                    Ok(Message::Saw(snapshot)) => top.saw(snapshot),
                    Ok(Message::Is(connection)) => top.connection(connection),
                    Ok(Message::Failed(failure)) => return Err(failure),
                    Ok(Message::Ended) => return Ok(()),
                    Err(TryRecvError::Empty | TryRecvError::Disconnected) => break,
                }
                is_new = true;
            }
            if is_new && drawn.is_none_or(|drawn| drawn.elapsed() >= FRAME) {
                terminal
                    .draw(|frame| top.draw(frame))
                    .map_err(Failure::io("cannot draw on this terminal"))?;
                drawn = Some(Instant::now());
                is_new = false;
            }
            if !event::poll(FRAME).map_err(Failure::io("cannot hear this terminal's keys"))? {
                continue;
            }
            let heard = event::read().map_err(Failure::io("cannot hear this terminal's keys"))?;
            (is_new, drawn) = (true, None);
            let wish = match heard {
                Event::Key(pressed) if pressed.kind != KeyEventKind::Release => {
                    if is_interrupt(pressed) {
                        return Ok(());
                    }
                    key(pressed.code).and_then(|key| top.key(key))
                }
                _ => None,
            };
            match wish {
                Some(Wish::Quit) => return Ok(()),
                Some(Wish::Save { at, text, json }) => {
                    let name = format!("pgjam-{}", at.to_rfc3339().replace(':', ""));
                    let said = match save(&name, &text, &json) {
                        Ok(()) => format!("saved {name}.txt and {name}.json"),
                        Err(error) => format!("{name}.txt and .json cannot be written: {error}"),
                    };
                    top.say(said);
                }
                None => {}
            }
        }
    })();
    ratatui::restore();
    done
}

/// Writes what was asked for into new files.
fn save(name: &str, text: &str, json: &str) -> std::io::Result<()> {
    use std::io::Write as _;
    for (ending, content) in [("txt", text), ("json", json)] {
        let mut file = std::fs::File::create_new(format!("{name}.{ending}"))?;
        file.write_all(content.as_bytes())?;
    }
    Ok(())
}

fn is_interrupt(pressed: KeyEvent) -> bool {
    pressed.code == KeyCode::Char('c') && pressed.modifiers.contains(KeyModifiers::CONTROL)
}

/// Turns a terminal's key into ours.
const fn key(code: KeyCode) -> Option<Key> {
    Some(match code {
        KeyCode::Char(c) => Key::Char(c),
        KeyCode::Backspace => Key::Backspace,
        KeyCode::Enter => Key::Enter,
        KeyCode::Esc => Key::Escape,
        KeyCode::Left => Key::Left,
        KeyCode::Right => Key::Right,
        KeyCode::Up => Key::Up,
        KeyCode::Down => Key::Down,
        KeyCode::PageUp => Key::PageUp,
        KeyCode::PageDown => Key::PageDown,
        KeyCode::Home => Key::Home,
        KeyCode::End => Key::End,
        _ => return None,
    })
}

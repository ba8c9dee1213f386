//! `pgjam record`: a watch without an end, which goes on when the server comes back.
//!
//! ```text
//!  reach ─▶ watch ─▶ lost ─▶ pause, longer each time ─▶ reach ─▶ …
//! ```
//! At the first start whatever an operator has to mend ends it at once. Later only what concerns
//! the recording itself does: a role that was locked out and a server that moved come back.

use std::time::{Duration, Instant};

use rand::RngExt as _;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::cli::Done;
use crate::cli::args::RecordArgs;
use crate::cli::exit::Failure;
use crate::cli::screen::Screen;
use crate::cli::watch::{Watch, block_on, reach};
use crate::connect::ConnectErrorKind;
use crate::recording::Recorder;
use crate::sample::pace::{Cadence, Need};

/// How soon it tries again, and how long it waits at most in the end.
const PAUSES: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));

/// How long the end may take on the server: whoever sends SIGTERM wants it gone.
const ENDING: Duration = Duration::from_secs(1);

/// Watches until it is told to stop.
pub(super) fn run(args: &RecordArgs, screen: &Screen) -> Done {
    block_on(async {
        let stop = told_to_stop()?;
        let mut pause = PAUSES.0;
        let mut recorder = None;
        let ended = loop {
            let begun = Instant::now();
            let Err(failure) = once(args, screen, &stop, &mut recorder).await else {
                break Ok(());
            };
            if !is_passing(&failure, recorder.is_none()) {
                break Err(failure);
            }
            // A server that lets us in and drops us at once is not to be knocked at twice a second.
            if begun.elapsed() > PAUSES.1 {
                pause = PAUSES.0;
            }
            let wait = pause.mul_f64(rand::rng().random_range(0.5..1.0));
            let seconds = wait.as_secs_f64();
            screen.note(&format!("{failure}\n  trying again in {seconds:.1} s"));
            tokio::select! {
                () = until_true(stop.clone()) => break Ok(()),
                () = tokio::time::sleep(wait) => {}
            }
            pause = (pause * 2).min(PAUSES.1);
        };
        ended.and(recorder.map_or(Ok(()), |recorder| Ok(recorder.finish()?)))
    })
}

/// Reaches the server and watches it until it is lost, or it is time to stop.
///
/// The recording outlives the connection: rows that wait for a disk wait on.
async fn once(
    args: &RecordArgs,
    screen: &Screen,
    stop: &watch::Receiver<bool>,
    recorder: &mut Option<Recorder>,
) -> Done {
    let reached = tokio::select! {
        () = until_true(stop.clone()) => return Ok(()),
        reached = reach(args.connect.dsn.as_deref(), screen) => reached,
    };
    let reached = match (reached, &mut *recorder) {
        (Ok(reached), _) => reached,
        (Err(failure), None) => return Err(failure),
        (Err(failure), Some(recorder)) => {
            recorder.lose("failed_connections", 1);
            return Err(failure);
        }
    };
    let (address, folder) = (reached.session.address(), args.to.display());
    screen.note(&format!("watching {address} into {folder}"));
    let recorder = match recorder {
        Some(recorder) => {
            recorder.found_again(&reached.server)?;
            recorder
        }
        None => recorder.insert(Recorder::create(&args.to, &reached.server)?),
    };
    let watch = Watch {
        duration: None,
        cadence: args
            .hz
            .map_or_else(|| Cadence::ByNeed(Need::default()), Cadence::Fixed),
        naming: &args.naming.system_by,
        events: &[],
        ending: ENDING,
    };
    let stop = until_true(stop.clone());
    match watch.go_on(recorder, &reached, screen, stop).await {
        Ok(()) | Err(Failure::Interrupted) => {
            reached.session.close().await;
            Ok(())
        }
        Err(failure) => {
            recorder.lose("lost_connections", 1);
            Err(failure)
        }
    }
}

/// Tells whether a failure may pass by itself.
fn is_passing(failure: &Failure, is_first: bool) -> bool {
    match failure {
        Failure::Recording(_) | Failure::Io { .. } | Failure::TooOld(_) => false,
        Failure::Connect(error) => !is_first || may_be_starting(error.kind()),
        Failure::Missing(_) => !is_first,
        _ => true,
    }
}

/// Tells whether a server may just not be there yet, as when a machine boots.
const fn may_be_starting(kind: ConnectErrorKind) -> bool {
    matches!(
        kind,
        ConnectErrorKind::Unreachable
            | ConnectErrorKind::TimedOut
            | ConnectErrorKind::NotReady
            | ConnectErrorKind::TooManyConnections
            | ConnectErrorKind::WrongRole
    )
}

/// Gives what becomes true when SIGTERM or SIGINT comes.
fn told_to_stop() -> Result<watch::Receiver<bool>, Failure> {
    let catch = |kind| signal(kind).map_err(Failure::io("cannot wait for signals"));
    let mut terminate = catch(SignalKind::terminate())?;
    let mut interrupt = catch(SignalKind::interrupt())?;
    let (tell, told) = watch::channel(false);
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        let _ = tell.send(true);
    });
    Ok(told)
}

async fn until_true(mut told: watch::Receiver<bool>) {
    if told.wait_for(|stop| *stop).await.is_err() {
        // Whoever would tell is gone, and so is the runtime.
        std::future::pending::<()>().await;
    }
}

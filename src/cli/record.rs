//! `pgjam record`: a watch without an end, which goes on when the server comes back.
//!
//! ```text
//!  reach ─▶ watch ─▶ lost ─▶ pause, longer each time ─▶ reach ─▶ …
//! ```
//! At the first start whatever an operator has to mend ends it at once. Later only what concerns
//! the recording itself does: a role that was locked out and a server that moved come back.

use std::cell::Cell;
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
        let losses = Cell::new(0);
        let mut is_first = true;
        loop {
            let begun = Instant::now();
            let ended = once(args, screen, &stop, &losses, &mut is_first).await;
            let Err(failure) = ended else { return Ok(()) };
            if !is_passing(&failure, is_first) {
                return Err(failure);
            }
            // A server that lets us in and drops us at once is not to be knocked at twice a second.
            if begun.elapsed() > PAUSES.1 {
                pause = PAUSES.0;
            }
            losses.set(losses.get() + 1);
            let wait = pause.mul_f64(rand::rng().random_range(0.5..1.0));
            let seconds = wait.as_secs_f64();
            screen.note(&format!("{failure}\n  trying again in {seconds:.1} s"));
            tokio::select! {
                () = until_true(stop.clone()) => return Ok(()),
                () = tokio::time::sleep(wait) => {}
            }
            pause = (pause * 2).min(PAUSES.1);
        }
    })
}

/// Reaches the server and watches it until it is lost, or it is time to stop.
async fn once(
    args: &RecordArgs,
    screen: &Screen,
    stop: &watch::Receiver<bool>,
    losses: &Cell<u64>,
    is_first: &mut bool,
) -> Done {
    let reached = tokio::select! {
        () = until_true(stop.clone()) => return Ok(()),
        reached = reach(args.connect.dsn.as_deref(), screen) => reached?,
    };
    let (address, folder) = (reached.session.address(), args.to.display());
    screen.note(&format!("watching {address} into {folder}"));
    *is_first = false;
    let watch = Watch {
        duration: None,
        cadence: args
            .hz
            .map_or_else(|| Cadence::ByNeed(Need::default()), Cadence::Fixed),
        naming: &args.naming.system_by,
        events: &[],
        folder: args.to.clone(),
        lost_connections: losses,
        ending: ENDING,
    };
    match watch.run(&reached, screen, until_true(stop.clone())).await {
        Err(Failure::Interrupted) => Ok(()),
        other => other,
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

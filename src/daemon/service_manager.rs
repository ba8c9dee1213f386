//! What the service manager is told: systemd's `sd_notify` protocol, where it asks for it.
//!
//! Without `NOTIFY_SOCKET` every call does nothing. One that cannot be told does not end the
//! watch: the manager draws its own conclusions.

use std::time::Duration;

use sd_notify::NotifyState;

/// How often the manager wants a sign of life; none where it wants none.
///
/// A third of its patience: one sign may be late.
pub(super) fn watchdog() -> Option<Duration> {
    sd_notify::watchdog_enabled().map(|patience| patience / 3)
}

/// Tells that every server is watched or was tried.
pub(super) fn ready() {
    tell(&[NotifyState::Ready]);
}

/// Tells that the configuration is read again; [`ready`] ends it.
pub(super) fn reloading() {
    let now = NotifyState::monotonic_usec_now();
    tell(
        &[NotifyState::Reloading]
            .into_iter()
            .chain(now.ok())
            .collect::<Vec<_>>(),
    );
}

/// Tells that the end has begun.
pub(super) fn stopping() {
    tell(&[NotifyState::Stopping]);
}

/// Tells how it stands, in one line.
pub(super) fn status(line: &str) {
    tell(&[NotifyState::Status(line)]);
}

/// Gives a sign of life.
pub(super) fn alive() {
    tell(&[NotifyState::Watchdog]);
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!("the service manager cannot be told: {error}");
    }
}

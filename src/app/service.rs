//! What a service manager is told: ready, reloading, stopping (`sd_notify(3)`). Where none listens, nothing happens.

use sd_notify::NotifyState;
use tracing::debug;

/// Everything is scheduled: what depends on this daemon may start, or a reload has ended, well or not.
pub(super) fn ready() {
    tell(&[NotifyState::Ready]);
}

/// A reload has begun.
pub(super) fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(_) => tell(&[NotifyState::Reloading]),
    }
}

/// The daemon ends, because it was told to.
pub(super) fn stopping() {
    tell(&[NotifyState::Stopping]);
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        debug!(%error, "The service manager cannot be told");
    }
}

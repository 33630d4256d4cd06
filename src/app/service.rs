//! Notifications to the service manager: ready, reloading, stopping (`sd_notify(3)`). Without one, they do nothing.

use sd_notify::NotifyState;
use tracing::debug;

/// Reports that all targets are scheduled, or that a reload has ended, successfully or not.
pub(super) fn ready() {
    notify(&[NotifyState::Ready]);
}

/// Reports that a reload has begun.
pub(super) fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => notify(&[NotifyState::Reloading, now]),
        Err(_) => notify(&[NotifyState::Reloading]),
    }
}

/// Reports that the daemon is stopping.
pub(super) fn stopping() {
    notify(&[NotifyState::Stopping]);
}

fn notify(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        debug!(%error, "Cannot notify the service manager");
    }
}

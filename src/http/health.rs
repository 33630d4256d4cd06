//! `/-/healthy` and `/-/ready`, for supervisors and load balancers.

use std::time::Duration;

use hyper::{Response, StatusCode};
use tokio::sync::watch;
use tokio::time::timeout;

use super::body::{Body, plain};

/// Whether the daemon is ready.
#[derive(Debug, Default)]
pub struct Readiness(watch::Sender<ReadyState>);

/// The states of a daemon, in this order.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
enum ReadyState {
    #[default]
    Starting,
    Ready,
    Stopping,
}

impl Readiness {
    /// All targets are scheduled.
    pub fn set_ready(&self) {
        self.proceed(ReadyState::Ready);
    }

    /// The daemon stops. This is final.
    pub fn set_stopping(&self) {
        self.proceed(ReadyState::Stopping);
    }

    /// Waits until all targets are scheduled, up to a limit: after a restart, a scrape would otherwise report missing targets as
    /// gone.
    pub(super) async fn begun(&self) {
        let mut state = self.0.subscribe();
        // `self` holds the sender, so the channel is not closed; a timeout is fine.
        let _ = timeout(PATIENCE, state.wait_for(|state| *state > ReadyState::Starting)).await;
    }

    fn proceed(&self, to: ReadyState) {
        self.0.send_if_modified(|state| {
            let later = to > *state;
            *state = to.max(*state);
            later
        });
    }
}

/// 200 as long as the process responds.
pub(super) fn healthy() -> Response<Body> {
    plain(StatusCode::OK, "Healthy\n")
}

/// 200 once all targets are scheduled, 503 before that and while stopping.
pub(super) fn ready(readiness: &Readiness) -> Response<Body> {
    match *readiness.0.borrow() {
        ReadyState::Ready => plain(StatusCode::OK, "Ready\n"),
        ReadyState::Stopping => plain(StatusCode::SERVICE_UNAVAILABLE, "Stopping\n"),
        ReadyState::Starting => plain(StatusCode::SERVICE_UNAVAILABLE, "Starting: not every target is scheduled yet\n"),
    }
}

/// Half of the default scrape timeout of Prometheus.
const PATIENCE: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_start_is_awaited_but_not_for_long() {
        let readiness = Readiness::default();
        let before = tokio::time::Instant::now();
        readiness.begun().await;
        assert_eq!(before.elapsed(), PATIENCE);
        tokio::join!(readiness.begun(), async { readiness.set_ready() });
        readiness.begun().await;
        assert_eq!(before.elapsed(), PATIENCE);
    }

    #[test]
    fn readiness_never_comes_back_from_stopping() {
        let readiness = Readiness::default();
        let status = || ready(&readiness).status();
        assert_eq!(status(), StatusCode::SERVICE_UNAVAILABLE);
        readiness.set_ready();
        assert_eq!(status(), StatusCode::OK);
        readiness.set_stopping();
        assert_eq!(status(), StatusCode::SERVICE_UNAVAILABLE);
        readiness.set_ready();
        assert_eq!(status(), StatusCode::SERVICE_UNAVAILABLE);
    }
}

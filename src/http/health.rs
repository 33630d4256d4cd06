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
    /// Records that all targets are scheduled.
    pub fn set_ready(&self) {
        self.proceed(ReadyState::Ready);
    }

    /// Records that the daemon stops. This is final.
    pub fn set_stopping(&self) {
        self.proceed(ReadyState::Stopping);
    }

    /// Waits until all targets are scheduled, up to a limit. Otherwise a scrape right after a restart would lack
    /// targets.
    pub(super) async fn begun(&self) {
        let mut state = self.0.subscribe();
        // `self` holds the sender, so the channel is open. After the timeout, the scrape continues.
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

/// Responds with 200 while the process works.
pub(super) fn healthy() -> Response<Body> {
    plain(StatusCode::OK, "Healthy\n")
}

/// Responds with 200 once all targets are scheduled, with 503 before that and while stopping.
pub(super) fn ready(readiness: &Readiness) -> Response<Body> {
    match *readiness.0.borrow() {
        ReadyState::Ready => plain(StatusCode::OK, "Ready\n"),
        ReadyState::Stopping => plain(StatusCode::SERVICE_UNAVAILABLE, "Stopping\n"),
        ReadyState::Starting => {
            plain(StatusCode::SERVICE_UNAVAILABLE, "Starting: some targets are not scheduled yet\n")
        }
    }
}

/// Half of the default scrape timeout of Prometheus.
const PATIENCE: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_scrape_waits_briefly_for_the_start() {
        let readiness = Readiness::default();
        let before = tokio::time::Instant::now();
        readiness.begun().await;
        assert_eq!(before.elapsed(), PATIENCE);
        tokio::join!(readiness.begun(), async { readiness.set_ready() });
        readiness.begun().await;
        assert_eq!(before.elapsed(), PATIENCE);
    }

    #[test]
    fn a_stopping_daemon_never_becomes_ready() {
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

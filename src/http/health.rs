//! `/-/healthy` and `/-/ready`, for whoever restarts or routes to this process.

use std::time::Duration;

use hyper::{Response, StatusCode};
use tokio::sync::watch;
use tokio::time::timeout;

use super::body::{Body, plain};

/// Whether the daemon probes.
#[derive(Debug, Default)]
pub struct Readiness(watch::Sender<Stage>);

/// What a daemon goes through, in this order.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
enum Stage {
    #[default]
    Starting,
    Ready,
    Stopping,
}

impl Readiness {
    /// Every target is scheduled.
    pub fn set_ready(&self) {
        self.proceed(Stage::Ready);
    }

    /// The daemon stops; this is final.
    pub fn set_stopping(&self) {
        self.proceed(Stage::Stopping);
    }

    /// Waits until every target is scheduled, but not for long: of the targets that a restart has not brought back yet a
    /// scrape would say that they are gone.
    pub(super) async fn begun(&self) {
        let mut stage = self.0.subscribe();
        // Whoever could say so last is this.
        let _ = timeout(PATIENCE, stage.wait_for(|stage| *stage > Stage::Starting)).await;
    }

    fn proceed(&self, to: Stage) {
        self.0.send_if_modified(|stage| {
            let later = to > *stage;
            *stage = to.max(*stage);
            later
        });
    }
}

/// 200 as long as the process answers at all.
pub(super) fn healthy() -> Response<Body> {
    plain(StatusCode::OK, "Healthy\n")
}

/// 200 once every target is scheduled, 503 before that and while stopping.
pub(super) fn ready(readiness: &Readiness) -> Response<Body> {
    match *readiness.0.borrow() {
        Stage::Ready => plain(StatusCode::OK, "Ready\n"),
        Stage::Stopping => plain(StatusCode::SERVICE_UNAVAILABLE, "Stopping\n"),
        Stage::Starting => plain(StatusCode::SERVICE_UNAVAILABLE, "Starting: not every target is scheduled yet\n"),
    }
}

/// Half of what Prometheus waits for a scrape where nothing else is set.
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

//! `/-/healthy` and `/-/ready`, for whoever restarts or routes to this process.

use std::sync::atomic::{AtomicU8, Ordering};

use hyper::{Response, StatusCode};

use super::body::{Body, plain};

/// Whether the daemon probes. It starts, is ready, stops; in this order.
#[derive(Debug, Default)]
pub struct Readiness(AtomicU8);

impl Readiness {
    /// Every target is scheduled.
    pub fn set_ready(&self) {
        self.0.fetch_max(READY, Ordering::Relaxed);
    }

    /// The daemon stops; this is final.
    pub fn set_stopping(&self) {
        self.0.fetch_max(STOPPING, Ordering::Relaxed);
    }
}

/// 200 as long as the process answers at all.
pub(super) fn healthy() -> Response<Body> {
    plain(StatusCode::OK, "Healthy\n")
}

/// 200 once every target is scheduled, 503 before that and while stopping.
pub(super) fn ready(readiness: &Readiness) -> Response<Body> {
    match readiness.0.load(Ordering::Relaxed) {
        READY => plain(StatusCode::OK, "Ready\n"),
        STOPPING => plain(StatusCode::SERVICE_UNAVAILABLE, "Stopping\n"),
        _ => plain(StatusCode::SERVICE_UNAVAILABLE, "Starting: not every target is scheduled yet\n"),
    }
}

const READY: u8 = 1;
const STOPPING: u8 = 2;

#[cfg(test)]
mod tests {
    use super::*;

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

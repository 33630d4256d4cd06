//! Waiting for a condition, never for a fixed time.

use std::time::Duration;

use tokio::time::{Instant, sleep};

/// Waits until `condition` holds; panics if it does not within ten seconds.
pub(crate) async fn until(what: &str, condition: impl AsyncFnMut() -> bool) {
    within(Duration::from_secs(10), what, condition).await;
}

/// As [`until`], for conditions that take longer by design: up to a minute.
pub(crate) async fn until_patiently(what: &str, condition: impl AsyncFnMut() -> bool) {
    within(Duration::from_mins(1), what, condition).await;
}

/// Waits up to a minute until `missing` returns nothing; panics with its last result if it does not.
pub(crate) async fn until_none_missing(mut missing: impl AsyncFnMut() -> Vec<String>) {
    let deadline = Instant::now() + Duration::from_mins(1);
    loop {
        let left = missing().await;
        if left.is_empty() {
            return;
        }
        assert!(Instant::now() < deadline, "missing after a minute: {left:#?}");
        sleep(PAUSE).await;
    }
}

async fn within(patience: Duration, what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + patience;
    while !condition().await {
        assert!(Instant::now() < deadline, "not within {patience:?}: {what}");
        sleep(PAUSE).await;
    }
}

const PAUSE: Duration = Duration::from_millis(5);

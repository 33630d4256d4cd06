//! Waiting for a condition, never for a time.

use std::time::Duration;

use tokio::time::{Instant, sleep};

/// Waits until `condition` holds; panics where it does not within ten seconds.
pub(crate) async fn until(what: &str, condition: impl AsyncFnMut() -> bool) {
    within(Duration::from_secs(10), what, condition).await;
}

/// As [`until`], for what takes longer on purpose: a minute.
pub(crate) async fn until_patiently(what: &str, condition: impl AsyncFnMut() -> bool) {
    within(Duration::from_mins(1), what, condition).await;
}

async fn within(patience: Duration, what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + patience;
    while !condition().await {
        assert!(Instant::now() < deadline, "not within {patience:?}: {what}");
        sleep(Duration::from_millis(5)).await;
    }
}

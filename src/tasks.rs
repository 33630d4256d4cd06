//! Tasks: what blocks goes beside the thread that probes, and a panic goes on in whoever waits for it.

use std::panic::resume_unwind;

use tokio::task::{JoinError, spawn_blocking};

/// Runs what blocks, or computes for long, beside the thread that probes.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match spawn_blocking(work).await {
        Ok(done) => done,
        // It is never cancelled, for nobody has a handle to do so.
        Err(failed) => resume_unwind(failed.into_panic()),
    }
}

/// Goes on with the panic that has ended a task; one that was cancelled is nobody's concern.
pub(crate) fn resume_panic(failed: JoinError) {
    if let Ok(panic) = failed.try_into_panic() {
        resume_unwind(panic);
    }
}

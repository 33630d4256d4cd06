//! Tasks: blocking work off the thread that probes, and panics of tasks.

use std::panic::resume_unwind;

use tokio::task::{JoinError, spawn_blocking};

/// Runs blocking or long work off the thread that probes. A panic of the work continues in the caller.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match spawn_blocking(work).await {
        Ok(done) => done,
        // The task has no other handle, so nothing can cancel it.
        Err(failed) => resume_unwind(failed.into_panic()),
    }
}

/// Continues the panic that has ended a task. A cancelled task is ignored.
pub(crate) fn resume_panic(failed: JoinError) {
    if let Ok(panic) = failed.try_into_panic() {
        resume_unwind(panic);
    }
}

//! Tasks: the runtime, blocking work off the thread that probes, and panics of tasks.

use std::io;
use std::panic::resume_unwind;
use std::thread;
use std::time::Duration;

use tokio::runtime::{self, Runtime};
use tokio::task::{JoinError, spawn_blocking};

/// A runtime on the current thread, with a thread for blocking work that never ends.
///
/// If the system allows no further thread, work waits for the threads that there are. Without any, tokio would panic.
pub(crate) fn runtime() -> io::Result<Runtime> {
    // Fails as the one below would, without a panic.
    let trial = thread::Builder::new().spawn(|| {})?;
    let _ = trial.join();
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .thread_keep_alive(FOREVER)
        .build()?;
    runtime.spawn_blocking(|| {});
    Ok(runtime)
}

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

/// Longer than any process runs.
const FOREVER: Duration = Duration::from_hours(1_000_000);

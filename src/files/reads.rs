//! Reads with a deadline, on threads that are few even if the file system hangs.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::tasks::blocking;

/// Reads of files that may never end, such as on a network file system whose server is gone.
///
/// A read that does not end in time keeps its thread. At most [`MAX_HANGING`] threads are kept, so that the others can
/// still read.
#[derive(Clone, Debug)]
pub(crate) struct Reads(Arc<Semaphore>);

impl Default for Reads {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(MAX_HANGING)))
    }
}

impl Reads {
    /// Reads off the thread that probes, for at most [`READ_TIMEOUT`].
    pub(crate) async fn run<T: Send + 'static>(&self, read: impl FnOnce() -> T + Send + 'static) -> Result<T, Hanging> {
        let permits = self.0.clone();
        let read = async {
            let permit = permits.acquire_owned().await;
            blocking(move || {
                let _permit = permit;
                read()
            })
            .await
        };
        timeout(READ_TIMEOUT, read).await.map_err(|_| Hanging)
    }
}

/// A read did not end in time. Its text follows the name of the file.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("was not read within {} s; the file system may hang", READ_TIMEOUT.as_secs())]
pub struct Hanging;

/// A file system that responds does so in milliseconds.
const READ_TIMEOUT: Duration = Duration::from_secs(10);

/// One read that hangs for good does not prevent later ones.
const MAX_HANGING: usize = 2;

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::sync::mpsc;
    use std::task::{Context, Waker};

    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_read_that_hangs_ends_in_time() {
        let reads = Reads::default();
        let (release, hung) = mpsc::channel::<()>();
        {
            let mut hanging = pin!(reads.run(move || hung.recv()));
            assert!(hanging.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
            advance(READ_TIMEOUT).await;
            assert_eq!(hanging.await, Err(Hanging));
        }
        assert_eq!(reads.run(|| 1).await, Ok(1));
        drop(release);
    }

    #[tokio::test(start_paused = true)]
    async fn reads_that_hang_keep_few_threads() {
        let reads = Reads::default();
        let mut releases = Vec::new();
        for _ in 0..MAX_HANGING {
            let (release, hung) = mpsc::channel::<()>();
            releases.push(release);
            let mut hanging = pin!(reads.run(move || hung.recv()));
            assert!(hanging.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
            advance(READ_TIMEOUT).await;
            assert_eq!(hanging.await, Err(Hanging));
        }
        let mut waiting = pin!(reads.run(|| 1));
        assert!(waiting.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        releases.pop();
        assert_eq!(waiting.await, Ok(1), "the file system responds again");
        drop(releases);
    }
}

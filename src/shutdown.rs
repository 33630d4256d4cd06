//! Signals that stop the daemon or request a reload.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::info;

/// The signals that stop the daemon: SIGTERM and SIGINT.
#[derive(Debug)]
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Replaces the default action of both signals, which kills the process.
    pub fn install() -> io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Waits for a future; returns `None` if a signal comes first.
    pub async fn unless_stopped<T>(&mut self, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            done = work => Some(done),
            signal = self.next() => {
                info!(signal, "Stopping");
                None
            }
        }
    }

    /// Cancels `token` at the first signal. Ends at the second, at which the process must exit at once.
    pub async fn cancel_then_abort(mut self, token: CancellationToken) -> Aborted {
        let signal = self.next().await;
        info!(signal, "Stopping");
        token.cancel();
        Aborted(self.next().await)
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

/// The signal that requests a reload: SIGHUP.
#[derive(Debug)]
pub struct Hangups(Signal);

impl Hangups {
    /// Replaces the default action of the signal, which kills the process.
    pub fn install() -> io::Result<Self> {
        signal(SignalKind::hangup()).map(Self)
    }

    /// Waits for the signal. Several signals since the last call count as one.
    pub async fn next(&mut self) {
        self.0.recv().await;
    }
}

/// A second signal came before the daemon stopped.
#[derive(Debug, thiserror::Error)]
#[error("killed by a second signal ({0}) before the daemon had stopped")]
pub struct Aborted(&'static str);

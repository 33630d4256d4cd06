//! Signals become a token that every long-lived task takes.

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
    /// Takes both signals over from their default of killing the process.
    pub fn install() -> io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Waits for something; none where a signal comes first.
    pub async fn unless_stopped<T>(&mut self, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            done = work => Some(done),
            signal = self.next() => {
                info!(signal, "Stopping");
                None
            }
        }
    }

    /// Cancels `token` at the first signal; ends at the second, when the process is to die at once.
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

/// The signal that asks for a reload: SIGHUP.
#[derive(Debug)]
pub struct Hangups(Signal);

impl Hangups {
    /// Takes the signal over from its default of killing the process.
    pub fn install() -> io::Result<Self> {
        signal(SignalKind::hangup()).map(Self)
    }

    /// Ends when the signal has come; several that came since the last count as one.
    pub async fn next(&mut self) {
        self.0.recv().await;
    }
}

/// A second signal came before the daemon had stopped.
#[derive(Debug, thiserror::Error)]
#[error("killed by a second signal ({0}) before everything had stopped")]
pub struct Aborted(&'static str);

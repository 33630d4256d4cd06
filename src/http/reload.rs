//! `/-/reload`: requests to reload the configuration.

use std::sync::Arc;

use hyper::{Response, StatusCode};
use tokio::sync::{mpsc, oneshot};

use super::body::{Body, plain, typed};
use crate::config::LoadError;

/// Sends requests to reload the configuration, and waits for their results.
#[derive(Clone, Debug)]
pub struct Reloads(mpsc::Sender<ReloadRequest>);

/// The request of a client to reload the configuration.
#[derive(Debug)]
pub struct ReloadRequest(oneshot::Sender<Result<(), ReloadError>>);

/// Reason for a failed reload.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ReloadError {
    /// The new configuration cannot be used.
    #[error("{0}")]
    Invalid(Arc<LoadError>),
    /// The daemon is stopping.
    #[error("the daemon is stopping")]
    Stopping,
}

impl Reloads {
    /// Returns a sender of requests, and their receiver, which calls [`ReloadRequest::finish`] for each.
    pub fn channel() -> (Self, mpsc::Receiver<ReloadRequest>) {
        let (sender, receiver) = mpsc::channel(MAX_REQUESTS);
        (Self(sender), receiver)
    }

    async fn reload(&self) -> Result<(), ReloadError> {
        let (sender, result) = oneshot::channel();
        self.0.send(ReloadRequest(sender)).await.map_err(|_| ReloadError::Stopping)?;
        result.await.unwrap_or(Err(ReloadError::Stopping))
    }
}

impl ReloadRequest {
    /// Reports the result of the reload to the client, which may have disconnected.
    pub fn finish(self, result: Result<(), ReloadError>) {
        let _ = self.0.send(result);
    }
}

/// Responds with 200 once the new configuration is in use, 500 with its problems, 403 if such requests are disabled.
pub(super) async fn reload(reloads: Option<&Reloads>) -> Response<Body> {
    let Some(reloads) = reloads else {
        return plain(
            StatusCode::FORBIDDEN,
            "Reload requests are disabled; enable them with --web.enable-lifecycle.\n",
        );
    };
    match reloads.reload().await {
        Ok(()) => plain(StatusCode::OK, "Reloaded\n"),
        Err(ReloadError::Invalid(problems)) => {
            typed(StatusCode::INTERNAL_SERVER_ERROR, "text/plain; charset=utf-8", format!("{problems}\n"))
        }
        Err(ReloadError::Stopping) => plain(StatusCode::SERVICE_UNAVAILABLE, "Stopping\n"),
    }
}

/// Maximum number of requests that wait for a reload; further ones wait to be queued.
const MAX_REQUESTS: usize = 64;

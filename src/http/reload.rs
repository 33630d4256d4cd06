//! `/-/reload`: the configuration is read anew, where that is allowed.

use hyper::{Response, StatusCode};
use tokio::sync::{mpsc, oneshot};

use super::body::{Body, plain, typed};

/// Asks for reloads, and waits for what becomes of them.
#[derive(Clone, Debug)]
pub struct Reloads(mpsc::Sender<oneshot::Sender<Result<(), String>>>);

impl Reloads {
    /// Whoever reads from the other end reloads, and answers with every problem, a line each.
    pub const fn new(requests: mpsc::Sender<oneshot::Sender<Result<(), String>>>) -> Self {
        Self(requests)
    }

    async fn reload(&self) -> Option<Result<(), String>> {
        let (sender, answer) = oneshot::channel();
        self.0.send(sender).await.ok()?;
        answer.await.ok()
    }
}

/// 200 once the configuration of this moment is in force, 500 with what is wrong with it, 403 where nobody may ask.
pub(super) async fn reload(reloads: Option<&Reloads>) -> Response<Body> {
    let Some(reloads) = reloads else {
        return plain(StatusCode::FORBIDDEN, "Reloading by HTTP is off; --web.enable-lifecycle turns it on.\n");
    };
    match reloads.reload().await {
        Some(Ok(())) => plain(StatusCode::OK, "Reloaded\n"),
        Some(Err(problems)) => {
            typed(StatusCode::INTERNAL_SERVER_ERROR, "text/plain; charset=utf-8", format!("{problems}\n"))
        }
        None => plain(StatusCode::SERVICE_UNAVAILABLE, "Stopping\n"),
    }
}

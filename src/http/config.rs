//! `/config`: the configuration in use, without secrets.

use std::sync::RwLock;

use hyper::{Response, StatusCode};
use tokio::task::spawn_blocking;
use tracing::error;

use super::AppState;
use super::body::{Body, plain, typed};
use crate::config::RedactedConfig;
use crate::locks::{read, write};

/// The configuration in use, as the reconciler has set it.
#[derive(Debug, Default)]
pub struct RunningConfig(RwLock<RedactedConfig>);

impl RunningConfig {
    /// Replaces the configuration.
    pub fn set(&self, shown: RedactedConfig) {
        *write(&self.0) = shown;
    }

    fn shown(&self) -> RedactedConfig {
        read(&self.0).clone()
    }
}

/// Responds with the configuration as YAML, rendered off the thread that probes, and one request or scrape at a time.
pub(super) async fn config(state: &AppState) -> Response<Body> {
    let (shown, permits) = (state.running_config.shown(), state.scrape_permits.clone());
    let permit = permits.acquire_owned().await;
    let unpacked = spawn_blocking(move || {
        let _permit = permit;
        shown.to_yaml()
    });
    match unpacked.await {
        Ok(yaml) => typed(StatusCode::OK, "text/plain; charset=utf-8", yaml),
        Err(failed) => {
            error!(%failed, "Cannot render the configuration, which is a bug; please report it");
            plain(StatusCode::INTERNAL_SERVER_ERROR, "Cannot render the configuration; the log has the reason.\n")
        }
    }
}

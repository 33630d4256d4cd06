//! `/config`: the configuration in use, without secrets.

use std::sync::{Arc, Mutex, RwLock, Weak};

use hyper::body::Bytes;
use hyper::{Response, StatusCode};
use tokio::task::spawn_blocking;
use tracing::error;

use super::AppState;
use super::body::{Body, plain, typed};
use crate::config::RedactedConfig;
use crate::locks::{lock, read, write};

/// The configuration in use, as the reconciler has set it.
#[derive(Debug, Default)]
pub struct RunningConfig(RwLock<Arc<Shown>>);

impl RunningConfig {
    /// Replaces the configuration.
    pub fn set(&self, shown: RedactedConfig) {
        *write(&self.0) = Arc::new(Shown { config: shown, text: Mutex::default() });
    }

    /// Returns the YAML text of a module; `None` if there is none with this name. Takes a while for many targets.
    pub(super) fn module_to_yaml(&self, name: &str) -> Option<String> {
        self.shown().config.module_to_yaml(name)
    }

    fn shown(&self) -> Arc<Shown> {
        read(&self.0).clone()
    }
}

/// A configuration, and its text while a client reads it: with very many targets, a text for each client would use up
/// the memory.
#[derive(Debug, Default)]
struct Shown {
    config: RedactedConfig,
    text: Mutex<Weak<String>>,
}

impl Shown {
    /// The text, shared with the other clients that read it. Takes a while if there are none.
    fn text(&self) -> Text {
        let mut current = lock(&self.text);
        let text = current.upgrade().unwrap_or_else(|| Arc::new(self.config.to_yaml()));
        *current = Arc::downgrade(&text);
        Text(text)
    }
}

/// A text that its last reader drops.
struct Text(Arc<String>);

impl AsRef<[u8]> for Text {
    fn as_ref(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

/// Responds with the configuration as YAML, rendered off the thread that probes, and one request at a time.
pub(super) async fn config(state: &AppState) -> Response<Body> {
    let (shown, permits) = (state.running_config.shown(), state.page_permits.clone());
    let permit = permits.acquire_owned().await;
    let unpacked = spawn_blocking(move || {
        let _permit = permit;
        shown.text()
    });
    match unpacked.await {
        Ok(text) => typed(StatusCode::OK, "text/plain; charset=utf-8", Bytes::from_owner(text)),
        Err(failed) => {
            error!(%failed, "Cannot render the configuration, which is a bug; please report it");
            plain(StatusCode::INTERNAL_SERVER_ERROR, "Cannot render the configuration; the log has the reason.\n")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_share_one_text() {
        let running = RunningConfig::default();
        let shown = running.shown();
        let (first, second) = (shown.text(), shown.text());
        assert!(Arc::ptr_eq(&first.0, &second.0));
        running.set(RedactedConfig::default());
        assert!(!Arc::ptr_eq(&first.0, &running.shown().text().0), "a new configuration has a new text");
        drop((first, second));
        assert_eq!(lock(&shown.text).strong_count(), 0, "its last reader drops it");
    }
}

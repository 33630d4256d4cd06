//! `/config`: the configuration in force, without secrets.

use std::sync::RwLock;

use hyper::{Response, StatusCode};
use tokio::task::spawn_blocking;
use tracing::error;

use super::Site;
use super::body::{Body, plain, typed};
use crate::config::Shown;
use crate::locks::{read, write};

/// The configuration in force, as whoever keeps the targets has set it.
#[derive(Debug, Default)]
pub struct Running(RwLock<Shown>);

impl Running {
    /// Another one is in force.
    pub fn set(&self, shown: Shown) {
        *write(&self.0) = shown;
    }

    fn shown(&self) -> Shown {
        read(&self.0).clone()
    }
}

/// The configuration as YAML, unpacked beside the thread that probes and in turn with scrapes.
pub(super) async fn config(site: &Site) -> Response<Body> {
    let (shown, turns) = (site.running.shown(), site.scrape_turns.clone());
    let turn = turns.acquire_owned().await;
    let unpacked = spawn_blocking(move || {
        let _turn = turn;
        shown.to_yaml()
    });
    match unpacked.await {
        Ok(yaml) => typed(StatusCode::OK, "text/plain; charset=utf-8", yaml),
        Err(failed) => {
            error!(%failed, "The configuration could not be shown, which is a bug of portprobe; please report it");
            plain(StatusCode::INTERNAL_SERVER_ERROR, "The configuration could not be shown; the log says why.\n")
        }
    }
}

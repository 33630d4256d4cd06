//! Reads of the board and the store for a response.

use std::sync::Arc;

use hyper::{Response, StatusCode};
use tokio::task::spawn_blocking;
use tracing::error;

use super::AppState;
use super::body::{Body, plain};
use crate::audit::Audits;
use crate::board::{Environment, Rows, View};
use crate::clock::{self, Timestamp};
use crate::store::Store;

/// The sources of a response at a moment.
pub(super) struct Sources {
    pub(super) rows: Rows,
    pub(super) environment: Arc<Environment>,
    pub(super) store: Option<Store>,
    pub(super) audits: Arc<Audits>,
    pub(super) now: Timestamp,
}

/// Reads off the thread that probes, one request at a time. A panic of `work` becomes a response with 500.
pub(super) async fn read<T: Send + 'static>(
    state: &AppState,
    work: impl FnOnce(&Sources) -> T + Send + 'static,
) -> Result<T, Response<Body>> {
    let permit = state.page_permits.clone().acquire_owned().await;
    let View { rows, environment } = state.board.view();
    let (store, audits) = (state.store.clone(), state.audits.clone());
    let sources = Sources { rows, environment, store, audits, now: clock::now() };
    let read = spawn_blocking(move || {
        let _permit = permit;
        work(&sources)
    });
    read.await.map_err(|failed| {
        error!(%failed, "Cannot respond to a request, which is a bug; please report it");
        plain(StatusCode::INTERNAL_SERVER_ERROR, "Cannot respond; the log has the reason.\n")
    })
}

//! `POST /api/v1/targets/NAME/probe`: one probe of a target now.
//!
//! The client waits for it. Like `/probe`, it changes no state, counter or history of the target.

use std::fmt::Debug;

use async_trait::async_trait;
use hyper::body::Incoming;
use hyper::header::{ACCEPT, CACHE_CONTROL, HeaderMap, HeaderValue, RETRY_AFTER};
use hyper::{Request, Response, StatusCode};

use super::api::{JSON, problem};
use super::body::{Body, typed};
use super::probe::closed;
use super::{AppState, Probed, page};
use crate::outcome::LocalFault;
use crate::target::TargetName;
use crate::timeline::Document;

/// Makes probes of targets on demand.
#[async_trait]
pub trait TargetProber: Debug + Send + Sync {
    /// Makes one probe with the bytes exchanged, except secrets. Dropping the future ends it.
    async fn probe(&self, name: &TargetName) -> Result<Probed, TargetProbeError>;
}

/// Reason why there is no result.
#[derive(Clone, Debug, thiserror::Error)]
pub enum TargetProbeError {
    /// Probes of one target never overlap.
    #[error("a probe of this target is running; try again once it has ended")]
    Busy,
    /// Such probes are disabled.
    #[error("probes on demand are disabled; enable them with --web.enable-lifecycle")]
    Disabled,
    /// The client has closed the connection.
    #[error("the client has closed the connection")]
    Disconnected,
    /// The limits allowed no probe in time.
    #[error("the limits allowed no probe in time; raise them, or send fewer requests")]
    Limited,
    /// This machine could not probe, so nothing is known about the target.
    #[error("cannot probe from this machine: {}: {}", .0.reason.as_str(), .0.detail)]
    LocalFault(LocalFault),
    /// The target was removed meanwhile.
    #[error("the target was removed before the probe ended")]
    Removed,
    /// The daemon is stopping.
    #[error("the daemon is stopping")]
    Stopping,
    /// There is no such target.
    #[error("unknown target; /api/v1/targets lists all")]
    Unknown,
}

impl TargetProbeError {
    pub(super) fn status(&self) -> StatusCode {
        match self {
            Self::Busy => StatusCode::CONFLICT,
            Self::Disabled => StatusCode::FORBIDDEN,
            Self::Removed | Self::Unknown => StatusCode::NOT_FOUND,
            Self::Disconnected | Self::Limited | Self::LocalFault(_) | Self::Stopping => {
                StatusCode::SERVICE_UNAVAILABLE
            }
        }
    }
}

/// Responds with the result of one probe, whether it succeeds or fails.
///
/// A browser that submits a form gets a page. `path` is the path below the prefix of this server.
pub(super) async fn probe(
    request: &Request<Incoming>,
    name: Option<TargetName>,
    path: &str,
    state: &AppState,
) -> Response<Body> {
    let probed = tokio::select! {
        probed = probed(name.as_ref(), state) => probed,
        () = closed(request) => Err(TargetProbeError::Disconnected),
    };
    if wants_page(request.headers()) {
        return page::probed(probed, name.as_ref(), path, state).await;
    }
    let mut response = match probed {
        Ok(Probed { target, outcome }) => match Document::new(&target, &outcome).to_text() {
            Ok(document) => typed(StatusCode::OK, JSON, document),
            Err(failed) => problem(StatusCode::INTERNAL_SERVER_ERROR, failed.to_string()),
        },
        Err(error) => refused(&error),
    };
    response
        .headers_mut()
        .insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

async fn probed(name: Option<&TargetName>, state: &AppState) -> Result<Probed, TargetProbeError> {
    let prober = state.target_probes.as_ref().filter(|_| state.has_lifecycle());
    let prober = prober.ok_or(TargetProbeError::Disabled)?;
    prober.probe(name.ok_or(TargetProbeError::Unknown)?).await
}

/// Whether the client prefers a page to JSON, as browsers do.
fn wants_page(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    accepted
        .flat_map(|value| value.split(','))
        .any(|range| range.trim().starts_with("text/html"))
}

fn refused(error: &TargetProbeError) -> Response<Body> {
    let mut response = problem(error.status(), error.to_string());
    if matches!(error, TargetProbeError::Busy) {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}

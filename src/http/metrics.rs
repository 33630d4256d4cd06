//! `/metrics`, in the format that the client prefers.

use hyper::body::Incoming;
use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderValue, VARY};
use hyper::{Request, Response};

use super::AppState;
use super::body::{Body, Streamed};
use super::negotiation::{Negotiated, negotiate};

/// Responds with the exposition, after a start once all targets are scheduled. It is compressed if the client accepts
/// that and few enough other responses are being compressed.
pub(super) async fn scrape(request: &Request<Incoming>, state: &AppState) -> Response<Body> {
    state.readiness.begun().await;
    let Negotiated { format, content_type, gzip } = negotiate(request.headers());
    let compressor = gzip.then(|| state.compressors.clone().try_acquire_owned().ok()).flatten();
    let gzip = compressor.is_some();
    let body = Streamed::new(state.metrics.exposition(format), compressor, state.scrape_permits.clone());
    let mut response = Response::new(Body::Streamed(body));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(VARY, HeaderValue::from_static("Accept, Accept-Encoding"));
    if gzip {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    response
}

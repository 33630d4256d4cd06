//! URLs as sources, with the protocol of Prometheus' `http_sd`.
//!
//! One request per connection. The response must be 200 with `application/json` and within the bounds of size and time.
//! Redirects are not followed, so that a server cannot send this program elsewhere. No message contains the value of a
//! secret header.

use std::path::Path;
use std::pin::pin;
use std::time::Duration;

use http_body_util::{BodyExt as _, Empty};
use hyper::body::{Body as _, Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::header::{
    ACCEPT, CONNECTION, CONTENT_ENCODING, CONTENT_TYPE, HOST, HeaderMap, HeaderName, HeaderValue, LOCATION, USER_AGENT,
};
use hyper::{Request, Response, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, timeout};

use super::{RefreshError, Snapshot};
use crate::config::{HttpScheme, HttpSource, HttpUrl, discovered_json};
use crate::files::header_values;
use crate::files::reads::Reads;
use crate::peer_text::label_value;
use crate::probe::Connector;
use crate::tasks::blocking;

/// Limits of a response.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// Time from the first packet to the last byte.
    pub(super) timeout: Duration,
    /// Length of the body.
    pub(super) bytes: u64,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { timeout: Duration::from_secs(10), bytes: 64 << 20 }
    }
}

/// Requests the entries once. The request contains the interval.
pub(super) async fn refresh(
    source: &HttpSource,
    interval: Duration,
    bounds: Bounds,
    reads: &Reads,
    connector: &Connector,
) -> Result<Snapshot, RefreshError> {
    let files = source.headers_files.clone();
    let secrets = move || files.iter().map(|(name, path)| secret(name, path)).collect::<Result<_, _>>();
    let request = request(&source.url, interval, reads.run(secrets).await??)?;
    let response = timeout(bounds.timeout, request_body(request, source, bounds, connector)).await;
    let SourceResponse { body, problems } = response.map_err(|_| RefreshError::Timeout(bounds.timeout))??;
    let entries = blocking(move || {
        let text = String::from_utf8(body).map_err(|_| RefreshError::Utf8Body)?;
        discovered_json(&text).map_err(RefreshError::InvalidBody)
    });
    Ok(Snapshot { entries: entries.await?.into(), problems })
}

fn request(
    url: &HttpUrl,
    interval: Duration,
    secrets: Vec<(HeaderName, HeaderValue)>,
) -> Result<Request<Empty<Bytes>>, RefreshError> {
    let seconds = HeaderValue::from_str(&interval.as_secs_f64().to_string()).map_err(http::Error::from)?;
    let host = HeaderValue::from_str(&url.authority()).map_err(http::Error::from)?;
    let mut request = Request::get(url.path()).body(Empty::new())?;
    let headers = request.headers_mut();
    headers.insert(HOST, host);
    headers.insert(ACCEPT, HeaderValue::from_static(MEDIA_TYPE));
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
    headers.insert(USER_AGENT, HeaderValue::from_static(concat!("portprobe/", env!("CARGO_PKG_VERSION"))));
    headers.insert(REFRESH, seconds);
    for (name, value) in secrets {
        headers.insert(name, value);
    }
    Ok(request)
}

/// A header whose value is in a file.
fn secret(name: &str, path: &Path) -> Result<(HeaderName, HeaderValue), RefreshError> {
    let header = name.parse::<HeaderName>().map_err(http::Error::from)?;
    let value = header_values::value(path).map_err(|reason| RefreshError::HeaderFile {
        header: name.to_owned(),
        file: path.display().to_string(),
        reason,
    })?;
    Ok((header, value))
}

/// The body of a response, and reported problems of its server's certificate.
struct SourceResponse {
    body: Vec<u8>,
    problems: Vec<String>,
}

async fn request_body(
    request: Request<Empty<Bytes>>,
    source: &HttpSource,
    bounds: Bounds,
    connector: &Connector,
) -> Result<SourceResponse, RefreshError> {
    let deadline = Instant::now() + bounds.timeout;
    let (host, port) = (source.url.host(), source.url.port());
    let stream = connector
        .connect(host, port, deadline)
        .await
        .map_err(RefreshError::Connection)?;
    if source.url.scheme() == HttpScheme::Http {
        let body = exchange(stream, request, bounds.bytes).await?;
        return Ok(SourceResponse { body, problems: Vec::new() });
    }
    let session = connector.secure(stream, host, &source.tls, deadline).await;
    let session = session.map_err(RefreshError::Connection)?;
    let body = exchange(session.stream, request, bounds.bytes).await?;
    Ok(SourceResponse { body, problems: session.faults })
}

async fn exchange<S>(stream: S, request: Request<Empty<Bytes>>, limit: u64) -> Result<Vec<u8>, RefreshError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let builder = &mut http1::Builder::new();
    let shaken = builder.max_buf_size(MAX_HEAD).handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = shaken.map_err(RefreshError::Request)?;
    let mut body = pin!(async {
        let response = sender.send_request(request).await.map_err(RefreshError::Request)?;
        check(&response)?;
        read(response.into_body(), limit).await
    });
    tokio::select! {
        body = &mut body => body,
        // The connection has ended. The rest of the body is buffered, and an error is reported there as well.
        _ = connection => body.await,
    }
}

/// Refuses a response without a list of targets.
fn check(response: &Response<Incoming>) -> Result<(), RefreshError> {
    let (status, headers) = (response.status(), response.headers());
    if status.is_redirection() && headers.contains_key(LOCATION) {
        let to = text(headers, &LOCATION).and_then(|location| Some(location.parse::<Uri>().ok()?.host()?.to_owned()));
        let to = to.map_or_else(String::new, |host| format!(" to {}", label_value(&host)));
        return Err(RefreshError::Redirect(status, to));
    }
    if status != StatusCode::OK {
        return Err(RefreshError::Status(status));
    }
    let media_type = text(headers, &CONTENT_TYPE).ok_or(RefreshError::NoContentType)?;
    if !media_type
        .split(';')
        .next()
        .is_some_and(|kind| kind.trim().eq_ignore_ascii_case(MEDIA_TYPE))
    {
        return Err(RefreshError::ContentType(label_value(&media_type)));
    }
    match text(headers, &CONTENT_ENCODING).filter(|encoding| !encoding.eq_ignore_ascii_case("identity")) {
        Some(encoding) => Err(RefreshError::ContentEncoding(label_value(&encoding))),
        None => Ok(()),
    }
}

fn text(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    headers
        .get(name)
        .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
}

/// Reads a body to its end, at most `limit` bytes.
async fn read(mut body: Incoming, limit: u64) -> Result<Vec<u8>, RefreshError> {
    if body.size_hint().lower() > limit {
        return Err(RefreshError::BodyTooLarge(limit));
    }
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(RefreshError::BrokenBody)?;
        let Ok(data) = frame.into_data() else { continue };
        bytes.extend_from_slice(&data);
        if u64::try_from(bytes.len()).map_or(true, |length| length > limit) {
            return Err(RefreshError::BodyTooLarge(limit));
        }
    }
    Ok(bytes)
}

/// The media type of `http_sd`.
pub(super) const MEDIA_TYPE: &str = "application/json";

/// The header in which Prometheus sends its interval.
const REFRESH: HeaderName = HeaderName::from_static("x-prometheus-refresh-interval-seconds");

/// Limit of the head of a response.
const MAX_HEAD: usize = 64 << 10;

#[cfg(test)]
mod tests;

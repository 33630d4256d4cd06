//! URLs as sources, with the protocol of Prometheus' `http_sd`.
//!
//! One request per connection. The response must be 200 with `application/json` and within the bounds of size and time.
//! Redirects are not followed, so that a server cannot send this program elsewhere. No message contains the value of a
//! secret header.
//!
//! URLs are not parsed by a crate: they follow the rules and messages of target URLs.

use std::num::NonZeroU16;
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

use super::{RefreshError, Snapshot, blocking};
use crate::config::{HttpSource, discovered_json};
use crate::files::header_values;
use crate::peer_text::label_value;
use crate::probe::Connector;
use crate::target::Host;

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

/// Requests the entries once. The server is told the interval.
pub(super) async fn refresh(
    source: &HttpSource,
    interval: Duration,
    bounds: Bounds,
    connector: &Connector,
) -> Result<Snapshot, RefreshError> {
    let address = Address::parse(&source.url).map_err(RefreshError::Url)?;
    let files = source.headers_files.clone();
    let secrets = blocking(move || files.iter().map(|(name, path)| secret(name, path)).collect::<Result<_, _>>()).await;
    let request = address.request(interval, secrets?)?;
    let response = timeout(bounds.timeout, request_body(&address, request, source, bounds, connector)).await;
    let SourceResponse { body, problems } = response.map_err(|_| RefreshError::Timeout(bounds.timeout))??;
    let entries = blocking(move || {
        let text = String::from_utf8(body).map_err(|_| RefreshError::Utf8Body)?;
        discovered_json(&text).map_err(RefreshError::InvalidBody)
    });
    Ok(Snapshot { entries: entries.await?.into(), problems })
}

/// The parts of a URL.
#[derive(Debug)]
struct Address {
    scheme: Scheme,
    host: Host,
    port: NonZeroU16,
    /// Host and port as in the URL.
    authority: HeaderValue,
    path: String,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Scheme {
    Http,
    Https,
}

impl Address {
    /// Parses a URL. The error does not repeat it, because it may contain a token.
    fn parse(url: &str) -> Result<Self, String> {
        let uri: Uri = url.parse().map_err(|error| format!("has no valid URL: {error}"))?;
        let (scheme, default_port) = match uri.scheme_str() {
            Some("http") => (Scheme::Http, 80),
            Some("https") => (Scheme::Https, 443),
            _ => return Err("has a URL that is neither http:// nor https://".to_owned()),
        };
        let authority = uri.authority().ok_or("has a URL without a host")?;
        if authority.as_str().contains('@') {
            return Err("has a URL with a user or password; name a file in headers_files instead".to_owned());
        }
        let port = NonZeroU16::new(authority.port_u16().unwrap_or(default_port)).ok_or("has a URL with port 0")?;
        Ok(Self {
            scheme,
            host: host(authority.host()).ok_or("has a URL whose host is neither a name nor an address")?,
            port,
            authority: HeaderValue::from_str(authority.as_str()).map_err(|_| "has a URL without a valid host")?,
            path: uri.path_and_query().map_or("/", |path| path.as_str()).to_owned(),
        })
    }

    fn request(
        &self,
        interval: Duration,
        secrets: Vec<(HeaderName, HeaderValue)>,
    ) -> Result<Request<Empty<Bytes>>, RefreshError> {
        let seconds = HeaderValue::from_str(&interval.as_secs_f64().to_string()).map_err(http::Error::from)?;
        let mut request = Request::get(&self.path).body(Empty::new())?;
        let headers = request.headers_mut();
        headers.insert(HOST, self.authority.clone());
        headers.insert(ACCEPT, HeaderValue::from_static(MEDIA_TYPE));
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
        headers.insert(USER_AGENT, HeaderValue::from_static(concat!("portprobe/", env!("CARGO_PKG_VERSION"))));
        headers.insert(REFRESH, seconds);
        for (name, value) in secrets {
            headers.insert(name, value);
        }
        Ok(request)
    }
}

fn host(text: &str) -> Option<Host> {
    if let Some(bracketed) = text.strip_prefix('[') {
        return Some(Host::Ipv6(bracketed.strip_suffix(']')?.parse().ok()?, None));
    }
    text.parse().map(Host::Ipv4).or_else(|_| text.parse().map(Host::Name)).ok()
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
    address: &Address,
    request: Request<Empty<Bytes>>,
    source: &HttpSource,
    bounds: Bounds,
    connector: &Connector,
) -> Result<SourceResponse, RefreshError> {
    let deadline = Instant::now() + bounds.timeout;
    let stream = connector.connect(&address.host, address.port, deadline).await.map_err(RefreshError::Connection)?;
    if address.scheme == Scheme::Http {
        let body = exchange(stream, request, bounds.bytes).await?;
        return Ok(SourceResponse { body, problems: Vec::new() });
    }
    let session = connector.secure(stream, &address.host, &source.tls, deadline).await;
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
    if !media_type.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case(MEDIA_TYPE)) {
        return Err(RefreshError::ContentType(label_value(&media_type)));
    }
    match text(headers, &CONTENT_ENCODING).filter(|encoding| !encoding.eq_ignore_ascii_case("identity")) {
        Some(encoding) => Err(RefreshError::ContentEncoding(label_value(&encoding))),
        None => Ok(()),
    }
}

fn text(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
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

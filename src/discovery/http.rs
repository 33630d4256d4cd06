//! Addresses as sources: what answers as Prometheus' `http_sd` does.
//!
//! One request on a connection of its own. The answer must be 200 with `application/json`, no larger and no slower than
//! is allowed; nothing is followed, so that who answers cannot send this program anywhere else. What a secret header
//! holds is in no message.

use std::error::Error;
use std::iter::successors;
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

use super::{Found, blocking};
use crate::config::{HttpSource, discovered_json};
use crate::files::header_values;
use crate::peer_text::label_value;
use crate::probe::Connector;
use crate::target::Host;

/// How much of an answer is waited for and taken.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// From the first packet to the last byte.
    pub(super) timeout: Duration,
    /// The body's bytes.
    pub(super) bytes: u64,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { timeout: Duration::from_secs(10), bytes: 64 << 20 }
    }
}

/// Asks an address once. `refresh` is what it is told about how often it is asked.
pub(super) async fn look(
    source: &HttpSource,
    refresh: Duration,
    bounds: Bounds,
    connector: &Connector,
) -> Result<Found, String> {
    let address = Address::parse(&source.url)?;
    let files = source.headers_files.clone();
    let secrets = blocking(move || files.iter().map(|(name, path)| secret(name, path)).collect::<Result<_, _>>()).await;
    let request = address.request(refresh, secrets?)?;
    let answer = timeout(bounds.timeout, ask(&address, request, source, bounds, connector)).await;
    let Answer { body, complaints } =
        answer.map_err(|_| format!("did not answer to the end within {:?}", bounds.timeout))??;
    let entries = blocking(move || {
        let text = String::from_utf8(body).map_err(|_| "answered what is not UTF-8".to_owned())?;
        discovered_json(&text).map_err(|why| format!("answered what cannot be used: {why}"))
    });
    Ok(Found { entries: entries.await?.into(), complaints })
}

/// A URL taken apart.
#[derive(Debug)]
struct Address {
    scheme: Scheme,
    host: Host,
    port: NonZeroU16,
    /// Host and port as they stand in the URL.
    authority: HeaderValue,
    path: String,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Scheme {
    Http,
    Https,
}

impl Address {
    /// Takes a URL apart. It is not repeated in the error, for it may hold a token.
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
        refresh: Duration,
        secrets: Vec<(HeaderName, HeaderValue)>,
    ) -> Result<Request<Empty<Bytes>>, String> {
        let seconds = HeaderValue::from_str(&refresh.as_secs_f64().to_string()).map_err(|error| error.to_string())?;
        let request = Request::get(&self.path).body(Empty::new());
        let mut request = request.map_err(|error| format!("cannot be asked: {error}"))?;
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

/// A header whose value is what a file holds.
fn secret(name: &str, path: &Path) -> Result<(HeaderName, HeaderValue), String> {
    let header = name.parse().map_err(|_| format!("{name} is no name of a header"))?;
    let value = header_values::value(path);
    Ok((header, value.map_err(|why| format!("the file {} of the header {name} {why}", path.display()))?))
}

/// A body that is to be read, and what was wrong on the way to it.
struct Answer {
    body: Vec<u8>,
    complaints: Vec<String>,
}

async fn ask(
    address: &Address,
    request: Request<Empty<Bytes>>,
    source: &HttpSource,
    bounds: Bounds,
    connector: &Connector,
) -> Result<Answer, String> {
    let deadline = Instant::now() + bounds.timeout;
    let stream = connector.connect(&address.host, address.port, deadline).await?;
    if address.scheme == Scheme::Http {
        let body = exchange(stream, request, bounds.bytes).await?;
        return Ok(Answer { body, complaints: Vec::new() });
    }
    let session = connector.secure(stream, &address.host, &source.tls, deadline).await?;
    let body = exchange(session.stream, request, bounds.bytes).await?;
    Ok(Answer { body, complaints: session.faults })
}

async fn exchange<S>(stream: S, request: Request<Empty<Bytes>>, limit: u64) -> Result<Vec<u8>, String>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let failed = |error: hyper::Error| format!("cannot be asked: {}", with_causes(&error));
    let builder = &mut http1::Builder::new();
    let shaken = builder.max_buf_size(MAX_HEAD).handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = shaken.map_err(failed)?;
    let mut answer = pin!(async {
        let response = sender.send_request(request).await.map_err(failed)?;
        acceptable(&response)?;
        read(response.into_body(), limit).await
    });
    tokio::select! {
        answered = &mut answer => answered,
        // What was read before its end is still to be taken; and its error arrives there too.
        _ = connection => answer.await,
    }
}

fn acceptable(response: &Response<Incoming>) -> Result<(), String> {
    let (status, headers) = (response.status(), response.headers());
    if status.is_redirection() && headers.contains_key(LOCATION) {
        let to = text(headers, &LOCATION).and_then(|location| Some(location.parse::<Uri>().ok()?.host()?.to_owned()));
        let to = to.map_or_else(String::new, |host| format!(" to {}", label_value(&host)));
        return Err(format!("answered {status}{to}: redirects are not followed"));
    }
    if status != StatusCode::OK {
        return Err(format!("answered {status}"));
    }
    let Some(media_type) = text(headers, &CONTENT_TYPE) else {
        return Err(format!("answered without a Content-Type; it must be {MEDIA_TYPE}"));
    };
    if !media_type.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case(MEDIA_TYPE)) {
        return Err(format!("answered {}, not {MEDIA_TYPE}", label_value(&media_type)));
    }
    match text(headers, &CONTENT_ENCODING).filter(|encoding| !encoding.eq_ignore_ascii_case("identity")) {
        Some(encoding) => Err(format!("answered in the encoding {}, which was not asked for", label_value(&encoding))),
        None => Ok(()),
    }
}

fn text(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
}

/// Reads a body to its end, or until it is larger than is allowed.
async fn read(mut body: Incoming, limit: u64) -> Result<Vec<u8>, String> {
    let too_large = || format!("answered more than {limit} bytes");
    if body.size_hint().lower() > limit {
        return Err(too_large());
    }
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| format!("broke off its answer: {}", with_causes(&error)))?;
        let Ok(data) = frame.into_data() else { continue };
        bytes.extend_from_slice(&data);
        if u64::try_from(bytes.len()).map_or(true, |length| length > limit) {
            return Err(too_large());
        }
    }
    Ok(bytes)
}

/// An error with all that caused it.
fn with_causes(error: &hyper::Error) -> String {
    let first: &dyn Error = error;
    successors(Some(first), |error| (*error).source()).map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// What `http_sd` demands.
const MEDIA_TYPE: &str = "application/json";

/// What Prometheus sends.
const REFRESH: HeaderName = HeaderName::from_static("x-prometheus-refresh-interval-seconds");

/// The longest head of an answer.
const MAX_HEAD: usize = 64 << 10;

#[cfg(test)]
mod tests;

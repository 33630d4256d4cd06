//! A running blackbox_exporter, asked for single probes.

use std::fmt::Write as _;
use std::pin::pin;
use std::time::Duration;

use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::{AUTHORIZATION, CONNECTION, HOST, HeaderValue, USER_AGENT};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, timeout_at};

use super::import::ProbePair;
use crate::config::{HttpScheme, HttpUrl};
use crate::peer_text::label_value;
use crate::probe::{Connector, ConnectorError};
use crate::target::TlsSettings;

/// A running blackbox_exporter.
#[derive(Debug)]
pub struct Exporter {
    /// Its URL. `/probe` is appended to the path.
    pub url: HttpUrl,
    /// The settings of an `https://` URL.
    pub tls: TlsSettings,
    /// The user and password.
    pub authorization: Option<HeaderValue>,
    /// The connections to it.
    pub connector: Connector,
}

impl Exporter {
    /// Asks for one probe; returns whether it succeeded.
    pub async fn probe(&self, pair: &ProbePair) -> Result<bool, ExporterError> {
        let (status, body) = self.request(&self.path(pair), pair.scrape_timeout).await?;
        if status != StatusCode::OK {
            return Err(ExporterError::Status(status, label_value(body.trim())));
        }
        let value = body.lines().find_map(|line| line.strip_prefix("probe_success "));
        match value.map(str::trim) {
            Some("1") => Ok(true),
            Some("0") => Ok(false),
            _ => Err(ExporterError::NotBlackbox),
        }
    }

    /// Fails if there is no blackbox_exporter at the URL. Makes no probe.
    pub async fn contact(&self) -> Result<(), ExporterError> {
        let path = format!("{}/probe", self.url.path().trim_end_matches('/'));
        let (status, body) = self.request(&path, Duration::ZERO).await?;
        match status {
            // The target is missing, and possibly the module that is used without a name.
            StatusCode::BAD_REQUEST if body.contains("Target parameter") || body.contains("Unknown module") => Ok(()),
            status if status.is_success() => Err(ExporterError::NotBlackbox),
            status => Err(ExporterError::Status(status, label_value(body.trim()))),
        }
    }

    /// The URL whose response describes a probe step by step.
    pub fn debug_url(&self, pair: &ProbePair) -> String {
        let host = self.url.to_string();
        let base = host.strip_suffix(self.url.path()).unwrap_or(&host);
        format!("{base}{}&debug=true", self.path(pair))
    }

    fn path(&self, pair: &ProbePair) -> String {
        let prefix = self.url.path().trim_end_matches('/');
        let mut path = format!("{prefix}/probe?module={}&target={}", encoded(&pair.module), encoded(&pair.target));
        if let Some(hostname) = &pair.hostname {
            let _ = write!(path, "&hostname={}", encoded(hostname));
        }
        path
    }

    /// Requests a path, and announces the timeout of a scrape.
    async fn request(&self, path: &str, scrape_timeout: Duration) -> Result<(StatusCode, String), ExporterError> {
        let mut request = Request::get(path)
            .header(HOST, self.url.authority())
            .header(CONNECTION, "close")
            .header(USER_AGENT, concat!("portprobe/", env!("CARGO_PKG_VERSION")))
            .header(TIMEOUT, scrape_timeout.as_secs_f64().to_string())
            .body(Empty::new())?;
        let authorization = self.authorization.clone().map(|value| (AUTHORIZATION, value));
        request.headers_mut().extend(authorization);
        let deadline = Instant::now() + scrape_timeout + PATIENCE;
        let response = timeout_at(deadline, self.exchange(request, deadline)).await;
        let (status, body) = response.map_err(|_| ExporterError::Timeout)??;
        Ok((status, String::from_utf8_lossy(&body).into_owned()))
    }

    async fn exchange(
        &self,
        request: Request<Empty<Bytes>>,
        deadline: Instant,
    ) -> Result<(StatusCode, Bytes), ExporterError> {
        let (host, port) = (self.url.host(), self.url.port());
        let stream = self.connector.connect(host, port, deadline).await?;
        if self.url.scheme() == HttpScheme::Http {
            return exchange(stream, request).await;
        }
        let session = self.connector.secure(stream, host, &self.tls, deadline).await?;
        exchange(session.stream, request).await
    }
}

/// Reason why there is no result of blackbox_exporter.
#[derive(Debug, thiserror::Error)]
pub enum ExporterError {
    /// The response is longer than that of any exporter, or was cut.
    #[error("cannot read the response: {0}")]
    Body(Box<dyn std::error::Error + Send + Sync>),
    /// There is no connection.
    #[error(transparent)]
    Connection(#[from] ConnectorError),
    /// The response is not that of `/probe`.
    #[error("the response has no probe_success; is this blackbox_exporter?")]
    NotBlackbox,
    /// The request failed.
    #[error("cannot make the request: {0}")]
    Request(#[from] hyper::Error),
    /// The exporter refused the request.
    #[error("responded with {0}: {1}")]
    Status(StatusCode, String),
    /// There is no response in time.
    #[error("did not respond in time")]
    Timeout,
    /// A part of the request is not valid.
    #[error("cannot build the request: {0}")]
    Url(#[from] http::Error),
}

async fn exchange<S>(stream: S, request: Request<Empty<Bytes>>) -> Result<(StatusCode, Bytes), ExporterError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let mut response = pin!(async {
        let response = sender.send_request(request).await?;
        let status = response.status();
        let body = Limited::new(response.into_body(), MAX_BODY).collect().await;
        Ok((status, body.map_err(ExporterError::Body)?.to_bytes()))
    });
    tokio::select! {
        response = &mut response => response,
        // The connection has ended. The rest of the response is buffered.
        _ = connection => response.await,
    }
}

/// Escapes the value of a query parameter (RFC 3986, section 2.3).
fn encoded(value: &str) -> String {
    let mut encoded = String::with_capacity(value.len());
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            encoded.push(char::from(byte));
        } else {
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

/// The header with which Prometheus announces its timeout.
const TIMEOUT: &str = "x-prometheus-scrape-timeout-seconds";

/// Time that a response may take longer than the timeout that was announced.
const PATIENCE: Duration = Duration::from_secs(5);

/// A response has a few dozen lines.
const MAX_BODY: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::ResolverOptions;

    #[test]
    fn debug_urls_have_every_parameter() {
        let connector = Connector::new(ResolverOptions::default(), std::sync::Arc::default());
        let url = "http://localhost:9115/blackbox/".parse().unwrap();
        let exporter = Exporter { url, tls: TlsSettings::default(), authorization: None, connector };
        let pair = ProbePair {
            name: "a".to_owned(),
            target: "https://a/?b=c&d".to_owned(),
            module: "http_2xx".to_owned(),
            hostname: Some("h".to_owned()),
            scrape_timeout: Duration::from_secs(1),
        };
        let expected = "http://localhost:9115/blackbox/probe?module=http_2xx&target=https%3A%2F%2Fa%2F%3Fb%3Dc%26d&\
                        hostname=h&debug=true";
        assert_eq!(exporter.debug_url(&pair), expected);
    }
}

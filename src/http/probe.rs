//! `/probe`: one probe for a client, with the parameters, headers, status codes and metrics of blackbox_exporter.
//!
//! The client waits for its probe. Nothing of it is kept: it changes no state of a target and no other metric.

use std::fmt::Debug;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, VARY};
use hyper::{Request, Response, StatusCode};

use super::AppState;
use super::body::{Body, plain, typed};
use super::client_stream::ClientStream;
use super::negotiation::{Negotiated, negotiate_text};
use crate::blackbox::metrics::{Exposition, Syntax, metrics};
use crate::clock;
use crate::config::{OnDemand, OnDemandError};
use crate::metrics::Format;
use crate::outcome::{LocalFault, Outcome};
use crate::target::Target;
use crate::tasks::blocking;
use crate::timeline::{Styles, Timeline};

/// Makes the probes of `/probe`.
#[async_trait]
pub trait OnDemandProber: Debug + Send + Sync {
    /// Makes one probe. Dropping the future ends it.
    async fn probe(&self, request: &ProbeRequest) -> Result<Probed, ProbeError>;
}

/// A probe that a client requests.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ProbeRequest {
    /// A URL, or a bare `host:port`.
    pub target: String,
    /// The name of a module.
    pub module: Option<String>,
    /// The host in the request and in TLS, instead of that of the target.
    pub hostname: Option<String>,
    /// Maximum duration; the timeout of the target if that is shorter. `None`: the timeout of the target.
    pub time: Option<Duration>,
}

/// A finished probe.
#[derive(Clone, Debug)]
pub struct Probed {
    /// The target, with the settings of its module.
    pub target: Arc<Target>,
    /// Success or failure, not a local fault.
    pub outcome: Outcome,
}

/// Reason why there is no result.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ProbeError {
    /// The client has closed the connection.
    #[error("the client has closed the connection")]
    Disconnected,
    /// The configuration does not enable the endpoint.
    #[error("/probe is disabled; to enable it, set `enabled` and `allow` under `probe_endpoint` in the configuration")]
    Disabled,
    /// The host is not in the allow list.
    #[error("the host or an address of it is not allowed; to allow it, add it to `probe_endpoint.allow`")]
    Forbidden,
    /// The target or its settings cannot be used.
    #[error(transparent)]
    Invalid(#[from] OnDemandError),
    /// This machine could not probe, so nothing is known about the target.
    #[error("cannot probe from this machine: {}: {}", .0.reason.as_str(), .0.detail)]
    LocalFault(LocalFault),
    /// The limits allowed no probe in time, or too late.
    #[error("the limits or the scrape timeout allowed no probe in time; raise them, or send fewer requests")]
    Limited,
    /// The daemon is stopping.
    #[error("the daemon is stopping")]
    Stopping,
    /// A file that the module names cannot be read.
    #[error("{0}")]
    UnreadableFile(String),
}

impl ProbeError {
    fn status(&self) -> StatusCode {
        match self {
            Self::Disabled | Self::Forbidden => StatusCode::FORBIDDEN,
            Self::Invalid(_) => StatusCode::BAD_REQUEST,
            Self::Disconnected | Self::LocalFault(_) | Self::Limited | Self::Stopping | Self::UnreadableFile(_) => {
                StatusCode::SERVICE_UNAVAILABLE
            }
        }
    }
}

/// Responds with the metrics of one probe, also if it fails: then `probe_success` is 0.
pub(super) async fn probe(request: &Request<Incoming>, state: &AppState) -> Response<Body> {
    let Some(prober) = &state.on_demand else { return refused(&ProbeError::Disabled) };
    let parameters = Parameters::of(request.uri().query().unwrap_or_default());
    let time = match time(request.headers()) {
        Ok(time) => time,
        Err(text) => {
            let message = format!("Failed to parse timeout from Prometheus header: {text} is not a number\n");
            return typed(StatusCode::INTERNAL_SERVER_ERROR, PLAIN, message);
        }
    };
    let Some(target) = parameters.target else {
        return plain(StatusCode::BAD_REQUEST, "Target parameter is missing\n");
    };
    let probe = ProbeRequest { target, module: parameters.module, hostname: parameters.hostname, time };
    let probed = tokio::select! {
        probed = prober.probe(&probe) => probed,
        () = closed(request) => Err(ProbeError::Disconnected),
    };
    match probed {
        Ok(probed) if parameters.wants_details => details(&probed, probe.module, state).await,
        Ok(probed) => exposed(request.headers(), &probed),
        Err(ProbeError::Invalid(OnDemandError::UnknownModule)) => {
            let module = probe.module.unwrap_or_default();
            typed(StatusCode::BAD_REQUEST, PLAIN, format!("Unknown module {module:?}\n"))
        }
        Err(error) => refused(&error),
    }
}

/// Waits until the client closes the connection. A scrape that has timed out needs no probe any more.
pub(super) async fn closed(request: &Request<Incoming>) {
    match request.extensions().get::<ClientStream>() {
        Some(stream) => stream.closed().await,
        None => pending().await,
    }
}

fn refused(error: &ProbeError) -> Response<Body> {
    typed(error.status(), PLAIN, format!("{error}\n"))
}

fn exposed(headers: &HeaderMap, probed: &Probed) -> Response<Body> {
    let Negotiated { format, content_type, .. } = negotiate_text(headers);
    let syntax = if format == Format::OpenMetrics { Syntax::OpenMetrics } else { Syntax::Prometheus };
    let metrics = metrics(&probed.target, &probed.outcome);
    let mut response = Response::new(Exposition { metrics: &metrics, syntax }.to_string().into());
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(VARY, HeaderValue::from_static("Accept"));
    response
}

/// Responds with everything about a probe, in the form of blackbox_exporter: its timeline, its metrics, and the module
/// without secrets.
async fn details(probed: &Probed, module: Option<String>, state: &AppState) -> Response<Body> {
    let Probed { target, outcome } = probed;
    let timeline = Timeline { target, outcome, now: clock::now(), styles: Styles::PLAIN };
    let metrics = metrics(target, outcome);
    let metrics = Exposition { metrics: &metrics, syntax: Syntax::Prometheus };
    let running = state.running_config.clone();
    // Off the thread that probes, and one request at a time, since the configuration may be large.
    let permit = state.page_permits.clone().acquire_owned().await;
    let module = blocking(move || {
        let _permit = permit;
        running.module_to_yaml(module.as_deref().unwrap_or(OnDemand::DEFAULT_MODULE))
    });
    let module = module.await.unwrap_or_else(|| "none; only defaults apply\n".to_owned());
    let text = format!(
        "Logs for the probe:\n{timeline}\n\n\nMetrics that would have been returned:\n{metrics}\n\n\n\
         Module configuration:\n{module}"
    );
    typed(StatusCode::OK, PLAIN, text)
}

/// The parameters of a request. Of a repeated one, the first counts; an empty one is absent.
#[derive(Debug, Default, Eq, PartialEq)]
struct Parameters {
    target: Option<String>,
    module: Option<String>,
    hostname: Option<String>,
    /// Whether the client wants all about the probe instead of its metrics.
    wants_details: bool,
}

impl Parameters {
    fn of(query: &str) -> Self {
        let first = |wanted: &str| {
            let (_, value) = form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == wanted)?;
            (!value.is_empty()).then(|| value.into_owned())
        };
        Self {
            target: first("target"),
            module: first("module"),
            hostname: first("hostname"),
            wants_details: first("debug").as_deref() == Some("true"),
        }
    }
}

/// Returns the time for the probe of a scrape: its timeout, without the time to respond. As in blackbox_exporter, a
/// missing timeout or one of 0 means two minutes, and one that leaves no time is ignored. The error is the invalid text.
fn time(headers: &HeaderMap) -> Result<Option<Duration>, String> {
    let text = headers.get(SCRAPE_TIMEOUT).map(|value| value.to_str().unwrap_or("the value"));
    let seconds = match text.map(str::trim).filter(|text| !text.is_empty()) {
        None => 0.0,
        Some(text) => {
            let seconds: f64 = text.parse().map_err(|_| text.to_owned())?;
            if seconds.is_nan() {
                return Err(text.to_owned());
            }
            seconds
        }
    };
    let seconds = if seconds == 0.0 { DEFAULT_SECONDS } else { seconds };
    // Infinity and anything else that is too large does not shorten the timeout of the target.
    Ok(Duration::try_from_secs_f64(seconds - OFFSET_SECONDS).ok())
}

const SCRAPE_TIMEOUT: HeaderName = HeaderName::from_static("x-prometheus-scrape-timeout-seconds");

/// The time to respond, as by default in blackbox_exporter.
const OFFSET_SECONDS: f64 = 0.5;

const DEFAULT_SECONDS: f64 = 120.0;

const PLAIN: &str = "text/plain; charset=utf-8";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_repeated_parameters_counts() {
        let parameters = |target: &str, module: &str, hostname: &str| {
            let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
            Parameters { target: some(target), module: some(module), hostname: some(hostname), wants_details: false }
        };
        for (query, expected) in [
            ("", parameters("", "", "")),
            ("target=a:1&target=b:1&module=m", parameters("a:1", "m", "")),
            ("target=http%3A%2F%2Fa%2F%3Fb%3D1%26c&hostname=h", parameters("http://a/?b=1&c", "", "h")),
            ("target=%5B::1%5D:1&module=", parameters("[::1]:1", "", "")),
            ("target&module=%ff", parameters("", "\u{fffd}", "")),
            ("target=%zz:1", parameters("%zz:1", "", "")),
        ] {
            assert_eq!(Parameters::of(query), expected, "{query}");
        }
    }

    #[test]
    fn a_scrape_timeout_leaves_time_to_respond() {
        let header = |text: &str| {
            let value = HeaderValue::from_bytes(text.as_bytes()).unwrap();
            time(&HeaderMap::from_iter([(SCRAPE_TIMEOUT, value)]))
        };
        let seconds = |seconds: f64| Ok(Some(Duration::from_secs_f64(seconds)));
        assert_eq!(time(&HeaderMap::new()), seconds(119.5));
        for (text, expected) in [
            ("10", seconds(9.5)),
            ("0.75", seconds(0.25)),
            ("0.5", seconds(0.0)),
            ("", seconds(119.5)),
            ("0", seconds(119.5)),
            ("-0", seconds(119.5)),
            ("0.4", Ok(None)),
            ("-1", Ok(None)),
            ("1e300", Ok(None)),
            ("inf", Ok(None)),
            ("-inf", Ok(None)),
        ] {
            assert_eq!(header(text), expected, "{text}");
        }
        for text in ["NaN", "ten", "10s", "1,5", "\u{e9}"] {
            assert!(header(text).is_err(), "{text}");
        }
    }
}

//! The routes: paths and their handlers.

use hyper::body::Incoming;
use hyper::header::{
    ACCEPT_LANGUAGE, ALLOW, CONNECTION, CONTENT_SECURITY_POLICY, HOST, HeaderValue, LOCATION, ORIGIN,
    TRANSFER_ENCODING, X_CONTENT_TYPE_OPTIONS,
};
use hyper::{Method, Request, Response, StatusCode, Version};

use super::access::Client;
use super::api::{self, Endpoint};
use super::body::{Body, plain};
use super::origin::is_cross_origin;
use super::page::{self, Resource};
use super::public::PublicResource;
use super::{AppState, ExternalUrl, WebConfig, badge, calendar, config, feed, health, metrics, probe, public, reload};

/// Finds the route, handles the request, and counts the response.
pub(super) async fn route(request: &Request<Incoming>, client: Client, state: &AppState) -> Response<Body> {
    let config = state.access.config();
    if !is_framed_plainly(request) {
        let mut response = plain(StatusCode::BAD_REQUEST, "The request is ambiguous or has no Host header.\n");
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        return counted(state, &config, "other", response);
    }
    let prefix = state.url_prefix();
    let found = Route::find(request.uri().path(), prefix);
    let response = match state.access.refusal(request, client, &config).await {
        Some(refusal) => refusal,
        None if leads_to_prefix(request, prefix) => redirect(prefix),
        None if is_rebound(request, found, &config, state) => plain(StatusCode::FORBIDDEN, FOREIGN_HOST),
        None => respond(request, found, state).await,
    };
    counted(state, &config, found.map_or("other", Route::path), response)
}

/// Refuses a request of a connection that was accepted before TLS changed.
pub(super) fn refuse_outdated(state: &AppState) -> Response<Body> {
    let mut response = plain(StatusCode::SERVICE_UNAVAILABLE, "The TLS settings have changed; connect again.\n");
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    counted(state, &state.access.config(), "other", response)
}

/// Responds to a request that the web configuration allows.
async fn respond(request: &Request<Incoming>, found: Option<Route>, state: &AppState) -> Response<Body> {
    let Some(route) = found else {
        return plain(
            StatusCode::NOT_FOUND,
            "Not found. / lists all pages: /metrics, /probe, /api/v1, /config, /-/healthy, /-/ready.\n",
        );
    };
    if !route.methods().contains(request.method()) {
        return route.other_method();
    }
    let external = state.external_url.as_ref().map(ExternalUrl::authority);
    if matches!(route, Route::Api(Endpoint::Probe) | Route::Probe | Route::Reload) && is_cross_origin(request, external)
    {
        return plain(StatusCode::FORBIDDEN, "Requests from pages of other sites are refused.\n");
    }
    let path = request.uri().path();
    let path = path.strip_prefix(state.url_prefix()).unwrap_or(path);
    match route {
        Route::Api(endpoint) => api::api(endpoint, request, path, state).await,
        Route::Badge => badge::badge(request, path, state).await,
        Route::Calendar => calendar::calendar(request, state).await,
        Route::Config => config::config(state).await,
        Route::Feed => feed::feed(request, state).await,
        Route::Healthy => health::healthy(),
        Route::Metrics => metrics::scrape(request, state).await,
        Route::Page(resource) => page::page(resource, path, request.uri().query().unwrap_or_default(), state).await,
        Route::Probe => probe::probe(request, state).await,
        Route::Public(resource) => public::public(resource, request, path, state).await,
        Route::Ready => health::ready(&state.readiness),
        Route::Reload => reload::reload(state.reloads.as_ref()).await,
    }
}

/// Returns whether a page of another site may read a response, or request a reload or a probe, by DNS rebinding. Not with TLS, because
/// the certificate does not have its name, and not if this path needs a password, which a browser does not send there.
fn is_rebound(request: &Request<Incoming>, found: Option<Route>, config: &WebConfig, state: &AppState) -> bool {
    let concerns = match found {
        Some(Route::Config) => true,
        Some(Route::Api(Endpoint::Probe) | Route::Reload) => request.headers().contains_key(ORIGIN),
        // Every browser sends it, and no page can remove it. Prometheus and scripts do not.
        Some(Route::Api(_) | Route::Badge | Route::Calendar | Route::Feed | Route::Page(_) | Route::Probe) => {
            request.headers().contains_key(ACCEPT_LANGUAGE)
        }
        Some(Route::Healthy | Route::Metrics | Route::Public(_) | Route::Ready) | None => false,
    };
    concerns
        && config.tls().is_none()
        && !config.settings().needs_password(request.uri().path())
        && state.own_names.is_foreign(request)
}

const FOREIGN_HOST: &str = "The Host header has a name that portprobe does not know, as in a request of another site's page. \
    Set --web.external-url to a URL with this name.\n";

/// Returns whether the path is the root of the server or the prefix of its routes, without the slash.
fn leads_to_prefix(request: &Request<Incoming>, prefix: &str) -> bool {
    let path = request.uri().path();
    !prefix.is_empty() && (path == "/" || path == prefix)
}

/// Returns a redirection to the page.
fn redirect(prefix: &str) -> Response<Body> {
    let mut response = plain(StatusCode::FOUND, "Found\n");
    let location = HeaderValue::try_from(format!("{prefix}/"));
    response
        .headers_mut()
        .extend(location.ok().map(|location| (LOCATION, location)));
    response
}

/// Returns whether every intermediary must have read the same request (RFC 9112 sections 3.2 and 6.1): one Host since
/// HTTP/1.1, and no transfer coding except `chunked`.
fn is_framed_plainly(request: &Request<Incoming>) -> bool {
    let count = |name| request.headers().get_all(name).iter().count();
    let codings = request.headers().get_all(TRANSFER_ENCODING);
    let chunked = codings.iter().all(|coding| coding.as_bytes().eq_ignore_ascii_case(b"chunked"));
    let hosts = if request.version() == Version::HTTP_11 { 1..=1 } else { 0..=1 };
    chunked && count(TRANSFER_ENCODING) <= 1 && hosts.contains(&count(HOST))
}

/// The known paths.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Route {
    /// The JSON API.
    Api(Endpoint),
    /// The badge of a target or group.
    Badge,
    /// The expiries of certificates.
    Calendar,
    /// The running configuration.
    Config,
    /// The latest changes of state.
    Feed,
    /// Liveness.
    Healthy,
    /// The metrics.
    Metrics,
    /// The status page.
    Page(Resource),
    /// Probes on demand.
    Probe,
    /// The public page.
    Public(PublicResource),
    /// Readiness.
    Ready,
    /// Reload requests.
    Reload,
}

impl Route {
    /// All routes.
    pub const ALL: [Self; 23] = [
        Self::Page(Resource::Overview),
        Self::Page(Resource::Target),
        Self::Page(Resource::Asset),
        Self::Metrics,
        Self::Probe,
        Self::Api(Endpoint::Summary),
        Self::Api(Endpoint::Targets),
        Self::Api(Endpoint::Target),
        Self::Api(Endpoint::Probe),
        Self::Api(Endpoint::Groups),
        Self::Api(Endpoint::Incidents),
        Self::Api(Endpoint::Audits),
        Self::Api(Endpoint::OpenApi),
        Self::Badge,
        Self::Feed,
        Self::Calendar,
        Self::Public(PublicResource::Page),
        Self::Public(PublicResource::Badge),
        Self::Public(PublicResource::Feed),
        Self::Config,
        Self::Healthy,
        Self::Ready,
        Self::Reload,
    ];

    /// Returns the path of the request.
    pub const fn path(self) -> &'static str {
        match self {
            Self::Api(endpoint) => endpoint.path(),
            Self::Badge => badge::PATH,
            Self::Calendar => calendar::PATH,
            Self::Config => "/config",
            Self::Feed => feed::PATH,
            Self::Healthy => "/-/healthy",
            Self::Metrics => "/metrics",
            Self::Page(resource) => resource.path(),
            Self::Probe => "/probe",
            Self::Public(resource) => resource.path(),
            Self::Ready => "/-/ready",
            Self::Reload => "/-/reload",
        }
    }

    /// Returns the response, for the reference documentation.
    pub const fn description(self) -> &'static str {
        match self {
            Self::Api(endpoint) => endpoint.description(),
            Self::Config => {
                "the running configuration as YAML, without comments, header values, `send` steps and values of queries"
            }
            Self::Badge => "the state of a target or group as a picture",
            Self::Calendar => "the expiries of certificates as a calendar (iCalendar)",
            Self::Feed => "the latest changes of targets between up and down, for feed readers (Atom)",
            Self::Healthy => "200 while the process responds",
            Self::Metrics => "the metrics, in the format that the client prefers",
            Self::Page(resource) => resource.description(),
            Self::Probe => {
                "one probe on demand, with the parameters and metrics of blackbox_exporter; 403 unless `probe_endpoint` \
                 allows it"
            }
            Self::Public(resource) => resource.description(),
            Self::Ready => "200 once every target is scheduled; 503 before that and while stopping",
            Self::Reload => {
                "200 once the configuration is in use, 500 with every problem, 403 without `--web.enable-lifecycle` or for a page \
                 of another site, 503 while stopping"
            }
        }
    }

    /// Returns the route of a path below a prefix.
    fn find(path: &str, prefix: &str) -> Option<Self> {
        let path = path.strip_prefix(prefix)?;
        Self::ALL.into_iter().find(|route| match route {
            Self::Api(endpoint) => endpoint.is_at(path),
            Self::Badge => badge::name_in(path).is_some(),
            Self::Page(resource) => resource.is_at(path),
            Self::Public(resource) => resource.is_at(path),
            _ => route.path() == path,
        })
    }

    /// Returns the accepted methods, the usual one first.
    pub const fn methods(self) -> &'static [Method] {
        match self {
            Self::Api(Endpoint::Probe) => &[Method::POST],
            // As in Prometheus.
            Self::Reload => &[Method::POST, Method::PUT],
            _ => &[Method::GET, Method::HEAD],
        }
    }

    /// Returns the response to any other method.
    fn other_method(self) -> Response<Body> {
        let (text, allowed) = match self {
            Self::Api(Endpoint::Probe) => ("Only POST is allowed.\n", "POST"),
            Self::Reload => ("Only POST and PUT are allowed.\n", "POST, PUT"),
            _ => ("Only GET and HEAD are allowed.\n", "GET, HEAD"),
        };
        let mut response = plain(StatusCode::METHOD_NOT_ALLOWED, text);
        response.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
        response
    }
}

/// Counts the response and adds the headers that every response has; those of the web configuration replace ours.
fn counted(state: &AppState, config: &WebConfig, route: &'static str, mut response: Response<Body>) -> Response<Body> {
    let headers = response.headers_mut();
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers
        .entry(CONTENT_SECURITY_POLICY)
        .or_insert(HeaderValue::from_static(POLICY));
    for (name, value) in &config.settings().headers {
        match value {
            Some(value) => headers.insert(name, value.clone()),
            None => headers.remove(name),
        };
    }
    state.metrics.http_requests().count(route, response.status().as_u16());
    response
}

/// Pages of the status page load only from this server, and contain neither styles nor scripts themselves.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; connect-src 'self'; \
    form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

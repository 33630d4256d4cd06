//! The JSON API: targets, groups and incidents, described by `openapi.json`.
//!
//! Everything is read when a client asks, off the thread that probes, one request at a time. A response has a
//! tag, so that a client that polls transfers only changes.

use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use data_encoding::HEXLOWER;
use hyper::body::Incoming;
use hyper::header::{CACHE_CONTROL, ETAG, HeaderMap, HeaderValue, IF_NONE_MATCH};
use hyper::{Request, Response, StatusCode};
use percent_encoding::percent_decode_str;
use serde::Serialize;
use tokio::task::spawn_blocking;
use tracing::error;

use self::documents::{GroupsDocument, IncidentsDocument, ProblemDocument, SummaryDocument, TargetsDocument};
use self::parameters::{ParameterError, Parameters};
use self::target::TargetDocument;
use super::AppState;
use super::body::{Body, typed};
use crate::board::{Board, Day};
use crate::clock::{self, Timestamp};
use crate::inventory::Page;
use crate::store::{IncidentQuery, Store};
use crate::target::TargetName;

mod documents;
mod parameters;
mod target;

/// A resource of the API.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Endpoint {
    /// All groups.
    Groups,
    /// Incidents, the latest first.
    Incidents,
    /// The description of the API.
    OpenApi,
    /// The number of targets in each state.
    Summary,
    /// One target.
    Target,
    /// Targets.
    Targets,
}

impl Endpoint {
    /// Returns the path; that of a target ends with its name.
    pub const fn path(self) -> &'static str {
        match self {
            Self::Groups => "/api/v1/groups",
            Self::Incidents => "/api/v1/incidents",
            Self::OpenApi => "/api/v1/openapi.json",
            Self::Summary => "/api/v1/summary",
            Self::Target => "/api/v1/targets/NAME",
            Self::Targets => "/api/v1/targets",
        }
    }

    /// Returns the response, for the reference documentation.
    pub const fn description(self) -> &'static str {
        match self {
            Self::Groups => "all groups with their members, as JSON",
            Self::Incidents => "incidents, the latest first, as JSON; filters and paging",
            Self::OpenApi => "the description of `/api/v1` in the format of OpenAPI 3.1",
            Self::Summary => "the number of targets in each state, as JSON",
            Self::Target => {
                "one target with its settings, last outcomes, certificates, daily figures and incidents, as JSON"
            }
            Self::Targets => "targets, as JSON; filters, order and paging",
        }
    }

    /// Returns whether a path leads to this resource.
    pub(super) fn is_at(self, path: &str) -> bool {
        match self {
            Self::Target => path.strip_prefix(TARGETS).is_some_and(|name| !name.is_empty()),
            _ => path == self.path(),
        }
    }
}

/// The sources of the responses at a moment.
struct Sources {
    board: Arc<Board>,
    store: Option<Store>,
    now: Timestamp,
}

/// Responds with a resource. `path` is the path below the prefix of this server.
pub(super) async fn api(
    endpoint: Endpoint,
    request: &Request<Incoming>,
    path: &str,
    state: &AppState,
) -> Response<Body> {
    if endpoint == Endpoint::OpenApi {
        return tagged(request.headers(), OPENAPI.to_owned());
    }
    let permit = state.page_permits.clone().acquire_owned().await;
    let sources = Sources { board: state.board.clone(), store: state.store.clone(), now: clock::now() };
    let (path, query) = (path.to_owned(), request.uri().query().unwrap_or_default().to_owned());
    let read = spawn_blocking(move || {
        let _permit = permit;
        sources.read(endpoint, &path, &query)
    });
    match read.await {
        Ok(Ok(json)) => tagged(request.headers(), json),
        Ok(Err(refusal)) => refusal.response(),
        Err(failed) => {
            error!(%failed, "Cannot respond to a request of the API, which is a bug; please report it");
            Refusal::Failed.response()
        }
    }
}

/// Reason why a request has no result.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error("cannot respond; the log has the reason")]
    Failed,
    #[error(transparent)]
    Parameter(#[from] ParameterError),
    #[error("unknown target; /api/v1/targets lists all")]
    UnknownTarget,
}

impl Refusal {
    fn response(&self) -> Response<Body> {
        let status = match self {
            Self::Failed => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Parameter(_) => StatusCode::BAD_REQUEST,
            Self::UnknownTarget => StatusCode::NOT_FOUND,
        };
        let problem = serde_json::to_string(&ProblemDocument { error: self.to_string() });
        typed(status, JSON, problem.unwrap_or_default())
    }
}

impl Sources {
    fn read(&self, endpoint: Endpoint, path: &str, query: &str) -> Result<String, Refusal> {
        let parameters = Parameters::of(query);
        let rows = self.board.rows();
        match endpoint {
            Endpoint::Groups => {
                parameters.none()?;
                json(&GroupsDocument::of(&rows))
            }
            Endpoint::Incidents => {
                let query = parameters.incidents()?;
                let list = self.store.as_ref().map(|store| store.incidents(&query)).unwrap_or_default();
                json(&IncidentsDocument::of(list))
            }
            Endpoint::Summary => {
                parameters.none()?;
                json(&SummaryDocument::from(rows.count_states()))
            }
            Endpoint::Target => {
                parameters.none()?;
                let name = path.strip_prefix(TARGETS).and_then(decoded).ok_or(Refusal::UnknownTarget)?;
                self.target(&name)
            }
            Endpoint::Targets => json(&TargetsDocument::of(&parameters.targets()?.list(&rows))),
            Endpoint::OpenApi => Ok(OPENAPI.to_owned()),
        }
    }

    fn target(&self, name: &TargetName) -> Result<String, Refusal> {
        let rows = self.board.rows();
        let target = rows.target(name).ok_or(Refusal::UnknownTarget)?;
        let mut document = rows
            .find(name, |row| TargetDocument::of(target, row))
            .ok_or(Refusal::UnknownTarget)?;
        if let Some(store) = &self.store {
            let today = Day::of(self.now);
            let since = Day::from_number(today.number().saturating_sub(DAYS - 1));
            document.set_days(&store.days(name, since, today), self.now);
            let page = Page { limit: INCIDENTS, offset: 0 };
            let query = IncidentQuery { target: Some(name.as_str().to_owned()), is_open: None, page };
            document.set_incidents(store.incidents(&query).incidents);
        }
        json(&document)
    }
}

fn json(document: &impl Serialize) -> Result<String, Refusal> {
    serde_json::to_string(document).map_err(|_| Refusal::Failed)
}

/// Returns the name of a target in a path.
fn decoded(text: &str) -> Option<TargetName> {
    TargetName::try_new(&percent_decode_str(text).decode_utf8().ok()?).ok()
}

/// Returns a response with its tag, without a body if the client has the same one (RFC 9110 section 13.1.2).
fn tagged(headers: &HeaderMap, json: String) -> Response<Body> {
    let digest = HEXLOWER.encode(digest(&SHA256, json.as_bytes()).as_ref());
    let tag = format!("\"{}\"", digest.get(..TAG_LENGTH).unwrap_or_default());
    let known = headers.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    let is_known = known
        .flat_map(|value| value.split(','))
        .map(|known| known.trim().trim_start_matches("W/"))
        .any(|known| known == tag || known == "*");
    let mut response =
        if is_known { typed(StatusCode::NOT_MODIFIED, JSON, "") } else { typed(StatusCode::OK, JSON, json) };
    let headers = response.headers_mut();
    headers.extend(HeaderValue::try_from(tag).ok().map(|tag| (ETAG, tag)));
    // Kept, but verified each time.
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}

const JSON: &str = "application/json";

const TARGETS: &str = "/api/v1/targets/";

const OPENAPI: &str = include_str!("api/openapi.json");

/// Hexadecimal digits of a tag.
const TAG_LENGTH: usize = 32;

/// As many as the default retention.
const DAYS: u32 = 400;

/// The last incidents of a target; `/api/v1/incidents` has all.
const INCIDENTS: usize = 100;

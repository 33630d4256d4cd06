//! The JSON API: targets, groups, incidents and audits, described by `openapi.json`.
//!
//! Everything is read when a client asks, off the thread that probes, one request at a time. A response has a
//! tag, so that a client that polls transfers only changes.

use hyper::body::Incoming;
use hyper::{Request, Response, StatusCode};
use serde::Serialize;

use self::audits::AuditsDocument;
use self::documents::{GroupsDocument, IncidentsDocument, ProblemDocument, SummaryDocument, TargetsDocument};
use self::parameters::ParameterError;
pub(in crate::http) use self::parameters::Parameters;
use self::target::TargetDocument;
use super::body::{Body, typed};
use super::reading::{Sources, read};
use super::tagged::tagged;
use super::{AppState, path_name, target_probe};
use crate::board::Day;
use crate::inventory::Page;
use crate::store::IncidentQuery;
use crate::target::TargetName;

mod audits;
mod documents;
mod parameters;
mod target;

/// A resource of the API.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Endpoint {
    /// Port audits.
    Audits,
    /// All groups.
    Groups,
    /// Incidents, the latest first.
    Incidents,
    /// The description of the API.
    OpenApi,
    /// One probe of a target.
    Probe,
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
            Self::Audits => "/api/v1/audits",
            Self::Groups => "/api/v1/groups",
            Self::Incidents => "/api/v1/incidents",
            Self::OpenApi => "/api/v1/openapi.json",
            Self::Probe => "/api/v1/targets/NAME/probe",
            Self::Summary => "/api/v1/summary",
            Self::Target => "/api/v1/targets/NAME",
            Self::Targets => "/api/v1/targets",
        }
    }

    /// Returns the response, for the reference documentation.
    pub const fn description(self) -> &'static str {
        match self {
            Self::Audits => "port audits with their findings, as JSON",
            Self::Groups => "all groups with their members, as JSON",
            Self::Incidents => "incidents, the latest first, as JSON; filters and paging",
            Self::Probe => {
                "one probe of a target now, with its timeline and the bytes exchanged, as JSON; 403 without \
                 `--web.enable-lifecycle` or for a page of another site"
            }
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
            Self::Probe => probed(path).is_some(),
            Self::Target => path.strip_prefix(TARGETS).is_some_and(|name| !name.is_empty()) && probed(path).is_none(),
            _ => path == self.path(),
        }
    }
}

/// Responds with a resource. `path` is the path below the prefix of this server.
pub(super) async fn api(
    endpoint: Endpoint,
    request: &Request<Incoming>,
    path: &str,
    state: &AppState,
) -> Response<Body> {
    match endpoint {
        Endpoint::OpenApi => return tagged(request.headers(), JSON, OPENAPI.to_owned()),
        Endpoint::Probe => {
            return target_probe::probe(request, probed(path).and_then(path_name::decoded), path, state).await;
        }
        _ => {}
    }
    let (path, query) = (path.to_owned(), request.uri().query().unwrap_or_default().to_owned());
    match read(state, move |sources| sources.document(endpoint, &path, &query)).await {
        Ok(Ok(json)) => tagged(request.headers(), JSON, json),
        Ok(Err(refusal)) => refusal.response(),
        Err(_) => Refusal::Failed.response(),
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
        problem(status, self.to_string())
    }
}

impl Sources {
    fn document(&self, endpoint: Endpoint, path: &str, query: &str) -> Result<String, Refusal> {
        let parameters = Parameters::of(query);
        let rows = &self.rows;
        match endpoint {
            Endpoint::Audits => {
                parameters.none()?;
                json(&AuditsDocument::of(&self.audits.reports(usize::MAX)))
            }
            Endpoint::Groups => {
                parameters.none()?;
                json(&GroupsDocument::of(rows))
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
                let name = path
                    .strip_prefix(TARGETS)
                    .and_then(path_name::decoded)
                    .ok_or(Refusal::UnknownTarget)?;
                self.target(&name)
            }
            Endpoint::Targets => json(&TargetsDocument::of(&parameters.targets()?.list(rows))),
            Endpoint::OpenApi => Ok(OPENAPI.to_owned()),
            Endpoint::Probe => Err(Refusal::Failed),
        }
    }

    fn target(&self, name: &TargetName) -> Result<String, Refusal> {
        let rows = &self.rows;
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

/// Returns the encoded name in the path of a probe. A name that ends like it has its last slash encoded.
fn probed(path: &str) -> Option<&str> {
    let name = path.strip_prefix(TARGETS)?.strip_suffix("/probe")?;
    (!name.is_empty()).then_some(name)
}

/// Returns a response with an error.
pub(super) fn problem(status: StatusCode, error: String) -> Response<Body> {
    let problem = serde_json::to_string(&ProblemDocument { error });
    typed(status, JSON, problem.unwrap_or_default())
}

pub(super) const JSON: &str = "application/json";

const TARGETS: &str = "/api/v1/targets/";

const OPENAPI: &str = include_str!("api/openapi.json");

/// As many as the default retention.
const DAYS: u32 = 400;

/// The last incidents of a target; `/api/v1/incidents` has all.
const INCIDENTS: usize = 100;

//! `/badge/NAME.svg`: the state of a target or group as a small picture.

use hyper::body::Incoming;
use hyper::header::{CACHE_CONTROL, HeaderValue};
use hyper::{Request, Response, StatusCode};

pub(super) use self::drawing::Badge;
use super::AppState;
use super::body::{Body, plain};
use super::path_name::decoded;
use super::reading::read;
use super::tagged::tagged;
use crate::board::{GroupStatus, Row, Rows, State};
use crate::target::TargetName;

mod drawing;

/// The path; `NAME` is that of a target or group.
pub(super) const PATH: &str = "/badge/NAME.svg";

/// Returns the encoded name in the path of a badge.
pub(super) fn name_in(path: &str) -> Option<&str> {
    let name = path.strip_prefix("/badge/")?.strip_suffix(".svg")?;
    (!name.is_empty()).then_some(name)
}

/// Responds with the badge of a target; without one of this name, with that of the group. `path` is the path below the
/// prefix of this server.
pub(super) async fn badge(request: &Request<Incoming>, path: &str, state: &AppState) -> Response<Body> {
    let Some(name) = name_in(path).and_then(decoded) else { return unknown() };
    let drawn = read(state, move |sources| {
        let state = state_of(&sources.rows, &name)?;
        Some(Badge { name: name.as_str(), state }.to_string())
    });
    match drawn.await {
        Ok(Some(svg)) => picture(request, svg),
        Ok(None) => unknown(),
        Err(failed) => failed,
    }
}

fn state_of(rows: &Rows, name: &TargetName) -> Option<State> {
    let of_group = || {
        let groups = rows.groups();
        let group = groups.iter().find(|status| status.group.name.as_str() == name.as_str());
        group.map(GroupStatus::state)
    };
    rows.find(name, Row::state).or_else(of_group)
}

/// Returns a response with a picture that is not kept for long: nobody may see an old state.
pub(super) fn picture(request: &Request<Incoming>, svg: String) -> Response<Body> {
    let mut response = tagged(request.headers(), "image/svg+xml", svg);
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static(KEPT));
    response
}

fn unknown() -> Response<Body> {
    plain(StatusCode::NOT_FOUND, "Unknown target or group; /api/v1/targets and /api/v1/groups list all.\n")
}

/// A page that shows many badges, or is reloaded often, does not request each of them every time.
const KEPT: &str = "max-age=10";

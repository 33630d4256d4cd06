//! The page with the result of a probe that a browser has requested: its timeline with the bytes exchanged.

use askama::Template;
use hyper::{Response, StatusCode};

use super::links::Root;
use super::{Frame, respond};
use crate::clock::Timestamp;
use crate::http::body::Body;
use crate::http::{AppState, Probed, TargetProbeError};
use crate::outcome::{Fault, Outcome};
use crate::peer_text::escaped;
use crate::target::TargetName;
use crate::timeline::{Styles, Timeline};

/// A page that displays the result of a probe.
#[derive(Debug, Template)]
#[template(path = "probed.html")]
struct ProbedPage {
    frame: Frame,
    name: String,
    /// The link to the page of the target.
    target: String,
    outcome: String,
    /// `None` if there is no result.
    timeline: Option<String>,
}

/// Responds with a page about a probe. `path` is that of the request, below the prefix of this server.
pub(in crate::http) async fn probed(
    result: Result<Probed, TargetProbeError>,
    name: Option<&TargetName>,
    path: &str,
    state: &AppState,
) -> Response<Body> {
    let (root, name) = (Root::of_path(path), name.map(ToString::to_string).unwrap_or_default());
    respond(state, move |sources| {
        let status = result.as_ref().map_or_else(TargetProbeError::status, |_| StatusCode::OK);
        let page = ProbedPage {
            target: root.target_named(&name),
            frame: Frame::new(sources, format!("Probe of {}", escaped(&name)), root),
            name: escaped(&name),
            outcome: match &result {
                Ok(probed) => in_words(&probed.outcome),
                Err(error) => format!("No probe: {error}"),
            },
            timeline: result.ok().map(|probed| timeline(&probed, sources.now)),
        };
        Ok((status, page.render()?))
    })
    .await
}

fn in_words(outcome: &Outcome) -> String {
    match &outcome.result {
        Ok(()) => "The probe succeeded".to_owned(),
        Err(Fault::Failure(failure)) => {
            format!("The probe failed: {} in {}", failure.class.as_str(), failure.phase.as_str())
        }
        Err(Fault::LocalFault(fault)) => format!("No probe: {}", fault.reason.as_str()),
    }
}

fn timeline(Probed { target, outcome }: &Probed, now: Timestamp) -> String {
    Timeline { target, outcome, now, styles: Styles::PLAIN }.to_string()
}

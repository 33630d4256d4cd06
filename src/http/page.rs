//! The status page: an overview at `/`, and a page for each target.
//!
//! A page is read when a browser asks, off the thread that probes and one at a time: first the values, from the board, the
//! store and the counters, then the HTML, from templates that escape every value. It needs no script and loads nothing from
//! elsewhere; the script only refreshes it and adds keys.

use std::sync::Arc;

use askama::Template;
use hyper::header::{CACHE_CONTROL, HeaderValue};
use hyper::{Response, StatusCode};
use tracing::error;

use self::links::Root;
use self::overview::Overview;
pub(super) use self::probed::probed;
use self::target::TargetPage;
use super::AppState;
use super::api::Parameters;
use super::body::{Body, plain, typed};
use super::path_name::decoded;
use super::reading::read;
use crate::board::{Board, View};
use crate::clock::Timestamp;
use crate::metrics::Metrics;
use crate::peer_text::escaped;
use crate::stable_hash;
use crate::store::Store;
use crate::target::TargetName;

mod assets;
mod attention;
mod bars;
mod headline;
mod health;
mod links;
mod list;
mod neighbours;
mod overview;
mod probed;
mod target;
mod times;
mod why;

/// A page, or a part of it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Resource {
    /// A style sheet, script or icon.
    Asset,
    /// All targets.
    Overview,
    /// One target.
    Target,
}

impl Resource {
    /// Returns the path, with a placeholder for its variable part.
    pub const fn path(self) -> &'static str {
        match self {
            Self::Asset => "/assets/NAME",
            Self::Overview => "/",
            Self::Target => "/targets/NAME",
        }
    }

    /// Returns the response, for the reference documentation.
    pub const fn description(self) -> &'static str {
        match self {
            Self::Asset => "style sheet and script of the status page",
            Self::Overview => {
                "the [status page](status-page.md): what is down, since when, why and what to do; filters and paging as in the API"
            }
            Self::Target => {
                "the page of a target: phases of the last probe, certificates, history, incidents, settings"
            }
        }
    }

    /// Returns whether a path leads to this resource.
    pub(super) fn is_at(self, path: &str) -> bool {
        match self {
            Self::Asset => assets::is_at(path),
            Self::Overview => path == self.path(),
            Self::Target => path.strip_prefix(TARGETS).is_some_and(|name| !name.is_empty()),
        }
    }
}

/// Everything that pages show, at one moment.
struct Sources {
    board: Arc<Board>,
    view: View,
    store: Option<Store>,
    metrics: Metrics,
    started: Timestamp,
    now: Timestamp,
    /// Whether clients may request probes.
    has_lifecycle: bool,
}

/// The parts that all pages share.
#[derive(Clone, Debug)]
struct Frame {
    /// The title of the window.
    title: String,
    root: Root,
    /// The global labels, such as the region.
    labels: Vec<(String, String)>,
    /// The present, in UTC.
    now: times::Moment,
}

impl Frame {
    fn new(sources: &Sources, title: String, root: Root) -> Self {
        let labels = sources.view.environment.labels.iter();
        let labels = labels.map(|(name, value)| (name.to_owned(), escaped(value))).collect();
        Self { title, root, labels, now: times::Moment::of(sources.now, sources.now) }
    }

    /// Returns the link to an asset.
    fn asset(&self, name: &str) -> String {
        self.root.to(format!("{}/{name}", assets::folder()))
    }
}

/// A page about a request that has no result.
#[derive(Debug, Template)]
#[template(path = "problem.html")]
struct Problem {
    frame: Frame,
    what: String,
}

/// Responds with a page. `path` is the path below the prefix of this server.
pub(super) async fn page(resource: Resource, path: &str, query: &str, state: &AppState) -> Response<Body> {
    if resource == Resource::Asset {
        return assets::respond(path);
    }
    let (path, query) = (path.to_owned(), query.to_owned());
    respond(state, move |sources| sources.render(resource, &path, &query)).await
}

/// Responds with a page that is read off the thread that probes.
async fn respond(
    state: &AppState,
    render: impl FnOnce(&Sources) -> Result<(StatusCode, String), askama::Error> + Send + 'static,
) -> Response<Body> {
    let (board, metrics, started) = (state.board.clone(), state.metrics.clone(), state.started);
    let has_lifecycle = state.has_lifecycle();
    let rendered = read(state, move |reading| {
        let (store, now) = (reading.store.clone(), reading.now);
        render(&Sources { view: board.view(), board, store, metrics, started, now, has_lifecycle })
    });
    match rendered.await {
        Ok(Ok((status, html))) => {
            let mut response = typed(status, "text/html; charset=utf-8", html);
            // A page that is shown again must not be older than its time.
            response
                .headers_mut()
                .insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
            response
        }
        Ok(Err(failed)) => {
            error!(%failed, "Cannot show the status page, which is a bug; please report it");
            plain(StatusCode::INTERNAL_SERVER_ERROR, "Cannot show the page; the log has the reason.\n")
        }
        Err(failed) => failed,
    }
}

/// Returns an identifier that a target keeps as long as it has its name.
fn id(prefix: &str, name: &TargetName) -> String {
    format!("{prefix}-{:016x}", stable_hash::of(name.as_str()))
}

impl Sources {
    fn render(&self, resource: Resource, path: &str, query: &str) -> Result<(StatusCode, String), askama::Error> {
        let root = Root::of_path(path);
        match resource {
            Resource::Asset | Resource::Overview => match Parameters::of(query).targets() {
                Ok(mut query) => {
                    query.page.limit = query.page.limit.min(MAX_ROWS);
                    Ok((StatusCode::OK, Overview::read(self, &query, &root).render()?))
                }
                Err(error) => self.problem(StatusCode::BAD_REQUEST, root, &error.to_string()),
            },
            Resource::Target => {
                let name = path.strip_prefix(TARGETS).and_then(decoded);
                match name.and_then(|name| TargetPage::read(self, &name, &root)) {
                    Some(page) => Ok((StatusCode::OK, page.render()?)),
                    None => self.problem(StatusCode::NOT_FOUND, root, "There is no target with this name"),
                }
            }
        }
    }

    fn problem(&self, status: StatusCode, root: Root, what: &str) -> Result<(StatusCode, String), askama::Error> {
        let frame = Frame::new(self, "portprobe".to_owned(), root);
        Ok((status, Problem { frame, what: escaped(what) }.render()?))
    }
}

/// The path before the name of a target.
const TARGETS: &str = "/targets/";

/// Maximum number of targets in the list of a page, each of which takes two queries of the store.
const MAX_ROWS: usize = 500;

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Waker};

    use hyper::Method;

    use super::*;
    use crate::clock;
    use crate::http::testing::HeldRow;
    use crate::http::{Endpoint, Route};

    fn sources(state: &AppState) -> Sources {
        Sources {
            board: state.board.clone(),
            view: state.board.view(),
            store: None,
            metrics: state.metrics.clone(),
            started: state.started,
            now: clock::now(),
            has_lifecycle: false,
        }
    }

    fn overview(query: &str) -> (StatusCode, String) {
        let (state, held) = HeldRow::of_app_state();
        held.release();
        sources(&state).render(Resource::Overview, "/", query).unwrap()
    }

    #[test]
    fn an_invalid_filter_is_explained() {
        let (status, html) = overview("state=<b>");
        assert_eq!(status, StatusCode::BAD_REQUEST);
        assert!(html.contains("state: `&#60;b&#62;` is not valid"), "{html}");
    }

    #[test]
    fn every_other_page_is_linked() {
        let (_, html) = overview("");
        let routes = Route::ALL.into_iter().filter(|route| route.methods().contains(&Method::GET));
        for route in routes.filter(|route| {
            !matches!(route, Route::Page(_) | Route::Public(_) | Route::Badge | Route::Api(Endpoint::Target))
        }) {
            let link = format!("href=\"{}\"", route.path().trim_start_matches('/'));
            assert!(html.contains(&link), "{link}: {html}");
        }
    }

    #[tokio::test]
    async fn a_page_blocks_no_other_task() {
        let (state, held) = HeldRow::of_app_state();
        let mut reading = pin!(page(Resource::Overview, "/", "", &state));
        assert!(reading.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending(), "the row is locked");
        held.release();
        assert_eq!(reading.await.status(), StatusCode::OK);
    }
}

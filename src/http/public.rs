//! `/public`: groups and targets chosen by label, for others to look at.
//!
//! The responses have names, states and times, and nothing else about a target: no host, port, reason or label. They are
//! made of one [`Status`], which is the only part that reads targets, and which is kept for some seconds, so that no number
//! of visitors costs more than one.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use hyper::body::Incoming;
use hyper::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, HeaderValue};
use hyper::{Request, Response, StatusCode};
use tokio::time::Instant;

use self::page::Page;
use self::status::{Component, Incident, Status};
use super::AppState;
use super::badge::{Badge, picture};
use super::body::{Body, plain};
use super::feed::{Entry, Feed, MEDIA_TYPE, lasted};
use super::path_name::decoded;
use super::reading::read;
use super::tagged::tagged;
use crate::board::State;
use crate::clock::Timestamp;
use crate::locks::lock;
use crate::options::PublicOptions;

mod history;
mod page;
mod status;

/// A part of the public page.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum PublicResource {
    /// The badge of a group or target.
    Badge,
    /// The latest changes.
    Feed,
    /// The page.
    Page,
}

impl PublicResource {
    /// Returns the path, with a placeholder for its variable part.
    pub const fn path(self) -> &'static str {
        match self {
            Self::Badge => "/public/badge/NAME.svg",
            Self::Feed => "/public/feed.atom",
            Self::Page => "/public",
        }
    }

    /// Returns the response, for the reference documentation.
    pub const fn description(self) -> &'static str {
        match self {
            Self::Badge => "the [public](public.md) state of a group or target as a picture",
            Self::Feed => "the [public](public.md) changes between up and down, for feed readers (Atom)",
            Self::Page => {
                "the [public page](public.md): states, 90 days and incidents of chosen groups and targets; 404 unless \
                 `public` is set"
            }
        }
    }

    /// Returns whether a path leads to this resource.
    pub(super) fn is_at(self, path: &str) -> bool {
        match self {
            Self::Badge => name_in(path).is_some(),
            Self::Feed | Self::Page => path == self.path(),
        }
    }
}

/// The last status that was read.
#[derive(Debug, Default)]
pub(super) struct PublicCache(Mutex<Option<Cached>>);

#[derive(Debug)]
struct Cached {
    options: Arc<PublicOptions>,
    read: Instant,
    status: Arc<Status>,
}

impl PublicCache {
    /// Returns the status with these options, unless it is too old.
    fn fresh(&self, options: &Arc<PublicOptions>) -> Option<Arc<Status>> {
        let cached = lock(&self.0);
        let cached = cached.as_ref()?;
        (Arc::ptr_eq(&cached.options, options) && cached.read.elapsed() < KEPT).then(|| cached.status.clone())
    }

    fn set(&self, options: Arc<PublicOptions>, status: Arc<Status>) {
        *lock(&self.0) = Some(Cached { options, read: Instant::now(), status });
    }
}

/// Responds with a part of the public page. `path` is the path below the prefix of this server.
pub(super) async fn public(
    resource: PublicResource,
    request: &Request<Incoming>,
    path: &str,
    state: &AppState,
) -> Response<Body> {
    let status = match status(state).await {
        Ok(Some(status)) => status,
        Ok(None) => return plain(StatusCode::NOT_FOUND, "There is no public page; `public` enables it.\n"),
        Err(failed) => return failed,
    };
    match resource {
        PublicResource::Badge => badge(request, path, &status),
        PublicResource::Feed => tagged(request.headers(), MEDIA_TYPE, feed(&status, state)),
        PublicResource::Page => {
            let mut response = tagged(request.headers(), "text/html; charset=utf-8", Page(&status).to_string());
            let headers = response.headers_mut();
            headers.insert(CACHE_CONTROL, HeaderValue::from_static("max-age=10"));
            headers.extend(
                HeaderValue::try_from(page::policy())
                    .ok()
                    .map(|policy| (CONTENT_SECURITY_POLICY, policy)),
            );
            response
        }
    }
}

/// Returns the status, which is read off the thread that probes; `None` without `public` in the configuration.
async fn status(state: &AppState) -> Result<Option<Arc<Status>>, Response<Body>> {
    let Some(options) = state.board.view().environment.public.clone() else { return Ok(None) };
    if let Some(status) = state.public_cache.fresh(&options) {
        return Ok(Some(status));
    }
    let cache = state.public_cache.clone();
    read(state, move |sources| {
        // The targets and the options of the same moment.
        let options = sources.environment.public.as_ref()?;
        let read = || {
            let status = Arc::new(Status::read(options, sources));
            cache.set(options.clone(), status.clone());
            status
        };
        // Another request may have read it while this one waited.
        Some(cache.fresh(options).unwrap_or_else(read))
    })
    .await
}

/// Returns the encoded name in the path of a badge.
fn name_in(path: &str) -> Option<&str> {
    let name = path.strip_prefix("/public/badge/")?.strip_suffix(".svg")?;
    (!name.is_empty()).then_some(name)
}

fn badge(request: &Request<Incoming>, path: &str, status: &Status) -> Response<Body> {
    let name = name_in(path).and_then(decoded);
    let is_named = |component: &&Component| name.as_ref().is_some_and(|name| component.name == name.as_str());
    match status.components.iter().find(is_named) {
        Some(Component { name, state, .. }) => picture(request, Badge { name, state: *state }.to_string()),
        None => plain(StatusCode::NOT_FOUND, "Unknown name; /public lists all.\n"),
    }
}

/// Returns the latest changes between up and down.
fn feed(status: &Status, state: &AppState) -> String {
    let path = PublicResource::Feed.path();
    let base = state.link_base();
    // Links are relative to the feed.
    let (own_link, page_link) = match &*base {
        "" => ("feed.atom".to_owned(), "../public".to_owned()),
        base => (format!("{base}public/feed.atom"), format!("{base}public")),
    };
    let mut entries: Vec<_> = status
        .incidents
        .iter()
        .flat_map(|incident| entries(path, incident, &page_link))
        .collect();
    entries.sort_by_key(|entry| std::cmp::Reverse(entry.at));
    entries.truncate(MAX_ENTRIES);
    Feed {
        id: &[path, &state.identity()],
        title: &status.title,
        updated: entries.first().map_or(state.started, |latest| latest.at),
        own_link,
        page_link: page_link.clone(),
        entries,
    }
    .to_string()
}

/// Returns the begin of an incident, and its end if it has ended.
fn entries(path: &str, incident: &Incident, page_link: &str) -> Vec<Entry> {
    let Incident { name, began, ended } = incident;
    let entry = |to, at: Timestamp, title: String, text: String| Entry {
        id: Entry::id(&[path, name], *began, to),
        title,
        at,
        link: page_link.to_owned(),
        text,
    };
    let begin = entry(State::Down, *began, format!("{name} is down"), format!("Since {began}."));
    let end = ended.map(|ended| {
        entry(State::Up, ended, format!("{name} is up again"), format!("After {}.", lasted(*began, ended)))
    });
    std::iter::once(begin).chain(end).collect()
}

/// States are this old at most. The history is up to five seconds older than they are.
const KEPT: Duration = Duration::from_secs(5);

/// As in the feed of all targets.
const MAX_ENTRIES: usize = 100;

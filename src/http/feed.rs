//! `/feed.atom`: the latest changes of targets between up and down, for feed readers.

use std::time::Duration;

use hyper::body::Incoming;
use hyper::{Request, Response};

pub(super) use self::atom::{Entry, Feed, MEDIA_TYPE};
use super::AppState;
use super::body::Body;
use super::path_name::encoded;
use super::reading::read;
use super::tagged::tagged;
use crate::board::State;
use crate::clock::Timestamp;
use crate::duration;
use crate::store::{Change, Incident};

mod atom;

/// The path.
pub(super) const PATH: &str = "/feed.atom";

/// Responds with the latest changes.
pub(super) async fn feed(request: &Request<Incoming>, state: &AppState) -> Response<Body> {
    let (site, base, started) = (state.identity(), state.link_base(), state.started);
    let document = read(state, move |sources| {
        let changes = sources
            .store
            .as_ref()
            .map(|store| store.changes(MAX_ENTRIES))
            .unwrap_or_default();
        let feed = Feed {
            id: &[PATH, &site],
            title: "portprobe: changes of state",
            updated: changes.first().map_or(started, |latest| latest.at),
            own_link: format!("{base}feed.atom"),
            page_link: if base.is_empty() { "./".to_owned() } else { base.clone() },
            entries: changes.iter().map(|change| entry(change, &base)).collect(),
        };
        feed.to_string()
    });
    match document.await {
        Ok(document) => tagged(request.headers(), MEDIA_TYPE, document),
        Err(failed) => failed,
    }
}

fn entry(change: &Change, base: &str) -> Entry {
    let Change { at, to, incident } = change;
    let name = &incident.target;
    Entry {
        id: Entry::id(&[PATH, name], incident.began, *to),
        title: title(name, *to),
        at: *at,
        link: format!("{base}targets/{}", encoded(name)),
        text: text(incident, *to),
    }
}

/// Returns the title of a change.
fn title(name: &str, to: State) -> String {
    match to {
        State::Up => format!("{name} is up again"),
        State::Down | State::Unknown => format!("{name} is down"),
    }
}

/// Returns the reason of a change to down, or the duration of an incident that has ended. Neither changes later, so that no
/// reader shows an entry twice.
fn text(incident: &Incident, to: State) -> String {
    let Incident { began, ended, phase, class, detail, .. } = incident;
    match (to, ended) {
        (State::Up, Some(ended)) => format!("After {}.", lasted(*began, *ended)),
        _ => format!("{class} in {phase}: {detail}"),
    }
}

/// Returns the duration of an incident in whole seconds, or in milliseconds if it is shorter than one.
pub(super) fn lasted(began: Timestamp, ended: Timestamp) -> String {
    let lasted = ended.as_duration().saturating_sub(began.as_duration());
    let shown = if lasted < Duration::from_secs(1) { lasted } else { Duration::from_secs(lasted.as_secs()) };
    duration::display(shown).to_string()
}

/// Readers poll, so that older changes are rarely missed. `/api/v1/incidents` has all.
const MAX_ENTRIES: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_in_whole_seconds() {
        let at = |millis| Timestamp::since_epoch(Duration::from_millis(millis));
        for (ended, expected) in [(1_000, "0s"), (1_250, "250ms"), (63_999, "1m2s"), (0, "0s")] {
            assert_eq!(lasted(at(1_000), at(ended)), expected);
        }
    }
}

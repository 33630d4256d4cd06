//! Lists of targets, groups and incidents for people and programs: filtered, sorted, in pages.
//!
//! The API, and through it `portprobe targets`, read them on request from the board and the store. Everything here takes
//! time with very many targets, so callers run it off the thread that probes.

use std::cmp::Ordering;
use std::sync::Arc;
use std::time::Duration;

use crate::board::{Row, Rows, State, StateCounts};
use crate::clock::Timestamp;
use crate::outcome::Failure;
use crate::target::Target;

/// Which targets, in which order.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct TargetQuery {
    /// Only these states; all if empty.
    pub states: Vec<State>,
    /// Only targets with all of these labels.
    pub labels: Vec<(String, String)>,
    /// Only the members of this group.
    pub group: Option<String>,
    /// Only this protocol.
    pub protocol: Option<String>,
    /// Only targets whose name, URL or label values contain this text, in any case.
    pub text: Option<String>,
    /// The order.
    pub sort: Sort,
    /// The part of the list.
    pub page: Page,
}

/// The order of targets. Equal ones are in the order of their names.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Sort {
    /// The property that decides.
    pub by: SortKey,
    /// Whether the order is reversed.
    pub is_descending: bool,
}

/// A property of targets.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum SortKey {
    /// Duration of the last probe; targets without one last.
    Duration,
    /// Expiry of the certificate; targets without one last.
    Expiry,
    /// Name.
    #[default]
    Name,
    /// Start of the state; unknown targets last.
    Since,
    /// Down, unknown, up.
    State,
}

impl SortKey {
    /// All keys.
    pub const ALL: [Self; 5] = [Self::Duration, Self::Expiry, Self::Name, Self::Since, Self::State];

    /// Returns the name in queries.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Duration => "duration",
            Self::Expiry => "expiry",
            Self::Name => "name",
            Self::Since => "since",
            Self::State => "state",
        }
    }
}

/// A part of a list.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Page {
    /// Maximum number of items.
    pub limit: usize,
    /// Number of items before it.
    pub offset: usize,
}

impl Page {
    /// Maximum limit.
    pub const MAX_LIMIT: usize = 10_000;

    /// Returns this part of a list; nothing beyond its end.
    pub fn of<T>(self, items: Vec<T>) -> Vec<T> {
        items.into_iter().skip(self.offset).take(self.limit).collect()
    }
}

impl Default for Page {
    fn default() -> Self {
        Self { limit: 100, offset: 0 }
    }
}

/// A part of the targets that match a query.
#[derive(Clone, Debug, PartialEq)]
pub struct TargetList {
    /// The states of all that match.
    pub counts: StateCounts,
    /// The requested part.
    pub targets: Vec<TargetSummary>,
}

/// The present facts of a target.
#[derive(Clone, Debug, PartialEq)]
pub struct TargetSummary {
    /// The target.
    pub target: Arc<Target>,
    /// The confirmed state.
    pub state: State,
    /// The start of the state; `None` while it is unknown.
    pub since: Option<Timestamp>,
    /// The last failure; `None` if the last probe succeeded and the target is not down.
    pub failure: Option<Failure>,
    /// The end of the last probe.
    pub last_probe: Option<Timestamp>,
    /// The duration of the last probe.
    pub duration: Option<Duration>,
    /// The expiry of the certificate, in seconds since 1970.
    pub certificate_not_after: Option<i64>,
}

impl TargetSummary {
    /// Reads a row.
    pub fn of(target: &Arc<Target>, row: &Row) -> Self {
        Self {
            target: target.clone(),
            state: row.state(),
            since: row.state_since(),
            failure: row.failure().cloned(),
            last_probe: row.last().map(|last| last.ended_at),
            duration: row.last().map(|last| last.duration),
            certificate_not_after: not_after(row),
        }
    }
}

impl TargetQuery {
    /// Returns the targets that match.
    pub fn list(&self, rows: &Rows) -> TargetList {
        let mut counts = StateCounts::default();
        let mut found = Vec::new();
        let text = self.text.as_ref().map(|text| text.to_lowercase());
        rows.for_each_in(0..rows.len(), |target, row| {
            if !self.matches(target, row.state(), text.as_deref()) {
                return;
            }
            counts.count(row.state());
            found.push(TargetSummary::of(target, row));
        });
        found.sort_by(|a, b| self.sort.compare(a, b));
        TargetList { counts, targets: self.page.of(found) }
    }

    fn matches(&self, target: &Target, state: State, text: Option<&str>) -> bool {
        let is_in_group = |wanted: &String| target.group.as_ref().is_some_and(|group| group.name.as_str() == wanted);
        (self.states.is_empty() || self.states.contains(&state))
            && self.group.as_ref().is_none_or(is_in_group)
            && self
                .protocol
                .as_ref()
                .is_none_or(|wanted| target.endpoint.protocol.as_str() == wanted)
            && self
                .labels
                .iter()
                .all(|(name, value)| target.labels.get(name).is_some_and(|found| found == value))
            && text.is_none_or(|text| contains(target, text))
    }
}

impl Sort {
    fn compare(self, a: &TargetSummary, b: &TargetSummary) -> Ordering {
        let by_key = match self.by {
            SortKey::Duration => missing_last(a.duration, b.duration, self.is_descending),
            SortKey::Expiry => missing_last(a.certificate_not_after, b.certificate_not_after, self.is_descending),
            SortKey::Name => directed(a.target.name.cmp(&b.target.name), self.is_descending),
            SortKey::Since => missing_last(a.since, b.since, self.is_descending),
            SortKey::State => directed(rank(a.state).cmp(&rank(b.state)), self.is_descending),
        };
        by_key.then_with(|| a.target.name.cmp(&b.target.name))
    }
}

fn missing_last<T: Ord>(a: Option<T>, b: Option<T>, is_descending: bool) -> Ordering {
    match (a, b) {
        (Some(a), Some(b)) => directed(a.cmp(&b), is_descending),
        (a, b) => b.is_some().cmp(&a.is_some()),
    }
}

fn directed(order: Ordering, is_descending: bool) -> Ordering {
    if is_descending { order.reverse() } else { order }
}

const fn rank(state: State) -> u8 {
    match state {
        State::Down => 0,
        State::Unknown => 1,
        State::Up => 2,
    }
}

/// Whether a text in lower case is in the name, the URL or a label value of a target.
fn contains(target: &Target, text: &str) -> bool {
    let has = |found: &str| found.to_lowercase().contains(text);
    has(target.name.as_str()) || has(&target.endpoint.to_string()) || target.labels.iter().any(|(_, value)| has(value))
}

fn not_after(row: &Row) -> Option<i64> {
    Some(row.peer_certificates()?.leaf.content.as_ref()?.not_after)
}

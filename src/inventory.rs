//! Lists of targets, groups and incidents for people and programs: filtered, sorted, in pages.
//!
//! The status page, the API, and through it `portprobe targets`, read them on request from the board and the store. Everything here takes
//! time with very many targets, so callers run it off the thread that probes.

use std::cmp::Ordering;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::board::{FailedOutcomes, Row, Rows, State, StateCounts};
use crate::clock::Timestamp;
use crate::outcome::{CertificateContent, Failure};
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

/// Targets that match a query, or a part of them.
#[derive(Clone, Debug, PartialEq)]
pub struct TargetList {
    /// The states of all that match.
    pub counts: StateCounts,
    /// The targets.
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
    /// The beginning of the certificate's validity, in seconds since 1970.
    pub certificate_not_before: Option<i64>,
    /// The address last used, if the host is a name.
    pub address: Option<IpAddr>,
    /// Whether the last successful probe was slow.
    pub is_slow: bool,
    /// The failures among the last outcomes.
    pub failed_outcomes: FailedOutcomes,
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
            certificate_not_after: certificate(row).map(|content| content.not_after),
            certificate_not_before: certificate(row).map(|content| content.not_before),
            address: row.address(),
            is_slow: row.slow() == Some(true),
            failed_outcomes: row.history().failed(),
        }
    }

    /// Returns whether the state is outdated, because no probe has ended for more than three intervals and a minute. This is
    /// the rule of the alert `PortprobeTargetNotProbed`.
    pub fn is_outdated(&self, now: Timestamp) -> bool {
        let limit = (self.target.settings.cadence.interval() * 3).max(Duration::from_mins(1));
        let age = |at: Timestamp| now.as_duration().saturating_sub(at.as_duration());
        self.last_probe.is_some_and(|at| age(at) > limit)
    }

    /// Returns whether the certificate has expired or expires soon, by the rule of the alert
    /// `PortprobeCertificateExpiring`: less than 30 days and less than 30 % of its lifetime are left.
    pub fn expires_soon(&self, now: Timestamp) -> bool {
        let Some((from, to)) = self.certificate_not_before.zip(self.certificate_not_after) else { return false };
        let left = to.saturating_sub(now.seconds());
        left < 30 * 86_400 && left.saturating_mul(10) < to.saturating_sub(from).saturating_mul(3)
    }
}

impl TargetQuery {
    /// Returns the requested part of the targets that match.
    pub fn list(&self, rows: &Rows) -> TargetList {
        let TargetList { counts, targets } = self.all(rows);
        TargetList { counts, targets: self.page.of(targets) }
    }

    /// Returns all targets that match, in order.
    pub fn all(&self, rows: &Rows) -> TargetList {
        let filter = self.filter();
        let mut counts = StateCounts::default();
        let mut found = Vec::new();
        rows.for_each_in(0..rows.len(), |target, row| {
            if filter.admits(target, row.state()) {
                counts.count(row.state());
                found.push(TargetSummary::of(target, row));
            }
        });
        found.sort_by(|a, b| self.sort.compare(a, b));
        TargetList { counts, targets: found }
    }

    /// Returns the condition without order and page.
    pub fn filter(&self) -> Filter<'_> {
        Filter { query: self, text: self.text.as_ref().map(|text| text.to_lowercase()) }
    }
}

/// The condition of a query.
#[derive(Debug)]
pub struct Filter<'a> {
    query: &'a TargetQuery,
    /// In lower case.
    text: Option<String>,
}

impl Filter<'_> {
    /// Returns whether a target in this state matches.
    pub fn admits(&self, target: &Target, state: State) -> bool {
        (self.query.states.is_empty() || self.query.states.contains(&state)) && self.admits_in_any_state(target)
    }

    /// Returns whether a target matches, apart from its state.
    pub fn admits_in_any_state(&self, target: &Target) -> bool {
        let TargetQuery { labels, group, protocol, .. } = self.query;
        let is_in_group = |wanted: &String| target.group.as_ref().is_some_and(|group| group.name.as_str() == wanted);
        let has_protocol = |wanted: &String| target.endpoint.protocol.as_str() == wanted;
        group.as_ref().is_none_or(is_in_group)
            && protocol.as_ref().is_none_or(has_protocol)
            && labels
                .iter()
                .all(|(name, value)| target.labels.get(name).is_some_and(|found| found == value))
            && self.text.as_ref().is_none_or(|text| contains(target, text))
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

fn certificate(row: &Row) -> Option<&CertificateContent> {
    row.peer_certificates()?.leaf.content.as_ref()
}

/// Returns a target in a state.
#[cfg(test)]
pub(crate) fn example_summary(url: &str, state: State) -> TargetSummary {
    TargetSummary {
        target: Arc::new(crate::target::example(url, crate::target::Settings::default())),
        state,
        since: None,
        failure: None,
        last_probe: None,
        duration: None,
        certificate_not_after: None,
        certificate_not_before: None,
        address: None,
        is_slow: false,
        failed_outcomes: FailedOutcomes::default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_is_outdated_after_three_intervals() {
        let at = |seconds| Timestamp::since_epoch(Duration::from_secs(seconds));
        let summary = TargetSummary { last_probe: Some(at(1000)), ..example_summary("a.test:1", State::Up) };
        let limit = 3 * summary.target.settings.cadence.interval().as_secs();
        assert!(limit > 60, "the interval of the example, not the minimum");
        assert!(!summary.is_outdated(at(1000 + limit)));
        assert!(summary.is_outdated(at(1001 + limit)));
        assert!(!summary.is_outdated(at(999)), "the clock was set back");
        assert!(!TargetSummary { last_probe: None, ..summary }.is_outdated(at(9999)));
    }

    #[test]
    fn a_certificate_expires_soon_by_date_and_share() {
        const DAY: i64 = 86_400;
        let now = Timestamp::since_epoch(Duration::from_hours(24 * 1000));
        for (since, left, expected) in [
            (63, 27, false),
            (64, 26, true),
            (5, 2, true),
            (4, 3, false),
            (300, 31, false),
            (365, 29, true),
            (90, -3, true),
        ] {
            let summary = TargetSummary {
                certificate_not_before: Some(now.seconds() - since * DAY),
                certificate_not_after: Some(now.seconds() + left * DAY),
                ..example_summary("tls://a.test:443", State::Up)
            };
            assert_eq!(summary.expires_soon(now), expected, "{since} {left}");
        }
    }
}

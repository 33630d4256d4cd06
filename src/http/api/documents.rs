//! Lists as JSON. Moments are in RFC 3339 with milliseconds, durations in seconds.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde::Serialize;

use crate::board::{GroupStatus, Rows, StateCounts};
use crate::clock::{Timestamp, Utc};
use crate::inventory::{TargetList, TargetSummary};
use crate::outcome::Failure;
use crate::store::{Incident, IncidentList};
use crate::target::{Labels, Target};

#[derive(Debug, Serialize)]
pub(super) struct ProblemDocument {
    pub(super) error: String,
}

#[derive(Debug, Serialize)]
pub(super) struct SummaryDocument {
    up: usize,
    down: usize,
    unknown: usize,
}

impl From<StateCounts> for SummaryDocument {
    fn from(StateCounts { up, down, unknown }: StateCounts) -> Self {
        Self { up, down, unknown }
    }
}

#[derive(Debug, Serialize)]
pub(super) struct TargetsDocument {
    /// All that match, not only this part.
    total: usize,
    counts: SummaryDocument,
    targets: Vec<TargetItem>,
}

impl TargetsDocument {
    pub(super) fn of(list: &TargetList) -> Self {
        Self {
            total: list.counts.total(),
            counts: list.counts.into(),
            targets: list.targets.iter().map(TargetItem::of).collect(),
        }
    }
}

/// The facts of a target that lists have.
#[derive(Debug, Serialize)]
pub(super) struct TargetItem {
    name: String,
    url: String,
    protocol: &'static str,
    group: Option<String>,
    labels: BTreeMap<String, String>,
    state: &'static str,
    since: Option<String>,
    failure: Option<FailureDocument>,
    last_probe: Option<String>,
    duration_seconds: Option<f64>,
    certificate_not_after: Option<String>,
}

impl TargetItem {
    pub(super) fn of(summary: &TargetSummary) -> Self {
        let TargetSummary { target, state, since, failure, last_probe, duration, certificate_not_after, .. } = summary;
        Self {
            name: target.name.as_str().to_owned(),
            url: target.endpoint.to_string(),
            protocol: target.endpoint.protocol.as_str(),
            group: target.group.as_ref().map(|group| group.name.as_str().to_owned()),
            labels: labels(&target.labels),
            state: state.as_str(),
            since: since.map(moment),
            failure: failure.as_ref().map(FailureDocument::of),
            last_probe: last_probe.map(moment),
            duration_seconds: duration.map(|duration| duration.as_secs_f64()),
            certificate_not_after: certificate_not_after.map(second),
        }
    }
}

#[derive(Debug, Serialize)]
pub(super) struct FailureDocument {
    phase: &'static str,
    class: &'static str,
    detail: String,
}

impl FailureDocument {
    pub(super) fn of(failure: &Failure) -> Self {
        let Failure { phase, class, detail } = failure;
        Self { phase: phase.as_str(), class: class.as_str(), detail: detail.clone() }
    }
}

#[derive(Debug, Serialize)]
pub(super) struct GroupsDocument {
    groups: Vec<GroupItem>,
}

#[derive(Debug, Serialize)]
struct GroupItem {
    name: String,
    labels: BTreeMap<String, String>,
    /// Unknown while unknown members could still decide it.
    state: &'static str,
    members: u32,
    up: u32,
    unknown: u32,
    needed: u32,
    targets: Vec<String>,
}

impl GroupsDocument {
    pub(super) fn of(rows: &Rows) -> Self {
        let mut members: HashMap<&str, Vec<String>> = HashMap::new();
        for target in rows.targets() {
            if let Some(group) = &target.group {
                members
                    .entry(group.name.as_str())
                    .or_default()
                    .push(target.name.as_str().to_owned());
            }
        }
        let item = |status: GroupStatus| GroupItem {
            targets: members.get(status.group.name.as_str()).cloned().unwrap_or_default(),
            name: status.group.name.as_str().to_owned(),
            labels: labels(&status.group.labels),
            state: status.state().as_str(),
            members: status.members,
            up: status.up,
            unknown: status.unknown,
            needed: status.needed(),
        };
        Self { groups: rows.groups().into_iter().map(item).collect() }
    }
}

#[derive(Debug, Serialize)]
pub(super) struct IncidentsDocument {
    total: usize,
    incidents: Vec<IncidentItem>,
}

impl IncidentsDocument {
    pub(super) fn of(list: IncidentList) -> Self {
        let incidents = list.incidents.into_iter().map(IncidentItem::of).collect();
        Self { total: list.total, incidents }
    }
}

#[derive(Debug, Serialize)]
pub(super) struct IncidentItem {
    target: String,
    began: String,
    ended: Option<String>,
    phase: String,
    class: String,
    detail: String,
}

impl IncidentItem {
    pub(super) fn of(incident: Incident) -> Self {
        let Incident { target, began, ended, phase, class, detail } = incident;
        Self { target, began: moment(began), ended: ended.map(moment), phase, class, detail }
    }
}

/// Returns the labels of a target or group.
pub(super) fn labels(labels: &Labels) -> BTreeMap<String, String> {
    labels.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// Returns a moment as text.
pub(super) fn moment(at: Timestamp) -> String {
    at.to_string()
}

/// Returns a second since 1970 as text.
pub(super) fn second(seconds: i64) -> String {
    format!("{:#}", Utc::of_seconds(seconds))
}

/// Returns the summary of a target.
pub(super) fn item(target: &Arc<Target>, row: &crate::board::Row) -> TargetItem {
    TargetItem::of(&TargetSummary::of(target, row))
}

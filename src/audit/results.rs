//! The results of an audit: its findings, which change while it runs, and the counts of its last complete run.

use std::collections::{BTreeMap, HashSet};
use std::net::IpAddr;
use std::num::NonZeroU16;
use std::sync::Arc;

use super::places::{Existence, Places};
use crate::clock::Timestamp;
use crate::target::Audit;

/// The state of a port.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum PortState {
    /// It refuses connections.
    Closed,
    /// Nothing replies, or an ICMP error does.
    Filtered,
    /// It accepts connections.
    Open,
}

impl PortState {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Filtered => "filtered",
            Self::Open => "open",
        }
    }
}

/// A port of a host whose state is not as it should be.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Finding {
    /// The name or address in the configuration, or the address if that has a network.
    pub host: Arc<str>,
    /// The address; of a name the one that was used.
    pub address: IpAddr,
    /// The port.
    pub port: NonZeroU16,
}

/// The state of a port, as it was found.
#[derive(Debug)]
pub(super) struct Observed {
    /// The port; a finding only if the state is not as it should be.
    pub(super) finding: Finding,
    pub(super) existence: Existence,
    pub(super) state: PortState,
    pub(super) at: Timestamp,
}

/// A change of the findings.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Change {
    /// A port that must be open is not.
    Missing,
    /// A port that must be open was not, and is again.
    Restored,
    /// A port that was open unexpectedly is no longer open.
    Closed,
    /// A port is open unexpectedly.
    Unexpected,
}

/// What is known about an audit.
#[derive(Debug, Default)]
pub(super) struct Results {
    unexpected: BTreeMap<Finding, Timestamp>,
    missing: BTreeMap<Finding, Timestamp>,
    /// Addresses of networks that have replied since the start of this process.
    used: HashSet<IpAddr>,
    /// Ports of silent addresses of networks; findings only if the address turns out to be in use.
    undecided: Vec<Finding>,
    unresolved: Vec<Arc<str>>,
    last: Option<LastRun>,
    running_since: Option<Timestamp>,
}

/// The last complete run of an audit.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct LastRun {
    /// Its start.
    pub began: Timestamp,
    /// Its end.
    pub ended: Timestamp,
    /// The ports that it found.
    pub counts: PortCounts,
}

/// Numbers of ports by their state.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct PortCounts {
    /// Ports that accept connections.
    pub open: u64,
    /// Ports that refuse connections.
    pub closed: u64,
    /// Ports that do not reply.
    pub filtered: u64,
    /// Ports that this machine could not connect to; nothing is known about them.
    pub undetermined: u64,
}

impl PortCounts {
    pub(super) fn add(&mut self, state: Option<PortState>) {
        let count = match state {
            Some(PortState::Open) => &mut self.open,
            Some(PortState::Closed) => &mut self.closed,
            Some(PortState::Filtered) => &mut self.filtered,
            None => &mut self.undetermined,
        };
        *count += 1;
    }
}

impl Results {
    pub(super) fn begin(&mut self, at: Timestamp) {
        self.running_since = Some(at);
        self.undecided.clear();
    }

    /// Whether a state other than open changes a finding, so that it should be certain.
    pub(super) fn is_doubtful(&self, audit: &Audit, finding: &Finding) -> bool {
        audit.expects(finding.port) || self.unexpected.contains_key(finding)
    }

    /// Records the state of a port.
    pub(super) fn observe(&mut self, audit: &Audit, observed: Observed) -> Option<Change> {
        let Observed { finding, existence, state, at } = observed;
        let replied = matches!(state, PortState::Open | PortState::Closed);
        if existence == Existence::Possible && replied && audit.settings().open.is_some() {
            self.used.insert(finding.address);
        }
        match (audit.expects(finding.port), state) {
            (true, PortState::Open) => self.missing.remove(&finding).map(|_| Change::Restored),
            (true, _) if self.missing.contains_key(&finding) || self.missing.len() >= MAX_FINDINGS => None,
            (true, _) if existence == Existence::Possible && !self.used.contains(&finding.address) => {
                if self.undecided.len() < MAX_FINDINGS {
                    self.undecided.push(finding);
                }
                None
            }
            (true, _) => {
                self.missing.insert(finding, at);
                Some(Change::Missing)
            }
            (false, PortState::Open) => {
                let is_new = self.unexpected.len() < MAX_FINDINGS && !self.unexpected.contains_key(&finding);
                is_new.then(|| {
                    self.unexpected.insert(finding, at);
                    Change::Unexpected
                })
            }
            (false, _) => self.unexpected.remove(&finding).map(|_| Change::Closed),
        }
    }

    /// Ends a run. Returns the findings that are new because their addresses have replied later.
    ///
    /// Findings of addresses that a name no longer has are dropped, unless the name could not be resolved.
    pub(super) fn end(&mut self, run: LastRun, places: &Places) -> Vec<Finding> {
        let used = &self.used;
        let missing: Vec<_> = std::mem::take(&mut self.undecided)
            .into_iter()
            .filter(|finding| used.contains(&finding.address))
            .collect();
        self.missing.extend(missing.iter().map(|finding| (finding.clone(), run.ended)));
        let named = places.named();
        let is_name = |finding: &Finding| finding.host.parse::<IpAddr>().is_err() && !finding.host.contains('%');
        let stays = |finding: &Finding| {
            !is_name(finding)
                || places.unresolved.contains(&finding.host)
                || named.contains(&(&*finding.host, Some(finding.address)))
        };
        self.unexpected.retain(|finding, _| stays(finding));
        self.missing.retain(|finding, _| stays(finding));
        self.unresolved.clone_from(&places.unresolved);
        self.last = Some(run);
        self.running_since = None;
        missing
    }
}

/// A copy of what is known about an audit.
#[derive(Clone, Debug)]
pub struct AuditReport {
    /// The audit.
    pub audit: Arc<Audit>,
    /// Ports that are open but must not be.
    pub unexpected: Findings,
    /// Ports that must be open but are not.
    pub missing: Findings,
    /// Names that could not be resolved in the last run.
    pub unresolved: Vec<Arc<str>>,
    /// The last complete run.
    pub last: Option<LastRun>,
    /// The start of the present run, if one is made now.
    pub running_since: Option<Timestamp>,
}

/// Findings of a kind.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Findings {
    /// Their number; `None` if none was found and no run is complete.
    pub count: Option<usize>,
    /// The first of them, in the order of hosts, addresses and ports, with the time at which each was found.
    pub first: Vec<(Finding, Timestamp)>,
}

impl AuditReport {
    pub(super) fn new(audit: Arc<Audit>, results: &Results, limit: usize) -> Self {
        let Results { unexpected, missing, unresolved, last, running_since, .. } = results;
        let findings = |all: &BTreeMap<Finding, Timestamp>| Findings {
            count: (last.is_some() || !all.is_empty()).then_some(all.len()),
            first: all
                .iter()
                .take(limit)
                .map(|(finding, since)| (finding.clone(), *since))
                .collect(),
        };
        Self {
            audit,
            unexpected: findings(unexpected),
            missing: findings(missing),
            unresolved: unresolved.clone(),
            last: *last,
            running_since: *running_since,
        }
    }
}

/// Maximum number of findings of a kind, so that a host that accepts everything takes a bounded amount of memory.
const MAX_FINDINGS: usize = 100_000;

//! Port audits as JSON.

use serde::Serialize;

use super::documents::moment;
use crate::audit::{AuditReport, Finding, Findings, LastRun, PortCounts};
use crate::clock::Timestamp;
use crate::target::{AuditSettings, Ports};

#[derive(Debug, Serialize)]
pub(super) struct AuditsDocument {
    audits: Vec<AuditItem>,
}

#[derive(Debug, Serialize)]
struct AuditItem {
    name: String,
    hosts: Vec<String>,
    ports: String,
    open: Option<String>,
    interval_seconds: f64,
    timeout_seconds: f64,
    per_second: u32,
    running_since: Option<String>,
    last_run: Option<RunDocument>,
    unexpected_open: Vec<FindingDocument>,
    missing_open: Vec<FindingDocument>,
    unresolved: Vec<String>,
}

#[derive(Debug, Serialize)]
struct RunDocument {
    began: String,
    ended: String,
    open: u64,
    closed: u64,
    filtered: u64,
    undetermined: u64,
}

#[derive(Debug, Serialize)]
struct FindingDocument {
    host: String,
    address: String,
    port: u16,
    since: String,
}

impl AuditsDocument {
    pub(super) fn of(reports: &[AuditReport]) -> Self {
        Self { audits: reports.iter().map(AuditItem::of).collect() }
    }
}

impl AuditItem {
    fn of(report: &AuditReport) -> Self {
        let AuditReport { audit, unexpected, missing, unresolved, last, running_since } = report;
        let AuditSettings { name, hosts, ports, open, interval, timeout, per_second } = audit.settings();
        Self {
            name: name.to_string(),
            hosts: hosts.iter().map(ToString::to_string).collect(),
            ports: ports.to_string(),
            open: open.as_ref().map(Ports::to_string),
            interval_seconds: interval.as_secs_f64(),
            timeout_seconds: timeout.as_secs_f64(),
            per_second: per_second.get(),
            running_since: running_since.map(moment),
            last_run: last.map(RunDocument::of),
            unexpected_open: findings(unexpected),
            missing_open: findings(missing),
            unresolved: unresolved.iter().map(ToString::to_string).collect(),
        }
    }
}

impl RunDocument {
    fn of(LastRun { began, ended, counts }: LastRun) -> Self {
        let PortCounts { open, closed, filtered, undetermined } = counts;
        Self { began: moment(began), ended: moment(ended), open, closed, filtered, undetermined }
    }
}

fn findings(findings: &Findings) -> Vec<FindingDocument> {
    let document = |(Finding { host, address, port }, since): &(Finding, Timestamp)| FindingDocument {
        host: host.to_string(),
        address: address.to_string(),
        port: port.get(),
        since: moment(*since),
    };
    findings.first.iter().map(document).collect()
}

//! Metrics of port audits.

use std::collections::BTreeSet;
use std::num::NonZeroU16;
use std::sync::Arc;

use super::daemon::{DaemonFamily, DaemonReader, count};
use super::family::Family;
use super::sample::{OwnLabel, Sample, Value};
use crate::audit::{AuditReport, Finding};

impl DaemonReader<'_> {
    /// Creates a series for each audit that has a value.
    fn by_audit(&self, value: impl Fn(&AuditReport) -> Option<Value>) -> Vec<Sample> {
        let sample = |report: &AuditReport| Some(self.sample(vec![name(report)], value(report)?));
        self.inputs.audits.reports(0).iter().filter_map(sample).collect()
    }

    fn ports(&self) -> Vec<Sample> {
        let sample = |report: &AuditReport| {
            let counts = report.last?.counts;
            let states = [("open", counts.open), ("closed", counts.closed), ("filtered", counts.filtered)];
            let name = name(report);
            Some(states.map(|(state, count)| {
                self.sample(vec![name.clone(), OwnLabel::fixed("state", state)], Value::Count(count))
            }))
        };
        self.inputs.audits.reports(0).iter().filter_map(sample).flatten().collect()
    }

    fn unexpected_ports(&self) -> Vec<Sample> {
        let samples = |report: &AuditReport| {
            // A port of several addresses of a name is one series.
            let ports: BTreeSet<_> = report
                .unexpected
                .first
                .iter()
                .map(|(Finding { host, port, .. }, _)| (host, port))
                .collect();
            let name = name(report);
            let sample = |(host, port): (&Arc<str>, &NonZeroU16)| {
                let own = vec![
                    name.clone(),
                    OwnLabel::new("host", host.to_string()),
                    OwnLabel::new("port", port.to_string()),
                ];
                self.sample(own, Value::Count(1))
            };
            ports.into_iter().map(sample).collect::<Vec<_>>()
        };
        self.inputs.audits.reports(MAX_PORTS).iter().flat_map(samples).collect()
    }
}

fn name(report: &AuditReport) -> OwnLabel {
    OwnLabel::new("audit", report.audit.settings().name.to_string())
}

/// Every family of port audits.
pub(super) const AUDITS: &[DaemonFamily] = &[
    DaemonFamily {
        family: Family::gauge("portprobe_audit_ports", "Ports in the last complete run of an audit, by state")
            .by(&["audit", "state"]),
        read: |reader| reader.ports(),
    },
    DaemonFamily {
        family: Family::gauge("portprobe_audit_unexpected_open", "Ports that are open but must not be").by(&["audit"]),
        read: |reader| reader.by_audit(|report| report.unexpected.count.map(count)),
    },
    DaemonFamily {
        family: Family::gauge("portprobe_audit_missing_open", "Ports that must be open but are not").by(&["audit"]),
        read: |reader| reader.by_audit(|report| report.missing.count.map(count)),
    },
    DaemonFamily {
        family: Family::gauge(
            "portprobe_audit_unexpected_port_info",
            "1 for a port that is open but must not be; at most 100 of each audit, the API has all",
        )
        .by(&["audit", "host", "port"]),
        read: |reader| reader.unexpected_ports(),
    },
    DaemonFamily {
        family: Family::gauge("portprobe_audit_last_run_timestamp_seconds", "End of the last complete run of an audit")
            .by(&["audit"]),
        read: |reader| reader.by_audit(|report| report.last.map(|run| Value::Real(run.ended.as_secs_f64()))),
    },
];

/// Maximum number of series of an audit's ports.
const MAX_PORTS: usize = 100;

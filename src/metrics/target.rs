//! The metrics of targets and groups.

use std::net::IpAddr;

use super::family::{Family, GroupFamily, TargetFamily};
use super::sample::{OwnLabel, Value};
use super::{certificate, service};
use crate::board::State;
use crate::outcome::{Class, Phase};
use crate::target::Target;

fn phase_label(phase: Phase) -> OwnLabel {
    OwnLabel::fixed("phase", phase.as_str())
}

fn reason_labels(phase: Phase, class: Class) -> Vec<OwnLabel> {
    vec![phase_label(phase), OwnLabel::fixed("class", class.as_str())]
}

fn address_label(address: IpAddr) -> Vec<OwnLabel> {
    vec![OwnLabel::new("ip", address.to_string())]
}

fn target_labels(target: &Target) -> Vec<OwnLabel> {
    let endpoint = &target.endpoint;
    vec![
        OwnLabel::new("url", endpoint.to_string()),
        OwnLabel::fixed("protocol", endpoint.protocol.as_str()),
        OwnLabel::new("host", endpoint.host.to_string()),
        OwnLabel::new("port", endpoint.port.to_string()),
        OwnLabel::new("group", target.group.as_ref().map(|group| group.name.to_string()).unwrap_or_default()),
        OwnLabel::fixed("expect", target.settings.probe_kind.expect().as_str()),
    ]
}

/// Every family of targets. The histogram, by far the largest, is the last.
pub(super) const TARGETS: &[TargetFamily] = &[
    TargetFamily {
        family: Family::gauge("portprobe_up", "Confirmed state of the target: 1 up, 0 down, absent while unknown"),
        read: |row, reader| match row.state() {
            State::Unknown => {}
            State::Down => reader.one(row, false.into()),
            State::Up => reader.one(row, true.into()),
        },
    },
    TargetFamily {
        family: Family::gauge("portprobe_probe_success", "Whether the last probe was good"),
        read: |row, reader| reader.maybe(row, row.last().map(|last| last.success.into())),
    },
    TargetFamily {
        family: Family::gauge(
            "portprobe_failure",
            "1 for the last failure, present while the last probe failed or the target is down",
        )
        .by(&["phase", "class"]),
        read: |row, reader| {
            if let Some(failure) = row.failure() {
                reader.labelled(row, reason_labels(failure.phase, failure.class), Value::Count(1));
            }
        },
    },
    TargetFamily {
        family: Family::counter("portprobe_probes_total", "Finished probes"),
        read: |row, reader| reader.one(row, Value::Count(row.probes())),
    },
    TargetFamily {
        family: Family::counter("portprobe_probe_failures_total", "Finished probes that failed"),
        read: |row, reader| reader.one(row, Value::Count(row.failed_probes())),
    },
    TargetFamily {
        family: Family::counter("portprobe_failures_total", "Finished probes that failed, by reason")
            .by(&["phase", "class"]),
        read: |row, reader| {
            for (phase, class, count) in row.failures() {
                reader.labelled(row, reason_labels(phase, class), Value::Count(count));
            }
        },
    },
    TargetFamily {
        family: Family::counter("portprobe_outages_total", "Confirmed changes from up to down"),
        read: |row, reader| reader.one(row, Value::Count(row.outages())),
    },
    TargetFamily {
        family: Family::counter("portprobe_down_seconds_total", "Time confirmed down"),
        read: |row, reader| reader.one(row, Value::Real(row.down_time(reader.now).as_secs_f64())),
    },
    TargetFamily {
        family: Family::gauge("portprobe_state_since_timestamp_seconds", "When the confirmed state began"),
        read: |row, reader| reader.maybe(row, row.state_since().map(|since| Value::Real(since.as_secs_f64()))),
    },
    TargetFamily {
        family: Family::gauge("portprobe_last_probe_timestamp_seconds", "When the last probe ended"),
        read: |row, reader| reader.maybe(row, row.last().map(|last| Value::Real(last.ended_at.as_secs_f64()))),
    },
    TargetFamily {
        family: Family::gauge("portprobe_interval_seconds", "The interval in force"),
        read: |row, reader| {
            reader.one(row, Value::Real(row.target().settings.cadence.interval().as_secs_f64()));
        },
    },
    TargetFamily {
        family: Family::gauge("portprobe_slow", "Whether the last good probe took slow_after or longer"),
        read: |row, reader| reader.maybe(row, row.slow().map(Value::from)),
    },
    TargetFamily {
        family: Family::gauge("portprobe_probe_duration_seconds", "How long the last probe took as a whole"),
        read: |row, reader| reader.maybe(row, row.last().map(|last| Value::Real(last.duration.as_secs_f64()))),
    },
    TargetFamily {
        family: Family::gauge(
            "portprobe_phase_duration_seconds",
            "How long each phase took that the last probe completed",
        )
        .by(&["phase"]),
        read: |row, reader| {
            for (phase, duration) in row.last().iter().flat_map(|last| last.timings.iter()) {
                reader.labelled(row, vec![phase_label(phase)], Value::Real(duration.as_secs_f64()));
            }
        },
    },
    TargetFamily {
        family: Family::counter(
            "portprobe_tcp_syn_retransmits_total",
            "SYNs sent again in connects that were answered in the end: packet loss, not a slow server",
        ),
        read: |row, reader| reader.one(row, Value::Count(row.syn_retransmits())),
    },
    TargetFamily {
        family: Family::gauge(
            "portprobe_resolved_addresses",
            "How many usable addresses the name had when last resolved",
        ),
        read: |row, reader| {
            reader.maybe(row, row.resolved_addresses().map(|count| Value::Count(count.into())));
        },
    },
    TargetFamily {
        family: Family::gauge("portprobe_address_info", "1 for the address last used, where the host is a name")
            .by(&["ip"]),
        read: |row, reader| {
            if let Some(address) = row.address() {
                reader.labelled(row, address_label(address), Value::Count(1));
            }
        },
    },
    TargetFamily {
        family: Family::gauge(
            "portprobe_address_success",
            "Whether each address of the last resolution was good, with addresses: all",
        )
        .by(&["ip"]),
        read: |row, reader| {
            for result in row.addresses() {
                reader.labelled(row, address_label(result.address), result.success.into());
            }
        },
    },
    certificate::TLS_INFO,
    certificate::CERT_NOT_AFTER,
    certificate::CERT_NOT_BEFORE,
    certificate::CERT_CHAIN_NOT_AFTER,
    certificate::CERT_VERIFIED,
    certificate::CERT_FAULT,
    certificate::CERT_INFO,
    certificate::CERT_CHANGES,
    certificate::CLIENT_CERT_NOT_AFTER,
    service::SERVICE_INFO,
    service::DIALOGUE_INFO,
    TargetFamily {
        family: Family::gauge("portprobe_target_info", "1, with what is configured for the target")
            .by(&["url", "protocol", "host", "port", "group", "expect"]),
        read: |row, reader| reader.labelled(row, target_labels(row.target()), Value::Count(1)),
    },
    TargetFamily {
        family: Family::histogram(
            "portprobe_handshake_duration_seconds",
            "How long successful phases took, connect as the kernel timed SYN to SYN-ACK",
        )
        .by(&["phase"]),
        read: |row, reader| {
            for (phase, histogram) in row.histograms() {
                let value = Value::Histogram(histogram.clone(), row.buckets().clone());
                reader.labelled(row, vec![phase_label(phase)], value);
            }
        },
    },
];

/// Every family of groups.
pub(super) const GROUPS: &[GroupFamily] = &[
    GroupFamily {
        family: Family::gauge(
            "portprobe_group_up",
            "Whether enough members are confirmed up, absent while unknown members could still decide it",
        )
        .by(&["group"]),
        read: |status| status.is_up().map(Value::from),
    },
    GroupFamily {
        family: Family::gauge("portprobe_group_targets", "Members of the group").by(&["group"]),
        read: |status| Some(Value::Count(status.members.into())),
    },
    GroupFamily {
        family: Family::gauge("portprobe_group_min_up", "Members of the group that must be up").by(&["group"]),
        read: |status| Some(Value::Count(status.needed().into())),
    },
];

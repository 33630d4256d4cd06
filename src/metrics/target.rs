//! Metrics of targets and groups.

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

/// Every family of targets. The histogram, by far the largest, is last.
pub(super) const TARGETS: &[TargetFamily] = &[
    TargetFamily {
        family: Family::gauge(
            "portprobe_up",
            "Confirmed state of the target: 1 if up, 0 if down; absent while unknown",
        ),
        read: |row, reader| match row.state() {
            State::Unknown => {}
            State::Down => reader.one(false.into()),
            State::Up => reader.one(true.into()),
        },
    },
    TargetFamily {
        family: Family::gauge("portprobe_probe_success", "Whether the last probe succeeded"),
        read: |row, reader| reader.maybe(row.last().map(|last| last.success.into())),
    },
    TargetFamily {
        family: Family::gauge(
            "portprobe_failure",
            "1 for the last failure; present while the last probe failed or the target is down",
        )
        .by(&["phase", "class"]),
        read: |row, reader| {
            if let Some(failure) = row.failure() {
                reader.labelled(reason_labels(failure.phase, failure.class), Value::Count(1));
            }
        },
    },
    TargetFamily {
        family: Family::counter("portprobe_probes_total", "Finished probes"),
        read: |row, reader| reader.one(Value::Count(row.probes())),
    },
    TargetFamily {
        family: Family::counter("portprobe_probe_failures_total", "Failed probes"),
        read: |row, reader| reader.one(Value::Count(row.failed_probes())),
    },
    TargetFamily {
        family: Family::counter("portprobe_failures_total", "Failed probes by reason").by(&["phase", "class"]),
        read: |row, reader| {
            for (phase, class, count) in row.failures() {
                reader.labelled(reason_labels(phase, class), Value::Count(count));
            }
        },
    },
    TargetFamily {
        family: Family::counter("portprobe_outages_total", "Confirmed changes from up to down"),
        read: |row, reader| reader.one(Value::Count(row.outages())),
    },
    TargetFamily {
        family: Family::counter("portprobe_down_seconds_total", "Total time confirmed down"),
        read: |row, reader| reader.one(Value::Real(row.down_time(reader.now).as_secs_f64())),
    },
    TargetFamily {
        family: Family::gauge("portprobe_state_since_timestamp_seconds", "Start of the confirmed state"),
        read: |row, reader| reader.maybe(row.state_since().map(|since| Value::Real(since.as_secs_f64()))),
    },
    TargetFamily {
        family: Family::gauge("portprobe_last_probe_timestamp_seconds", "End of the last probe"),
        read: |row, reader| reader.maybe(row.last().map(|last| Value::Real(last.ended_at.as_secs_f64()))),
    },
    TargetFamily {
        family: Family::gauge("portprobe_interval_seconds", "Probe interval"),
        read: |_, reader| reader.one(Value::Real(reader.target.settings.cadence.interval().as_secs_f64())),
    },
    TargetFamily {
        family: Family::gauge("portprobe_slow", "Whether the last successful probe took at least slow_after"),
        read: |row, reader| reader.maybe(row.slow().map(Value::from)),
    },
    TargetFamily {
        family: Family::gauge("portprobe_probe_duration_seconds", "Total duration of the last probe"),
        read: |row, reader| reader.maybe(row.last().map(|last| Value::Real(last.duration.as_secs_f64()))),
    },
    TargetFamily {
        family: Family::gauge(
            "portprobe_phase_duration_seconds",
            "Duration of each phase that the last probe completed",
        )
        .by(&["phase"]),
        read: |row, reader| {
            for (phase, duration) in row.last().iter().flat_map(|last| last.timings.iter()) {
                reader.labelled(vec![phase_label(phase)], Value::Real(duration.as_secs_f64()));
            }
        },
    },
    TargetFamily {
        family: Family::counter(
            "portprobe_tcp_syn_retransmits_total",
            "SYNs retransmitted in connects that were eventually answered: packet loss, not a slow server",
        ),
        read: |row, reader| reader.one(Value::Count(row.syn_retransmits())),
    },
    TargetFamily {
        family: Family::gauge(
            "portprobe_resolved_addresses",
            "Number of usable addresses in the last resolution of the name",
        ),
        read: |row, reader| {
            reader.maybe(row.resolved_addresses().map(|count| Value::Count(count.into())));
        },
    },
    TargetFamily {
        family: Family::gauge("portprobe_address_info", "Address last used; only if the host is a name").by(&["ip"]),
        read: |row, reader| {
            if let Some(address) = row.address() {
                reader.labelled(address_label(address), Value::Count(1));
            }
        },
    },
    TargetFamily {
        family: Family::gauge(
            "portprobe_address_success",
            "Whether the last probe of each address succeeded; only with addresses: all",
        )
        .by(&["ip"]),
        read: |row, reader| {
            for result in row.addresses() {
                reader.labelled(address_label(result.address), result.success.into());
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
        family: Family::gauge("portprobe_target_info", "Endpoint, group and expectation of the target")
            .by(&["url", "protocol", "host", "port", "group", "expect"]),
        read: |_, reader| reader.labelled(target_labels(reader.target), Value::Count(1)),
    },
    TargetFamily {
        family: Family::histogram(
            "portprobe_handshake_duration_seconds",
            "Duration of successful phases; connect is the time from SYN to SYN-ACK as measured by the kernel",
        )
        .by(&["phase"]),
        read: |row, reader| {
            for (phase, histogram) in row.histograms() {
                let value = Value::Histogram(histogram.clone(), row.buckets().clone());
                reader.labelled(vec![phase_label(phase)], value);
            }
        },
    },
];

/// Every family of groups.
pub(super) const GROUPS: &[GroupFamily] = &[
    GroupFamily {
        family: Family::gauge(
            "portprobe_group_up",
            "Whether enough members are confirmed up; absent while unknown members could still decide it",
        )
        .by(&["group"]),
        read: |status| status.is_up().map(Value::from),
    },
    GroupFamily {
        family: Family::gauge("portprobe_group_targets", "Number of members").by(&["group"]),
        read: |status| Some(Value::Count(status.members.into())),
    },
    GroupFamily {
        family: Family::gauge("portprobe_group_min_up", "Number of members that must be up").by(&["group"]),
        read: |status| Some(Value::Count(status.needed().into())),
    },
];

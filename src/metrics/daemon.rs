//! The metrics of portprobe itself.

use super::family::Family;
use super::sample::{OwnLabel, Owner, Sample, Value};
use super::{Inputs, SourceStatus};
use crate::board::Rows;
use crate::locks::read;

/// A family of portprobe itself.
#[derive(Clone, Copy, Debug)]
pub(super) struct DaemonFamily {
    pub(super) family: Family,
    /// Every series of the family.
    pub(super) read: fn(&Inputs, &Rows) -> Vec<Sample>,
}

impl Inputs {
    /// A series of portprobe itself.
    pub(super) fn sample(&self, own: Vec<OwnLabel>, value: Value) -> Sample {
        Sample { owner: Owner::Daemon(read(&self.labels).clone()), own, value }
    }

    fn by_source(&self, value: impl Fn(&SourceStatus) -> Value) -> Vec<Sample> {
        let statuses = self.source_statuses.snapshot();
        let sample =
            |status: &SourceStatus| self.sample(vec![OwnLabel::new("source", status.name.to_string())], value(status));
        statuses.iter().map(sample).collect()
    }

    fn by_reason(&self, reason: &'static str, count: u64) -> Sample {
        self.sample(vec![OwnLabel::fixed("reason", reason)], Value::Count(count))
    }
}

fn count(count: usize) -> Value {
    Value::Count(u64::try_from(count).unwrap_or(u64::MAX))
}

/// Every family of portprobe itself.
pub(super) const DAEMON: &[DaemonFamily] = &[
    DaemonFamily {
        family: Family::gauge("portprobe_build_info", "1, with what this portprobe was built from")
            .by(&["version", "revision", "rustc"]),
        read: |inputs, _| {
            let own = vec![
                OwnLabel::fixed("version", env!("CARGO_PKG_VERSION")),
                OwnLabel::fixed("revision", env!("PORTPROBE_REVISION")),
                OwnLabel::fixed("rustc", env!("PORTPROBE_RUSTC")),
            ];
            vec![inputs.sample(own, Value::Count(1))]
        },
    },
    DaemonFamily {
        family: Family::gauge("portprobe_shard_info", "1, with which replica this is, counted from 0, and of how many")
            .by(&["shard", "shards"]),
        read: |inputs, _| {
            let shard = inputs.shard;
            let own = vec![
                OwnLabel::new("shard", shard.index().to_string()),
                OwnLabel::new("shards", shard.count().to_string()),
            ];
            vec![inputs.sample(own, Value::Count(1))]
        },
    },
    DaemonFamily {
        family: Family::gauge("portprobe_targets", "Targets that are probed"),
        // Counts the rows of this scrape, not those of the present.
        read: |inputs, rows| vec![inputs.sample(Vec::new(), count(rows.len()))],
    },
    DaemonFamily {
        family: Family::gauge("portprobe_probes_in_flight", "Probes under way"),
        read: |inputs, _| vec![inputs.sample(Vec::new(), Value::Count(inputs.statistics.in_flight()))],
    },
    DaemonFamily {
        family: Family::histogram("portprobe_schedule_lag_seconds", "How much later than due probes started"),
        read: |inputs, _| {
            let (lag, buckets) = inputs.statistics.lag();
            vec![inputs.sample(Vec::new(), Value::Histogram(lag, buckets.clone()))]
        },
    },
    DaemonFamily {
        family: Family::counter(
            "portprobe_skipped_probes_total",
            "Due probes left out because the one before still ran (overlap) or still waited for its turn (limit)",
        )
        .by(&["reason"]),
        read: |inputs, _| {
            let statistics = &inputs.statistics;
            let counts = [("overlap", statistics.skipped_by_overlap()), ("limit", statistics.skipped_by_limit())];
            counts.into_iter().map(|(reason, count)| inputs.by_reason(reason, count)).collect()
        },
    },
    DaemonFamily {
        family: Family::counter(
            "portprobe_local_faults_total",
            "Probes that this machine could not make, which say nothing about their target",
        )
        .by(&["reason"]),
        read: |inputs, _| {
            inputs.board.local_faults().map(|(reason, count)| inputs.by_reason(reason.as_str(), count)).collect()
        },
    },
    DaemonFamily {
        family: Family::gauge("portprobe_config_last_reload_successful", "Whether the last reload was a success"),
        read: |inputs, _| vec![inputs.sample(Vec::new(), Value::from(inputs.reloads.last().successful))],
    },
    DaemonFamily {
        family: Family::gauge(
            "portprobe_config_last_reload_success_timestamp_seconds",
            "When the configuration in force was read",
        ),
        read: |inputs, _| {
            let success_at = inputs.reloads.last().success_at.as_secs_f64();
            vec![inputs.sample(Vec::new(), Value::Real(success_at))]
        },
    },
    DaemonFamily {
        family: Family::counter(
            "portprobe_file_reload_failures_total",
            "Attempts to read a changed file again, such as a certificate, that left what it held before in force",
        ),
        read: |inputs, _| vec![inputs.sample(Vec::new(), Value::Count(inputs.file_reload_failures.total()))],
    },
    DaemonFamily {
        family: Family::gauge("portprobe_discovery_targets", "Targets that come from a source, before they are shared")
            .by(&["source"]),
        read: |inputs, _| inputs.by_source(|status| count(status.targets)),
    },
    DaemonFamily {
        family: Family::counter(
            "portprobe_discovery_failures_total",
            "Looks at a source from which nothing could be learnt, or not everything; what it said before stays in force",
        )
        .by(&["source"]),
        read: |inputs, _| inputs.by_source(|status| Value::Count(status.failures)),
    },
    DaemonFamily {
        family: Family::gauge(
            "portprobe_discovery_invalid_targets",
            "Entries of a source that are left out: invalid, of a name that is taken, or beyond limits.targets",
        )
        .by(&["source"]),
        read: |inputs, _| inputs.by_source(|status| count(status.invalid)),
    },
    DaemonFamily {
        family: Family::counter("portprobe_http_requests_total", "Answered HTTP requests by route and status code")
            .by(&["path", "code"]),
        read: |inputs, _| {
            let requests = inputs.http_requests.snapshot().into_iter();
            let sample = |((route, code), count): ((&'static str, u16), u64)| {
                let own = vec![OwnLabel::fixed("path", route), OwnLabel::new("code", code.to_string())];
                inputs.sample(own, Value::Count(count))
            };
            requests.map(sample).collect()
        },
    },
];

//! Metrics of portprobe itself.

use super::family::Family;
use super::sample::{OwnLabel, Owner, Sample, Value};
use super::{Inputs, SourceStatus};
use crate::board::Rows;
use crate::locks::read;

/// A family with series of portprobe itself.
#[derive(Clone, Copy, Debug)]
pub(super) struct DaemonFamily {
    pub(super) family: Family,
    /// Reads every series of the family.
    pub(super) read: fn(&Inputs, &Rows) -> Vec<Sample>,
}

impl Inputs {
    /// Creates a series of portprobe itself.
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
        family: Family::gauge("portprobe_build_info", "Version, revision and compiler of this build")
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
        family: Family::gauge(
            "portprobe_shard_info",
            "Shard of this replica, counted from 0, and the number of shards",
        )
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
        family: Family::gauge("portprobe_targets", "Number of targets"),
        // The number of rows in this scrape, even if targets have changed since it started.
        read: |inputs, rows| vec![inputs.sample(Vec::new(), count(rows.len()))],
    },
    DaemonFamily {
        family: Family::gauge("portprobe_probes_in_flight", "Probes in flight"),
        read: |inputs, _| vec![inputs.sample(Vec::new(), Value::Count(inputs.statistics.in_flight()))],
    },
    DaemonFamily {
        family: Family::histogram("portprobe_schedule_lag_seconds", "Delay between due time and probe start"),
        read: |inputs, _| {
            let (lag, buckets) = inputs.statistics.lag();
            vec![inputs.sample(Vec::new(), Value::Histogram(lag, buckets.clone()))]
        },
    },
    DaemonFamily {
        family: Family::counter(
            "portprobe_skipped_probes_total",
            "Skipped probes by reason: previous probe still running (overlap) or waiting (limit), or process stopped (paused)",
        )
        .by(&["reason"]),
        read: |inputs, _| {
            let statistics = &inputs.statistics;
            let counts = [
                ("overlap", statistics.skipped_by_overlap()),
                ("limit", statistics.skipped_by_limit()),
                ("paused", statistics.skipped_by_pause()),
            ];
            counts
                .into_iter()
                .map(|(reason, count)| inputs.by_reason(reason, count))
                .collect()
        },
    },
    DaemonFamily {
        family: Family::counter(
            "portprobe_local_faults_total",
            "Local faults by reason: probes that this machine could not make; they change no state",
        )
        .by(&["reason"]),
        read: |inputs, _| {
            inputs
                .board
                .local_faults()
                .map(|(reason, count)| inputs.by_reason(reason.as_str(), count))
                .collect()
        },
    },
    DaemonFamily {
        family: Family::gauge(
            "portprobe_config_last_reload_successful",
            "Whether the last configuration reload succeeded",
        ),
        read: |inputs, _| vec![inputs.sample(Vec::new(), Value::from(inputs.reloads.last().successful))],
    },
    DaemonFamily {
        family: Family::gauge(
            "portprobe_config_last_reload_success_timestamp_seconds",
            "Time of the last successful configuration reload",
        ),
        read: |inputs, _| {
            let success_at = inputs.reloads.last().success_at.as_secs_f64();
            vec![inputs.sample(Vec::new(), Value::Real(success_at))]
        },
    },
    DaemonFamily {
        family: Family::counter(
            "portprobe_file_reload_failures_total",
            "Failed reloads of changed files, such as certificates; the last good content stays in use",
        ),
        read: |inputs, _| vec![inputs.sample(Vec::new(), Value::Count(inputs.file_reload_failures.total()))],
    },
    DaemonFamily {
        family: Family::gauge("portprobe_discovery_targets", "Targets of a discovery source, before sharding")
            .by(&["source"]),
        read: |inputs, _| inputs.by_source(|status| count(status.targets)),
    },
    DaemonFamily {
        family: Family::counter(
            "portprobe_discovery_failures_total",
            "Discovery refreshes that failed or were incomplete",
        )
        .by(&["source"]),
        read: |inputs, _| inputs.by_source(|status| Value::Count(status.failures)),
    },
    DaemonFamily {
        family: Family::gauge(
            "portprobe_discovery_invalid_targets",
            "Entries of a discovery source that were skipped: invalid, with a duplicate name, or beyond limits.targets",
        )
        .by(&["source"]),
        read: |inputs, _| inputs.by_source(|status| count(status.invalid)),
    },
    DaemonFamily {
        family: Family::counter("portprobe_http_requests_total", "HTTP requests by route and status code")
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

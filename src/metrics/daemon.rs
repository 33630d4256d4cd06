//! Metrics of portprobe itself.

use super::Inputs;
use super::family::Family;
use super::sample::{OwnLabel, Owner, Sample, Value};
use crate::board::{SourceStatus, View};
use crate::store::StoreStatistics;

/// A family with series of portprobe itself.
#[derive(Clone, Copy, Debug)]
pub(super) struct DaemonFamily {
    pub(super) family: Family,
    /// Reads every series of the family.
    pub(super) read: fn(&DaemonReader<'_>) -> Vec<Sample>,
}

/// Reads the series of portprobe itself, in the state of one scrape.
#[derive(Clone, Copy, Debug)]
pub(super) struct DaemonReader<'a> {
    pub(super) inputs: &'a Inputs,
    pub(super) view: &'a View,
}

impl DaemonReader<'_> {
    /// Creates a series of portprobe itself.
    pub(super) fn sample(&self, own: Vec<OwnLabel>, value: Value) -> Sample {
        Sample { owner: Owner::Daemon(self.view.environment.labels.clone()), own, value }
    }

    fn by_source(&self, value: impl Fn(&SourceStatus) -> Value) -> Vec<Sample> {
        let sample =
            |status: &SourceStatus| self.sample(vec![OwnLabel::new("source", status.name.to_string())], value(status));
        self.view.environment.sources.iter().map(sample).collect()
    }

    fn of_store(&self, value: impl Fn(&StoreStatistics) -> Option<Value>) -> Vec<Sample> {
        let value = self.inputs.store.as_deref().and_then(value);
        value.map(|value| self.sample(Vec::new(), value)).into_iter().collect()
    }

    fn by_reason(&self, reason: &'static str, count: u64) -> Sample {
        self.sample(vec![OwnLabel::fixed("reason", reason)], Value::Count(count))
    }
}

pub(super) fn count(count: usize) -> Value {
    Value::Count(u64::try_from(count).unwrap_or(u64::MAX))
}

/// Every family of portprobe itself.
pub(super) const DAEMON: &[DaemonFamily] = &[
    DaemonFamily {
        family: Family::gauge("portprobe_build_info", "Version, revision and compiler of this build")
            .by(&["version", "revision", "rustc"]),
        read: |reader| {
            let own = vec![
                OwnLabel::fixed("version", env!("CARGO_PKG_VERSION")),
                OwnLabel::fixed("revision", env!("PORTPROBE_REVISION")),
                OwnLabel::fixed("rustc", env!("PORTPROBE_RUSTC")),
            ];
            vec![reader.sample(own, Value::Count(1))]
        },
    },
    DaemonFamily {
        family: Family::gauge(
            "portprobe_shard_info",
            "Shard of this replica, counted from 0, and the number of shards",
        )
        .by(&["shard", "shards"]),
        read: |reader| {
            let shard = reader.inputs.shard;
            let own = vec![
                OwnLabel::new("shard", shard.index().to_string()),
                OwnLabel::new("shards", shard.count().to_string()),
            ];
            vec![reader.sample(own, Value::Count(1))]
        },
    },
    DaemonFamily {
        family: Family::gauge("portprobe_targets", "Number of targets"),
        // The number of rows in this scrape, even if targets have changed since it started.
        read: |reader| vec![reader.sample(Vec::new(), count(reader.view.rows.len()))],
    },
    DaemonFamily {
        family: Family::gauge("portprobe_probes_in_flight", "Probes in flight"),
        read: |reader| vec![reader.sample(Vec::new(), Value::Count(reader.inputs.statistics.in_flight()))],
    },
    DaemonFamily {
        family: Family::histogram("portprobe_schedule_lag_seconds", "Delay between due time and probe start"),
        read: |reader| {
            let (lag, buckets) = reader.inputs.statistics.lag();
            vec![reader.sample(Vec::new(), Value::Histogram(lag, buckets.clone()))]
        },
    },
    DaemonFamily {
        family: Family::counter(
            "portprobe_skipped_probes_total",
            "Skipped probes by reason: previous probe still running (overlap) or waiting (limit), or process stopped (paused)",
        )
        .by(&["reason"]),
        read: |reader| {
            let statistics = &reader.inputs.statistics;
            let counts = [
                ("overlap", statistics.skipped_by_overlap()),
                ("limit", statistics.skipped_by_limit()),
                ("paused", statistics.skipped_by_pause()),
            ];
            counts
                .into_iter()
                .map(|(reason, count)| reader.by_reason(reason, count))
                .collect()
        },
    },
    DaemonFamily {
        family: Family::counter(
            "portprobe_local_faults_total",
            "Local faults by reason: probes that this machine could not make; they change no state",
        )
        .by(&["reason"]),
        read: |reader| {
            reader
                .inputs
                .board
                .local_faults()
                .map(|(reason, count)| reader.by_reason(reason.as_str(), count))
                .collect()
        },
    },
    DaemonFamily {
        family: Family::gauge(
            "portprobe_config_last_reload_successful",
            "Whether the last configuration reload succeeded",
        ),
        read: |reader| vec![reader.sample(Vec::new(), Value::from(reader.view.environment.reload.successful))],
    },
    DaemonFamily {
        family: Family::gauge(
            "portprobe_config_last_reload_success_timestamp_seconds",
            "Time of the last successful configuration reload",
        ),
        read: |reader| {
            let success_at = reader.view.environment.reload.success_at.as_secs_f64();
            vec![reader.sample(Vec::new(), Value::Real(success_at))]
        },
    },
    DaemonFamily {
        family: Family::counter(
            "portprobe_file_reload_failures_total",
            "Failed reloads of changed files, such as certificates; the last good content stays in use",
        ),
        read: |reader| vec![reader.sample(Vec::new(), Value::Count(reader.inputs.file_reload_failures.total()))],
    },
    DaemonFamily {
        family: Family::gauge("portprobe_storage_size_bytes", "Size of the database, with --storage.path"),
        read: |reader| reader.of_store(|store| Some(Value::Count(store.size_bytes()))),
    },
    DaemonFamily {
        family: Family::counter(
            "portprobe_storage_write_failures_total",
            "Failed writes of the database; the changes stay in memory and are written with the next ones",
        ),
        read: |reader| reader.of_store(|store| Some(Value::Count(store.write_failures()))),
    },
    DaemonFamily {
        family: Family::counter("portprobe_storage_recoveries_total", "Damaged databases that were moved aside"),
        read: |reader| reader.of_store(|store| Some(Value::Count(store.recoveries()))),
    },
    DaemonFamily {
        family: Family::gauge(
            "portprobe_storage_last_write_timestamp_seconds",
            "Time of the last successful write of the database",
        ),
        read: |reader| reader.of_store(|store| store.last_write().map(|at| Value::Real(at.as_secs_f64()))),
    },
    DaemonFamily {
        family: Family::gauge("portprobe_discovery_targets", "Targets of a discovery source, before sharding")
            .by(&["source"]),
        read: |reader| reader.by_source(|status| count(status.targets)),
    },
    DaemonFamily {
        family: Family::counter(
            "portprobe_discovery_failures_total",
            "Discovery refreshes that failed or were incomplete",
        )
        .by(&["source"]),
        read: |reader| reader.by_source(|status| Value::Count(status.failures)),
    },
    DaemonFamily {
        family: Family::gauge(
            "portprobe_discovery_invalid_targets",
            "Entries of a discovery source that were skipped: invalid, with a duplicate name, or beyond limits.targets",
        )
        .by(&["source"]),
        read: |reader| reader.by_source(|status| count(status.invalid)),
    },
    DaemonFamily {
        family: Family::counter("portprobe_http_requests_total", "HTTP requests by route and status code")
            .by(&["path", "code"]),
        read: |reader| {
            let requests = reader.inputs.http_requests.snapshot().into_iter();
            let sample = |((route, code), count): ((&'static str, u16), u64)| {
                let own = vec![OwnLabel::fixed("path", route), OwnLabel::new("code", code.to_string())];
                reader.sample(own, Value::Count(count))
            };
            requests.map(sample).collect()
        },
    },
];

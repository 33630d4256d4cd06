//! Metric families: their names, types and help, and how the series of targets and groups are read.

use std::sync::Arc;

use tokio::time::Instant;

use super::sample::{OwnLabel, Owner, Sample, Value};
use crate::board::{GroupStatus, Row};
use crate::target::Target;

/// The name, type, labels and help of a metric.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Family {
    /// The name in queries; for a histogram, without `_bucket`, `_sum` and `_count`.
    pub name: &'static str,
    /// The type.
    pub kind: Kind,
    /// The labels of the family. Every series also has the global labels; that of a target has `target` and its labels.
    pub labels: &'static [&'static str],
    /// The help: one line without a full stop.
    pub help: &'static str,
}

impl Family {
    /// Creates a counter without labels.
    pub(super) const fn counter(name: &'static str, help: &'static str) -> Self {
        Self { name, kind: Kind::Counter, labels: &[], help }
    }

    /// Creates a gauge without labels.
    pub(super) const fn gauge(name: &'static str, help: &'static str) -> Self {
        Self { name, kind: Kind::Gauge, labels: &[], help }
    }

    /// Creates a histogram without labels.
    pub(super) const fn histogram(name: &'static str, help: &'static str) -> Self {
        Self { name, kind: Kind::Histogram, labels: &[], help }
    }

    /// Adds labels.
    pub(super) const fn by(self, labels: &'static [&'static str]) -> Self {
        Self { labels, ..self }
    }
}

/// The types of metrics. `_info` families are gauges, because text 0.0.4 has no info type.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// A value that only increases.
    Counter,
    /// A current value.
    Gauge,
    /// Classic and native buckets of the same observations.
    Histogram,
}

impl Kind {
    /// Returns the name in the exposition.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// A family with series of targets.
#[derive(Clone, Copy, Debug)]
pub(super) struct TargetFamily {
    pub(super) family: Family,
    /// Reads the series of one row.
    pub(super) read: fn(&Row, &mut RowReader<'_>),
}

/// A family with one series per group.
#[derive(Clone, Copy, Debug)]
pub(super) struct GroupFamily {
    pub(super) family: Family,
    /// Reads the value of one group; `None` if it has no series.
    pub(super) read: fn(&GroupStatus) -> Option<Value>,
}

impl GroupFamily {
    /// Reads the series of one group; `None` if it has none.
    pub(super) fn sample(&self, status: &GroupStatus) -> Option<Sample> {
        (self.read)(status).map(|value| Sample { owner: Owner::Group(status.group.clone()), own: Vec::new(), value })
    }
}

/// Copies the series of one family from a row.
#[derive(Debug)]
pub(super) struct RowReader<'a> {
    pub(super) samples: &'a mut Vec<Sample>,
    /// The time of the scrape.
    pub(super) now: Instant,
    /// The target of the row in this scrape.
    pub(super) target: &'a Arc<Target>,
}

impl RowReader<'_> {
    /// Adds a series without labels of the family.
    pub(super) fn one(&mut self, value: Value) {
        self.labelled(Vec::new(), value);
    }

    /// Adds a series if there is a value.
    pub(super) fn maybe(&mut self, value: Option<Value>) {
        if let Some(value) = value {
            self.one(value);
        }
    }

    /// Adds a series with labels of the family.
    pub(super) fn labelled(&mut self, own: Vec<OwnLabel>, value: Value) {
        self.samples
            .push(Sample { owner: Owner::Target(self.target.clone()), own, value });
    }
}

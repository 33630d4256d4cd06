//! Families: names and their meaning.

/// A metric's name and meaning.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Family {
    /// Name as in a query, for a histogram without `_bucket`, `_sum`, `_count`.
    pub name: &'static str,
    /// What it counts or tells.
    pub kind: Kind,
    /// Labels besides the global ones and, for series of a target, `target` and the target's own.
    pub labels: &'static [&'static str],
    /// One line without a full stop.
    pub help: &'static str,
}

impl Family {
    /// A counter without labels of its own.
    pub(super) const fn counter(name: &'static str, help: &'static str) -> Self {
        Self { name, kind: Kind::Counter, labels: &[], help }
    }

    /// A gauge without labels of its own.
    pub(super) const fn gauge(name: &'static str, help: &'static str) -> Self {
        Self { name, kind: Kind::Gauge, labels: &[], help }
    }

    /// A histogram without labels of its own.
    pub(super) const fn histogram(name: &'static str, help: &'static str) -> Self {
        Self { name, kind: Kind::Histogram, labels: &[], help }
    }

    /// The same with these labels.
    pub(super) const fn by(self, labels: &'static [&'static str]) -> Self {
        Self { labels, ..self }
    }
}

/// The types of metrics that portprobe has. An `_info` family is a gauge, for text 0.0.4 knows no info type.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// Only rises.
    Counter,
    /// A value of the moment.
    Gauge,
    /// Classic and native buckets of the same observations.
    Histogram,
}

impl Kind {
    /// The word for it in the exposition.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

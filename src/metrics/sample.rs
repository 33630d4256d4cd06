//! Samples: series of a family, copied from the rows.
//!
//! A row is locked while it is read, and a finished probe waits for its row. Encoding takes longer than copying, so the
//! encoder works on copies.

use std::borrow::Cow;
use std::sync::Arc;

use crate::histogram::{Buckets, Histogram};
use crate::target::{Group, LabelName, Labels, Target};

/// One series.
#[derive(Debug)]
pub(super) struct Sample {
    /// The owner, which adds its labels.
    pub(super) owner: Owner,
    /// The labels of the family. Empty ones are not written, because Prometheus treats an empty label as a missing one.
    pub(super) own: Vec<OwnLabel>,
    /// The value.
    pub(super) value: Value,
}

/// A label of a family with its value.
#[derive(Clone, Debug)]
pub(super) struct OwnLabel {
    pub(super) name: Cow<'static, str>,
    pub(super) value: Cow<'static, str>,
}

impl OwnLabel {
    /// Creates a label with a constant value.
    pub(super) const fn fixed(name: &'static str, value: &'static str) -> Self {
        Self { name: Cow::Borrowed(name), value: Cow::Borrowed(value) }
    }

    /// Creates a label with any value.
    pub(super) const fn new(name: &'static str, value: String) -> Self {
        Self { name: Cow::Borrowed(name), value: Cow::Owned(value) }
    }

    /// Creates a label whose name comes from the configuration.
    pub(super) fn chosen(name: &LabelName, value: String) -> Self {
        Self { name: Cow::Owned(name.as_str().to_owned()), value: Cow::Owned(value) }
    }
}

/// The owner of a series. Its labels are added to those of the family.
#[derive(Clone, Debug)]
pub(super) enum Owner {
    /// portprobe itself, with the global labels.
    Daemon(Arc<Labels>),
    /// A group.
    Group(Arc<Group>),
    /// A target.
    Target(Arc<Target>),
}

/// The value of a series.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    /// A whole number.
    Count(u64),
    /// A histogram with the bounds of its classic buckets.
    Histogram(Histogram, Buckets),
    /// A finite number of seconds.
    Real(f64),
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Count(value.into())
    }
}

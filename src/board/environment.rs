//! The part of a scrape that is about the configuration and its sources instead of a target.

use std::sync::Arc;

use crate::clock::Timestamp;
use crate::options::PublicOptions;
use crate::target::Labels;

/// Everything that changes together with the targets.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    /// The labels of every series of portprobe itself.
    pub labels: Arc<Labels>,
    /// The result of the last configuration reload.
    pub reload: LastReload,
    /// The public page, if there is one.
    pub public: Option<Arc<PublicOptions>>,
    /// The status of each discovery source, in the order of the configuration.
    pub sources: Vec<SourceStatus>,
}

impl Environment {
    /// Sets the number of failed refreshes of a source.
    pub fn set_failures(&mut self, source: &str, failures: u64) {
        for status in self.sources.iter_mut().filter(|status| *status.name == *source) {
            status.failures = failures;
        }
    }
}

/// The result of the last configuration reload. The load at the start counts as a reload.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct LastReload {
    /// Whether it succeeded.
    pub successful: bool,
    /// The time of the last success.
    pub success_at: Timestamp,
}

impl LastReload {
    /// Returns a reload that succeeded.
    pub const fn success(at: Timestamp) -> Self {
        Self { successful: true, success_at: at }
    }
}

/// The status of a discovery source.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SourceStatus {
    /// Its name.
    pub name: Arc<str>,
    /// The number of its targets.
    pub targets: usize,
    /// The number of its skipped entries.
    pub invalid: usize,
    /// The number of refreshes that failed or were incomplete.
    pub failures: u64,
}

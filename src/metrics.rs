//! The metrics for Prometheus, read from the board on request.
//!
//! [`families`] lists every metric with its type, labels and help. An [`Exposition`] writes one family after the other.
//! This module stores only values that no other module has: the results of reloads, discovery refreshes and HTTP
//! requests, and the global labels.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, RwLock};

pub use self::exposition::Exposition;
pub use self::family::{Family, Kind};
use crate::board::Board;
use crate::clock::{self, Timestamp};
use crate::locks::{lock, write};
use crate::scheduler::Statistics;
use crate::target::{Labels, Shard};

mod certificate;
mod daemon;
mod encode;
mod exposition;
mod family;
mod process;
mod sample;
mod service;
mod target;

/// All metrics.
#[derive(Clone, Debug)]
pub struct Metrics(Arc<Inputs>);

impl Metrics {
    /// Creates the metrics. `labels` are added to every series of portprobe itself.
    pub fn new(board: Arc<Board>, statistics: Arc<Statistics>, labels: Labels, shard: Shard) -> Self {
        Self(Arc::new(Inputs {
            board,
            statistics,
            http_requests: HttpRequests::default(),
            file_reload_failures: FileReloadFailures::default(),
            shard,
            source_statuses: SourceStatuses::default(),
            reloads: Reloads::new(clock::now()),
            labels: RwLock::new(Arc::new(labels)),
        }))
    }

    /// Starts an exposition in this format, which is read piece by piece.
    pub fn exposition(&self, format: Format) -> Exposition {
        Exposition::new(self.0.clone(), format)
    }

    /// Returns the counter of failed file reloads.
    pub fn file_reload_failures(&self) -> &FileReloadFailures {
        &self.0.file_reload_failures
    }

    /// Replaces the labels of the series of portprobe itself.
    pub fn set_labels(&self, labels: Labels) {
        *write(&self.0.labels) = Arc::new(labels);
    }

    /// Returns the results of configuration reloads.
    pub fn reloads(&self) -> &Reloads {
        &self.0.reloads
    }

    /// Returns the status of each discovery source.
    pub fn sources(&self) -> &SourceStatuses {
        &self.0.source_statuses
    }

    /// Returns the counters of HTTP requests.
    pub fn http_requests(&self) -> &HttpRequests {
        &self.0.http_requests
    }
}

/// The formats of an exposition.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Format {
    /// OpenMetrics text 1.0.
    OpenMetrics,
    /// Delimited protobuf messages, the only format with native histograms.
    Protobuf,
    /// Prometheus text 0.0.4.
    Text,
}

/// Returns every family, in the order of the exposition.
pub fn families() -> impl Iterator<Item = &'static Family> {
    let targets = target::TARGETS.iter().map(|of_target| &of_target.family);
    let groups = target::GROUPS.iter().map(|of_group| &of_group.family);
    let daemon = daemon::DAEMON.iter().map(|of_daemon| &of_daemon.family);
    targets
        .chain(groups)
        .chain(daemon)
        .chain(process::PROCESS.iter().map(|of_process| &of_process.family))
}

/// The number of failed reloads of changed files.
#[derive(Debug, Default)]
pub struct FileReloadFailures(AtomicU64);

impl FileReloadFailures {
    /// Counts one failure.
    pub fn count(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn total(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The result of the last configuration reload. The load at the start counts as a reload.
#[derive(Debug)]
pub struct Reloads(Mutex<LastReload>);

#[derive(Clone, Copy, Debug)]
struct LastReload {
    successful: bool,
    success_at: Timestamp,
}

impl Reloads {
    fn new(success_at: Timestamp) -> Self {
        Self(Mutex::new(LastReload { successful: true, success_at }))
    }

    /// Records a successful reload.
    pub fn succeeded(&self, at: Timestamp) {
        *self.last() = LastReload { successful: true, success_at: at };
    }

    /// Records a failed reload.
    pub fn failed(&self) {
        self.last().successful = false;
    }

    fn last(&self) -> MutexGuard<'_, LastReload> {
        lock(&self.0)
    }
}

/// The status of all discovery sources.
#[derive(Debug, Default)]
pub struct SourceStatuses(Mutex<Vec<SourceStatus>>);

impl SourceStatuses {
    /// Replaces all statuses.
    pub fn set(&self, statuses: Vec<SourceStatus>) {
        *lock(&self.0) = statuses;
    }

    /// Sets the number of failed refreshes of a source.
    pub fn set_failures(&self, name: &str, failures: u64) {
        let mut statuses = lock(&self.0);
        for status in statuses.iter_mut().filter(|status| *status.name == *name) {
            status.failures = failures;
        }
    }

    fn snapshot(&self) -> Vec<SourceStatus> {
        lock(&self.0).clone()
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

/// HTTP responses by route and status code.
#[derive(Debug, Default)]
pub struct HttpRequests(Mutex<BTreeMap<(&'static str, u16), u64>>);

impl HttpRequests {
    /// Counts a response. `route` is the path of the route, never the requested path.
    pub fn count(&self, route: &'static str, code: u16) {
        *lock(&self.0).entry((route, code)).or_default() += 1;
    }

    fn snapshot(&self) -> BTreeMap<(&'static str, u16), u64> {
        lock(&self.0).clone()
    }
}

/// The inputs of a scrape.
#[derive(Debug)]
struct Inputs {
    board: Arc<Board>,
    statistics: Arc<Statistics>,
    http_requests: HttpRequests,
    file_reload_failures: FileReloadFailures,
    shard: Shard,
    source_statuses: SourceStatuses,
    reloads: Reloads,
    labels: RwLock<Arc<Labels>>,
}

#[cfg(test)]
mod tests;

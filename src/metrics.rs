//! The metrics for Prometheus, read from the board on request.
//!
//! [`families`] lists every metric with its type, labels and help. An [`Exposition`] writes one family after the other.
//! This module stores only values that no other module has: the counters of HTTP requests and of failed file reloads.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

pub use self::exposition::Exposition;
pub use self::family::{Family, Kind};
use crate::audit::Audits;
use crate::board::Board;
use crate::locks::lock;
use crate::scheduler::Statistics;
use crate::store::StoreStatistics;
use crate::target::Shard;

mod audit;
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
    /// Creates the metrics of a board, a scheduler, a store that is a file, audits, and a shard.
    pub fn new(
        board: Arc<Board>,
        statistics: Arc<Statistics>,
        store: Option<Arc<StoreStatistics>>,
        audits: Arc<Audits>,
        shard: Shard,
    ) -> Self {
        Self(Arc::new(Inputs {
            board,
            statistics,
            store,
            http_requests: HttpRequests::default(),
            file_reload_failures: FileReloadFailures::default(),
            shard,
            audits,
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

    /// Returns the counters of the scheduler.
    pub fn statistics(&self) -> &Statistics {
        &self.0.statistics
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
    let daemon = daemon::DAEMON.iter().chain(audit::AUDITS).map(|of_daemon| &of_daemon.family);
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

    /// Returns the number of failures.
    pub fn total(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
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
    store: Option<Arc<StoreStatistics>>,
    http_requests: HttpRequests,
    file_reload_failures: FileReloadFailures,
    shard: Shard,
    audits: Arc<Audits>,
}

#[cfg(test)]
mod tests;

//! Metrics: what Prometheus is told, written from the board at the moment of asking.
//!
//! One list of families, [`families`], is the source of names, types, labels and help; an [`Exposition`] walks it family
//! by family. What is stored here is what no other keeps: how reloads, sources, files and HTTP
//! requests fared, and the labels of portprobe's own series.

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
mod exposition;
mod family;
mod process;
mod sample;
mod service;
mod encode;
mod target;

/// Everything that is exposed.
#[derive(Clone, Debug)]
pub struct Metrics(Arc<Inputs>);

impl Metrics {
    /// Metrics of what these say; `labels` stand on every series of portprobe itself.
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

    /// Everything in this format, to be taken piece by piece.
    pub fn exposition(&self, format: Format) -> Exposition {
        Exposition::new(self.0.clone(), format)
    }

    /// A counter for whoever watches files to raise.
    pub fn file_reload_failures(&self) -> &FileReloadFailures {
        &self.0.file_reload_failures
    }

    /// Puts other labels on every series of portprobe itself.
    pub fn set_labels(&self, labels: Labels) {
        *write(&self.0.labels) = Arc::new(labels);
    }

    /// What whoever reloads the configuration has to tell.
    pub fn reloads(&self) -> &Reloads {
        &self.0.reloads
    }

    /// What whoever keeps sources of targets has to tell.
    pub fn sources(&self) -> &SourceStatuses {
        &self.0.source_statuses
    }

    /// Counters for the HTTP server to raise.
    pub fn http_requests(&self) -> &HttpRequests {
        &self.0.http_requests
    }
}

/// How metrics are written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Format {
    /// OpenMetrics 1.0, text.
    OpenMetrics,
    /// Prometheus' delimited protobuf messages, the only format with native histograms.
    Protobuf,
    /// Prometheus' text format 0.0.4.
    Text,
}

/// Every family that may be exposed, in the order of the page.
pub fn families() -> impl Iterator<Item = &'static Family> {
    let targets = target::TARGETS.iter().map(|of_target| &of_target.family);
    let groups = target::GROUPS.iter().map(|of_group| &of_group.family);
    let daemon = daemon::DAEMON.iter().map(|of_daemon| &of_daemon.family);
    targets.chain(groups).chain(daemon).chain(process::PROCESS.iter().map(|of_process| &of_process.family))
}

/// How often a file that is watched was found changed and could not be used.
#[derive(Debug, Default)]
pub struct FileReloadFailures(AtomicU64);

impl FileReloadFailures {
    /// Counts one.
    pub fn count(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn total(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// How the last reload of the configuration has ended; reading it at the start counts as one.
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

    /// The configuration was read anew and is in force.
    pub fn succeeded(&self, at: Timestamp) {
        *self.last() = LastReload { successful: true, success_at: at };
    }

    /// It could not be used; the one before stays in force.
    pub fn failed(&self) {
        self.last().successful = false;
    }

    fn last(&self) -> MutexGuard<'_, LastReload> {
        lock(&self.0)
    }
}

/// What there is to tell of each source of targets.
#[derive(Debug, Default)]
pub struct SourceStatuses(Mutex<Vec<SourceStatus>>);

impl SourceStatuses {
    /// Tells this from now on.
    pub fn set(&self, statuses: Vec<SourceStatus>) {
        *lock(&self.0) = statuses;
    }

    /// One source could not be learnt from so often by now.
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

/// What there is to tell of one source.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SourceStatus {
    /// Its name.
    pub name: Arc<str>,
    /// Targets that come from it.
    pub targets: usize,
    /// What it has said and is no target.
    pub invalid: usize,
    /// How often nothing could be learnt from it, or not everything.
    pub failures: u64,
}

/// Answered HTTP requests, by route and status code.
#[derive(Debug, Default)]
pub struct HttpRequests(Mutex<BTreeMap<(&'static str, u16), u64>>);

impl HttpRequests {
    /// Counts one answer. `route` is a route's path, never the path that was asked for.
    pub fn count(&self, route: &'static str, code: u16) {
        *lock(&self.0).entry((route, code)).or_default() += 1;
    }

    fn snapshot(&self) -> BTreeMap<(&'static str, u16), u64> {
        lock(&self.0).clone()
    }
}

/// What a scrape reads.
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

//! Reload: when the configuration is read anew, and what becomes of that.
//!
//! Asked for by signal, by HTTP, or by a content that has changed. One reload runs at a time and serves everybody who
//! has asked before it began. It is all or nothing: what cannot be used as a whole changes nothing.

use std::fmt;
use std::panic::resume_unwind;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::task::spawn_blocking;
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep};
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use super::roster::{Difference, Roster};
use super::{layout, limits, machine, service};
use crate::board::Board;
use crate::clock;
use crate::config::{Config, LoadError};
use crate::http::{Readiness, Reloads};
use crate::metrics::Metrics;
use crate::shutdown::Hangups;
use crate::target::{Sha256Digest, Target};

/// Where a configuration comes from, and who else lives by it.
///
/// Its methods block; they are called beside the thread that probes.
pub trait Origin: fmt::Debug + Send + Sync + 'static {
    /// Reads the configuration, and every file that it names.
    fn load(&self) -> Result<Config, LoadError>;

    /// A digest of its present content; none where that cannot be read.
    fn digest(&self) -> Option<Sha256Digest>;

    /// Takes over what is neither target nor limit nor label. The configuration is in force from here on.
    fn adopt(&self, config: &Config);
}

/// Whether the content of a configuration is watched.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum AutoReload {
    /// It is, every ten seconds.
    On,
    /// It is not: only whoever asks gets a reload.
    Off,
}

/// Reloads a configuration whenever it is asked to.
#[derive(Debug)]
pub(super) struct Reloader {
    pub(super) origin: Arc<dyn Origin>,
    pub(super) auto: AutoReload,
    pub(super) hangups: Hangups,
    pub(super) requests: mpsc::Receiver<oneshot::Sender<Result<(), String>>>,
    pub(super) board: Arc<Board>,
    pub(super) metrics: Metrics,
}

impl Reloader {
    /// Reloads until `stop` is cancelled.
    pub(super) async fn run(mut self, roster: &mut Roster, stop: &CancellationToken) {
        let mut known = self.digest().await;
        let mut looks = interval_at(Instant::now() + LOOK_EVERY, LOOK_EVERY);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let mut asked = Vec::new();
            let trigger = tokio::select! {
                () = stop.cancelled() => return,
                () = self.hangups.next() => "SIGHUP",
                Some(request) = self.requests.recv() => {
                    asked.push(request);
                    "HTTP"
                }
                _ = looks.tick(), if self.auto == AutoReload::On => {
                    if self.digest().await == known {
                        continue;
                    }
                    self.settle().await;
                    "its content"
                }
            };
            while let Ok(request) = self.requests.try_recv() {
                asked.push(request);
            }
            // Before it is read: what is written meanwhile is seen at the next look.
            known = self.digest().await;
            service::reloading();
            let result = self.reload(roster, trigger).await;
            service::ready();
            for request in asked {
                // Whoever has asked may be gone.
                let _ = request.send(result.clone());
            }
        }
    }

    /// Waits until somebody who is writing has finished, as far as that can be told: half a file may be a good one.
    async fn settle(&self) {
        let mut before = self.digest().await;
        for _ in 0..MAX_SETTLING {
            sleep(SETTLING).await;
            let now = self.digest().await;
            if now == before {
                return;
            }
            before = now;
        }
    }

    /// One reload; the error is every problem, a line each.
    async fn reload(&self, roster: &mut Roster, trigger: &'static str) -> Result<(), String> {
        let origin = self.origin.clone();
        let config = match blocking(move || origin.load()).await {
            Ok(config) => config,
            Err(problems) => {
                self.metrics.reloads().failed();
                let count = problems.complaints().len();
                error!(trigger, count, %problems, "Cannot reload the configuration; the one before stays in force");
                return Err(problems.to_string());
            }
        };
        let targets = self.adopt(config).await;
        let Ok(difference) = roster.replace(targets.0, Some(targets.1)).await else {
            return Err("the daemon is stopping".to_owned());
        };
        machine::return_free_memory();
        self.metrics.reloads().succeeded(clock::now());
        let Difference { added, changed, removed } = difference;
        info!(trigger, targets = roster.len(), added, changed, removed, "Reloaded the configuration");
        Ok(())
    }

    /// Takes over everything but the targets and limits, and gives those back.
    async fn adopt(&self, config: Config) -> (Vec<Arc<Target>>, crate::scheduler::Limits) {
        let origin = self.origin.clone();
        let config = blocking(move || {
            origin.adopt(&config);
            config
        })
        .await;
        self.metrics.set_labels(config.labels);
        self.board.set_layout(layout(config.histograms));
        (config.targets, limits(config.limits))
    }

    async fn digest(&self) -> Option<Sha256Digest> {
        let origin = self.origin.clone();
        blocking(move || origin.digest()).await
    }
}

/// Schedules the first targets, then keeps them until `stop` is cancelled.
pub(super) async fn keep(
    mut roster: Roster,
    targets: Vec<Arc<Target>>,
    reloader: Option<Reloader>,
    readiness: &Readiness,
    stop: &CancellationToken,
) {
    // The scheduler refuses only once it has stopped, and then nothing is to become ready.
    if roster.replace(targets, None).await.is_ok() {
        readiness.set_ready();
        service::ready();
    }
    match reloader {
        Some(reloader) => reloader.run(&mut roster, stop).await,
        None => stop.cancelled().await,
    }
    readiness.set_stopping();
    service::stopping();
}

/// Runs what blocks beside the thread that probes.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match spawn_blocking(work).await {
        Ok(done) => done,
        // It is never cancelled, for nobody has a handle to do so.
        Err(failed) => resume_unwind(failed.into_panic()),
    }
}

/// A channel for those who ask for a reload by HTTP.
pub(super) fn requests() -> (Reloads, mpsc::Receiver<oneshot::Sender<Result<(), String>>>) {
    let (sender, receiver) = mpsc::channel(MAX_REQUESTS);
    (Reloads::new(sender), receiver)
}

/// As often as Prometheus' own exporters look at the most.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// A content that is the same after so long is taken for whole.
const SETTLING: Duration = Duration::from_millis(500);

/// A file that changes all the time is taken as it is in the end.
const MAX_SETTLING: usize = 20;

/// Requests that wait for a reload at a time; further ones wait to be taken.
const MAX_REQUESTS: usize = 64;

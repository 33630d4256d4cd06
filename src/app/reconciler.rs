//! The keeper: one task through which every change of the targets goes, whoever brings it.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval_at};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::loaded_files::Files;
use super::reload::{ConfigFile, Trigger};
use super::roster::{Difference, Roster};
use super::target_sources::{Supply, Trouble};
use super::{process, service};
use crate::board::Board;
use crate::clock;
use crate::config::Config;
use crate::discovery::{Found, Lookups, Sources, Update};
use crate::http::{Readiness, Running};
use crate::metrics::Metrics;
use crate::options::Limits;
use crate::probe::NetworkProber;
use crate::scheduler::Stopped;
use crate::tasks::blocking;

/// Keeps the targets as configuration and sources want them.
#[derive(Debug)]
pub(super) struct Keeper {
    pub(super) roster: Roster,
    pub(super) supply: Supply,
    pub(super) sources: Sources,
    pub(super) files: Files,
    pub(super) board: Arc<Board>,
    pub(super) metrics: Metrics,
    pub(super) config_file: Option<ConfigFile>,
    pub(super) running: Arc<Running>,
    pub(super) prober: Arc<NetworkProber>,
    pub(super) lookups: Lookups,
}

impl Keeper {
    /// Schedules the targets of the first configuration, then takes over what comes until `stop` is cancelled; a file
    /// that is being read then is not waited for.
    pub(super) async fn run(
        mut self,
        config: Config,
        mut triggers: mpsc::Receiver<Trigger>,
        readiness: &Readiness,
        stop: &CancellationToken,
    ) {
        stop.run_until_cancelled(self.keep(config, &mut triggers, readiness)).await;
        readiness.set_stopping();
        service::stopping();
    }

    /// Comes to no end; what is under way may be dropped, for the targets go with the daemon.
    async fn keep(&mut self, config: Config, triggers: &mut mpsc::Receiver<Trigger>, readiness: &Readiness) {
        // The scheduler refuses only once it has stopped, and then nothing is to become ready.
        if self.configure(config).await.is_ok() {
            readiness.set_ready();
            service::ready();
        }
        let mut retries = interval_at(Instant::now() + RETRY_EVERY, RETRY_EVERY);
        retries.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = retries.tick(), if self.supply.lacks_files() => self.retry().await,
                Some(trigger) = triggers.recv() => self.reload(trigger).await,
                update = self.sources.next() => self.discover(update).await,
            }
        }
    }

    /// One reload. All or nothing: what cannot be used as a whole changes nothing.
    async fn reload(&mut self, trigger: Trigger) {
        let Trigger { by, requests } = trigger;
        service::reloading();
        let result = self.read_anew(by).await;
        service::ready();
        for request in requests {
            // Whoever has asked may be gone.
            let _ = request.send(result.clone());
        }
    }

    /// Reads the configuration and takes it over; the error is every problem, a line each.
    async fn read_anew(&mut self, by: &'static str) -> Result<(), String> {
        let Some(file) = self.config_file.clone() else { return Ok(()) };
        let config = match blocking(move || file.load()).await {
            Ok(config) => config,
            Err(problems) => {
                self.metrics.reloads().failed();
                let count = problems.complaints().len();
                error!(by, count, %problems, "Cannot reload the configuration; the one before stays in force");
                return Err(problems.to_string());
            }
        };
        let Ok(difference) = self.configure(config).await else { return Err("the daemon is stopping".to_owned()) };
        self.metrics.reloads().succeeded(clock::now());
        let Difference { added, changed, removed } = difference;
        info!(by, targets = self.roster.len(), added, changed, removed, "Reloaded the configuration");
        Ok(())
    }

    /// Takes over a configuration.
    async fn configure(&mut self, config: Config) -> Result<Difference, Stopped> {
        process::raise_descriptor_limit(config.limits.in_flight);
        self.prober.set_resolver_options(config.dns);
        self.lookups.set_resolver_options(config.dns);
        let take_over = move |supply: &mut Supply, files: &Files| {
            supply.configure(&config, files);
            // Letting go of a hundred thousand targets takes its time, too.
            Config { targets: Vec::new(), ..config }
        };
        let config = self.with_supply(take_over).await;
        self.sources.set(&config.discovery);
        self.metrics.set_labels(config.labels);
        self.running.set(config.shown);
        for warning in config.warnings.iter().take(MAX_TOLD) {
            warn!(%warning, "The configuration can be used, but a part of it may be a mistake");
        }
        if config.warnings.len() > MAX_TOLD {
            warn!(count = config.warnings.len(), "Not all warnings are told; portprobe check does");
        }
        self.board.set_histogram_options(config.histograms);
        let difference = self.apply(Some(config.limits)).await?;
        blocking(process::return_free_memory).await;
        Ok(difference)
    }

    /// Takes over what a source says, or notes that nothing can be learnt from it.
    async fn discover(&mut self, update: Update) {
        let Update { source, found } = update;
        let name = source.name.clone();
        let (entries, trouble, message) = match found {
            Ok(Found { entries, complaints }) => (Some(entries), complaints, "A part of a source cannot be used"),
            Err(why) => (None, vec![why], "Discovery has failed; the targets before stay in force"),
        };
        match self.supply.note_trouble(&source, trouble) {
            Trouble::New(reasons) => tell(&name, reasons, message),
            Trouble::Over => info!(source = %name, "Discovery works again"),
            Trouble::Same => {}
        }
        self.metrics.sources().set_failures(&name, self.supply.failures(&source));
        let Some(entries) = entries else { return };
        let are_many = entries.len() >= MANY;
        self.with_supply(move |supply, files| supply.take(&source, entries, files)).await;
        self.apply_discovered(&name).await;
        if are_many {
            blocking(process::return_free_memory).await;
        }
    }

    /// Takes targets that were left out for the sake of files which can be read by now.
    async fn retry(&mut self) {
        if self.with_supply(Supply::retry).await {
            self.apply_discovered("files that were missing").await;
        }
    }

    async fn apply_discovered(&mut self, source: &str) {
        if let Ok(Difference { added, changed, removed }) = self.apply(None).await
            && added + changed + removed > 0
        {
            info!(source, targets = self.roster.len(), added, changed, removed, "Discovery has changed the targets");
        }
    }

    /// Makes the targets those of the supply.
    async fn apply(&mut self, limits: Option<Limits>) -> Result<Difference, Stopped> {
        let merged = self.with_supply(|supply, _| supply.merged()).await;
        self.metrics.sources().set(merged.statuses);
        for (source, invalid) in self.supply.news() {
            tell(source, invalid, "A source has an entry that is no target");
        }
        let difference = self.roster.replace(merged.targets, limits).await;
        self.with_supply(|supply, files| files.retain(&supply.profiles())).await;
        difference
    }

    /// Has the supply do something beside the thread that probes: of very many targets everything takes its time.
    async fn with_supply<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&mut Supply, &Files) -> T + Send + 'static,
    ) -> T {
        let (mut supply, files) = (std::mem::take(&mut self.supply), self.files.clone());
        let (supply, done) = blocking(move || {
            let done = work(&mut supply, &files);
            (supply, done)
        })
        .await;
        self.supply = supply;
        done
    }
}

/// Logs the first of some complaints about a source, and how many there are.
fn tell(source: &str, complaints: &[String], message: &'static str) {
    for reason in complaints.iter().take(MAX_TOLD) {
        warn!(source, reason, "{message}");
    }
    if complaints.len() > MAX_TOLD {
        warn!(source, count = complaints.len(), "{message}; not all are told");
    }
}

/// What reading so many entries took is worth giving back; while an allocator does so, the thread that probes may have to
/// wait for memory of its own.
const MANY: usize = 1000;

/// Of a list with thousands of mistakes the first few tell enough.
const MAX_TOLD: usize = 5;

/// As often as the files of TLS that are in use are looked at.
const RETRY_EVERY: Duration = Duration::from_secs(10);

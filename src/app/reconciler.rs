//! The reconciler: the only task that changes targets and configuration, in a reload or by discovery.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval, interval_at, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::discovered_files::DiscoveredFiles;
use super::loaded_files::LoadedFiles;
use super::on_demand::{Endpoint, OnDemandProbes};
use super::process::Descriptors;
use super::reload::{Cause, ConfigFile, Trigger};
use super::roster::{Difference, Roster, Unscheduled};
use super::startup::{FirstRefreshes, Startup};
use super::target_sources::{Merged, StatusChange, TargetSources, Unreported};
use super::{memory, service};
use crate::audit::Auditor;
use crate::board::{Board, Environment, LastReload};
use crate::clock;
use crate::config::{Config, Diagnostic};
use crate::discovery::{Snapshot, Sources, Update};
use crate::http::{Readiness, ReloadError, RunningConfig};
use crate::mass_removal::MassRemoval;
use crate::options::Limits;
use crate::probe::{Connector, NetworkProber};
use crate::scheduler::Stopped;
use crate::target::Sha256Digest;
use crate::tasks::blocking;

/// Makes board, scheduler and everything else follow the configuration and the discovery sources.
#[derive(Debug)]
pub(super) struct Reconciler {
    pub(super) roster: Roster,
    pub(super) target_sources: TargetSources,
    pub(super) discovery: Sources,
    pub(super) files: LoadedFiles,
    pub(super) discovered_files: DiscoveredFiles,
    pub(super) board: Arc<Board>,
    pub(super) config_file: Option<ConfigFile>,
    pub(super) running_config: Arc<RunningConfig>,
    pub(super) on_demand: Arc<OnDemandProbes>,
    pub(super) auditor: Auditor<NetworkProber>,
    pub(super) prober: Arc<NetworkProber>,
    pub(super) connector: Connector,
    pub(super) descriptors: Descriptors,
    pub(super) startup: Arc<Startup>,
    /// A changed configuration that is not applied yet.
    pub(super) unconfirmed: Option<Unconfirmed>,
}

/// A configuration that lacks most targets, so that it may be a part of a file that is still being written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Unconfirmed {
    digest: Option<Sha256Digest>,
    /// When it counts, if the file has not changed.
    due: Instant,
}

impl Reconciler {
    /// Schedules the targets of the first configuration, then applies every change until `stop` is cancelled. A file
    /// that is being read then is not waited for.
    pub(super) async fn run(
        mut self,
        config: Config,
        mut triggers: mpsc::Receiver<Trigger>,
        readiness: &Readiness,
        stop: &CancellationToken,
    ) {
        stop.run_until_cancelled(self.reconcile(config, &mut triggers, readiness)).await;
        readiness.set_stopping();
        service::stopping();
    }

    /// Never ends. It may be dropped at any point, because the targets are dropped with the daemon.
    async fn reconcile(&mut self, config: Config, triggers: &mut mpsc::Receiver<Trigger>, readiness: &Readiness) {
        // Fails only once the scheduler has stopped. The daemon must not become ready then.
        if self.configure(config).await.is_ok() {
            readiness.set_ready();
            service::ready();
        }
        let mut checks = interval(CHECK_START_EVERY);
        let mut retries = interval_at(Instant::now() + RETRY_EVERY, RETRY_EVERY);
        retries.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = retries.tick(), if self.target_sources.lack_files() => self.retry_files().await,
                Some(trigger) = triggers.recv() => self.on_trigger(trigger).await,
                unconfirmed = due(self.unconfirmed) => self.confirm(unconfirmed).await,
                update = self.discovery.next() => self.on_discovery(update).await,
                _ = checks.tick(), if !self.startup.is_over() => self.check_startup(),
            }
        }
    }

    fn check_startup(&self) {
        let awaits = self.discovery.awaits_first_update();
        let refreshes = if awaits { FirstRefreshes::Pending } else { FirstRefreshes::Finished };
        self.startup.check(&self.board, refreshes);
    }

    async fn on_trigger(&mut self, trigger: Trigger) {
        service::reloading();
        let result = self.reload(&trigger).await;
        service::ready();
        for request in trigger.requests {
            request.finish(result.clone());
        }
    }

    /// Loads the configuration file and applies it as a whole, or changes nothing.
    async fn reload(&mut self, trigger: &Trigger) -> Result<(), ReloadError> {
        let by = trigger.by.as_str();
        let Some(file) = self.config_file.clone() else { return Ok(()) };
        let config = match file.reload().await {
            Ok(config) => config,
            Err(problems) => {
                self.board.update(|environment| environment.reload.successful = false);
                let count = problems.diagnostics().len();
                error!(by, count, %problems, "Cannot reload the configuration, keeping the current one");
                return Err(ReloadError::Invalid(Arc::new(problems)));
            }
        };
        let Some(config) = self.confirmed(config, trigger).await else { return Ok(()) };
        let difference = self.configure(config).await.map_err(|Stopped| ReloadError::Stopping)?;
        let Difference { added, changed, removed } = difference;
        info!(by, targets = self.roster.len(), added, changed, removed, "Reloaded the configuration");
        Ok(())
    }

    /// Returns a configuration, unless it lacks most targets, nobody has requested it, and this is the first look.
    async fn confirmed(&mut self, config: Config, trigger: &Trigger) -> Option<Config> {
        let Trigger { by, digest, requests } = trigger;
        let before = self.unconfirmed.take();
        if *by != Cause::Content || !requests.is_empty() {
            return Some(config);
        }
        let compare = move |sources: &mut TargetSources, _: &LoadedFiles| {
            let removal = sources.mass_removal(&config.targets, &config.discovery);
            (config, removal)
        };
        let (config, removal) = self.with_target_sources(compare).await;
        let is_due = before.is_some_and(|before| before.digest == *digest && before.due <= Instant::now());
        let Some(MassRemoval { removed, before }) = removal.filter(|_| !is_due) else { return Some(config) };
        warn!(
            missing = removed,
            targets = before,
            "The changed configuration lacks most targets, reloading it if it stays the same for 30 s; SIGHUP reloads it now"
        );
        self.unconfirmed = Some(Unconfirmed { digest: *digest, due: Instant::now() + CONFIRMATION });
        None
    }

    /// Reloads a configuration that lacks most targets if it is still the same. Any other is detected by its content.
    async fn confirm(&mut self, Unconfirmed { digest, .. }: Unconfirmed) {
        let Some(file) = &self.config_file else { return };
        if file.current_digest().await == digest {
            self.on_trigger(Trigger { by: Cause::Content, digest, requests: Vec::new() })
                .await;
        } else {
            self.unconfirmed = None;
        }
    }

    /// Applies a configuration.
    async fn configure(&mut self, config: Config) -> Result<Difference, Stopped> {
        let Config {
            labels,
            targets,
            histograms,
            limits,
            dns,
            probe_endpoint,
            public,
            audits,
            discovery,
            discovery_context,
            redacted,
            warnings,
            ..
        } = config;
        let endpoint = probe_endpoint.map(|allow| Endpoint { allow, context: discovery_context.clone() });
        self.descriptors.warn_if_too_few(limits.in_flight);
        self.prober.set_resolver_options(dns);
        self.connector.set_resolver_options(dns);
        let configure = move |sources: &mut TargetSources, _: &LoadedFiles| {
            sources.configure(targets, limits.targets, discovery_context, &discovery);
            discovery
        };
        let discovery = self.with_target_sources(configure).await;
        // Until the files of discovered targets are read, the old configuration is shown.
        self.build_targets().await;
        self.discovery.set(&discovery);
        self.board.set_histogram_options(histograms);
        let labels = Arc::new(labels);
        let replace = |sources: &mut TargetSources, roster: &Roster| {
            let Merged { targets, statuses } = sources.merge();
            roster.replace_rows(targets, |environment| {
                *environment =
                    Environment { labels, reload: LastReload::success(clock::now()), public, sources: statuses };
            })
        };
        let difference = self.apply(Some(limits), replace).await?;
        self.running_config.set(redacted);
        self.on_demand.set(endpoint);
        self.auditor.set(audits);
        log_warnings(&warnings);
        blocking(memory::return_free_memory).await;
        Ok(difference)
    }

    /// Applies the entries of a discovery source, or records its failure.
    async fn on_discovery(&mut self, update: Update) {
        let Update { source, result } = update;
        let name = source.name.clone();
        let (entries, errors) = match result {
            Ok(Snapshot { entries, problems }) => (Some(entries), problems),
            Err(error) => (None, vec![error.to_string()]),
        };
        let message = match (entries.is_some(), self.target_sources.has_targets(&source)) {
            (true, true) => "Cannot read a part of a discovery source, keeping its last targets",
            (true, false) => "Cannot read a part of a discovery source, which had no targets",
            (false, true) => "Cannot refresh a discovery source, keeping its last targets",
            (false, false) => "Cannot refresh a discovery source, which has no targets",
        };
        match self.target_sources.record_status(&source, errors) {
            StatusChange::Failed(errors) => log_first(&name, errors, errors.len(), message),
            StatusChange::Recovered => info!(source = %name, "Discovery source recovered"),
            StatusChange::Unchanged => {}
        }
        let failures = self.target_sources.failures(&source);
        self.board.update(|environment| environment.set_failures(&name, failures));
        let Some(entries) = entries else { return };
        let are_many = entries.len() >= MANY;
        self.with_target_sources(move |sources, _| sources.update(&source, entries))
            .await;
        self.apply_discovery(&name).await;
        if are_many {
            blocking(memory::return_free_memory).await;
        }
    }

    /// Adds targets that were skipped because a file was missing, once it can be read.
    async fn retry_files(&mut self) {
        let read = self.discovered_files.read(self.target_sources.unreadable(), &self.files).await;
        if self.with_target_sources(move |sources, _| sources.record_read(&read)).await {
            self.apply_discovery("files that were unreadable").await;
        }
    }

    async fn apply_discovery(&mut self, source: &str) {
        self.build_targets().await;
        let replace = |sources: &mut TargetSources, roster: &Roster| {
            let Merged { targets, statuses } = sources.merge();
            roster.replace_rows(targets, |environment| environment.sources = statuses)
        };
        if let Ok(Difference { added, changed, removed }) = self.apply(None, replace).await
            && added + changed + removed > 0
        {
            info!(source, targets = self.roster.len(), added, changed, removed, "Discovery changed the targets");
        }
    }

    /// Builds the targets of changed sources. If they need files, reads those first, for a limited time.
    async fn build_targets(&mut self) {
        let unread = self.with_target_sources(TargetSources::build).await;
        if unread.is_empty() {
            return;
        }
        let read = self.discovered_files.read(unread, &self.files).await;
        self.with_target_sources(move |sources, files| {
            sources.record_read(&read);
            // The values that were read stay loaded, because `read` refers to them until here.
            sources.build(files)
        })
        .await;
    }

    /// Applies the built targets to board and scheduler, in two jobs off the thread that probes.
    ///
    /// The first merges and compares the targets, and replaces the rows with everything that a scrape shows of the
    /// change. The second drops the TLS files that no target needs any more. It comes after the change of the scheduler,
    /// because a probe that starts in between may still need them.
    async fn apply(
        &mut self,
        limits: Option<Limits>,
        replace: impl FnOnce(&mut TargetSources, &Roster) -> Unscheduled + Send + 'static,
    ) -> Result<Difference, Stopped> {
        let roster = self.roster.clone();
        let unscheduled = self.with_target_sources(move |sources, _| replace(sources, &roster)).await;
        self.startup.restored(unscheduled.restored);
        for Unreported { source, skipped, count, warnings } in self.target_sources.unreported() {
            log_first(&source, &skipped, count, "Skipped an entry of a discovery source");
            log_first(&source, &warnings, warnings.len(), "An entry of a discovery source may be a mistake");
        }
        let difference = self.roster.schedule(unscheduled, limits).await;
        let on_demand = self.on_demand.clone();
        let retain = move |sources: &mut TargetSources, files: &LoadedFiles| {
            let mut profiles = on_demand.profiles();
            profiles.extend(sources.tls_profiles());
            files.retain(&profiles);
        };
        self.with_target_sources(retain).await;
        difference
    }

    /// Runs a job on the target sources off the thread that probes: with very many targets, every step takes time.
    async fn with_target_sources<T: Send + 'static>(
        &mut self,
        job: impl FnOnce(&mut TargetSources, &LoadedFiles) -> T + Send + 'static,
    ) -> T {
        let (mut sources, files) = (std::mem::take(&mut self.target_sources), self.files.clone());
        let (sources, result) = blocking(move || {
            let result = job(&mut sources, &files);
            (sources, result)
        })
        .await;
        self.target_sources = sources;
        result
    }
}

/// Waits until a configuration counts; forever if there is none.
async fn due(unconfirmed: Option<Unconfirmed>) -> Unconfirmed {
    match unconfirmed {
        Some(unconfirmed) => {
            sleep_until(unconfirmed.due).await;
            unconfirmed
        }
        None => pending().await,
    }
}

fn log_warnings(warnings: &[Diagnostic]) {
    for warning in warnings.iter().take(MAX_LOGGED) {
        warn!(%warning, "A setting may be a mistake");
    }
    if warnings.len() > MAX_LOGGED {
        warn!(count = warnings.len(), "Some warnings omitted; portprobe check lists all");
    }
}

/// Logs the first of `count` lines about a source.
fn log_first(source: &str, lines: &[String], count: usize, message: &'static str) {
    for reason in lines.iter().take(MAX_LOGGED) {
        warn!(source, reason, "{message}");
    }
    if count > MAX_LOGGED {
        warn!(source, count, "Some lines about this source omitted");
    }
}

/// Number of entries from which returning their memory is worth delaying the thread that probes.
const MANY: usize = 1000;

/// Maximum number of lines that are logged at once about the same source.
const MAX_LOGGED: usize = 5;

/// A check costs little, and a start with few targets takes less than this.
const CHECK_START_EVERY: Duration = Duration::from_millis(100);

/// A configuration that lacks most targets counts if it has not changed for this long. Writers rarely pause for longer.
const CONFIRMATION: Duration = Duration::from_secs(30);

/// The same period as for watched files.
const RETRY_EVERY: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests;

//! The composition root: turns a configuration into a running daemon.
//!
//! [`bind`] has every step that can fail, [`App::run`] runs until the end. A closure connects the scheduler to the
//! board, so that neither knows the other.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use tracing::info;

use self::discovered_files::DiscoveredFiles;
pub use self::loaded_files::LoadedFiles;
use self::process::Descriptors;
use self::reconciler::Reconciler;
pub use self::reload::{AutoReload, ConfigFile, HttpReload, Reload};
use self::reload::{Detector, Trigger};
use self::roster::Roster;
use self::startup::Startup;
use self::target_sources::TargetSources;
use crate::board::{Board, LastReload};
use crate::clock;
use crate::config::Config;
use crate::discovery::Sources;
use crate::http::{self, AppState, BindError, ListenAddress, Reloads, Server, WebConfigFile};
use crate::log;
use crate::metrics::Metrics;
use crate::outcome::{Next, Report};
use crate::probe::{Connector, NetworkProber};
use crate::scheduler::Scheduler;
use crate::target::Shard;

mod discovered_files;
mod loaded_files;
pub mod memory;
pub mod process;
mod reconciler;
mod reload;
mod roster;
mod service;
mod startup;
mod target_sources;

/// Everything that a daemon needs in addition to its configuration.
#[derive(Debug)]
pub struct Parts<'a> {
    /// The files that were read with the configuration.
    pub files: LoadedFiles,
    /// When and how the configuration is reloaded; `None` if it never is.
    pub reload: Option<Reload>,
    /// The addresses to serve HTTP on.
    pub listen: &'a [ListenAddress],
    /// TLS and access of the HTTP server.
    pub web_config: Arc<WebConfigFile>,
    /// The share of the targets that this replica probes.
    pub shard: Shard,
    /// The name of this machine; it shifts the grid of due times.
    pub host_name: String,
}

/// A daemon that has bound its ports but does not probe yet.
#[derive(Debug)]
pub struct App<R> {
    server: Server,
    state: Arc<AppState>,
    scheduler: Scheduler<Arc<NetworkProber>, R>,
    config: Config,
    reconciler: Reconciler,
    detector: Option<Detector>,
    web_config: Arc<WebConfigFile>,
    shard: Shard,
}

/// Binds the listen addresses and connects all parts of a daemon.
pub async fn bind(
    config: Config,
    parts: Parts<'_>,
) -> Result<App<impl Fn(&Report) -> Next + Send + Sync + use<>>, BindError> {
    let Parts { files, reload, listen, web_config, shard, host_name } = parts;
    let descriptors = Descriptors::raised();
    let server = http::bind(listen).await?.with_max_connections(descriptors.http_connections);
    let prober = NetworkProber::new(config.dns, files.tls_store.clone(), files.header_values.clone());
    let prober = Arc::new(prober.with_descriptors(descriptors.probes));
    let connector = Connector::new(config.dns, files.tls_store.clone());
    let board = Arc::new(Board::new(config.histograms.clone()));
    let startup = Arc::new(Startup::new());
    let recorder = recorder(board.clone(), startup.clone());
    let (scheduler, handle) = Scheduler::new(prober.clone(), recorder, config.limits, &host_name, clock::now());
    let scheduler = scheduler.with_descriptors(descriptors.probes);
    board.update(|environment| {
        environment.labels = Arc::new(config.labels.clone());
        environment.reload = LastReload::success(clock::now());
    });
    let metrics = Metrics::new(board.clone(), handle.statistics().clone(), shard);
    let (reloads, requests) = Reloads::channel();
    let reloads = reload
        .as_ref()
        .filter(|reload| reload.http == HttpReload::Enabled)
        .map(|_| reloads);
    let config_file = reload.as_ref().map(|reload| reload.file.clone());
    let detector = reload.map(|reload| Detector::new(reload, requests));
    let state = Arc::new(AppState::new(board.clone(), metrics, reloads).with_web_config(web_config.clone()));
    let reconciler = Reconciler {
        roster: Roster::new(board.clone(), handle, shard),
        target_sources: TargetSources::default(),
        discovery: Sources::new(connector.clone(), prober.lag().clone()),
        files,
        discovered_files: DiscoveredFiles::default(),
        board,
        config_file,
        running_config: state.running_config.clone(),
        prober,
        connector,
        startup,
        unconfirmed: None,
        descriptors,
    };
    Ok(App { server, state, scheduler, config, reconciler, detector, web_config, shard })
}

impl<R> App<R>
where
    R: Fn(&Report) -> Next + Send + Sync + 'static,
{
    /// Returns the addresses that the HTTP server listens on.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.server.addresses()
    }

    /// Probes and serves HTTP until `stop` is cancelled. Then probing ends at once, and open responses have five
    /// seconds to finish.
    pub async fn run(self, stop: CancellationToken) {
        let Self { server, state, scheduler, config, reconciler, detector, web_config, shard } = self;
        let targets = config.targets.iter().filter(|target| shard.owns(target)).count();
        info!(targets, sources = config.discovery.len(), %shard, "Probing");
        let readiness = state.readiness.clone();
        let lag = reconciler.prober.lag().clone();
        let _lag = AbortOnDropHandle::new(tokio::spawn(async move { lag.measure().await }));
        let (metrics, files) = (state.metrics.clone(), reconciler.files.clone());
        let (sender, triggers) = mpsc::channel::<Trigger>(1);
        let detect = stop.run_until_cancelled(async {
            if let Some(detector) = detector {
                detector.run(sender).await;
            }
        });
        let keep = reconciler.run(config, triggers, &readiness, &stop);
        let count_failure = || metrics.file_reload_failures().count();
        let watch = async { tokio::join!(files.watch(&count_failure), web_config.watch(&count_failure)) };
        let watch = Box::pin(stop.run_until_cancelled(watch));
        tokio::join!(scheduler.run(stop.clone()), server.serve(state.clone(), stop.clone()), keep, detect, watch);
        info!("Stopped");
    }
}

/// Returns the closure that records a report on the board and logs it, and any change of state.
fn recorder(board: Arc<Board>, startup: Arc<Startup>) -> impl Fn(&Report) -> Next + Send + Sync + 'static {
    move |report| {
        log::report(report);
        let recorded = board.record(report);
        if let Some(transition) = &recorded.transition {
            startup.log(transition);
        }
        recorded.next
    }
}

#[cfg(test)]
mod tests;

//! The composition root: turns a configuration into a running daemon.
//!
//! [`bind`] has every step that can fail, [`App::run`] runs until the end. A closure connects the scheduler to the
//! board, so that neither knows the other.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use tracing::info;

use self::discovered_files::DiscoveredFiles;
pub use self::loaded_files::LoadedFiles;
use self::on_demand::OnDemandProbes;
use self::process::Descriptors;
use self::reconciler::Reconciler;
pub use self::reload::{AutoReload, ConfigFile, HttpReload, Reload};
use self::reload::{Detector, Trigger};
use self::roster::Roster;
use self::startup::Startup;
use self::target_probes::TargetProbes;
use self::target_sources::TargetSources;
use crate::audit::Auditor;
use crate::board::{Board, LastReload};
use crate::clock;
use crate::config::Config;
use crate::discovery::Sources;
use crate::http::{
    self, AppState, BindError, ExternalUrl, InheritError, ListenAddress, OwnNames, Reloads, Server, WebConfigFile,
};
use crate::log;
use crate::metrics::Metrics;
use crate::outcome::{Next, Report};
use crate::probe::{Connector, NetworkProber};
use crate::scheduler::Scheduler;
use crate::store::{self, RunningWriter, Store, StoreOptions};
use crate::target::Shard;

mod discovered_files;
mod loaded_files;
pub mod memory;
mod on_demand;
pub mod process;
mod reconciler;
mod reload;
mod roster;
mod service;
mod startup;
mod target_probes;
mod target_sources;

/// Everything that a daemon needs in addition to its configuration.
#[derive(Debug)]
pub struct Parts<'a> {
    /// The files that were read with the configuration.
    pub files: LoadedFiles,
    /// When and how the configuration is reloaded; `None` if it never is.
    pub reload: Option<Reload>,
    /// Where to serve HTTP.
    pub listen: Listen<'a>,
    /// TLS and access of the HTTP server.
    pub web_config: Arc<WebConfigFile>,
    /// The URL by which clients reach the HTTP server.
    pub external_url: Option<ExternalUrl>,
    /// Where states and history are kept.
    pub store: &'a StoreOptions,
    /// The share of the targets that this replica probes.
    pub shard: Shard,
    /// The name of this machine; it shifts the grid of due times.
    pub host_name: String,
}

/// Where the HTTP server listens.
#[derive(Clone, Copy, Debug)]
pub enum Listen<'a> {
    /// On these addresses.
    Addresses(&'a [ListenAddress]),
    /// On the sockets that systemd has handed over.
    Systemd,
}

impl<'a> Listen<'a> {
    async fn server(self) -> Result<Server, StartError> {
        match self {
            Self::Addresses(addresses) => Ok(http::bind(addresses).await?),
            Self::Systemd => Ok(http::inherited()?),
        }
    }

    /// Returns the hosts of the addresses.
    fn hosts(self) -> impl Iterator<Item = &'a str> {
        let addresses = match self {
            Self::Addresses(addresses) => addresses,
            Self::Systemd => &[],
        };
        addresses.iter().map(ListenAddress::host)
    }
}

/// The daemon cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An address cannot be bound.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The sockets of systemd cannot be used.
    #[error(transparent)]
    Inherit(#[from] InheritError),
    /// The memory of states and history cannot be opened.
    #[error(transparent)]
    Store(#[from] store::OpenError),
    /// The system allows no further thread.
    #[error("cannot start the thread that writes the database")]
    Thread(#[source] io::Error),
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
    writer: RunningWriter,
    shard: Shard,
}

/// Binds the listen addresses, opens the store, and connects all parts of a daemon.
pub async fn bind(
    config: Config,
    parts: Parts<'_>,
) -> Result<App<impl Fn(&Report) -> Next + Send + Sync + use<>>, StartError> {
    let Parts { files, reload, listen, web_config, external_url, store, shard, host_name } = parts;
    let descriptors = Descriptors::raised();
    let server = listen.server().await?.with_max_connections(descriptors.http_connections);
    let prober = NetworkProber::new(config.dns, files.tls_store.clone(), files.header_values.clone());
    let prober = Arc::new(prober.with_descriptors(descriptors.probes));
    let connector = Connector::new(config.dns, files.tls_store.clone());
    let board = Arc::new(Board::new(config.histograms.clone()));
    let (store, writer) = Store::open(store, clock::now())?;
    let writer = writer.start(board.clone()).map_err(StartError::Thread)?;
    let startup = Arc::new(Startup::new());
    let recorder = recorder(board.clone(), startup.clone(), store.clone());
    let (scheduler, handle) = Scheduler::new(prober.clone(), recorder, config.limits, &host_name, clock::now());
    let scheduler = scheduler.with_descriptors(descriptors.probes);
    board.update(|environment| {
        environment.labels = Arc::new(config.labels.clone());
        environment.reload = LastReload::success(clock::now());
    });
    let auditor = Auditor::new(prober.clone(), handle.clone(), shard);
    let audits = auditor.audits();
    let metrics =
        Metrics::new(board.clone(), handle.statistics().clone(), store.statistics().cloned(), audits.clone(), shard);
    let (reloads, requests) = Reloads::channel();
    let reloads = reload
        .as_ref()
        .filter(|reload| reload.http == HttpReload::Enabled)
        .map(|_| reloads);
    let config_file = reload.as_ref().map(|reload| reload.file.clone());
    let detector = reload.map(|reload| Detector::new(reload, requests));
    let on_demand = Arc::new(OnDemandProbes::new(prober.clone(), handle.clone(), files.clone()));
    let target_probes = TargetProbes::new(&prober, &handle, &board, &files.header_values);
    let external_host = external_url.as_ref().map(ExternalUrl::host);
    let own_names = OwnNames::new(listen.hosts().chain([&*host_name]).chain(external_host));
    let state = AppState::new(board.clone(), metrics, reloads)
        .with_web_config(web_config.clone())
        .with_names(external_url.clone(), own_names)
        .with_on_demand(on_demand.clone())
        .with_target_probes(Arc::new(target_probes))
        .with_store(store.clone())
        .with_audits(audits);
    let state = Arc::new(state);
    let reconciler = Reconciler {
        roster: Roster::new(board.clone(), handle, store, shard),
        target_sources: TargetSources::default(),
        discovery: Sources::new(connector.clone(), prober.lag().clone()),
        files,
        discovered_files: DiscoveredFiles::default(),
        board,
        config_file,
        running_config: state.running_config.clone(),
        on_demand,
        auditor,
        prober,
        connector,
        startup,
        unconfirmed: None,
        descriptors,
    };
    Ok(App { server, state, scheduler, config, reconciler, detector, web_config, writer, shard })
}

impl<R> App<R>
where
    R: Fn(&Report) -> Next + Send + Sync + 'static,
{
    /// Returns the addresses that the HTTP server listens on.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.server.addresses()
    }

    /// Returns the URLs of the page for a browser on this machine.
    pub fn urls(&self) -> Vec<String> {
        let scheme = if self.web_config.current().has_tls() { "https" } else { "http" };
        let prefix = self.state.url_prefix();
        let site = |address: &SocketAddr| match address {
            address if address.ip().is_unspecified() => format!("localhost:{}", address.port()),
            address => address.to_string(),
        };
        let addresses = self.addresses();
        addresses
            .iter()
            .map(|address| format!("{scheme}://{}{prefix}/", site(address)))
            .collect()
    }

    /// Logs what anybody can read who reaches this machine.
    pub fn log_exposure(&self) {
        let is_public = |address: &SocketAddr| !address.ip().to_canonical().is_loopback();
        if self.web_config.current().has_authentication() || !self.addresses().iter().any(is_public) {
            return;
        }
        info!(
            readable = "/, /api/v1 and /metrics: names, hosts, states and history of targets; /config: the configuration without \
                        secrets",
            "Without a password, anyone who reaches the port can read it; --web.config.file sets one"
        );
    }

    /// Probes and serves HTTP until `stop` is cancelled. Then probing ends at once, and open responses have five
    /// seconds to finish.
    pub async fn run(self, stop: CancellationToken) {
        let Self { server, state, scheduler, config, reconciler, detector, web_config, writer, shard } = self;
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
        let keep = Box::pin(reconciler.run(config, triggers, &readiness, &stop));
        let count_failure = || metrics.file_reload_failures().count();
        let watch = async { tokio::join!(files.watch(&count_failure), web_config.watch(&count_failure)) };
        let watch = Box::pin(stop.run_until_cancelled(watch));
        let probe = async {
            scheduler.run(stop.clone()).await;
            // Together with the last responses, which take as long.
            writer.finish().await;
        };
        tokio::join!(probe, server.serve(state.clone(), stop.clone()), keep, detect, watch);
        info!("Stopped");
    }
}

/// Returns the closure that records a report on the board and logs it, and any change of state.
fn recorder(
    board: Arc<Board>,
    startup: Arc<Startup>,
    store: Store,
) -> impl Fn(&Report) -> Next + Send + Sync + 'static {
    move |report| {
        log::report(report);
        let recorded = board.record(report);
        if let Some(transition) = &recorded.transition {
            startup.log(transition);
            store.note(transition);
        }
        recorded.next
    }
}

#[cfg(test)]
mod tests;

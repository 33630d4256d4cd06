//! The composition root: a configuration and a prober become a running daemon.
//!
//! [`bind`] does what can fail, [`App::run`] what takes time. Scheduler and board meet here, by a closure.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::info;

pub use self::files::Files;
use self::keeper::Keeper;
pub use self::reload::{AutoReload, Origin};
use self::reload::{Detector, Trigger, requests};
use self::roster::Roster;
use self::supply::Supply;
use crate::board::Board;
use crate::clock;
use crate::config::Config;
use crate::discovery::{Lookups, Sources};
use crate::http::{self, BindError, ListenAddress, Server, Site};
use crate::log;
use crate::metrics::Metrics;
use crate::outcome::{Next, Prober, Report};
use crate::scheduler::Scheduler;
use crate::shutdown::Hangups;
use crate::target::{Sha256Digest, Shard};

mod files;
mod keeper;
pub mod machine;
mod reload;
mod roster;
mod service;
mod supply;

/// What a daemon is made of besides its configuration.
#[derive(Debug)]
pub struct Parts<'a, P> {
    /// Probes targets.
    pub prober: P,
    /// Has read what the targets need of files, and keeps that up to date.
    pub files: Files,
    /// How sources of targets are asked.
    pub lookups: Lookups,
    /// How the configuration is read anew; none where it is what it is.
    pub reload: Option<Reload>,
    /// Where HTTP is answered.
    pub listen: &'a [ListenAddress],
    /// Which share of the targets is probed.
    pub shard: Shard,
    /// This machine's name; it moves the grid of due times.
    pub machine: String,
}

/// How a configuration is read anew.
#[derive(Debug)]
pub struct Reload {
    /// Where it comes from.
    pub origin: Arc<dyn Origin>,
    /// The digest of its content before it was read for the first time; what differs from it is to be read.
    pub known: Option<Sha256Digest>,
    /// Whether its content is watched.
    pub auto: AutoReload,
    /// The signal that asks for it.
    pub hangups: Hangups,
    /// Whether HTTP may ask for it.
    pub lifecycle: Lifecycle,
}

/// Whether HTTP may ask for a reload.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Lifecycle {
    /// It may not: 403.
    Closed,
    /// Whoever reaches the port may.
    Open,
}

/// A daemon that has its ports and has not begun to probe.
#[derive(Debug)]
pub struct App<P, R> {
    server: Server,
    site: Arc<Site>,
    scheduler: Scheduler<P, R>,
    config: Config,
    keeper: Keeper,
    detector: Option<Detector>,
    shard: Shard,
}

/// Takes the listen addresses and puts a daemon together.
pub async fn bind<P: Prober>(
    config: Config,
    parts: Parts<'_, P>,
) -> Result<App<P, impl Fn(&Report) -> Next + Send + Sync + use<P>>, BindError> {
    let Parts { prober, files, lookups, reload, listen, shard, machine } = parts;
    let server = http::bind(listen).await?;
    let board = Arc::new(Board::new(config.histograms.clone()));
    let (scheduler, handle) = Scheduler::new(prober, recorder(board.clone()), config.limits, &machine, clock::now());
    let metrics = Metrics::new(board.clone(), handle.statistics().clone(), config.labels.clone(), shard);
    let (asking, requests) = requests();
    let reloads = reload.as_ref().filter(|reload| reload.lifecycle == Lifecycle::Open).map(|_| asking);
    let origin = reload.as_ref().map(|reload| reload.origin.clone());
    let detector =
        reload.map(|Reload { origin, auto, hangups, known, .. }| Detector { origin, auto, hangups, requests, known });
    let site = Arc::new(Site::new(board.clone(), metrics.clone(), reloads));
    let roster = Roster::new(board.clone(), handle, shard);
    let (supply, sources) = (Supply::default(), Sources::new(lookups));
    let keeper = Keeper { roster, supply, sources, files, board, metrics, origin, running: site.running.clone() };
    Ok(App { server, site, scheduler, config, keeper, detector, shard })
}

impl<P, R> App<P, R>
where
    P: Prober,
    R: Fn(&Report) -> Next + Send + Sync + 'static,
{
    /// The addresses that HTTP is answered on.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.server.addresses()
    }

    /// Probes and answers until `stop` is cancelled; then probing ends at once, and open answers within five seconds.
    pub async fn run(self, stop: CancellationToken) {
        let Self { server, site, scheduler, config, keeper, detector, shard } = self;
        info!(targets = config.targets.len(), sources = config.discovery.len(), %shard, "Probing");
        let readiness = site.readiness.clone();
        let (metrics, files) = (keeper.metrics.clone(), keeper.files.clone());
        let (sender, triggers) = mpsc::channel::<Trigger>(1);
        let detect = stop.run_until_cancelled(async {
            if let Some(detector) = detector {
                detector.run(sender).await;
            }
        });
        let keep = keeper.run(config, triggers, &readiness, &stop);
        let count_failure = || metrics.file_reload_failures().count();
        let watch = stop.run_until_cancelled(files.watch(&count_failure));
        tokio::join!(scheduler.run(stop.clone()), server.serve(site.clone(), stop.clone()), keep, detect, watch);
        info!("Stopped");
    }
}

/// What the scheduler does with a report: it goes to the board, and a change of state to the log.
fn recorder(board: Arc<Board>) -> impl Fn(&Report) -> Next + Send + Sync + 'static {
    move |report| {
        log::report(report);
        let recorded = board.record(report);
        if let Some(transition) = &recorded.transition {
            log::transition(transition);
        }
        recorded.next
    }
}

#[cfg(test)]
mod tests;

//! The composition root: a configuration and a prober become a running daemon.
//!
//! [`bind`] does what can fail, [`App::run`] what takes time. Scheduler and board meet here, by a closure.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::board::{Board, HistogramLayout};
use crate::clock;
use crate::config::Config;
use crate::http::{self, BindError, ListenAddress, Server, Site};
use crate::log;
use crate::metrics::Metrics;
use crate::outcome::{Next, Prober, Report};
use crate::probe::Trust;
use crate::scheduler::{Change, Handle, Limits, Scheduler};
use crate::target::Target;

pub mod machine;

/// A daemon that has its ports and has not begun to probe.
#[derive(Debug)]
pub struct App<P, R> {
    server: Server,
    site: Arc<Site>,
    scheduler: Scheduler<P, R>,
    handle: Handle,
    targets: Vec<Arc<Target>>,
    trust: Arc<Trust>,
    metrics: Metrics,
}

/// Takes the listen addresses and puts a daemon together.
///
/// `trust` has read what the targets need of files, and `machine` is this machine's name; it moves the grid of due times.
pub async fn bind<P: Prober>(
    config: Config,
    prober: P,
    trust: Arc<Trust>,
    listen: &[ListenAddress],
    machine: &str,
) -> Result<App<P, impl Fn(&Report) -> Next + Send + Sync + use<P>>, BindError> {
    let server = http::bind(listen).await?;
    let board = Arc::new(Board::new(HistogramLayout {
        buckets: config.histograms.buckets,
        native: config.histograms.native,
        phases: config.histograms.phases,
    }));
    let limits = Limits {
        in_flight: config.limits.in_flight,
        per_host: config.limits.per_host,
        per_second: config.limits.per_second,
    };
    let (scheduler, handle) = Scheduler::new(prober, recorder(board.clone()), limits, machine, clock::now());
    let metrics = Metrics::new(board.clone(), handle.statistics().clone(), config.labels);
    let site = Arc::new(Site::new(board, metrics.clone()));
    Ok(App { server, site, scheduler, handle, targets: config.targets, trust, metrics })
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
        let Self { server, site, scheduler, handle, targets, trust, metrics } = self;
        info!(targets = targets.len(), "Probing");
        let readiness = site.readiness.clone();
        site.board.replace(&targets);
        let schedule = async {
            // The scheduler refuses only once it has stopped, and then nothing is to become ready.
            if handle.change(Change { there: targets, ..Change::default() }).await.is_ok() {
                readiness.set_ready();
            }
            stop.cancelled().await;
            readiness.set_stopping();
        };
        let count_failure = || metrics.file_reload_failures().count();
        let watch = stop.run_until_cancelled(trust.watch(&count_failure));
        tokio::join!(scheduler.run(stop.clone()), server.serve(site.clone(), stop.clone()), schedule, watch);
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

//! `portprobe serve`: the daemon, and what `portprobe demo` shares with it.

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use tokio::runtime::{self, Runtime};
use tokio_util::sync::CancellationToken;
use tracing::info;

use super::{DaemonArguments, ServeArguments, environment};
use crate::app::{self, App, machine};
use crate::config::{self, Config};
use crate::http::BindError;
use crate::outcome::{Next, Report};
use crate::probe::{NetworkProber, Trust};
use crate::shutdown::Signals;
use crate::{log, probe};

/// Runs until a signal stops it.
pub(super) fn run(arguments: &ServeArguments) -> anyhow::Result<ExitCode> {
    let _flush = log::install(arguments.daemon.log_level, arguments.daemon.log_format);
    let trust = Arc::new(Trust::default());
    let config = config::load(&arguments.config_file, &environment, |profile| trust.read(profile))?;
    machine::return_free_memory();
    runtime()?.block_on(async {
        let signals = signals()?;
        let app = bind(config, trust, &arguments.daemon).await?;
        until_stopped(app, signals).await
    })
}

/// The runtime of a daemon: one thread, for a probe that changes threads costs a wake-up of each.
pub(super) fn runtime() -> anyhow::Result<Runtime> {
    runtime::Builder::new_current_thread().enable_all().build().context("cannot start the thread that probes")
}

/// The signals that stop a daemon.
pub(super) fn signals() -> anyhow::Result<Signals> {
    Signals::install().context("cannot handle signals")
}

/// A daemon on this configuration that has its ports. `trust` has read what its targets need.
pub(super) async fn bind(
    config: Config,
    trust: Arc<Trust>,
    arguments: &DaemonArguments,
) -> Result<App<NetworkProber, impl Fn(&Report) -> Next + Send + Sync + use<>>, BindError> {
    machine::raise_descriptor_limit(config.limits.in_flight);
    let serving = probe::NameServing { timeout: config.dns.timeout, tries: config.dns.tries };
    let prober = NetworkProber::new(serving, trust.clone());
    app::bind(config, prober, trust, &arguments.listen, &machine::name()).await
}

/// Runs a daemon until the first signal has stopped it, or the second has killed it.
pub(super) async fn until_stopped<R>(app: App<NetworkProber, R>, signals: Signals) -> anyhow::Result<ExitCode>
where
    R: Fn(&Report) -> Next + Send + Sync + 'static,
{
    for address in app.addresses() {
        info!(%address, version = env!("CARGO_PKG_VERSION"), "Listening");
    }
    let stop = CancellationToken::new();
    tokio::select! {
        () = app.run(stop.clone()) => Ok(ExitCode::SUCCESS),
        aborted = signals.cancel_then_abort(stop) => Err(aborted.into()),
    }
}

//! `portprobe serve`: the daemon, and what `portprobe demo` shares with it.

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use tokio::runtime;
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
    to_end(async {
        let signals = signals()?;
        let app = bind(config, trust, &arguments.daemon).await?;
        until_stopped(app, signals).await
    })
}

/// Runs a daemon to its end, on one thread: a probe that changes threads costs a wake-up of each.
///
/// Waits for no file that is still being read: on a file system that hangs that never ends.
pub(super) fn to_end(daemon: impl Future<Output = anyhow::Result<ExitCode>>) -> anyhow::Result<ExitCode> {
    let runtime = runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.context("cannot start the thread that probes")?;
    let ended = runtime.block_on(daemon);
    runtime.shutdown_background();
    ended
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

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::thread;
    use std::time::Duration;

    use tokio::task::spawn_blocking;

    use super::*;

    #[test]
    fn a_file_system_that_hangs_keeps_no_daemon_from_ending() {
        let (release, hung) = mpsc::channel::<()>();
        let (started, begun) = tokio::sync::oneshot::channel();
        let (end, ended) = mpsc::channel();
        thread::spawn(move || {
            let status = to_end(async {
                let read = spawn_blocking(move || {
                    let _ = started.send(());
                    hung.recv()
                });
                begun.await?;
                drop(read);
                Ok(ExitCode::SUCCESS)
            });
            end.send(status.is_ok())
        });
        assert_eq!(ended.recv_timeout(Duration::from_secs(10)), Ok(true));
        drop(release);
    }
}

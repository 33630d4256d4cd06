//! `portprobe serve`: the daemon, and what `portprobe demo` shares with it.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use tokio::runtime;
use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;
use tracing::info;

use super::origin::{ConfigurationFile, digest};
use super::{DaemonArguments, ServeArguments, environment};
use crate::app::{self, App, Files, Parts, Reload, machine};
use crate::config::{self, Config};
use crate::discovery::Lookups;
use crate::log;
use crate::outcome::{Next, Report};
use crate::probe::NetworkProber;
use crate::shutdown::{Hangups, Signals};
use crate::target::{Sha256Digest, Shard};

/// Runs until a signal stops it.
pub(super) fn run(arguments: &ServeArguments) -> anyhow::Result<ExitCode> {
    let _flush = log::install(arguments.daemon.log_level, arguments.daemon.log_format);
    to_end(async {
        // Before the configuration is read: from here on it is safe to ask for a reload.
        let hangups = Hangups::install().context("cannot handle signals")?;
        let mut signals = signals()?;
        let files = Files::default();
        let read = first_reading(arguments.config_file.clone(), files.clone());
        let Some(read) = signals.unless_stopped(read).await else { return Ok(ExitCode::SUCCESS) };
        let (known, config) = read?;
        machine::return_free_memory();
        let prober = Arc::new(NetworkProber::new(config.dns, files.trust.clone()));
        let path = arguments.config_file.clone();
        let lookups = Lookups::new(config.dns, files.trust.clone());
        let (files_of_origin, prober_of_origin) = (files.clone(), prober.clone());
        let origin =
            ConfigurationFile { path, files: files_of_origin, prober: prober_of_origin, lookups: lookups.clone() };
        let origin = Arc::new(origin);
        let (auto, lifecycle) = (arguments.reload.auto(), arguments.reload.lifecycle());
        let reload = Reload { origin, known, auto, hangups, lifecycle };
        let parts = parts(prober, files, lookups, &arguments.daemon);
        let app = app::bind(config, Parts { reload: Some(reload), shard: arguments.shard, ..parts }).await?;
        until_stopped(app, signals).await
    })
}

/// Reads the configuration beside the thread that waits for signals; with it, a digest of what was there just before.
async fn first_reading(path: PathBuf, files: Files) -> anyhow::Result<(Option<Sha256Digest>, Config)> {
    spawn_blocking(move || {
        let known = digest(&path);
        Ok((known, config::load(&path, &environment, |needed| files.read(needed))?))
    })
    .await?
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

/// What a daemon is made of that is the only replica and stays with its configuration.
pub(super) fn parts(
    prober: Arc<NetworkProber>,
    files: Files,
    lookups: Lookups,
    arguments: &DaemonArguments,
) -> Parts<'_, Arc<NetworkProber>> {
    let (shard, machine) = (Shard::default(), machine::name());
    Parts { prober, files, lookups, reload: None, listen: &arguments.listen, shard, machine }
}

/// Runs a daemon until the first signal has stopped it, or the second has killed it.
pub(super) async fn until_stopped<R>(app: App<Arc<NetworkProber>, R>, signals: Signals) -> anyhow::Result<ExitCode>
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

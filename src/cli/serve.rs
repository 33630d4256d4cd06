//! `portprobe serve`: load, bind, run. `portprobe demo` uses the same parts.

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;
use tracing::info;

use super::flags::{DaemonArguments, ServeArguments};
use crate::app::{self, App, ConfigFile, LoadedFiles, Parts, Reload, memory, process};
use crate::config::Config;
use crate::http::WebConfigFile;
use crate::http::web_config::log_warnings;
use crate::log::{self, Flush};
use crate::outcome::{Next, Report};
use crate::shutdown::{Hangups, Signals};
use crate::target::Sha256Digest;
use crate::tasks;

/// Runs the daemon until a signal stops it.
pub(super) fn run(arguments: &ServeArguments) -> anyhow::Result<ExitCode> {
    let ServeArguments { config_file, shard, reload, daemon, .. } = arguments;
    let _flush = log(daemon)?;
    to_end(async {
        // Before the file is read, because a SIGHUP must not kill a daemon that is still loading.
        let hangups = Hangups::install().context("cannot handle signals")?;
        let mut signals = signals()?;
        let files = LoadedFiles::default();
        let file = ConfigFile::new(config_file.clone(), files.clone());
        let Some(loaded) = signals.unless_stopped(load(file.clone())).await else { return Ok(ExitCode::SUCCESS) };
        let (loaded_digest, config) = loaded?;
        memory::return_free_memory();
        let reload = Reload { file, loaded_digest, auto: reload.auto(), hangups, http: reload.http() };
        let web_config = web_config(daemon).await?;
        let (listen, external_url) = (daemon.listen(), daemon.web_external_url.clone());
        let (store, shard, host_name) = (&daemon.store(), *shard, process::host_name());
        let parts = Parts { files, reload: Some(reload), listen, web_config, external_url, store, shard, host_name };
        let app = app::bind(config, parts).await?;
        until_stopped(app, signals).await
    })
}

/// Starts the log of a daemon, which is its first thread.
pub(super) fn log(arguments: &DaemonArguments) -> anyhow::Result<Flush> {
    memory::share_limited_arena();
    let flush = log::install(arguments.log_level, arguments.log_format)
        .context("cannot start the thread that writes the log")?;
    memory::warn_if_limited();
    Ok(flush)
}

/// Loads the configuration off the thread that waits for signals. The digest is that of the content just before
/// loading.
async fn load(file: ConfigFile) -> anyhow::Result<(Option<Sha256Digest>, Config)> {
    spawn_blocking(move || {
        let digest = file.digest();
        Ok((digest, file.load()?))
    })
    .await?
}

/// Loads the web configuration, if there is one, and logs what may be a mistake in it.
pub(super) async fn web_config(arguments: &DaemonArguments) -> anyhow::Result<Arc<WebConfigFile>> {
    let Some(path) = arguments.web_config_file.clone() else { return Ok(Arc::default()) };
    let (file, warnings) = spawn_blocking(move || WebConfigFile::load(&path)).await??;
    log_warnings(&warnings);
    Ok(Arc::new(file))
}

/// Runs a daemon to its end on one thread, because moving a probe between threads costs a wake-up of each.
///
/// Does not wait for files that are still being read, because on a hanging file system reads never end.
pub(super) fn to_end(daemon: impl Future<Output = anyhow::Result<ExitCode>>) -> anyhow::Result<ExitCode> {
    let runtime = tasks::runtime().context("cannot start the runtime")?;
    let ended = runtime.block_on(daemon);
    runtime.shutdown_background();
    ended
}

/// Returns the signals that stop a daemon.
pub(super) fn signals() -> anyhow::Result<Signals> {
    Signals::install().context("cannot handle signals")
}

/// Runs a daemon until the first signal stops it, or a second one kills it.
pub(super) async fn until_stopped<R>(app: App<R>, signals: Signals) -> anyhow::Result<ExitCode>
where
    R: Fn(&Report) -> Next + Send + Sync + 'static,
{
    for address in app.addresses() {
        info!(%address, version = env!("CARGO_PKG_VERSION"), "Listening");
    }
    app.log_exposure();
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
    fn a_hanging_file_system_does_not_prevent_exit() {
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

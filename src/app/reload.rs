//! Reload of the configuration: the file, and when to read it again.
//!
//! A reload is requested by signal, by HTTP, or because the content of the file has changed. One reload runs at a time
//! and serves every request that came before it began.

use std::path::PathBuf;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep};

use super::loaded_files::LoadedFiles;
use super::process::environment;
use crate::config::{self, Config, Diagnostic, LoadError};
use crate::files::digest;
use crate::files::reads::Reads;
use crate::files::{MAX_SETTLING, SETTLE_TIME};
use crate::http::ReloadRequest;
use crate::shutdown::Hangups;
use crate::target::Sha256Digest;
use crate::tasks::blocking;

/// When and how the configuration is reloaded.
#[derive(Debug)]
pub struct Reload {
    /// The file that holds the configuration.
    pub file: ConfigFile,
    /// The digest of its content just before it was loaded. Any other content is due for a reload.
    pub loaded_digest: Option<Sha256Digest>,
    /// Whether a change of the content causes a reload.
    pub auto: AutoReload,
    /// The signal that requests a reload.
    pub hangups: Hangups,
    /// Whether HTTP clients may request a reload.
    pub http: HttpReload,
}

/// Whether the content of the configuration file is watched.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum AutoReload {
    /// The content is compared every ten seconds.
    On,
    /// Only a request causes a reload.
    Off,
}

/// Whether HTTP clients may request a reload.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum HttpReload {
    /// Every request is refused with 403.
    Disabled,
    /// Every client that reaches the port may request one.
    Enabled,
}

/// The configuration file.
#[derive(Clone, Debug)]
pub struct ConfigFile {
    path: PathBuf,
    files: LoadedFiles,
    reads: Reads,
}

impl ConfigFile {
    /// Creates a handle of the file at `path`; the files that it names are read into `files`.
    pub fn new(path: PathBuf, files: LoadedFiles) -> Self {
        Self { path, files, reads: Reads::default() }
    }

    /// Reads the configuration, which may be a pipe, and every file that it names. Blocks.
    pub fn load(&self) -> Result<Config, LoadError> {
        self.files.finish(config::load(&self.path, &environment)?)
    }

    /// Returns a digest of the current content; `None` if the file cannot be read, or is a pipe and can be read only
    /// once. Blocks.
    pub fn digest(&self) -> Option<Sha256Digest> {
        digest::of_file(&self.path)
    }

    /// Reads the configuration again, which must be a regular file, and every file that it names. Fails if one of them
    /// is not read in time.
    pub(super) async fn reload(&self) -> Result<Config, LoadError> {
        let path = self.path.clone();
        let text = self.reads.run(move || config::read_regular(&path)).await;
        let text = text.map_err(|hanging| self.refuse(hanging.to_string()))??;
        let path = self.path.clone();
        let (draft, required) = blocking(move || {
            let draft = config::parse(text, &path, &environment)?;
            let required: Vec<_> = draft.required().collect();
            Ok((draft, required))
        })
        .await?;
        let files = self.files.clone();
        let unreadable = self.reads.run(move || files.read_all(required)).await;
        let unreadable = unreadable.map_err(|hanging| self.refuse(format!("a file that it names {hanging}")))?;
        blocking(move || draft.finish(&unreadable)).await
    }

    /// As [`Self::digest`], without blocking; `None` if the file is not read in time, too.
    pub(super) async fn current_digest(&self) -> Option<Sha256Digest> {
        let file = self.clone();
        self.reads.run(move || file.digest()).await.ok().flatten()
    }

    fn refuse(&self, message: String) -> LoadError {
        let file = Some(self.path.as_path().into());
        LoadError::new(vec![Diagnostic { file, position: None, key: String::new(), message }])
    }
}

/// A reload is due.
#[derive(Debug)]
pub(super) struct Trigger {
    /// The cause.
    pub(super) by: Cause,
    /// The digest of the content to load.
    pub(super) digest: Option<Sha256Digest>,
    /// The requests that wait for its result.
    pub(super) requests: Vec<ReloadRequest>,
}

/// The cause of a reload.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Cause {
    /// The content has changed; a writer may not have finished.
    Content,
    /// A client has requested it.
    Http,
    /// A signal has requested it.
    Sighup,
}

impl Cause {
    /// Returns the text in the log.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Content => "content",
            Self::Http => "HTTP",
            Self::Sighup => "SIGHUP",
        }
    }
}

/// Detects when a reload is due.
#[derive(Debug)]
pub(super) struct Detector {
    reload: Reload,
    requests: mpsc::Receiver<ReloadRequest>,
}

impl Detector {
    /// Detects changes of the file, the signal, and these requests.
    pub(super) fn new(reload: Reload, requests: mpsc::Receiver<ReloadRequest>) -> Self {
        Self { reload, requests }
    }

    /// Sends a trigger for each reload that is due. Ends when the receiver of the triggers is gone.
    pub(super) async fn run(mut self, triggers: mpsc::Sender<Trigger>) {
        let mut checks = interval_at(Instant::now() + CHECK_EVERY, CHECK_EVERY);
        checks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let mut requests = Vec::new();
            let by = tokio::select! {
                () = self.reload.hangups.next() => Cause::Sighup,
                Some(request) = self.requests.recv() => {
                    requests.push(request);
                    Cause::Http
                }
                _ = checks.tick(), if self.reload.auto == AutoReload::On => {
                    if self.digest().await == self.reload.loaded_digest {
                        continue;
                    }
                    self.settle().await;
                    Cause::Content
                }
            };
            // Waits until the previous reload has begun: this one serves every request that comes until then.
            let Ok(permit) = triggers.reserve().await else { return };
            while let Ok(request) = self.requests.try_recv() {
                requests.push(request);
            }
            // Before the file is read, so that the next check detects any later change.
            self.reload.loaded_digest = self.digest().await;
            permit.send(Trigger { by, digest: self.reload.loaded_digest, requests });
        }
    }

    /// Waits until the file has stopped changing, because a partly written file may be valid.
    async fn settle(&self) {
        let mut before = self.digest().await;
        for _ in 0..MAX_SETTLING {
            sleep(SETTLE_TIME).await;
            let now = self.digest().await;
            if now == before {
                return;
            }
            before = now;
        }
    }

    async fn digest(&self) -> Option<Sha256Digest> {
        self.reload.file.current_digest().await
    }
}

/// The same period as for the files of TLS and headers.
const CHECK_EVERY: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use std::fs;

    use tempfile::TempDir;

    use super::*;
    use crate::http::Reloads;

    /// A detector that watches a file.
    struct Watched {
        path: PathBuf,
        triggers: mpsc::Receiver<Trigger>,
        _folder: TempDir,
    }

    impl Watched {
        /// Watches a file that was loaded when its content was `loaded`.
        fn new(loaded: &str) -> Self {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("portprobe.yaml");
            fs::write(&path, loaded).unwrap();
            let file = ConfigFile::new(path.clone(), LoadedFiles::default());
            let (loaded_digest, hangups) = (file.digest(), Hangups::install().unwrap());
            let reload = Reload { file, loaded_digest, auto: AutoReload::On, hangups, http: HttpReload::Disabled };
            let (_, requests) = Reloads::channel();
            let (sender, triggers) = mpsc::channel(1);
            tokio::spawn(Detector::new(reload, requests).run(sender));
            Self { path, triggers, _folder: folder }
        }

        /// Writes this many versions of the file in the background, one every 1.8 s, the first just before a check.
        fn write_versions(&self, versions: usize) {
            let path = self.path.clone();
            tokio::spawn(async move {
                sleep(Duration::from_millis(9900)).await;
                for version in 0..versions {
                    fs::write(&path, format!("version {version}")).unwrap();
                    sleep(SETTLE_TIME.mul_f64(0.9)).await;
                }
            });
        }

        /// Waits until a change of the content is detected.
        async fn changed(&mut self) {
            assert_eq!(self.triggers.recv().await.unwrap().by, Cause::Content);
        }

        fn content(&self) -> String {
            fs::read_to_string(&self.path).unwrap()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_change_during_the_first_load_is_detected() {
        let mut watched = Watched::new("before the load");
        fs::write(&watched.path, "during the load").unwrap();
        watched.changed().await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_file_is_reloaded_once_it_is_complete() {
        let mut watched = Watched::new("complete");
        let start = Instant::now();
        watched.write_versions(4);
        watched.changed().await;
        assert_eq!(watched.content(), "version 3");
        assert!(start.elapsed() < CHECK_EVERY + 6 * SETTLE_TIME, "{:?}", start.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn a_file_that_never_settles_is_reloaded() {
        let mut watched = Watched::new("complete");
        let start = Instant::now();
        watched.write_versions(1000);
        watched.changed().await;
        assert_ne!(watched.content(), "version 999");
        assert!(start.elapsed() >= CHECK_EVERY + 5 * SETTLE_TIME, "{:?}", start.elapsed());
    }
}

//! Reloads of a running reconciler, mostly with a paused clock.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::thread;

use tempfile::TempDir;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::*;
use crate::app::reload::Detector;
use crate::app::{AutoReload, HttpReload, Reload};
use crate::board::View;
use crate::clock::Timestamp;
use crate::http::Reloads;
use crate::outcome::{Next, Outcome, Prober, Report};
use crate::scheduler::Scheduler;
use crate::shutdown::Hangups;
use crate::store::{Store, StoreOptions};
use crate::target::{Shard, Target};

/// A prober whose probes never end.
struct Silent;

impl Prober for Silent {
    async fn probe(&self, _: &Arc<Target>, _: Instant) -> Outcome {
        pending().await
    }

    fn descriptors(&self, _: &Target) -> u32 {
        1
    }
}

/// A reconciler that follows a file.
struct Running {
    path: PathBuf,
    board: Arc<Board>,
    triggers: mpsc::Sender<Trigger>,
    _tasks: JoinSet<()>,
    _folder: TempDir,
}

impl Running {
    async fn start(text: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("portprobe.yaml");
        fs::write(&path, text).unwrap();
        let files = LoadedFiles::default();
        let file = ConfigFile::new(path.clone(), files.clone());
        let config = file.load().unwrap();
        let (sender, triggers) = mpsc::channel(1);
        let detector = Detector::new(
            Reload {
                loaded_digest: file.digest(),
                file: file.clone(),
                auto: AutoReload::On,
                hangups: Hangups::install().unwrap(),
                http: HttpReload::Disabled,
            },
            Reloads::channel().1,
        );
        let board = Arc::new(Board::new(config.histograms.clone()));
        let record = |_: &Report| Next::OnSchedule;
        let (scheduler, handle) = Scheduler::new(Silent, record, config.limits, "machine", Timestamp::default());
        let connector = Connector::new(config.dns, files.tls_store.clone());
        let (store, _) = Store::open(&StoreOptions::default(), Timestamp::default()).unwrap();
        let prober = NetworkProber::new(config.dns, files.tls_store.clone(), files.header_values.clone());
        let prober = Arc::new(prober);
        let reconciler = Reconciler {
            on_demand: Arc::new(OnDemandProbes::new(prober.clone(), handle.clone(), files.clone())),
            auditor: Auditor::new(prober.clone(), handle.clone(), Shard::default()),
            roster: Roster::new(board.clone(), handle, store, Shard::default()),
            target_sources: TargetSources::default(),
            discovery: Sources::new(connector.clone(), Arc::default()),
            prober,
            files,
            discovered_files: DiscoveredFiles::default(),
            board: board.clone(),
            config_file: Some(file),
            running_config: Arc::default(),
            connector,
            descriptors: Descriptors::raised(),
            startup: Arc::new(Startup::new()),
            unconfirmed: None,
        };
        let (readiness, stop, mut tasks) = (Readiness::default(), CancellationToken::new(), JoinSet::new());
        tasks.spawn(scheduler.run(stop.clone()));
        tasks.spawn(detector.run(sender.clone()));
        tasks.spawn(async move { reconciler.run(config, triggers, &readiness, &stop).await });
        let running = Self { path, board, triggers: sender, _tasks: tasks, _folder: folder };
        running.until(|view| !view.rows.is_empty()).await;
        running
    }

    /// Overwrites the file in place.
    fn write(&self, text: &str) {
        fs::write(&self.path, text).unwrap();
    }

    /// Requests a reload.
    async fn request(&self) {
        let trigger = Trigger { by: Cause::Sighup, digest: None, requests: Vec::new() };
        self.triggers.send(trigger).await.unwrap();
    }

    /// Waits for a condition; returns the smallest number of targets meanwhile.
    async fn until(&self, condition: impl Fn(&View) -> bool) -> usize {
        let (mut least, deadline) = (usize::MAX, Instant::now() + Duration::from_mins(2));
        loop {
            let view = self.board.view();
            least = least.min(view.rows.len());
            if condition(&view) {
                return least;
            }
            assert!(Instant::now() < deadline, "{} targets", view.rows.len());
            sleep(Duration::from_millis(10)).await;
        }
    }
}

/// A configuration of which each part that ends with a line is valid.
fn listing(targets: usize) -> String {
    (0..targets).fold("targets:\n".to_owned(), |text, host| text + &format!("- tcp://h{host}:1\n"))
}

#[tokio::test(start_paused = true)]
async fn a_slowly_written_file_loses_no_target() {
    let running = Running::start(&listing(40)).await;
    running.write(&listing(18));
    let written = Instant::now() + Duration::from_secs(25);
    let meanwhile = running.until(|_| Instant::now() > written).await;
    running.write(&listing(41));
    assert_eq!((meanwhile, running.until(|view| view.rows.len() == 41).await), (40, 40));
}

#[tokio::test(start_paused = true)]
async fn an_unchanged_mass_removal_is_applied() {
    let running = Running::start(&listing(40)).await;
    running.write(&listing(18));
    let start = Instant::now();
    running.until(|view| view.rows.len() == 18).await;
    assert!(start.elapsed() >= CONFIRMATION, "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_requested_mass_removal_is_applied_at_once() {
    let running = Running::start(&listing(40)).await;
    running.write(&listing(18));
    let start = Instant::now();
    running.request().await;
    running.until(|view| view.rows.len() == 18).await;
    assert!(start.elapsed() < CONFIRMATION, "{:?}", start.elapsed());
}

#[tokio::test]
async fn a_reload_is_one_step() {
    let running = Running::start("labels: { round: old }\ntargets: ['a:1', 'b:1']\n").await;
    running.write("targets: [");
    running.request().await;
    running.until(|view| !view.environment.reload.successful).await;
    let board = running.board.clone();
    let (begin, begun) = std::sync::mpsc::channel();
    let watcher = thread::spawn(move || {
        let mut seen = BTreeSet::new();
        loop {
            let View { rows, environment } = board.view();
            let of_targets: BTreeSet<_> = rows.targets().map(|target| format!("{:?}", target.labels)).collect();
            seen.insert((rows.len(), format!("{:?}", environment.labels), of_targets, environment.reload.successful));
            let _ = begin.send(());
            if environment.reload.successful {
                return seen;
            }
        }
    });
    begun.recv().unwrap();
    running.write("labels: { round: new }\ntargets: ['a:1', 'b:1', 'c:1']\n");
    running.request().await;
    running.until(|view| view.environment.reload.successful).await;
    let seen = watcher.join().unwrap();
    assert_eq!(seen.len(), 2, "{seen:?}");
    for (targets, labels, of_targets, successful) in seen {
        assert_eq!((targets, of_targets.len()), (if successful { 3 } else { 2 }, 1));
        assert!(labels.contains(if successful { "new" } else { "old" }) && of_targets.contains(&labels), "{labels}");
    }
}

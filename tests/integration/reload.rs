//! Reload: adds, removes and changes targets, and affects nothing else.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::{OpenOptionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::thread;

use nix::fcntl::OFlag;
use nix::sys::signal::{Signal, kill};
use nix::sys::stat::Mode;
use nix::unistd::{Pid, mkfifo};
use tempfile::TempDir;
use tokio::task::JoinSet;

use crate::support::daemon::{Daemon, portprobe};
use crate::support::http;
use crate::support::ports;
use crate::support::scrape::Scrape;
use crate::support::wait;

const SUCCESSFUL: &str = "portprobe_config_last_reload_successful";
const SUCCESS_AT: &str = "portprobe_config_last_reload_success_timestamp_seconds";
const PROBES: &str = "portprobe_probes_total";

/// A daemon with a configuration that can be replaced.
struct Reloadable {
    daemon: Daemon,
    file: PathBuf,
}

impl Reloadable {
    async fn start(config: &str, flags: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("portprobe.yaml"), config).unwrap();
        Self::start_in(folder, flags).await
    }

    async fn start_in(folder: TempDir, flags: &[&str]) -> Self {
        let file = folder.path().join("portprobe.yaml");
        Self { daemon: Daemon::start_in(folder, flags).await, file }
    }

    fn write(&self, config: &str) {
        fs::write(&self.file, config).unwrap();
    }

    async fn post(&self) -> http::Response {
        http::request(self.daemon.address, "POST", "/-/reload").await
    }

    async fn until(&self, what: &str, condition: impl Fn(&Scrape) -> bool) -> Scrape {
        self.daemon.scrape_until(what, condition).await
    }
}

/// Ten ports without listeners.
const TEN: &str = "defaults: { interval: 200ms }\ntargets: ['127.0.0.1:1-10']\n";

#[tokio::test]
async fn a_hangup_applies_the_changed_targets() {
    let reloadable = Reloadable::start(TEN, &["--no-config.auto-reload"]).await;
    let kept = "tcp://127.0.0.1:2";
    let before = reloadable
        .until("a target has a past", |scrape| scrape.of(kept, PROBES) >= Some(5.0))
        .await;
    let down_since = before.of(kept, "portprobe_state_since_timestamp_seconds");
    let changed = "defaults: { interval: 200ms }\ntargets: ['127.0.0.1:2-9', 127.0.0.1:11, { url: 127.0.0.1:10, interval: 300ms }]\n";
    reloadable.write(changed);
    reloadable.daemon.signal(Signal::SIGHUP);
    let after = reloadable
        .until("the new target is there", |scrape| scrape.of("tcp://127.0.0.1:11", PROBES) >= Some(1.0))
        .await;
    assert_eq!(after.value("portprobe_targets", &[]), Some(10.0));
    for name in [PROBES, "portprobe_up", "portprobe_target_info", "portprobe_interval_seconds"] {
        assert_eq!(after.of("tcp://127.0.0.1:1", name), None, "a target that is gone leaves no series: {name}");
    }
    assert!(after.of(kept, PROBES) >= before.of(kept, PROBES), "counters continue");
    assert_eq!(after.of(kept, "portprobe_state_since_timestamp_seconds"), down_since, "so do states");
    assert_eq!(after.of("tcp://127.0.0.1:10", "portprobe_interval_seconds"), Some(0.3));
    assert!(after.of("tcp://127.0.0.1:10", PROBES) >= before.of("tcp://127.0.0.1:10", PROBES));
    assert_eq!(after.value(SUCCESSFUL, &[]), Some(1.0));
    assert!(after.value(SUCCESS_AT, &[]) > before.value(SUCCESS_AT, &[]));
    let logged = reloadable
        .daemon
        .logged(&["Reloaded the configuration", "added=1", "changed=1", "removed=1"]);
    assert_eq!(logged.len(), 1);
}

#[tokio::test]
async fn an_invalid_configuration_changes_nothing() {
    let reloadable = Reloadable::start(TEN, &["--web.enable-lifecycle", "--no-config.auto-reload"]).await;
    let before = reloadable.daemon.scrape().await;
    reloadable.write("targets: ['127.0.0.1:2', 'b:0']\ndefaults: { intervall: 1s }\n");
    let answer = reloadable.post().await;
    assert_eq!(answer.status, 500);
    assert!(answer.body.contains(":1:26: targets[1]: port 0 is out of range"), "{}", answer.body);
    assert!(answer.body.contains("did you mean `interval`?"), "every problem is reported: {}", answer.body);
    let after = reloadable.daemon.scrape().await;
    assert_eq!(after.value(SUCCESSFUL, &[]), Some(0.0));
    assert_eq!(after.value(SUCCESS_AT, &[]), before.value(SUCCESS_AT, &[]));
    assert_eq!(after.value("portprobe_targets", &[]), Some(10.0));
    fs::remove_file(&reloadable.file).unwrap();
    assert_eq!(reloadable.post().await.status, 500);
    reloadable.write("labels: { region: eu }\nhistograms: { buckets: [1, 2] }\ntargets: ['127.0.0.1:1-3']\n");
    assert_eq!(reloadable.post().await.status, 200);
    let after = reloadable.daemon.scrape().await;
    assert_eq!(after.value(SUCCESSFUL, &[("region", "eu")]), Some(1.0), "global labels change everywhere");
    assert_eq!(after.value("portprobe_targets", &[("region", "eu")]), Some(3.0));
    let bucket = [("target", "tcp://127.0.0.1:1"), ("le", "2.0")];
    assert_eq!(after.value("portprobe_handshake_duration_seconds_bucket", &bucket), Some(0.0));
    let bucket = [("target", "tcp://127.0.0.1:1"), ("le", "0.05")];
    assert_eq!(after.value("portprobe_handshake_duration_seconds_bucket", &bucket), None);
}

/// A pipe in place of the configuration, held open so that reading it never ends.
struct Endless {
    path: PathBuf,
    writer: Option<fs::File>,
}

impl Endless {
    fn at(path: &Path) -> Self {
        let _ = fs::remove_file(path);
        mkfifo(path, Mode::S_IRUSR | Mode::S_IWUSR).unwrap();
        Self { path: path.to_owned(), writer: None }
    }

    async fn is_read(&mut self) {
        wait::until("the pipe is read", async || {
            let options = fs::OpenOptions::new()
                .write(true)
                .custom_flags(OFlag::O_NONBLOCK.bits())
                .open(&self.path);
            self.writer = options.ok();
            self.writer.is_some()
        })
        .await;
    }
}

#[tokio::test]
async fn a_pipe_fails_a_reload_without_being_read() {
    let reloadable = Reloadable::start(TEN, &["--web.enable-lifecycle", "--no-config.auto-reload"]).await;
    Endless::at(&reloadable.file);
    let response = reloadable.post().await;
    assert_eq!(response.status, 500);
    assert!(response.body.contains("is a pipe, not a regular file"), "{}", response.body);
    reloadable
        .until("it is a failed reload", |scrape| scrape.value(SUCCESSFUL, &[]) == Some(0.0))
        .await;
    fs::remove_file(&reloadable.file).unwrap();
    reloadable.write("defaults: { interval: 200ms }\ntargets: ['127.0.0.1:1-5']\n");
    assert_eq!(reloadable.post().await.status, 200);
    assert_eq!(reloadable.daemon.scrape().await.value("portprobe_targets", &[]), Some(5.0));
}

#[tokio::test]
async fn a_loading_daemon_stops_on_a_signal() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("portprobe.yaml");
    let mut endless = Endless::at(&file);
    let mut process = portprobe()
        .arg("--config.file")
        .arg(&file)
        .arg("--web.listen-address=127.0.0.1:0")
        .spawn()
        .unwrap();
    endless.is_read().await;
    kill(Pid::from_raw(process.id().try_into().unwrap()), Signal::SIGTERM).unwrap();
    let mut status = None;
    wait::until("it ends", async || {
        status = process.try_wait().unwrap();
        status.is_some()
    })
    .await;
    assert_eq!(status.unwrap().code(), Some(0));
}

#[tokio::test]
async fn the_running_configuration_hides_secrets() {
    let config = "targets: [{ url: 127.0.0.1:1, dialogue: [{ send: 'AUTH hunter2' }, { expect: OK }] }]\n";
    let reloadable = Reloadable::start(config, &["--web.enable-lifecycle", "--no-config.auto-reload"]).await;
    let shown = reloadable.daemon.get("/config").await.body;
    assert!(shown.contains("url: 127.0.0.1:1") && shown.contains("<hidden>") && !shown.contains("hunter2"), "{shown}");
    reloadable.write("targets: [127.0.0.1:2]\n");
    assert!(!reloadable.daemon.get("/config").await.body.contains("127.0.0.1:2"), "the file is not loaded yet");
    assert_eq!(reloadable.post().await.status, 200);
    assert_eq!(reloadable.daemon.get("/config").await.body, "targets:\n- 127.0.0.1:2\n");
}

#[tokio::test]
async fn reload_requests_need_the_lifecycle_flag() {
    let closed = Reloadable::start(TEN, &[]).await;
    assert_eq!(closed.post().await.status, 403);
    let open = Reloadable::start(TEN, &["--web.enable-lifecycle"]).await;
    let get = open.daemon.get("/-/reload").await;
    assert_eq!((get.status, get.header("allow")), (405, Some("POST, PUT")));
    assert_eq!(open.post().await.status, 200);
}

#[tokio::test]
async fn pages_of_other_sites_cannot_reload() {
    let reloadable = Reloadable::start(TEN, &["--web.enable-lifecycle"]).await;
    let address = reloadable.daemon.address;
    let own = format!("http://{address}");
    for (headers, expected) in [
        ([("Origin", "http://evil.example")], 403),
        ([("Origin", "null")], 403),
        ([("Sec-Fetch-Site", "cross-site")], 403),
        ([("Sec-Fetch-Site", "same-origin")], 200),
        ([("Origin", own.as_str())], 200),
    ] {
        let answer = http::request_with(address, "POST", "/-/reload", &headers).await;
        assert_eq!(answer.status, expected, "{headers:?}: {}", answer.body);
    }
}

#[tokio::test]
async fn browsers_load_nothing_else_for_a_page() {
    let daemon = Daemon::start("targets: [ '127.0.0.1:1' ]\n").await;
    for path in ["/", "/metrics", "/config", "/-/healthy", "/nowhere"] {
        let answer = daemon.get(path).await;
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{path}");
        let policy = answer.header("content-security-policy").unwrap();
        assert!(policy.starts_with("default-src 'none'"), "{path}: {policy}");
    }
}

#[tokio::test]
async fn any_change_of_content_is_reloaded() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().to_owned();
    // Like a ConfigMap in Kubernetes: the file is a link into a folder, which is a link that is replaced.
    let version = |name: &str, config: &str| {
        let version = root.join(name);
        fs::create_dir(&version).unwrap();
        fs::write(version.join("portprobe.yaml"), config).unwrap();
        let next = root.join("..data_tmp");
        symlink(name, &next).unwrap();
        fs::rename(next, root.join("..data")).unwrap();
    };
    version("first", "targets: ['127.0.0.1:1']\n");
    symlink("..data/portprobe.yaml", root.join("portprobe.yaml")).unwrap();
    let reloadable = Reloadable::start_in(folder, &[]).await;
    version("second", "targets: ['127.0.0.1:1-2']\n");
    let targets = async || reloadable.daemon.scrape().await.value("portprobe_targets", &[]);
    wait::until_patiently("the second version is loaded", async || targets().await == Some(2.0)).await;
    fs::remove_file(root.join("..data")).unwrap();
    let successful = async || reloadable.daemon.scrape().await.value(SUCCESSFUL, &[]);
    wait::until_patiently("the missing file is reported", async || successful().await == Some(0.0)).await;
    assert_eq!(targets().await, Some(2.0), "the current version stays in use");
    version("third", "targets: ['127.0.0.1:1-3']\n");
    wait::until_patiently("the third version is loaded", async || targets().await == Some(3.0)).await;
    assert_eq!(successful().await, Some(1.0));
    assert_eq!(reloadable.daemon.logged(&["Cannot reload the configuration"]).len(), 1, "one cause, one line");
}

#[tokio::test]
async fn many_reload_requests_do_no_harm() {
    let reloadable = Reloadable::start(TEN, &["--web.enable-lifecycle", "--no-config.auto-reload"]).await;
    let before = reloadable.daemon.scrape().await;
    let address = reloadable.daemon.address;
    let mut crowd = JoinSet::new();
    for _ in 0..100 {
        crowd.spawn(async move {
            for _ in 0..100 {
                assert_eq!(http::request(address, "POST", "/-/reload").await.status, 200);
            }
        });
    }
    crowd.join_all().await;
    let after = reloadable.daemon.scrape().await;
    let reloads = [("path", "/-/reload"), ("code", "200")];
    assert_eq!(after.value("portprobe_http_requests_total", &reloads), Some(10_000.0));
    let target = "tcp://127.0.0.1:2";
    assert!(after.of(target, PROBES) >= before.of(target, PROBES));
    reloadable
        .until("probes go on", |scrape| scrape.of(target, PROBES) > after.of(target, PROBES))
        .await;
}

#[tokio::test]
async fn a_hundred_reloads_under_load_lose_no_count() {
    // On separate threads, because this one reads the log of the daemon.
    let listeners: Vec<_> = (0..20).map(|_| ports::open_to_a_crowd()).collect();
    let addresses: Vec<_> = listeners.iter().map(|listener| listener.local_addr().unwrap()).collect();
    for listener in listeners {
        thread::spawn(move || listener.incoming().for_each(drop));
    }
    let config = |extra: usize| {
        let mut config = "defaults: { interval: 1s }\nlimits: { per_host: 0 }\ntargets:\n".to_owned();
        for number in 0..2000 {
            let address = addresses[number % addresses.len()];
            writeln!(config, "- {{ url: '{address}', name: t{number} }}").unwrap();
        }
        for number in 0..extra {
            writeln!(config, "- {{ url: '127.0.0.1:{}', name: extra{number} }}", number + 1).unwrap();
        }
        config
    };
    let reloadable = Reloadable::start(&config(0), &["--web.enable-lifecycle", "--no-config.auto-reload"]).await;
    let sum = |scrape: &Scrape| {
        (0..2000)
            .filter_map(|number| scrape.of(&format!("t{number}"), PROBES))
            .sum::<f64>()
    };
    reloadable.until("all are probed", |scrape| sum(scrape) >= 2000.0).await;
    let descriptors = "process_open_fds";
    let mut last = reloadable.daemon.scrape().await;
    for round in 0..100 {
        reloadable.write(&config(round % 3));
        assert_eq!(reloadable.post().await.status, 200);
        if round % 10 != 9 {
            continue;
        }
        let now = reloadable.daemon.scrape().await;
        assert_eq!(now.value("portprobe_targets", &[]), Some(f64::from(2000 + u16::try_from(round % 3).unwrap())));
        for number in [0, 1000, 1999] {
            let name = format!("t{number}");
            assert!(now.of(&name, PROBES) >= last.of(&name, PROBES), "{name} has lost counts");
            assert_eq!(now.of(&name, "portprobe_up"), Some(1.0));
        }
        assert!(sum(&now) >= sum(&last));
        last = now;
    }
    // A busy machine may delay a probe past its due time, a reload never does.
    let lag = |bound| last.value("portprobe_schedule_lag_seconds_bucket", &[("le", bound)]).unwrap();
    let overlaps = last.value("portprobe_skipped_probes_total", &[("reason", "overlap")]);
    assert!(overlaps == Some(0.0) || lag("0.1") < lag("+Inf"), "{overlaps:?}");
    assert!(last.value(descriptors, &[]) < Some(200.0), "no descriptor leaks");
    assert_eq!(last.of("extra1", PROBES), None);
}

/// The suffixes of series that never decrease; some of these ports may be open.
const RISING: [&str; 5] = ["_total", "_bucket", "_count", "_sum", "_last_probe_timestamp_seconds"];

/// Of ten thousand targets, one is removed, one added and one probed less often.
fn ten_thousand(first: u16, interval: &str) -> String {
    format!(
        "defaults: {{ interval: 10s }}\nlimits: {{ per_host: 0 }}\n\
         targets: ['127.0.0.1:{first}-{}', {{ url: 127.0.0.1:20000, interval: {interval} }}]\n",
        first + 9998
    )
}

#[tokio::test]
async fn a_reload_changes_only_the_changed_targets() {
    let (gone, new, changed) = ("tcp://127.0.0.1:1000", "tcp://127.0.0.1:10999", "tcp://127.0.0.1:20000");
    let reloadable = Reloadable::start(&ten_thousand(1000, "10s"), &["--web.enable-lifecycle"]).await;
    let known = |scrape: &Scrape| scrape.of_targets().keys().filter(|(name, _)| *name == "portprobe_up").count();
    let before = reloadable
        .daemon
        .scrape_until_patiently("all states are known", |scrape| known(scrape) == 10_000)
        .await;
    reloadable.write(&ten_thousand(1001, "20s"));
    // Scrapes run continuously, so that one coincides with the reload and its duration counts, too.
    let answered = Cell::new(false);
    let reload = async {
        let answer = reloadable.post().await;
        answered.set(true);
        answer
    };
    let scraping = async {
        let mut scrapes = Vec::new();
        while !answered.get() {
            scrapes.push(reloadable.daemon.scrape().await);
        }
        scrapes
    };
    let (answer, meanwhile) = tokio::join!(reload, scraping);
    assert_eq!(answer.status, 200);
    let after = reloadable
        .daemon
        .scrape_until_patiently("the new target's state is known", |scrape| scrape.of(new, "portprobe_up").is_some())
        .await;
    let (before, after) = (before.of_targets(), after.of_targets());
    let is_of_target = |key: &(&str, &BTreeMap<String, String>), target: &str| key.1["target"] == target;
    for lost in before.keys().filter(|key| !after.contains_key(*key)) {
        assert!(is_of_target(lost, gone), "{lost:?} is gone");
    }
    for found in after.keys().filter(|key| !before.contains_key(*key)) {
        assert!(is_of_target(found, new), "{found:?} is new");
    }
    assert!(!after.keys().any(|key| is_of_target(key, gone)), "a removed target leaves no series");
    for (key, value) in after.iter().filter(|(key, _)| before.contains_key(*key)) {
        let was = before[key];
        match key.0 {
            "portprobe_interval_seconds" if is_of_target(key, changed) => assert_eq!((was, *value), (10.0, 20.0)),
            // The next probe sets these values again.
            "portprobe_probe_duration_seconds" | "portprobe_phase_duration_seconds" => {}
            name if RISING.iter().any(|end| name.ends_with(end)) => {
                assert!(was <= *value, "{key:?} from {was} to {value}");
            }
            _ => assert_eq!(was.to_bits(), value.to_bits(), "{key:?} from {was} to {value}"),
        }
    }
    for scrape in &meanwhile {
        let seen = scrape.of_targets();
        let kept = before.keys().filter(|key| after.contains_key(*key));
        assert_eq!(kept.filter(|key| !seen.contains_key(*key)).count(), 0, "a scrape lacks a kept target");
        let unknown = seen
            .keys()
            .filter(|key| !before.contains_key(*key) && !after.contains_key(*key));
        assert_eq!(unknown.collect::<Vec<_>>(), Vec::<&(&str, &BTreeMap<String, String>)>::new());
    }
}

#[tokio::test]
async fn a_partially_written_file_is_not_reloaded() {
    let reloadable = Reloadable::start(TEN, &["--web.enable-lifecycle", "--no-config.auto-reload"]).await;
    let whole = "defaults: { interval: 200ms }\ntargets:\n- '127.0.0.1:1-4'\n- { url: 127.0.0.1:5, interval: 300ms }\n";
    // Every length of a partially written file, and its targets once it is complete.
    let targets = async || reloadable.daemon.scrape().await.value("portprobe_targets", &[]);
    let mut refused = 0;
    for length in 0..whole.len() {
        reloadable.write(&whole[..length]);
        let running = targets().await;
        let answer = reloadable.post().await;
        match answer.status {
            500 => {
                refused += 1;
                assert_eq!(targets().await, running, "after {length} bytes: {}", answer.body);
            }
            // A valid part is loaded if a reload is requested.
            status => assert_eq!(status, 200, "after {length} bytes: {}", answer.body),
        }
    }
    assert!(refused > whole.len() / 2, "{refused}");
    reloadable.write(whole);
    assert_eq!(reloadable.post().await.status, 200);
    assert_eq!(targets().await, Some(5.0));
}

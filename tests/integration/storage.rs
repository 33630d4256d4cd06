//! The memory across restarts: `--storage.path`.

use std::collections::BTreeMap;
use std::env;
use std::fs::{self, File};
use std::io::Write as _;
use std::net::TcpListener;
use std::path::Path;
use std::time::Duration;

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::signal::Signal;
use portprobe::clock;
use rusqlite::Connection;
use socket2::Socket;
use tempfile::TempDir;
use tokio::time::Instant;

use crate::support::daemon::{Daemon, finished};
use crate::support::scrape::Scrape;
use crate::support::{ports, requires_root, wait};

async fn start(config: &str, storage: &Path) -> Daemon {
    Daemon::start_with(config, &["--storage.path", storage.to_str().unwrap()]).await
}

async fn stop(mut daemon: Daemon) {
    daemon.signal(Signal::SIGTERM);
    assert!(daemon.ended().await.success());
}

fn query<T: rusqlite::types::FromSql>(storage: &Path, sql: &str) -> T {
    let connection = Connection::open(storage.join("portprobe.db")).unwrap();
    connection.query_row(sql, [], |row| row.get(0)).unwrap()
}

#[tokio::test]
async fn the_first_scrape_after_a_restart_has_the_states() {
    let (storage, (_listener, open), (_socket, closed)) = (TempDir::new().unwrap(), ports::open(), ports::closed());
    // The second probe of each target is far away.
    let config = format!("targets: [{{ url: '127.0.0.1:{open},{closed}', interval: 1d, confirm: {{ delay: 10ms }} }}]");
    let daemon = start(&config, storage.path()).await;
    let names = [open, closed].map(|port| format!("tcp://127.0.0.1:{port}"));
    let states = |scrape: &Scrape| {
        names.each_ref().map(|name| {
            ["portprobe_up", "portprobe_state_since_timestamp_seconds"].map(|series| scrape.of(name, series))
        })
    };
    let before = daemon
        .scrape_until("both states are known", |scrape| states(scrape).iter().all(|[up, _]| up.is_some()))
        .await;
    stop(daemon).await;
    let daemon = start(&config, storage.path()).await;
    let after = daemon.scrape().await;
    assert_eq!(states(&after), states(&before));
    let failure = [("target", &*names[1]), ("phase", "connect"), ("class", "refused")];
    assert_eq!(after.value("portprobe_failure", &failure), Some(1.0));
    assert_eq!(after.of(&names[1], "portprobe_outages_total"), Some(0.0));
    assert!(!daemon.logged(&["Completed the start", "down=1", "up=1"]).is_empty(), "no first state is awaited");
}

#[tokio::test]
async fn a_directory_has_one_process() {
    let storage = TempDir::new().unwrap();
    let config = "targets: ['127.0.0.1:1']";
    let daemon = start(config, storage.path()).await;
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("portprobe.yaml"), config).unwrap();
    let path = storage.path().to_str().unwrap();
    let second = finished(&["--web.listen-address=127.0.0.1:0", "--storage.path", path], folder.path());
    assert_eq!(second.status, 1);
    assert!(second.stderr.contains("another process uses"), "{}", second.stderr);
    let missing = finished(&["--web.listen-address=127.0.0.1:0", "--storage.path", "missing"], folder.path());
    assert!(missing.stderr.contains("must be a directory"), "{}", missing.stderr);
    drop(daemon);
}

#[tokio::test]
async fn a_full_disk_loses_nothing() {
    if !requires_root() {
        return;
    }
    let (storage, (_listener, port)) = (TempDir::new().unwrap(), ports::open());
    mount(Some("none"), storage.path(), Some("tmpfs"), MsFlags::empty(), Some("size=512k")).unwrap();
    let mounted = Mounted(storage.path());
    let config = format!("defaults: {{ interval: 100ms }}\ntargets: ['127.0.0.1:{port}']");
    let daemon = start(&config, storage.path()).await;
    let failures = |scrape: &Scrape| scrape.value("portprobe_storage_write_failures_total", &[]).unwrap();
    let last_write = |scrape: &Scrape| scrape.value("portprobe_storage_last_write_timestamp_seconds", &[]);
    daemon
        .scrape_until_patiently("a first write", |scrape| last_write(scrape).is_some())
        .await;
    let filler = storage.path().join("filler");
    let mut file = File::create(&filler).unwrap();
    while file.write_all(&[0; 512]).is_ok() {}
    let full = daemon
        .scrape_until_patiently("failed writes", |scrape| failures(scrape) > 1.0)
        .await;
    assert_eq!(daemon.logged(&["Cannot write the database"]).len(), 1);
    let probes = |scrape: &Scrape| scrape.sum("portprobe_probes_total");
    let before = probes(&full);
    daemon.scrape_until("more probes", |scrape| probes(scrape) > before).await;
    drop(file);
    fs::remove_file(filler).unwrap();
    daemon
        .scrape_until_patiently("a write", |scrape| last_write(scrape) > last_write(&full))
        .await;
    assert_eq!(daemon.logged(&["Wrote the database again"]).len(), 1);
    let written: f64 = query(storage.path(), "SELECT CAST(sum(probes) AS REAL) FROM days");
    assert!(written >= before, "{written} of {before} and more");
    drop(daemon);
    drop(mounted);
}

/// A mounted folder.
struct Mounted<'a>(&'a Path);

impl Drop for Mounted<'_> {
    fn drop(&mut self) {
        umount2(self.0, MntFlags::MNT_DETACH).unwrap();
    }
}

/// A state that is five seconds old is in the file, whenever the process dies. Another five seconds are for a slow machine.
#[tokio::test]
async fn a_killed_daemon_keeps_its_states() {
    let kills: u32 = env::var("PORTPROBE_TESTS_KILLS").map_or(5, |kills| kills.parse().unwrap());
    let (storage, (_listener, open)) = (TempDir::new().unwrap(), ports::open());
    let mut flapping = Flapping::new();
    let config = format!(
        "defaults: {{ interval: 200ms, confirm: {{ failures: 1 }} }}\nlimits: {{ per_host: 0 }}\n\
         targets: ['127.0.0.1:{open},{}', '127.0.0.1:40000-40299']",
        flapping.port
    );
    let mut random = 20_261_130_u64;
    // The states with their beginnings, as scraped.
    let mut seen: BTreeMap<String, Vec<(f64, f64)>> = BTreeMap::new();
    let (mut killed, mut incidents) = (None, (0_i64, 0_i64));
    for _ in 0..kills {
        let daemon = start(&config, storage.path()).await;
        let first = states(&daemon.scrape().await);
        if let Some(killed) = killed {
            for (target, states) in &seen {
                let stored = states.iter().rfind(|(since, _)| *since < killed - 10.0);
                let restored = first.get(target);
                assert!(restored >= stored, "{target}: {restored:?}, stored was {stored:?}, killed at {killed}");
            }
        }
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let end = Instant::now() + Duration::from_millis((random >> 33) % 12_000);
        while Instant::now() < end {
            flapping.toggle();
            for (target, state) in states(&daemon.scrape().await) {
                let known = seen.entry(target).or_default();
                if known.last() != Some(&state) {
                    known.push(state);
                }
            }
        }
        killed = Some(clock::now().as_secs_f64());
        drop(daemon);
        let checked: String = query(storage.path(), "PRAGMA integrity_check");
        assert_eq!(checked, "ok");
        let all = query(storage.path(), "SELECT count(*) FROM incidents");
        let ended = query(storage.path(), "SELECT count(ended_ms) FROM incidents");
        assert!(all >= incidents.0 && ended >= incidents.1, "{all} incidents, {ended} ended, before {incidents:?}");
        incidents = (all, ended);
    }
    assert!(incidents.1 > 0, "the port has changed its state");
}

/// The beginning and the value of each known state.
fn states(scrape: &Scrape) -> BTreeMap<String, (f64, f64)> {
    let series = scrape.of_targets();
    let of = |name: &str| -> BTreeMap<String, f64> {
        let series = series.iter().filter(|((series, _), _)| *series == name);
        series.map(|((_, labels), value)| (labels["target"].clone(), *value)).collect()
    };
    let up = of("portprobe_up");
    let since = of("portprobe_state_since_timestamp_seconds").into_iter();
    since
        .filter_map(|(target, since)| Some((target.clone(), (since, *up.get(&target)?))))
        .collect()
}

/// A port that is open some of the time.
struct Flapping {
    port: u16,
    socket: Option<Socket>,
    listener: Option<TcpListener>,
    toggles: u32,
}

impl Flapping {
    fn new() -> Self {
        let (socket, port) = ports::closed();
        Self { port, socket: Some(socket), listener: None, toggles: 0 }
    }

    /// Opens or closes the port every few calls.
    fn toggle(&mut self) {
        self.toggles += 1;
        if !self.toggles.is_multiple_of(40) {
            return;
        }
        self.socket = None;
        let was_open = self.listener.take().is_some();
        if !was_open {
            self.listener = TcpListener::bind(("127.0.0.1", self.port)).ok();
        }
    }
}

/// A person may look into the file meanwhile, with a lock on it.
#[tokio::test]
async fn a_locked_file_delays_no_scrape() {
    let (storage, (_listener, port)) = (TempDir::new().unwrap(), ports::open());
    let config = format!("defaults: {{ interval: 100ms }}\ntargets: ['127.0.0.1:{port}']");
    let daemon = start(&config, storage.path()).await;
    let connection = Connection::open(storage.path().join("portprobe.db")).unwrap();
    connection.busy_timeout(Duration::from_secs(5)).unwrap();
    connection.execute_batch("BEGIN EXCLUSIVE").unwrap();
    let failures = |scrape: &Scrape| scrape.value("portprobe_storage_write_failures_total", &[]);
    let locked = daemon
        .scrape_until_patiently("a failed write", |scrape| failures(scrape) > Some(0.0))
        .await;
    assert!(locked.sum("portprobe_probes_total") > 10.0, "probes go on");
    connection.execute_batch("ROLLBACK").unwrap();
    wait::until_patiently("the next write", async || query::<i64>(storage.path(), "SELECT count(*) FROM days") == 1)
        .await;
    stop(daemon).await;
}

#[tokio::test]
async fn a_query_of_the_documentation_works() {
    let (storage, (_listener, port)) = (TempDir::new().unwrap(), ports::open());
    let daemon = start(&format!("targets: ['127.0.0.1:{port}']"), storage.path()).await;
    daemon.scrape_until("a state", |scrape| scrape.sum("portprobe_up") > 0.0).await;
    stop(daemon).await;
    let page = include_str!("../../docs/storage.md");
    let queries: Vec<_> = page
        .split("```sql\n")
        .skip(1)
        .map(|rest| rest.split("```").next().unwrap())
        .collect();
    assert!(queries.len() >= 3, "{page}");
    let connection = Connection::open(storage.path().join("portprobe.db")).unwrap();
    for query in queries {
        let statement = connection.prepare(query);
        assert!(statement.is_ok(), "{query}: {statement:?}");
    }
}

//! The memory across restarts: `--storage.path`.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::signal::Signal;
use rusqlite::Connection;
use tempfile::TempDir;

use crate::support::daemon::{Daemon, finished};
use crate::support::scrape::Scrape;
use crate::support::{ports, requires_root, wait};

mod kills;

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

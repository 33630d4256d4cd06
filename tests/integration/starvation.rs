//! A daemon that gets too little CPU, or is stopped, blames itself and not its targets.

#![expect(clippy::float_cmp, reason = "counts are whole numbers")]

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::sleep;

use crate::support::daemon::Daemon;
use crate::support::netns::{self, firewall};
use crate::support::peers::peer;
use crate::support::scrape::Scrape;

/// A process that runs for a few milliseconds of each fifth of a second, as under a limit on CPU time.
struct Starved {
    process: Pid,
    fed: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Starved {
    fn starve(daemon: &Daemon) -> Self {
        let process = Pid::from_raw(daemon.id().try_into().unwrap());
        let fed = Arc::new(AtomicBool::new(false));
        let thread = thread::spawn({
            let fed = fed.clone();
            move || {
                // The sleeps are the load, not waits for a condition.
                while !fed.load(Ordering::Relaxed) {
                    kill(process, Signal::SIGSTOP).unwrap();
                    thread::sleep(Duration::from_millis(180));
                    kill(process, Signal::SIGCONT).unwrap();
                    thread::sleep(Duration::from_millis(5));
                }
            }
        });
        Self { process, fed, thread: Some(thread) }
    }
}

impl Drop for Starved {
    fn drop(&mut self) {
        self.fed.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().unwrap();
        kill(self.process, Signal::SIGCONT).unwrap();
    }
}

/// Replies a little before the timeout of the targets.
async fn slow_redis() -> SocketAddr {
    peer(async |mut stream: tokio::net::TcpStream| {
        let mut request = [0; 64];
        while stream.read(&mut request).await.is_ok_and(|length| length > 0) {
            sleep(Duration::from_millis(60)).await;
            if stream.write_all(b"+PONG\r\n").await.is_err() {
                return;
            }
        }
    })
    .await
}

fn overloaded(scrape: &Scrape) -> f64 {
    scrape
        .value("portprobe_local_faults_total", &[("reason", "overloaded")])
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_starved_daemon_blames_itself() {
    let server = slow_redis().await;
    let targets: Vec<_> = (0..40)
        .map(|index| format!("  - {{ url: 'redis://{server}', name: target-{index} }}\n"))
        .collect();
    let daemon = Daemon::start(&format!(
        "defaults: {{ interval: 200ms, timeout: 150ms, confirm: {{ failures: 1 }} }}\n\
         limits: {{ per_host: 0 }}\ntargets:\n  - {{ url: '127.0.0.1:1', expect: closed }}\n{}",
        targets.concat()
    ))
    .await;
    daemon
        .scrape_until("all are up", |scrape| scrape.sum("portprobe_up") == 41.0)
        .await;
    let starved = Starved::starve(&daemon);
    let scrape = daemon
        .scrape_until_patiently("the daemon is overloaded", |scrape| overloaded(scrape) > 200.0)
        .await;
    assert_eq!(scrape.sum("portprobe_outages_total"), 0.0, "{:?}", daemon.logged(&["is down"]));
    drop(starved);
    let before = daemon.scrape().await;
    let probes = |scrape: &Scrape| scrape.sum("portprobe_probes_total");
    let scrape = daemon
        .scrape_until("probes succeed again", |scrape| probes(scrape) > probes(&before) + 80.0)
        .await;
    assert_eq!(scrape.sum("portprobe_outages_total"), 0.0, "{:?}", daemon.logged(&["is down"]));
    assert_eq!(scrape.sum("portprobe_up"), 41.0);
}

/// What looks like a starved daemon: many targets fall silent at once.
#[test]
fn many_silent_targets_are_down() {
    netns::inside(async || {
        let listener = TcpListener::bind("0.0.0.0:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        thread::spawn(move || listener.incoming().for_each(drop));
        let targets: Vec<_> = (0..1000)
            .map(|index| format!("  - tcp://127.1.{}.{}:{port}\n", index / 250, 1 + index % 250))
            .collect();
        let daemon = Daemon::start(&format!(
            "defaults: {{ interval: 2s, timeout: 1s, confirm: {{ failures: 1 }} }}\ntargets:\n{}",
            targets.concat()
        ))
        .await;
        daemon
            .scrape_until_patiently("all are up", |scrape| scrape.sum("portprobe_up") == 1000.0)
            .await;
        firewall("input", &format!("tcp dport {port} drop"));
        let scrape = daemon
            .scrape_until_patiently("all are down", |scrape| scrape.sum("portprobe_up") == 0.0)
            .await;
        assert_eq!(scrape.sum("portprobe_outages_total"), 1000.0);
        // A busy test machine may stop the daemon for a moment.
        assert!(overloaded(&scrape) < 100.0, "{}", overloaded(&scrape));
    });
}

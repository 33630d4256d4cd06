//! Kills at random moments: neither a state nor an alert may notice them.

use std::collections::BTreeMap;
use std::env;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::time::Duration;

use portprobe::clock;
use serde_json::Value;
use socket2::Socket;
use tempfile::TempDir;
use tokio::time::Instant;

use super::query;
use crate::support::daemon::Daemon;
use crate::support::scrape::Scrape;
use crate::support::services::alerting::alerts;
use crate::support::services::{self, Prometheus};
use crate::support::{peers, ports};

/// A state that is five seconds old is in the file, whenever the process dies, and alerts go on as if it had not died.
#[tokio::test]
async fn a_killed_daemon_keeps_states_and_alerts() {
    let kills: u32 = env::var("PORTPROBE_TESTS_KILLS").map_or(5, |kills| kills.parse().unwrap());
    let (storage, address) = (TempDir::new().unwrap(), free_address());
    let open = peers::peer(|stream| async move { drop(stream) }).await;
    let ((_socket, closed), mut flapping) = (ports::closed(), Flapping::new());
    let config = format!(
        "defaults: {{ interval: 200ms, confirm: {{ failures: 1 }} }}\nlimits: {{ per_host: 0 }}\n\
         targets: ['{open}', {{ url: '127.0.0.1:{closed}', name: down }}, \
         {{ url: '127.0.0.1:{}', name: flapping }}, {{ url: '{LOAD}:19000-19299', expect: closed }}]",
        flapping.port
    );
    let start = async || {
        let (listen, path) = (format!("--web.listen-address={address}"), storage.path().to_str().unwrap());
        Daemon::start_with(&config, &[&listen, "--storage.path", path]).await
    };
    let all = watching(address).await;
    let (mut history, mut random) = (History::default(), 20_261_130_u64);
    for kill in 0..kills {
        let daemon = start().await;
        history.assert_restored(&states(&daemon.scrape().await));
        if kill == 0 {
            for prometheus in &all {
                prometheus.query_until("ALERTS{alertstate='firing',target='down'}", "1").await;
            }
        }
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let end = Instant::now() + Duration::from_millis((random >> 33) % 12_000);
        while Instant::now() < end {
            flapping.toggle();
            history.record(states(&daemon.scrape().await));
        }
        history.killed = Some(clock::now().as_secs_f64());
        drop(daemon);
        history.assert_written(storage.path());
    }
    assert!(history.ended > 0, "the port has changed its state");
    let _daemon = start().await;
    for prometheus in &all {
        prometheus.query_until("up", "1").await;
        assert_one_alert(prometheus).await;
    }
}

/// The host of ports that are closed, as they should be.
const LOAD: &str = "127.20.0.2";

/// An address that stays free between two lives of the daemon: other tests use 127.0.0.1.
fn free_address() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::new(127, 20, 0, 1), 0)).unwrap();
    listener.local_addr().unwrap()
}

/// Every available Prometheus, with the rules of the project.
async fn watching(exporter: SocketAddr) -> Vec<Prometheus> {
    let configuration = format!(
        "global: {{ scrape_interval: 1s, evaluation_interval: 1s }}\nrule_files: ['{}']\n\
         scrape_configs: [ {{ job_name: portprobe, static_configs: [ {{ targets: ['{exporter}'] }} ] }} ]\n",
        alerts().join("rules/*.yaml").display()
    );
    let mut all = Vec::new();
    for binary in services::prometheus_programs() {
        all.push(services::prometheus_on(&binary, &configuration).await);
    }
    all
}

/// The target that is down has had one alert, without an end or a second beginning. No other target has had any; that of
/// the flapping port has real outages. Alerts about restarts, and about probes that a busy machine makes late or not at
/// all, are true.
async fn assert_one_alert(prometheus: &Prometheus) {
    let firing = prometheus
        .query("count_over_time(ALERTS{alertstate='firing',target!='flapping'}[1d])")
        .await;
    let label = |alert: &Value, name: &str| alert["metric"][name].as_str().unwrap_or_default().to_owned();
    let fired = firing.iter().map(|alert| (label(alert, "alertname"), label(alert, "target")));
    let unexpected: Vec<_> = fired.filter(|(name, _)| !OF_THE_MACHINE.contains(&&**name)).collect();
    assert_eq!(unexpected, [("PortprobeTargetDown".to_owned(), "down".to_owned())], "{firing:#?}");
    prometheus.query_until("ALERTS{alertstate='firing',target='down'}", "1").await;
    // The value is the beginning of the alert.
    let beginning = "ALERTS_FOR_STATE{target='down'}[1d]";
    let moved = format!("max_over_time({beginning}) - min_over_time({beginning})");
    prometheus.query_until(&moved, "0").await;
}

const OF_THE_MACHINE: [&str; 4] =
    ["PortprobeLate", "PortprobeLocalFaults", "PortprobeRestarting", "PortprobeSkippingProbes"];

/// The past of a storage, as seen from outside.
#[derive(Default)]
struct History {
    /// The states with their beginnings, as scraped.
    states: BTreeMap<String, Vec<(f64, f64)>>,
    /// The time of the last kill.
    killed: Option<f64>,
    /// Incidents, and those that have ended.
    incidents: i64,
    ended: i64,
}

impl History {
    fn record(&mut self, states: BTreeMap<String, (f64, f64)>) {
        for (target, state) in states {
            let known = self.states.entry(target).or_default();
            if known.last() != Some(&state) {
                known.push(state);
            }
        }
    }

    /// Another five seconds are for a slow machine.
    fn assert_restored(&mut self, first: &BTreeMap<String, (f64, f64)>) {
        let Some(killed) = self.killed else { return };
        for (target, states) in &mut self.states {
            let stored = states.iter().rfind(|(since, _)| *since < killed - 10.0);
            let restored = first.get(target);
            assert!(restored >= stored, "{target}: {restored:?}, stored was {stored:?}, killed at {killed}");
            // A younger state that this kill has lost cannot be in the file at the next one.
            *states = restored.into_iter().copied().collect();
        }
    }

    /// The file is whole and has lost no incident.
    fn assert_written(&mut self, storage: &Path) {
        let checked: String = query(storage, "PRAGMA integrity_check");
        assert_eq!(checked, "ok");
        let incidents = query(storage, "SELECT count(*) FROM incidents");
        let ended = query(storage, "SELECT count(ended_ms) FROM incidents");
        let before = (self.incidents, self.ended);
        assert!(incidents >= before.0 && ended >= before.1, "{incidents} and {ended} ended, before {before:?}");
        (self.incidents, self.ended) = (incidents, ended);
    }
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

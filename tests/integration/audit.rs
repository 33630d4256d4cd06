//! Port audits of real ports.

use std::fmt::Write as _;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::support::daemon::{Daemon, finished};
use crate::support::scrape::Scrape;
use crate::support::{peers, ports};

async fn audits(daemon: &Daemon) -> Value {
    let response = daemon.get("/api/v1/audits").await;
    assert_eq!(response.status, 200, "{}", response.body);
    serde_json::from_str(&response.body).unwrap()
}

/// Waits until a run is complete, in which `condition` holds.
async fn run(daemon: &Daemon, condition: impl Fn(&Scrape) -> bool) -> Scrape {
    daemon
        .scrape_until_patiently("a complete run", |scrape| {
            scrape.value("portprobe_audit_last_run_timestamp_seconds", &[]).is_some() && condition(scrape)
        })
        .await
}

fn count(scrape: &Scrape, series: &str) -> Option<f64> {
    scrape.value(&format!("portprobe_audit_{series}"), &[("audit", "loopback")])
}

/// Reports an open, a missing and an expected port in metrics, API and log, and follows a change through a reload.
#[tokio::test]
async fn an_audit_finds_open_and_missing_ports() {
    let (open, expected) = (peers::peer(keep).await.port(), peers::peer(keep).await.port());
    let (_socket, missing) = ports::closed();
    let config = |open_ports: &str, url: &str| {
        format!(
            "targets: ['{url}']\naudit:\n- {{ name: loopback, hosts: [127.0.0.1], ports: [{open}, {expected}, {missing}], \
             open: [{open_ports}], interval: 1s }}\n"
        )
    };
    let both = format!("{expected}, {missing}");
    let daemon = Daemon::start(&config(&both, "127.0.0.1:1")).await;
    let scrape = run(&daemon, |scrape| count(scrape, "missing_open") == Some(1.0)).await;
    assert_eq!(count(&scrape, "unexpected_open"), Some(1.0));
    for (state, ports) in [("open", 2.0), ("closed", 1.0), ("filtered", 0.0)] {
        assert_eq!(scrape.value("portprobe_audit_ports", &[("state", state)]), Some(ports), "{state}");
    }
    let labels = [("audit", "loopback"), ("host", "127.0.0.1"), ("port", &*open.to_string())];
    assert_eq!(scrape.value("portprobe_audit_unexpected_port_info", &labels), Some(1.0));
    let audits = audits(&daemon).await;
    let audit = &audits["audits"][0];
    for (key, port) in [("unexpected_open", open), ("missing_open", missing)] {
        let found = &audit[key][0];
        assert_eq!([&found["host"], &found["address"]], ["127.0.0.1", "127.0.0.1"], "{audits}");
        assert_eq!((&found["port"], audit[key].as_array().unwrap().len()), (&json!(port), 1));
    }
    assert_eq!(
        daemon
            .logged(&["A port is open that must not be", &format!("port={open}")])
            .len(),
        1
    );
    assert_eq!(daemon.logged(&["A port is not open that must be", "state=closed"]).len(), 1);
    // Another target changes nothing of the audit.
    let file = daemon.folder().join("portprobe.yaml");
    fs::write(&file, config(&both, "127.0.0.1:2")).unwrap();
    daemon.signal(Signal::SIGHUP);
    let has_target = |scrape: &Scrape| scrape.of("tcp://127.0.0.1:2", "portprobe_target_info").is_some();
    let reloaded = daemon.scrape_until("the reload", has_target).await;
    assert_eq!((count(&reloaded, "unexpected_open"), count(&reloaded, "missing_open")), (Some(1.0), Some(1.0)));
    fs::write(&file, config(&format!("{open}, {expected}"), "127.0.0.1:2")).unwrap();
    daemon.signal(Signal::SIGHUP);
    let none = |scrape: &Scrape| count(scrape, "unexpected_open") == Some(0.0);
    assert_eq!(count(&run(&daemon, none).await, "missing_open"), Some(0.0));
}

async fn keep(stream: tokio::net::TcpStream) {
    drop(stream);
}

/// Two thousand connections per second next to five hundred targets.
#[tokio::test]
async fn an_audit_skips_no_probe() {
    let open = peers::peer(keep).await;
    let host = Ipv4Addr::new(127, 22, 0, 1);
    let mut config = String::from("defaults: { interval: 5s, timeout: 5s }\nlimits: { per_host: 4 }\ntargets:\n");
    for number in 0..500 {
        writeln!(config, "- {{ url: 'tcp://{open}', name: t{number} }}").unwrap();
    }
    let audit = format!("name: loopback, hosts: ['{host}', 127.0.0.1], ports: 1-4000, interval: 4s, per_second: 2000");
    writeln!(config, "audit: [ {{ {audit} }} ]").unwrap();
    let daemon = Daemon::start(&config).await;
    let all = |scrape: &Scrape| scrape.sum("portprobe_audit_ports") >= 8000.0;
    let probed = |scrape: &Scrape| scrape.sum("portprobe_probes_total") >= 1000.0;
    let scrape = run(&daemon, |scrape| all(scrape) && probed(scrape)).await;
    for reason in ["limit", "overlap"] {
        let skipped = scrape.value("portprobe_skipped_probes_total", &[("reason", reason)]);
        assert_eq!(skipped, Some(0.0), "{reason}");
    }
}

#[tokio::test]
async fn a_network_by_mistake_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let config = "audit: [ { name: dmz, hosts: [10.0.0.0/16], ports: 1-65535 } ]\n";
    fs::write(folder.path().join("portprobe.yaml"), config).unwrap();
    let check = finished(&["check"], folder.path());
    assert_eq!(check.status, 1);
    assert!(check.stderr.contains("65536 hosts and 65535 ports are 4294901760 probes"), "{check:?}");
}

/// A firewall that drops, and one that rejects with an ICMP error.
#[cfg(target_os = "linux")]
#[test]
fn ports_behind_a_firewall_are_filtered() {
    use std::net::TcpListener;

    use crate::support::netns::{self, Far, firewall};

    netns::inside(async || {
        let far = Far::linked();
        let _listener = far.run(|| {
            firewall("input", "tcp dport 1000-1099 drop\ntcp dport 1100 reject with icmp type host-prohibited");
            TcpListener::bind(SocketAddr::from((Ipv4Addr::UNSPECIFIED, 1200))).unwrap()
        });
        let config = "targets: ['127.0.0.1:1']\n\
            audit: [ { name: far, hosts: [10.99.0.2], ports: 1000-1200, open: 1000, interval: 3s } ]\n";
        let daemon = Daemon::start(config).await;
        // A busy machine may not make all connections in the first run.
        let scrape = run(&daemon, |scrape| scrape.sum("portprobe_audit_ports") >= 201.0).await;
        for (state, ports) in [("open", 1.0), ("closed", 99.0), ("filtered", 101.0)] {
            assert_eq!(scrape.value("portprobe_audit_ports", &[("state", state)]), Some(ports), "{state}");
        }
        assert_eq!(scrape.value("portprobe_audit_unexpected_open", &[]), Some(1.0));
        assert_eq!(scrape.value("portprobe_audit_missing_open", &[]), Some(1.0));
        assert_eq!(
            daemon
                .logged(&["A port is not open that must be", "port=1000", "state=filtered"])
                .len(),
            1
        );
    });
}

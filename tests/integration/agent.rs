//! Networks with only outbound connections: a real Prometheus as an agent next to portprobe, and a central one that it writes
//! to, with the files of `deploy/agent`.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use portprobe::clock;
use serde_json::Value;
use tokio::process::Command;

use crate::support::daemon::Daemon;
use crate::support::scrape::Scrape;
use crate::support::services::{
    NATIVE_HISTOGRAMS, Prometheus, prometheus_agent, prometheus_prepared, prometheus_programs, promtool_programs,
};
use crate::support::{http, ports, wait};

const RECEIVER: &str = "--web.enable-remote-write-receiver";

/// The agent configuration of `deploy` with these two addresses and short intervals.
fn configuration(exporter: SocketAddr, central: SocketAddr) -> String {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/agent/prometheus.yaml");
    let mut text = fs::read_to_string(file).unwrap();
    for (there, here) in [
        ("scrape_interval: 15s", "scrape_interval: 200ms\n  scrape_timeout: 200ms".to_owned()),
        ("localhost:10115", exporter.to_string()),
        ("https://prometheus.example.com", format!("http://{central}")),
        ("/etc/prometheus/remote-write.password", "remote-write.password".to_owned()),
    ] {
        assert!(text.contains(there), "{there}");
        text = text.replace(there, &here);
    }
    text
}

/// The central configuration of `deploy`, with separate rules.
fn central() -> String {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/agent/central.yaml");
    let text = fs::read_to_string(file).unwrap();
    let (there, here) = ("/etc/prometheus/portprobe/*.yaml", "rules.yaml");
    assert!(text.contains(there));
    text.replace(there, here)
}

/// A rule with a result of the present.
const RULES: &str = "groups: [ { name: g, interval: 200ms, rules: [ { record: of_now, expr: vector(1) } ] } ]\n";

/// Writes samples of this age in hours to a server; returns whether it accepts them.
async fn accepts(server: &Prometheus, promtool: &Path, hours: u64) -> bool {
    let sampled = clock::now().as_duration().saturating_sub(Duration::from_hours(hours));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("samples");
    fs::write(&file, format!("# TYPE kept gauge\nkept{{hours=\"{hours}\"}} 1 {}\n", sampled.as_millis())).unwrap();
    let url = format!("http://{}/api/v1/write", server.address());
    let pushed = Command::new(promtool)
        .args(["push", "metrics", &url])
        .arg(&file)
        .output()
        .await
        .unwrap();
    let arrived = server.query(&format!("count_over_time(kept{{hours=\"{hours}\"}}[5h])")).await;
    assert_eq!(pushed.status.success(), arrived.len() == 1, "{pushed:?} {arrived:?}");
    pushed.status.success()
}

#[tokio::test]
async fn delayed_samples_need_an_out_of_order_window() {
    // Older versions cannot push.
    let Some(promtool) = promtool_programs().into_iter().nth(1) else { return };
    for program in prometheus_programs() {
        for (configuration, accepted_hours) in
            [(central(), vec![0, 2, 3]), ("rule_files: [rules.yaml]\n".into(), vec![0])]
        {
            let server = prometheus_prepared(&program, &configuration, &[RECEIVER], |folder| {
                fs::write(folder.join("rules.yaml"), RULES).unwrap();
            })
            .await;
            server.query_until("of_now", "1").await;
            let mut accepted = Vec::new();
            for hours in [0, 2, 3, 5] {
                if accepts(&server, &promtool, hours).await {
                    accepted.push(hours);
                }
            }
            assert_eq!(accepted, accepted_hours, "{configuration}");
        }
    }
}

/// The number of scrapes of an agent.
async fn scrapes(agent: &Prometheus) -> f64 {
    let answer = http::request(agent.address(), "GET", "/metrics").await;
    let metrics = Scrape::parse(&answer.body);
    metrics
        .value("prometheus_target_interval_length_seconds_count", &[])
        .unwrap_or_default()
}

const HERE: &str = r#"{job="portprobe",instance="eu-west-1",region="eu-west-1"}"#;

#[tokio::test]
async fn an_agent_forwards_every_series() {
    for program in prometheus_programs() {
        let (_listener, port) = ports::open();
        let daemon = Daemon::start(&format!(
            "labels: {{ region: eu-west-1 }}\ndefaults: {{ interval: 200ms }}\ntargets: [ '127.0.0.1:{port}', '127.0.0.1:1' ]\n"
        ))
        .await;
        let mut central = prometheus_prepared(&program, &central(), &[NATIVE_HISTOGRAMS, RECEIVER], |folder| {
            fs::write(folder.join("rules.yaml"), RULES).unwrap();
        })
        .await;
        let agent = prometheus_agent(&program, &configuration(daemon.address, central.address()), |folder| {
            fs::write(folder.join("remote-write.password"), "secret").unwrap();
        })
        .await;
        // An agent replays its log first, for five seconds.
        let arrived = format!("up{HERE} == 1");
        wait::until_patiently("the agent's series arrive", async || central.query(&arrived).await.len() == 1).await;
        central.query_until(&format!("sum(portprobe_up{HERE})"), "1").await;
        central.query_until(&format!("count(portprobe_up{HERE})"), "2").await;
        assert_eq!(central.query("portprobe_failure").await[0]["metric"]["class"], "refused");
        assert_native(&central).await;
        assert_outage_bridged(&mut central, &agent).await;
        drop(daemon);
        central.query_until(&format!("up{HERE}"), "0").await;
        wait::until("what portprobe said is stale", async || {
            central.query("portprobe_up or portprobe_build_info").await.is_empty()
        })
        .await;
    }
}

/// Asserts that the histogram arrived only as a native one.
async fn assert_native(central: &Prometheus) {
    let native = "histogram_count(portprobe_handshake_duration_seconds{phase=\"connect\"}) > 0";
    wait::until("the native histogram is there", async || central.query(native).await.len() == 1).await;
    assert!(central.query("portprobe_handshake_duration_seconds_bucket").await.is_empty());
}

/// Asserts that samples from an outage of the central server arrive afterwards: portprobe counts its scrapes, and no number
/// is missing.
async fn assert_outage_bridged(central: &mut Prometheus, agent: &Prometheus) {
    central.stop();
    let before = scrapes(agent).await;
    wait::until("the agent has scraped on", async || scrapes(agent).await >= before + 5.0).await;
    central.start_again().await;
    let scraped = r#"portprobe_http_requests_total{path="/metrics",code="200",instance="eu-west-1"}"#;
    let behind = format!("time() - timestamp({scraped}) < 1");
    wait::until_patiently("the agent has caught up", async || central.query(&behind).await.len() == 1).await;
    let missing =
        format!("max_over_time({scraped}[1h]) - min_over_time({scraped}[1h]) + 1 - count_over_time({scraped}[1h])");
    let missing: Vec<Value> = central.query(&missing).await;
    assert_eq!(missing[0]["value"][1], "0");
}

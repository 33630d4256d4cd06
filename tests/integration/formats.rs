//! Tests of the three formats, read by every available Prometheus and an independent OpenMetrics parser.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;

use serde_json::Value;

use crate::support::daemon::Daemon;
use crate::support::relay::Relay;
use crate::support::services::{self, Prometheus};
use crate::support::{http, wait};

const FORMATS: [(&str, &str); 3] = [
    ("text", "text/plain;version=0.0.4"),
    ("openmetrics", "application/openmetrics-text;version=1.0.0"),
    ("protobuf", "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited"),
];

/// Starts a daemon with an open, a refused and a named target, and with unusual label values.
async fn daemon() -> (std::net::TcpListener, Daemon) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let open = listener.local_addr().unwrap();
    let config = format!(
        "labels: {{ note: \"a \\\"quote\\\", a \\\\ and\\na line, {{x=\\\"1\\\"}} # ä € 😀\" }}\n\
         defaults: {{ interval: 200ms, slow_after: 1s, group: g, confirm: {{ delay: 20ms }} }}\n\
         groups: {{ g: {{ labels: {{ team: x }} }} }}\n\
         targets:\n\
         - {{ url: '{open}', name: open }}\n\
         - {{ url: '127.0.0.1:1', name: refused }}\n\
         - {{ url: 'localhost:{}', name: named, ip: ipv4, addresses: all }}\n",
        open.port()
    );
    let daemon = Daemon::start(&config).await;
    daemon
        .scrape_until("every state is known", |scrape| {
            ["open", "refused", "named"]
                .iter()
                .all(|target| scrape.of(target, "portprobe_up").is_some())
        })
        .await;
    (listener, daemon)
}

/// Returns the label sets of all series of a selector by job, without the labels of the job.
async fn series_by_job(prometheus: &Prometheus, selector: &str) -> BTreeMap<String, BTreeSet<String>> {
    let mut series: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for mut one in prometheus.query(selector).await {
        let Value::Object(labels) = one["metric"].take() else { panic!("no labels: {one}") };
        let mut labels: BTreeMap<_, _> = labels.into_iter().collect();
        labels.remove("instance");
        let job = labels.remove("job").unwrap();
        series
            .entry(job.as_str().unwrap().to_owned())
            .or_default()
            .insert(format!("{labels:?}"));
    }
    series
}

#[tokio::test]
async fn every_format_contains_the_same_series() {
    let (_listener, daemon) = daemon().await;
    for program in services::prometheus_programs() {
        let mut relays = Vec::new();
        for (_, accept) in FORMATS {
            relays.push(Relay::start(daemon.address, accept).await);
        }
        let jobs: Vec<_> = FORMATS
            .iter()
            .zip(&relays)
            .map(|((name, _), relay)| (*name, relay.address))
            .collect();
        let prometheus = services::prometheus_at(&program, &jobs).await;
        prometheus.query_until("count(up == 1)", "3").await;
        prometheus.query_until("count(portprobe_up)", "9").await;
        // The histograms differ by design: native ones exist only in protobuf.
        let plain = r#"{__name__=~"portprobe_.*",__name__!~"portprobe_(handshake_duration|schedule_lag)_seconds.*"}"#;
        wait::until("all jobs have the same series", async || {
            let series = series_by_job(&prometheus, plain).await;
            series.len() == 3 && series.values().all(|set| set.len() > 60 && *set == series["text"])
        })
        .await;
        let labels = prometheus.query(r#"portprobe_up{target="open",job="protobuf"}"#).await;
        assert_eq!(labels[0]["metric"]["note"], "a \"quote\", a \\ and\na line, {x=\"1\"} # ä € 😀");
        let classic = series_by_job(&prometheus, "portprobe_handshake_duration_seconds_bucket").await;
        assert_eq!(classic["text"], classic["openmetrics"]);
        let native = "histogram_count(portprobe_handshake_duration_seconds)";
        wait::until("native histograms have the same observations", async || {
            let above = format!("{native} > 0");
            series_by_job(&prometheus, &above)
                .await
                .get("protobuf")
                .is_some_and(|set| set.len() == 2)
        })
        .await;
        let quantile = "histogram_quantile(0.5, portprobe_handshake_duration_seconds{target=\"open\"}) < 1";
        assert_eq!(prometheus.query(quantile).await.len(), 1, "{}", program.display());
        assert_eq!(prometheus.query("count(portprobe_schedule_lag_seconds) == 1").await.len(), 1);
        assert!(!classic.contains_key("protobuf"), "a server with native histograms ingests only the native one");
    }
}

#[tokio::test]
async fn an_independent_parser_accepts_openmetrics() {
    let (_listener, daemon) = daemon().await;
    let response = http::request_with(daemon.address, "GET", "/metrics", &[("Accept", FORMATS[1].1)]).await;
    assert_eq!(response.header("content-type"), Some("application/openmetrics-text; version=1.0.0; charset=utf-8"));
    let parsed = openmetrics_parser::openmetrics::parse_openmetrics(&response.body);
    let exposition = parsed.unwrap_or_else(|error| panic!("{error}\n{}", response.body));
    for name in ["portprobe_up", "portprobe_probes", "portprobe_handshake_duration_seconds", "process_cpu_seconds"] {
        assert!(exposition.families.contains_key(name), "{name}");
    }
}

#[tokio::test]
async fn compression_does_not_change_the_content() {
    let (_listener, daemon) = daemon().await;
    for (_, accept) in FORMATS {
        let headers = [("Accept", accept), ("Accept-Encoding", "gzip")];
        let response = http::request_bytes(daemon.address, "GET", "/metrics", &headers).await;
        assert_eq!(response.header("content-encoding"), Some("gzip"));
        assert_eq!(response.header("vary"), Some("Accept, Accept-Encoding"));
        let mut plain = Vec::new();
        flate2::read::GzDecoder::new(&response.body[..])
            .read_to_end(&mut plain)
            .unwrap();
        let uncompressed = http::request_bytes(daemon.address, "GET", "/metrics", &[("Accept", accept)]).await;
        assert!(uncompressed.header("content-encoding").is_none());
        let shared = plain.iter().zip(&uncompressed.body).take_while(|(a, b)| a == b).count();
        assert!(shared > 1000, "the same families in the same order: {shared}");
    }
}

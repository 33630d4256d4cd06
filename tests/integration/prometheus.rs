//! Metrics in a real Prometheus, from probes of real servers.

use std::net::TcpListener;

use crate::support::daemon::Daemon;
use crate::support::{program, requires_program, services};

#[tokio::test]
async fn promtool_accepts_the_metrics() {
    if !requires_program("promtool") {
        return;
    }
    let open = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let config = format!(
        "defaults: {{ interval: 200ms, slow_after: 1s, group: all }}\n\
         groups: {{ all: {{}} }}\n\
         targets: [ '{open}', '127.0.0.1:1', {{ url: 'localhost:1', addresses: all }} ]\n"
    );
    let daemon = Daemon::start(&config).await;
    daemon
        .scrape_until("every target is known", |scrape| {
            let targets = [format!("tcp://{open}"), "tcp://127.0.0.1:1".into(), "tcp://localhost:1".into()];
            targets.iter().all(|target| scrape.of(target, "portprobe_up").is_some())
        })
        .await;
    let metrics = daemon.get("/metrics").await.body;
    let (accepted, printed) = services::fed(&program("promtool").unwrap(), &["check", "metrics"], &metrics);
    assert!(accepted && printed.is_empty(), "{printed}");
}

#[tokio::test]
async fn prometheus_sees_a_stopped_server_as_down() {
    let Some(postgresql) = services::postgresql().await else { return };
    let Some(redis) = services::redis().await else { return };
    let Some(openssh) = services::openssh().await else { return };
    let config = format!(
        "defaults: {{ interval: 1s, confirm: {{ delay: 100ms }} }}\n\
         targets:\n\
         - {{ url: '{}', name: postgresql }}\n\
         - {{ url: '{}', name: redis }}\n\
         - {{ url: '{}', name: openssh }}\n",
        postgresql.address, redis.address, openssh.address
    );
    let daemon = Daemon::start(&config).await;
    let Some(prometheus) = services::prometheus(daemon.address).await else { return };
    prometheus.query_until("sum(portprobe_up)", "3").await;
    prometheus.query_until("count(portprobe_up)", "3").await;
    drop(redis);
    prometheus.query_until("portprobe_up{target=\"redis\"}", "0").await;
    prometheus.query_until("sum(portprobe_up)", "2").await;
    let failure = prometheus.query_until("portprobe_failure{target=\"redis\"}", "1").await;
    assert_eq!((&failure["metric"]["class"], &failure["metric"]["phase"]), (&"refused".into(), &"connect".into()));
    assert!(prometheus.query("portprobe_failure{target!=\"redis\"}").await.is_empty());
}

#[tokio::test]
async fn label_values_arrive_unchanged() {
    let daemon = Daemon::start(
        "labels: { note: \"a \\\"quote\\\", a \\\\ and\\na line\" }\n\
         targets: [ { url: '127.0.0.1:1', name: 'the \"one\" \\', labels: { folder: 'C:\\new', brace: '{x=\"1\"} ä' } } ]\n",
    )
    .await;
    let Some(prometheus) = services::prometheus(daemon.address).await else { return };
    let info = prometheus.query_until("portprobe_target_info", "1").await;
    for (label, value) in [
        ("note", "a \"quote\", a \\ and\na line"),
        ("target", "the \"one\" \\"),
        ("folder", "C:\\new"),
        ("brace", "{x=\"1\"} ä"),
    ] {
        assert_eq!(info["metric"][label], value, "{info}");
    }
}

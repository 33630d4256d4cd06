//! Metrics in a real Prometheus, from probes of real servers.

use std::fs;
use std::net::TcpListener;

use super::web_config;
use crate::support::daemon::Daemon;
use crate::support::pki::{Authority, leaf};
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

/// With a password over TLS, and with a client certificate.
#[tokio::test]
async fn prometheus_scrapes_through_tls() {
    let root = Authority::root("web root");
    let client = root.issue(leaf(&["prometheus.example"]).for_clients());
    let clients = "  client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: ca.crt\n";
    for (web_config, scrape_config) in
        [(web_config::passwords::USERS, "  basic_auth: { username: alice, password: test }\n"), (clients, "")]
    {
        let server = format!("tls_server_config:\n  cert_file: server.crt\n  key_file: server.key\n{web_config}");
        let daemon = web_config::daemon(web_config::folder(&root, &server)).await;
        let folder = daemon.folder();
        fs::write(folder.join("client.crt"), client.pem()).unwrap();
        fs::write(folder.join("client.key"), client.key_pem()).unwrap();
        let file = |name: &str| folder.join(name).display().to_string();
        let certificate = if web_config == clients {
            format!(", cert_file: {}, key_file: {}", file("client.crt"), file("client.key"))
        } else {
            String::new()
        };
        let configuration = format!(
            "scrape_configs:\n- job_name: portprobe\n  scrape_interval: 200ms\n  scheme: https\n  \
             tls_config: {{ ca_file: {}, server_name: localhost{certificate} }}\n{scrape_config}  \
             static_configs: [ {{ targets: ['{}'] }} ]\n",
            file("ca.crt"),
            daemon.address
        );
        for binary in services::prometheus_programs() {
            let prometheus = services::prometheus_on(&binary, &configuration).await;
            prometheus.query_until("up{job=\"portprobe\"}", "1").await;
            prometheus.query_until("portprobe_up{target=\"tcp://127.0.0.1:1\"}", "0").await;
        }
    }
}

//! The path of an alert: Prometheus with the rules, Alertmanager with the example, and test receivers.

use std::fmt::Write as _;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};

use serde_json::Value;
use serde_yaml::Value as Yaml;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::{Prometheus, Service, prometheus_on, start};
use crate::support::{http, program, requires_program, wait};

/// Programs of the same generation.
#[derive(Debug)]
pub(crate) struct Generation {
    pub(crate) prometheus: PathBuf,
    pub(crate) alertmanager: PathBuf,
    pub(crate) amtool: PathBuf,
}

/// Prometheus and Alertmanager of the distribution, and newer ones if `tests/run` has fetched them.
pub(crate) fn generations() -> Vec<Generation> {
    let needed = ["prometheus", "prometheus-alertmanager", "amtool"];
    let here = needed.into_iter().all(requires_program).then(|| Generation {
        prometheus: program("prometheus").unwrap(),
        alertmanager: program("prometheus-alertmanager").unwrap(),
        amtool: program("amtool").unwrap(),
    });
    let newer = super::newer().map(|folder| Generation {
        prometheus: folder.join("prometheus"),
        alertmanager: folder.join("prometheus-alertmanager"),
        amtool: folder.join("amtool"),
    });
    here.into_iter().chain(newer).collect()
}

/// The folder of alerts in the project.
pub(crate) fn alerts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("alerts")
}

/// A running chain from an exporter to the receivers.
pub(crate) struct Alerting {
    pub(crate) prometheus: Prometheus,
    alertmanager: Service,
    amtool: PathBuf,
    received: Arc<Mutex<Vec<Notification>>>,
    _rules: TempDir,
    _sink: JoinSet<()>,
}

/// How long alerts of outages last after the outage.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Hold {
    /// Two or three minutes, as in the rules.
    Unchanged,
    /// Seconds, for tests that wait for the end of an alert.
    Short,
}

/// An alert in a notification.
#[derive(Clone, Debug)]
pub(crate) struct Notification {
    pub(crate) receiver: String,
    pub(crate) status: String,
    pub(crate) labels: Value,
    pub(crate) annotations: Value,
}

impl Notification {
    /// Whether it is this alert in this status.
    pub(crate) fn is(&self, alert: &str, status: &str) -> bool {
        self.labels["alertname"] == alert && self.status == status
    }
}

impl Alerting {
    /// Scrapes this exporter and evaluates the rules every second; notifications are sent within `group_wait`.
    pub(crate) async fn start(generation: &Generation, exporter: SocketAddr, group_wait: &str, hold: Hold) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let sink_address = listener.local_addr().unwrap();
        let received = Arc::default();
        let mut sink = JoinSet::new();
        sink.spawn(listen(listener, Arc::clone(&received)));
        let config = alertmanager_config(sink_address, group_wait);
        let alertmanager = run_alertmanager(&generation.alertmanager, &config).await;
        let rules = copied_rules(hold);
        let config = format!(
            "global: {{ scrape_interval: 1s, evaluation_interval: 1s }}\n\
             rule_files: ['{}']\n\
             alerting: {{ alertmanagers: [ {{ static_configs: [ {{ targets: ['{}'] }} ] }} ] }}\n\
             scrape_configs: [ {{ job_name: portprobe, static_configs: [ {{ targets: ['{exporter}'] }} ] }} ]\n",
            rules.path().join("*.yaml").display(),
            alertmanager.address
        );
        let prometheus = prometheus_on(&generation.prometheus, &config).await;
        Self { prometheus, alertmanager, amtool: generation.amtool.clone(), received, _rules: rules, _sink: sink }
    }

    /// All notifications so far.
    pub(crate) fn notifications(&self) -> Vec<Notification> {
        self.received.lock().unwrap().clone()
    }

    /// Waits up to a minute until exactly these receivers were notified of this alert in this status.
    pub(crate) async fn notified_until(&self, alert: &str, status: &str, receivers: &[&str]) -> Notification {
        let mut received = Vec::new();
        wait::until_patiently(&format!("{receivers:?} are notified that {alert} is {status}"), async || {
            received = self.notifications();
            received.retain(|notification| notification.is(alert, status));
            receivers
                .iter()
                .all(|receiver| received.iter().any(|notification| notification.receiver == *receiver))
        })
        .await;
        received.remove(0)
    }

    /// The number of alerts with this name that Alertmanager inhibits.
    pub(crate) async fn inhibited(&self, alert: &str) -> usize {
        let answer = http::request(self.alertmanager.address, "GET", "/api/v2/alerts").await;
        let alerts: Vec<Value> = serde_json::from_str(&answer.body).unwrap();
        let inhibited = |one: &&Value| {
            one["labels"]["alertname"] == alert && one["status"]["inhibitedBy"] != Value::Array(Vec::new())
        };
        alerts.iter().filter(inhibited).count()
    }

    /// Sends a marker alert through Alertmanager and waits for its notification: all earlier ones have arrived by then.
    pub(crate) async fn flushed(&self) {
        let mut amtool = Command::new(&self.amtool);
        amtool.arg(format!("--alertmanager.url=http://{}", self.alertmanager.address));
        let added = amtool
            .args(["alert", "add", "alertname=Marker", "severity=critical"])
            .output()
            .unwrap();
        assert!(added.status.success(), "{added:?}");
        self.notified_until("Marker", "firing", &["webhook"]).await;
    }
}

/// The rules in another folder, with this hold.
fn copied_rules(hold: Hold) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(alerts().join("rules")).unwrap() {
        let file = entry.unwrap();
        let rules = fs::read_to_string(file.path()).unwrap();
        let rules = match hold {
            Hold::Unchanged => rules,
            Hold::Short => rules.replace("[2m]", "[5s]").replace("[3m]", "[8s]"),
        };
        fs::write(folder.path().join(file.file_name()), rules).unwrap();
    }
    folder
}

/// Alertmanager with this configuration.
pub(crate) async fn run_alertmanager(binary: &Path, configuration: &str) -> Service {
    let service = start(async |address, folder| {
        let config = folder.path().join("alertmanager.yaml");
        fs::write(&config, configuration).unwrap();
        let mut server = Command::new(binary);
        server
            .arg("--config.file")
            .arg(&config)
            .arg("--storage.path")
            .arg(folder.path().join("data"));
        server
            .arg(format!("--web.listen-address={address}"))
            .arg("--cluster.listen-address=");
        Service::listening(server, address, folder).await
    });
    service.await.unwrap()
}

/// The example of the project with shorter waits, and with a test server as every receiver. Its routes and inhibitions are
/// tested.
fn alertmanager_config(sink: SocketAddr, group_wait: &str) -> String {
    let example = fs::read_to_string(alerts().join("alertmanager.yaml")).unwrap();
    let mut config: Yaml = serde_yaml::from_str(&example).unwrap();
    let mut receivers = String::new();
    for receiver in config["receivers"].as_sequence().unwrap() {
        let name = receiver["name"].as_str().unwrap();
        let webhook = format!("{{ url: 'http://{sink}/{name}', send_resolved: true }}");
        writeln!(receivers, "- {{ name: {name}, webhook_configs: [ {webhook} ] }}").unwrap();
    }
    config["receivers"] = serde_yaml::from_str(&receivers).unwrap();
    let top = config.as_mapping_mut().unwrap();
    top.remove("global");
    top.remove("templates");
    shorten_waits(&mut config["route"], group_wait);
    serde_yaml::to_string(&config).unwrap()
}

/// Shortens the waits of a route and its children, except those of escalations and digests.
fn shorten_waits(route: &mut Yaml, group_wait: &str) {
    let waits = |key: &str| route.get(key).is_some_and(|wait| wait.as_str() == Some("30s"));
    if waits("group_wait") {
        route["group_wait"] = group_wait.into();
        route["group_interval"] = "1s".into();
    }
    for below in route.get_mut("routes").and_then(Yaml::as_sequence_mut).into_iter().flatten() {
        shorten_waits(below, group_wait);
    }
}

/// Receives notifications until it is dropped.
async fn listen(listener: TcpListener, received: Arc<Mutex<Vec<Notification>>>) {
    let mut clients = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        clients.spawn(receive(client, Arc::clone(&received)));
        while clients.try_join_next().is_some() {}
    }
}

/// Receives the single request of a connection. A malformed one is ignored, so the waiting test fails.
async fn receive(mut client: TcpStream, received: Arc<Mutex<Vec<Notification>>>) {
    let mut request = Vec::new();
    let mut body = None;
    while body.is_none() && client.read_buf(&mut request).await.is_ok_and(|read| read > 0) {
        body = serde_json::from_slice(request.split_at(body_start(&request)).1).ok();
    }
    let Some(body) = body else { return };
    received.lock().unwrap().extend(notifications(&body));
    let _ = client
        .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        .await;
}

/// The start of the body of a request; its end while the head is incomplete.
fn body_start(request: &[u8]) -> usize {
    let head = request.windows(4).position(|window| window == b"\r\n\r\n");
    head.map_or(request.len(), |end| end + 4)
}

fn notifications(body: &Value) -> Vec<Notification> {
    let notification = |alert: &Value| Notification {
        receiver: body["receiver"].as_str().unwrap().to_owned(),
        status: alert["status"].as_str().unwrap().to_owned(),
        labels: alert["labels"].clone(),
        annotations: alert["annotations"].clone(),
    };
    body["alerts"].as_array().unwrap().iter().map(notification).collect()
}

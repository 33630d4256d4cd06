//! The scraped daemons: `portprobe demo`, and a second one with further features; and recorded history.

use std::fmt::Write as _;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use tempfile::TempDir;
use time::OffsetDateTime;
use tokio_rustls::TlsAcceptor;

use super::Histograms;
use crate::support::daemon::{Daemon, portprobe};
use crate::support::pki::{Authority, leaf, valid};
use crate::support::services::{self, NATIVE_HISTOGRAMS, Prometheus};
use crate::support::{peers, program};

pub(super) struct World {
    daemons: [Daemon; 2],
}

impl World {
    pub(super) async fn start() -> Self {
        Self { daemons: [demo().await, supplement().await] }
    }

    /// This Prometheus, scraping both every 500 ms, with two days of recorded history.
    pub(super) async fn prometheus(&self, binary: &Path, histograms: Histograms) -> Prometheus {
        let addresses = self.daemons.each_ref().map(|daemon| daemon.address);
        let history = self.history().await;
        let flags: &[_] = match histograms {
            Histograms::Classic => &[],
            Histograms::Native => &[NATIVE_HISTOGRAMS],
        };
        services::prometheus_prepared(binary, &configuration(addresses), flags, |folder| {
            fs::write(folder.join("recording.yaml"), recording_rules()).unwrap();
            fs::write(folder.join("portprobe.yaml"), delivered_rules("portprobe.yaml")).unwrap();
            fs::write(folder.join("alert.yaml"), ALERT).unwrap();
            import(&history, folder);
        })
        .await
    }

    /// The address of the second daemon.
    pub(super) fn supplement(&self) -> SocketAddr {
        self.daemons[1].address
    }

    /// Two days of hourly results of the recording rules, as OpenMetrics.
    async fn history(&self) -> String {
        let mut labels = Vec::new();
        for daemon in &self.daemons {
            let scrape = daemon.scrape().await;
            let probed = scrape
                .of_targets()
                .into_keys()
                .filter(|(name, _)| *name == "portprobe_probes_total");
            let own = format!("job=\"portprobe\",instance=\"{}\"", daemon.address);
            labels.extend(probed.map(|(_, labels)| {
                labels
                    .iter()
                    .fold(own.clone(), |all, (name, value)| format!("{all},{name}={value:?}"))
            }));
        }
        let of_targets = RECORDED.iter().map(|(name, value)| {
            family(
                name,
                labels
                    .iter()
                    .flat_map(|labels| hours().map(move |hour| (labels.clone(), *value, hour))),
            )
        });
        let of_hours = hours().map(|hour| (format!("job=\"portprobe\",hour=\"{}\"", before(hour)), "1", hour));
        let of_hours = family("hour:portprobe_outages:increase1h", of_hours);
        of_targets.chain([of_hours, "# EOF\n".into()]).collect()
    }
}

/// The hourly records of each target, and their values.
const RECORDED: [(&str, &str); 4] = [
    ("target:portprobe_down_seconds:increase1h", "36"),
    ("target:portprobe_availability:ratio1h", "0.99"),
    ("target:portprobe_outages:increase1h", "1"),
    ("target:portprobe_probe_failures:ratio1h", "0.02"),
];

async fn demo() -> Daemon {
    let mut command = portprobe();
    command.args(["demo", "--web.listen-address=127.0.0.1:0", "--log.level=info"]);
    Daemon::run(command, tempfile::tempdir().unwrap()).await
}

/// A daemon with what `demo` lacks: labels of users, a shard, discovery, a client certificate, ALPN, changing certificates, a
/// chain that expires first, and a target that is up here and refused in `demo`.
async fn supplement() -> Daemon {
    let folder = tempfile::tempdir().unwrap();
    let root = Arc::new(Authority::root("root"));
    let client = root.issue(leaf(&["portprobe"]).for_clients());
    write(&folder, "ca.pem", &root.pem());
    write(&folder, "client.pem", &client.pem());
    write(&folder, "client.key", client.key_pem());
    let hasty = root.intermediate_with("hasty", |params| valid(params, -1..10));
    let hasty = peers::tls(hasty.issue(leaf(&["127.0.0.1"])).behind(hasty.der()).server()).await;
    let changing = changing(root).await;
    write(&folder, "sd.json", &format!("[{{ \"targets\": [\"{hasty}\"], \"labels\": {{}} }}]"));
    let at = folder.path().display();
    let config = format!(
        "labels: {{ region: eu-west-1 }}\n\
         defaults: {{ interval: 1s, timeout: 800ms, labels: {{ team: orders, owner: dba }}, \
         tls: {{ ca_file: '{at}/ca.pem' }} }}\n\
         groups: {{ web: {{ min_up: 1, labels: {{ team: orders }} }} }}\n\
         targets:\n\
         - {{ url: '127.0.0.1:1', name: closed, group: web }}\n\
         - {{ url: 'tls://{hasty}', name: hasty, group: web }}\n\
         - {{ url: 'tcp://{hasty}', name: refused }}\n\
         - url: 'tls://{changing}'\n  \
           name: changing\n  \
           tls: {{ alpn: [h2], cert_file: '{at}/client.pem', key_file: '{at}/client.key' }}\n\
         discovery: [ {{ file: '{at}/sd.json' }} ]\n"
    );
    write(&folder, "portprobe.yaml", &config);
    Daemon::start_in(folder, &["--shard=0/1"]).await
}

/// A server with another certificate for each client.
async fn changing(authority: Arc<Authority>) -> SocketAddr {
    peers::peer(move |stream| async move {
        let mut config = authority.issue(leaf(&["127.0.0.1"])).server();
        config.alpn_protocols = vec![b"h2".to_vec()];
        if let Ok(mut stream) = TlsAcceptor::from(Arc::new(config)).accept(stream).await {
            peers::listen_to_the_end(&mut stream).await;
        }
    })
    .await
}

fn write(folder: &TempDir, name: &str, content: &str) {
    fs::write(folder.path().join(name), content).unwrap();
}

fn configuration(addresses: [SocketAddr; 2]) -> String {
    let targets = addresses.map(|address| format!("'{address}'")).join(", ");
    format!(
        "global: {{ scrape_interval: 500ms, scrape_timeout: 500ms, evaluation_interval: 1s }}\n\
         rule_files: [ recording.yaml, portprobe.yaml, alert.yaml ]\n\
         scrape_configs:\n\
         - {{ job_name: portprobe, static_configs: [ {{ targets: [ {targets} ] }} ] }}\n"
    )
}

/// The recording rules, evaluated every second instead of every minute.
fn recording_rules() -> String {
    let rules = delivered_rules("recording.yaml");
    assert!(rules.contains("interval: 1m\n"));
    rules.replace("interval: 1m\n", "interval: 1s\n")
}

fn delivered_rules(name: &str) -> String {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("alerts/rules").join(name);
    fs::read_to_string(file).unwrap()
}

/// Alerts that fire at once. The second needs no action.
const ALERT: &str = "groups: [ { name: now, rules: [
  { alert: PortprobeTargetDown, expr: portprobe_up == 0, labels: { severity: critical } },
  { alert: PortprobeCertificateChanged, expr: portprobe_up == 0, labels: { severity: info } } ] } ]
";

/// Imports samples into a Prometheus before it starts.
fn import(history: &str, folder: &Path) {
    let samples = folder.join("history");
    fs::write(&samples, history).unwrap();
    let mut promtool = Command::new(program("promtool").unwrap());
    // Few blocks, because each is a file to wait for.
    promtool
        .args(["tsdb", "create-blocks-from", "--max-block-duration=54h", "openmetrics"])
        .arg(samples)
        .arg(folder.join("data"));
    let output = promtool.output().unwrap();
    assert!(output.status.success(), "{output:?}");
}

fn family(name: &str, samples: impl Iterator<Item = (String, &'static str, i64)>) -> String {
    let head = format!("# TYPE {name} gauge\n");
    samples.fold(head, |mut family, (labels, value, at)| {
        writeln!(family, "{name}{{{labels}}} {value} {at}").unwrap();
        family
    })
}

/// The last 48 full hours, in seconds since 1970.
fn hours() -> impl Iterator<Item = i64> + Clone {
    let last = OffsetDateTime::now_utc().unix_timestamp() / 3600 * 3600;
    (0..48).map(move |back| last - (47 - back) * 3600)
}

/// The hour of the day that ended then.
fn before(hour: i64) -> i64 {
    (hour / 3600 - 1) % 24
}

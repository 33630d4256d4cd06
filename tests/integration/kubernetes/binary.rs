//! The commands and configurations of the containers, run with the real binary.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Stdio;

use serde_json::{Value, json};

use super::{Tools, arguments, containers, everything, list, of_kind, pods, root};
use crate::support::daemon::{Daemon, finished, portprobe};

#[test]
fn configurations_are_accepted() {
    let Some(tools) = Tools::find() else { return };
    let mut checked = 0;
    for (name, objects) in everything(&tools) {
        for (object, text) in objects.iter().filter_map(|object| Some((object, configuration(object)?))) {
            assert_accepted(&format!("{name}: {}", object["metadata"]["name"]), text, objects);
            checked += 1;
        }
    }
    assert!(checked > 8, "{checked}");
}

/// A name with as many dots as `ndots` is first looked up outside the cluster, unless it ends in a dot.
#[test]
fn cluster_names_are_resolved_in_the_cluster() {
    let Some(tools) = Tools::find() else { return };
    for (name, objects) in everything(&tools) {
        for text in objects.iter().filter_map(configuration) {
            assert_eq!(text.matches(".svc").count(), text.matches(".svc.cluster.local.").count(), "{name}: {text}");
        }
    }
    let objects = tools.rendered(&json!({}));
    let options = pods(&objects)
        .into_iter()
        .find_map(|pod| pod["dnsConfig"]["options"].as_array())
        .unwrap();
    assert_eq!(*options, [json!({ "name": "ndots", "value": "2" })]);
    let text = objects.iter().find_map(configuration).unwrap();
    assert_eq!(text, "targets:\n- tcp://kubernetes.default:443\n");
}

#[test]
fn the_documented_values_are_valid() {
    let Some(tools) = Tools::find() else { return };
    let page = fs::read_to_string(root("docs/deploy/kubernetes.md")).unwrap();
    let block = page.split("\n```yaml\nimage:").nth(1).unwrap().split("\n```").next().unwrap();
    let values = tools.run("values", &json!({ "texts": { "values": format!("image:{block}") } }))["values"].take();
    let objects = tools.rendered(&values);
    for kind in ["ServiceMonitor", "PrometheusRule"] {
        assert!(!of_kind(&objects, kind).is_empty(), "{kind}");
    }
    let text = objects.iter().find_map(configuration).unwrap();
    assert!(text.contains("orders-db"), "{text}");
    assert_accepted("docs/deploy/kubernetes.md", text, &objects);
}

#[test]
fn web_configurations_are_accepted() {
    let Some(tools) = Tools::find() else { return };
    let mut checked = 0;
    for (name, objects) in everything(&tools) {
        for text in objects
            .iter()
            .filter_map(|object| object["stringData"].get("web.yml")?.as_str())
        {
            let folder = tempfile::tempdir().unwrap();
            fs::write(folder.path().join("web.yml"), text).unwrap();
            let ended = finished(&["check", "--syntax-only", "--web.config.file=web.yml"], folder.path());
            assert_eq!(ended.status, 0, "{name}: {ended:?}");
            checked += 1;
        }
    }
    assert!(checked > 0);
}

/// Checks a configuration with only the variables that the containers of these objects have.
fn assert_accepted(name: &str, text: &str, objects: &[Value]) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("portprobe.yaml");
    fs::write(&file, text).unwrap();
    let mut check = portprobe();
    check
        .args(["check", "--syntax-only"])
        .arg(&file)
        .env_clear()
        .stdin(Stdio::null());
    check.envs(containers(objects).into_iter().flat_map(variables));
    let output = check.output().unwrap();
    assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
}

/// The configuration in a ConfigMap or Secret.
fn configuration(object: &Value) -> Option<&str> {
    ["data", "stringData"]
        .iter()
        .find_map(|key| object[key].get("portprobe.yaml")?.as_str())
}

/// The environment of a container, with made-up values for those from the cluster.
fn variables(container: &Value) -> Vec<(&str, &str)> {
    let all = list(&container["env"]).map(|variable| (&variable["name"], &variable["value"]));
    all.map(|(name, value)| (name.as_str().unwrap(), value.as_str().unwrap_or("somewhere")))
        .collect()
}

#[test]
fn a_daemon_set_labels_each_node() {
    let Some(tools) = Tools::find() else { return };
    let labels = |kind, labels: Value| {
        let map = tools.one("ConfigMap", &json!({ "kind": kind, "config": { "labels": labels } }));
        serde_yaml::from_str::<Value>(configuration(&map).unwrap()).unwrap()["labels"].take()
    };
    assert_eq!(labels("DaemonSet", json!({ "region": "a" })), json!({ "region": "a", "node": "${NODE_NAME}" }));
    assert_eq!(labels("DaemonSet", json!({ "node": "mine" })), json!({ "node": "mine" }));
    assert_eq!(labels("Deployment", json!({ "region": "a" })), json!({ "region": "a" }));
    let node = tools.one("DaemonSet", &json!({ "kind": "DaemonSet" }));
    let node = &node["spec"]["template"]["spec"]["containers"][0]["env"][0];
    assert_eq!(*node, json!({ "name": "NODE_NAME", "valueFrom": { "fieldRef": { "fieldPath": "spec.nodeName" } } }));
}

#[test]
fn flags_and_variables_exist_in_the_binary() {
    let Some(tools) = Tools::find() else { return };
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("portprobe.yaml"), "targets: [tcp://localhost:1]").unwrap();
    fs::write(folder.path().join("web.yml"), "").unwrap();
    let help = finished(&["--help"], folder.path()).stdout;
    let mut named = refused_variables();
    assert_eq!(named.len(), 6, "{named:?}");
    for (name, objects) in everything(&tools) {
        for container in containers(objects) {
            let own = variables(container).into_iter().map(|(variable, _)| variable.to_owned());
            named.extend(own.filter(|variable| variable.starts_with("PORTPROBE")));
            let arguments = arguments(container);
            if arguments[0] == "healthcheck" {
                continue;
            }
            let mut line: Vec<_> = arguments.iter().map(|argument| here(argument, folder.path())).collect();
            line.push("--config.check".to_owned());
            let output = portprobe()
                .args(line)
                .envs(variables(container))
                .stdin(Stdio::null())
                .output()
                .unwrap();
            assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
        }
    }
    assert!(named.len() > 3, "{named:?}");
    for variable in named {
        assert!(help.contains(&format!("[env: {variable}=")), "{variable}");
    }
}

/// The variables of portprobe in the chart.
fn refused_variables() -> BTreeSet<String> {
    let text = fs::read_to_string(root("deploy/helm/portprobe/templates/_helpers.tpl")).unwrap();
    let words = text.split(|letter: char| letter != '_' && !letter.is_ascii_uppercase());
    words.filter(|word| word.starts_with("PORTPROBE_")).map(str::to_owned).collect()
}

/// An argument as passed to the pod with the index 0, with the configuration in this folder.
fn here(argument: &str, folder: &Path) -> String {
    argument
        .replace("/etc/portprobe-web", folder.to_str().unwrap())
        .replace("/etc/portprobe", folder.to_str().unwrap())
        .replace("$(POD_INDEX)", "0")
}

#[tokio::test]
async fn shards_partition_the_targets() {
    let Some(tools) = Tools::find() else { return };
    let values = json!({
        "kind": "StatefulSet", "replicas": 3, "config": { "targets": ["tcp://127.0.0.1:1-40"] },
    });
    let objects = tools.rendered(&values);
    let container = containers(&objects)
        .into_iter()
        .find(|container| !container["env"].is_null())
        .unwrap();
    let index = json!({ "fieldRef": { "fieldPath": "metadata.labels['apps.kubernetes.io/pod-index']" } });
    assert!(list(&container["env"]).any(|variable| variable["name"] == "POD_INDEX" && variable["valueFrom"] == index));
    let shard = arguments(container)
        .into_iter()
        .find(|argument| argument.contains("--shard"))
        .unwrap();
    let config = objects.iter().find_map(configuration).unwrap();
    let mut seen = BTreeSet::new();
    for replica in 0..3 {
        let daemon = Daemon::start_with(config, &[&shard.replace("$(POD_INDEX)", &replica.to_string())]).await;
        let scrape = daemon.get("/metrics").await.body;
        let own: Vec<_> = scrape
            .lines()
            .filter(|line| line.starts_with("portprobe_target_info{"))
            .collect();
        assert!(own.len() > 3 && own.len() < 30, "{replica}: {own:?}");
        assert!(own.iter().all(|line| seen.insert((*line).to_owned())), "{replica}: {own:?} {seen:?}");
        assert!(scrape.contains(&format!("portprobe_shard_info{{shard=\"{replica}\",shards=\"3\"}} 1")), "{scrape}");
    }
    assert_eq!(seen.len(), 40);
}

#[tokio::test]
async fn the_release_test_checks_readiness() {
    let Some(tools) = Tools::find() else { return };
    let daemon = Daemon::start("targets: ['tcp://127.0.0.1:1']").await;
    for kind in ["Deployment", "StatefulSet", "DaemonSet"] {
        let pod = tools.one("Pod", &json!({ "kind": kind, "service": { "port": 8080 } }));
        let arguments = arguments(&pod["spec"]["containers"][0]);
        let [command, url] = arguments[..] else { panic!("{arguments:?}") };
        let there = url.replace("//portprobe:8080/", &format!("//{}/", daemon.address));
        assert_ne!(url, there);
        assert_eq!(finished(&[command, &there], Path::new("/")).status, 0, "{there}");
    }
}

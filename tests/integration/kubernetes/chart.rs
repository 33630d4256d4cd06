//! The chart: the linter of Helm, invalid values, and use by other charts.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use serde_json::{Value, json};

use super::{Tools, all_objects, all_values, everything, list, of_kind, root};

/// Values, and the expected error.
#[rustfmt::skip]
const INVALID: [(&str, &str); 50] = [
    (r#"{ "replica": 2 }"#, "additional properties 'replica' not allowed"),
    (r#"{ "image": { "tags": "1" } }"#, "at '/image': additional properties 'tags' not allowed"),
    (r#"{ "serviceMonitor": { "enable": true } }"#, "additional properties 'enable' not allowed"),
    (r#"{ "config": { "target": [] } }"#, "at '/config': additional properties 'target' not allowed"),
    (r#"{ "config": { "targets": [{ "url": "tcp://a:1", "intervall": "1s" }] } }"#, "'intervall' not allowed"),
    (r#"{ "config": { "defaults": { "confirm": { "failures": 0 } } } }"#, "at '/config/defaults/confirm/failures'"),
    (r#"{ "kind": "ReplicaSet" }"#, "value must be one of 'Deployment', 'StatefulSet', 'DaemonSet'"),
    (r#"{ "replicas": "2" }"#, "at '/replicas': got string, want integer"),
    (r#"{ "containerPort": 70000 }"#, "at '/containerPort': maximum: got 70,000, want 65,535"),
    (r#"{ "image": { "digest": "0123" } }"#, "at '/image/digest': '0123' does not match pattern"),
    (r#"{ "extraArgs": ["log.level=debug"] }"#, "at '/extraArgs/0': 'log.level=debug' does not match pattern"),
    (r#"{ "podMonitor": { "interval": "30" } }"#, "at '/podMonitor/interval': '30' does not match pattern"),
    (r#"{ "extraSecretMounts": [{ "name": "a", "secretName": "a", "mountPath": "/a", "subPath": "b" }] }"#, "'subPath' not allowed"),
    (r#"{ "configExistingSecretName": "a", "configExistingConfigMapName": "b" }"#, "configExistingSecretName: conflicts with configExistingConfigMapName"),
    (r#"{ "configExistingSecretName": "a", "secretConfig": true }"#, "secretConfig: has no effect with an existing configuration"),
    (r#"{ "serviceMonitor": { "enabled": true }, "podMonitor": { "enabled": true } }"#, "serviceMonitor: conflicts with podMonitor"),
    (r#"{ "kind": "DaemonSet", "podDisruptionBudget": { "maxUnavailable": 1 } }"#, "no effect on a DaemonSet"),
    (r#"{ "kind": "StatefulSet", "replicas": 0 }"#, "replicas: must be at least 1 in a StatefulSet"),
    (r#"{ "hostNetwork": true, "hostPort": 1 }"#, "hostPort: must equal containerPort with hostNetwork"),
    (r#"{ "extraArgs": ["--config.file=/a"] }"#, "extraArgs: --config.file=/a is set by the chart"),
    (r#"{ "extraArgs": ["--web.listen-address=:1"] }"#, "extraArgs: --web.listen-address=:1 is set by the chart"),
    (r#"{ "kind": "StatefulSet", "extraArgs": ["--shard=0/2"] }"#, "extraArgs: --shard=0/2 is set by the chart"),
    (r#"{ "extraEnv": { "PORTPROBE_SHARD": { "a": 1 } } }"#, "at '/extraEnv/PORTPROBE_SHARD'"),
    (r#"{ "commonLabels": { "app.kubernetes.io/name": "a" } }"#, "commonLabels: app.kubernetes.io/name is reserved"),
    (r#"{ "pod": { "labels": { "app.kubernetes.io/instance": "a" } } }"#, "pod.labels: app.kubernetes.io/instance is reserved"),
    (r#"{ "service": { "labels": { "app.kubernetes.io/name": "a" } } }"#, "service.labels: app.kubernetes.io/name is reserved"),
    (r#"{ "extraVolumes": [{ "name": "config", "emptyDir": {} }] }"#, "extraVolumes: the name `config` is reserved"),
    (r#"{ "extraConfigmapMounts": [{ "name": "config", "configMap": "a", "mountPath": "/a" }] }"#, "extraConfigmapMounts: the name `config` is reserved"),
    (r#"{ "extraSecretMounts": [{ "name": "config", "secretName": "a", "mountPath": "/a" }] }"#, "extraSecretMounts: the name `config` is reserved"),
    (r#"{ "extraEnv": { "NODE_NAME": "a" } }"#, "extraEnv: NODE_NAME is set by the chart"),
    (r#"{ "extraEnv": { "POD_IP": "a" } }"#, "extraEnv: POD_IP is set by the chart"),
    (r#"{ "kind": "StatefulSet", "extraEnv": { "POD_INDEX": "0" } }"#, "extraEnv: POD_INDEX is set by the chart"),
    (r#"{ "extraEnv": { "PORTPROBE_CONFIG_FILE": "/a" } }"#, "PORTPROBE_CONFIG_FILE has no effect, because the chart sets the flag; set config instead"),
    (r#"{ "extraEnv": { "PORTPROBE_WEB_LISTEN_ADDRESS": ":1" } }"#, "PORTPROBE_WEB_LISTEN_ADDRESS has no effect, because the chart sets the flag; set containerPort"),
    (r#"{ "kind": "StatefulSet", "extraEnv": { "PORTPROBE_SHARD": "0/2" } }"#, "PORTPROBE_SHARD has no effect, because the chart sets the flag; set replicas"),
    (r#"{ "webConfig": { "secret": "a" } }"#, "at '/webConfig': additional properties 'secret' not allowed"),
    (r#"{ "webConfig": { "config": { "rate_limit": { "interval": "1s", "burst": 1 } }, "existingSecret": "a" } }"#, "webConfig.config: conflicts with webConfig.existingSecret"),
    (r#"{ "webConfig": { "existingSecret": "a" }, "extraArgs": ["--web.config.file=/a"] }"#, "extraArgs: --web.config.file=/a is set by the chart"),
    (r#"{ "webConfig": { "existingSecret": "a" }, "extraEnv": { "PORTPROBE_WEB_CONFIG_FILE": "/a" } }"#, "PORTPROBE_WEB_CONFIG_FILE has no effect, because the chart sets the flag; set webConfig"),
    (r#"{ "kind": "StatefulSet", "extraArgs": ["--storage.path=/a"] }"#, "extraArgs: --storage.path=/a is set by the chart"),
    (r#"{ "kind": "StatefulSet", "extraEnv": { "PORTPROBE_STORAGE_PATH": "/a" } }"#, "PORTPROBE_STORAGE_PATH has no effect, because the chart sets the flag; set persistence"),
    (r#"{ "extraVolumes": [{ "name": "storage", "emptyDir": {} }] }"#, "extraVolumes: the name `storage` is reserved"),
    (r#"{ "extraVolumes": [{ "name": "web-config", "emptyDir": {} }] }"#, "extraVolumes: the name `web-config` is reserved"),
    (r#"{ "webConfig": { "config": { "rate_limit": { "interval": "1s", "burst": 1 } } } }"#, "webConfig.config.rate_limit: would refuse the probes of the kubelet"),
    (r#"{ "extraArgs": ["--web.external-url=http://a/b"] }"#, "would move the paths of probes and monitors; set externalUrl instead"),
    (r#"{ "extraEnv": { "PORTPROBE_WEB_EXTERNAL_URL": "http://a/b" } }"#, "PORTPROBE_WEB_EXTERNAL_URL would move the paths of probes and monitors; set externalUrl"),
    (r#"{ "externalUrl": "a.example" }"#, "at '/externalUrl'"),
    (r#"{ "serviceMonitor": { "scheme": "https" } }"#, "additional properties 'scheme' not allowed"),
    (r#"{ "hostNetwork": true, "networkPolicy": { "enabled": true } }"#, "networkPolicy: Kubernetes does not apply it to pods with hostNetwork"),
    (r#"{ "prometheusRule": { "enabled": true, "files": ["nothing"] } }"#, "prometheusRule.files: unknown file nothing"),
];

#[test]
fn the_linter_reports_nothing() {
    let Some(tools) = Tools::find() else { return };
    let values: Vec<_> = all_values(&tools).into_values().collect();
    let found = tools.run("lint", &json!({ "chart": root("deploy/helm/portprobe"), "values": values }));
    assert_eq!(found, json!([]));
}

#[test]
fn invalid_values_fail_with_a_reason() {
    let Some(tools) = Tools::find() else { return };
    let values = INVALID.map(|(values, _)| serde_json::from_str(values).unwrap());
    for ((values, reason), result) in INVALID.iter().zip(tools.try_render_each("portprobe", &values)) {
        let error = result.expect_err(values);
        assert!(error.contains(reason), "{values}: {reason}: {error}");
    }
}

#[test]
fn a_configuration_too_large_for_a_configmap_fails() {
    let Some(tools) = Tools::find() else { return };
    let targets = |many: u32| (0..many).map(|number| format!("tcp://host-{number:06}.example.com:443"));
    let values = |many| json!({ "config": { "targets": targets(many).collect::<Vec<_>>() } });
    let error = tools.try_render("portprobe", &values(30_000)).unwrap_err();
    assert!(error.contains("config: larger than 1 MiB"), "{error}");
    assert!(tools.try_render("portprobe", &values(25_000)).is_ok());
}

#[test]
fn the_schema_lists_exactly_the_values() {
    let Some(tools) = Tools::find() else { return };
    let values = default_values(&tools);
    let text = fs::read_to_string(root("deploy/helm/portprobe/values.schema.json")).unwrap();
    let mut schema: Value = serde_json::from_str(&text).unwrap();
    let top = schema["properties"].as_object_mut().unwrap();
    // Values that a parent chart may set, and those of portprobe.
    assert!(top.remove("global").is_some() && top.remove("enabled").is_some());
    top.insert("config".to_owned(), json!({}));
    assert_same_keys("values", &values, &schema);
}

/// A removed default results in an object without it, or in an error.
#[test]
fn defaults_can_be_removed() {
    let Some(tools) = Tools::find() else { return };
    let on = json!({ "enabled": true });
    let all = json!({
        "serviceMonitor": on, "prometheusRule": on, "dashboards": on, "networkPolicy": on,
    });
    let mut without = Vec::new();
    for (key, value) in default_values(&tools).as_object().unwrap() {
        let mut taken = all.clone();
        taken[key] = Value::Null;
        without.push(taken);
        for inner in value.as_object().into_iter().flat_map(|value| value.keys()) {
            let mut taken = all.clone();
            taken[key][inner] = Value::Null;
            without.push(taken);
        }
    }
    assert!(without.len() > 100, "{}", without.len());
    for (values, outcome) in without.iter().zip(tools.try_render_each("portprobe", &without)) {
        if let Err(error) = outcome {
            assert!(error.contains("missing property"), "{values}: {error}");
        }
    }
    let empty = tools.one("Deployment", &json!({ "pod": { "labels": null } }));
    let labels = empty["spec"]["template"]["metadata"]["labels"].as_object().unwrap();
    assert_eq!(labels.keys().collect::<Vec<_>>(), ["app.kubernetes.io/instance", "app.kubernetes.io/name"]);
}

/// An object in the schema lists exactly the keys of the values, and no others are allowed.
fn assert_same_keys(place: &str, values: &Value, schema: &Value) {
    let Some(listed) = schema["properties"].as_object() else { return };
    assert_eq!(schema["additionalProperties"], false, "{place}");
    let set = values.as_object().unwrap();
    assert_eq!(set.keys().collect::<BTreeSet<_>>(), listed.keys().collect::<BTreeSet<_>>(), "{place}");
    for (key, schema) in listed {
        assert_same_keys(&format!("{place}.{key}"), &set[key], schema);
    }
}

/// The content of values.yaml.
fn default_values(tools: &Tools) -> Value {
    let text = fs::read_to_string(root("deploy/helm/portprobe/values.yaml")).unwrap();
    tools.run("values", &json!({ "texts": { "values": text } }))["values"].take()
}

#[test]
fn manifests_and_schema_match_the_chart() {
    let Some(tools) = Tools::find() else { return };
    let mut render = Command::new("python3");
    render
        .arg(root("deploy/kubernetes/render"))
        .args(["--check", env!("CARGO_BIN_EXE_portprobe")]);
    let output = render.env("PYTHONPATH", tools.0.join("python")).output().unwrap();
    let printed = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&printed));
}

#[test]
fn images_have_this_version() {
    let Some(tools) = Tools::find() else { return };
    let version = env!("CARGO_PKG_VERSION");
    let deployment = tools.one("Deployment", &json!({}));
    let image = &deployment["spec"]["template"]["spec"]["containers"][0]["image"];
    assert_eq!(image, &json!(format!("portprobe:{version}")));
    let sidecar = fs::read_to_string(root("deploy/kubernetes/sidecar.yaml")).unwrap();
    assert!(sidecar.contains(&format!("image: portprobe:{version}\n")), "{sidecar}");
}

#[test]
fn two_releases_share_a_namespace() {
    let Some(tools) = Tools::find() else { return };
    let all = json!({
        "serviceMonitor": { "enabled": true }, "prometheusRule": { "enabled": true }, "dashboards": { "enabled": true },
        "networkPolicy": { "enabled": true }, "podDisruptionBudget": { "maxUnavailable": 1 },
    });
    let names = |release| {
        let objects = all_objects(&tools.try_render(release, &all).unwrap());
        let named = objects
            .iter()
            .map(|object| format!("{}/{}", object["kind"], object["metadata"]["name"]));
        named.collect::<BTreeSet<_>>()
    };
    let (one, other) = (names("portprobe"), names("inner"));
    assert!(one.len() > 15 && one.len() == other.len(), "{one:?}");
    assert!(one.is_disjoint(&other), "{one:?} {other:?}");
}

/// The address of a Service never changes. If the services of the kinds had the same name, an upgrade could not change the
/// kind.
#[test]
fn the_service_is_the_same_for_every_kind() {
    let Some(tools) = Tools::find() else { return };
    for of_type in ["ClusterIP", "NodePort", "LoadBalancer"] {
        let services = ["Deployment", "DaemonSet", "StatefulSet"]
            .map(|kind| of_kind(&tools.rendered(&json!({ "kind": kind, "service": { "type": of_type } })), "Service"));
        let [deployment, daemon_set, stateful_set] = &services;
        assert_eq!(deployment.len(), 1, "{services:?}");
        assert_eq!(deployment, daemon_set);
        assert_eq!(deployment[..], stateful_set[..1]);
    }
}

#[test]
fn pods_of_a_stateful_set_have_names() {
    let Some(tools) = Tools::find() else { return };
    for (name, objects) in everything(&tools) {
        for set in of_kind(objects, "StatefulSet") {
            let services = of_kind(objects, "Service");
            let headless: Vec<_> = services
                .iter()
                .filter(|service| service["spec"]["clusterIP"] == "None")
                .collect();
            assert_eq!(headless.len(), 1, "{name}");
            assert_eq!(set["spec"]["serviceName"], headless[0]["metadata"]["name"], "{name}");
        }
    }
}

#[test]
fn a_stateful_set_keeps_its_states() {
    let Some(tools) = Tools::find() else { return };
    let rendered = |values: Value| {
        let set = of_kind(&tools.rendered(&values), "StatefulSet")
            .first()
            .map(|set| (*set).clone());
        let container = set.as_ref().map(|set| set["spec"]["template"]["spec"]["containers"][0].clone());
        let has_flag = container.is_some_and(|container| {
            let mount = json!({ "name": "storage", "mountPath": "/var/lib/portprobe" });
            let is_mounted = list(&container["volumeMounts"]).any(|found| *found == mount);
            let has_flag = list(&container["args"]).any(|argument| argument == "--storage.path=/var/lib/portprobe");
            assert_eq!(is_mounted, has_flag);
            has_flag
        });
        (has_flag, set.map_or(Value::Null, |set| set["spec"]["volumeClaimTemplates"].clone()))
    };
    let persistence = json!({ "size": "2Gi", "storageClassName": "fast" });
    let (has_flag, claims) = rendered(json!({ "kind": "StatefulSet", "persistence": persistence }));
    assert!(has_flag);
    assert_eq!(claims[0]["metadata"]["name"], "storage");
    let specification = json!({
        "accessModes": ["ReadWriteOnce"], "storageClassName": "fast", "resources": { "requests": { "storage": "2Gi" } },
    });
    assert_eq!(claims[0]["spec"], specification);
    let disabled = json!({ "kind": "StatefulSet", "persistence": { "enabled": false } });
    assert_eq!(rendered(disabled), (false, Value::Null));
    assert_eq!(rendered(json!({ "kind": "Deployment" })), (false, Value::Null));
}

#[test]
fn a_custom_configuration_replaces_the_default() {
    let Some(tools) = Tools::find() else { return };
    for (key, source) in [
        ("configExistingSecretName", json!({ "name": "config", "secret": { "secretName": "own" } })),
        ("configExistingConfigMapName", json!({ "name": "config", "configMap": { "name": "own" } })),
    ] {
        let objects = tools.rendered(&json!({ key: "own" }));
        assert!(of_kind(&objects, "ConfigMap").is_empty() && of_kind(&objects, "Secret").is_empty(), "{key}");
        assert_eq!(of_kind(&objects, "Deployment")[0]["spec"]["template"]["spec"]["volumes"], json!([source]));
    }
}

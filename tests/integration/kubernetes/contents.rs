//! The contents of the chart: copied files are unchanged, and pods have the promised properties.

use std::collections::BTreeMap;
use std::fs;

use serde_json::{Value, json};

use super::{Tools, arguments, containers, everything, list, manifests, name, objects, of_kind, pods, root};

#[test]
fn rules_match_the_files() {
    let Some(tools) = Tools::find() else { return };
    let rules_of = |values| of_kind(&tools.rendered(&json!({ "prometheusRule": values })), "PrometheusRule");
    let mut rules = rules_of(json!({ "enabled": true }));
    rules.extend(rules_of(json!({ "enabled": true, "files": ["blackbox-names"] })));
    for file in fs::read_dir(root("alerts/rules")).unwrap().map(|entry| entry.unwrap().path()) {
        let name = format!("portprobe-{}", name(&file).trim_end_matches(".yaml"));
        let rule = rules
            .iter()
            .find(|rule| rule["metadata"]["name"] == *name)
            .unwrap_or_else(|| panic!("no {name}"));
        assert_eq!(rule["spec"], objects(&fs::read_to_string(&file).unwrap())[0], "{name}");
    }
    assert_eq!(rules.len(), fs::read_dir(root("alerts/rules")).unwrap().count());
}

#[test]
fn links_of_alerts_use_the_values() {
    let Some(tools) = Tools::find() else { return };
    let urls = json!({
        "enabled": true, "runbookUrl": "https://docs.example.com/runbook", "dashboardUrl": "https://grafana.internal/",
    });
    let values = json!({ "prometheusRule": urls });
    let rules = of_kind(&tools.rendered(&values), "PrometheusRule");
    let groups = rules.iter().flat_map(|rule| list(&rule["spec"]["groups"]));
    let alerts: Vec<_> = groups
        .flat_map(|group| list(&group["rules"]))
        .filter(|rule| rule.get("alert").is_some())
        .collect();
    assert!(alerts.len() > 30);
    for alert in alerts {
        let anchor = alert["alert"].as_str().unwrap().to_lowercase();
        assert_eq!(alert["annotations"]["runbook_url"], format!("https://docs.example.com/runbook#{anchor}"));
        let dashboard = alert["annotations"]["dashboard_url"].as_str().unwrap();
        assert!(dashboard.starts_with("https://grafana.internal/d/portprobe-"), "{dashboard}");
    }
}

#[test]
fn dashboards_match_the_files() {
    let Some(tools) = Tools::find() else { return };
    let rendered = tools.rendered(&json!({ "dashboards": { "enabled": true } }));
    let labelled = |object: &&Value| object["metadata"]["labels"]["grafana_dashboard"] == "1";
    let maps: Vec<_> = rendered
        .iter()
        .filter(labelled)
        .map(|map| map["data"].as_object().unwrap())
        .collect();
    let files = fs::read_dir(root("dashboards")).unwrap().map(|entry| entry.unwrap().path());
    let files: Vec<_> = files.map(|file| (name(&file), fs::read_to_string(&file).unwrap())).collect();
    assert_eq!(maps.len(), files.len());
    for (name, text) in files {
        assert!(maps.iter().any(|map| map.len() == 1 && map.get(&name) == Some(&json!(text))), "{name}");
    }
}

#[test]
fn variables_keep_their_text() {
    let Some(tools) = Tools::find() else { return };
    let values = json!({ "extraEnv": { "NUMBER": 2_000_000, "SWITCH": true, "TEXT": "07", "QUOTED": "a \"b\"" } });
    let deployment = tools.one("Deployment", &values);
    let variables = &deployment["spec"]["template"]["spec"]["containers"][0]["env"];
    for (name, value) in [("NUMBER", "2000000"), ("SWITCH", "true"), ("TEXT", "07"), ("QUOTED", "a \"b\"")] {
        assert!(list(variables).any(|variable| *variable == json!({ "name": name, "value": value })), "{variables}");
    }
}

/// Prometheus and Alertmanager have templates with braces, too.
#[test]
fn only_texts_are_templates() {
    let Some(tools) = Tools::find() else { return };
    let maps = of_kind(&everything(&tools)["deployment-values.yaml"], "ConfigMap");
    assert!(
        maps.iter()
            .any(|map| map["data"]["braces"] == "{{ $labels.x }} {{ .Untouched }}"),
        "{maps:?}"
    );
    assert!(maps.iter().any(|map| map["metadata"]["name"] == "portprobe-text"), "{maps:?}");
}

/// The standard `restricted` of Kubernetes for pods, and additional restrictions.
#[test]
fn pods_have_minimal_privileges() {
    let Some(tools) = Tools::find() else { return };
    for (name, objects) in everything(&tools) {
        for container in containers(objects) {
            let pod = pods(objects)
                .into_iter()
                .find(|pod| pod.to_string().contains(&container.to_string()))
                .unwrap();
            let of = |key| {
                container["securityContext"]
                    .get(key)
                    .or_else(|| pod["securityContext"].get(key))
            };
            assert_eq!(of("runAsNonRoot"), Some(&json!(true)), "{name}");
            assert_eq!(of("runAsUser"), Some(&json!(65532)), "{name}");
            assert_eq!(of("seccompProfile"), Some(&json!({ "type": "RuntimeDefault" })), "{name}");
            assert_eq!(of("allowPrivilegeEscalation"), Some(&json!(false)), "{name}");
            assert_eq!(of("readOnlyRootFilesystem"), Some(&json!(true)), "{name}");
            assert_eq!(of("capabilities"), Some(&json!({ "drop": ["ALL"] })), "{name}");
            assert!(container["resources"]["limits"].get("cpu").is_none(), "{name}");
        }
    }
}

#[test]
fn the_mounted_configuration_can_change() {
    let Some(tools) = Tools::find() else { return };
    for (name, objects) in everything(&tools) {
        for container in containers(objects)
            .into_iter()
            .filter(|container| arguments(container)[0] != "healthcheck")
        {
            let mounts: Vec<_> = list(&container["volumeMounts"]).collect();
            assert!(mounts.iter().any(|mount| mount["mountPath"] == "/etc/portprobe"), "{name}");
            assert!(mounts.iter().all(|mount| mount.get("subPath").is_none()), "{name}");
        }
        for map in of_kind(objects, "ConfigMap").iter().chain(&of_kind(objects, "Secret")) {
            assert!(map.get("immutable").is_none(), "{name}");
        }
    }
}

/// The objects of the operator have no label by which a Prometheus selects them until one is set.
#[test]
fn the_documented_label_selects_the_operators_objects() {
    let page = fs::read_to_string(root("docs/deploy/kubernetes.md")).unwrap();
    let command = "kubectl label --namespace monitoring servicemonitor,prometheusrule --selector ";
    let (label, value) = page
        .split(command)
        .nth(1)
        .unwrap()
        .split_once(' ')
        .unwrap()
        .0
        .split_once('=')
        .unwrap();
    for file in
        ["deployment-monitor.yaml", "statefulset-monitor.yaml", "daemonset-monitor.yaml", "prometheusrules.yaml"]
    {
        for object in &manifests()[file] {
            assert_eq!(object["metadata"]["labels"][label], value, "{file}");
        }
    }
}

/// The objects that are applied together: the rendered chart, and each workload of the manifests with its monitor and the
/// policy.
fn together(tools: &Tools) -> BTreeMap<String, Vec<Value>> {
    let mut all = everything(tools).clone();
    let policy = all.remove("networkpolicy.yaml").unwrap();
    for kind in ["daemonset", "deployment", "statefulset"] {
        let monitor = all.remove(&format!("{kind}-monitor.yaml")).unwrap();
        all.get_mut(&format!("{kind}.yaml"))
            .unwrap()
            .extend([monitor, policy.clone()].concat());
    }
    all
}

/// Services, monitors, policies and the kubelet refer to a port by its name.
#[test]
fn every_port_reference_has_a_target() {
    let Some(tools) = Tools::find() else { return };
    for (name, objects) in together(&tools) {
        let containers = containers(&objects);
        let of_pods: Vec<_> = containers.iter().flat_map(|container| names(&container["ports"])).collect();
        let services = of_kind(&objects, "Service");
        let of_services: Vec<_> = services.iter().flat_map(|service| names(&service["spec"]["ports"])).collect();
        for object in &objects {
            let spec = &object["spec"];
            let (referenced, known): (Vec<_>, _) = match object["kind"].as_str().unwrap() {
                "Service" => (list(&spec["ports"]).map(|port| &port["targetPort"]).collect(), &of_pods),
                "ServiceMonitor" => {
                    (list(&spec["endpoints"]).map(|endpoint| &endpoint["port"]).collect(), &of_services)
                }
                "PodMonitor" => {
                    (list(&spec["podMetricsEndpoints"]).map(|endpoint| &endpoint["port"]).collect(), &of_pods)
                }
                "NetworkPolicy" => (list(&spec["ingress"][0]["ports"]).map(|port| &port["port"]).collect(), &of_pods),
                _ => continue,
            };
            assert!(!referenced.is_empty(), "{name}: {}", object["kind"]);
            assert!(
                referenced.iter().all(|port| known.contains(port)),
                "{name}: {}: {referenced:?} {known:?}",
                object["kind"]
            );
        }
        for container in containers {
            for probe in ["livenessProbe", "readinessProbe", "startupProbe"].map(|probe| &container[probe]["httpGet"]) {
                assert!(
                    probe.is_null() || names(&container["ports"]).any(|port| *port == probe["port"]),
                    "{name}: {probe}"
                );
            }
        }
    }
}

/// The names of ports.
fn names(ports: &Value) -> impl Iterator<Item = &Value> {
    list(ports).map(|port| &port["name"])
}

/// The named port is the one that portprobe listens on.
#[test]
fn ports_match_the_listen_address() {
    let Some(tools) = Tools::find() else { return };
    for (name, objects) in everything(&tools) {
        for container in containers(objects)
            .into_iter()
            .filter(|container| arguments(container)[0] != "healthcheck")
        {
            let address = |argument: &&str| argument.strip_prefix("--web.listen-address=:")?.parse().ok();
            let port: u16 = arguments(container).iter().find_map(address).unwrap_or(10115);
            assert_eq!(
                list(&container["ports"]).map(|port| &port["containerPort"]).collect::<Vec<_>>(),
                [port],
                "{name}"
            );
        }
    }
}

/// Selectors of services, monitors, policy and budget. All must select the pods, and a monitor only one of the services: with
/// two, each pod would be scraped twice.
#[test]
fn selectors_select_the_pods() {
    let Some(tools) = Tools::find() else { return };
    for (name, objects) in together(&tools) {
        let Some(workload) = objects.iter().find(|object| object["spec"]["template"].is_object()) else { continue };
        let pod = &workload["spec"]["template"]["metadata"]["labels"];
        let services = of_kind(&objects, "Service");
        for object in &objects {
            let spec = &object["spec"];
            let selected = match object["kind"].as_str().unwrap() {
                "Service" => selects(&spec["selector"], pod),
                "Deployment" | "DaemonSet" | "StatefulSet" | "PodDisruptionBudget" | "PodMonitor" => {
                    selects(&spec["selector"]["matchLabels"], pod)
                }
                "NetworkPolicy" => selects(&spec["podSelector"]["matchLabels"], pod),
                "ServiceMonitor" => {
                    let labels = services.iter().map(|service| &service["metadata"]["labels"]);
                    labels
                        .filter(|labels| selects(&spec["selector"]["matchLabels"], labels))
                        .count()
                        == 1
                }
                _ => continue,
            };
            assert!(selected, "{name}: {}", object["kind"]);
        }
        // The pod of `helm test` is excluded.
        for test in of_kind(&objects, "Pod") {
            assert!(test["metadata"]["labels"].get("app.kubernetes.io/name").is_none(), "{name}");
        }
    }
}

/// Whether a selector is not empty and matches these labels.
fn selects(selector: &Value, labels: &Value) -> bool {
    let selector = selector.as_object().unwrap();
    !selector.is_empty() && selector.iter().all(|(label, value)| labels[label] == *value)
}

/// A sidecar that is restarted or not ready takes the application out of service.
#[test]
fn a_sidecar_has_no_probes() {
    let Some(tools) = Tools::find() else { return };
    let sidecar = containers(&everything(&tools)["sidecar.yaml"])[0];
    assert_eq!(sidecar["restartPolicy"], "Always");
    for probe in ["livenessProbe", "readinessProbe", "startupProbe"] {
        assert!(sidecar.get(probe).is_none(), "{probe}");
    }
}

#[test]
fn a_configuration_change_restarts_no_pod() {
    let Some(tools) = Tools::find() else { return };
    let of = |target| tools.rendered(&json!({ "config": { "targets": [target] } }));
    let (before, after) = (of("tcp://a:1"), of("tcp://b:1"));
    assert_eq!(of_kind(&before, "Deployment"), of_kind(&after, "Deployment"));
    assert_ne!(of_kind(&before, "ConfigMap"), of_kind(&after, "ConfigMap"));
}

#[test]
fn a_policy_allows_name_servers() {
    let Some(tools) = Tools::find() else { return };
    let targets = json!({ "to": [{ "ipBlock": { "cidr": "192.0.2.0/24" } }] });
    let egress = |more: Value| {
        let mut policy = json!({ "enabled": true, "egress": [targets] });
        policy.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        tools.one("NetworkPolicy", &json!({ "networkPolicy": policy }))["spec"]["egress"].clone()
    };
    let both = |port| [json!({ "port": port, "protocol": "UDP" }), json!({ "port": port, "protocol": "TCP" })];
    let usual = [both(53), both(5353)].concat();
    assert_eq!(egress(json!({})), json!([{ "ports": usual }, targets]));
    assert_eq!(egress(json!({ "dnsPorts": [5300] })), json!([{ "ports": both(5300) }, targets]));
    // A rule without ports would apply to all of them.
    assert_eq!(egress(json!({ "dnsPorts": [] })), json!([targets]));
    assert_eq!(egress(json!({ "egress": [] })), json!([{}]));
}

/// The operator rejects a monitor whose timeout is longer than its interval, so there is no default.
#[test]
fn monitors_have_the_configured_timeout() {
    let Some(tools) = Tools::find() else { return };
    for (key, kind, endpoints) in
        [("serviceMonitor", "ServiceMonitor", "endpoints"), ("podMonitor", "PodMonitor", "podMetricsEndpoints")]
    {
        let mut monitor = json!({ "enabled": true, "interval": "5s" });
        let endpoint = |monitor: &Value| tools.one(kind, &json!({ key: monitor }))["spec"][endpoints][0].clone();
        assert_eq!(endpoint(&monitor).get("scrapeTimeout"), None, "{kind}");
        monitor["scrapeTimeout"] = json!("4s");
        assert_eq!(endpoint(&monitor)["scrapeTimeout"], "4s", "{kind}");
    }
}

/// An instance whose name changes with a restart is another one for alerts.
#[test]
fn stable_pods_have_stable_instances() {
    let Some(tools) = Tools::find() else { return };
    let relabelings = |kind| {
        let monitor = tools.one("PodMonitor", &json!({ "kind": kind, "podMonitor": { "enabled": true } }));
        monitor["spec"]["podMetricsEndpoints"][0]["relabelings"].clone()
    };
    let instance = |label| json!({ "sourceLabels": ["__meta_kubernetes_namespace", label], "separator": "/", "targetLabel": "instance" });
    assert_eq!(relabelings("Deployment"), Value::Null);
    assert_eq!(relabelings("StatefulSet"), json!([instance("__meta_kubernetes_pod_name")]));
    let of_a_node = instance("__meta_kubernetes_pod_node_name");
    assert_eq!(relabelings("DaemonSet"), json!([of_a_node, { "action": "labeldrop", "regex": "pod" }]));
}

/// With TLS, the kubelet and Prometheus use HTTPS; without, HTTP.
#[test]
fn probes_and_monitors_follow_the_web_configuration() {
    let Some(tools) = Tools::find() else { return };
    let tls = json!({ "tls_server_config": { "cert_file": "/a/tls.crt", "key_file": "/a/tls.key" } });
    for (web_config, expected) in [
        (json!({}), None),
        (json!({ "config": { "basic_auth_users": { "a": "b" } } }), None),
        (json!({ "existingSecret": "a", "tls": false }), None),
        (json!({ "config": tls }), Some("https")),
        (json!({ "existingSecret": "a" }), Some("https")),
    ] {
        for (monitor, kind) in [("serviceMonitor", "ServiceMonitor"), ("podMonitor", "PodMonitor")] {
            let values = json!({
                "webConfig": web_config,
                monitor: { "enabled": true },
                "startupProbe": { "httpGet": { "path": "/-/ready", "port": "http" } },
            });
            let objects = tools.rendered(&values);
            let deployment = &of_kind(&objects, "Deployment")[0];
            let container = &deployment["spec"]["template"]["spec"]["containers"][0];
            for probe in ["livenessProbe", "readinessProbe", "startupProbe"] {
                let scheme = container[probe]["httpGet"].get("scheme").and_then(Value::as_str);
                assert_eq!(scheme, expected.map(|_| "HTTPS"), "{web_config}: {probe}");
            }
            let spec = &of_kind(&objects, kind)[0]["spec"];
            let endpoint = spec.get("endpoints").or_else(|| spec.get("podMetricsEndpoints")).unwrap();
            assert_eq!(endpoint[0].get("scheme").and_then(Value::as_str), expected, "{web_config}: {kind}");
            let is_mounted = container.to_string().contains("/etc/portprobe-web");
            let has_flag = arguments(container).contains(&"--web.config.file=/etc/portprobe-web/web.yml");
            assert_eq!((is_mounted, has_flag), (web_config != json!({}), is_mounted), "{web_config}");
        }
    }
}

#[test]
fn probes_and_monitors_follow_the_external_url() {
    let Some(tools) = Tools::find() else { return };
    for (url, prefix) in [("https://a.example/x/y/", "/x/y"), ("https://a.example", ""), ("", "")] {
        for (monitor, kind) in [("serviceMonitor", "ServiceMonitor"), ("podMonitor", "PodMonitor")] {
            let values = json!({
                "externalUrl": url,
                "webConfig": { "config": { "basic_auth_users": { "a": "b" } } },
                monitor: { "enabled": true },
            });
            let objects = tools.rendered(&values);
            let container = &of_kind(&objects, "Deployment")[0]["spec"]["template"]["spec"]["containers"][0];
            let flag = format!("--web.external-url={url}");
            assert_eq!(arguments(container).contains(&flag.as_str()), !url.is_empty());
            for (probe, path) in [("livenessProbe", "/-/healthy"), ("readinessProbe", "/-/ready")] {
                assert_eq!(container[probe]["httpGet"]["path"], format!("{prefix}{path}"), "{url}");
            }
            let spec = &of_kind(&objects, kind)[0]["spec"];
            let endpoint = spec.get("endpoints").or_else(|| spec.get("podMetricsEndpoints")).unwrap();
            assert_eq!(endpoint[0]["path"], format!("{prefix}/metrics"), "{url}");
            let test = &of_kind(&objects, "Pod")[0]["spec"]["containers"][0];
            assert!(arguments(test).last().unwrap().ends_with(&format!(":10115{prefix}/-/ready")), "{test}");
            let secrets = of_kind(&objects, "Secret");
            let web_config = secrets[0]["stringData"]["web.yml"].as_str().unwrap();
            let web_config: Value = serde_yaml::from_str(web_config).unwrap();
            let excluded = [format!("{prefix}/-/healthy"), format!("{prefix}/-/ready")];
            assert_eq!(web_config["auth_excluded_paths"], json!(excluded), "{url}");
        }
    }
}

/// The kubelet has no password and no certificate.
#[test]
fn the_kubelet_needs_no_password() {
    let Some(tools) = Tools::find() else { return };
    let users = json!({ "basic_auth_users": { "a": "b" }, "auth_excluded_paths": ["/metrics", "/-/ready"] });
    let secret = |config: &Value| {
        let objects = tools.rendered(&json!({ "webConfig": { "config": config } }));
        let secrets = of_kind(&objects, "Secret");
        assert_eq!(secrets[0]["metadata"]["name"], "portprobe-web");
        serde_yaml::from_str::<Value>(secrets[0]["stringData"]["web.yml"].as_str().unwrap()).unwrap()
    };
    assert_eq!(secret(&users)["auth_excluded_paths"], json!(["/metrics", "/-/ready", "/-/healthy"]));
    let headers = json!({ "http_server_config": { "headers": { "X-Frame-Options": "deny" } } });
    assert_eq!(secret(&headers), headers);
}

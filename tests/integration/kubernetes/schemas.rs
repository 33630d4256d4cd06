//! All objects against the strict schemas of Kubernetes and the types of the Prometheus operator.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use super::{Tools, all_objects, everything, of_kind, output, root};

/// The oldest supported version, and the newest with available schemas.
const VERSIONS: [&str; 2] = ["1.28", "1.37"];

/// A place in an object, its invalid value, and the expected error.
#[rustfmt::skip]
const MISTAKES: [(&str, &str, &str, &str, &str); 9] = [
    ("Deployment", "/spec", "replicas", "\"2\"", "spec.replicas"),
    ("Deployment", "/spec/template/spec", "hostnetwork", "true", "hostnetwork"),
    ("Deployment", "/spec/template/spec/containers/0/securityContext", "privilegeEscalation", "false", "privilegeEscalation"),
    ("Service", "/spec/ports/0", "port", "\"http\"", "port"),
    ("ServiceMonitor", "/spec/endpoints/0", "intervall", "\"30s\"", "'\"intervall\"' does not exist"),
    ("ServiceMonitor", "/spec/endpoints/0", "interval", "\"30\"", "interval must match pattern"),
    ("ServiceMonitor", "/spec/endpoints/0/relabelings/0", "action", "\"rename\"", "Type '\"rename\"' is not assignable"),
    ("PrometheusRule", "/spec/groups/0/rules/0", "severity", "\"info\"", "'\"severity\"' does not exist"),
    ("PrometheusRule", "/spec/groups/0/rules/0", "keep_firing_for", "\"soon\"", "keep_firing_for must match pattern"),
];

#[test]
fn kubernetes_accepts_all_objects() {
    let Some(tools) = Tools::find() else { return };
    for (name, objects) in everything(&tools) {
        for version in VERSIONS {
            assert_eq!(kubernetes_faults(&tools, objects, version), json!([]), "{name} under {version}");
        }
    }
}

#[test]
fn the_operator_accepts_all_objects() {
    let Some(tools) = Tools::find() else { return };
    let objects: Vec<_> = everything(&tools)
        .values()
        .flatten()
        .filter(|object| is_operators(object))
        .cloned()
        .collect();
    for kind in ["ServiceMonitor", "PodMonitor", "PrometheusRule"] {
        assert!(!of_kind(&objects, kind).is_empty(), "{kind}");
    }
    let faults = operator_faults(&tools, &objects);
    assert!(faults.is_empty(), "{faults}");
}

#[test]
fn a_release_name_may_be_a_number() {
    let Some(tools) = Tools::find() else { return };
    let values = json!({ "kind": "StatefulSet", "releaseLabel": true, "serviceMonitor": { "enabled": true } });
    let objects = |release| all_objects(&tools.try_render(release, &values).unwrap());
    let objects: Vec<_> = ["123", "true"].into_iter().flat_map(objects).collect();
    assert_eq!(kubernetes_faults(&tools, &objects, VERSIONS[1]), json!([]));
    let monitors: Vec<_> = objects.into_iter().filter(is_operators).collect();
    let faults = operator_faults(&tools, &monitors);
    assert!(faults.is_empty() && monitors.len() == 2, "{faults}");
}

#[test]
fn schemas_reject_mistakes() {
    let Some(tools) = Tools::find() else { return };
    let values = json!({
        "serviceMonitor": { "enabled": true, "relabelings": [{ "action": "drop" }] },
        "prometheusRule": { "enabled": true, "files": ["targets"] },
    });
    let objects = tools.rendered(&values);
    for (kind, place, key, value, error) in MISTAKES {
        let mut object = of_kind(&objects, kind).remove(0);
        object.pointer_mut(place).unwrap()[key] = serde_json::from_str(value).unwrap();
        let errors = if is_operators(&object) {
            operator_faults(&tools, &[object])
        } else {
            kubernetes_faults(&tools, &[object], VERSIONS[1]).to_string()
        };
        assert!(errors.contains(error), "{kind}{place}/{key}: {error}: {errors}");
    }
}

#[test]
fn all_objects_fit_into_an_annotation() {
    let Some(tools) = Tools::find() else { return };
    for (name, objects) in everything(&tools) {
        for object in objects {
            // `kubectl apply` stores the object in an annotation, which is limited to 256 KiB.
            let size = object.to_string().len();
            assert!(size < 250_000, "{name}: {}: {size}", object["metadata"]["name"]);
        }
    }
}

fn is_operators(object: &Value) -> bool {
    object["apiVersion"].as_str().unwrap().starts_with("monitoring.coreos.com/")
}

/// The errors of this version of Kubernetes for objects of its kinds.
fn kubernetes_faults(tools: &Tools, objects: &[Value], version: &str) -> Value {
    let own: Vec<_> = objects.iter().filter(|object| !is_operators(object)).collect();
    tools.run("validate", &json!({ "objects": own, "version": version }))
}

/// The errors of objects of the operator: from the TypeScript compiler, which knows every key, and from the schemas, which
/// know the format of values.
fn operator_faults(tools: &Tools, objects: &[Value]) -> String {
    let folder = tempfile::tempdir_in(&tools.0).unwrap();
    fs::copy(root("tests/resources/kubernetes/operator.mjs"), folder.path().join("operator.mjs")).unwrap();
    let mut node = Command::new("node");
    node.arg(folder.path().join("operator.mjs"));
    compiled(&tools.0, folder.path(), objects) + &output(node, &json!(objects))
}

/// The errors of the compiler for these objects.
fn compiled(tools: &Path, folder: &Path, objects: &[Value]) -> String {
    for (number, object) in objects.iter().enumerate() {
        let kind = object["kind"].as_str().unwrap();
        let types = format!("@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1/{kind}");
        let text = format!("import type {{ I{kind} }} from '{types}';\nexport const it: I{kind} = {object:#};\n");
        fs::write(folder.join(format!("object-{number}.ts")), text).unwrap();
    }
    let options = json!({
        "compilerOptions": {
            "module": "esnext", "moduleResolution": "bundler", "noEmit": true, "skipLibCheck": true, "strict": true,
            "types": [],
        },
    });
    fs::write(folder.join("tsconfig.json"), options.to_string()).unwrap();
    let output = Command::new(tools.join("node_modules/.bin/tsc"))
        .current_dir(folder)
        .output()
        .unwrap();
    let errors = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.success(), errors.is_empty(), "{errors}{}", String::from_utf8_lossy(&output.stderr));
    errors
}

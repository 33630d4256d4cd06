//! `alerts/mixin.libsonnet`: the same rules and dashboards as the files, and what its configuration changes.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::slice;

use regex::Regex;
use serde_json::Value;

use super::{list, promtool, read, rule_files};
use crate::support::requires_program;
use crate::support::services::promtool_programs;

/// Every setting, with another value than its default.
const CHANGED: &str = r#"{ _config+:: {
    portprobeSelector: 'job="x"',
    runbookUrl: 'https://wiki.example.org/portprobe.md',
    dashboardUrl: 'https://charts.example.org',
    ruleFiles+: ['blackbox-names'],
    severities: { PortprobePacketLoss: 'info' },
    thresholds+: {
        availabilityObjective: 0.9995, certificateExpiringDays: 45, certificateExpiresSoonDays: 10,
        lateSeconds: 2.5, outagesPerHour: 5, packetLoss: 0.1, skippedProbes: 0.05,
    },
} }"#;

#[test]
fn the_default_mixin_equals_the_files() {
    let Some(mixin) = evaluated("{}") else { return };
    let mut expected: Vec<Value> = Vec::new();
    for file in rule_files().iter().filter(|file| !file.ends_with("blackbox-names.yaml")) {
        expected.extend(list(&read(file), "groups").map(|group| serde_json::to_value(group).unwrap()));
    }
    assert_eq!(sorted(groups(&mixin)), sorted(expected));
    for (name, dashboard) in mixin["grafanaDashboards"].as_object().unwrap() {
        let file = fs::read_to_string(root().join("dashboards").join(name)).unwrap();
        let file = serde_json::from_str(&file).unwrap();
        assert!(normalised(dashboard.clone()) == normalised(file), "{name}");
    }
    let files = fs::read_dir(root().join("dashboards"))
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let dashboards = files
        .filter(|file| file.extension().is_some_and(|extension| extension == "json"))
        .count();
    assert_eq!(mixin["grafanaDashboards"].as_object().unwrap().len(), dashboards);
}

#[test]
fn the_selector_is_at_each_series() {
    let Some(mixin) = evaluated(CHANGED) else { return };
    let series = Regex::new(r#"(^|[^a-z0-9_:"])portprobe_[a-z0-9_]+(\{job="x"[,}])?"#).unwrap();
    let groups = groups(&mixin);
    let expressions: Vec<_> = rules(&groups).map(|rule| rule["expr"].as_str().unwrap()).collect();
    assert!(expressions.len() > 80, "{}", expressions.len());
    for expression in expressions {
        for found in series.captures_iter(expression) {
            assert!(found.get(2).is_some(), "{} of {expression}", &found[0]);
        }
    }
}

#[test]
fn promtool_accepts_a_changed_mixin() {
    let Some(mixin) = evaluated(CHANGED) else { return };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("rules.json");
    fs::write(&file, serde_json::json!({ "groups": groups(&mixin) }).to_string()).unwrap();
    for tool in promtool_programs() {
        let (accepted, printed) =
            promtool(&tool, &["check", "rules", "--lint=all", "--lint-fatal"], slice::from_ref(&file));
        assert!(accepted, "{}:\n{printed}", tool.display());
    }
}

#[test]
fn thresholds_severities_and_links_are_configurable() {
    let Some(mixin) = evaluated(CHANGED) else { return };
    let groups = groups(&mixin);
    let rule = |name: &str| {
        rules(&groups)
            .find(|rule| rule["alert"] == name || rule["record"] == name)
            .unwrap()
    };
    for (name, changed) in [
        ("portprobe:availability_objective:ratio", "vector(0.9995)"),
        ("PortprobeCertificateExpiring", "< 45 * 86400"),
        ("PortprobeCertificateExpiresSoon", "< 10 * 86400"),
        ("PortprobeLate", "> 2.5"),
        ("PortprobeTargetFlapping", ">= 5"),
        ("PortprobePacketLoss", "> 0.1"),
        ("PortprobeSkippingProbes", "> 0.05"),
    ] {
        assert!(rule(name)["expr"].as_str().unwrap().contains(changed), "{}", rule(name));
    }
    let description = rule("PortprobeCertificateExpiring")["annotations"]["description"]
        .as_str()
        .unwrap();
    assert!(description.contains("less than 45 days left"), "{description}");
    assert_eq!(rule("PortprobePacketLoss")["labels"]["severity"], "info");
    for alert in rules(&groups).filter(|rule| rule.get("alert").is_some()) {
        let annotation = |key: &str| alert["annotations"][key].as_str().unwrap();
        assert!(annotation("runbook_url").starts_with("https://wiki.example.org/portprobe.md#"), "{alert}");
        assert!(annotation("dashboard_url").starts_with("https://charts.example.org/d/portprobe-"), "{alert}");
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The mixin with this addition; the test is skipped without jsonnet.
fn evaluated(addition: &str) -> Option<Value> {
    requires_program("jsonnet").then_some(())?;
    let mut jsonnet = Command::new("jsonnet");
    // The fields of a mixin are hidden, so that a user selects the output.
    let fields =
        ["prometheusAlerts", "prometheusRules", "grafanaDashboards"].map(|field| format!("{field}: mixin.{field}"));
    let program = format!("local mixin = (import 'alerts/mixin.libsonnet') + {addition}; {{ {} }}", fields.join(", "));
    jsonnet.current_dir(root()).args(["--exec", &program]);
    let output = jsonnet.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(serde_json::from_slice(&output.stdout).unwrap())
}

/// All groups of the mixin.
fn groups(mixin: &Value) -> Vec<Value> {
    let all = ["prometheusAlerts", "prometheusRules"].map(|key| mixin[key]["groups"].as_array().unwrap().clone());
    all.concat()
}

fn rules(groups: &[Value]) -> impl Iterator<Item = &Value> {
    groups.iter().flat_map(|group| group["rules"].as_array().unwrap())
}

/// In the order of names.
fn sorted(groups: Vec<Value>) -> Vec<Value> {
    let mut groups: Vec<_> = groups.into_iter().map(normalised).collect();
    groups.sort_by_key(|group| group["name"].as_str().unwrap().to_owned());
    groups
}

/// With single blanks, because parsers of YAML differ in the white space of folded texts, and with rounded numbers, because
/// Jsonnet prints 17 digits, which `serde_json` reads inexactly.
fn normalised(value: Value) -> Value {
    match value {
        Value::String(text) => Value::String(text.split_whitespace().collect::<Vec<_>>().join(" ")),
        Value::Array(values) => values.into_iter().map(normalised).collect(),
        Value::Object(values) => values.into_iter().map(|(key, value)| (key, normalised(value))).collect(),
        Value::Number(number) => format!("{:.9}", number.as_f64().unwrap()).into(),
        other => other,
    }
}

//! Failures by reason in the dashboard of a target, as promtool evaluates the query.

use std::fs;
use std::process::Command;

use serde_json::{Value, json};

use crate::support::dashboards::{Dashboard, substituted};
use crate::support::services::promtool_programs;

const VALUES: [(&str, &str); 6] = [
    ("__rate_interval", "60s"),
    ("instance", ".+"),
    ("region", ".*"),
    ("target", "shop"),
    ("group", ".*"),
    ("job", ".+"),
];

/// Every 15 s a sample and a probe. An old reason, one that fails once after 10 minutes, and a reason of a target that is
/// new to Prometheus, with a counter that is not.
const SERIES: [(&str, &str, &str); 9] = [
    ("portprobe_target_info", "", "1x100"),
    ("portprobe_probes_total", "", "20+1x100"),
    ("portprobe_probe_failures_total", "", "7x39 8x60"),
    ("portprobe_failures_total", r#", phase="connect", class="timeout""#, "7x100"),
    ("portprobe_failures_total", r#", phase="tls", class="stalled""#, "_x40 1x60"),
    ("portprobe_target_info", r#", instance="new""#, "_x40 1x60"),
    ("portprobe_probes_total", r#", instance="new""#, "_x40 50x60"),
    ("portprobe_probe_failures_total", r#", instance="new""#, "_x40 50x60"),
    ("portprobe_failures_total", r#", instance="new", phase="connect", class="refused""#, "_x40 50x60"),
];

#[test]
fn the_first_failure_of_a_reason_is_shown() {
    let dashboards = Dashboard::all();
    let panels = dashboards.iter().flat_map(Dashboard::panels);
    let panel = panels
        .into_iter()
        .find(|panel| panel.title() == "Failed probes by reason")
        .unwrap();
    let shown = substituted(panel.targets()[0].expression(), &VALUES);
    let none = json!([]);
    let stalled = json!([{ "labels": r#"{phase="tls", class="stalled"}"#, "value": 0.25 }]);
    let rate = "rate(portprobe_failures_total[60s]) > 0";
    let checks = [
        check(&shown, "9m45s", &none),
        check(&shown, "10m", &stalled),
        check(&shown, "10m45s", &stalled),
        check(&shown, "11m", &none),
        check(rate, "10m45s", &none),
    ];
    assert_promtool_accepts(&json!({
        "tests": [{ "interval": "15s", "input_series": series(), "promql_expr_test": checks }],
    }));
}

fn series() -> Vec<Value> {
    let series = SERIES.map(|(name, labels, values)| {
        let instance = if labels.contains("instance") { "" } else { r#", instance="old""# };
        json!({ "series": format!(r#"{name}{{job="portprobe", target="shop"{instance}{labels}}}"#), "values": values })
    });
    series.to_vec()
}

fn check(expression: &str, at: &str, expected: &Value) -> Value {
    json!({ "expr": expression, "eval_time": at, "exp_samples": expected })
}

fn assert_promtool_accepts(tests: &Value) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tests.json");
    fs::write(&file, tests.to_string()).unwrap();
    for tool in promtool_programs() {
        let output = Command::new(&tool).args(["test", "rules"]).arg(&file).output().unwrap();
        assert!(output.status.success(), "{}: {}", tool.display(), String::from_utf8_lossy(&output.stderr));
    }
}

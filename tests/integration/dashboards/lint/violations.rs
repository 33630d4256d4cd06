//! Each rule finds its violation in a dashboard that is valid except for one place.

use serde_json::{Value, json};

use super::RULES;
use crate::support::dashboards::Dashboard;

const EXPRESSION: &str = "/panels/1/targets/0/expr";

/// A rule, the changed place, the invalid value, and the violation.
#[rustfmt::skip]
const VIOLATIONS: [(&str, &str, &str, &str); 33] = [
    ("template-datasource", "/templating/list/0/query", r#""loki""#, "its query is not prometheus"),
    ("template-datasource", "/templating/list/0/type", r#""custom""#, "0 data source variables"),
    ("template-job", "/templating/list/1/allValue", r#"".*""#, r#"allValue of job is not ".+""#),
    ("template-job", "/templating/list/1/name", r#""jobs""#, "no variable job"),
    ("template-instance", "/templating/list/2/multi", "false", "multi of instance is not true"),
    ("template-label-promql", "/templating/list/1/query/query", r#""label_values(x{, job)""#, "job: "),
    ("template-label-promql", "/templating/list/1/query/query", r#""query_result(x)""#, "job: no label_values(selector, label)"),
    ("template-on-time-change-reload", "/templating/list/2/refresh", "1", "instance: refresh is not 2"),
    ("panel-datasource", "/panels/1/datasource/uid", r#""prometheus""#, r#""Down": does not use the selected data source"#),
    ("panel-title-description", "/panels/1/description", r#""""#, r#""Down": has no title or no description"#),
    ("panel-units", "/panels/1/fieldConfig/defaults/unit", r#""""#, r#""Down": has no unit"#),
    ("panel-no-targets", "/panels/1/targets", "[]", r#""Down": has no query"#),
    ("target-promql", EXPRESSION, r#""sum(""#, r#""Down" A: "#),
    ("target-rate-interval", EXPRESSION, r#""rate(portprobe_probes_total{job=~\"$job\", instance=~\"$instance\"}[5m])""#, r#""Down" A: portprobe_probes_total has a rate over another range than $__rate_interval"#),
    ("target-job", EXPRESSION, r#""up{instance=~\"$instance\"}""#, r#""Down" A: up does not select the job"#),
    ("target-job", EXPRESSION, r#""hour:portprobe_outages:increase30d""#, r#""Down" A: hour:portprobe_outages:increase30d does not select the job"#),
    ("target-instance", EXPRESSION, r#""up{job=~\"$job\", instance=\"$instance\"}""#, r#""Down" A: up does not select the instance"#),
    ("target-counter-agg", EXPRESSION, r#""max_over_time(portprobe_probes_total{job=~\"$job\", instance=~\"$instance\"}[1h])""#, r#""Down" A: portprobe_probes_total is a counter outside of rate, irate and increase"#),
    ("uneditable-dashboard", "/editable", "true", "is editable"),
    ("provisionable", "/uid", r#""of-more-than-forty-characters-in-this-text""#, "its uid is empty or longer than 40 characters"),
    ("provisionable", "/schemaVersion", "41", "schemaVersion is not 42"),
    ("panel-ids", "/panels/1/id", "1", r#""Down": duplicate id"#),
    ("panel-grid", "/panels/1/gridPos/y", "0", r#""Down": overlaps"#),
    ("panel-grid", "/panels/1/gridPos/w", "23", "line 1 is not filled"),
    ("panel-grid", "/panels/1/gridPos/x", "1", r#""Down": exceeds the grid"#),
    ("panel-columns", "/panels/1/options/sortBy/0/displayName", r#""target""#, r#""Down": sorts or formats an unknown column"#),
    ("panel-columns", "/panels/1/fieldConfig/overrides/0/matcher/options", r#""Value""#, r#""Down": sorts or formats an unknown column"#),
    ("target-datasource", "/panels/1/targets/0/datasource", "{}", r#""Down" A: does not use the selected data source"#),
    ("metric-names", EXPRESSION, r#""portprobe_ups{job=~\"$job\", instance=~\"$instance\"}""#, r#""Down" A: unknown metric portprobe_ups"#),
    ("metric-names", "/templating/list/1/query/query", r#""label_values(portprobe_builds, job)""#, "unknown metric portprobe_builds"),
    ("label-names", EXPRESSION, r#""portprobe_up{job=~\"$job\", instance=~\"$instance\", group=~\"$group\"}""#, r#""Down" A: unknown label group on portprobe_up"#),
    ("label-names", EXPRESSION, r#""sum by (class) (portprobe_up{job=~\"$job\", instance=~\"$instance\"})""#, r#""Down" A: unknown label class on portprobe_up"#),
    ("links", "/links/0/url", r#""/d/portprobe-overviews?x=1""#, "/d/portprobe-overviews?x=1 leads nowhere"),
];

fn valid() -> Value {
    let datasource = json!({ "type": "prometheus", "uid": "${datasource}" });
    let variable = |name: &str, label: &str| {
        json!({
            "name": name, "label": label, "type": "query", "datasource": datasource, "multi": true, "includeAll": true,
            "allValue": ".+", "refresh": 2, "query": { "query": format!("label_values(portprobe_build_info, {name})") },
        })
    };
    json!({
        "editable": false, "graphTooltip": 1, "id": null, "schemaVersion": 42, "tags": ["portprobe"],
        "timezone": "browser", "uid": "small", "links": [{ "targetBlank": false, "url": "/d/portprobe-overview" }],
        "templating": { "list": [
            { "name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus" },
            variable("job", "Job"), variable("instance", "Prober"),
        ] },
        "panels": [{ "id": 1, "type": "row", "title": "Now", "gridPos": { "x": 0, "y": 0, "w": 24, "h": 1 } }, {
            "id": 2, "type": "stat", "title": "Down", "description": "Targets that are down.", "datasource": datasource,
            "gridPos": { "x": 0, "y": 1, "w": 24, "h": 1 }, "options": { "sortBy": [{ "displayName": "Target" }] },
            "fieldConfig": {
                "defaults": { "unit": "none" },
                "overrides": [{ "matcher": { "id": "byName", "options": "Down" } }],
            },
            "transformations": [{ "id": "organize", "options": {
                "indexByName": { "target": 0, "Down": 1 }, "renameByName": { "target": "Target" },
            } }],
            "targets": [{
                "refId": "A", "datasource": datasource,
                "expr": "sum by (target) (portprobe_up{job=~\"$job\", instance=~\"$instance\"})",
            }],
        }],
    })
}

fn violations(dashboard: Value) -> Vec<(&'static str, String)> {
    let dashboard = Dashboard(dashboard);
    let found = RULES
        .iter()
        .flat_map(|rule| (rule.check)(&dashboard).into_iter().map(|violation| (rule.name, violation)));
    found.collect()
}

#[test]
fn a_valid_dashboard_breaks_no_rule() {
    assert_eq!(violations(valid()), []);
}

#[test]
fn every_rule_finds_its_violation() {
    for (rule, place, value, expected) in VIOLATIONS {
        let mut dashboard = valid();
        *dashboard.pointer_mut(place).unwrap() = serde_json::from_str(value).unwrap();
        let found = violations(dashboard);
        let reported = found
            .iter()
            .any(|(by, violation)| *by == rule && violation.starts_with(expected));
        assert!(reported, "{rule} does not report {expected:?} for {place} = {value}: {found:#?}");
    }
    for rule in RULES {
        assert!(VIOLATIONS.iter().any(|(by, ..)| *by == rule.name), "no violation of {}", rule.name);
    }
}

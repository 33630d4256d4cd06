//! Each rule finds its violation in a dashboard that is valid except for one place.

use portprobe::outcome::Class;
use serde_json::{Map, Value, json};

use super::RULES;
use super::reasons::TO_REASON;
use crate::support::dashboards::Dashboard;

const EXPRESSION: &str = "/panels/1/targets/0/expr";

/// A rule, the changed place, the invalid value, and the violation.
#[rustfmt::skip]
const VIOLATIONS: [(&str, &str, &str, &str); 50] = [
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
    ("panel-colors", "/panels/2/fieldConfig/defaults/color/mode", r#""palette-classic-by-name""#, r#""Down now": has colours that may be equal"#),
    ("panel-no-targets", "/panels/1/targets", "[]", r#""Down": has no query"#),
    ("target-promql", EXPRESSION, r#""sum(""#, r#""Down" A: "#),
    ("target-rate-interval", EXPRESSION, r#""rate(portprobe_probes_total{job=~\"$job\", instance=~\"$instance\"}[5m])""#, r#""Down" A: portprobe_probes_total has a rate over another range than $__rate_interval"#),
    ("target-job", EXPRESSION, r#""up{instance=~\"$instance\"}""#, r#""Down" A: up does not select the job"#),
    ("target-job", EXPRESSION, r#""hour:portprobe_outages:increase30d""#, r#""Down" A: hour:portprobe_outages:increase30d does not select the job"#),
    ("target-instance", EXPRESSION, r#""up{job=~\"$job\", instance=\"$instance\"}""#, r#""Down" A: up does not select the instance"#),
    ("target-counter-agg", EXPRESSION, r#""max_over_time(portprobe_probes_total{job=~\"$job\", instance=~\"$instance\"}[1h])""#, r#""Down" A: portprobe_probes_total is a counter outside of rate, irate and increase"#),
    ("template-filters", "/templating/list/3/type", r#""custom""#, "0 ad hoc variables"),
    ("editable-dashboard", "/editable", "false", "is not editable"),
    ("provisionable", "/uid", r#""of-more-than-forty-characters-in-this-text""#, "its uid is empty or longer than 40 characters"),
    ("provisionable", "/schemaVersion", "42", "schemaVersion is not 38"),
    ("panel-ids", "/panels/1/id", "1", r#""Down": duplicate id"#),
    ("panel-grid", "/panels/1/gridPos/y", "0", r#""Down": overlaps"#),
    ("panel-grid", "/panels/1/gridPos/w", "3", "line 1 is not filled"),
    ("panel-grid", "/panels/1/gridPos/x", "21", r#""Down": exceeds the grid"#),
    ("panel-columns", "/panels/2/options/sortBy/0/displayName", r#""class""#, r#""Down now": sorts or formats an unknown column"#),
    ("panel-columns", "/panels/2/fieldConfig/overrides/2/matcher/options", r#""Value""#, r#""Down now": sorts or formats an unknown column"#),
    ("table-units", "/panels/2/fieldConfig/defaults/unit", r#""dateTimeAsIso""#, r#""Down now": has a unit for all columns"#),
    ("table-empty-cells", "/panels/2/fieldConfig/overrides/0/matcher/options", r#""time""#, r#""Down now": has empty cells with its text"#),
    ("table-lines", "/panels/2/gridPos/h", "8", r#""Down now": has more lines than it can show"#),
    ("table-pages", "/panels/2/options/enablePagination", "true", r#""Down now": has different pagers by version of Grafana"#),
    ("table-filters", "/panels/2/fieldConfig/defaults/custom/filterable", "true", r#""Down now": has filters"#),
    ("stat-without-data", "/panels/1/fieldConfig/defaults/mappings/0/options/result/color", r#""green""#, r#""Down": is not grey without data"#),
    ("stat-without-data", "/panels/1/fieldConfig/defaults/mappings", "[]", r#""Down": is not grey without data"#),
    ("stat-single", "/panels/1/targets/0/legendFormat", r#""{{target}}""#, r#""Down": has several numbers"#),
    ("stat-titles", "/panels/1/title", r#""A title of 25 characters.""#, r#""A title of 25 characters.": has a title that does not fit"#),
    ("reason-colors", "/panels/2/fieldConfig/defaults/color/mode", r#""palette-classic""#, r#""Down now": has colours that depend on the reasons that occur"#),
    ("reason-order", "/panels/2/options/legend/sortDesc", "false", r#""Down now": has a legend that does not begin with the most frequent reason"#),
    ("reason-words", "/panels/2/fieldConfig/overrides/2/properties/0/value/0/options/stalled", "{}", r#""Down now": has classes without words or link"#),
    ("reason-words", "/panels/2/fieldConfig/overrides/2/properties/1/value/0/url", r#""/stalled""#, r#""Down now": has classes without words or link"#),
    ("annotations", "/annotations/list/2/name", r#""Builds""#, "no annotation Reloads"),
    ("annotations", "/annotations/list/3/expr", r#""sum(""#, "Restarts: "),
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
    let annotation = |name: &str| json!({ "name": name, "datasource": datasource, "expr": "up", "type": Value::Null });
    json!({
        "editable": true, "graphTooltip": 1, "id": null, "schemaVersion": 38, "tags": ["portprobe"],
        "timezone": "browser", "uid": "small", "links": [{ "targetBlank": false, "url": "/d/portprobe-overview" }],
        "annotations": { "list": [
            { "builtIn": 1 }, annotation("Alerts"), annotation("Reloads"), annotation("Restarts"),
        ] },
        "templating": { "list": [
            { "name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus" },
            variable("job", "Job"), variable("instance", "Prober"), { "name": "filters", "type": "adhoc" },
        ] },
        "panels": [
            { "id": 1, "type": "row", "title": "Now", "gridPos": { "x": 0, "y": 0, "w": 24, "h": 1 } },
            stat(&datasource), table(&datasource),
        ],
    })
}

fn stat(datasource: &Value) -> Value {
    json!({
        "id": 2, "type": "stat", "title": "Down", "description": "Targets that are down.", "datasource": datasource,
        "gridPos": { "x": 0, "y": 1, "w": 4, "h": 9 }, "options": {},
        "fieldConfig": {
            "defaults": { "unit": "none", "noValue": "no targets", "mappings": [{
                "type": "special",
                "options": { "match": "null+nan", "result": { "color": "#808080", "text": "no targets" } },
            }] },
        },
        "targets": [{
            "refId": "A", "datasource": datasource, "legendFormat": "Down",
            "expr": "sum by (target) (portprobe_up{job=~\"$job\", instance=~\"$instance\"})",
        }],
    })
}

fn table(datasource: &Value) -> Value {
    let blank = |kind: &str| json!({ "matcher": { "id": "byType", "options": kind }, "properties": [{ "id": "noValue", "value": "" }] });
    let words: Map<_, _> = Class::ALL
        .iter()
        .map(|class| (class.as_str().to_owned(), json!({ "text": "in words" })))
        .collect();
    json!({
        "id": 3, "type": "table", "title": "Down now", "description": "All of them.", "datasource": datasource,
        "gridPos": { "x": 4, "y": 1, "w": 20, "h": 9 }, "options": {
            "enablePagination": false, "footer": { "enablePagination": false }, "sortBy": [{ "displayName": "Reason" }],
            "legend": { "sortBy": "Last *", "sortDesc": true },
        },
        "fieldConfig": {
            "defaults": {
                "color": { "mode": "fixed" }, "custom": { "filterable": false }, "noValue": "none", "unit": "none",
            },
            "overrides": [blank("string"), blank("number"), {
                "matcher": { "id": "byName", "options": "Reason" },
                "properties": [
                    { "id": "mappings", "value": [{ "type": "value", "options": words }] },
                    { "id": "links", "value": [{ "url": TO_REASON }] },
                ],
            }],
        },
        "transformations": [{ "id": "organize", "options": {
            "indexByName": { "class": 0 }, "renameByName": { "class": "Reason" },
        } }],
        "targets": [{
            "refId": "A", "datasource": datasource, "legendFormat": "{{class}}",
            "expr": "topk(7, portprobe_failure{job=~\"$job\", instance=~\"$instance\"})",
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

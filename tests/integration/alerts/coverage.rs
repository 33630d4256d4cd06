//! Every rule is tested and uses only existing metrics.

use std::collections::BTreeSet;

use regex::Regex;
use serde_yaml::Value;

use super::{alerts, list, read, rules, test_files, text};
use crate::support::promql;

const FAMILIES: &str = include_str!("../../resources/metrics/families.txt");

/// The tests of all files.
fn tests() -> Vec<Value> {
    test_files()
        .iter()
        .flat_map(|file| list(&read(file), "tests").cloned().collect::<Vec<_>>())
        .collect()
}

/// The names of the series that rules record.
fn recorded() -> BTreeSet<String> {
    let names = rules()
        .iter()
        .map(|rule| text(rule, "record").to_owned())
        .collect::<BTreeSet<_>>();
    names.into_iter().filter(|name| !name.is_empty()).collect()
}

#[test]
fn test_names_are_unique() {
    let tests = tests();
    let names: BTreeSet<_> = tests
        .iter()
        .map(|test| text(test, "name"))
        .filter(|name| !name.is_empty())
        .collect();
    assert_eq!(names.len(), tests.len());
}

/// Counts tests, not evaluation times.
#[test]
fn every_alert_has_firing_and_silent_tests() {
    let tests = tests();
    for alert in alerts() {
        let name = text(&alert, "alert");
        let checks: Vec<_> = tests
            .iter()
            .map(|test| checks_of(test, name))
            .filter(|checks| !checks.is_empty())
            .collect();
        let firing = checks.iter().filter(|checks| checks.contains(&true)).count();
        let silent = checks.len() - firing;
        assert!(firing >= 1 && silent >= 2, "{name} fires in {firing} tests and is silent in {silent}");
    }
}

#[test]
fn every_pending_alert_is_tested_before_it_fires() {
    let tests = tests();
    for alert in alerts().iter().filter(|alert| alert.get("for").is_some()) {
        let name = text(alert, "alert");
        let waits = |test| matches!(checks_of(test, name)[..], [false, true, ..] | [false, false, true, ..]);
        assert!(tests.iter().any(waits), "{name}");
    }
}

/// Whether an alert is expected to fire, for each check in a test.
fn checks_of(test: &Value, alert: &str) -> Vec<bool> {
    let checks = list(test, "alert_rule_test").filter(|check| text(check, "alertname") == alert);
    checks.map(|check| list(check, "exp_alerts").next().is_some()).collect()
}

#[test]
fn every_recorded_series_has_an_expected_value() {
    let tests = tests();
    let expressions: Vec<_> = tests
        .iter()
        .flat_map(|test| list(test, "promql_expr_test"))
        .filter(|check| list(check, "exp_samples").next().is_some())
        .map(|check| text(check, "expr"))
        .collect();
    let queried: BTreeSet<_> = expressions.iter().flat_map(|expression| names_in(expression)).collect();
    let missing: Vec<_> = recorded().difference(&queried).cloned().collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn rules_and_templates_use_existing_metrics() {
    let known: BTreeSet<_> = families()
        .chain(recorded())
        .chain(["up".to_owned(), "ALERTS".to_owned()])
        .collect();
    for rule in rules() {
        let templates = ["summary", "description"].map(|key| text(&rule["annotations"], key));
        let queries = templates.into_iter().flat_map(queries);
        for expression in [text(&rule, "expr").to_owned()].into_iter().chain(queries) {
            let names = names_in(&expression);
            assert!(names.iter().all(|name| known.contains(name)), "{names:?} of {expression}");
        }
    }
}

#[test]
fn tests_feed_existing_metrics() {
    let tests = tests();
    let known: BTreeSet<_> = families().chain(["up".to_owned(), "ALERTS".to_owned()]).collect();
    for series in tests.iter().flat_map(|test| list(test, "input_series")) {
        for name in names_in(text(series, "series")) {
            assert!(known.contains(&name), "{name}");
        }
    }
}

#[test]
fn names_are_found_in_nested_templates() {
    let expression =
        "1 - max by (a) (rate(b_total[5m] offset 1h) unless on (c) d{e=\"f\"}) / scalar(max_over_time(g[1d:1h]))";
    assert_eq!(names_in(expression), BTreeSet::from(["b_total", "d", "g"].map(String::from)));
    let description = "x {{ with printf `a{b=%q} > 0` $labels.b | query }}{{ . }}{{ end }} `no`";
    assert_eq!(queries(description), ["a{b=\"x\"} > 0"]);
}

/// The names of all series of portprobe, including those of histograms.
fn families() -> impl Iterator<Item = String> {
    FAMILIES.lines().flat_map(|line| {
        let mut words = line.split(' ');
        let (name, kind) = (words.next().unwrap(), words.next().unwrap());
        let suffixes: &[&str] = if kind == "histogram" { &["_bucket", "_count", "_sum"] } else { &[""] };
        suffixes.iter().map(move |suffix| format!("{name}{suffix}"))
    })
}

/// The query in a template, with values for the labels.
fn queries(template: &str) -> Vec<String> {
    let pattern = Regex::new("printf `([^`]*)`").unwrap();
    pattern
        .captures_iter(template)
        .map(|query| query[1].replace("%q", "\"x\""))
        .collect()
}

/// The names of the series that an expression reads.
fn names_in(expression: &str) -> BTreeSet<String> {
    let parsed = promql::parse(expression).unwrap_or_else(|error| panic!("{expression}: {error}"));
    promql::reads(&parsed).iter().map(|read| read.metric().to_owned()).collect()
}

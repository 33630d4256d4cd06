//! Labels, annotations and the runbook.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_yaml::Value;

use super::{alerts, list, read, rules, test_files, text};

fn names() -> Vec<String> {
    alerts().iter().map(|alert| text(alert, "alert").to_owned()).collect()
}

#[test]
fn names_are_unique() {
    let alerts = names();
    let unique: BTreeSet<_> = alerts.iter().collect();
    assert_eq!(unique.len(), alerts.len(), "{alerts:?}");
    let rules = rules();
    let recorded: Vec<_> = rules
        .iter()
        .map(|rule| (text(rule, "record"), format!("{:?}", rule["labels"])))
        .filter(|(name, _)| !name.is_empty())
        .collect();
    let unique: BTreeSet<_> = recorded.iter().collect();
    assert_eq!(unique.len(), recorded.len(), "{recorded:?}");
}

#[test]
fn severity_is_the_only_label_of_alerts() {
    for alert in alerts() {
        let labels = alert["labels"].as_mapping().unwrap();
        assert_eq!(labels.len(), 1, "{alert:?}");
        assert!(matches!(text(&alert["labels"], "severity"), "critical" | "warning" | "info"), "{alert:?}");
    }
}

#[test]
fn each_summary_is_one_line_with_values() {
    for alert in alerts() {
        let summary = text(&alert["annotations"], "summary");
        assert!(summary.starts_with(|first: char| first.is_ascii_uppercase() || first == '{'), "{summary}");
        assert!(!summary.ends_with(['.', ' ']) && !summary.contains('\n'), "{summary}");
        assert!(summary.contains("{{"), "{summary}");
    }
}

#[test]
fn each_description_differs_from_the_summary() {
    for alert in alerts() {
        let [summary, description] = ["summary", "description"].map(|key| text(&alert["annotations"], key).to_owned());
        assert!(!description.is_empty() && description != summary, "{alert:?}");
        assert!(description.contains("{{"), "{description}");
    }
}

#[test]
fn each_alert_links_its_runbook_section() {
    for alert in alerts() {
        let name = text(&alert, "alert");
        let url = text(&alert["annotations"], "runbook_url");
        assert!(url.starts_with("https://"), "{name}: {url}");
        assert_eq!(url.split_once('#').unwrap().1, name.to_lowercase());
    }
}

#[test]
fn the_runbook_has_exactly_one_section_per_alert() {
    let runbook = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("alerts/RUNBOOK.md")).unwrap();
    let mut sections: Vec<_> = runbook.lines().filter_map(|line| line.strip_prefix("## ")).collect();
    let mut names = names();
    names.push("Reasons".to_owned());
    sections.sort_unstable();
    names.sort_unstable();
    assert_eq!(sections, names);
}

/// With the reason as a label, a target that fails in another way would be another alert.
#[test]
fn no_alert_has_a_failure_reason_as_label() {
    let expected: Vec<_> = test_files().iter().flat_map(|file| expected_labels(&read(file))).collect();
    assert!(!expected.is_empty());
    for labels in expected {
        assert!(labels.get("phase").is_none() && labels.get("class").is_none(), "{labels:?}");
    }
}

/// The labels of the alerts that a test file expects.
fn expected_labels(file: &Value) -> Vec<Value> {
    let tests = list(file, "tests").flat_map(|test| list(test, "alert_rule_test"));
    tests
        .flat_map(|test| list(test, "exp_alerts"))
        .map(|alert| alert["exp_labels"].clone())
        .collect()
}

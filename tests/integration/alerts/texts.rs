//! The texts of alerts: the meanings of failure classes, and links.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use portprobe::outcome::Class;
use regex::Regex;

use super::{alerts, list, read, test_files, text};

const MARK: &str = "      # Generated from the code.\n";

#[test]
fn meanings_are_those_of_the_code() {
    let file = root().join("alerts/rules/texts.yaml");
    let current = fs::read_to_string(&file).unwrap();
    let (head, _) = current.split_once(MARK).unwrap();
    let expected = Class::ALL.iter().fold(format!("{head}{MARK}"), |mut rules, class| {
        let sentence = class.meaning().replace('`', "");
        let (first, rest) = sentence.split_at(1);
        let sentence = format!("{}{rest}", first.to_uppercase());
        writeln!(rules, "      - record: class:portprobe_failure:info\n        expr: vector(1)").unwrap();
        writeln!(rules, "        labels:\n          class: {}\n          meaning: '{sentence}'", class.as_str())
            .unwrap();
        rules
    });
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&file, &expected).unwrap();
    } else {
        assert_eq!(current, expected, "run this test with UPDATE_DOCS=1");
    }
}

#[test]
fn each_dashboard_link_leads_to_a_variable() {
    let link = Regex::new(
        r"^https://grafana\.example\.com/d/([a-z-]+)(?:\?var-([a-z]+)=\{\{ urlquery \$labels\.([a-z]+) \}\})?$",
    )
    .unwrap();
    for alert in alerts() {
        let url = text(&alert["annotations"], "dashboard_url");
        let parts = link.captures(url).unwrap_or_else(|| panic!("{}: {url}", text(&alert, "alert")));
        let dashboard = fs::read_to_string(root().join(format!("dashboards/{}.json", &parts[1]))).unwrap();
        let dashboard: serde_json::Value = serde_json::from_str(&dashboard).unwrap();
        assert_eq!(dashboard["uid"], parts[1]);
        let variables = dashboard["templating"]["list"].as_array().unwrap();
        if let Some(variable) = parts.get(2) {
            assert_eq!(variable.as_str(), &parts[3]);
            assert!(variables.iter().any(|one| one["name"] == variable.as_str()), "{url}");
        }
    }
}

/// As rendered by promtool, which compares the texts of the tests exactly.
#[test]
fn no_text_has_blanks_or_wrong_plurals() {
    let wrong = Regex::new(r"^ | $|  | [.,]|\b1 (times|members|targets|outages|regions|probes)\b").unwrap();
    let files: Vec<_> = test_files().iter().map(|file| read(file)).collect();
    let checks = files
        .iter()
        .flat_map(|file| list(file, "tests"))
        .flat_map(|test| list(test, "alert_rule_test"));
    let mut texts = BTreeSet::new();
    for annotations in checks
        .flat_map(|check| list(check, "exp_alerts"))
        .map(|alert| &alert["exp_annotations"])
    {
        texts.extend(["summary", "description"].map(|key| text(annotations, key).to_owned()));
    }
    assert!(texts.len() > 100, "{}", texts.len());
    for text in texts {
        assert!(!wrong.is_match(&text), "{text}");
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

//! Rules for names: metrics, labels and links exist.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use portprobe::outcome::Class;
use promql_parser::parser::Expr;

use super::queries::parsed_violations;
use super::reasons::TO_REASON;
use crate::support::dashboards::{Dashboard, Variable, items, text};
use crate::support::promql;

/// Labels that any series may have, from Prometheus or from the configuration.
const COMMON: [&str; 7] = ["job", "instance", "target", "region", "team", "owner", "le"];

/// The metrics that Prometheus stores for each scrape and each alert.
const OF_PROMETHEUS: [(&str, &[&str]); 4] = [
    ("up", &[]),
    ("scrape_duration_seconds", &[]),
    ("scrape_samples_scraped", &[]),
    ("ALERTS", &["alertname", "alertstate", "severity"]),
];

/// The known metrics with their labels.
struct Vocabulary(BTreeMap<String, BTreeSet<String>>);

impl Vocabulary {
    fn read() -> Self {
        let families = file("tests/resources/metrics/families.txt");
        let families = families.lines().flat_map(family);
        let recorded = recorded().into_iter().map(|name| (name, ["hour"].map(str::to_owned).into()));
        let others = OF_PROMETHEUS
            .map(|(name, labels)| (name.to_owned(), labels.iter().map(|&label| label.to_owned()).collect()));
        Self(families.chain(recorded).chain(others).collect())
    }

    /// Whether series with these names may have this label.
    fn knows<'a>(&self, label: &str, mut metrics: impl Iterator<Item = &'a str>) -> bool {
        COMMON.contains(&label) || metrics.any(|metric| self.0.get(metric).is_some_and(|labels| labels.contains(label)))
    }
}

/// The names in a line of the golden list; a histogram has several.
fn family(line: &str) -> Vec<(String, BTreeSet<String>)> {
    let mut words = line.split(' ');
    let (name, kind, labels) = (words.next().unwrap(), words.next().unwrap(), words.next().unwrap());
    let labels: BTreeSet<_> = labels.trim_matches(['{', '}']).split(',').map(str::to_owned).collect();
    let suffixes: &[_] = if kind == "histogram" { &["", "_bucket", "_sum", "_count"] } else { &[""] };
    suffixes
        .iter()
        .map(|suffix| (format!("{name}{suffix}"), labels.clone()))
        .collect()
}

fn recorded() -> Vec<String> {
    ["recording", "portprobe"].into_iter().flat_map(records).collect()
}

fn records(rules: &str) -> Vec<String> {
    let rules: serde_json::Value = serde_yaml::from_str(&file(&format!("alerts/rules/{rules}.yaml"))).unwrap();
    let rules = items(&rules, "groups").iter().flat_map(|group| items(group, "rules"));
    rules.map(|rule| text(rule, "record").to_owned()).collect()
}

fn file(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

/// Every metric in use exists.
pub(super) fn metrics(dashboard: &Dashboard) -> Vec<String> {
    let vocabulary = Vocabulary::read();
    let unknown = |expression: &Expr| {
        let reads = promql::reads(expression).into_iter();
        let unknown = reads.filter(|read| !vocabulary.0.contains_key(read.metric()));
        unknown.map(|read| format!("unknown metric {}", read.metric())).collect()
    };
    let queries = dashboard.variables().into_iter().filter_map(Variable::label_values);
    let of_variables = queries.filter_map(|(selector, _)| promql::parse(selector).ok());
    parsed_violations(dashboard, unknown)
        .into_iter()
        .chain(of_variables.flat_map(|selector| unknown(&selector)))
        .collect()
}

/// Every label in a matcher or a grouping is one that the series may have.
pub(super) fn labels(dashboard: &Dashboard) -> Vec<String> {
    let vocabulary = Vocabulary::read();
    parsed_violations(dashboard, |expression| {
        let reads = promql::reads(expression);
        let chosen = reads
            .iter()
            .flat_map(|read| read.labels().map(move |label| (label, vec![read.metric()])));
        let all: Vec<_> = reads.iter().map(promql::Read::metric).collect();
        let sorted = promql::sorted_by(expression).into_iter().map(|label| (label, all.clone()));
        let unknown = chosen
            .chain(sorted)
            .filter(|(label, of)| !vocabulary.knows(label, of.iter().copied()));
        unknown
            .map(|(label, of)| format!("unknown label {label} on {}", of.join(", ")))
            .collect()
    })
}

/// Every link leads to a delivered dashboard, Grafana's list of alerts, or the section of a reason in the runbook.
pub(super) fn links(dashboard: &Dashboard) -> Vec<String> {
    let delivered = Dashboard::all();
    let runbook = file("alerts/RUNBOOK.md");
    let has_reasons = Class::ALL
        .iter()
        .all(|class| runbook.contains(&format!("\n### {}\n", class.as_str())));
    let elsewhere = |link: &str| link == TO_REASON && has_reasons || link.starts_with("/alerting/list?");
    let leads_nowhere = |link: &&str| {
        let uid = link.strip_prefix("/d/").and_then(|rest| rest.split(['?', '/']).next());
        !elsewhere(link) && !delivered.iter().any(|other| Some(other.uid()) == uid)
    };
    dashboard
        .links()
        .into_iter()
        .filter(leads_nowhere)
        .map(|link| format!("{link} leads nowhere"))
        .collect()
}

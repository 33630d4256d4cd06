//! Rules for the queries of panels.

use promql_parser::parser::Expr;
use serde_json::json;

use crate::support::dashboards::{Dashboard, Target};
use crate::support::promql::{self, RATE_INTERVAL, Read};

/// Recorded over all instances, so there is none to select.
const OF_ALL_INSTANCES: [&str; 1] = ["hour:portprobe_outages:increase30d"];

/// The queries that violate a rule, by panel.
pub(super) fn broken(dashboard: &Dashboard, check: impl Fn(Target<'_>) -> Vec<String>) -> Vec<String> {
    let targets = dashboard.panels().into_iter().flat_map(|panel| {
        panel
            .targets()
            .into_iter()
            .map(move |target| (format!("{:?} {}", panel.title(), target.id()), target))
    });
    targets
        .flat_map(|(of, target)| check(target).into_iter().map(move |what| format!("{of}: {what}")))
        .collect()
}

/// Every valid expression that violates this check; the rule `promql` reports invalid ones.
pub(super) fn broken_parsed(dashboard: &Dashboard, check: impl Fn(&Expr) -> Vec<String>) -> Vec<String> {
    broken(dashboard, |target| {
        promql::parse(target.expression())
            .map(|parsed| check(&parsed))
            .unwrap_or_default()
    })
}

/// Every selector that violates a rule.
fn broken_reads(dashboard: &Dashboard, what: &str, is_broken: impl Fn(&Read<'_>) -> bool) -> Vec<String> {
    broken_parsed(dashboard, |expression| {
        let reads = promql::reads(expression);
        reads
            .iter()
            .filter(|read| is_broken(read))
            .map(|read| format!("{} {what}", read.metric()))
            .collect()
    })
}

/// Every query uses the selected data source.
pub(super) fn datasource(dashboard: &Dashboard) -> Vec<String> {
    let chosen = json!({ "type": "prometheus", "uid": "${datasource}" });
    broken(dashboard, |target| {
        let elsewhere = target.0["datasource"] != chosen;
        elsewhere
            .then(|| "does not ask the chosen data source".to_owned())
            .into_iter()
            .collect()
    })
}

pub(super) fn promql(dashboard: &Dashboard) -> Vec<String> {
    broken(dashboard, |target| promql::parse(target.expression()).err().into_iter().collect())
}

/// Rates use the range that Grafana chooses for scrape interval and step.
pub(super) fn rate_interval(dashboard: &Dashboard) -> Vec<String> {
    broken_reads(dashboard, "has a rate over another range than $__rate_interval", |read| {
        matches!(read.function, Some("rate" | "irate")) && read.range != Some(RATE_INTERVAL)
    })
}

pub(super) fn job(dashboard: &Dashboard) -> Vec<String> {
    broken_reads(dashboard, "is not of the chosen job", |read| !read.is_narrowed_by("job=~\"$job\""))
}

pub(super) fn instance(dashboard: &Dashboard) -> Vec<String> {
    broken_reads(dashboard, "is not of the chosen instance", |read| {
        !read.is_narrowed_by("instance=~\"$instance\"") && !OF_ALL_INSTANCES.contains(&read.metric())
    })
}

/// A counter is only used through its increase.
pub(super) fn counter_agg(dashboard: &Dashboard) -> Vec<String> {
    broken_reads(dashboard, "is a counter without rate, irate or increase directly around it", |read| {
        read.metric().ends_with("_total") && !matches!(read.function, Some("rate" | "irate" | "increase"))
    })
}

//! Rules for the queries of panels.

use promql_parser::parser::Expr;
use serde_json::{Value, json};

use crate::support::dashboards::{Dashboard, Target, text};
use crate::support::promql::{self, RATE_INTERVAL, Read};

/// Metrics that are recorded over all instances, so none can be selected.
const OF_ALL_INSTANCES: [&str; 1] = ["hour:portprobe_outages:increase30d"];

/// The queries that violate a rule, by panel.
pub(super) fn violations(dashboard: &Dashboard, check: impl Fn(Target<'_>) -> Vec<String>) -> Vec<String> {
    let targets = dashboard.panels().into_iter().flat_map(|panel| {
        panel
            .targets()
            .into_iter()
            .map(move |target| (format!("{:?} {}", panel.title(), target.id()), target))
    });
    targets
        .flat_map(|(of, target)| check(target).into_iter().map(move |violation| format!("{of}: {violation}")))
        .collect()
}

/// The violations of a check by valid expressions; the rule `promql` reports invalid ones.
pub(super) fn parsed_violations(dashboard: &Dashboard, check: impl Fn(&Expr) -> Vec<String>) -> Vec<String> {
    violations(dashboard, |target| {
        promql::parse(target.expression())
            .map(|parsed| check(&parsed))
            .unwrap_or_default()
    })
}

/// Every selector that violates a rule.
fn read_violations(dashboard: &Dashboard, violation: &str, is_violation: impl Fn(&Read<'_>) -> bool) -> Vec<String> {
    parsed_violations(dashboard, |expression| {
        let reads = promql::reads(expression);
        reads
            .iter()
            .filter(|read| is_violation(read))
            .map(|read| format!("{} {violation}", read.metric()))
            .collect()
    })
}

/// Every query uses the selected data source.
pub(super) fn datasource(dashboard: &Dashboard) -> Vec<String> {
    violations(dashboard, |target| {
        let elsewhere = target.0["datasource"] != selected();
        elsewhere
            .then(|| "does not use the selected data source".to_owned())
            .into_iter()
            .collect()
    })
}

pub(super) fn promql(dashboard: &Dashboard) -> Vec<String> {
    violations(dashboard, |target| promql::parse(target.expression()).err().into_iter().collect())
}

/// Rates use the range that Grafana chooses for scrape interval and step.
pub(super) fn rate_interval(dashboard: &Dashboard) -> Vec<String> {
    read_violations(dashboard, "has a rate over another range than $__rate_interval", |read| {
        matches!(read.function, Some("rate" | "irate")) && read.range != Some(RATE_INTERVAL)
    })
}

pub(super) fn job(dashboard: &Dashboard) -> Vec<String> {
    read_violations(dashboard, "does not select the job", |read| {
        !read.is_narrowed_by("job=~\"$job\"") && !is_alert_by(read, "job=~\"$job|\"")
    })
}

pub(super) fn instance(dashboard: &Dashboard) -> Vec<String> {
    read_violations(dashboard, "does not select the instance", |read| {
        !read.is_narrowed_by("instance=~\"$instance\"")
            && !OF_ALL_INSTANCES.contains(&read.metric())
            && !is_alert_by(read, "instance=~\"$instance|\"")
    })
}

/// Whether it selects alerts by this label if they have it; those about a group of probers do not.
fn is_alert_by(read: &Read<'_>, matcher: &str) -> bool {
    read.metric() == "ALERTS" && read.is_narrowed_by(matcher)
}

/// A counter is only used through its increase.
pub(super) fn counter_agg(dashboard: &Dashboard) -> Vec<String> {
    read_violations(dashboard, "is a counter outside of rate, irate and increase", |read| {
        read.metric().ends_with("_total")
            && !matches!(read.function, Some("rate" | "irate" | "increase"))
            && !is_about_first_value(read)
    })
}

/// Whether it is part of `last_over_time(..) unless .. offset`: a counter whose series begins with the first event, so the
/// value of a new series is its increase.
fn is_about_first_value(read: &Read<'_>) -> bool {
    let is_value = read.function == Some("last_over_time") && read.metric() == "portprobe_failures_total";
    is_value || read.selector.offset.is_some()
}

/// Alerts, reloads and restarts are annotations with valid queries of the selected data source.
pub(super) fn annotations(dashboard: &Dashboard) -> Vec<String> {
    let annotations = dashboard.annotations();
    let missing = ["Alerts", "Reloads", "Restarts"]
        .into_iter()
        .filter(|name| annotations.iter().all(|annotation| text(annotation, "name") != *name))
        .map(|name| format!("no annotation {name}"));
    let elsewhere = annotations
        .iter()
        .filter(|annotation| annotation["datasource"] != selected())
        .map(|annotation| format!("{}: does not use the selected data source", text(annotation, "name")));
    let wrong = annotations.iter().filter_map(|annotation| {
        let error = promql::parse(text(annotation, "expr")).err()?;
        Some(format!("{}: {error}", text(annotation, "name")))
    });
    missing.chain(elsewhere).chain(wrong).collect()
}

fn selected() -> Value {
    json!({ "type": "prometheus", "uid": "${datasource}" })
}

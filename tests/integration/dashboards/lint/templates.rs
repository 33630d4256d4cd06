//! Rules for the variables of a dashboard.

use serde_json::json;

use crate::support::dashboards::{Dashboard, Variable, text};
use crate::support::promql;

/// There is one variable for the data source, and its type is Prometheus.
pub(super) fn datasource(dashboard: &Dashboard) -> Vec<String> {
    let variables = dashboard.variables();
    let sources: Vec<_> = variables.iter().filter(|variable| variable.kind() == "datasource").collect();
    match &sources[..] {
        [one] => {
            let expected = [("name", "datasource"), ("label", "Data source"), ("query", "prometheus")];
            let wrong = expected.into_iter().filter(|(key, value)| text(one.0, key) != *value);
            wrong.map(|(key, value)| format!("its {key} is not {value}")).collect()
        }
        _ => vec![format!("{} data source variables", sources.len())],
    }
}

pub(super) fn job(dashboard: &Dashboard) -> Vec<String> {
    multiple(dashboard, "job", "Job")
}

pub(super) fn instance(dashboard: &Dashboard) -> Vec<String> {
    multiple(dashboard, "instance", "Prober")
}

/// There is such a variable, with multiple values or all.
fn multiple(dashboard: &Dashboard, name: &str, label: &str) -> Vec<String> {
    let variables = dashboard.variables();
    let Some(Variable(variable)) = variables.iter().find(|variable| variable.name() == name) else {
        return vec![format!("no variable {name}")];
    };
    let expected = [
        ("type", json!("query")),
        ("label", json!(label)),
        ("datasource", json!({ "type": "prometheus", "uid": "${datasource}" })),
        ("multi", json!(true)),
        ("includeAll", json!(true)),
        ("allValue", json!(".+")),
    ];
    let wrong = expected.into_iter().filter(|(key, value)| variable[key] != *value);
    wrong.map(|(key, value)| format!("{key} of {name} is not {value}")).collect()
}

/// Every query of a variable is a `label_values` of a selector that parses.
pub(super) fn label_promql(dashboard: &Dashboard) -> Vec<String> {
    let wrong = |variable: &Variable<'_>| match variable.label_values() {
        None => Some(format!("{}: no label_values(selector, label)", variable.name())),
        Some((selector, _)) => promql::parse(selector)
            .err()
            .map(|error| format!("{}: {error}", variable.name())),
    };
    queries(dashboard).iter().filter_map(wrong).collect()
}

/// There is one variable for filters by the labels of the user.
pub(super) fn filters(dashboard: &Dashboard) -> Vec<String> {
    let variables = dashboard.variables();
    let filters = variables.iter().filter(|variable| variable.kind() == "adhoc").count();
    (filters != 1)
        .then(|| format!("{filters} ad hoc variables"))
        .into_iter()
        .collect()
}

/// Every query of a variable is refreshed when the time range changes.
pub(super) fn on_time_change_reload(dashboard: &Dashboard) -> Vec<String> {
    let variables = queries(dashboard).into_iter().filter(|variable| variable.0["refresh"] != 2);
    variables
        .map(|variable| format!("{}: refresh is not 2", variable.name()))
        .collect()
}

fn queries(dashboard: &Dashboard) -> Vec<Variable<'_>> {
    dashboard
        .variables()
        .into_iter()
        .filter(|variable| variable.kind() == "query")
        .collect()
}

//! The queries of panels and variables, and the checks of their results.

use std::collections::BTreeSet;
use std::fmt;

use serde_json::{Map, Value};
use time::OffsetDateTime;

use super::OF_EVENTS;
use crate::support::dashboards::{Dashboard, Panel, Target, Variable, items, substituted, text};
use crate::support::http::encoded;
use crate::support::services::Prometheus;

/// The values that Grafana substitutes for variables if all are selected, for a minute with a step of a second.
pub(super) const VALUES: [(&str, &str); 9] = [
    ("__rate_interval", "10s"),
    ("__range_s", "60"),
    ("__range", "60s"),
    ("__interval", "1s"),
    ("instance", ".+"),
    ("region", ".*"),
    ("target", ".+"),
    ("group", ".*"),
    ("job", ".+"),
];

/// Labels that only some series have: one of the user, one of few protocols, and one of classic histograms.
const OPTIONAL: [&str; 3] = ["region", "role", "le"];

/// A panel or variable with queries.
pub(super) struct Queried<'a> {
    dashboard: &'a str,
    kind: Kind<'a>,
}

enum Kind<'a> {
    Panel(Panel<'a>),
    Values { selector: &'a str, label: &'a str },
}

impl<'a> Queried<'a> {
    pub(super) fn panel(dashboard: &'a Dashboard, panel: Panel<'a>) -> Self {
        Self { dashboard: dashboard.uid(), kind: Kind::Panel(panel) }
    }

    /// `None` if its values come from no query.
    pub(super) fn variable(dashboard: &'a Dashboard, variable: Variable<'a>) -> Option<Self> {
        let (selector, label) = variable.label_values()?;
        Some(Self { dashboard: dashboard.uid(), kind: Kind::Values { selector, label } })
    }

    /// The wrong results; empty if all are as required.
    pub(super) async fn wrong(&self, prometheus: &Prometheus) -> Vec<String> {
        match self.kind {
            Kind::Panel(panel) => self.wrong_panel(panel, prometheus).await,
            Kind::Values { selector, label } => {
                let selector = encoded(&substituted(selector, &VALUES));
                let response = data(prometheus, &format!("/api/v1/label/{label}/values?match[]={selector}")).await;
                let none = "no values".to_owned();
                response.map_or_else(
                    |wrong| vec![wrong],
                    |values| if values == Value::Array(vec![]) { vec![none] } else { vec![] },
                )
            }
        }
    }

    async fn wrong_panel(&self, panel: Panel<'_>, prometheus: &Prometheus) -> Vec<String> {
        let mut labels = BTreeSet::new();
        let mut wrong = Vec::new();
        for target in panel.targets() {
            match response(prometheus, target, &[]).await {
                Ok(response) if response.shown > 0 => {
                    let missing = target
                        .legend()
                        .into_iter()
                        .filter(|label| !OPTIONAL.contains(label) && !response.labels().any(|found| found == label));
                    wrong.extend(missing.map(|label| format!("{}: no label {label}", target.id())));
                    labels.extend(response.labels().cloned());
                }
                Ok(_) if self.may_be_empty(panel, target) => {}
                Ok(_) => wrong.push(format!("{}: no data", target.id())),
                Err(why) => wrong.push(format!("{}: {why}", target.id())),
            }
        }
        wrong.extend(wrong_columns(panel, &labels));
        wrong
    }

    fn may_be_empty(&self, panel: Panel<'_>, target: Target<'_>) -> bool {
        OF_EVENTS.contains(&(self.dashboard, panel.title(), target.id()))
    }
}

impl fmt::Debug for Queried<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            Kind::Panel(panel) => write!(f, "{}: {}", self.dashboard, panel.title()),
            Kind::Values { selector, label } => write!(f, "{}: {label} of {selector}", self.dashboard),
        }
    }
}

/// Columns that transformations name and that do not exist.
fn wrong_columns(panel: Panel<'_>, labels: &BTreeSet<String>) -> Vec<String> {
    let named = panel.transformations().flat_map(|(_, options)| {
        let columns = ["indexByName", "renameByName"]
            .into_iter()
            .filter_map(|key| options[key].as_object());
        let sorted = items(options, "sort").iter().map(|sort| text(sort, "field"));
        columns.flat_map(|columns| columns.keys().map(String::as_str)).chain(sorted)
    });
    let is_column = |name: &str| name.starts_with("Value") || OPTIONAL.contains(&name) || labels.contains(name);
    // The first column of a matrix is named after its lines and columns.
    let missing = named.filter(|name| !name.split('\\').all(is_column));
    let missing = missing.map(|name| format!("no column {name}"));
    // Rows of several queries become one only if all labels are equal.
    let merges = panel.transformations().any(|(id, _)| id == "merge");
    let unmergeable = (merges && labels.contains("__name__")).then(|| "rows differ by __name__".to_owned());
    missing.chain(unmergeable).collect()
}

/// The returned series.
pub(super) struct Response {
    /// The labels of each.
    pub(super) series: Vec<Map<String, Value>>,
    /// The number of series with visible values.
    pub(super) shown: usize,
}

impl Response {
    fn labels(&self) -> impl Iterator<Item = &String> {
        self.series.iter().flat_map(Map::keys)
    }
}

/// Runs the queries of a panel with this selection, and all of the other variables.
pub(super) async fn response(
    prometheus: &Prometheus,
    target: Target<'_>,
    selection: &[(&str, &str)],
) -> Result<Response, String> {
    let query = encoded(&substituted(target.expression(), &[selection, &VALUES].concat()));
    let now = OffsetDateTime::now_utc().unix_timestamp();
    let path = if target.is_instant() {
        format!("/api/v1/query?query={query}")
    } else {
        format!("/api/v1/query_range?query={query}&start={}&end={now}&step=1", now - 60)
    };
    let data = data(prometheus, &path).await?;
    let series = items(&data, "result");
    let shown = series.iter().filter(|series| is_shown(series)).count();
    let series = series.iter().filter_map(|series| series["metric"].as_object().cloned());
    Ok(Response { series: series.collect(), shown })
}

/// Whether a series has a point that a graph can show.
fn is_shown(series: &Value) -> bool {
    let points = items(series, "values").iter().chain([&series["value"]]);
    let mut numbers = points.filter_map(|point| point[1].as_str()?.parse::<f64>().ok());
    numbers.any(f64::is_finite) || ["histogram", "histograms"].iter().any(|key| series.get(key).is_some())
}

/// The data of a successful response without warnings.
async fn data(prometheus: &Prometheus, path: &str) -> Result<Value, String> {
    let response = prometheus.get(path).await;
    let mut body: Value =
        serde_json::from_str(&response.body).map_err(|error| format!("{error}: {}", response.body))?;
    let remarks = [&body["warnings"], &body["infos"]];
    if body["status"] != "success" || remarks.iter().any(|remarks| !remarks.is_null()) {
        return Err(body.to_string());
    }
    Ok(body["data"].take())
}

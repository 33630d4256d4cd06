//! Rules for a dashboard as a whole, and for its panels.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::support::dashboards::{Dashboard, Panel, items, text};

/// The titles of the panels that violate a rule.
pub(super) fn violations(
    dashboard: &Dashboard,
    violation: &str,
    is_violation: impl Fn(&Panel<'_>) -> bool,
) -> Vec<String> {
    let panels = dashboard.panels().into_iter().filter(is_violation);
    panels.map(|panel| format!("{:?}: {violation}", panel.title())).collect()
}

/// Every panel uses the selected data source.
pub(super) fn datasource(dashboard: &Dashboard) -> Vec<String> {
    let selected = json!({ "type": "prometheus", "uid": "${datasource}" });
    violations(dashboard, "does not use the selected data source", |panel| panel.0["datasource"] != selected)
}

pub(super) fn title_description(dashboard: &Dashboard) -> Vec<String> {
    violations(dashboard, "has no title or no description", |panel| {
        panel.title().is_empty() || text(panel.0, "description").is_empty()
    })
}

pub(super) fn units(dashboard: &Dashboard) -> Vec<String> {
    violations(dashboard, "has no unit", |panel| text(&panel.0["fieldConfig"]["defaults"], "unit").is_empty())
}

pub(super) fn no_targets(dashboard: &Dashboard) -> Vec<String> {
    violations(dashboard, "has no query", |panel| panel.targets().is_empty())
}

/// A palette by name often gives similar colours to the few series of a graph.
pub(super) fn colors(dashboard: &Dashboard) -> Vec<String> {
    violations(dashboard, "has colours that may be equal", |panel| {
        text(&panel.0["fieldConfig"]["defaults"]["color"], "mode") == "palette-classic-by-name"
    })
}

/// It can be changed after an import by hand; Grafana itself protects provisioned dashboards.
pub(super) fn editable(dashboard: &Dashboard) -> Vec<String> {
    let fixed = dashboard.0["editable"] != true;
    fixed.then(|| "is not editable".to_owned()).into_iter().collect()
}

/// It can be provisioned or imported by hand, and its UID is valid.
pub(super) fn provisionable(dashboard: &Dashboard) -> Vec<String> {
    let expected = [
        ("id", Value::Null),
        ("__inputs", Value::Null),
        ("schemaVersion", json!(38)),
        ("tags", json!(["portprobe"])),
        ("timezone", json!("browser")),
        ("graphTooltip", json!(1)),
    ];
    let wrong = expected.into_iter().filter(|(key, value)| dashboard.0[key] != *value);
    let wrong = wrong.map(|(key, value)| format!("{key} is not {value}"));
    let uid = (dashboard.uid().is_empty() || dashboard.uid().len() > 40)
        .then(|| "its uid is empty or longer than 40 characters".into());
    wrong.chain(uid).collect()
}

pub(super) fn ids(dashboard: &Dashboard) -> Vec<String> {
    let mut seen = BTreeSet::new();
    let elements = dashboard.elements().into_iter();
    let twice = elements.filter(|element| !seen.insert(element.0["id"].as_u64()));
    twice.map(|element| format!("{:?}: duplicate id", element.title())).collect()
}

/// A table sorts and formats only columns that it names.
pub(super) fn columns(dashboard: &Dashboard) -> Vec<String> {
    violations(dashboard, "sorts or formats an unknown column", |panel| {
        let columns: Vec<_> = panel.transformations().flat_map(|(_, options)| shown(options)).collect();
        let formatted = items(&panel.0["fieldConfig"], "overrides")
            .iter()
            .map(|formatted| &formatted["matcher"]);
        let formatted = formatted
            .filter(|matcher| matcher["id"] == "byName")
            .map(|matcher| text(matcher, "options"));
        let sorted = items(&panel.0["options"], "sortBy")
            .iter()
            .map(|sorted| text(sorted, "displayName"));
        panel.kind() == "table" && formatted.chain(sorted).any(|column| !columns.contains(&column))
    })
}

/// The columns of an `organize` by their final names.
fn shown(options: &Value) -> impl Iterator<Item = &str> {
    let columns = ["indexByName", "renameByName"]
        .into_iter()
        .filter_map(|key| options[key].as_object());
    columns
        .flat_map(|columns| columns.keys())
        .map(|column| options["renameByName"][column].as_str().unwrap_or(column))
}

/// No panel overlaps another one or exceeds column 24, and each line is filled, in each closed row as well.
pub(super) fn grid(dashboard: &Dashboard) -> Vec<String> {
    let top = items(&dashboard.0, "panels");
    let rows = top.iter().map(|panel| items(panel, "panels"));
    [top].into_iter().chain(rows).flat_map(misplaced).collect()
}

fn misplaced(panels: &[Value]) -> Vec<String> {
    let mut cells = BTreeSet::new();
    let mut wrong = Vec::new();
    for panel in panels.iter().map(Panel) {
        let [x, y, width, height] = panel.grid();
        let its = (y..y + height).flat_map(|line| (x..x + width).map(move |column| (line, column)));
        if width == 0 || height == 0 || x + width > 24 {
            wrong.push(format!("{:?}: exceeds the grid", panel.title()));
        }
        let taken = its.filter(|cell| !cells.insert(*cell)).count();
        if taken > 0 {
            wrong.push(format!("{:?}: overlaps", panel.title()));
        }
    }
    let lines: BTreeSet<_> = cells.iter().map(|(line, _)| *line).collect();
    let gaps = lines.iter().filter(|line| cells.range((**line, 0)..(**line, 24)).count() < 24);
    wrong
        .into_iter()
        .chain(gaps.map(|line| format!("line {line} is not filled")))
        .collect()
}

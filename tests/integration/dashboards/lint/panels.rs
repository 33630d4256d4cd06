//! Rules for a dashboard as a whole, and for its panels.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::support::dashboards::{Dashboard, Panel, items, text};

/// The titles of the panels that violate a rule.
fn broken(dashboard: &Dashboard, what: &str, is_broken: impl Fn(&Panel<'_>) -> bool) -> Vec<String> {
    let panels = dashboard.panels().into_iter().filter(is_broken);
    panels.map(|panel| format!("{:?}: {what}", panel.title())).collect()
}

/// Every panel uses the selected data source.
pub(super) fn datasource(dashboard: &Dashboard) -> Vec<String> {
    let chosen = json!({ "type": "prometheus", "uid": "${datasource}" });
    broken(dashboard, "does not ask the chosen data source", |panel| panel.0["datasource"] != chosen)
}

pub(super) fn title_description(dashboard: &Dashboard) -> Vec<String> {
    broken(dashboard, "has no title or no description", |panel| {
        panel.title().is_empty() || text(panel.0, "description").is_empty()
    })
}

pub(super) fn units(dashboard: &Dashboard) -> Vec<String> {
    broken(dashboard, "has no unit", |panel| text(&panel.0["fieldConfig"]["defaults"], "unit").is_empty())
}

pub(super) fn no_targets(dashboard: &Dashboard) -> Vec<String> {
    broken(dashboard, "asks for nothing", |panel| panel.targets().is_empty())
}

/// It is not editable, because the next provisioning would overwrite changes.
pub(super) fn uneditable(dashboard: &Dashboard) -> Vec<String> {
    let editable = dashboard.0["editable"] != false;
    editable.then(|| "can be edited".to_owned()).into_iter().collect()
}

/// It can be provisioned or imported by hand, and its UID is valid.
pub(super) fn provisionable(dashboard: &Dashboard) -> Vec<String> {
    let expected = [
        ("id", Value::Null),
        ("__inputs", Value::Null),
        ("schemaVersion", json!(42)),
        ("tags", json!(["portprobe"])),
        ("timezone", json!("browser")),
        ("graphTooltip", json!(1)),
    ];
    let wrong = expected.into_iter().filter(|(key, value)| dashboard.0[key] != *value);
    let wrong = wrong.map(|(key, value)| format!("{key} is not {value}"));
    let uid =
        (dashboard.uid().is_empty() || dashboard.uid().len() > 40).then(|| "uid of no or over 40 characters".into());
    wrong.chain(uid).collect()
}

pub(super) fn ids(dashboard: &Dashboard) -> Vec<String> {
    let mut seen = BTreeSet::new();
    let elements = dashboard.elements().into_iter();
    let twice = elements.filter(|element| !seen.insert(element.0["id"].as_u64()));
    twice.map(|element| format!("{:?}: its id is taken", element.title())).collect()
}

/// A table sorts and formats only columns that it names.
pub(super) fn columns(dashboard: &Dashboard) -> Vec<String> {
    broken(dashboard, "sorts or paints a column that it has not", |panel| {
        let columns: Vec<_> = panel.transformations().flat_map(|(_, options)| shown(options)).collect();
        let painted = items(&panel.0["fieldConfig"], "overrides")
            .iter()
            .map(|painted| &painted["matcher"]);
        let painted = painted
            .filter(|matcher| matcher["id"] == "byName")
            .map(|matcher| text(matcher, "options"));
        let sorted = items(&panel.0["options"], "sortBy")
            .iter()
            .map(|sorted| text(sorted, "displayName"));
        painted.chain(sorted).any(|column| !columns.contains(&column))
    })
}

/// The columns of an `organize` by their final names.
fn shown(options: &Value) -> impl Iterator<Item = &str> {
    let columns = options["indexByName"]
        .as_object()
        .into_iter()
        .flat_map(|columns| columns.keys());
    columns.map(|column| options["renameByName"][column].as_str().unwrap_or(column))
}

/// No panel overlaps another one or exceeds column 24, and every line is filled.
pub(super) fn grid(dashboard: &Dashboard) -> Vec<String> {
    let mut cells = BTreeSet::new();
    let mut wrong = Vec::new();
    for element in dashboard.elements() {
        let [x, y, width, height] = element.grid();
        let its = (y..y + height).flat_map(|line| (x..x + width).map(move |column| (line, column)));
        if width == 0 || height == 0 || x + width > 24 {
            wrong.push(format!("{:?}: beyond the grid", element.title()));
        }
        let taken = its.filter(|cell| !cells.insert(*cell)).count();
        if taken > 0 {
            wrong.push(format!("{:?}: overlaps", element.title()));
        }
    }
    let lines: BTreeSet<_> = cells.iter().map(|(line, _)| *line).collect();
    let gaps = lines.iter().filter(|line| cells.range((**line, 0)..(**line, 24)).count() < 24);
    wrong
        .into_iter()
        .chain(gaps.map(|line| format!("line {line} is not filled")))
        .collect()
}

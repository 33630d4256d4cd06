//! Rules for reasons of failures: each has words, a section in the runbook, and a fixed colour.

use portprobe::outcome::Class;
use serde_json::Value;

use super::panels::violations;
use crate::support::dashboards::{Dashboard, Panel, items, text};

/// The link from the class of a failure to its section.
pub(super) const TO_REASON: &str = "${runbook}#${__value.raw}";

/// Colours of a palette change their meaning with the reasons that occur.
pub(super) fn colors(dashboard: &Dashboard) -> Vec<String> {
    violations(dashboard, "has colours that depend on the reasons that occur", |panel| {
        is_by_reason(*panel) && text(&panel.0["fieldConfig"]["defaults"]["color"], "mode").starts_with("palette")
    })
}

/// The legend begins with the most frequent reasons, since only its first lines are visible.
pub(super) fn order(dashboard: &Dashboard) -> Vec<String> {
    violations(dashboard, "has a legend that does not begin with the most frequent reason", |panel| {
        let legend = &panel.0["options"]["legend"];
        is_by_reason(*panel) && (legend["sortBy"] != "Last *" || legend["sortDesc"] != true)
    })
}

/// Whether a graph has a series for each class of failures, or for each reason of local faults or skipped probes.
fn is_by_reason(panel: Panel<'_>) -> bool {
    let targets = panel.targets();
    let mut labels = targets.iter().flat_map(|target| target.legend());
    labels.any(|label| ["class", "reason"].contains(&label))
}

/// A column of classes has words for each class and leads to the runbook.
pub(super) fn words(dashboard: &Dashboard) -> Vec<String> {
    violations(dashboard, "has classes without words or link", |panel| {
        shown_class(*panel).is_some_and(|column| !is_explained(*panel, column))
    })
}

/// The words for the classes in each table of a dashboard.
pub(super) fn all_words(dashboard: &Dashboard) -> Vec<Vec<String>> {
    let panels = dashboard.panels().into_iter();
    let words = panels.filter_map(|panel| {
        let column = shown_class(panel)?;
        let mappings = properties(panel, column).find(|property| property["id"] == "mappings")?;
        let words = &mappings["value"][0]["options"];
        Some(Class::ALL.map(|class| text(&words[class.as_str()], "text").to_owned()).to_vec())
    });
    words.collect()
}

/// The name of the column of classes.
fn shown_class(panel: Panel<'_>) -> Option<&str> {
    let mut names = panel
        .transformations()
        .filter_map(|(_, options)| options["renameByName"]["class"].as_str());
    names.next()
}

fn is_explained(panel: Panel<'_>, column: &str) -> bool {
    let value = |id: &str| {
        properties(panel, column)
            .find(|property| property["id"] == id)
            .map(|property| &property["value"])
    };
    let links = value("links").is_some_and(|links| links[0]["url"] == TO_REASON);
    links && value("mappings").is_some_and(|mappings| covers_all_classes(&mappings[0]["options"]))
}

/// The format of a column.
fn properties<'a>(panel: Panel<'a>, column: &str) -> impl Iterator<Item = &'a Value> {
    let overrides = items(&panel.0["fieldConfig"], "overrides").iter();
    overrides
        .filter(move |formatted| formatted["matcher"]["options"] == column)
        .flat_map(|formatted| items(formatted, "properties"))
}

fn covers_all_classes(words: &Value) -> bool {
    Class::ALL.iter().all(|class| words[class.as_str()]["text"].is_string())
}

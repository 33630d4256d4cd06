//! Rules for reasons of failures: each has words, a section in the runbook, and a fixed colour.

use portprobe::outcome::Class;
use serde_json::Value;

use super::panels::violations;
use crate::support::dashboards::{Dashboard, Panel, items, text};

/// The link from the class of a failure to its section.
pub(super) const TO_REASON: &str = "${runbook}#${__value.raw}";

/// Colours of a palette change their meaning with the classes that occur.
pub(super) fn colors(dashboard: &Dashboard) -> Vec<String> {
    violations(dashboard, "has colours that depend on the classes that occur", |panel| {
        let by_class = panel.targets().iter().any(|target| target.legend().contains(&"class"));
        by_class && text(&panel.0["fieldConfig"]["defaults"]["color"], "mode").starts_with("palette")
    })
}

/// A column of classes has words for each class and leads to the runbook.
pub(super) fn words(dashboard: &Dashboard) -> Vec<String> {
    violations(dashboard, "has classes without words or link", |panel| {
        shown_class(*panel).is_some_and(|column| !is_explained(*panel, column))
    })
}

/// The name of the column of classes.
fn shown_class(panel: Panel<'_>) -> Option<&str> {
    let mut names = panel
        .transformations()
        .filter_map(|(_, options)| options["renameByName"]["class"].as_str());
    names.next()
}

fn is_explained(panel: Panel<'_>, column: &str) -> bool {
    let overrides = items(&panel.0["fieldConfig"], "overrides").iter();
    let properties = overrides
        .filter(|formatted| formatted["matcher"]["options"] == column)
        .flat_map(|formatted| items(formatted, "properties"));
    let properties: Vec<_> = properties.collect();
    let value = |id: &str| {
        properties
            .iter()
            .find(|property| property["id"] == id)
            .map(|property| &property["value"])
    };
    let links = value("links").is_some_and(|links| links[0]["url"] == TO_REASON);
    links && value("mappings").is_some_and(|mappings| covers_all_classes(&mappings[0]["options"]))
}

fn covers_all_classes(words: &Value) -> bool {
    Class::ALL.iter().all(|class| words[class.as_str()]["text"].is_string())
}

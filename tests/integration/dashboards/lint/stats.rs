//! Rules for single numbers.

use super::panels::violations;
use crate::support::dashboards::{Dashboard, Panel, items, text};

/// No data has the text of `noValue`, on grey: it is not good and not bad.
pub(super) fn without_data(dashboard: &Dashboard) -> Vec<String> {
    violations(dashboard, "is not grey without data", |panel| panel.kind() == "stat" && !is_grey_without_data(*panel))
}

fn is_grey_without_data(stat: Panel<'_>) -> bool {
    let defaults = &stat.0["fieldConfig"]["defaults"];
    items(defaults, "mappings").iter().any(|mapping| {
        let options = &mapping["options"];
        mapping["type"] == "special"
            && options["match"] == "null+nan"
            && options["result"]["color"] == GREY
            && options["result"]["text"] == text(defaults, "noValue")
    })
}

/// It is one number: the names and numbers of several would overlap.
pub(super) fn single(dashboard: &Dashboard) -> Vec<String> {
    violations(dashboard, "has several numbers", |panel| {
        panel.kind() == "stat" && panel.targets().iter().any(|target| !target.legend().is_empty())
    })
}

/// Titles fit at a width of 1366 pixels.
pub(super) fn titles(dashboard: &Dashboard) -> Vec<String> {
    violations(dashboard, "has a title that does not fit", |panel| {
        let [_, _, width, _] = panel.grid();
        let room = match width {
            ..=3 => 11,
            4 => 24,
            _ => return false,
        };
        panel.kind() == "stat" && panel.title().len() > room
    })
}

const GREY: &str = "#808080";

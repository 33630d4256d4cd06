//! Rules for tables.

use serde_json::Value;

use super::panels::violations;
use crate::support::dashboards::{Dashboard, Panel, items, text};

/// The only tables with filters in their headers.
const FILTERED: [&str; 2] = ["All targets", "Certificates by days left"];

/// Heights in pixels of a line of the grid, the gap below it, a line of a table, and the titles of panel and columns.
const GRID: u64 = 30;
const GAP: u64 = 8;
const LINE: u64 = 36;
const TITLES: u64 = 76;

/// A unit of time for all columns would turn texts into numbers or dates.
pub(super) fn units(dashboard: &Dashboard) -> Vec<String> {
    table_violations(dashboard, "has a unit for all columns", |table| defaults(*table)["unit"] != "none")
}

/// The text for an empty table is not the text of its empty cells.
pub(super) fn empty_cells(dashboard: &Dashboard) -> Vec<String> {
    table_violations(dashboard, "has empty cells with its text", |table| {
        !text(defaults(*table), "noValue").is_empty()
            && !["string", "number"].iter().all(|kind| has_blank(*table, kind))
    })
}

/// Whether empty cells of this type are empty.
fn has_blank(table: Panel<'_>, kind: &str) -> bool {
    items(&table.0["fieldConfig"], "overrides").iter().any(|formatted| {
        formatted["matcher"]["id"] == "byType"
            && formatted["matcher"]["options"] == kind
            && items(formatted, "properties")
                .iter()
                .any(|property| property["id"] == "noValue" && property["value"] == "")
    })
}

/// The highest or lowest lines are all visible, or there is a pager.
pub(super) fn lines(dashboard: &Dashboard) -> Vec<String> {
    table_violations(dashboard, "has more lines than it can show", |table| {
        let [.., height] = table.grid();
        let visible = (height * (GRID + GAP)).saturating_sub(GAP + TITLES) / LINE;
        table.0["options"]["enablePagination"] != true
            && table
                .targets()
                .iter()
                .filter_map(|target| limit(target.expression()))
                .any(|limit| limit > visible)
    })
}

/// The number of lines of an expression that starts with `topk` or `bottomk`.
fn limit(expression: &str) -> Option<u64> {
    let inside = expression
        .strip_prefix("topk(")
        .or_else(|| expression.strip_prefix("bottomk("))?;
    inside.split(',').next()?.parse().ok()
}

/// The pager is set for Grafana 12.1 and later, and in `footer` for earlier versions.
pub(super) fn pages(dashboard: &Dashboard) -> Vec<String> {
    table_violations(dashboard, "has different pagers by version of Grafana", |table| {
        let options = &table.0["options"];
        options["enablePagination"] != options["footer"]["enablePagination"]
    })
}

pub(super) fn filters(dashboard: &Dashboard) -> Vec<String> {
    table_violations(dashboard, "has filters", |table| {
        defaults(*table)["custom"]["filterable"] != false && !FILTERED.contains(&table.title())
    })
}

fn table_violations(dashboard: &Dashboard, violation: &str, is_violation: impl Fn(&Panel<'_>) -> bool) -> Vec<String> {
    violations(dashboard, violation, |panel| panel.kind() == "table" && is_violation(panel))
}

fn defaults(table: Panel<'_>) -> &Value {
    &table.0["fieldConfig"]["defaults"]
}

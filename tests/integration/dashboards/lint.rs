//! Rules for every dashboard: those of Grafana's dashboard-linter, with its names, and additional ones.

use crate::support::dashboards::Dashboard;

mod names;
mod panels;
mod queries;
mod reasons;
mod stats;
mod tables;
mod templates;
mod violations;

/// A rule for every dashboard.
struct Rule {
    name: &'static str,
    /// Returns the violations.
    check: fn(&Dashboard) -> Vec<String>,
}

const RULES: [Rule; 37] = [
    Rule { name: "template-datasource", check: templates::datasource },
    Rule { name: "template-job", check: templates::job },
    Rule { name: "template-instance", check: templates::instance },
    Rule { name: "template-label-promql", check: templates::label_promql },
    Rule { name: "template-filters", check: templates::filters },
    Rule { name: "template-on-time-change-reload", check: templates::on_time_change_reload },
    Rule { name: "panel-datasource", check: panels::datasource },
    Rule { name: "panel-title-description", check: panels::title_description },
    Rule { name: "panel-units", check: panels::units },
    Rule { name: "panel-colors", check: panels::colors },
    Rule { name: "panel-no-targets", check: panels::no_targets },
    Rule { name: "target-promql", check: queries::promql },
    Rule { name: "target-rate-interval", check: queries::rate_interval },
    Rule { name: "target-job", check: queries::job },
    Rule { name: "target-instance", check: queries::instance },
    Rule { name: "target-counter-agg", check: queries::counter_agg },
    Rule { name: "editable-dashboard", check: panels::editable },
    Rule { name: "provisionable", check: panels::provisionable },
    Rule { name: "panel-ids", check: panels::ids },
    Rule { name: "panel-grid", check: panels::grid },
    Rule { name: "panel-columns", check: panels::columns },
    Rule { name: "table-units", check: tables::units },
    Rule { name: "table-empty-cells", check: tables::empty_cells },
    Rule { name: "table-lines", check: tables::lines },
    Rule { name: "table-pages", check: tables::pages },
    Rule { name: "table-filters", check: tables::filters },
    Rule { name: "stat-without-data", check: stats::without_data },
    Rule { name: "stat-single", check: stats::single },
    Rule { name: "stat-titles", check: stats::titles },
    Rule { name: "reason-colors", check: reasons::colors },
    Rule { name: "reason-order", check: reasons::order },
    Rule { name: "reason-words", check: reasons::words },
    Rule { name: "annotations", check: queries::annotations },
    Rule { name: "target-datasource", check: queries::datasource },
    Rule { name: "metric-names", check: names::metrics },
    Rule { name: "label-names", check: names::labels },
    Rule { name: "links", check: names::links },
];

#[test]
fn every_dashboard_follows_every_rule() {
    let dashboards = Dashboard::all();
    assert_eq!(dashboards.len(), 4);
    let violations = |dashboard: &Dashboard| {
        let uid = dashboard.uid().to_owned();
        let found = RULES
            .iter()
            .flat_map(|rule| (rule.check)(dashboard).into_iter().map(|violation| (rule.name, violation)));
        found
            .map(|(rule, violation)| format!("{uid}: {rule}: {violation}"))
            .collect::<Vec<_>>()
    };
    let violations: Vec<_> = dashboards.iter().flat_map(violations).collect();
    assert!(violations.is_empty(), "{violations:#?}");
}

#[test]
fn reasons_have_the_same_words_everywhere() {
    let dashboards = Dashboard::all();
    let words: Vec<_> = dashboards.iter().flat_map(reasons::all_words).collect();
    assert!(words.len() > 2);
    assert!(words.iter().all(|some| some == &words[0]), "{words:#?}");
}

//! The counts in the overview, with two daemons that probe one target with different results.

use super::responses::VALUES;
use crate::support::dashboards::{Dashboard, substituted};
use crate::support::services::Prometheus;

/// A count in the overview.
struct Count {
    title: &'static str,
    selection: &'static [(&'static str, &'static str)],
    expected: u32,
}

const COUNTS: [Count; 10] = [
    Count { title: "Down", selection: &[("group", "database")], expected: 1 },
    Count { title: "Up", selection: &[("group", "database")], expected: 1 },
    Count { title: "Unknown", selection: &[("group", "database")], expected: 0 },
    Count { title: "Unknown", selection: &[], expected: 1 },
    Count { title: "Probers disagree", selection: &[], expected: 1 },
    Count { title: "Probers disagree", selection: &[("region", "eu-west-1")], expected: 0 },
    Count { title: "Down", selection: &[("target", "refused")], expected: 1 },
    Count { title: "Up", selection: &[("target", "refused"), ("region", "eu-west-1")], expected: 1 },
    Count { title: "Groups down", selection: &[], expected: 1 },
    Count { title: "Groups down", selection: &[("group", "database|web")], expected: 0 },
];

pub(super) async fn assert_right(prometheus: &Prometheus, dashboards: &[Dashboard]) {
    for Count { title, selection, expected } in COUNTS {
        prometheus
            .query_until(&expression(dashboards, title, selection), &expected.to_string())
            .await;
    }
    let [down, up, unknown] = ["Down", "Up", "Unknown"].map(|title| expression(dashboards, title, &[]));
    let all = "count(group by (target) (portprobe_target_info))";
    prometheus
        .query_until(&format!("({down}) + ({up}) + ({unknown}) - {all}"), "0")
        .await;
}

/// The query of a count in the overview.
fn expression(dashboards: &[Dashboard], title: &str, selection: &[(&str, &str)]) -> String {
    let overview = dashboards
        .iter()
        .find(|dashboard| dashboard.uid() == "portprobe-overview")
        .unwrap();
    let panels = overview.panels();
    let panel = panels.iter().find(|panel| panel.title() == title).unwrap();
    substituted(panel.targets()[0].expression(), &[selection, &VALUES].concat())
}

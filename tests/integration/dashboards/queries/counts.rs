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

const COUNTS: [Count; 14] = [
    Count { title: "Down", selection: &[("group", "database")], expected: 1 },
    Count { title: "Down", selection: &[("target", "refused")], expected: 1 },
    Count { title: "Down", selection: &[("target", "refused"), ("region", "eu-west-1")], expected: 0 },
    Count { title: "Groups down", selection: &[], expected: 1 },
    Count { title: "Groups down", selection: &[("group", "database|web")], expected: 0 },
    Count { title: "Groups down", selection: &[("target", "refused|hasty")], expected: 0 },
    Count { title: "Unwatched", selection: &[], expected: 1 },
    Count { title: "Unwatched", selection: &[("group", "database")], expected: 0 },
    Count { title: "Disagree", selection: &[], expected: 1 },
    Count { title: "Disagree", selection: &[("region", "eu-west-1")], expected: 0 },
    Count { title: "Expiring", selection: &[("target", "hasty")], expected: 1 },
    Count { title: "Silent", selection: &[], expected: 0 },
    Count { title: "Targets", selection: &[("group", "database")], expected: 2 },
    Count { title: "Alerts", selection: &[("target", "refused")], expected: 1 },
];

pub(super) async fn assert_right(prometheus: &Prometheus, dashboards: &[Dashboard]) {
    for Count { title, selection, expected } in COUNTS {
        prometheus
            .query_until(&expression(dashboards, title, selection), &expected.to_string())
            .await;
    }
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

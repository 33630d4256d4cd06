//! Single numbers of overview and target, with two daemons that probe one target with different results.

use super::responses::VALUES;
use crate::support::dashboards::{Dashboard, substituted};
use crate::support::services::Prometheus;

/// A number in the overview or the dashboard of a target.
struct Count {
    title: &'static str,
    selection: &'static [(&'static str, &'static str)],
    expected: &'static str,
}

const COUNTS: [Count; 18] = [
    Count { title: "Down", selection: &[("group", "database")], expected: "1" },
    Count { title: "Down", selection: &[("target", "refused")], expected: "1" },
    Count { title: "Down", selection: &[("target", "refused"), ("region", "eu-west-1")], expected: "0" },
    Count { title: "Groups down", selection: &[], expected: "1" },
    Count { title: "Groups down", selection: &[("group", "database|web")], expected: "0" },
    Count { title: "Groups down", selection: &[("target", "refused|hasty")], expected: "0" },
    Count { title: "Unwatched", selection: &[], expected: "1" },
    Count { title: "Unwatched", selection: &[("group", "database")], expected: "0" },
    Count { title: "Disagree", selection: &[], expected: "1" },
    Count { title: "Disagree", selection: &[("region", "eu-west-1")], expected: "0" },
    Count { title: "Expiring", selection: &[("target", "hasty")], expected: "1" },
    Count { title: "Silent", selection: &[], expected: "0" },
    Count { title: "Targets", selection: &[("group", "database")], expected: "2" },
    Count { title: "Alerts", selection: &[("target", "refused")], expected: "1" },
    Count { title: "State", selection: &[("target", "hasty")], expected: "1" },
    Count { title: "State", selection: &[("target", "refused")], expected: PARTLY },
    Count { title: "State", selection: &[("target", "hasty|local-fault|refused")], expected: PARTLY },
    Count { title: "State", selection: &[("target", "hasty|refused|unknown-name")], expected: "0" },
];

/// Probers disagree about the target.
const PARTLY: &str = "0.2";

pub(super) async fn assert_right(prometheus: &Prometheus, dashboards: &[Dashboard]) {
    for Count { title, selection, expected } in COUNTS {
        prometheus
            .query_until(&expression(dashboards, title, selection), expected)
            .await;
    }
}

/// The query of a number.
fn expression(dashboards: &[Dashboard], title: &str, selection: &[(&str, &str)]) -> String {
    let shown = ["portprobe-overview", "portprobe-target"];
    let mut panels = shown.iter().flat_map(|uid| {
        let named = dashboards.iter().filter(move |dashboard| dashboard.uid() == *uid);
        named.flat_map(Dashboard::panels)
    });
    let panel = panels.find(|panel| panel.title() == title).unwrap();
    substituted(panel.targets()[0].expression(), &[selection, &VALUES].concat())
}

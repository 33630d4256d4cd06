//! The counts in the overview are right: two daemons probe one target with different results.

use super::answers::VALUES;
use crate::support::dashboards::{Dashboard, substituted};
use crate::support::services::Prometheus;

/// A count in the overview.
struct Count {
    title: &'static str,
    chosen: &'static [(&'static str, &'static str)],
    is: u32,
}

const COUNTS: [Count; 10] = [
    Count { title: "Down", chosen: &[("group", "database")], is: 1 },
    Count { title: "Up", chosen: &[("group", "database")], is: 1 },
    Count { title: "Unknown", chosen: &[("group", "database")], is: 0 },
    Count { title: "Unknown", chosen: &[], is: 1 },
    Count { title: "Seen differently", chosen: &[], is: 1 },
    Count { title: "Seen differently", chosen: &[("region", "eu-west-1")], is: 0 },
    Count { title: "Down", chosen: &[("target", "refused")], is: 1 },
    Count { title: "Up", chosen: &[("target", "refused"), ("region", "eu-west-1")], is: 1 },
    Count { title: "Groups down", chosen: &[], is: 1 },
    Count { title: "Groups down", chosen: &[("group", "database|web")], is: 0 },
];

pub(super) async fn assert_right(prometheus: &Prometheus, dashboards: &[Dashboard]) {
    for Count { title, chosen, is } in COUNTS {
        prometheus
            .query_until(&expression(dashboards, title, chosen), &is.to_string())
            .await;
    }
    let [down, up, unknown] = ["Down", "Up", "Unknown"].map(|title| expression(dashboards, title, &[]));
    let all = "count(group by (target) (portprobe_target_info))";
    prometheus
        .query_until(&format!("({down}) + ({up}) + ({unknown}) - {all}"), "0")
        .await;
}

/// The query of a count in the overview.
fn expression(dashboards: &[Dashboard], title: &str, chosen: &[(&str, &str)]) -> String {
    let overview = dashboards
        .iter()
        .find(|dashboard| dashboard.uid() == "portprobe-overview")
        .unwrap();
    let panels = overview.panels();
    let panel = panels.iter().find(|panel| panel.title() == title).unwrap();
    substituted(panel.targets()[0].expression(), &[chosen, &VALUES].concat())
}

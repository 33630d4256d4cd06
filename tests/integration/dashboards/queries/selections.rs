//! The variables of a dashboard restrict everything below them.

use std::net::SocketAddr;

use super::responses::response;
use crate::support::dashboards::Dashboard;
use crate::support::services::Prometheus;
use crate::support::wait;

pub(super) async fn assert_narrow(prometheus: &Prometheus, dashboards: &[Dashboard], supplement: SocketAddr) {
    let supplement = supplement.to_string();
    for (selection, label, left) in [
        (("group", "database"), "target", &["db-primary", "db-standby"][..]),
        (("group", "database"), "group", &["database"]),
        (("target", "tls"), "target", &["tls"]),
        (("region", "eu-west-1"), "instance", &[supplement.as_str()]),
    ] {
        wait::until(&format!("{selection:?} leaves some {label}"), async || {
            let mut seen = 0;
            for dashboard in dashboards {
                seen += narrowed(prometheus, dashboard, selection, label, left).await;
            }
            seen > 5
        })
        .await;
    }
}

/// Counts the series with the label, and asserts that each value is among those that the selection leaves.
async fn narrowed(
    prometheus: &Prometheus,
    dashboard: &Dashboard,
    selection: (&str, &str),
    label: &str,
    left: &[&str],
) -> usize {
    let mut seen = 0;
    for panel in dashboard.panels() {
        for target in panel.targets() {
            let response = response(prometheus, target, &[selection]).await.unwrap();
            for value in response.series.iter().filter_map(|series| series.get(label)?.as_str()) {
                assert!(left.contains(&value), "{} of {:?}: {selection:?} leaves {value}", target.id(), panel.title());
                seen += 1;
            }
        }
    }
    seen
}

//! The variables of a dashboard restrict everything below them.

use std::net::SocketAddr;

use super::answers::answer;
use crate::support::dashboards::Dashboard;
use crate::support::services::Prometheus;
use crate::support::wait;

/// It has labels of the user, so that joins need the labels of all targets.
const NOT_BY_GROUP: (&str, &str) = ("portprobe-target", "Dialogue");

pub(super) async fn assert_narrow(prometheus: &Prometheus, dashboards: &[Dashboard], supplement: SocketAddr) {
    let supplement = supplement.to_string();
    for (choice, label, left) in [
        (("group", "database"), "target", &["db-primary", "db-standby"][..]),
        (("group", "database"), "group", &["database"]),
        (("target", "tls"), "target", &["tls"]),
        (("region", "eu-west-1"), "instance", &[supplement.as_str()]),
    ] {
        wait::until(&format!("{choice:?} leaves something of each {label}"), async || {
            let mut seen = 0;
            for dashboard in dashboards {
                seen += narrowed(prometheus, dashboard, choice, label, left).await;
            }
            seen > 5
        })
        .await;
    }
}

/// The number of series with the label; each value is one of those that the selection leaves.
async fn narrowed(
    prometheus: &Prometheus,
    dashboard: &Dashboard,
    choice: (&str, &str),
    label: &str,
    left: &[&str],
) -> usize {
    let mut seen = 0;
    for panel in dashboard.panels() {
        if choice.0 == "group" && (dashboard.uid(), panel.title()) == NOT_BY_GROUP {
            continue;
        }
        for target in panel.targets() {
            let answer = answer(prometheus, target, &[choice]).await.unwrap();
            for value in answer.series.iter().filter_map(|series| series.get(label)?.as_str()) {
                assert!(left.contains(&value), "{} of {:?}: {choice:?} leaves {value}", target.id(), panel.title());
                seen += 1;
            }
        }
    }
    seen
}

//! Alerts from the probe to the receiver, with the rules in a real Prometheus and the example in a real Alertmanager.

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::process::Command;
use std::thread;

use nix::sys::signal::Signal;
use regex::Regex;
use serde_json::json;

use crate::support::daemon::Daemon;
use crate::support::netns::{self, Far, ip};
use crate::support::services::alerting::{Alerting, Generation, Hold, Notification, alerts, generations};
use crate::support::services::{self, Service};
use crate::support::wait;

#[tokio::test]
async fn an_outage_notifies_the_owner_of_the_target() {
    for generation in generations() {
        let Some(mut database) = services::postgresql().await else { return };
        let daemon = prober_of(&database).await;
        let alerting = Alerting::start(&generation, daemon.address, "2s", Hold::Short).await;
        alerting.prometheus.query_until("portprobe_up", "1").await;
        database.stop();
        assert_owner_is_notified(&alerting, &daemon).await;
        assert_resolved(&alerting, &mut database).await;
    }
}

/// Up for seconds between outages. Each outage would be a page if the alert ended with it.
#[tokio::test]
async fn a_flapping_target_is_one_page() {
    for generation in generations() {
        let Some(mut database) = services::postgresql().await else { return };
        let daemon = prober_of(&database).await;
        let alerting = Alerting::start(&generation, daemon.address, "2s", Hold::Unchanged).await;
        alerting.prometheus.query_until("portprobe_up", "1").await;
        for _ in 0..3 {
            database.stop();
            alerting.prometheus.query_until("target:portprobe_unserved:held2m", "1").await;
            alerting.notified_until("PortprobeTargetDown", "firing", &RECEIVERS).await;
            database.start_again().await;
            alerting.prometheus.query_until("target:portprobe_unserved:held2m", "0").await;
        }
        alerting.flushed().await;
        let mut pages: Vec<_> = alerting.notifications();
        pages.retain(|one| alert(one) == "PortprobeTargetDown" && one.receiver == "orders-pagerduty");
        assert_eq!(pages.len(), 1, "{pages:#?}");
        assert_eq!(pages[0].status, "firing");
    }
}

/// The receivers of critical alerts about targets of the team orders.
const RECEIVERS: [&str; 3] = ["owner", "orders-pagerduty", "orders-slack"];

/// A daemon that probes this database every second, as target `orders-db`.
async fn prober_of(database: &Service) -> Daemon {
    Daemon::start(&format!(
        "defaults: {{ interval: 1s }}\n\
         targets: [ {{ url: 'tcp://{}', name: orders-db, labels: {{ team: orders, owner: dba@example.com }} }} ]\n",
        database.address
    ))
    .await
}

/// The owner is notified with target, reason and runbook, and no other receiver is notified.
async fn assert_owner_is_notified(alerting: &Alerting, daemon: &Daemon) {
    let notification = alerting.notified_until("PortprobeTargetDown", "firing", &RECEIVERS).await;
    let label = |name: &str| notification.labels[name].as_str().unwrap().to_owned();
    assert_eq!([label("target"), label("team"), label("owner")], ["orders-db", "orders", "dba@example.com"]);
    assert_eq!(notification.annotations["summary"], "orders-db is down (refused in connect)");
    let description = notification.annotations["description"].as_str().unwrap();
    let since = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC";
    let expected = format!(
        "^orders-db \\(tcp://[0-9.:]+\\) has been down since {since}, as seen by {}. A RST or an ICMP port unreachable answered \
         the SYN: the host is up, but nothing listens on the port. To repeat the probe, run there: portprobe probe \
         --config.file /etc/portprobe/portprobe.yaml 'orders-db'$",
        daemon.address
    );
    assert!(Regex::new(&expected).unwrap().is_match(description), "{description}");
    let dashboard = "https://grafana.example.com/d/portprobe-target?var-target=orders-db";
    assert_eq!(notification.annotations["dashboard_url"], dashboard);
    assert_eq!((notification.labels.get("class"), notification.labels.get("phase")), (None, None));
    let others = alerting.notifications();
    let unexpected = others
        .iter()
        .find(|one| one.receiver == "orders-pagerduty-second" || one.receiver == "mail");
    assert!(unexpected.is_none(), "{unexpected:?}");
}

async fn assert_resolved(alerting: &Alerting, database: &mut Service) {
    database.start_again().await;
    alerting.notified_until("PortprobeTargetDown", "resolved", &RECEIVERS).await;
}

/// A daemon that probes fifty hosts in another namespace.
async fn fifty(far: &Far) -> Daemon {
    far.run(|| {
        for host in 101..=150 {
            ip(&format!("address add 10.99.0.{host}/24 dev far"));
            let listener = TcpListener::bind((Ipv4Addr::new(10, 99, 0, host), 80)).unwrap();
            thread::spawn(move || listener.incoming().for_each(drop));
        }
    });
    let urls: Vec<_> = (101..=150).map(|host| format!("'tcp://10.99.0.{host}:80'")).collect();
    Daemon::start(&format!(
        "defaults: {{ interval: 2s, timeout: 1s, confirm: {{ delay: 500ms }} }}\n\
         targets: [ {{ urls: [{}], labels: {{ team: orders }} }} ]\n",
        urls.join(", ")
    ))
    .await
}

/// A network failure of a portprobe, and its repair.
type Cut = (fn(&Far), fn(&Far));

#[test]
fn an_unreachable_portprobe_causes_a_single_alert() {
    let interface: Cut = (|_| ip("link set near down"), |_| ip("link set near up"));
    let cable: Cut = (|far| far.run(|| ip("link set far down")), |far| far.run(|| ip("link set far up")));
    for (generation, cut) in generations().into_iter().zip([interface, cable]) {
        netns::inside(async move || assert_single_alert(&generation, cut).await);
    }
}

async fn assert_single_alert(generation: &Generation, (cut, mend): Cut) {
    let far = Far::linked();
    let daemon = fifty(&far).await;
    let alerting = Alerting::start(generation, daemon.address, "10s", Hold::Short).await;
    alerting.prometheus.query_until("sum(portprobe_up)", "50").await;
    cut(&far);
    let notification = alerting
        .notified_until("PortprobeBlind", "firing", &["pagerduty", "webhook"])
        .await;
    let description = notification.annotations["description"].as_str().unwrap();
    assert!(description.contains("the fault is probably its own machine or network"), "{description}");
    wait::until_patiently("fifty alerts are inhibited", async || alerting.inhibited("PortprobeTargetDown").await == 50)
        .await;
    alerting.flushed().await;
    assert_nothing_else(&alerting);
    mend(&far);
    wait::until_patiently("all are up again", async || {
        alerting
            .prometheus
            .query("ALERTS{alertname='PortprobeTargetDown'}")
            .await
            .is_empty()
    })
    .await;
    alerting.flushed().await;
    assert_nothing_else(&alerting);
    daemon.signal(Signal::SIGTERM);
}

/// Asserts that all notifications are about the unreachable portprobe.
fn assert_nothing_else(alerting: &Alerting) {
    let notifications = alerting.notifications();
    let others: Vec<_> = notifications
        .iter()
        .filter(|one| !["PortprobeBlind", "Marker"].contains(&alert(one)))
        .collect();
    assert!(others.is_empty(), "{others:#?}");
}

fn alert(notification: &Notification) -> &str {
    notification.labels["alertname"].as_str().unwrap()
}

/// Labels of alerts, each with the expected receivers.
const ROUTES: [(&str, &str); 10] = [
    (
        "alertname=PortprobeTargetDown severity=critical team=orders owner=dba@example.com",
        "owner,orders-pagerduty,orders-pagerduty-second,orders-slack",
    ),
    (
        "alertname=PortprobeTargetDown severity=critical team=orders",
        "orders-pagerduty,orders-pagerduty-second,orders-slack",
    ),
    ("alertname=PortprobeTargetSlow severity=warning team=orders", "orders-slack"),
    ("alertname=PortprobeTargetDown severity=critical team=sessions", "sessions-telegram"),
    ("alertname=PortprobeTargetSlow severity=warning team=sessions", "sessions-discord"),
    ("alertname=PortprobeTargetDown severity=critical", "pagerduty,webhook"),
    ("alertname=PortprobeTargetDown severity=critical owner=dba", "pagerduty,webhook"),
    ("alertname=PortprobeBlind severity=critical", "pagerduty,webhook"),
    ("alertname=PortprobeReloadFailed severity=warning", "mail"),
    ("alertname=PortprobeCertificateChanged severity=info team=orders owner=dba@example.com", "mail"),
];

#[test]
fn the_example_routes_lead_to_their_receivers() {
    for generation in generations() {
        let example = alerts().join("alertmanager.yaml");
        let checked = Command::new(&generation.amtool)
            .arg("check-config")
            .arg(&example)
            .output()
            .unwrap();
        assert!(checked.status.success(), "{checked:?}");
        for (labels, receivers) in ROUTES {
            let mut amtool = Command::new(&generation.amtool);
            amtool
                .args(["config", "routes", "test", "--config.file"])
                .arg(&example)
                .args(labels.split(' '));
            let tested = amtool.arg(format!("--verify.receivers={receivers}")).output().unwrap();
            assert!(tested.status.success(), "{labels}: {}", String::from_utf8_lossy(&tested.stdout));
        }
    }
}

/// Title and text of a notification of alerts with these statuses and summaries.
fn rendered(generation: &Generation, alerts: &[(&str, &str)]) -> String {
    let alert = |&(status, summary): &(&str, &str)| {
        json!({
            "status": status,
            "labels": {
                "alertname": "PortprobeTargetDown", "target": "orders-db", "team": "orders", "owner": "dba@example.com"
            },
            "annotations": {
                "summary": summary,
                "description": "It refuses.",
                "runbook_url": "https://runbooks.example.com/down",
                "dashboard_url": "https://grafana.example.com/down",
            },
            "startsAt": "2026-11-25T03:00:00Z",
        })
    };
    let data = json!({
        "status": alerts[0].0,
        "alerts": alerts.iter().map(alert).collect::<Vec<_>>(),
        "groupLabels": { "alertname": "PortprobeTargetDown" },
        "commonLabels": { "severity": "critical" },
    });
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("data.json");
    fs::write(&file, data.to_string()).unwrap();
    let mut amtool = Command::new(&generation.amtool);
    amtool
        .args(["template", "render", "--template.glob"])
        .arg(self::alerts().join("portprobe.tmpl"));
    amtool.arg("--template.text={{ template \"portprobe.title\" . }}\n{{ template \"portprobe.text\" . }}");
    let output = amtool.arg("--template.data").arg(&file).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_notification_names_target_owner_and_runbook() {
    for generation in generations() {
        assert_eq!(
            rendered(&generation, &[("firing", "orders-db is down")]),
            format!("CRITICAL orders-db is down\norders-db is down\nIt refuses.{REST}")
        );
        assert_eq!(
            rendered(&generation, &[("resolved", "orders-db is down")]),
            format!("RESOLVED PortprobeTargetDown orders-db\nResolved: PortprobeTargetDown orders-db{REST}")
        );
    }
}

/// The end of each alert's text.
const REST: &str = "\nteam orders  owner dba@example.com  since 2026-11-25 03:00:00 UTC\n\
                    https://runbooks.example.com/down\nhttps://grafana.example.com/down\n";

#[test]
fn a_notification_shows_each_different_summary() {
    let [refused, stalled] = ["orders-db is down (refused in connect)", "orders-db is down (stalled in protocol)"];
    for generation in generations() {
        let same = rendered(&generation, &[("firing", refused), ("firing", refused)]);
        assert!(same.starts_with(&format!("CRITICAL {refused} (2)\n")), "{same}");
        assert_eq!(
            rendered(&generation, &[("firing", refused), ("firing", stalled)]),
            format!("CRITICAL PortprobeTargetDown (2)\n{refused}\nIt refuses.{REST}{stalled}\nIt refuses.{REST}")
        );
        let mixed = rendered(&generation, &[("firing", stalled), ("resolved", refused)]);
        assert!(mixed.starts_with(&format!("CRITICAL {stalled}\n{stalled}\n")), "{mixed}");
    }
}

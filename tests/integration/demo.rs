//! `portprobe demo`: the welcome text, every state within ten seconds, and a clean exit.

use std::cell::RefCell;
use std::net::TcpListener;

use nix::sys::signal::Signal;

use crate::support::daemon::{Daemon, finished, portprobe};
use crate::support::scrape::Scrape;
use crate::support::wait;

const UP: [&str; 8] =
    ["open", "slow-dns", "closed-on-purpose", "db-standby", "tls", "tls-expiring", "dialogue", "postgres"];

/// Failing targets, each with its phase and class.
const DOWN: [(&str, &str, &str); 21] = [
    ("refused", "connect", "refused"),
    ("full-queue", "connect", "timeout"),
    ("unreachable", "connect", "unreachable"),
    ("unknown-name", "resolve", "dns_not_found"),
    ("failing-dns", "resolve", "dns_error"),
    ("silent-dns", "resolve", "dns_timeout"),
    ("moved", "resolve", "address_mismatch"),
    ("half-dead", "connect", "refused"),
    ("open-by-mistake", "connect", "unexpected_open"),
    ("db-primary", "connect", "refused"),
    ("mail-1", "connect", "refused"),
    ("mail-2", "connect", "refused"),
    ("tls-expired", "tls", "cert_expired"),
    ("tls-wrong-name", "tls", "cert_name_mismatch"),
    ("tls-self-signed", "tls", "cert_untrusted"),
    ("tls-client-cert", "tls", "tls_alert"),
    ("tls-to-plain", "tls", "tls_protocol"),
    ("tls-silent", "tls", "stalled"),
    ("tls-reset", "tls", "reset"),
    ("postgres-hung", "protocol", "stalled"),
    ("postgres-full", "protocol", "rejected"),
];

async fn demo() -> Daemon {
    let mut command = portprobe();
    command.args(["demo", "--web.listen-address=127.0.0.1:0", "--log.level=info"]);
    Daemon::run(command, tempfile::tempdir().unwrap()).await
}

/// Returns the states that are missing on `/metrics`.
pub(super) fn missing(scrape: &Scrape) -> Vec<String> {
    let value = |name: &str, labels: &[(&str, &str)]| scrape.value(&format!("portprobe_{name}"), labels);
    let mut missing = Vec::new();
    let mut expect = |what: String, holds: bool| {
        if !holds {
            missing.push(what);
        }
    };
    for name in UP {
        expect(format!("{name} is up"), value("up", &[("target", name)]) == Some(1.0));
    }
    for (name, phase, class) in DOWN {
        let failure = value("failure", &[("target", name), ("phase", phase), ("class", class)]);
        let down = value("up", &[("target", name)]) == Some(0.0) && failure == Some(1.0);
        expect(format!("{name} is down by {class} in {phase}"), down);
    }
    for (name, labels, expected) in [
        ("group_up", &[("group", "database")], 1.0),
        ("group_min_up", &[("group", "database")], 1.0),
        ("group_targets", &[("group", "database")], 2.0),
        ("group_up", &[("group", "mail")], 0.0),
        ("slow", &[("target", "slow-dns")], 1.0),
    ] {
        expect(format!("{name} {labels:?} is {expected}"), value(name, labels) == Some(expected));
    }
    for (ip, expected) in [("127.0.0.1", 1.0), ("127.0.0.2", 0.0)] {
        let success = value("address_success", &[("target", "half-dead"), ("ip", ip)]);
        expect(format!("{ip} of half-dead is {expected}"), success == Some(expected));
    }
    for (name, verified, days) in [("tls", 1.0, 90), ("tls-expiring", 1.0, 3), ("tls-expired", 0.0, -3)] {
        let not_after = value("cert_not_after_timestamp_seconds", &[("target", name)]);
        let probed = value("last_probe_timestamp_seconds", &[("target", name)]);
        let left = not_after.zip(probed).map(|(not_after, probed)| (not_after - probed) / 86_400.0);
        let right = left.is_some_and(|left| (f64::from(days) - 0.1..f64::from(days) + 0.1).contains(&left));
        expect(format!("{name} expires in {days} days"), right);
        let shown = value("cert_verified", &[("target", name)]);
        expect(format!("{name} is {verified} verified"), shown == Some(verified));
    }
    let greeting = [("target", "dialogue"), ("server", "demo.test"), ("speaks", "ESMTP")];
    expect("the greeting is a label".into(), value("dialogue_info", &greeting) == Some(1.0));
    let service = [("target", "postgres"), ("protocol", "postgres"), ("version", "16.4")];
    expect("the database's version is a label".into(), value("service_info", &service) == Some(1.0));
    for (name, label) in [
        ("outages_total", ("target", "comes-and-goes")),
        ("tcp_syn_retransmits_total", ("target", "busy")),
        ("local_faults_total", ("reason", "no_port")),
    ] {
        expect(format!("{name} of {} rises", label.1), value(name, &[label]) >= Some(1.0));
    }
    missing
}

#[tokio::test]
async fn every_state_appears_within_ten_seconds() {
    let mut daemon = demo().await;
    let waited_for = RefCell::new(Vec::new());
    let complete = |scrape: &Scrape| {
        let before = waited_for.replace(missing(scrape));
        let left = waited_for.borrow();
        if *left != before {
            println!("missing: {left:#?}");
        }
        left.is_empty()
    };
    let scrape = daemon.scrape_until("every state is as expected", complete).await;
    assert_eq!(scrape.of("local-fault", "portprobe_up"), None, "its state is unknown");
    assert_eq!(scrape.value("portprobe_targets", &[]), Some(32.0), "every target is checked here");
    daemon.signal(Signal::SIGTERM);
    assert_eq!(daemon.ended().await.code(), Some(0));
    wait::until("the log is complete", async || daemon.logged(&["Stopped"]).len() == 1).await;
}

#[tokio::test]
async fn the_welcome_lists_addresses_and_commands() {
    let daemon = demo().await;
    let address = daemon.address.to_string();
    wait::until("the welcome is complete", async || {
        daemon.printed().last().is_some_and(|line| line.contains("Ctrl-C"))
    })
    .await;
    let printed = daemon.printed();
    assert!(printed.iter().all(|line| line.chars().count() <= 80), "{printed:#?}");
    for part in [&format!("http://{address}/"), &format!("http://{address}/metrics")] {
        assert!(printed.iter().any(|line| line.ends_with(part)), "{part}: {printed:#?}");
    }
    for name in UP.into_iter().chain(DOWN.map(|(name, ..)| name)) {
        assert!(printed.iter().any(|line| line.trim_start().starts_with(&format!("{name} "))), "{name}: {printed:#?}");
    }
    let folder = tempfile::tempdir().unwrap();
    let tried: Vec<_> = printed.iter().filter_map(|line| line.split_once("portprobe probe ")).collect();
    for ((_, arguments), part) in tried.iter().zip(["refused in connect", "succeeded in ", "cert_expired in tls"]) {
        let arguments: Vec<_> = ["probe"].into_iter().chain(arguments.split(' ')).collect();
        let finished = finished(&arguments, folder.path());
        assert!(finished.stdout.contains(part), "{arguments:?}: {finished:?}");
    }
    assert_eq!(tried.len(), 3, "{printed:#?}");
}

#[test]
fn the_demo_names_a_port_in_use() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let finished = finished(&["demo", &format!("--web.listen-address={address}")], folder.path());
    assert_eq!(finished.status, 1);
    assert!(finished.stdout.is_empty(), "{finished:?}");
    assert!(finished.stderr.contains(&format!("cannot listen on {address}; ")), "{finished:?}");
}

//! Tests of TLS in the daemon: tables of servers in every state with their expected metrics.

use std::fs;

use super::tls::rows::Row;
use crate::support::daemon::Daemon;
use crate::support::scrape::Scrape;
use crate::support::wait;

mod certificates;
mod others;
mod peers;
mod renewal;
mod rows;

/// Returns the differences between a row and the metrics.
fn missing(row: &Row, scrape: &Scrape) -> Vec<String> {
    let value = |name: &str, labels: &[(&str, &str)]| {
        let labels: Vec<_> = labels.iter().copied().chain([("target", row.name)]).collect();
        scrape.value(&format!("portprobe_{name}"), &labels)
    };
    let mut missing = Vec::new();
    let mut expect = |what: String, found: Option<f64>, expected: Option<f64>| {
        if found != expected {
            missing.push(format!("{}: {what} is {found:?}, not {expected:?}", row.name));
        }
    };
    expect("up".into(), value("up", &[]), Some(f64::from(u8::from(row.failure.is_none()))));
    if let Some((phase, class)) = row.failure {
        let labels = [("phase", phase), ("class", class)];
        expect(format!("failure {labels:?}"), value("failure", &labels), Some(1.0));
    }
    let verified = row.not_after.map(|_| f64::from(u8::from(row.faults.is_empty())));
    expect("verified".into(), value("cert_verified", &[]), verified);
    #[expect(clippy::cast_precision_loss, reason = "seconds fit")]
    let not_after = row.not_after.map(|not_after| not_after as f64);
    expect("not_after".into(), value("cert_not_after_timestamp_seconds", &[]), not_after);
    for fault in FAULTS {
        let there = row.faults.contains(fault).then_some(1.0);
        expect((*fault).to_owned(), value("cert_fault", &[("class", fault)]), there);
    }
    if let Some(version) = row.version {
        expect(format!("version {version}"), value("tls_info", &[("version", version)]), Some(1.0));
    }
    missing
}

const FAULTS: &[&str] = &[
    "cert_expired",
    "cert_not_yet_valid",
    "cert_revoked",
    "cert_untrusted",
    "cert_name_mismatch",
    "cert_pin_mismatch",
    "cert_invalid",
];

/// Starts a daemon that probes every row, and waits until all metrics are as expected.
async fn assert_rows(rows: &[Row], files: &[(&str, String)]) -> (Daemon, Scrape) {
    let folder = tempfile::tempdir().unwrap();
    for (name, content) in files {
        fs::write(folder.path().join(name), content).unwrap();
    }
    let mut config =
        "defaults: { interval: 4s, timeout: 1500ms, confirm: { delay: 100ms }, tls: { ca_file: root.pem } }\n\
                      limits: { per_host: 0 }\ntargets:\n"
            .to_owned();
    for row in rows {
        config.push_str(&row.yaml());
    }
    fs::write(folder.path().join("portprobe.yaml"), config).unwrap();
    let daemon = Daemon::start_in(folder, &[]).await;
    let mut scrape = daemon.scrape().await;
    wait::until_none_missing(async || {
        scrape = daemon.scrape().await;
        rows.iter().flat_map(|row| missing(row, &scrape)).collect()
    })
    .await;
    (daemon, scrape)
}

//! CPU time of a probe, daemon and `blackbox_exporter` alternating, both scraped like by Prometheus.

use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use tokio::time::Instant;

use super::blackbox::{self, Blackbox};
use super::cost::Cost;
use super::plan::Plan;
use super::probing::rounds;
use super::process::{Daemon, Load, Observation};
use super::report::{Aim, Figure, Report, Unit};
use super::scrape::{Encoding, Format};
use super::scrape_client::ScrapeClient;
use super::servers::Servers;
use super::tls_servers::TlsServers;
use super::tools::{self, NO_BLACKBOX};

/// Plain connects, at two rates.
pub(crate) fn tcp(plan: &Plan, servers: &Servers, report: &mut Report) {
    for targets in [10_000, 30_000] {
        let load = Load { addresses: servers.addresses(), targets, interval: INTERVAL, in_flight: None, root: None };
        compare("Connects", plan, &load, Aim::AtMost(0.1), report);
    }
}

/// Verified handshakes, each target with a separate certificate.
pub(crate) fn tls(plan: &Plan, servers: &TlsServers, report: &mut Report) {
    let (addresses, root) = (servers.addresses(), Some(servers.root_pem()));
    let load = Load { addresses, targets: 10_000, interval: INTERVAL, in_flight: None, root };
    compare("TLS 1.3 with P-256, verified", plan, &load, Aim::AtMost(0.25), report);
}

fn compare(what: &str, plan: &Plan, load: &Load<'_>, aim: Aim, report: &mut Report) {
    let rate = load.rate();
    let title = format!(
        "{what}, {rate:.0} per second, scraped every {} s, compared with blackbox_exporter",
        INTERVAL.as_secs()
    );
    let Some(program) = tools::blackbox() else {
        report.section(title);
        report.skipped(NO_BLACKBOX);
        return;
    };
    let rounds = rounds(plan.long_rounds, |round| {
        let turns = (daemon(load), exporter(&program, load));
        eprintln!("{what}, {rate:.0} per second, blackbox_exporter and daemon, round {round} of {}", plan.long_rounds);
        turns
    });
    report.section(title);
    report_turns(&rounds, aim, report);
}

/// Probes every target once, with a scrape as by Prometheus.
fn daemon(load: &Load<'_>) -> Observation {
    let daemon = Daemon::start(load);
    daemon.wait_until_all_probed(load.interval);
    daemon.observe(|| {
        let end = Instant::now() + INTERVAL;
        sleep(INTERVAL / 2);
        daemon.scrape(Format::OpenMetrics, Encoding::Gzip);
        sleep(end.saturating_duration_since(Instant::now()));
    })
}

/// The cost of an exporter, and its failed probes.
#[derive(Clone, Copy, Debug)]
struct ExporterObservation {
    cost: Cost,
    failed: f64,
}

/// Probes every target once, after the connections are open.
fn exporter(program: &Path, load: &Load<'_>) -> ExporterObservation {
    let exporter = Blackbox::start(program, load.root);
    let client = ScrapeClient::start(exporter.address(), blackbox::paths(load), load.interval);
    exporter.wait_for_age(Duration::from_secs(3));
    let (started, cpu_before) = (Instant::now(), exporter.cpu());
    let (succeeded_before, failed_before) = client.results();
    sleep(INTERVAL);
    let (succeeded, failed) = client.results();
    let (cpu, wall) = (exporter.cpu().saturating_sub(cpu_before), started.elapsed());
    let failed = failed - failed_before;
    ExporterObservation { cost: Cost { probes: succeeded - succeeded_before + failed, cpu, wall }, failed }
}

fn report_turns(rounds: &[(Observation, ExporterObservation)], aim: Aim, report: &mut Report) {
    let daemon = || rounds.iter().map(|(daemon, _)| daemon);
    let exporter = || rounds.iter().map(|(_, exporter)| exporter);
    let mut add =
        |name: &str, unit: Unit, of_daemon: fn(&Observation) -> f64, of_exporter: fn(&ExporterObservation) -> f64| {
            report.add(&Figure::new(format!("blackbox_exporter, {name}"), unit, exporter().map(of_exporter)));
            report.add(&Figure::new(format!("daemon, {name}"), unit, daemon().map(of_daemon)));
        };
    add("probes", Unit::PerSecond, |daemon| daemon.cost.rate(), |exporter| exporter.cost.rate());
    add("failed probes", Unit::Count, |daemon| daemon.failed, |exporter| exporter.failed);
    add("CPU per probe", Unit::Microseconds, |daemon| daemon.cost.each(), |exporter| exporter.cost.each());
    let ratios = rounds
        .iter()
        .map(|(daemon, exporter)| daemon.cost.each() / exporter.cost.each());
    report.add(&Figure::new("ratio to blackbox_exporter", Unit::Ratio, ratios).aim(aim));
}

/// The interval of probes and scrapes, as is usual with Prometheus.
const INTERVAL: Duration = Duration::from_secs(15);

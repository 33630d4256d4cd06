//! CPU time of Prometheus together with a prober, and memory of Prometheus: portprobe compared with `blackbox_exporter`.

use std::fmt::Write as _;
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use tokio::time::Instant;

use super::blackbox::Blackbox;
use super::plan::Plan;
use super::probing::rounds;
use super::process::{Daemon, Load};
use super::prometheus::Prometheus;
use super::report::{Aim, Figure, Report, Unit};
use super::running::Running;
use super::servers::Servers;
use super::tls_servers;
use super::tools::{self, NO_BLACKBOX, NO_PROMETHEUS};

/// Compares `blackbox_exporter` with portprobe, with classic and with native histograms, for the same targets.
pub(crate) fn compare(plan: &Plan, servers: &Servers, report: &mut Report) {
    let load =
        Load { addresses: servers.addresses(), targets: TARGETS, interval: INTERVAL, in_flight: None, root: None };
    let title = format!("Prometheus and prober, {TARGETS} targets every {} s", INTERVAL.as_secs());
    let (prometheus, exporter) = match (tools::prometheus(), tools::blackbox()) {
        (Some(prometheus), Some(exporter)) => (prometheus, exporter),
        (prometheus, _) => {
            report.section(title);
            report.skipped(if prometheus.is_none() { NO_PROMETHEUS } else { NO_BLACKBOX });
            return;
        }
    };
    let rounds = rounds(plan.long_rounds, |round| {
        let turns = Turns {
            exporter: with_blackbox(plan, &prometheus, &exporter, &load),
            classic: with_daemon(plan, &prometheus, &load, &[]),
            native: with_daemon(plan, &prometheus, &load, &[NATIVE]),
        };
        eprintln!("Prometheus and prober, round {round} of {}", plan.long_rounds);
        turns
    });
    report.section(title);
    report_turns(&rounds, report);
}

/// One round of each.
#[derive(Clone, Copy, Debug)]
struct Turns {
    exporter: Both,
    classic: Both,
    native: Both,
}

/// The cost of Prometheus and a prober together: CPU seconds per second, and bytes.
#[derive(Clone, Copy, Debug)]
struct Both {
    targets_up: f64,
    series: f64,
    cpu: f64,
    prometheus_resident: f64,
}

fn with_daemon(plan: &Plan, program: &Path, load: &Load<'_>, flags: &[&str]) -> Both {
    let daemon = Daemon::start(load);
    let address = daemon.address();
    let job = format!("  - {{ job_name: portprobe, static_configs: [{{ targets: [\"{address}\"] }}] }}\n");
    let prometheus = Prometheus::start(program, &job, flags);
    observe(plan, &prometheus, &daemon, "sum(portprobe_up)")
}

fn with_blackbox(plan: &Plan, program: &Path, exporter: &Path, load: &Load<'_>) -> Both {
    let exporter = Blackbox::start(exporter, load.root);
    let prometheus = Prometheus::start(program, &relabelled(&exporter, load), &[]);
    observe(plan, &prometheus, &exporter, "sum(probe_success)")
}

/// A scrape of the exporter for each target. Many targets share an address, so the name of each is its instance.
fn relabelled(exporter: &Running, load: &Load<'_>) -> String {
    let exporter = exporter.address();
    let mut yaml = format!(
        r#"  - job_name: blackbox
    metrics_path: /probe
    params: {{ module: [tcp] }}
    relabel_configs:
      - {{ source_labels: [__address__], regex: "(.*)@.*", target_label: __param_target }}
      - {{ source_labels: [__address__], regex: ".*@(.*)", target_label: instance }}
      - {{ target_label: __address__, replacement: "{exporter}" }}
    static_configs:
      - targets:
"#
    );
    for (number, address) in (0..load.targets).zip(load.addresses.iter().cycle()) {
        writeln!(yaml, "          - \"{address}@tcp://{}:443\"", tls_servers::name(number)).unwrap();
    }
    yaml
}

/// Observes them for the planned time, once every target was scraped twice.
fn observe(plan: &Plan, prometheus: &Prometheus, prober: &Running, up: &str) -> Both {
    prometheus.wait_for_age(INTERVAL * 2 + Duration::from_secs(3));
    let cpu = || prometheus.cpu() + prober.cpu();
    let (started, cpu_before) = (Instant::now(), cpu());
    let mut resident = Vec::new();
    while started.elapsed() < plan.with_prometheus {
        sleep(Duration::from_secs(1));
        resident.push(prometheus.resident_bytes());
    }
    let cpu = cpu().saturating_sub(cpu_before).as_secs_f64() / started.elapsed().as_secs_f64();
    Both {
        targets_up: prometheus.value(up),
        series: prometheus.series(),
        cpu,
        prometheus_resident: resident.iter().sum::<f64>() / resident.len() as f64,
    }
}

fn report_turns(rounds: &[Turns], report: &mut Report) {
    let mut add = |figure: &str, unit: Unit, value: fn(&Both) -> f64| {
        let mut way = |name: &str, both: fn(&Turns) -> &Both| {
            let values = rounds.iter().map(|turns| value(both(turns)));
            report.add(&Figure::new(format!("{name}, {figure}"), unit, values));
        };
        way("blackbox_exporter", |turns| &turns.exporter);
        way("daemon", |turns| &turns.classic);
        way("daemon, native", |turns| &turns.native);
    };
    add("targets up", Unit::Count, |both| both.targets_up);
    add("series", Unit::Count, |both| both.series);
    add("CPU per second", Unit::Milliseconds, |both| both.cpu);
    add("memory of Prometheus", Unit::Megabytes, |both| both.prometheus_resident);
    let ratio = |name: &str, value: fn(&Both) -> f64, both: fn(&Turns) -> &Both| {
        let ratios = rounds.iter().map(|turns| value(both(turns)) / value(&turns.exporter));
        Figure::new(format!("{name}, ratio to blackbox_exporter"), Unit::Ratio, ratios)
    };
    let cpu_aim = Aim::AtMost(0.1);
    report.add(&ratio("CPU", |both| both.cpu, |turns| &turns.classic).aim(cpu_aim));
    report.add(&ratio("CPU, native", |both| both.cpu, |turns| &turns.native).aim(cpu_aim));
    report.add(&ratio("memory", |both| both.prometheus_resident, |turns| &turns.classic));
    report.add(&ratio("memory, native", |both| both.prometheus_resident, |turns| &turns.native).aim(Aim::AtMost(0.33)));
}

const TARGETS: usize = 5_000;

/// The interval of probes and scrapes.
const INTERVAL: Duration = Duration::from_secs(15);

/// Enables native histograms up to 3.8; later versions need `scrape_native_histograms`.
const NATIVE: &str = "--enable-feature=native-histograms";

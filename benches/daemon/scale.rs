//! Large numbers of targets: time to ready, cost of a reload, and a million targets.

use std::fmt::Write as _;
use std::thread::sleep;
use std::time::Duration;

use super::plan::Plan;
use super::probing::report_lag;
use super::process::{Daemon, Load};
use super::report::{Aim, Figure, Report, Unit};
use super::servers::{Servers, host};

/// Starts with [`MANY`] targets, then changes one of them.
pub(crate) fn start(plan: &Plan, servers: &Servers, report: &mut Report) {
    let addresses = servers.addresses();
    let load = Load { addresses, targets: MANY, interval: EVERY, in_flight: None, root: None };
    let start = |round: usize| {
        eprintln!("start with {MANY} targets, round {round} of {}", plan.rounds);
        Daemon::start(&load)
    };
    let earlier: Vec<_> = (1..plan.rounds).map(|round| ready_and_peak(&start(round))).collect();
    let daemon = start(plan.rounds);
    let starts: Vec<_> = earlier.into_iter().chain([ready_and_peak(&daemon)]).collect();
    report.section(format!("Start with {MANY} targets"));
    let ready = Figure::new("ready after", Unit::Seconds, starts.iter().map(|(ready, _)| *ready));
    report.add(&ready.aim(Aim::AtMost(3.0)));
    report.add(&Figure::new("peak memory", Unit::Megabytes, starts.iter().map(|(_, peak)| *peak)));
    reload(plan, &daemon, &load.configuration(), report);
}

/// Changes the first target repeatedly while the others are probed.
fn reload(plan: &Plan, daemon: &Daemon, configuration: &str, report: &mut Report) {
    let changed = configuration.replacen(":443\" }", ":443\", timeout: 4s }", 1);
    daemon.wait_for_age(plan.settle);
    let mut taken = Vec::new();
    let observed = daemon.observe(|| {
        for configuration in [&*changed, configuration].into_iter().cycle().take(plan.rounds) {
            taken.push(daemon.reload(configuration).as_secs_f64());
            sleep(Duration::from_secs(1));
        }
    });
    report.section(format!("Reload of {MANY} targets, one changed"));
    report.add(&Figure::new("reload", Unit::Seconds, taken).aim(Aim::Under(2.0)));
    report.add(&Figure::new("peak memory", Unit::Megabytes, [daemon.peak_bytes()]));
    report.add(&Figure::new("probes", Unit::PerSecond, [observed.cost.rate()]));
    report.add(&Figure::new("probes skipped", Unit::Count, [observed.skipped]).aim(Aim::AtMost(0.0)));
    report_lag(&[&observed], Aim::AtMost(0.011), report);
}

/// A million hosts every minute, without histograms.
pub(crate) fn million(plan: &Plan, report: &mut Report) {
    let port = Servers::everywhere();
    let mut configuration =
        String::from("defaults: { interval: 60s }\nhistograms: { phases: [] }\nlimits: { targets: 0 }\ntargets:\n");
    for number in 0..MILLION {
        writeln!(configuration, "  - tcp://{}:{port}", host(number)).unwrap();
    }
    eprintln!("a million targets, {} s", (plan.settle + plan.watching).as_secs());
    let daemon = Daemon::configured(&configuration, None);
    drop(configuration);
    report.section("A million targets every 60 s, without histograms".to_owned());
    report.add(&Figure::new("ready after", Unit::Seconds, [daemon.ready_after().as_secs_f64()]));
    report.add(&Figure::new("peak memory", Unit::Megabytes, [daemon.peak_bytes()]));
    daemon.wait_for_age(daemon.ready_after() + plan.settle);
    let resident = Figure::new("memory after settling", Unit::Megabytes, [daemon.resident_bytes()]);
    report.add(&if plan.settles_in_full() { resident.aim(Aim::AtMost(800e6)) } else { resident });
    let observed = daemon.observe(|| sleep(plan.watching));
    report.add(&Figure::new("probes", Unit::PerSecond, [observed.cost.rate()]).aim(Aim::AtLeast(16_600.0)));
    report.add(&Figure::new("CPU per probe", Unit::Microseconds, [observed.cost.each()]));
    report.add(&Figure::new("probes failed", Unit::Count, [observed.failed]).aim(Aim::AtMost(0.0)));
    report.add(&Figure::new("probes skipped", Unit::Count, [observed.skipped]).aim(Aim::AtMost(0.0)));
    report_lag(&[&observed], Aim::Under(0.02), report);
    report.add(&Figure::new("memory after two scrapes", Unit::Megabytes, [daemon.resident_bytes()]));
}

/// The time from start to ready in seconds, and the peak memory in bytes.
fn ready_and_peak(daemon: &Daemon) -> (f64, f64) {
    (daemon.ready_after().as_secs_f64(), daemon.peak_bytes())
}

const MANY: usize = 100_000;
const MILLION: u32 = 1_000_000;
const EVERY: Duration = Duration::from_mins(1);

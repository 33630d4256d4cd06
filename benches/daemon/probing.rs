//! CPU time of a probe and delay of its start, baseline and daemon alternating.

use std::thread::sleep;
use std::time::Duration;

use super::baseline;
use super::cost::Cost;
use super::plan::{IN_FLIGHT, Plan};
use super::process::{Daemon, Load, Observation};
use super::report::{Aim, Figure, Report, Unit};
use super::servers::Servers;

/// Maximum throughput, with the same number of probes in flight in both programs.
pub(crate) fn maximum(plan: &Plan, servers: &Servers, report: &mut Report) {
    let rounds = rounds(plan.rounds, |round| {
        let baseline = baseline::maximum(servers.addresses(), IN_FLIGHT, plan.baseline);
        let load = Load {
            addresses: servers.addresses(),
            targets: saturating(baseline),
            interval: SHORTEST_INTERVAL,
            in_flight: Some(IN_FLIGHT),
            root: None,
        };
        let daemon = Daemon::start(&load);
        daemon.wait_for_age(Duration::from_secs(2));
        let observed = daemon.observe(|| sleep(plan.daemon));
        eprintln!("maximum throughput, round {round} of {}", plan.rounds);
        (baseline, observed)
    });
    report.section(format!("Maximum throughput, {IN_FLIGHT} probes in flight"));
    report_costs(&rounds, Aim::AtMost(1.2), report);
}

/// Large but realistic loads: 10,000 targets every 15 s and every 5 s.
pub(crate) fn paced(plan: &Plan, servers: &Servers, report: &mut Report) {
    for interval in [Duration::from_secs(15), BUSY_INTERVAL] {
        let load = usual_load(servers, interval);
        let rate = load.rate();
        let rounds = rounds(plan.rounds, |round| {
            let baseline = baseline::paced(servers.addresses(), rate, plan.baseline);
            let daemon = Daemon::start(&load);
            daemon.wait_until_all_probed(interval);
            let observed = daemon.observe(|| sleep(plan.daemon));
            eprintln!("{rate:.0} per second, round {round} of {}", plan.rounds);
            (baseline, observed)
        });
        report.section(format!("{} targets, {rate:.0} probes per second", load.targets));
        report_costs(&rounds, Aim::AtMost(0.6), report);
        let observed: Vec<_> = rounds.iter().map(|(_, observed)| observed).collect();
        report_lag(&observed, Aim::Under(0.012), report);
    }
}

/// 10,000 targets.
pub(crate) fn usual_load(servers: &Servers, interval: Duration) -> Load<'_> {
    Load { addresses: servers.addresses(), targets: 10_000, interval, in_flight: None, root: None }
}

/// Reports the delay of starts.
pub(crate) fn report_lag(observed: &[&Observation], aim: Aim, report: &mut Report) {
    let lag = |quantile: f64| observed.iter().map(move |observed| observed.lag.quantile(quantile));
    report.add(&Figure::new("start lag p50", Unit::Milliseconds, lag(0.5)));
    report.add(&Figure::new("start lag p99", Unit::Milliseconds, lag(0.99)).aim(aim));
}

pub(crate) fn rounds<T>(count: usize, round: impl FnMut(usize) -> T) -> Vec<T> {
    (1..=count).map(round).collect()
}

/// Enough targets for a daemon that is half again as fast as the baseline.
pub(crate) fn saturating(baseline: Cost) -> usize {
    let due = baseline.rate() * 1.5 * SHORTEST_INTERVAL.as_secs_f64();
    usize::try_from(Duration::from_secs_f64(due).as_secs()).unwrap()
}

pub(crate) fn report_costs(rounds: &[(Cost, Observation)], aim: Aim, report: &mut Report) {
    let baseline = || rounds.iter().map(|(baseline, _)| baseline);
    let daemon = || rounds.iter().map(|(_, observed)| &observed.cost);
    let ratios = rounds.iter().map(|(baseline, observed)| observed.cost.each() / baseline.each());
    report.add(&Figure::new("baseline, probes", Unit::PerSecond, baseline().map(Cost::rate)));
    report.add(&Figure::new("daemon, probes", Unit::PerSecond, daemon().map(Cost::rate)));
    report.add(&Figure::new("daemon, failed probes", Unit::Count, rounds.iter().map(|(_, observed)| observed.failed)));
    report.add(&Figure::new("baseline, CPU per probe", Unit::Microseconds, baseline().map(Cost::each)));
    report.add(&Figure::new("daemon, CPU per probe", Unit::Microseconds, daemon().map(Cost::each)));
    report.add(&Figure::new("ratio to baseline", Unit::Ratio, ratios).aim(aim));
}

/// The interval of the usual load of 2,000 probes per second.
pub(crate) const BUSY_INTERVAL: Duration = Duration::from_secs(5);

/// The shortest valid interval.
pub(crate) const SHORTEST_INTERVAL: Duration = Duration::from_millis(100);

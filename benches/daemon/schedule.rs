//! The schedule: each probe starts once, when it is due, at a usual rate and with targets that never reply.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::thread::sleep;
use std::time::Duration;

use super::plan::Plan;
use super::probing::{BUSY_INTERVAL, report_lag, usual_load};
use super::process::{Daemon, Load};
use super::report::{Aim, Figure, Report, Unit};
use super::samples::Samples;
use super::servers::{Filtered, Servers, host};
use super::snapshot::{Snapshot, snapshot};

/// Counts the probes of each target, and checks that it keeps its place on the grid.
pub(crate) fn grid(plan: &Plan, servers: &Servers, report: &mut Report) {
    let load = usual_load(servers, BUSY_INTERVAL);
    let daemon = Daemon::start(&load);
    daemon.wait_until_all_probed(load.interval);
    eprintln!("schedule, {} s", plan.counting.as_secs());
    let mut counts = Vec::new();
    let observed = daemon.observe(|| {
        let before = snapshot(&daemon);
        sleep(plan.counting);
        counts = compare(&before, &snapshot(&daemon), load.interval);
    });
    let sum = |of: fn(&Counted) -> f64| counts.iter().map(of).sum::<f64>();
    report.section(format!(
        "Schedule of {} targets, {:.0} probes per second for {} s",
        load.targets,
        load.rate(),
        plan.counting.as_secs()
    ));
    report.add(&Figure::new("probes due", Unit::Count, [sum(|target| target.due)]));
    let lost = sum(|target| (target.due - target.made).max(0.0));
    let doubled = sum(|target| (target.made - target.due).max(0.0));
    for (name, count) in
        [("lost", lost), ("doubled", doubled), ("skipped", observed.skipped), ("failed", observed.failed)]
    {
        report.add(&Figure::new(format!("probes {name}"), Unit::Count, [count]).aim(Aim::AtMost(0.0)));
    }
    report_lag(&[&observed], Aim::AtMost(0.011), report);
    let shifts: Samples = counts.iter().map(|target| target.shift).collect();
    let sizes: Samples = counts.iter().map(|target| target.shift.abs()).collect();
    report.add(&Figure::new("drift, p50", Unit::Milliseconds, [shifts.percentile(50).abs()]).aim(Aim::AtMost(0.001)));
    report.add(&Figure::new("deviation from the grid, p99", Unit::Milliseconds, [sizes.percentile(99)]));
}

/// Compares the delay of starts with and without a fifth of targets that never reply.
pub(crate) fn filtered(plan: &Plan, servers: &Servers, report: &mut Report) {
    let addresses = servers.addresses();
    let load =
        Load { addresses, targets: OPEN, interval: Duration::from_mins(1), in_flight: Some(IN_FLIGHT), root: None };
    let watch = |configuration: &str| {
        let daemon = Daemon::configured(configuration, None);
        daemon.wait_for_age(plan.settle);
        daemon.observe(|| sleep(plan.watching))
    };
    let mut configuration = load.configuration();
    eprintln!("only {OPEN} targets, {} s", plan.watching.as_secs());
    let without = watch(&configuration);
    let silent = Filtered::start();
    for number in 0..FILTERED {
        let (host, port) = (host(number), silent.port());
        writeln!(configuration, "  - {{ url: \"tcp://{host}:{port}\", timeout: 10s }}").unwrap();
    }
    eprintln!("with {FILTERED} filtered targets, {} s", plan.watching.as_secs());
    let with = watch(&configuration);
    report.section(format!("{OPEN} targets every 60 s, with {FILTERED} filtered targets (timeout 10 s)"));
    report.add(&Figure::new(
        "start lag p99, without filtered targets",
        Unit::Milliseconds,
        [without.lag.quantile(0.99)],
    ));
    report.add(&Figure::new("start lag p99, with filtered targets", Unit::Milliseconds, [with.lag.quantile(0.99)]));
    let ratio = with.lag.quantile(0.99) / without.lag.quantile(0.99);
    report.add(&Figure::new("ratio", Unit::Ratio, [ratio]).aim(Aim::AtMost(1.1)));
    report.add(&Figure::new("probes skipped, without filtered targets", Unit::Count, [without.skipped]));
    report
        .add(&Figure::new("probes skipped, with filtered targets", Unit::Count, [with.skipped]).aim(Aim::AtMost(0.0)));
    report.add(&Figure::new("probes failed, with filtered targets", Unit::Count, [with.failed]));
}

/// The probes of a target between two snapshots.
#[derive(Clone, Copy, Debug)]
struct Counted {
    due: f64,
    made: f64,
    /// The distance in seconds of the last probe from the grid of the first.
    shift: f64,
}

fn compare(before: &HashMap<String, Snapshot>, after: &HashMap<String, Snapshot>, interval: Duration) -> Vec<Counted> {
    let interval = interval.as_secs_f64();
    let compared = before.iter().map(|(target, first)| {
        let last = after.get(target).unwrap();
        // No probe was due at the snapshot, so this is far from a whole number.
        let due = ((last.taken - first.last.ended) / interval).floor();
        let passed = last.last.ended - first.last.ended;
        let shift = passed - (passed / interval).round() * interval;
        Counted { due, made: last.last.probes - first.last.probes, shift }
    });
    compared.collect()
}

const OPEN: usize = 80_000;
const FILTERED: u32 = 20_000;

/// Until they are confirmed down, filtered targets are probed twice per interval, so 6,700 probes are in flight.
const IN_FLIGHT: usize = 8192;

//! Storage: its cost compared with none, its size, a start with months of history, and the API on top of it.

use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use tempfile::TempDir;
use tokio::time::Instant;

use super::past;
use super::plan::Plan;
use super::process::{Daemon, Load, Observation};
use super::report::{Aim, Figure, Report, Unit};
use super::scrape::{self, Encoding, Format};
use super::servers::Servers;

pub(crate) fn storage(plan: &Plan, report: &mut Report) {
    let servers = Servers::start();
    let load = Load { addresses: servers.addresses(), targets: MANY, interval: EVERY, in_flight: None, root: None };
    let folder = TempDir::new().unwrap();
    eprintln!("a database of {MANY} targets and {DAYS} days");
    let bytes = past::write(folder.path(), &load, DAYS);
    report.section(format!("Storage of {MANY} targets and {DAYS} days"));
    report.add(&Figure::new("size", Unit::Megabytes, [bytes]));
    report.add(&Figure::new("per target", Unit::Bytes, [bytes / MANY as f64]).aim(Aim::AtMost(6144.0)));
    let stored = start(plan, &load, folder.path(), report);
    compare(plan, &Daemon::start(&load), &stored, report);
    drop(stored);
    list(plan, &servers, report);
}

/// Starts repeatedly without storage and on the same database, in turns, and returns the last daemon. The CPU time is what
/// an idle machine would need at most.
fn start(plan: &Plan, load: &Load<'_>, folder: &Path, report: &mut Report) -> Daemon {
    let started = |daemon: &Daemon| [daemon.ready_after().as_secs_f64(), daemon.cpu().as_secs_f64()];
    let mut rounds = Vec::new();
    let mut start = || {
        let without = started(&Daemon::start(load));
        let daemon = Daemon::stored(load, folder);
        rounds.push([without, started(&daemon)]);
        daemon
    };
    (1..plan.rounds).for_each(|_| drop(start()));
    let last = start();
    let [without, with] = [0, 1].map(|of| rounds.iter().filter_map(move |round| round.get(of)).collect::<Vec<_>>());
    let seconds = |name: &str, values: Vec<f64>| Figure::new(name, Unit::Seconds, values);
    let ready = |of: &[&[f64; 2]]| of.iter().map(|[ready, _]| *ready).collect();
    let cpu = |of: &[&[f64; 2]]| of.iter().map(|[_, cpu]| *cpu).collect();
    report.add(&seconds("ready after, without", ready(&without)));
    report.add(&seconds("CPU until ready, without", cpu(&without)));
    report.add(&seconds("ready after, with", ready(&with)).aim(Aim::AtMost(3.0)));
    report.add(&seconds("CPU until ready, with", cpu(&with)));
    last
}

/// Observes both daemons in turns, while both probe.
fn compare(plan: &Plan, without: &Daemon, with: &Daemon, report: &mut Report) {
    for daemon in [without, with] {
        daemon.wait_for_age(daemon.ready_after() + plan.settle);
    }
    let rounds: Vec<_> = (1..=plan.rounds)
        .map(|round| {
            eprintln!("storage, round {round} of {}", plan.rounds);
            [without, with].map(|daemon| daemon.observe(|| sleep(WRITES)))
        })
        .collect();
    let ratio = |of: fn(&Observation) -> f64| {
        rounds
            .iter()
            .map(move |[without, with]| of(with) / of(without))
            .collect::<Vec<_>>()
    };
    let cpu = |observed: &Observation| observed.cost.each();
    let lag = |observed: &Observation| observed.lag.quantile(0.99);
    report.section(format!("{MANY} targets every 60 s with and without storage"));
    for (name, index) in [("without", 0), ("with", 1)] {
        let observed = || rounds.iter().filter_map(move |round| round.get(index));
        report.add(&Figure::new(format!("CPU per probe, {name}"), Unit::Microseconds, observed().map(cpu)));
        report.add(&Figure::new(format!("start lag p99, {name}"), Unit::Milliseconds, observed().map(lag)));
        let skipped = observed().map(|observed| observed.skipped).sum();
        report.add(&Figure::new(format!("probes skipped, {name}"), Unit::Count, [skipped]));
    }
    report.add(&Figure::new("CPU, ratio", Unit::Ratio, ratio(cpu)).aim(Aim::AtMost(1.05)));
    report.add(&Figure::new("start lag p99, ratio", Unit::Ratio, ratio(lag)).aim(Aim::AtMost(1.1)));
    report.add(&Figure::new("memory, without", Unit::Megabytes, [without.resident_bytes()]));
    report.add(&Figure::new("memory, with", Unit::Megabytes, [with.resident_bytes()]));
}

/// The largest list of the API.
fn list(plan: &Plan, servers: &Servers, report: &mut Report) {
    let load =
        Load { addresses: servers.addresses(), targets: LISTED, interval: EVERY / 6, in_flight: None, root: None };
    let folder = TempDir::new().unwrap();
    let daemon = Daemon::stored(&load, folder.path());
    daemon.wait_until_all_probed(load.interval);
    let mut size = 0;
    let before = daemon.cpu();
    let taken: Vec<_> = (0..plan.scrapes)
        .map(|_| {
            let requested = Instant::now();
            let path = format!("/api/v1/targets?limit={LISTED}");
            size = scrape::get(daemon.address(), &path, Format::Text, Encoding::Plain)
                .expect("a list is sent")
                .len();
            requested.elapsed().as_secs_f64()
        })
        .collect();
    let cpu = daemon.cpu().saturating_sub(before).as_secs_f64() / taken.len() as f64;
    report.section(format!("The list of {LISTED} targets as JSON"));
    report.add(&Figure::new("time", Unit::Milliseconds, taken).aim(Aim::Under(0.1)));
    report.add(&Figure::new("CPU, with the probes meanwhile", Unit::Milliseconds, [cpu]));
    report.add(&Figure::new("size", Unit::Megabytes, [size as f64]));
}

const MANY: usize = 100_000;
const DAYS: i64 = 90;
const LISTED: usize = 10_000;
const EVERY: Duration = Duration::from_mins(1);

/// Four writes.
const WRITES: Duration = Duration::from_secs(20);

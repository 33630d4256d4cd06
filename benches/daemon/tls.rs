//! CPU time of a probe with TLS, and memory of its targets.

use std::thread::sleep;
use std::time::Duration;

use super::baseline_tls;
use super::memory::FEW;
use super::plan::Plan;
use super::probing::{SHORTEST_INTERVAL, report_costs, rounds, saturating};
use super::process::{Daemon, Load};
use super::report::{Aim, Figure, Report, Unit};
use super::tls_servers::TlsServers;

/// Maximum throughput of handshakes, with the same number in flight in both programs.
pub(crate) fn maximum(plan: &Plan, servers: &TlsServers, report: &mut Report) {
    let rounds = rounds(plan.rounds, |round| {
        let baseline = baseline_tls::maximum(servers.addresses(), servers.root(), IN_FLIGHT, plan.baseline);
        let load = Load {
            addresses: servers.addresses(),
            targets: saturating(baseline),
            interval: SHORTEST_INTERVAL,
            in_flight: Some(IN_FLIGHT),
            root: Some(servers.root_pem()),
        };
        let daemon = Daemon::start(&load);
        daemon.wait_for_age(Duration::from_secs(2));
        let observed = daemon.observe(|| sleep(plan.daemon));
        eprintln!("maximum throughput of TLS, round {round} of {}", plan.rounds);
        (baseline, observed)
    });
    report.section(format!("TLS 1.3 with P-256, verified, maximum throughput, {IN_FLIGHT} probes in flight"));
    report_costs(&rounds, Aim::AtMost(0.9), report);
}

/// Measures the memory of a daemon with [`FEW`] targets, each with a separate certificate.
pub(crate) fn memory(plan: &Plan, servers: &TlsServers, report: &mut Report) {
    let start = |targets: usize| {
        let interval = plan.settle;
        let root = Some(servers.root_pem());
        Daemon::start(&Load { addresses: servers.addresses(), targets, interval, in_flight: None, root })
    };
    let (single, few) = (start(1), start(FEW));
    eprintln!("memory with TLS, {} s", plan.settle.as_secs());
    for daemon in [&single, &few] {
        daemon.wait_until_all_probed(plan.settle);
    }
    let (base, resident) = (single.resident_bytes(), few.resident_bytes());
    report.section(format!("Memory with TLS, {} s after the start", plan.settle.as_secs()));
    report.add(&Figure::new("one target", Unit::Megabytes, [base]));
    report.add(&Figure::new(format!("{FEW} targets"), Unit::Megabytes, [resident]).aim(Aim::AtMost(40e6)));
    let each =
        Figure::new(format!("{FEW} targets, per additional target"), Unit::Bytes, [(resident - base) / FEW as f64]);
    report.add(&each);
    report.add(&Figure::new("targets with a verified certificate", Unit::Count, [few.exposed().verified]));
}

/// A handshake is CPU work, so fewer of them than of plain connects keep a machine busy.
const IN_FLIGHT: usize = 64;

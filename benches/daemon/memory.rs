//! Memory per target.

use std::time::Duration;

use super::plan::Plan;
use super::process::{Daemon, Load};
use super::report::{Aim, Figure, Report, Unit};
use super::scrape::{Encoding, Format};
use super::servers::Servers;

/// The targets of a daemon that is also scraped.
pub(crate) const FEW: usize = 10_000;

/// Measures the memory of daemons with few and many targets, and returns the one with [`FEW`].
pub(crate) fn settle(plan: &Plan, servers: &Servers, report: &mut Report) -> Daemon {
    let start = |targets: usize, interval: Duration| {
        Daemon::start(&Load { addresses: servers.addresses(), targets, interval, in_flight: None, root: None })
    };
    // In a quick run all of the few targets are probed by then, because their scrapes must be complete, but not all of the
    // many.
    let (few, many) = (start(FEW, plan.settle), start(MANY, EVERY));
    let single = start(1, plan.settle);
    eprintln!("memory, {} s", plan.settle.as_secs());
    for daemon in [&single, &few, &many] {
        daemon.wait_for_age(plan.settle);
    }
    let base = single.resident_bytes();
    report.section(format!("Memory, {} s after the start", plan.settle.as_secs()));
    report.add(&Figure::new("one target", Unit::Megabytes, [base]));
    for (targets, daemon) in [(FEW, &few), (MANY, &many)] {
        let resident = daemon.resident_bytes();
        let each = (resident - base) / targets as f64;
        let whole = Figure::new(format!("{targets} targets"), Unit::Megabytes, [resident]);
        let has_aim = targets == MANY && plan.settles_in_full();
        report.add(&if has_aim { whole.aim(Aim::AtMost(110e6)) } else { whole });
        report.add(&Figure::new(format!("{targets} targets, per additional target"), Unit::Bytes, [each]));
    }
    for format in Format::ALL {
        many.scrape(format, Encoding::Gzip);
    }
    let scraped =
        Figure::new(format!("{MANY} targets, scraped in each format"), Unit::Megabytes, [many.resident_bytes()]);
    report.add(&scraped);
    few
}

const MANY: usize = 100_000;
const EVERY: Duration = Duration::from_mins(1);

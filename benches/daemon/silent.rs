//! Memory and descriptors of probes without a reply, all in flight at once.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::thread::sleep;
use std::time::Duration;

use super::blackbox::{self, Blackbox};
use super::process::{Daemon, Load};
use super::report::{Aim, Figure, Report, Unit};
use super::running::Running;
use super::scrape_client::ScrapeClient;
use super::servers::{Filtered, Servers};
use super::tools::{self, NO_BLACKBOX};

/// Daemon and `blackbox_exporter` with targets that reply, and with as many that never do.
pub(crate) fn cost(servers: &Servers, filtered: &Filtered, report: &mut Report) {
    // Addresses as long as those of the servers, so that they cost the same.
    let host = |number| Ipv4Addr::new(127, number, 0, 3);
    let silent: Vec<_> = (1..=HOSTS)
        .map(|number| SocketAddrV4::new(host(number), filtered.port()))
        .collect();
    let replying =
        Load { addresses: servers.addresses(), targets: TARGETS, interval: TIMEOUT, in_flight: None, root: None };
    let silent = Load { addresses: &silent, ..replying };
    let (before, _) = daemon(&replying);
    let (after, in_flight) = daemon(&silent);
    report.section(format!("{TARGETS} targets that never reply, all in flight at once"));
    report.add(&Figure::new("daemon, probes in flight", Unit::Count, [in_flight]));
    add("daemon", before, after, Some((15e6, 1.0)), report);
    let Some(program) = tools::blackbox() else {
        report.skipped(NO_BLACKBOX);
        return;
    };
    let [before, after] = [replying, silent].map(|load| {
        let exporter = Blackbox::start(&program, None);
        // After half a timeout, every target was requested and none has timed out.
        let client = ScrapeClient::start(exporter.address(), blackbox::paths(&load), TIMEOUT / 2);
        exporter.wait_for_age(TIMEOUT * 3 / 4);
        let held = Held::by(&exporter);
        drop(client);
        held
    });
    add("blackbox_exporter", before, after, None, report);
}

/// The resources of a daemon once every target was probed more than once, and its probes in flight.
fn daemon(load: &Load<'_>) -> (Held, f64) {
    let daemon = Daemon::start(load);
    eprintln!("targets that never reply, {} s", (TIMEOUT * 3).as_secs());
    daemon.wait_for_age(TIMEOUT * 3);
    let held = Held::by(&daemon);
    sleep(Duration::from_millis(100));
    (held, daemon.exposed().in_flight)
}

/// The resources of a program.
#[derive(Clone, Copy, Debug)]
struct Held {
    bytes: f64,
    descriptors: f64,
}

impl Held {
    fn by(program: &Running) -> Self {
        Self { bytes: program.resident_bytes(), descriptors: program.descriptors() }
    }
}

fn add(name: &str, before: Held, after: Held, aims: Option<(f64, f64)>, report: &mut Report) {
    let more = Figure::new(format!("{name}, additional memory"), Unit::Megabytes, [after.bytes - before.bytes]);
    let each = (after.descriptors - before.descriptors) / TARGETS as f64;
    let each = Figure::new(format!("{name}, descriptors per probe"), Unit::Ratio, [each]);
    let (more, each) = match aims {
        Some((bytes, descriptors)) => (more.aim(Aim::AtMost(bytes)), each.aim(Aim::AtMost(descriptors))),
        None => (more, each),
    };
    report.add(&Figure::new(format!("{name}, memory with targets that reply"), Unit::Megabytes, [before.bytes]));
    report.add(&more);
    report.add(&each);
}

const TARGETS: usize = 3_300;

/// The timeout of each probe and its interval, so that the next begins when one ends.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Enough hosts that none has more probes than the default limit.
const HOSTS: u8 = 250;

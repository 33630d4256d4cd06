//! Memory and descriptors of probes that nobody answers, all under way at once.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::thread::sleep;
use std::time::Duration;

use socket2::{Domain, Socket, Type};

use super::asker::Asker;
use super::blackbox::{self, Blackbox};
use super::process::{Daemon, Load};
use super::report::{Aim, Figure, Report, Unit};
use super::running::Running;
use super::servers::Servers;
use super::tools::{self, NO_BLACKBOX};

/// Listeners whose queues are full: the kernel drops each SYN without a word.
#[derive(Debug)]
pub(crate) struct Silent {
    addresses: Vec<SocketAddrV4>,
    _sockets: Vec<Socket>,
}

impl Silent {
    /// Listens and fills the queues.
    pub(crate) fn start() -> Self {
        let (mut addresses, mut sockets) = (Vec::new(), Vec::new());
        for number in 1..=LISTENERS {
            let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
            listener.bind(&SocketAddr::from((Ipv4Addr::new(127, number, 0, 3), 0)).into()).unwrap();
            listener.listen(0).unwrap();
            let address = listener.local_addr().unwrap();
            addresses.push(address.as_socket_ipv4().unwrap());
            sockets.push(listener);
            // A queue of none holds one; the second is there in case that changes.
            for _ in 0..2 {
                let filling = Socket::new(Domain::IPV4, Type::STREAM.nonblocking(), None).unwrap();
                let _ = filling.connect(&address);
                sockets.push(filling);
            }
        }
        Self { addresses, _sockets: sockets }
    }
}

/// Daemon and `blackbox_exporter` with targets that answer, and with as many that never do.
pub(crate) fn cost(servers: &Servers, silent: &Silent, report: &mut Report) {
    let answering =
        Load { addresses: servers.addresses(), targets: TARGETS, interval: TIMEOUT, in_flight: None, root: None };
    let silent = Load { addresses: &silent.addresses, ..answering };
    let (before, _) = daemon(&answering);
    let (after, in_flight) = daemon(&silent);
    report.section(format!("{TARGETS} targets that never answer, all probed at once"));
    report.add(&Figure::new("daemon, probes under way", Unit::Count, [in_flight]));
    add("daemon", before, after, Some((15e6, 1.0)), report);
    let Some(program) = tools::blackbox() else {
        report.left_out(NO_BLACKBOX);
        return;
    };
    let [before, after] = [answering, silent].map(|load| {
        let exporter = Blackbox::start(&program, None);
        // Half a timeout later every target was asked, and the first have not timed out.
        let asker = Asker::start(exporter.address(), blackbox::paths(&load), TIMEOUT / 2);
        exporter.wait_for_age(TIMEOUT * 3 / 4);
        let held = Held::by(&exporter);
        drop(asker);
        held
    });
    add("blackbox_exporter", before, after, None, report);
}

/// What a daemon holds once every target was probed more than once, and how many probes are under way then.
fn daemon(load: &Load<'_>) -> (Held, f64) {
    let daemon = Daemon::start(load);
    eprintln!("targets that never answer, {} s", (TIMEOUT * 3).as_secs());
    daemon.wait_for_age(TIMEOUT * 3);
    let held = Held::by(&daemon);
    sleep(Duration::from_millis(100));
    (held, daemon.exposed().in_flight)
}

/// What a program holds.
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
    let more = Figure::new(format!("{name}, memory more"), Unit::Megabytes, [after.bytes - before.bytes]);
    let each = (after.descriptors - before.descriptors) / TARGETS as f64;
    let each = Figure::new(format!("{name}, descriptors of each"), Unit::Ratio, [each]);
    let (more, each) = match aims {
        Some((bytes, descriptors)) => (more.aim(Aim::AtMost(bytes)), each.aim(Aim::AtMost(descriptors))),
        None => (more, each),
    };
    report.add(&Figure::new(format!("{name}, memory with as many that answer"), Unit::Megabytes, [before.bytes]));
    report.add(&more);
    report.add(&each);
}

const TARGETS: usize = 3_300;

/// Of each probe, and its interval, so that the next begins as one ends.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Enough that no host has more probes than the daemon's default allows.
const LISTENERS: u8 = 250;

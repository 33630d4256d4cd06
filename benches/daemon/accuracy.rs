//! The error of the measured handshake time, against a responder that records its actual delay.

use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::Path;
use std::thread::{self, sleep};
use std::time::Duration;

use nix::unistd::Uid;

use super::cores::{self, Busy};
use super::plan::Plan;
use super::process::Daemon;
use super::report::{Aim, Figure, Report, Unit};
use super::responder::Responder;
use super::samples::Samples;
use super::snapshot::snapshot;
use super::tun;

/// Measures in a network namespace, with the daemon on the first core and the responder on the second.
pub(crate) fn accuracy(plan: &Plan, report: &mut Report) {
    if let Some(reason) = obstacle() {
        report.section("Accuracy of handshake times".to_owned());
        return report.skipped(reason);
    }
    thread::scope(|scope| {
        // A namespace belongs to a thread and ends with it.
        let measuring = scope.spawn(|| {
            let responder = Responder::start(tun::enter(), DELAY, 1);
            let quiet = Case { rate: 3000, busy: 0, name: "3000 probes per second" };
            let busy =
                Case { rate: 300, busy: 3, name: "300 probes per second, three busy processes on the same core" };
            for case in [quiet, busy] {
                case.measure(plan, &responder, report);
            }
        });
        measuring.join().unwrap();
    });
}

/// The reason why this cannot be measured here.
fn obstacle() -> Option<&'static str> {
    if !Uid::effective().is_root() {
        return Some("needs root");
    }
    if !Path::new("/dev/net/tun").exists() {
        return Some("needs /dev/net/tun");
    }
    if cores::count() < 2 {
        return Some("needs two cores");
    }
    (!cores::may_come_first()).then_some("needs real-time priority for its responder (CAP_SYS_NICE)")
}

#[derive(Clone, Copy, Debug)]
struct Case {
    rate: u32,
    busy: usize,
    name: &'static str,
}

impl Case {
    fn measure(self, plan: &Plan, responder: &Responder, report: &mut Report) {
        let daemon = cores::on(0, || Daemon::configured(&self.configuration(), None));
        daemon.wait_until_all_probed(INTERVAL);
        let _busy: Vec<_> = (0..self.busy).map(|_| cores::on(0, Busy::start)).collect();
        let mut compared = Vec::new();
        let observed = daemon.observe(|| {
            for reading in 1..=plan.readings {
                // By then each target was probed again.
                sleep(INTERVAL + Duration::from_secs(1));
                compared.extend(compare(&daemon, responder));
                eprintln!("accuracy, {}, reading {reading} of {}", self.name, plan.readings);
            }
        });
        report.section(format!("Handshake of {} ms, {}", DELAY.as_millis(), self.name));
        report.add(&Figure::new("probes", Unit::PerSecond, [observed.cost.rate()]));
        report.add(&Figure::new("failed probes", Unit::Count, [observed.failed]).aim(Aim::AtMost(0.0)));
        report.add(&Figure::new("handshakes compared", Unit::Count, [compared.len() as f64]));
        let delays: Samples = compared.iter().map(|compared| compared.given).collect();
        let errors: Samples = compared
            .iter()
            .map(|compared| (compared.measured - compared.given).abs())
            .collect();
        for (percent, aim) in [(50, 100e-6), (99, 500e-6)] {
            let figure = |name: &str, of: &Samples| {
                Figure::new(format!("{name}, p{percent}"), Unit::Microseconds, [of.percentile(percent)])
            };
            report.add(&figure("actual delay", &delays));
            report.add(&figure("error", &errors).aim(Aim::AtMost(aim)));
        }
    }

    /// A configuration with a host for each target.
    fn configuration(self) -> String {
        let seconds = INTERVAL.as_secs();
        let mut yaml = format!("defaults: {{ interval: {seconds}s }}\nhistograms: {{ phases: [] }}\ntargets:\n");
        let first = Ipv4Addr::new(198, 18, 1, 0).to_bits();
        for number in 0..self.rate * u32::try_from(seconds).unwrap() {
            writeln!(yaml, "  - tcp://{}:80", Ipv4Addr::from_bits(first + number)).unwrap();
        }
        yaml
    }
}

/// The measured and the actual duration of a handshake, in seconds.
#[derive(Clone, Copy, Debug)]
struct Compared {
    measured: f64,
    given: f64,
}

/// The last handshake of each target.
fn compare(daemon: &Daemon, responder: &Responder) -> Vec<Compared> {
    let targets = snapshot(daemon).into_iter();
    let compared = targets.filter_map(|(target, snapshot)| {
        let address: SocketAddrV4 = target.strip_prefix("tcp://")?.parse().ok()?;
        let given = responder.delay_before(address, snapshot.last.ended)?;
        Some(Compared { measured: snapshot.last.connect, given })
    });
    compared.collect()
}

const DELAY: Duration = Duration::from_millis(20);

/// Long enough for a snapshot between two probes.
const INTERVAL: Duration = Duration::from_secs(5);

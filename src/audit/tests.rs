use std::collections::HashMap;
use std::num::NonZeroU32;
use std::time::Duration;

use tokio::time::{sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::clock;
use crate::options::Limits;
use crate::outcome::{Class, Facts, LocalFaultReason, Next, Outcome, Phase, Timings};
use crate::scheduler::Scheduler;
use crate::target::{AuditSettings, AuditedHosts, TargetName};

/// What a port does. All others refuse.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Port {
    Drops,
    Fails,
    /// Drops this many SYNs, then accepts.
    Loses(u32),
    Opens,
}

/// Hosts whose ports follow a script.
#[derive(Debug, Default)]
struct Hosts {
    ports: Mutex<HashMap<(String, u16), Port>>,
    names: Mutex<HashMap<String, Vec<IpAddr>>>,
    connections: Mutex<Vec<String>>,
}

impl Hosts {
    fn set(&self, host: &str, port: u16, does: impl Into<Option<Port>>) {
        let (mut ports, key) = (lock(&self.ports), (host.to_owned(), port));
        match does.into() {
            Some(does) => ports.insert(key, does),
            None => ports.remove(&key),
        };
    }

    fn set_name(&self, name: &str, addresses: &[&str]) {
        let addresses = addresses.iter().map(|address| address.parse().unwrap()).collect();
        lock(&self.names).insert(name.to_owned(), addresses);
    }

    fn take(&self, target: &Target) -> Option<Port> {
        let key = (target.endpoint.host.to_string(), target.endpoint.port.get());
        lock(&self.connections).push(format!("{}:{}", key.0, key.1));
        let mut ports = lock(&self.ports);
        let does = ports.get_mut(&key)?;
        let now = *does;
        *does = match now {
            Port::Loses(1) => Port::Opens,
            Port::Loses(more) => Port::Loses(more - 1),
            other => other,
        };
        Some(now)
    }
}

impl Prober for Hosts {
    async fn probe(&self, target: &Arc<Target>, deadline: Instant) -> Outcome {
        let does = self.take(target);
        let result = match does {
            None => Err(Fault::failure(Phase::Connect, Class::Refused, "RST")),
            Some(Port::Opens) => Ok(()),
            Some(Port::Fails) => Err(Fault::local(LocalFaultReason::NoDescriptor, "too many open files")),
            Some(Port::Drops | Port::Loses(_)) => {
                sleep_until(deadline).await;
                Err(Fault::failure(Phase::Connect, Class::Timeout, "no answer"))
            }
        };
        let (duration, timings, facts) = (Duration::ZERO, Timings::default(), Facts::default());
        let (resolution, attempts, client_certificate_not_after) = (None, Vec::new(), None);
        Outcome { result, duration, timings, resolution, attempts, facts, client_certificate_not_after }
    }

    fn descriptors(&self, _: &Target) -> u32 {
        1
    }
}

impl Network for Hosts {
    async fn addresses(&self, target: &Target, _: Instant) -> Result<Vec<IpAddr>, Fault> {
        let known = lock(&self.names).get(&target.endpoint.host.to_string()).cloned();
        known.ok_or_else(|| Fault::failure(Phase::Resolve, Class::DnsNotFound, "no such name"))
    }
}

/// An auditor on a running scheduler.
struct Started {
    hosts: Arc<Hosts>,
    auditor: Auditor<Hosts>,
    _scheduler: AbortOnDropHandle<()>,
}

impl Started {
    fn new() -> Self {
        Self::of_shard(Shard::default())
    }

    fn of_shard(shard: Shard) -> Self {
        let hosts = Arc::new(Hosts::default());
        let (scheduler, handle) =
            Scheduler::new(hosts.clone(), |_: &_| Next::OnSchedule, Limits::default(), "machine", clock::now());
        let scheduler = AbortOnDropHandle::new(tokio::spawn(scheduler.run(CancellationToken::new())));
        Self { hosts: hosts.clone(), auditor: Auditor::new(hosts, handle, shard), _scheduler: scheduler }
    }

    fn report(&self) -> AuditReport {
        self.auditor.audits().reports(10).remove(0)
    }

    /// Waits until one more run is complete.
    async fn run(&self) -> AuditReport {
        let ended = |report: &AuditReport| report.last.map(|run| run.ended);
        let before = ended(&self.report());
        loop {
            sleep(Duration::from_millis(100)).await;
            let report = self.report();
            if ended(&report) > before {
                return report;
            }
        }
    }
}

fn audit(hosts: &[&str], ports: &str, open: Option<&str>) -> Arc<Audit> {
    let hosts = hosts.iter().map(|host| match host.parse() {
        Ok(network) => AuditedHosts::Network(network),
        Err(_) => AuditedHosts::Host(host.parse().unwrap()),
    });
    let settings = AuditSettings {
        name: TargetName::try_new("dmz").unwrap(),
        hosts: hosts.collect(),
        ports: ports.parse().unwrap(),
        open: open.map(|open| open.parse().unwrap()),
        interval: Duration::from_mins(1),
        timeout: Duration::from_secs(1),
        per_second: NonZeroU32::new(10_000).unwrap(),
    };
    Arc::new(Audit::try_new(settings).unwrap())
}

/// Returns the unexpected and the missing ports.
fn findings(report: &AuditReport) -> [Vec<String>; 2] {
    [&report.unexpected, &report.missing].map(|findings| {
        let ports = findings
            .first
            .iter()
            .map(|(finding, _)| format!("{}:{}", finding.host, finding.port));
        ports.collect()
    })
}

fn counts(report: &AuditReport) -> [u64; 4] {
    let PortCounts { open, closed, filtered, undetermined } = report.last.unwrap().counts;
    [open, closed, filtered, undetermined]
}

#[tokio::test(start_paused = true)]
async fn findings_follow_the_ports() {
    let mut started = Started::new();
    let hosts = started.hosts.clone();
    hosts.set("10.0.0.1", 22, Port::Opens);
    hosts.set("10.0.0.1", 80, Port::Opens);
    hosts.set("10.0.0.1", 81, Port::Drops);
    started.auditor.set(vec![audit(&["10.0.0.1"], "22,80-82,443", Some("22,443"))]);
    assert_eq!((started.report().unexpected.count, started.report().missing.count), (None, None), "not known yet");
    let report = started.run().await;
    assert_eq!(findings(&report), [vec!["10.0.0.1:80"], vec!["10.0.0.1:443"]]);
    assert_eq!(counts(&report), [2, 2, 1, 0]);
    let since = report.unexpected.first[0].1;
    assert_eq!(started.run().await.unexpected.first[0].1, since, "the time of a finding stays");
    hosts.set("10.0.0.1", 80, None);
    hosts.set("10.0.0.1", 443, Port::Opens);
    let report = started.run().await;
    assert_eq!(findings(&report), [Vec::<String>::new(), Vec::new()]);
    assert_eq!((report.unexpected.count, report.missing.count), (Some(0), Some(0)));
}

#[tokio::test(start_paused = true)]
async fn a_lost_packet_is_not_a_finding() {
    let mut started = Started::new();
    started.hosts.set("10.0.0.1", 22, Port::Loses(2));
    started.auditor.set(vec![audit(&["10.0.0.1"], "22", Some("22"))]);
    assert_eq!(started.run().await.missing.count, Some(0));
    started.hosts.set("10.0.0.1", 22, Port::Loses(3));
    assert_eq!(started.run().await.missing.count, Some(1));
}

#[tokio::test(start_paused = true)]
async fn a_local_fault_changes_no_finding() {
    let mut started = Started::new();
    started.hosts.set("10.0.0.1", 80, Port::Opens);
    started.auditor.set(vec![audit(&["10.0.0.1"], "22,80", Some("22"))]);
    let before = findings(&started.run().await);
    assert_eq!(before, [vec!["10.0.0.1:80"], vec!["10.0.0.1:22"]]);
    for port in [22, 80] {
        started.hosts.set("10.0.0.1", port, Port::Fails);
    }
    let report = started.run().await;
    assert_eq!((findings(&report), counts(&report)), (before, [0, 0, 0, 2]));
}

#[tokio::test(start_paused = true)]
async fn an_unused_address_misses_no_port() {
    let mut started = Started::new();
    let hosts = started.hosts.clone();
    for (last, port) in (0..4).flat_map(|last| [22, 80].map(|port| (last, port))) {
        hosts.set(&format!("10.0.0.{last}"), port, Port::Drops);
    }
    started.auditor.set(vec![audit(&["10.0.0.0/30"], "22,80", Some("22"))]);
    let report = started.run().await;
    assert_eq!((report.missing.count, counts(&report)), (Some(0), [0, 0, 8, 0]));
    // A refusal shows that the host exists, although its port 22 was looked at before.
    hosts.set("10.0.0.2", 80, None);
    assert_eq!(findings(&started.run().await)[1], ["10.0.0.2:22"]);
    // A host that has replied once must go on to do so.
    hosts.set("10.0.0.2", 80, Port::Drops);
    hosts.set("10.0.0.2", 22, Port::Opens);
    assert_eq!(started.run().await.missing.count, Some(0));
    hosts.set("10.0.0.2", 22, Port::Drops);
    assert_eq!(findings(&started.run().await)[1], ["10.0.0.2:22"]);
}

#[tokio::test(start_paused = true)]
async fn a_silent_host_is_filtered() {
    let mut started = Started::new();
    for port in 1..=2000 {
        started.hosts.set("10.0.0.1", port, Port::Drops);
    }
    started.auditor.set(vec![audit(&["10.0.0.1"], "1-2000", None)]);
    let begun = Instant::now();
    assert_eq!(counts(&started.run().await), [0, 0, 2000, 0]);
    assert!(begun.elapsed() >= Duration::from_secs(4), "at most 512 at a time");
}

#[tokio::test(start_paused = true)]
async fn a_long_run_delays_the_next() {
    let mut started = Started::new();
    let mut settings = audit(&["10.0.0.1"], "1-3", None).settings().clone();
    (settings.interval, settings.timeout) = (Duration::from_secs(1), Duration::from_secs(10));
    for port in 1..=3 {
        started.hosts.set("10.0.0.1", port, Port::Drops);
    }
    started.auditor.set(vec![Arc::new(Audit::try_new(settings).unwrap())]);
    sleep(Duration::from_secs(35)).await;
    assert_eq!(lock(&started.hosts.connections).len(), 4 * 3, "no run overlaps another");
}

#[tokio::test(start_paused = true)]
async fn a_name_stands_for_its_addresses() {
    let mut started = Started::new();
    let hosts = started.hosts.clone();
    hosts.set_name("db.example", &["10.0.0.1", "2001:db8::1"]);
    hosts.set("10.0.0.1", 80, Port::Opens);
    started.auditor.set(vec![audit(&["db.example", "gone.example"], "80", None)]);
    let report = started.run().await;
    assert_eq!((findings(&report)[0].clone(), counts(&report)), (vec!["db.example:80".to_owned()], [1, 1, 0, 0]));
    assert_eq!(report.unresolved, [Arc::from("gone.example")]);
    // Without an answer nothing is known; with another one the old address is no longer audited.
    lock(&hosts.names).clear();
    assert_eq!(findings(&started.run().await)[0], ["db.example:80"]);
    hosts.set_name("db.example", &["10.0.0.2"]);
    assert_eq!(started.run().await.unexpected.count, Some(0));
}

#[tokio::test(start_paused = true)]
async fn an_unchanged_audit_keeps_its_results() {
    let mut started = Started::new();
    started.hosts.set("10.0.0.1", 80, Port::Opens);
    started.auditor.set(vec![audit(&["10.0.0.1"], "80", None)]);
    let before = started.run().await;
    started.auditor.set(vec![audit(&["10.0.0.1"], "80", None)]);
    assert_eq!(started.report().last, before.last);
    let connections = lock(&started.hosts.connections).len();
    sleep(Duration::from_secs(30)).await;
    assert_eq!(lock(&started.hosts.connections).len(), connections, "it goes on where it was");
    started.auditor.set(vec![audit(&["10.0.0.1"], "80-81", None)]);
    assert_eq!((started.report().last, started.report().unexpected.count), (None, None));
    started.auditor.set(Vec::new());
    assert!(started.auditor.audits().reports(0).is_empty());
    let connections = lock(&started.hosts.connections).len();
    sleep(Duration::from_mins(5)).await;
    assert_eq!(lock(&started.hosts.connections).len(), connections, "a removed audit ends");
}

#[tokio::test(start_paused = true)]
async fn each_audit_belongs_to_one_shard() {
    let count = NonZeroU32::new(3).unwrap();
    let shards = (0..3).map(|index| Started::of_shard(Shard::try_new(index, count).unwrap()));
    let made = shards.map(|mut started| {
        started.auditor.set(vec![audit(&["10.0.0.1"], "80", None)]);
        started.auditor.audits().reports(0).len()
    });
    assert_eq!(made.sum::<usize>(), 1);
}

#[tokio::test(start_paused = true)]
async fn connections_keep_their_rate() {
    let mut started = Started::new();
    let mut settings = audit(&["10.0.0.1"], "1-1000", None).settings().clone();
    settings.per_second = NonZeroU32::new(100).unwrap();
    started.auditor.set(vec![Arc::new(Audit::try_new(settings).unwrap())]);
    sleep(Duration::from_secs(5)).await;
    let made = lock(&started.hosts.connections).len();
    assert!((490..=510).contains(&made), "{made}");
}

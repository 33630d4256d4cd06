//! The daemon: its configuration, and its metrics about probes.

use std::fmt::Write as _;
use std::fs;
use std::net::SocketAddrV4;
use std::ops::Deref;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Duration;

use tempfile::TempDir;
use tokio::time::Instant;

use super::cost::Cost;
use super::running::Running;
use super::scrape::{self, Encoding, Exposed, Format, Lag};
use super::tls_servers;

/// The load of a daemon.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load<'a> {
    pub(crate) addresses: &'a [SocketAddrV4],
    pub(crate) targets: usize,
    pub(crate) interval: Duration,
    /// The maximum number of concurrent probes; `None` for the default.
    pub(crate) in_flight: Option<usize>,
    /// The trusted roots as PEM, for probes with TLS.
    pub(crate) root: Option<&'a str>,
}

impl Load<'_> {
    /// Probes per second.
    pub(crate) fn rate(&self) -> f64 {
        self.targets as f64 / self.interval.as_secs_f64()
    }

    /// Many targets share an address, so each has a name with the length of a host name. With TLS each also has a separate
    /// server name, and gets a certificate that no other has.
    pub(crate) fn configuration(&self) -> String {
        let tls = self.root.map_or("", |_| ", tls: { ca_file: root.pem }");
        let mut yaml = format!("defaults: {{ interval: {}ms{tls} }}\n", self.interval.as_millis());
        if let Some(in_flight) = self.in_flight {
            writeln!(yaml, "limits: {{ in_flight: {in_flight} }}").unwrap();
        }
        yaml.push_str("targets:\n");
        for (number, address) in (0..self.targets).zip(self.addresses.iter().cycle()) {
            let host = tls_servers::name(number);
            let (scheme, tls) = match self.root {
                None => ("tcp", String::new()),
                Some(_) => ("tls", format!(", tls: {{ server_name: {host} }}")),
            };
            writeln!(yaml, "  - {{ url: \"{scheme}://{address}\", name: \"{scheme}://{host}:443\"{tls} }}").unwrap();
        }
        yaml
    }
}

/// A running daemon; it is killed with this value.
#[derive(Debug)]
pub(crate) struct Daemon {
    process: Running,
    ready_after: Duration,
    folder: TempDir,
}

/// The activity of a daemon in a period.
#[derive(Clone, Debug)]
pub(crate) struct Observation {
    pub(crate) cost: Cost,
    pub(crate) lag: Lag,
    /// Probes that failed or could not be made. Every server replies, so this machine was overloaded.
    pub(crate) failed: f64,
    /// Skipped probes.
    pub(crate) skipped: f64,
}

impl Daemon {
    /// Starts the daemon and waits until it is ready.
    pub(crate) fn start(load: &Load<'_>) -> Self {
        Self::configured(&load.configuration(), load.root)
    }

    /// The same with its storage in a folder.
    pub(crate) fn stored(load: &Load<'_>, storage: &Path) -> Self {
        Self::run(&load.configuration(), load.root, Some(storage))
    }

    /// The same with a complete configuration.
    pub(crate) fn configured(configuration: &str, root: Option<&str>) -> Self {
        Self::run(configuration, root, None)
    }

    fn run(configuration: &str, root: Option<&str>, storage: Option<&Path>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join(FILE);
        fs::write(&file, configuration).unwrap();
        if let Some(root) = root {
            fs::write(folder.path().join("root.pem"), root).unwrap();
        }
        let mut command = Command::new(BINARY);
        command.arg("--config.file").arg(&file).arg("--web.listen-address=127.0.0.1:0");
        command.args(["--web.enable-lifecycle", "--no-config.auto-reload"]);
        if let Some(storage) = storage {
            command.arg("--storage.path").arg(storage);
        }
        let started = Instant::now();
        let process = Running::start(&mut command);
        while scrape::get(process.address(), "/-/ready", Format::Text, Encoding::Plain).is_none() {
            thread::sleep(Duration::from_millis(20));
        }
        Self { process, ready_after: started.elapsed(), folder }
    }

    /// Time from its start until it was ready, to 20 ms.
    pub(crate) fn ready_after(&self) -> Duration {
        self.ready_after
    }

    /// Waits until every target has been probed once, given the longest interval.
    pub(crate) fn wait_until_all_probed(&self, interval: Duration) {
        self.wait_for_age(interval + Duration::from_secs(1));
    }

    /// Reloads another configuration, and returns how long that took.
    pub(crate) fn reload(&self, configuration: &str) -> Duration {
        fs::write(self.folder.path().join(FILE), configuration).unwrap();
        let requested = Instant::now();
        assert!(scrape::post(self.address(), "/-/reload"), "a valid configuration must be accepted");
        requested.elapsed()
    }

    /// Observes it while `meanwhile` runs.
    ///
    /// Probes are counted from scrape to scrape, CPU time between the scrapes, so both become rates first.
    pub(crate) fn observe(&self, meanwhile: impl FnOnce()) -> Observation {
        let before = self.exposed();
        let (counted, cpu_before) = (Instant::now(), self.cpu());
        meanwhile();
        let (cpu, wall) = (self.cpu().saturating_sub(cpu_before), counted.elapsed());
        let after = self.exposed();
        let rest = counted.elapsed();
        let lag = after.lag.since(&before.lag);
        let probes = lag.count() / rest.as_secs_f64() * wall.as_secs_f64();
        let (failed, skipped) = (after.failed - before.failed, after.skipped - before.skipped);
        Observation { cost: Cost { probes, cpu, wall }, lag, failed, skipped }
    }

    /// Scrapes it.
    pub(crate) fn scrape(&self, format: Format, encoding: Encoding) -> Vec<u8> {
        scrape::get(self.address(), "/metrics", format, encoding).expect("a scrape must succeed")
    }

    /// Its metrics about itself.
    pub(crate) fn exposed(&self) -> Exposed {
        Exposed::read(self.address())
    }
}

impl Deref for Daemon {
    type Target = Running;

    fn deref(&self) -> &Running {
        &self.process
    }
}

/// The binary under test.
pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_portprobe");

const FILE: &str = "portprobe.yaml";

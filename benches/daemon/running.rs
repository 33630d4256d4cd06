//! A program as a separate process: its CPU time, memory and descriptors.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, copy, sink};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use nix::time::{ClockId, clock_getcpuclockid};
use nix::unistd::Pid;
use tokio::time::Instant;

/// A running program that serves HTTP; it is killed with this value.
#[derive(Debug)]
pub(crate) struct Running {
    address: SocketAddr,
    process: Child,
    started: Instant,
}

impl Running {
    /// Starts it and waits until its log contains the listen address.
    pub(crate) fn start(command: &mut Command) -> Self {
        let started = Instant::now();
        let mut process = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut log = BufReader::new(process.stderr.take().unwrap());
        let address = log.by_ref().lines().map_while(Result::ok).find_map(|line| listening(&line));
        let address = address.expect("a server must listen");
        thread::spawn(move || copy(&mut log, &mut sink()));
        Self { address, process, started }
    }

    /// Its listen address.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Waits until it has run for this long.
    pub(crate) fn wait_for_age(&self, age: Duration) {
        thread::sleep((self.started + age).saturating_duration_since(Instant::now()));
    }

    /// CPU time of the whole process so far, to the nanosecond.
    pub(crate) fn cpu(&self) -> Duration {
        let process = Pid::from_raw(self.process.id().try_into().unwrap());
        ClockId::now(clock_getcpuclockid(process).unwrap()).unwrap().into()
    }

    /// Resident memory in bytes.
    pub(crate) fn resident_bytes(&self) -> f64 {
        self.memory("VmRSS:")
    }

    /// The maximum of resident memory.
    pub(crate) fn peak_bytes(&self) -> f64 {
        self.memory("VmHWM:")
    }

    fn memory(&self, key: &str) -> f64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(key)).unwrap();
        let kibibytes: f64 = line.trim().trim_end_matches(" kB").parse().unwrap();
        kibibytes * 1024.0
    }

    /// Open files and sockets.
    pub(crate) fn descriptors(&self) -> f64 {
        fs::read_dir(format!("/proc/{}/fd", self.process.id())).unwrap().count() as f64
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The address in a log line about listening.
fn listening(line: &str) -> Option<SocketAddr> {
    let (_, address) = line.contains("Listening").then(|| line.split_once("address="))??;
    address.trim_start_matches('"').split([' ', '"']).next()?.parse().ok()
}

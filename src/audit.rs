//! Port audits: connects to ports of hosts again and again, and reports those that should not be open, and those that
//! should be but are not.
//!
//! [`Auditor`] runs the audits of a configuration; [`Audits`] has their results as plain values, for the metrics and the
//! API. Every connection is a probe by the same prober as those of targets, and takes a permit of the scheduler first, so
//! that an audit never delays a probe and stays within the same limits.
//!
//! ```text
//! Audit --Auditor--> runs --permit, probe--> state of a port --Results--> findings --> metrics, API, log
//! ```

use std::net::IpAddr;
use std::sync::{Arc, Mutex, RwLock};

use tokio::sync::Semaphore;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use self::results::Results;
pub use self::results::{AuditReport, Finding, Findings, LastRun, PortCounts};
use self::run::Runner;
use crate::locks::{lock, read, write};
use crate::outcome::{Fault, Prober};
use crate::probe::NetworkProber;
use crate::scheduler::Handle;
use crate::target::{Audit, Shard, Target};

mod pace;
mod places;
mod results;
mod run;

/// A prober that can also resolve names.
pub trait Network: Prober {
    /// Returns all usable addresses of the host of a target. Ends by `deadline`.
    fn addresses(&self, target: &Target, deadline: Instant) -> impl Future<Output = Result<Vec<IpAddr>, Fault>> + Send;
}

impl Network for NetworkProber {
    async fn addresses(&self, target: &Target, deadline: Instant) -> Result<Vec<IpAddr>, Fault> {
        self.addresses(target, deadline).await
    }
}

/// The results of all audits.
#[derive(Debug, Default)]
pub struct Audits(RwLock<Vec<Arc<Audited>>>);

/// An audit and its results.
#[derive(Debug)]
struct Audited {
    audit: Arc<Audit>,
    results: Mutex<Results>,
}

impl Audits {
    /// Returns what is known of each audit, in the order of the configuration, with at most `limit` findings of each kind.
    pub fn reports(&self, limit: usize) -> Vec<AuditReport> {
        read(&self.0)
            .iter()
            .map(|audited| AuditReport::new(audited.audit.clone(), &lock(&audited.results), limit))
            .collect()
    }
}

/// Runs audits.
#[derive(Debug)]
pub struct Auditor<N> {
    network: Arc<N>,
    handle: Handle,
    shard: Shard,
    /// For the connections of all audits together, so that few of them wait for a permit.
    slots: Arc<Semaphore>,
    running: Vec<Running>,
    audits: Arc<Audits>,
}

/// An audit that runs until it is dropped.
#[derive(Debug)]
struct Running {
    audited: Arc<Audited>,
    _task: AbortOnDropHandle<()>,
}

impl<N: Network> Auditor<N> {
    /// Creates an auditor without audits. It makes those of its shard.
    pub fn new(network: Arc<N>, handle: Handle, shard: Shard) -> Self {
        let slots = Arc::new(Semaphore::new(SLOTS));
        Self { network, handle, shard, slots, running: Vec::new(), audits: Arc::default() }
    }

    /// Returns the results, which follow every change.
    pub fn audits(&self) -> Arc<Audits> {
        self.audits.clone()
    }

    /// Replaces the audits. An unchanged one goes on and keeps its results; the others start at once.
    pub fn set(&mut self, audits: Vec<Arc<Audit>>) {
        let mut before = std::mem::take(&mut self.running);
        let owned = audits
            .into_iter()
            .filter(|audit| self.shard.owns_name(audit.settings().name.as_str()));
        self.running = owned
            .map(|audit| match before.iter().position(|running| running.audited.audit == audit) {
                Some(known) => before.swap_remove(known),
                None => self.start(audit),
            })
            .collect();
        *write(&self.audits.0) = self.running.iter().map(|running| running.audited.clone()).collect();
    }

    fn start(&self, audit: Arc<Audit>) -> Running {
        let audited = Arc::new(Audited { audit, results: Mutex::default() });
        let (network, handle) = (self.network.clone(), self.handle.clone());
        let runner = Runner::new(audited.clone(), network, handle, self.slots.clone());
        Running { audited, _task: AbortOnDropHandle::new(tokio::spawn(runner.run())) }
    }
}

/// An eighth of the default of `limits.in_flight`.
const SLOTS: usize = 512;

#[cfg(test)]
mod tests;

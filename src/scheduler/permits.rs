//! Permits for probes that are not scheduled: those on demand, and after them those of audits. They start after all due
//! probes, within the same limits.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::gate::{Blocked, Claim, Gate, Share};
use crate::target::{Host, Target};

/// A permit for one probe, which takes its part of the limits until it is dropped.
#[derive(Debug)]
pub struct Permit {
    released: Option<Released>,
    releases: mpsc::UnboundedSender<Released>,
}

impl Drop for Permit {
    fn drop(&mut self) {
        if let Some(released) = self.released.take() {
            // Without a scheduler there are no limits any more.
            let _ = self.releases.send(released);
        }
    }
}

/// The part of the limits that a dropped permit took.
#[derive(Debug)]
pub(super) struct Released {
    pub(super) host: Host,
    pub(super) claim: Claim,
}

/// A request for a permit.
#[derive(Debug)]
pub(super) struct Acquisition {
    pub(super) target: Arc<Target>,
    pub(super) purpose: Purpose,
    pub(super) permit: oneshot::Sender<Permit>,
}

/// The purpose of a probe that is not scheduled.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Purpose {
    /// An audit of ports.
    Audit,
    /// The request of a client.
    Demand,
}

/// The requests for permits that wait. Those on demand come first.
#[derive(Debug)]
pub(super) struct Permits {
    on_demand: PermitQueue,
    audits: PermitQueue,
}

impl Permits {
    /// Creates empty queues, and the receiver of dropped permits.
    pub(super) fn new() -> (Self, mpsc::UnboundedReceiver<Released>) {
        let (releases, released) = mpsc::unbounded_channel();
        let on_demand = PermitQueue::new(Share::OnDemand, releases.clone());
        (Self { on_demand, audits: PermitQueue::new(Share::Audit, releases) }, released)
    }

    /// Adds a request. If too many of its purpose wait, it is dropped, which its sender notices.
    pub(super) fn push(&mut self, acquisition: Acquisition) {
        match acquisition.purpose {
            Purpose::Audit => self.audits.push(acquisition),
            Purpose::Demand => self.on_demand.push(acquisition),
        }
    }

    /// Grants permits in the order of their requests, as far as the limits allow. Returns when the rate limit allows the
    /// next one, if it delays one.
    pub(super) fn grant_all(&mut self, gate: &mut Gate, descriptors: impl Fn(&Target) -> u32) -> Option<Instant> {
        let opens = self.on_demand.grant_all(gate, &descriptors);
        if self.on_demand.ready.is_empty() { self.audits.grant_all(gate, descriptors) } else { opens }
    }

    /// Makes the first parked requests for a host ready again.
    pub(super) fn unpark(&mut self, host: &Host) {
        self.on_demand.unpark(host);
        self.audits.unpark(host);
    }

    /// Makes all parked requests ready again.
    pub(super) fn unpark_all(&mut self) {
        self.on_demand.unpark_all();
        self.audits.unpark_all();
    }
}

/// The requests for permits of a purpose that wait, in their order. Those that wait for the limit of their host are parked
/// separately.
#[derive(Debug)]
struct PermitQueue {
    ready: VecDeque<Acquisition>,
    parked: HashMap<Host, VecDeque<Acquisition>>,
    len: usize,
    share: Share,
    releases: mpsc::UnboundedSender<Released>,
}

impl PermitQueue {
    fn new(share: Share, releases: mpsc::UnboundedSender<Released>) -> Self {
        Self { ready: VecDeque::new(), parked: HashMap::new(), len: 0, share, releases }
    }

    fn push(&mut self, acquisition: Acquisition) {
        if self.len >= MAX_WAITING {
            self.forget_abandoned();
        }
        if self.len < MAX_WAITING {
            self.len += 1;
            self.ready.push_back(acquisition);
        }
    }

    fn grant_all(&mut self, gate: &mut Gate, descriptors: impl Fn(&Target) -> u32) -> Option<Instant> {
        let now = Instant::now();
        let share = self.share;
        while let Some(target) = self.first() {
            let claim = Claim { share, descriptors: descriptors(target) };
            if !gate.has_place(claim) {
                break;
            }
            match gate.admit(&target.endpoint.host, claim, now) {
                Ok(()) => self.grant(claim),
                Err(Blocked::Host) => self.park(),
                Err(Blocked::Until(opens)) => return Some(opens),
            }
        }
        None
    }

    /// The target of the first request that somebody still waits for.
    fn first(&mut self) -> Option<&Arc<Target>> {
        while self.ready.pop_front_if(|acquisition| acquisition.permit.is_closed()).is_some() {
            self.len -= 1;
        }
        self.ready.front().map(|acquisition| &acquisition.target)
    }

    /// Grants the first request. The permit is released at once if nobody waits for it any more.
    fn grant(&mut self, claim: Claim) {
        let Some(Acquisition { target, permit, .. }) = self.ready.pop_front() else { return };
        self.len -= 1;
        let released = Some(Released { host: target.endpoint.host.clone(), claim });
        let _ = permit.send(Permit { released, releases: self.releases.clone() });
    }

    /// Lets the first request wait for another probe of its host to end.
    fn park(&mut self) {
        let Some(acquisition) = self.ready.pop_front() else { return };
        self.parked
            .entry(acquisition.target.endpoint.host.clone())
            .or_default()
            .push_back(acquisition);
    }

    fn unpark(&mut self, host: &Host) {
        let Some(parked) = self.parked.get_mut(host) else { return };
        self.ready.extend(parked.pop_front());
        if parked.is_empty() {
            self.parked.remove(host);
        }
    }

    fn unpark_all(&mut self) {
        self.ready.extend(self.parked.drain().flat_map(|(_, parked)| parked));
    }

    fn forget_abandoned(&mut self) {
        let is_awaited = |acquisition: &Acquisition| !acquisition.permit.is_closed();
        self.ready.retain(is_awaited);
        self.parked.retain(|_, parked| {
            parked.retain(is_awaited);
            !parked.is_empty()
        });
        self.len = self.ready.len() + self.parked.values().map(VecDeque::len).sum::<usize>();
    }
}

/// Maximum number of waiting requests, as many as the HTTP server has connections.
const MAX_WAITING: usize = 1024;

//! The runs of an audit.

use std::net::{IpAddr, Ipv4Addr};
use std::num::NonZeroU16;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};
use tracing::{error, info, warn};

use super::pace::Pace;
use super::places::{Place, Places};
use super::results::{Change, Finding, LastRun, Observed, PortCounts, PortState};
use super::{Audited, Network};
use crate::clock;
use crate::duration;
use crate::locks::lock;
use crate::outcome::{Class, Failure, Fault};
use crate::scheduler::{Handle, Purpose};
use crate::target::{AuditedHosts, Endpoint, Host, Protocol, Settings, Target};

/// Makes the runs of one audit.
#[derive(Debug)]
pub(super) struct Runner<N> {
    shared: Arc<Shared<N>>,
    slots: Arc<Semaphore>,
}

/// Everything that the connections of an audit share.
#[derive(Debug)]
struct Shared<N> {
    audited: Arc<Audited>,
    network: Arc<N>,
    handle: Handle,
    pace: Pace,
    settings: Arc<Settings>,
    /// The changes that were logged in this run.
    logged: Mutex<usize>,
}

impl<N: Network> Runner<N> {
    pub(super) fn new(audited: Arc<Audited>, network: Arc<N>, handle: Handle, slots: Arc<Semaphore>) -> Self {
        let pace = Pace::new(audited.audit.settings().per_second);
        let (settings, logged) = Default::default();
        Self { shared: Arc::new(Shared { audited, network, handle, pace, settings, logged }), slots }
    }

    /// Makes a run now and then once per interval. A run that takes longer delays the next one. Never ends.
    pub(super) async fn run(self) {
        let settings = self.shared.audited.audit.settings();
        let mut starts = interval(settings.interval);
        starts.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            starts.tick().await;
            let begun = Instant::now();
            self.run_once().await;
            let taken = begun.elapsed();
            if taken > settings.interval {
                let (audit, taken) = (settings.name.as_str(), duration::display(taken));
                warn!(audit, %taken, "An audit takes longer than its interval; raise the interval or audit less");
            }
        }
    }

    async fn run_once(&self) {
        let shared = &self.shared;
        let began = clock::now();
        lock(&shared.audited.results).begin(began);
        *lock(&shared.logged) = 0;
        let places = shared.places().await;
        let mut counts = PortCounts::default();
        let mut tasks = JoinSet::new();
        for port in shared.audited.audit.settings().ports.iter() {
            for place in places.iter() {
                shared.pace.turn().await;
                let Ok(permit) = self.slots.clone().acquire_owned().await else { return };
                tasks.spawn(shared.clone().examine(place, port, permit));
                while let Some(examined) = tasks.try_join_next() {
                    counts.add(shared.finished(examined));
                }
            }
        }
        while let Some(examined) = tasks.join_next().await {
            counts.add(shared.finished(examined));
        }
        let run = LastRun { began, ended: clock::now(), counts };
        let late = lock(&shared.audited.results).end(run, &places);
        for finding in &late {
            shared.log(finding, Change::Missing, PortState::Filtered);
        }
    }
}

impl<N: Network> Shared<N> {
    /// Resolves the names of the audit.
    async fn places(&self) -> Places {
        let mut places = Places::default();
        for hosts in &self.audited.audit.settings().hosts {
            let AuditedHosts::Host(host @ Host::Name(name)) = hosts else {
                places.add(hosts);
                continue;
            };
            let name = name.as_str().into();
            match self
                .network
                .addresses(&self.target(host.clone(), NonZeroU16::MIN), Instant::now() + LOOK_UP)
                .await
            {
                Ok(addresses) => places.add_name(&name, addresses),
                Err(fault) => {
                    let (audit, error) = (self.audited.audit.settings().name.as_str(), fault.detail());
                    warn!(audit, host = %name, error, "Cannot resolve a host of an audit, keeping its last findings");
                    places.unresolved.push(name);
                }
            }
        }
        places
    }

    /// Finds out the state of a port, and records it. `None` if this machine could not connect.
    ///
    /// A state that is a finding, or ends one, must be the same in several attempts: a SYN can get lost.
    async fn examine(
        self: Arc<Self>,
        place: Place,
        port: NonZeroU16,
        _permit: OwnedSemaphorePermit,
    ) -> Option<PortState> {
        let target = Arc::new(self.target(place.address.clone(), port));
        let address = place.address.literal().unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
        let finding = Finding { host: place.host.clone(), address, port };
        let mut state = self.connect(&target).await;
        for _ in 0..RETRIES {
            let is_certain = match state {
                Some(PortState::Open) => true,
                Some(PortState::Closed | PortState::Filtered) => {
                    !lock(&self.audited.results).is_doubtful(&self.audited.audit, &finding)
                }
                None => false,
            };
            if is_certain {
                break;
            }
            sleep(RETRY_DELAY).await;
            self.pace.turn().await;
            state = self.connect(&target).await;
        }
        let known = state?;
        let observed =
            Observed { finding: finding.clone(), existence: place.existence, state: known, at: clock::now() };
        let change = lock(&self.audited.results).observe(&self.audited.audit, observed);
        if let Some(change) = change {
            self.log(&finding, change, known);
        }
        state
    }

    async fn connect(&self, target: &Arc<Target>) -> Option<PortState> {
        // Too many waiting requests, or the end of the daemon.
        let _permit = self.handle.acquire(target.clone(), Purpose::Audit).await.ok()?;
        let deadline = Instant::now() + self.audited.audit.settings().timeout;
        match self.network.probe(target, deadline).await.result {
            Ok(()) => Some(PortState::Open),
            Err(Fault::Failure(Failure { class: Class::Refused, .. })) => Some(PortState::Closed),
            Err(Fault::Failure(_)) => Some(PortState::Filtered),
            Err(Fault::LocalFault(_)) => None,
        }
    }

    fn target(&self, host: Host, port: NonZeroU16) -> Target {
        Target {
            name: self.audited.audit.settings().name.clone(),
            endpoint: Endpoint { protocol: Protocol::Tcp, host, port, path: None },
            labels: Arc::default(),
            group: None,
            settings: self.settings.clone(),
        }
    }

    /// Returns the state that a task has found.
    fn finished(&self, examined: Result<Option<PortState>, JoinError>) -> Option<PortState> {
        examined.unwrap_or_else(|failed| {
            error!(audit = self.audited.audit.settings().name.as_str(), %failed, "An audit panicked; please report this bug");
            None
        })
    }

    /// Logs a change, if there are not too many in this run.
    fn log(&self, finding: &Finding, change: Change, state: PortState) {
        let Finding { host, address, port } = finding;
        let (audit, state) = (self.audited.audit.settings().name.as_str(), state.as_str());
        let logged = {
            let mut logged = lock(&self.logged);
            *logged += 1;
            *logged
        };
        match change {
            _ if logged > MAX_LOGGED + 1 => {}
            _ if logged > MAX_LOGGED => warn!(audit, "Further changes of this run are omitted; /api/v1/audits has all"),
            Change::Unexpected => warn!(audit, %host, %address, port, "A port is open that must not be"),
            Change::Closed => {
                info!(audit, %host, %address, port, state, "A port that must not be open is not any more");
            }
            Change::Missing => warn!(audit, %host, %address, port, state, "A port is not open that must be"),
            Change::Restored => info!(audit, %host, %address, port, "A port that must be open is open again"),
        }
    }
}

/// Attempts after the first, if its result is in doubt.
const RETRIES: usize = 2;

const RETRY_DELAY: Duration = Duration::from_secs(1);

/// Time for the resolution of a name.
const LOOK_UP: Duration = Duration::from_secs(10);

/// Maximum number of changes that a run logs.
const MAX_LOGGED: usize = 100;

//! Probes that clients of `/probe` request: builds the target, waits for a permit of the scheduler, and probes.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, RwLock};
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::{Instant, timeout_at};
use tracing::debug;

use super::loaded_files::LoadedFiles;
use crate::config::{DiscoveryContext, OnDemand, Required, Unreadable};
use crate::files::reads::Reads;
use crate::http::{OnDemandProber, ProbeError, ProbeRequest, Probed};
use crate::locks::{lock, read, write};
use crate::outcome::{Fault, Outcome};
use crate::probe::NetworkProber;
use crate::scheduler::{AcquireError, Handle, Permit, Purpose};
use crate::target::{AllowList, Target, TlsProfile};
use crate::tasks::blocking;

/// Makes probes on demand with the configuration in use.
#[derive(Debug)]
pub(super) struct OnDemandProbes {
    prober: Arc<NetworkProber>,
    handle: Handle,
    files: LoadedFiles,
    reads: Reads,
    /// `None` if the endpoint is disabled.
    endpoint: RwLock<Option<Arc<Endpoint>>>,
    profiles: Mutex<UsedProfiles>,
}

/// The part of a configuration that probes on demand depend on.
#[derive(Debug)]
pub(super) struct Endpoint {
    /// The hosts that clients may name.
    pub(super) allow: AllowList,
    /// The modules.
    pub(super) context: Arc<DiscoveryContext>,
}

/// The TLS profiles of probes since the last change of the configuration, and before. Their files stay loaded until
/// two changes later, so that a probe in flight does not lose them.
#[derive(Debug, Default)]
struct UsedProfiles {
    current: HashSet<Arc<TlsProfile>>,
    before: HashSet<Arc<TlsProfile>>,
}

impl OnDemandProbes {
    /// Creates a disabled endpoint.
    pub(super) fn new(prober: Arc<NetworkProber>, handle: Handle, files: LoadedFiles) -> Self {
        let (reads, endpoint, profiles) = Default::default();
        Self { prober, handle, files, reads, endpoint, profiles }
    }

    /// Replaces the configuration.
    pub(super) fn set(&self, endpoint: Option<Endpoint>) {
        *write(&self.endpoint) = endpoint.map(Arc::new);
        let mut profiles = lock(&self.profiles);
        profiles.before = std::mem::take(&mut profiles.current);
    }

    /// Returns the TLS profiles that probes may need.
    pub(super) fn profiles(&self) -> HashSet<Arc<TlsProfile>> {
        let profiles = lock(&self.profiles);
        profiles.current.union(&profiles.before).cloned().collect()
    }

    /// Does everything that precedes the probe.
    async fn begin(&self, request: &ProbeRequest, endpoint: &Endpoint) -> Result<(Arc<Target>, Permit), ProbeError> {
        let target = self.prepare(request, endpoint).await?;
        let permit = self
            .handle
            .acquire(target.clone(), Purpose::Demand)
            .await
            .map_err(|error| match error {
                AcquireError::Stopped => ProbeError::Stopping,
                AcquireError::TooMany => ProbeError::Limited,
            })?;
        Ok((target, permit))
    }

    /// Builds the target and reads its files.
    async fn prepare(&self, request: &ProbeRequest, endpoint: &Endpoint) -> Result<Arc<Target>, ProbeError> {
        let (context, request) = (endpoint.context.clone(), request.clone());
        let (target, required) = blocking(move || {
            context.on_demand(OnDemand {
                target: &request.target,
                module: request.module.as_deref(),
                hostname: request.hostname.as_deref(),
            })
        })
        .await?;
        for required in required {
            self.load(required).await?;
        }
        Ok(target)
    }

    async fn load(&self, required: Required) -> Result<(), ProbeError> {
        if let Required::Tls(profile) = &required {
            lock(&self.profiles).current.insert(profile.clone());
        }
        if self.files.reuse(&required) {
            return Ok(());
        }
        let files = self.files.clone();
        let read = self.reads.run(move || files.read(&required)).await;
        read.map_err(|hanging| ProbeError::UnreadableFile(format!("a file of the module {hanging}")))?
            .map_err(|unreadable| ProbeError::UnreadableFile(Unreadable::into_message(unreadable)))
    }
}

#[async_trait]
impl OnDemandProber for OnDemandProbes {
    async fn probe(&self, request: &ProbeRequest) -> Result<Probed, ProbeError> {
        let endpoint = read(&self.endpoint).clone().ok_or(ProbeError::Disabled)?;
        let due = Instant::now() + request.time.map_or(MAX_TIME, |time| time.min(MAX_TIME));
        let begun = timeout_at(due, self.begin(request, &endpoint)).await;
        let (target, _permit) = begun.map_err(|_| ProbeError::Limited)??;
        let time = TimeLeft::new(target.settings.cadence.timeout(), request.time, due);
        let permits = |destinations: &[SocketAddr]| {
            let addresses = destinations.iter().map(SocketAddr::ip);
            let is_permitted = endpoint.allow.permits(&target.endpoint.host, addresses);
            if is_permitted { Ok(()) } else { Err(ProbeError::Forbidden) }
        };
        let probed = tokio::select! {
            () = self.handle.stopped() => return Err(ProbeError::Stopping),
            probed = self.prober.probe_permitted(&target, time.deadline, permits) => probed,
        };
        let outcome = probed?;
        debug!(target = %target.name, success = outcome.result.is_ok(), "Probed on demand");
        match outcome.result {
            Err(Fault::LocalFault(fault)) => Err(ProbeError::LocalFault(fault)),
            Err(Fault::Failure(_)) if time.was_too_short() => Err(ProbeError::Limited),
            result => Ok(Probed { target, outcome: Outcome { result, ..outcome } }),
        }
    }
}

/// The time for a probe that starts now.
struct TimeLeft {
    deadline: Instant,
    is_shortened: bool,
}

impl TimeLeft {
    /// `due` is the end of the client's time, part of which has passed in the wait for a permit.
    fn new(timeout: Duration, time: Option<Duration>, due: Instant) -> Self {
        let now = Instant::now();
        let wanted = time.map_or(timeout, |time| time.min(timeout));
        let deadline = due.min(now + timeout);
        let is_shortened = deadline.saturating_duration_since(now) < wanted.mul_f64(ENOUGH);
        Self { deadline, is_shortened }
    }

    /// Returns whether the probe may have failed because its permit came late, and not because of the target.
    fn was_too_short(&self) -> bool {
        self.is_shortened && Instant::now() >= self.deadline
    }
}

/// The part of its timeout with which a probe can fail. With less, a failure says nothing about the target.
const ENOUGH: f64 = 0.9;

/// Maximum time of a request. Timeouts of targets are at most a day.
const MAX_TIME: Duration = Duration::from_hours(24);

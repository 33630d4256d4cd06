//! Probing over the network: from a target to an outcome.
//!
//! One probe is resolve, connect, then what the target's exchange asks for, under one deadline. `locate` finds where to
//! connect (`resolve` turns a name into addresses, `order` sorts them), `attempt` tries the addresses (`connect` makes
//! one TCP handshake, `opened` is its connection, `tcp_info` has the kernel's figures), `exchange` goes on from there:
//! `dialogue` talks, `tap` writes down what is said, `tls` shakes hands over a `carrier` by what `trust` has read from
//! files, `judge` weighs the certificates that `certificate` reads. `errno` says what an error code means,
//! `interruption` what ends a conversation early. `outbound` serves those who connect and ask for other reasons than to
//! probe.

use std::sync::Arc;

use tokio::time::Instant;

use self::attempt::{Attempted, Plan, attempt};
use self::judge::Judge;
use self::locate::{Unlocated, locate};
pub(crate) use self::outbound::Outbound;
use self::resolve::Resolver;
pub use self::resolve::{NameServing, SystemFiles};
use self::tls::Client;
pub use self::trust::Trust;
use crate::outcome::{Facts, LocalFault, LocalFaultReason, Outcome, Prober, Timings, Verdict};
use crate::target::Target;

mod attempt;
mod carrier;
mod certificate;
mod connect;
mod dialogue;
mod errno;
mod exchange;
#[cfg(fuzzing)]
pub(crate) mod fuzzing;
mod interruption;
mod judge;
mod locate;
mod opened;
mod order;
mod outbound;
mod resolve;
mod socket;
mod stream;
mod tap;
mod tcp_info;
mod tls;
mod trust;

/// Probes targets over the network.
///
/// Made once and shared: it holds what is known of the machine's own name resolution, and nothing of any target.
#[derive(Debug)]
pub struct NetworkProber {
    resolver: Resolver,
    trust: Arc<Trust>,
    judge: Arc<Judge>,
    records: bool,
}

impl NetworkProber {
    /// A prober that resolves names as this machine does. Touches no file before the first name.
    ///
    /// `trust` must have read the profile of every target that is to be probed with TLS.
    pub fn new(serving: NameServing, trust: Arc<Trust>) -> Self {
        Self::with_system_files(serving, trust, SystemFiles::default())
    }

    /// A prober that takes name servers, search domains and hosts from these files.
    pub fn with_system_files(serving: NameServing, trust: Arc<Trust>, files: SystemFiles) -> Self {
        Self { resolver: Resolver::new(serving, files), trust, judge: Arc::default(), records: false }
    }

    /// Writes down from now on what is said on connections.
    #[must_use]
    pub fn recording(self) -> Self {
        Self { records: true, ..self }
    }

    /// Asks name servers in another way from now on.
    pub fn set_serving(&self, serving: NameServing) {
        self.resolver.set_serving(serving);
    }

    /// What the exchange with a target needs besides the target; the error is a fault of this program's own making.
    fn plan(&self, target: &Arc<Target>) -> Result<Plan, LocalFault> {
        let (target, record) = (target.clone(), self.records);
        let Some(tls) = target.settings.exchange.tls() else {
            return Ok(Plan { target, client: None, record });
        };
        let context = self.trust.context(&tls.settings.profile).ok_or_else(|| LocalFault {
            reason: LocalFaultReason::Invalid,
            detail: "the files of tls were not read for this target".to_owned(),
        })?;
        let client = Client { context, judge: self.judge.clone() };
        Ok(Plan { target, client: Some(client), record })
    }
}

impl Prober for NetworkProber {
    async fn probe(&self, target: &Arc<Target>, deadline: Instant) -> Outcome {
        let started = Instant::now();
        let plan = match self.plan(target) {
            Ok(plan) => plan,
            Err(fault) => return unattempted(Verdict::LocalFault(fault), started),
        };
        let endpoint = &target.endpoint;
        let located = match locate(&self.resolver, &endpoint.host, endpoint.port, &target.settings, deadline).await {
            Ok(located) => located,
            Err(Unlocated { verdict, resolution }) => {
                return Outcome {
                    resolution,
                    client_certificate_not_after: plan.client_certificate_not_after(),
                    ..unattempted(verdict, started)
                };
            }
        };
        let Attempted { attempts, verdict, timings, facts, open } =
            attempt(located.destinations, &plan, deadline).await;
        let outcome = Outcome {
            verdict,
            duration: started.elapsed(),
            timings: located.timings.and(timings),
            resolution: located.resolution,
            attempts,
            facts,
            client_certificate_not_after: plan.client_certificate_not_after(),
        };
        if let Some(open) = open {
            open.close(deadline).await;
        }
        outcome
    }
}

/// What a probe came to that tried no address.
fn unattempted(verdict: Verdict, started: Instant) -> Outcome {
    Outcome {
        verdict,
        duration: started.elapsed(),
        timings: Timings::default(),
        resolution: None,
        attempts: Vec::new(),
        facts: Facts::default(),
        client_certificate_not_after: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::target::{Settings, example};

    /// Thousands of these wait at a time where a firewall drops packets.
    #[test]
    fn a_probe_under_way_takes_little_memory() {
        let prober = NetworkProber::new(NameServing::default(), Arc::default());
        let target = Arc::new(example("tcp://192.0.2.1:1", Settings::default()));
        let size = size_of_val(&prober.probe(&target, Instant::now()));
        assert!(size <= 1280, "{size}");
    }
}

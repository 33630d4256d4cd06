//! The result of a probe: an [`Outcome`], or a [`Report`] with its target and times.
//!
//! A failed probe and a local fault are data, not errors of the daemon. Except for the trait [`Prober`], everything
//! here is a plain value.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

pub use self::failure::{Class, Failure, Fault, LocalFault, LocalFaultReason};
pub use self::response::{GrpcResponse, HttpResponse, Response};
#[cfg(test)]
pub(crate) use self::testing::example_facts;
pub use self::tls::{Certificate, CertificateContent, CertificateFault, PeerCertificates, Session, TlsFacts};
pub use self::transcript::{Direction, Message, Transcript};
use crate::clock::Timestamp;
use crate::target::{LabelName, Target};

mod failure;
mod response;
#[cfg(test)]
mod testing;
mod tls;
mod transcript;

/// A prober: the network, or in tests a script.
pub trait Prober: Send + Sync + 'static {
    /// Probes `target` once, from resolving its name to closing the connection.
    ///
    /// A phase that is pending at `deadline` fails. Dropping the future ends the probe without an outcome.
    fn probe(&self, target: &Arc<Target>, deadline: Instant) -> impl Future<Output = Outcome> + Send;

    /// Returns the maximum number of descriptors that a probe of `target` has open at the same time.
    fn descriptors(&self, target: &Target) -> u32;
}

impl<P: Prober> Prober for Arc<P> {
    fn probe(&self, target: &Arc<Target>, deadline: Instant) -> impl Future<Output = Outcome> + Send {
        P::probe(self, target, deadline)
    }

    fn descriptors(&self, target: &Target) -> u32 {
        P::descriptors(self, target)
    }
}

/// The outcome of one probe.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// Success, or the reason why the probe failed.
    pub result: Result<(), Fault>,
    /// Time from the start to the result.
    pub duration: Duration,
    /// The completed phases; with several addresses, those of the address that decided the result.
    pub timings: Timings,
    /// The resolution of the name; `None` if the host is an address or its name was not resolved.
    pub resolution: Option<Resolution>,
    /// Each address that was tried, in order.
    pub attempts: Vec<Attempt>,
    /// Facts about the peer; with several addresses, the worst of each.
    pub facts: Facts,
    /// The last second in which the client certificate is valid, since 1970, if there is one.
    pub client_certificate_not_after: Option<i64>,
}

impl Outcome {
    /// Returns the last address tried, which decided the result if the addresses were tried one after another.
    pub fn address(&self) -> Option<IpAddr> {
        self.attempts.last().map(|attempt| attempt.address)
    }
}

/// The resolution of a name.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Resolution {
    /// The usable addresses, in the order in which they are tried.
    pub addresses: Vec<IpAddr>,
}

/// An attempt to probe one address.
#[derive(Clone, Debug, PartialEq)]
pub struct Attempt {
    /// The address.
    pub address: IpAddr,
    /// The result as if this were the only address.
    pub result: Result<(), Fault>,
    /// Time from its start to its result.
    pub duration: Duration,
    /// The phases completed with this address, without `resolve`.
    pub timings: Timings,
    /// Number of retransmitted SYNs, if the kernel counts them and the connect was answered.
    pub syn_retransmits: u32,
    /// Facts about the peer.
    pub facts: Facts,
    /// The bytes exchanged, if the prober records them and a connection was opened.
    pub transcript: Option<Transcript>,
}

/// Facts about a peer, whether or not the probe succeeded. Steps that were not reached provide none.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Facts {
    /// Facts from the TLS handshake.
    pub tls: Option<TlsFacts>,
    /// Labels from a completed dialogue, if it has any.
    pub dialogue: Option<Arc<[(LabelName, String)]>>,
    /// Facts from a completed conversation with a service.
    pub service: Option<Arc<ServiceFacts>>,
    /// The response to a request, whether or not it is the expected one.
    pub response: Option<Arc<Response>>,
}

/// Facts from a conversation with a service.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ServiceFacts {
    /// Its protocol.
    pub protocol: &'static str,
    /// A product or version token; empty if there is none.
    pub version: String,
    /// Its role, such as primary; empty if there is none.
    pub role: String,
}

/// The phases of a probe, in order. Not every probe has all of them.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Phase {
    /// Resolution of the name to addresses.
    Resolve,
    /// The TCP handshake.
    Connect,
    /// The plaintext exchange before TLS.
    Starttls,
    /// The TLS handshake.
    Tls,
    /// The exchange on the connection, within TLS if there is TLS.
    Protocol,
}

impl Phase {
    /// Every phase, in order.
    pub const ALL: [Self; 5] = [Self::Resolve, Self::Connect, Self::Starttls, Self::Tls, Self::Protocol];

    /// Returns the phase with this name.
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|phase| phase.as_str() == name)
    }

    /// Returns the name in labels and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Resolve => "resolve",
            Self::Connect => "connect",
            Self::Starttls => "starttls",
            Self::Tls => "tls",
            Self::Protocol => "protocol",
        }
    }
}

/// The duration of each completed phase, to the nanosecond. A phase that failed or was not reached is missing.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Timings([u64; Phase::ALL.len()]);

impl Timings {
    /// Adds a completed phase.
    #[must_use]
    pub fn with(mut self, phase: Phase, duration: Duration) -> Self {
        if let Some(slot) = self.0.get_mut(phase as usize) {
            *slot = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX).min(NOT_COMPLETED - 1);
        }
        self
    }

    /// Adds the phases of `later`, which take precedence.
    #[must_use]
    pub fn and(self, later: Self) -> Self {
        later
            .iter()
            .fold(self, |timings, (phase, duration)| timings.with(phase, duration))
    }

    /// Returns the duration of a phase; `None` if it was not completed.
    pub fn of(&self, phase: Phase) -> Option<Duration> {
        self.0
            .get(phase as usize)
            .copied()
            .filter(|nanos| *nanos != NOT_COMPLETED)
            .map(Duration::from_nanos)
    }

    /// Returns every completed phase, in order.
    pub fn iter(&self) -> impl Iterator<Item = (Phase, Duration)> + '_ {
        Phase::ALL.into_iter().filter_map(|phase| Some((phase, self.of(phase)?)))
    }
}

impl Default for Timings {
    fn default() -> Self {
        Self([NOT_COMPLETED; Phase::ALL.len()])
    }
}

/// More than 500 years, which no probe takes.
const NOT_COMPLETED: u64 = u64::MAX;

/// An outcome with its target and times. The board derives the state of the target from reports.
#[derive(Clone, Debug)]
pub struct Report {
    /// The target that was probed. The board discards the report if it has replaced the target since.
    pub target: Arc<Target>,
    /// The outcome.
    pub outcome: Outcome,
    /// The end of the probe.
    pub ended: Instant,
    /// The same moment on the wall clock.
    pub ended_at: Timestamp,
}

/// The probe that follows a reported one.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Next {
    /// The next one on the schedule.
    OnSchedule,
    /// Another one at once with new settings. The reported one used old settings and is discarded.
    Repeat,
    /// A retry this long after the end of the reported one, to confirm a failure.
    Retry(Duration),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timings_hold_completed_phases_in_order() {
        let timings = Timings::default()
            .with(Phase::Connect, Duration::from_millis(2))
            .with(Phase::Resolve, Duration::from_millis(1));
        let phases: Vec<_> = timings
            .iter()
            .map(|(phase, duration)| (phase.as_str(), duration.as_millis()))
            .collect();
        assert_eq!(phases, [("resolve", 1), ("connect", 2)]);
        assert_eq!(Timings::default().iter().count(), 0);
    }
}

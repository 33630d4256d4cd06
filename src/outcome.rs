//! The result of a probe: an [`Outcome`], and with its target and times a [`Report`].
//!
//! A failed probe is data, and so is a local fault; neither is an error of the daemon. Everything here is plain values,
//! except the trait [`Prober`].

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

pub use self::failure::{Class, Failure, Fault, LocalFault, LocalFaultReason};
#[cfg(test)]
pub(crate) use self::testing::example_facts;
pub use self::tls::{Certificate, CertificateContent, CertificateFault, PeerCertificates, Session, TlsFacts};
pub use self::transcript::{Direction, Message, Transcript};
use crate::clock::Timestamp;
use crate::target::{LabelName, Target};

mod failure;
#[cfg(test)]
mod testing;
mod tls;
mod transcript;

/// A prober: the network, or a script in tests.
pub trait Prober: Send + Sync + 'static {
    /// Probes `target` once, from resolving to closing.
    ///
    /// Ends by `deadline`: a pending phase fails then. Dropping the future ends the probe without an outcome.
    fn probe(&self, target: &Arc<Target>, deadline: Instant) -> impl Future<Output = Outcome> + Send;
}

impl<P: Prober> Prober for Arc<P> {
    fn probe(&self, target: &Arc<Target>, deadline: Instant) -> impl Future<Output = Outcome> + Send {
        P::probe(self, target, deadline)
    }
}

/// The outcome of one probe.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// Whether the target is as expected, and why not.
    pub result: Result<(), Fault>,
    /// Time from the start to the result.
    pub duration: Duration,
    /// The completed phases; with several addresses, those of the decisive one.
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
    /// The address that was tried last, which is the decisive one if addresses are tried one after another.
    pub fn address(&self) -> Option<IpAddr> {
        self.attempts.last().map(|attempt| attempt.address)
    }
}

/// The resolution of a name.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Resolution {
    /// The usable addresses, in the order in which they are used.
    pub addresses: Vec<IpAddr>,
}

/// The attempt at one address.
#[derive(Clone, Debug, PartialEq)]
pub struct Attempt {
    /// The address.
    pub address: IpAddr,
    /// The result as if this were the only address.
    pub result: Result<(), Fault>,
    /// Time from its start to its result, by the clock.
    pub duration: Duration,
    /// The phases completed with this address, without `resolve`.
    pub timings: Timings,
    /// Retransmitted SYNs, if the kernel counts them and an answer came.
    pub syn_retransmits: u32,
    /// Facts about the peer.
    pub facts: Facts,
    /// What was said, if the prober records it and a connection was made.
    pub transcript: Option<Transcript>,
}

/// Facts that a peer showed about itself, whether the probe succeeded or not. Steps that were not reached leave none.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Facts {
    /// From the TLS handshake.
    pub tls: Option<TlsFacts>,
    /// Labels from a completed dialogue, if it has any.
    pub dialogue: Option<Arc<[(LabelName, String)]>>,
    /// From the completed conversation of a service.
    pub service: Option<Arc<ServiceFacts>>,
}

/// Facts from the conversation of a service.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ServiceFacts {
    /// Its protocol.
    pub protocol: &'static str,
    /// A product or version token; empty if it has none.
    pub version: String,
    /// Its role, such as primary; empty if it has none.
    pub role: String,
}

/// The phases of a probe, in order. Not every probe has all.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Phase {
    /// Name to addresses.
    Resolve,
    /// The TCP handshake.
    Connect,
    /// What is said in the clear before TLS.
    Starttls,
    /// The TLS handshake.
    Tls,
    /// What is said on the connection, within TLS if there is TLS.
    Protocol,
}

impl Phase {
    /// Every phase, in order.
    pub const ALL: [Self; 5] = [Self::Resolve, Self::Connect, Self::Starttls, Self::Tls, Self::Protocol];

    /// The name in labels and logs.
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

    /// The duration of a phase, if it was completed.
    pub fn of(&self, phase: Phase) -> Option<Duration> {
        self.0
            .get(phase as usize)
            .copied()
            .filter(|nanos| *nanos != NOT_COMPLETED)
            .map(Duration::from_nanos)
    }

    /// Every completed phase, in order.
    pub fn iter(&self) -> impl Iterator<Item = (Phase, Duration)> + '_ {
        Phase::ALL.into_iter().filter_map(|phase| Some((phase, self.of(phase)?)))
    }
}

impl Default for Timings {
    fn default() -> Self {
        Self([NOT_COMPLETED; Phase::ALL.len()])
    }
}

/// No probe takes six hundred years.
const NOT_COMPLETED: u64 = u64::MAX;

/// An outcome with its target and times, from which the board derives state.
#[derive(Clone, Debug)]
pub struct Report {
    /// The target that was probed. The board discards the report if it has replaced the target since.
    pub target: Arc<Target>,
    /// The outcome.
    pub outcome: Outcome,
    /// When the probe ended.
    pub ended: Instant,
    /// The same moment on the wall clock.
    pub ended_at: Timestamp,
}

/// The probe that follows a report.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Next {
    /// The next one on the schedule.
    OnSchedule,
    /// Another one at once with new settings, because the one reported was made with old settings and is discarded.
    Repeat,
    /// Another one this long after the end of the last, to confirm a failure.
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
